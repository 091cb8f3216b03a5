// rename with RENAME_EXCHANGE and RENAME_WHITEOUT, one promise a test. (model.test.ts compares any sequence of them.)
import { beforeEach, expect, test } from 'vitest'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const EXCHANGE = 2
const WHITEOUT = 4

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.mkdir('/d/sub')
  await paths.write('/d/sub/deep', 'deep')
  await paths.write('/file', 'file')
  await paths.symlink('/d/symlink', 'to')
})

async function remounted(): Promise<Paths> {
  await world.fs.sync()
  await world.abandon()
  world = await mount({ store: world.store })
  await checkConsistency(world.database)
  return new Paths(world.fs)
}

test('exchanges a file and a directory of two directories', async () => {
  const before = [await paths.stat('/file'), await paths.stat('/d/sub')]
  await paths.rename('/file', '/d/sub', EXCHANGE)
  for (const seen of [paths, await remounted()]) {
    expect((await seen.stat('/d/sub')).ino).toBe(before[0]!.ino)
    expect((await seen.stat('/file')).ino).toBe(before[1]!.ino)
    expect([await seen.text('/d/sub'), await seen.text('/file/deep')]).toEqual(['file', 'deep'])
    expect([(await seen.stat('/')).nlink, (await seen.stat('/d')).nlink]).toEqual([4, 2])
    // ".." of what moved.
    const up = await seen.at('/file', (ino) => world.fs.lookup(CALLER, ino, bytes('..')))
    expect(up.attributes.ino).toBe(ROOT_INO)
  }
})

test('exchanges names of hard links, and files that are open, which stay what they are', async () => {
  await paths.link('/file', '/d/link')
  const { entry, opened } = await world.fs.create(CALLER, ROOT_INO, bytes('open'), 0o644, { flags: 2 })
  const { ino } = entry.attributes
  await world.fs.write(opened.handle, ino, 0, bytes('open'))
  await paths.rename('/d/link', '/open', EXCHANGE)
  await world.fs.write(opened.handle, ino, 4, bytes('!'))
  expect([await paths.text('/d/link'), await paths.text('/open'), await paths.text('/file')]).toEqual([
    'open!',
    'file',
    'file',
  ])
  await paths.rename('/open', '/file', EXCHANGE)
  expect((await paths.stat('/file')).nlink).toBe(2)
  await remounted()
})

test('refuses loops, names that are not there, and other flags with it', async () => {
  const cases: [string, string, number, string][] = [
    ['/d', '/d/sub', EXCHANGE, 'EINVAL'],
    ['/d/sub', '/d', EXCHANGE, 'EINVAL'],
    ['/d', '/d/sub/deep', EXCHANGE, 'EINVAL'],
    ['/file', '/none', EXCHANGE, 'ENOENT'],
    ['/none', '/file', EXCHANGE, 'ENOENT'],
    ['/file', '/d', EXCHANGE | 1, 'EINVAL'],
    ['/file', '/d', EXCHANGE | WHITEOUT, 'EINVAL'],
    ['/file', '/d', 8, 'EINVAL'],
    ['/file', '/file', EXCHANGE, 'none'],
  ]
  for (const [from, to, flags, errno] of cases)
    expect(await errnoOf(() => paths.rename(from, to, flags)), `${from} ${to} ${flags}`).toBe(errno)
})

test('both files of an exchange bring what was written to them', async () => {
  await world.fs.sync()
  await paths.write('/file', 'what the one held', { flags: 1 })
  await paths.write('/other', 'what the other held')
  await paths.rename('/file', '/other', EXCHANGE)
  // All names so far, and no stream that nothing asks for.
  await paths.at('/d', (ino) => world.fs.fsyncdir(ino))
  await world.abandon()
  const next = await mount({ store: world.store })
  const seen = new Paths(next.fs)
  expect([await seen.text('/other'), await seen.text('/file')]).toEqual(['what the one held', 'what the other held'])
})

test('where names fold, those that lead elsewhere now are told to be forgotten', async () => {
  const told: string[] = []
  const folding = await mount({ casefold: true, onNameGone: (parent, name) => void told.push(`${parent} ${name}`) })
  const folded = new Paths(folding.fs)
  await folded.write('/One', 'one')
  await folded.mkdir('/dir')
  await folded.write('/dir/Two', 'two')
  await folded.rename('/ONE', '/dir/two', EXCHANGE)
  expect([await folded.text('/one'), await folded.text('/dir/TWO')]).toEqual(['two', 'one'])
  expect([(await folded.list('/')).sort(), await folded.list('/dir')]).toEqual([['One', 'dir'], ['Two']])
  expect(told.map((line) => line.split(' ')[1])).toEqual(['One', 'Two'])
  await folded.rename('/one', '/ONE', EXCHANGE)
  await checkConsistency(folding.database)
})

test('a whiteout stands in place of what was renamed', async () => {
  const { ino } = await paths.stat('/file')
  await paths.rename('/file', '/d/moved', WHITEOUT)
  await paths.rename('/d/sub', '/moved', WHITEOUT)
  for (const seen of [paths, await remounted()]) {
    expect(await seen.stat('/d/moved')).toMatchObject({ ino })
    for (const whiteout of ['/file', '/d/sub'])
      expect(await seen.stat(whiteout)).toMatchObject({ mode: 0o020000, rdev: 0, nlink: 1, uid: CALLER.uid })
    expect([(await seen.stat('/')).nlink, (await seen.stat('/d')).nlink]).toEqual([4, 2])
    expect(await seen.text('/moved/deep')).toBe('deep')
  }
})
