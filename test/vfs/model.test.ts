// The filesystem against plain objects: names, bytes, link counts, modes and times after any sequence of operations,
// with pages missing at random, recorded or not, before and after checkpoints and remounts.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { CASEFOLD_FLAG, isRegular, S_IFMT } from '../../src/meta/index.ts'
import { FsError, seededRandom } from '../../src/platform/index.ts'
import { FaultyDatabase } from '../meta/faulty-database.ts'
import { checkConsistency, checkSharers } from './consistency.ts'
import { Model, ModelError, type ModelFile } from './model.ts'
import { CALLER, type MountOptions, mount, Paths, type World } from './world.ts'

interface Real {
  world: World
  paths: Paths
  readonly remount: (clean: boolean) => Promise<void>
}

interface Step {
  name: string
  model: (model: Model) => void
  real: (real: Real) => Promise<unknown>
}

const NAMES = ['a', 'b', 'c', 'dir', 'n'.repeat(256)]
/** Spellings of few names: by themselves four, folded three. */
const SPELLINGS = ['a', 'A', 'Straße', 'STRASSE', 'strasse', 'dir', 'Dir', 'Å', 'a\u030a', 'n'.repeat(256)]
const pathOf = (names: readonly string[]) =>
  fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`)
/** Mostly a few bytes, sometimes more than rides in a commit of these worlds. */
const data = fc
  .record({
    length: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 300 }) }, fc.integer({ min: 0, max: 90_000 })),
    seed: fc.nat(255),
  })
  .map(({ length, seed }) => Buffer.from(Array.from({ length }, (_, at) => (seed + at * 7) & 255)))
const size = fc.oneof(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 150_000 }))

const stepOver = (path: fc.Arbitrary<string>): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 2, arbitrary: path.map((at): Step => mkdirStep(at)) },
    {
      weight: 5,
      arbitrary: fc.tuple(path, data, size, fc.boolean()).map(
        ([at, body, offset, truncate]): Step => ({
          name: `write ${at} ${body.length}@${offset} ${truncate ? 'truncating' : ''}`,
          model: (model) => model.write(at, body, offset, truncate ? 0o1000 : 0),
          real: ({ paths }) => paths.write(at, body, { at: offset, flags: truncate ? 0o1001 : 1 }),
        }),
      ),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(path, path, size, size, size).map(
        ([from, into, at, to, lengthBytes]): Step => ({
          name: `copy ${lengthBytes}@${at} of ${from} to ${into}@${to}`,
          model: (model) => model.copy(from, into, { at, to, lengthBytes }),
          real: ({ paths }) => paths.copy(from, into, { at, to, lengthBytes }),
        }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(path, size).map(
        ([at, sizeBytes]): Step => ({
          name: `truncate ${at} ${sizeBytes}`,
          model: (model) => model.truncate(at, sizeBytes),
          real: ({ paths }) => paths.truncate(at, sizeBytes),
        }),
      ),
    },
    {
      weight: 4,
      arbitrary: fc.tuple(path, path, fc.constantFrom(0, 0, 0, 1, 2, 2, 4, 5)).map(
        ([from, to, flags]): Step => ({
          name: `rename ${from} ${to} ${flags}`,
          model: (model) => model.rename(from, to, flags),
          real: ({ paths }) => paths.rename(from, to, flags),
        }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(path, path).map(
        ([from, to]): Step => ({
          name: `link ${from} ${to}`,
          model: (model) => model.link(from, to),
          real: ({ paths }) => paths.link(from, to),
        }),
      ),
    },
    {
      weight: 2,
      arbitrary: path.map(
        (at): Step => ({
          name: `unlink ${at}`,
          model: (model) => model.unlink(at),
          real: ({ paths }) => paths.unlink(at),
        }),
      ),
    },
    path.map(
      (at): Step => ({
        name: `rmdir ${at}`,
        model: (model) => model.rmdir(at),
        real: ({ paths }) => paths.rmdir(at),
      }),
    ),
    path.map(
      (at): Step => ({
        name: `symlink ${at}`,
        model: (model) => model.make(at, 'symlink', 0o777, 'there'),
        real: ({ paths }) => paths.symlink(at, 'there'),
      }),
    ),
    fc.tuple(path, fc.integer({ min: 0, max: 0o777 })).map(
      ([at, mode]): Step => ({
        name: `chmod ${at} ${mode}`,
        model: (model) => model.chmod(at, mode),
        real: ({ paths }) => paths.at(at, (ino) => paths.fs.setattr(CALLER, ino, { mode })),
      }),
    ),
    fc.tuple(path, fc.integer({ min: -5, max: 1000 })).map(
      ([at, sec]): Step => ({
        name: `utimens ${at} ${sec}`,
        model: (model) => model.setMtime(at, sec),
        real: ({ paths }) => paths.at(at, (ino) => paths.fs.setattr(CALLER, ino, { mtime: { sec, nsec: 0 } })),
      }),
    ),
    path.map(
      (at): Step => ({
        name: `fsync ${at}`,
        model: (model) => model.at(at),
        real: ({ paths }) =>
          paths.at(at, async (ino, { mode }) => {
            if (!isRegular(mode)) return paths.fs.fsyncdir(ino)
            const { handle } = await paths.fs.open(CALLER, ino, { flags: 0 })
            await paths.fs.fsync(handle, ino, false)
            await paths.fs.release(handle, ino)
          }),
      }),
    ),
    fc.constant<Step>({ name: 'sync', model: () => {}, real: ({ world }) => world.fs.sync() }),
    fc.constant<Step>({
      name: 'commit interval',
      model: () => {},
      real: async ({ world }) => {
        await world.clock.advance(5_000)
      },
    }),
    fc.constant<Step>({
      name: 'clean',
      model: () => {},
      real: ({ world }) => world.fs.clean({ graceMs: 0, isHurried: true }),
    }),
    fc.constant<Step>({ name: 'checkpoint', model: () => {}, real: ({ world }) => world.fs.checkpointNow() }),
    fc.constant<Step>({ name: 'remount', model: () => {}, real: ({ remount }) => remount(true) }),
    fc.constant<Step>({
      name: 'sync, crash, mount',
      model: () => {},
      real: async ({ world, remount }) => {
        await world.fs.sync()
        await remount(false)
      },
    }),
  )

const foldStep = fc.tuple(pathOf(SPELLINGS), fc.boolean()).map(
  ([at, folds]): Step => ({
    name: `chattr ${folds ? '+F' : '-F'} ${at}`,
    model: (model) => model.fold(at, folds),
    real: ({ paths }) => paths.at(at, (ino) => paths.fs.setFlags!(CALLER, ino, folds ? CASEFOLD_FLAG : 0)),
  }),
)

/** Counterexamples list the steps by name. */
function shown(plain: Step): Step {
  return Object.assign(plain, { [fc.toStringMethod]: () => plain.name.replace(/n{256}/g, 'n*256') })
}

function mkdirStep(at: string): Step {
  return {
    name: `mkdir ${at}`,
    model: (model) => model.make(at, 'directory', 0o755),
    real: ({ paths }) => paths.mkdir(at),
  }
}

async function outcome(operation: () => unknown): Promise<string> {
  try {
    await operation()
    return 'ok'
  } catch (error) {
    if (error instanceof FsError || error instanceof ModelError) return error.code
    throw error
  }
}

async function compare(model: Model, paths: Paths): Promise<void> {
  for (const [at, file] of model.walk()) await compareFile(at, file, paths)
}

async function compareFile(at: string, file: ModelFile, paths: Paths): Promise<void> {
  const found = await paths.stat(at)
  const types = { file: 0o100000, directory: 0o040000, symlink: 0o120000, device: 0o020000 }
  expect({
    type: found.mode & S_IFMT,
    mode: found.mode & 0o7777,
    nlink: found.nlink,
    mtime: found.mtime.sec,
    ctime: found.ctime.sec,
  }).toEqual({ type: types[file.type], mode: file.mode, nlink: file.nlink, mtime: file.mtime, ctime: file.ctime })
  if (file.type === 'file') {
    expect(found.sizeBytes).toBe(file.data.length)
    expect((await paths.read(at)).equals(file.data), `the bytes of ${at}`).toBe(true)
  } else if (file.type === 'directory') {
    for (const plus of [false, true])
      expect((await paths.list(at, 2, plus)).sort()).toEqual(file.children.spellings().sort())
  }
}

async function play(steps: readonly Step[], seed: number, casefold = false): Promise<void> {
  const random = seededRandom(seed)
  let faulty: FaultyDatabase | null = null
  const options: MountOptions = {
    casefold,
    segmentSizeBytes: 128 * 1024,
    inlineBytesMax: 64 * 1024,
    shareMinBytes: random.next() < 0.5 ? 1 : 20_000,
    wrap: (database, clock) => {
      faulty = new FaultyDatabase(database, random, () => clock.yield())
      return faulty
    },
  }
  let world = await mount(options)
  const model = new Model()
  model.root.children.folds = casefold
  const real: Real = {
    world,
    paths: new Paths(world.fs),
    remount: async (clean) => {
      if (clean) await world.unmount()
      else await world.abandon()
      world = await mount({ ...options, store: world.store })
      world.clock.fixedSec = model.now
      real.world = world
      real.paths = new Paths(world.fs)
    },
  }
  model.root.mtime = model.root.ctime = (await real.paths.stat('/')).mtime.sec
  for (const [index, { name: what, model: inModel, real: inReal }] of steps.entries()) {
    model.now = index + 1
    world.clock.fixedSec = index + 1
    const expected = await outcome(() => inModel(model))
    expect(await outcome(() => inReal(real)), `step ${index}: ${what}`).toBe(expected)
    if (index % 5 === 0) await compare(model, real.paths)
  }
  await compare(model, real.paths)
  await real.remount(true)
  await compare(model, real.paths)
  await checkConsistency(world.database)
  await checkSharers(world.database, world.segments)
  expect(faulty).not.toBeNull()
}

const runs = {
  numRuns: Number(process.env.CAIRNFS_TEST_RUNS ?? 150),
  endOnFailure: process.env.CAIRNFS_TEST_NO_SHRINK === '1',
}
const sequence = (step: fc.Arbitrary<Step>) => fc.array(step.map(shown), { minLength: 1, maxLength: 60, size: 'max' })

test('any sequence of operations leaves what a plain model has', async () => {
  await fc.assert(
    fc.asyncProperty(sequence(stepOver(pathOf(NAMES))), fc.nat(), (steps, seed) => play(steps, seed)),
    runs,
  )
}, 600_000)

test('and where names fold', async () => {
  const step = fc.oneof({ weight: 9, arbitrary: stepOver(pathOf(SPELLINGS)) }, foldStep)
  await fc.assert(fc.asyncProperty(sequence(step), fc.nat(), fc.boolean(), play), runs)
}, 600_000)
