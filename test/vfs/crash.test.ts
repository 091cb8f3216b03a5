// The promises of section 5 of the design, held against crashes at any call of the store, before or after its effect:
// names are what a prefix of their order left, each file what a prefix of its stream left, neither older than what was
// acknowledged as durable; a rename over a name never goes without the data its file had then. One seed, one world.
import { expect, test } from 'vitest'
import { S_IFMT } from '../../src/meta/index.ts'
import { FsError, type Random, seededRandom } from '../../src/platform/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { FaultyDatabase } from '../meta/faulty-database.ts'
import { seedsToTry } from '../seeds.ts'
import { checkConsistency } from './consistency.ts'
import { CALLER, formatVolume, mount, Paths, type World } from './world.ts'

const SEEDS = seedsToTry({ briefly: 75, atLength: 150 })
const FIRST_SEED = Number(process.env.CAIRNFS_TEST_SEED ?? 1)

/** Passes calls on, some late, until the crash; then what is under way takes effect or not, and nothing succeeds. */
function crashing(store: ObjectStore, random: Random, callsToLive: number): ObjectStore & { crash(): void } {
  let calls = 0
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const isCrashed = () => calls > callsToLive
  return new Proxy(store, {
    get(target, property) {
      if (property === 'crash') {
        return () => {
          calls = callsToLive + 1
        }
      }
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        calls++
        if (isCrashed()) throw new StoreError('fatal', 'crashed')
        for (let turns = Math.floor(random.next() * (random.next() < 0.2 ? 60 : 5)); turns > 0; turns--) await turn()
        if (isCrashed() && random.next() < 0.5) throw new StoreError('fatal', 'crashed before the effect')
        const result: unknown = await member.apply(target, args)
        if (isCrashed()) throw new StoreError('fatal', 'crashed after the effect')
        return result
      }
    },
  }) as ObjectStore & { crash(): void }
}

/** What a file held after each operation of its stream. */
interface History {
  states: Buffer[]
  /** Index into `states`: acknowledged as durable. */
  durable: number
}

interface NamesState {
  /** path -> ino, nlink and mode. */
  names: string
  /** Renames over a name so far: the file must hold at least this of its stream. */
  brought: Map<number, number>
}

class Expectation {
  readonly names: NamesState[] = []
  durableNames = 0
  readonly files = new Map<number, History>()

  async noteNames(paths: Paths, ...brought: number[]): Promise<void> {
    const before = this.names.at(-1)?.brought ?? new Map<number, number>()
    const now = new Map(before)
    for (const ino of brought) now.set(ino, this.of(ino).states.length - 1)
    this.names.push({ names: await describe(paths), brought: now })
  }

  of(ino: number): History {
    let history = this.files.get(ino)
    if (history === undefined) {
      history = { states: [Buffer.alloc(0)], durable: 0 }
      this.files.set(ino, history)
    }
    return history
  }

  last(ino: number): Buffer {
    return this.of(ino).states.at(-1) as Buffer
  }
}

async function describe(paths: Paths): Promise<string> {
  const lines: string[] = []
  const visit = async (path: string): Promise<void> => {
    for (const name of (await paths.list(path === '' ? '/' : path)).sort()) {
      const at = `${path}/${name}`
      const { ino, mode, nlink } = await paths.stat(at)
      lines.push(`${at} ${ino} ${mode.toString(8)} ${nlink}`)
      if ((mode & S_IFMT) === 0o040000) await visit(at)
    }
  }
  await visit('')
  return lines.join('\n')
}

const ZERO_RANGE = 16
const RENAME_EXCHANGE = 2
const NAMES = ['a', 'b', 'c', 'd']

class Run {
  readonly expected = new Expectation()
  readonly #world: World
  readonly #paths: Paths
  readonly #random: Random
  readonly #pending: Promise<void>[] = []

