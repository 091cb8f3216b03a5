// What a walk through a tree costs the store when nothing of it is in memory: GETs, and how many of them one after another.
import { createHash } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import type { FsError } from '../../src/platform/index.ts'
import { type SegmentId, segmentKey } from '../../src/segments/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import type { Database } from '../../src/tables/index.ts'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { intercepted } from '../tables/late-store.ts'
import { type Cost, RoundStore } from './rounds.ts'
import { bytes, CALLER, formatVolume, type MountOptions, mount, type World } from './world.ts'

const S_IFDIR = 0o040000

interface Entry {
  name: string
  ino: Ino
  isDirectory: boolean
}

/** Who walks: what is done at each directory, in which order children are entered. */
type Order = (children: Entry[]) => Entry[]

const asListed: Order = (children) => children
const byName: Order = (children) => [...children].sort((a, b) => (a.name < b.name ? -1 : 1))

async function list(world: World, ino: Ino): Promise<Entry[]> {
  const entries: Entry[] = []
  let cookie = 0
  for (let took = -1; took !== 0; ) {
    took = 0
    await world.fs.readdir(ino, cookie, true, (name, child, mode, next) => {
      if (took === 390) return false
      took++
      cookie = next
      const isDirectory = (mode & 0o170000) === S_IFDIR
      const text = Buffer.from(name).toString()
      if (text !== '.' && text !== '..') entries.push({ name: text, ino: child, isDirectory })
      return true
    })
  }
  return entries
}

/** As find(1) and ls -R: a directory is listed whole, then its children are entered. Returns how many it listed. */
async function walk(world: World, ino: Ino, order: Order): Promise<number> {
  const children = (await list(world, ino)).filter(({ isDirectory }) => isDirectory)
  let directories = 1
  for (const child of order(children)) directories += await walk(world, child.ino, order)
  return directories
}

interface Tree {
  store: ObjectStore
  directories: number
  /** In which its tables lie. */
  segments: number
}

/** So that a tree fit for a test lies in many. */
const SEGMENT_BYTES = 40 * 1024
const PROJECTS = 8
const CHECKPOINTS = 40
const FILES = 20

/** A tree that grew over many checkpoints: each brought every project some directories, with directories in them. */
async function grown(): Promise<Tree> {
  const store = await formatVolume()
  const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  let directories = 1
  const mkdir = async (parent: Ino, name: string) => {
    const { attributes } = await world.fs.mkdir(CALLER, parent, bytes(name), 0o755)
    directories++
    return attributes.ino
  }
  const mkfile = async (parent: Ino, what: string) => {
    // A name that takes its room in a page, deflated too.
    const name = createHash('sha256').update(`${parent} ${what}`).digest('base64url')
    const { attributes } = await world.fs.mknod(CALLER, parent, bytes(name), 0o100644, 0)
    world.fs.forget(attributes.ino, 1)
  }
  const projects: Ino[] = []
  for (let project = 0; project < PROJECTS; project++) projects.push(await mkdir(ROOT_INO, `project-${project}`))
  for (let checkpoint = 0; checkpoint < CHECKPOINTS; checkpoint++) {
    for (const project of projects) {
      for (let file = 0; file < FILES / 2; file++) await mkfile(project, `${checkpoint} ${file}`)
      for (let count = 0; count < 2; count++) {
        const top = await mkdir(project, `package-${checkpoint * 7919}-${count}`)
        const below = [top, await mkdir(top, 'src'), await mkdir(top, 'test')]
        below.push(await mkdir(below[1]!, 'util'))
        for (const parent of below) {
          for (let file = 0; file < FILES; file++) await mkfile(parent, `${file}`)
        }
      }
    }
    await world.fs.checkpointNow()
  }
  await world.unmount()
  const mounted = await mount({ store, readOnly: true })
  const uses = [...mounted.database.rootInForce.pageSegments.values()]
  const segments = uses.filter(({ liveBytes }) => liveBytes > 0).length
  return { store, directories, segments }
}

let tree: Tree
beforeAll(async () => {
  tree = await grown()
})

interface Walked extends Cost {
  directories: number
  world: World
  rounds: number
}

interface ColdWorld {
  rounds: RoundStore
  world: World
  /** Since the mount. */
  cost: () => Cost
}

async function mountCold(options: MountOptions = {}, store = tree.store): Promise<ColdWorld> {
  const rounds = new RoundStore(store)
  const all = { segmentSizeBytes: SEGMENT_BYTES, ...options, store: rounds.store, readOnly: true }
  const world = await rounds.run(() => mount(all))
  const before = rounds.cost
  const cost = () => ({
    gets: rounds.cost.gets - before.gets,
    getBytes: rounds.cost.getBytes - before.getBytes,
    rounds: rounds.cost.rounds - before.rounds,
  })
  return { rounds, world, cost }
}

async function walkCold(order: Order, options: MountOptions = {}): Promise<Walked> {
  const { rounds, world, cost } = await mountCold(options)
  const directories = await rounds.run(() => walk(world, ROOT_INO, order))
  await rounds.settle()
  return { directories, world, ...cost() }
}

const shown = ({ directories, gets, getBytes, rounds }: Walked) =>
  JSON.stringify({ directories, gets, getBytes, rounds })

test.each([
  ['find', asListed],
  ['ls -lR', byName],
])('%s waits for many directories at once', async (what, order) => {
  const alone = await walkCold(order, { walkAheadBytes: 0 })
  const ahead = await walkCold(order)
  process.stderr.write(`walks: ${what} in ${tree.segments} segments: alone ${shown(alone)}, ahead ${shown(ahead)}\n`)
  expect(alone.directories).toBe(tree.directories)
  expect(ahead.directories).toBe(tree.directories)
  expect(ahead.gets).toBeLessThanOrEqual(2 * tree.segments + 10)
  expect(ahead.gets).toBeLessThanOrEqual(alone.gets + 5)
  expect(ahead.rounds * 4).toBeLessThan(alone.rounds)
  const { loaded, used } = ahead.world.fs.status().walks
  expect(used).toBe(loaded)
  expect(used).toBeGreaterThan(tree.directories / 10)
})

