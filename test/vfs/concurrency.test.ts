// Operations that overlap because their pages are missing: each is one turn, so one of those that exclude each other wins.
import { expect, test } from 'vitest'
import { USAGE } from '../../src/meta/index.ts'
import { seededRandom } from '../../src/platform/index.ts'
import { PageFault, type TableKind } from '../../src/tables/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { FaultyDatabase } from '../meta/faulty-database.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths } from './world.ts'

async function faultyWorld(seed: number) {
  const random = seededRandom(seed)
  return mount({ wrap: (database, clock) => new FaultyDatabase(database, random, () => clock.yield()) })
}

test.each([1, 2, 3, 4, 5])('of many that make one name, one succeeds (seed %i)', async (seed) => {
  const { fs, database } = await faultyWorld(seed)
  const outcomes = await Promise.all(
    Array.from({ length: 30 }, () => errnoOf(() => fs.create(CALLER, ROOT_INO, bytes('f'), 0o644, { flags: 0o301 }))),
  )
  expect(outcomes.filter((outcome) => outcome === 'none').length).toBe(1)
  expect(outcomes.filter((outcome) => outcome === 'EEXIST').length).toBe(29)
  await checkConsistency(database)
})

test.each([1, 2, 3, 4, 5])('renames, links and removals that overlap leave whole tables (seed %i)', async (seed) => {
  const world = await faultyWorld(seed)
  const { fs, database } = world
  const paths = new Paths(fs)
  const random = seededRandom(seed)
  for (const name of ['a', 'b', 'c', 'd']) await paths.write(`/${name}`, name)
  await paths.mkdir('/e')
  await paths.mkdir('/f')
  const pick = () =>
    ['/a', '/b', '/c', '/d', '/e', '/f', '/e/a', '/e/g', '/f/g'][Math.floor(random.next() * 9)] as string
  const operations = Array.from({ length: 300 }, () => {
    const dice = random.next()
    const from = pick()
    const to = pick()
    if (dice < 0.5) return () => paths.rename(from, to)
    if (dice < 0.6) return () => paths.link(from, to)
    if (dice < 0.7) return () => paths.unlink(from)
    if (dice < 0.75) return () => paths.rmdir(from)
    if (dice < 0.8) return () => paths.mkdir(from)
    if (dice < 0.95) return () => paths.write(from, to)
    return () => fs.sync()
  })
  for (let at = 0; at < operations.length; at += 10) {
    await Promise.all(operations.slice(at, at + 10).map(errnoOf))
  }
  await fs.orphansEmptied()
  await checkConsistency(database)
  await world.unmount()
  await checkConsistency((await mount({ store: world.store })).database)
})

test('fsyncs that overlap share commits', async () => {
  const { fs, database } = await mount()
  const paths = new Paths(fs)
  const files = Array.from({ length: 50 }, (_, at) => `/f${at}`)
  for (const file of files) await paths.write(file, file)
  const before = database.closedSeq
  await Promise.all(files.map((file) => paths.at(file, (ino) => fs.fsync(0 as never, ino, false))))
  expect(database.closedSeq - before).toBeLessThanOrEqual(2)
})

test('a write and a rename over a name, while the closing turn of a commit waits for a page, are in it whole', async () => {
  let fault: (() => Promise<void>) | null = null
  const world = await mount({
    wrap: (database) =>
      new Proxy(database, {
        get(target, property) {
          if (property === 'table') {
            return (kind: TableKind, owner?: number) => {
              const load = fault
              if (kind === USAGE && load !== null) {
                fault = null
                throw new PageFault(load)
              }
              return target.table(kind, owner)
            }
          }
          const member = Reflect.get(target, property, target) as unknown
          return typeof member === 'function' ? member.bind(target) : member
        },
      }),
  })
  const { fs } = world
  const paths = new Paths(fs)
  await paths.write('/target', 'old')
  await paths.write('/source', 'first')
  await fs.sync()
  await paths.write('/source', 'second', { flags: 1 })
  let arrived = () => {}
  fault = () => new Promise((resolve) => (arrived = resolve))
  const synced = paths.at('/source', (ino) => fs.fsync(0 as never, ino, false))
  await world.clock.yield()
  expect(fault).toBeNull()
  await paths.write('/source', 'third!', { flags: 1 })
  await paths.rename('/source', '/target')
  arrived()
  await synced
  await world.abandon()
  const after = new Paths((await mount({ store: world.store })).fs)
  expect(await after.list('/')).toEqual(['target'])
  expect(await after.text('/target')).toBe('third!')
})