  constructor(world: World, random: Random) {
    this.#world = world
    this.#paths = new Paths(world.fs)
    this.#random = random
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random.next() * from.length)] as T
  }

  #path(): string {
    const name = this.#pick(NAMES)
    return this.#random.next() < 0.3 ? `/dir/${name}` : `/${name}`
  }

  async begin(): Promise<void> {
    await this.#paths.mkdir('/dir')
    await this.#world.fs.sync()
    await this.expected.noteNames(this.#paths)
  }

  /** One operation; false when the world has crashed. */
  async step(): Promise<boolean> {
    try {
      await this.#operation()
      return true
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      return !['EIO', 'EROFS'].includes(error.code)
    }
  }

  async #operation(): Promise<void> {
    const paths = this.#paths
    const dice = this.#random.next()
    if (dice < 0.35) await this.#write()
    else if (dice < 0.4) await this.#truncate()
    else if (dice < 0.42) await this.#punch()
    else if (dice < 0.62) await this.#rename()
    else if (dice < 0.68) await this.#names(() => paths.unlink(this.#path()))
    else if (dice < 0.72) await this.#names(() => paths.link(this.#path(), this.#path()))
    else if (dice < 0.76) {
      const mode = this.#pick([0o600, 0o644])
      await this.#names(() => paths.at(this.#path(), (ino) => paths.fs.setattr(CALLER, ino, { mode })))
    } else if (dice < 0.88) this.#inBackground((await this.#fsync()).done)
    else if (dice < 0.91) this.#inBackground(this.#sync())
    else if (dice < 0.95) this.#inBackground(this.#world.fs.checkpointNow())
    else if (dice < 0.98) await this.#world.clock.advance(5_000)
    else await this.#world.clock.yield()
  }

  async #names(operation: () => Promise<unknown>): Promise<void> {
    await operation()
    await this.expected.noteNames(this.#paths)
  }

  async #rename(): Promise<void> {
    const from = this.#path()
    const to = this.#path()
    const { ino } = await this.#paths.stat(from)
    if (this.#random.next() < 0.25) {
      const other = await this.#paths.stat(to)
      await this.#paths.rename(from, to, RENAME_EXCHANGE)
      await this.expected.noteNames(this.#paths, ...(ino === other.ino ? [] : [ino, other.ino]))
      return
    }
    const replaced = await this.#paths.stat(to).then(
      (found) => found.ino !== ino,
      () => false,
    )
    await this.#paths.rename(from, to)
    await this.expected.noteNames(this.#paths, ...(replaced ? [ino] : []))
  }

  async #write(): Promise<void> {
    const { fs } = this.#world
    const isLarge = this.#random.next() < 0.25
    const body = this.#random.bytes(1 + Math.floor(this.#random.next() * (isLarge ? 70_000 : 200)))
    const truncates = this.#random.next() < 0.3
    await this.#paths.in(this.#path(), async (parent, name) => {
      const flags = truncates ? 0o1001 : 1
      const { entry, opened } = await fs.create(CALLER, parent, name, 0o644, { flags })
      const { ino } = entry.attributes
      const isNew = !this.expected.files.has(ino)
      const { states } = this.expected.of(ino)
      if (isNew) await this.expected.noteNames(this.#paths)
      else if (truncates) states.push(Buffer.alloc(0))
      const before = this.expected.last(ino)
      const offset = Math.floor(this.#random.next() * 1.3 * before.length)
      const after = Buffer.alloc(Math.max(before.length, offset + body.length))
      before.copy(after)
      body.copy(after, offset)
      await fs.write(opened.handle, ino, offset, body)
      states.push(after)
      await fs.release(opened.handle, ino)
      fs.forget(ino, 1)
    })
  }

  async #truncate(): Promise<void> {
    await this.#paths.at(this.#path(), async (ino, { sizeBytes, mode }) => {
      if ((mode & S_IFMT) !== 0o100000) return
      const to = Math.floor(this.#random.next() * 1.5 * sizeBytes)
      await this.#world.fs.setattr(CALLER, ino, { sizeBytes: to })
      const after = Buffer.alloc(to)
      this.expected.last(ino).copy(after)
      this.expected.of(ino).states.push(after)
    })
  }

  async #punch(): Promise<void> {
    await this.#paths.at(this.#path(), async (ino, { mode }) => {
      if ((mode & S_IFMT) !== 0o100000) return
      const before = this.expected.last(ino)
      const from = Math.floor(this.#random.next() * before.length)
      const to = from + 1 + Math.floor(this.#random.next() * 1.2 * (before.length - from))
      const { handle } = await this.#world.fs.open(CALLER, ino, { flags: 1 })
      await this.#world.fs.fallocate!(handle, ino, ZERO_RANGE, from, to - from)
      const after = Buffer.alloc(Math.max(before.length, to))
      before.copy(after)
      after.fill(0, from, to)
      this.expected.of(ino).states.push(after)
      await this.#world.fs.release(handle, ino)
    })
  }

  /** Begins an fsync; what it promises counts from its answer. */
  async #fsync(): Promise<{ done: Promise<void> }> {
    const { fs } = this.#world
    const { ino, mode } = await this.#paths.stat(this.#path())
    const names = this.expected.names.length - 1
    if ((mode & S_IFMT) !== 0o100000) {
      return { done: fs.fsyncdir(ino).then(() => this.#durable(names, [])) }
    }
    const at = this.expected.of(ino).states.length - 1
    return { done: fs.fsync(0 as never, ino, false).then(() => this.#durable(names, [[ino, at]])) }
  }

  #sync(): Promise<void> {
    const names = this.expected.names.length - 1
    const files = [...this.expected.files].map(([ino, { states }]): [number, number] => [ino, states.length - 1])
    return this.#world.fs.fsyncdir(ROOT_INO).then(() => this.#durable(names, files))
  }

  #durable(names: number, files: readonly [number, number][]): void {
    const { expected } = this
    expected.durableNames = Math.max(expected.durableNames, names)
    for (const [ino, at] of files) expected.of(ino).durable = Math.max(expected.of(ino).durable, at)
  }

  #inBackground(work: Promise<void>): void {
    // What was not acknowledged promises nothing.
    this.#pending.push(work.catch(() => {}))
  }

  settled(): Promise<unknown> {
    return Promise.all(this.#pending)
  }
}