test('with memory for a seventh of the tree it fetches little more than without', async () => {
  const little = { pageCacheBytes: 400_000, cacheBytes: 400_000 }
  const alone = await walkCold(asListed, { ...little, walkAheadBytes: 0 })
  const ahead = await walkCold(asListed, { ...little, walkAheadBytes: 100_000 })
  process.stderr.write(`walks: with little memory: alone ${shown(alone)}, ahead ${shown(ahead)}\n`)
  expect(ahead.directories).toBe(tree.directories)
  expect(ahead.getBytes).toBeLessThan(alone.getBytes * 1.4)
  expect(ahead.rounds * 2).toBeLessThan(alone.rounds)
})

/** Lists the root, a project, then so many of its packages, and lets what was begun come to its end. */
async function listPackages(options: MountOptions, count: number): Promise<ColdWorld & { packages: Entry[] }> {
  const cold = await mountCold(options)
  const [project] = await cold.rounds.run(() => list(cold.world, ROOT_INO))
  const entries = await cold.rounds.run(() => list(cold.world, project!.ino))
  const packages = entries.filter(({ isDirectory }) => isDirectory)
  for (const { ino } of packages.slice(0, count)) await cold.rounds.run(() => list(cold.world, ino))
  await cold.rounds.run(async () => {
    for (let turns = 0; turns < 200; turns++) await cold.world.clock.yield()
  })
  await cold.rounds.settle()
  return { ...cold, packages }
}

test('two child directories are no walk; a third one is, and what it brings is bounded', async () => {
  const two = await listPackages({}, 2)
  expect(two.world.fs.status().walks.loaded).toBe(0)
  expect(two.cost().gets).toBe((await listPackages({ walkAheadBytes: 0 }, 2)).cost().gets)
  const three = await listPackages({}, 3)
  const { loaded } = three.world.fs.status().walks
  expect(loaded).toBeGreaterThanOrEqual(16)
  expect(loaded).toBeLessThanOrEqual(16 + 4 * 3)
  const little = await listPackages({ walkAheadBytes: 4000 }, 3)
  expect(little.world.fs.status().walks.loaded, 'as much as fits, and what is on its way').toBeLessThan(4 + 16)
})

test('who lists one directory again and again does not walk, and takes a walk no further', async () => {
  const { rounds, world, packages } = await listPackages({}, 1)
  const poll = async (ino: Ino) => {
    for (let times = 0; times < 20; times++) {
      await rounds.run(() => list(world, ino))
      await rounds.settle()
    }
  }
  await poll(packages[0]!.ino)
  expect(world.fs.status().walks.loaded).toBe(0)
  await poll(packages[1]!.ino)
  expect(world.fs.status().walks.loaded).toBe(0)
  await poll(packages[2]!.ino)
  expect(world.fs.status().walks.loaded).toBeLessThanOrEqual(16 + 4 * 3)
})

test('a walk that pauses is over: what is listed then is no part of it', async () => {
  const { rounds, world, packages } = await listPackages({}, 3)
  const { loaded } = world.fs.status().walks
  await world.clock.advance(6_000)
  for (const { ino } of packages.slice(40, 44)) await rounds.run(() => list(world, ino))
  await rounds.settle()
  expect(world.fs.status().walks.loaded).toBe(loaded)
})

test('a walk through what is in memory is not looked at', async () => {
  let runs = 0
  const wrap = (database: Database) =>
    new Proxy(database, {
      get(target, property) {
        if (property === 'run') runs++
        const member = Reflect.get(target, property, target) as unknown
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  const warmRuns = async (walkAheadBytes: number) => {
    const { world } = await walkCold(asListed, { walkAheadBytes, wrap })
    await world.clock.advance(6_000)
    runs = 0
    expect(await walk(world, ROOT_INO, asListed)).toBe(tree.directories)
    for (let turns = 0; turns < 200; turns++) await world.clock.yield()
    return runs
  }
  expect(await warmRuns(16 << 20)).toBe(await warmRuns(0))
})

test('what cannot be loaded ahead fails where it is listed, and nowhere else', async () => {
  const { world: known } = await mountCold()
  const inUse = [...known.database.rootInForce.pageSegments].filter(([, { liveBytes }]) => liveBytes > 0)
  // In its middle lie directories alone.
  const [lost] = inUse[inUse.length >> 1]!
  const broken = intercepted(tree.store, async (method, key, call) => {
    if (method === 'get' && key === segmentKey(lost as SegmentId)) throw new StoreError('fatal', 'away')
    return call()
  })
  const failing = async (walkAheadBytes: number) => {
    const { rounds, world } = await mountCold({ walkAheadBytes }, broken)
    let failures = 0
    const walkOn = async (ino: Ino): Promise<number> => {
      const children = await list(world, ino).catch((error: FsError) => {
        expect(error.code).toBe('EIO')
        failures++
        return []
      })
      let directories = 1
      for (const child of children) if (child.isDirectory) directories += await walkOn(child.ino)
      return directories
    }
    const directories = await rounds.run(() => walkOn(ROOT_INO))
    await rounds.settle()
    return { directories, failures }
  }
  const ahead = await failing(16 << 20)
  expect(ahead.failures).toBeGreaterThan(0)
  expect(ahead.directories).toBeLessThanOrEqual(tree.directories)
  expect(ahead).toEqual(await failing(0))
})
