// Quotas after any sequence of operations, pages missing at random, and crashes: rows and what is shown are what a recount
// gives, no limit is passed, what is refused leaves nothing, and a tree takes what du(1) finds in it.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ORPHANS, SHARED } from '../../src/meta/index.ts'
import { FsError, seededRandom } from '../../src/platform/index.ts'
import { type Handle, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { FaultyDatabase } from '../meta/faulty-database.ts'
import { checkConsistency } from './consistency.ts'
import { expectExact } from './quota-recount.ts'
import { CALLER, type MountOptions, mount, Paths, type World } from './world.ts'

interface Real {
  world: World
  paths: Paths
  open: { ino: Ino; handle: Handle }[]
  readonly remount: (clean: boolean) => Promise<void>
}

interface Step {
  name: string
  run: (real: Real) => Promise<unknown>
  /** What it was to do may have been done in part. */
  isMany?: boolean
}

/** Few, so that operations meet. */
const DIRECTORIES = ['/a', '/b', '/a/b', '/a/b/c', '/b/a', '/a/c']
const FILES = ['/c', '/d', '/a/a', '/a/d', '/a/b/b', '/a/b/d', '/a/b/c/a', '/b/c', '/b/a/d', '/b/a/c']
const directory = fc.constantFrom(...DIRECTORIES)
const file = fc.constantFrom(...FILES)
const path = fc.oneof({ weight: 3, arbitrary: file }, directory)
const size = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) }, fc.integer({ min: 0, max: 90_000 }))
const someLimit = fc.option(fc.integer({ min: 0, max: 20_000 }), { nil: null })
const fewLimit = fc.option(fc.integer({ min: 1, max: 12 }), { nil: null })
const id = fc.constantFrom(1000, 1001, 1002)

const subjectIn = (kind: 'tree' | 'uid' | 'gid' | 'volume', at: string, number: number) => {
  const use = <T>({ paths }: Real, then: (subject: Parameters<World['fs']['quotas']['get']>[0]) => T) =>
    kind === 'tree'
      ? paths.at(at, (ino) => then({ kind, ino }))
      : Promise.resolve(then(kind === 'volume' ? { kind } : { kind, id: number }))
  return { name: kind === 'tree' ? `tree ${at}` : `${kind} ${number}`, use }
}
const subject = fc
  .tuple(
    fc.constantFrom('tree', 'tree', 'tree', 'uid', 'gid', 'volume'),
    fc.oneof({ weight: 6, arbitrary: directory }, fc.constant('/')),
    id,
  )
  .map(([kind, at, number]) => subjectIn(kind as 'tree', at, number))