async function check(expected: Expectation, world: World, seed: number): Promise<void> {
  const paths = new Paths(world.fs)
  const found = await describe(paths)
  const candidates = expected.names
    .map((state, index) => ({ state, index }))
    .filter(({ state, index }) => index >= expected.durableNames && state.names === found)
  expect(
    candidates.length,
    `seed ${seed}: names are a prefix, no older than ${expected.durableNames}:\n${found}`,
  ).not.toBe(0)

  const contents = new Map<number, Buffer>()
  for (const line of found === '' ? [] : found.split('\n')) {
    const [path, ino, mode] = line.split(' ') as [string, string, string]
    if (!mode.startsWith('100')) continue
    const content = await paths.read(path)
    contents.set(Number(ino), content)
    expect((await paths.stat(path)).sizeBytes).toBe(content.length)
    const { states, durable } = expected.of(Number(ino))
    const isState = states.some((state, at) => at >= durable && state.equals(content))
    expect(isState, `seed ${seed}: ${path} is a prefix of its stream, no older than ${durable}`).toBe(true)
  }
  const bringsData = candidates.some(({ state }) =>
    [...state.brought].every(([ino, at]) => {
      const content = contents.get(ino)
      return content === undefined || expected.of(ino).states.some((held, index) => index >= at && held.equals(content))
    }),
  )
  expect(bringsData, `seed ${seed}: renames over names brought their data`).toBe(true)
}

async function play(seed: number): Promise<void> {
  const random = seededRandom(seed)
  const disk = await formatVolume()
  const options = {
    segmentSizeBytes: 64 * 1024,
    inlineBytesMax: 16 * 1024,
    dirtyLimitBytes: random.next() < 0.3 ? 150_000 : 64 << 20,
  }
  const store = crashing(disk, random, 30 + Math.floor(random.next() * 120))
  const wrap =
    random.next() < 0.5
      ? undefined
      : (db: World['database'], clock: World['clock']) => new FaultyDatabase(db, random, () => clock.yield())
  const world = await mount({ ...options, store, ...(wrap === undefined ? {} : { wrap: wrap as never }) })
  const run = new Run(world, random)
  await run.begin()
  for (let steps = 0; steps < 120 && (await run.step()); steps++);
  store.crash()
  await run.settled()
  await world.abandon()

  const recovered = await mount({ ...options, store: disk })
  await check(run.expected, recovered, seed)
  await recovered.fs.orphansEmptied()
  await checkConsistency(recovered.database)
  await recovered.unmount()
  const again = await mount({ ...options, store: disk })
  await check(run.expected, again, seed)
  await checkConsistency(again.database)
  await again.unmount()
}

test(`after a crash names and files are prefixes of what was done (${SEEDS} worlds)`, async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) await play(seed)
}, 600_000)