const change: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: directory.map((at) => ({ name: `mkdir ${at}`, run: ({ paths }: Real) => paths.mkdir(at) })) },
  {
    weight: 6,
    arbitrary: fc.tuple(file, size, size, fc.boolean()).map(([at, length, offset, truncate]) => ({
      name: `write ${at} ${length}@${offset} ${truncate ? 'truncating' : ''}`,
      // The opening may empty it before the write is refused.
      isMany: true,
      run: ({ paths }: Real) => paths.write(at, Buffer.alloc(length, 1), { at: offset, flags: truncate ? 0o1001 : 1 }),
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(path, size).map(([at, length]) => ({
      name: `open, unlink ${at}, write ${length}`,
      isMany: true,
      run: async ({ paths, world, open }: Real) => {
        await paths.in(at, async (parent, name) => {
          const { entry, opened } = await world.fs.create(CALLER, parent, name, 0o644, { flags: 2 })
          const { ino } = entry.attributes
          open.push({ ino, handle: opened.handle })
          world.fs.forget(ino, 1)
          await world.fs.unlink(CALLER, parent, name)
          await world.fs.write(opened.handle, ino, 0, Buffer.alloc(length, 2))
        })
      },
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(directory, id, size, path, fc.boolean()).map(([at, uid, length, to, isLinked]) => ({
      name: `file of ${uid} without a name in ${at}, write ${length}${isLinked ? `, link to ${to}` : ''}`,
      isMany: true,
      run: async ({ paths, world, open }: Real) => {
        await paths.at(at, async (parent) => {
          const { entry, opened } = await world.fs.tmpfile!(CALLER, parent, 0o644, { flags: 2 })
          const { ino } = entry.attributes
          open.push({ ino, handle: opened.handle })
          try {
            await world.fs.setattr(CALLER, ino, { uid })
            await world.fs.write(opened.handle, ino, 0, Buffer.alloc(length, 3))
            if (!isLinked) return
            await paths.in(to, (directory, name) => world.fs.link(CALLER, ino, directory, name))
            world.fs.forget(ino, 1)
          } finally {
            world.fs.forget(ino, 1)
          }
        })
      },
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(file, size, size, fc.constantFrom(0, 1, 3, 16, 17)).map(([at, offset, length, mode]) => ({
      name: `fallocate ${at} ${mode} ${length}@${offset}`,
      run: ({ paths, world }: Real) =>
        paths.at(at, async (ino) => {
          const { handle } = await world.fs.open(CALLER, ino, { flags: 2 })
          try {
            await world.fs.fallocate!(handle, ino, mode, offset, length + 1)
          } finally {
            await world.fs.release(handle, ino)
          }
        }),
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, path, fc.constantFrom(2, 4)).map(([from, to, flags]) => ({
      name: `${flags === 2 ? 'exchange' : 'rename with a whiteout'} ${from} ${to}`,
      run: ({ paths }: Real) => paths.rename(from, to, flags),
    })),
  },
  {
    weight: 2,
    arbitrary: fc.constant<Step>({
      name: 'close',
      run: async ({ world, open }) => {
        const file = open.shift()
        if (file !== undefined) await world.fs.release(file.handle, file.ino)
      },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(path, path, size, size).map(([from, to, at, length]) => ({
      name: `copy ${length} of ${from} to ${to}@${at}`,
      run: ({ paths }: Real) => paths.copy(from, to, { to: at, lengthBytes: length }),
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(path, size).map(([at, length]) => ({
      name: `truncate ${at} ${length}`,
      run: ({ paths }: Real) => paths.truncate(at, length),
    })),
  },
  {
    weight: 1,
    arbitrary: path.map((at) => ({ name: `symlink ${at}`, run: ({ paths }: Real) => paths.symlink(at, 'there') })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(path, path).map(([from, to]) => ({
      name: `link ${from} ${to}`,
      run: ({ paths }: Real) => paths.link(from, to),
    })),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(path, path).map(([from, to]) => ({
      name: `rename ${from} ${to}`,
      run: ({ paths }: Real) => paths.rename(from, to),
    })),
  },
  { weight: 2, arbitrary: path.map((at) => ({ name: `unlink ${at}`, run: ({ paths }: Real) => paths.unlink(at) })) },
  { weight: 1, arbitrary: path.map((at) => ({ name: `rmdir ${at}`, run: ({ paths }: Real) => paths.rmdir(at) })) },
  {
    weight: 2,
    arbitrary: fc.tuple(path, id, fc.boolean()).map(([at, owner, isUid]) => ({
      name: `chown ${at} ${owner}`,
      run: ({ paths, world }: Real) =>
        paths.at(at, (ino) => world.fs.setattr(CALLER, ino, isUid ? { uid: owner } : { gid: owner })),
    })),
  },
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 40, arbitrary: change },
  {
    weight: 6,
    arbitrary: fc.tuple(subject, someLimit, fewLimit).map(([{ name, use }, bytes, inodes]) => ({
      name: `set ${name} ${bytes} ${inodes}`,
      run: (real: Real) => use(real, (each) => real.world.fs.quotas.set(each, { bytes, inodes })),
    })),
  },
  {
    weight: 2,
    arbitrary: subject.map(({ name, use }) => ({
      name: `remove ${name}`,
      run: (real: Real) => use(real, (each) => real.world.fs.quotas.remove(each)),
    })),
  },
  {
    weight: 5,
    arbitrary: fc.constant<Step>({ name: 'counted', run: ({ world }) => world.fs.quotas.counted() }),
  },
  { weight: 2, arbitrary: fc.constant<Step>({ name: 'sync', run: ({ world }) => world.fs.sync() }) },
  { weight: 1, arbitrary: fc.constant<Step>({ name: 'checkpoint', run: ({ world }) => world.fs.checkpointNow() }) },
  {
    weight: 1,
    arbitrary: fc.constant<Step>({
      name: 'check',
      run: async ({ world }) => {
        for (const { subject: of, counted, recorded } of await world.fs.quotas.check())
          expect(counted, `${JSON.stringify(of)} by check`).toEqual(recorded)
      },
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ name: 'remount', isMany: true, run: ({ remount }) => remount(true) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ name: 'crash', isMany: true, run: ({ remount }) => remount(false) }) },
  {
    weight: 6,
    arbitrary: fc.array(change, { minLength: 2, maxLength: 4 }).map(
      (steps): Step => ({
        name: `at once: ${steps.map(({ name }) => name).join('; ')}`,
        isMany: true,
        run: (real) => Promise.all(steps.map(({ run }) => outcome(() => run(real)))),
      }),
    ),
  },
)

async function outcome(operation: () => unknown): Promise<string> {
  try {
    await operation()
    return 'ok'
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
}

/** Every path with its ino and size. */
async function listing(paths: Paths): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const visit = async (at: string): Promise<void> => {
    for (const name of await paths.list(at)) {
      const child = `${at === '/' ? '' : at}/${name}`
      const { ino, sizeBytes, mode, uid, gid, nlink } = await paths.stat(child)
      found.set(child, [ino, sizeBytes, mode, uid, gid, nlink].join(' '))
      if ((mode & 0o170000) === 0o040000) await visit(child)
    }
  }
  await visit('/')
  return found
}

/** Where no file has several names, or none, a tree takes what is found in it. */
async function expectAsFound({ world, paths }: Real, when: string): Promise<void> {
  const isPlain = await world.database.run(
    () => world.database.table(SHARED).isEmpty() && world.database.table(ORPHANS).isEmpty(),
  )
  if (!isPlain) return
  const found = await listing(paths)
  for (const report of await world.fs.quotas.list()) {
    if (report.subject.kind !== 'tree' || report.isCounting) continue
    const top = report.path!.map((name) => `/${name}`).join('')
    let inodes = 1
    let bytes = 0
    for (const [at, what] of found) {
      if (!at.startsWith(`${top}/`)) continue
      const [, sizeBytes, mode] = what.split(' ').map(Number)
      inodes++
      if ((mode! & 0o170000) !== 0o040000) bytes += sizeBytes!
    }
    expect({ inodes: report.inodesUsed, bytes: report.bytesUsed }, `what is in ${top}, ${when}`).toEqual({
      inodes,
      bytes,
    })
  }
}

/** Limits that bind, and were kept so far. */
async function keptLimits({ world }: Real): Promise<Set<string>> {
  const kept = new Set<string>()
  for (const { subject: of, bytes, inodes, bytesUsed, inodesUsed, isCounting } of await world.fs.quotas.list()) {
    if (isCounting) continue
    if (bytes !== null && bytesUsed <= bytes) kept.add(`${JSON.stringify(of)} bytes ${bytes}`)
    if (inodes !== null && inodesUsed <= inodes) kept.add(`${JSON.stringify(of)} inodes ${inodes}`)
  }
  return kept
}

async function expectNotPassed({ world }: Real, kept: ReadonlySet<string>, when: string): Promise<void> {
  for (const { subject: of, bytes, inodes, bytesUsed, inodesUsed } of await world.fs.quotas.list()) {
    if (kept.has(`${JSON.stringify(of)} bytes ${bytes}`)) expect(bytesUsed, when).toBeLessThanOrEqual(bytes!)
    if (kept.has(`${JSON.stringify(of)} inodes ${inodes}`)) expect(inodesUsed, when).toBeLessThanOrEqual(inodes!)
  }
}

async function play(steps: readonly Step[], seed: number): Promise<void> {
  const random = seededRandom(seed)
  const options: MountOptions = {
    segmentSizeBytes: 128 * 1024,
    inlineBytesMax: 32 * 1024,
    shareMinBytes: random.next() < 0.5 ? 1 : 20_000,
    countingStep: 1 + Math.floor(random.next() * 4),
    wrap: (database, clock) => new FaultyDatabase(database, random, () => clock.yield()),
  }
  const world = await mount(options)
  const real: Real = {
    world,
    paths: new Paths(world.fs),
    open: [],
    remount: async (clean) => {
      if (clean) {
        for (const { ino, handle } of real.open) await real.world.fs.release(handle, ino)
        await real.world.unmount()
      } else await real.world.abandon()
      real.open = []
      real.world = await mount({ ...options, store: world.store })
      real.paths = new Paths(real.world.fs)
    },
  }
  for (const at of DIRECTORIES) await real.paths.mkdir(at)
  for (const at of FILES) await real.paths.write(at, Buffer.alloc(100 + random.next() * 100))
  for (const [index, { name, run, isMany = false }] of steps.entries()) {
    const when = `step ${index}: ${name}`
    const before = isMany ? null : await listing(real.paths)
    const kept = await keptLimits(real)
    const became = await outcome(() => run(real))
    if (before !== null && became !== 'ok') expect(await listing(real.paths), `${when} (${became})`).toEqual(before)
    await expectExact(real.world, `${when} (${became})`)
    if (name !== 'crash') await expectNotPassed(real, kept, `${when} (${became})`)
    if (index % 4 === 0) await expectAsFound(real, when)
  }
  await real.world.fs.quotas.counted()
  await expectExact(real.world, 'at the end')
  await expectAsFound(real, 'at the end')
  await real.remount(true)
  await expectExact(real.world, 'mounted again')
  await checkConsistency(real.world.database)
  await real.world.fs.getattr(ROOT_INO)
}

const shown = (plain: Step): Step => Object.assign(plain, { [fc.toStringMethod]: () => plain.name })

test('any sequence of operations leaves exact use, and no limit passed', async () => {
  const steps = fc.array(step.map(shown), { minLength: 1, maxLength: 50, size: 'max' })
  await fc.assert(fc.asyncProperty(steps, fc.nat(), play), {
    numRuns: Number(process.env.CAIRNFS_TEST_RUNS ?? 40),
    endOnFailure: process.env.CAIRNFS_TEST_NO_SHRINK === '1',
  })
}, 600_000)
