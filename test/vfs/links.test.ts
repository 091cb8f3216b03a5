// Names at their limits: as many as a file may have, as long as they may be, and those that are no names.
import { beforeEach, expect, test } from 'vitest'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  await paths.write('/f', 'text')
  await paths.mkdir('/d')
})

test('a file has 65,000 names at most, as in ext4', async () => {
  const { ino } = await paths.stat('/f')
  for (let names = 1; names < 65_000; names++) {
    await world.fs.link(CALLER, ino, ROOT_INO, bytes(`name ${names}`))
    world.fs.forget(ino, 1)
  }
  expect((await paths.stat('/f')).nlink).toBe(65_000)
  expect(await errnoOf(() => paths.link('/f', '/d/more'))).toBe('EMLINK')
  await paths.unlink('/name 7')
  expect((await paths.link('/f', '/d/more')).nlink).toBe(65_000)
  await world.fs.sync()
  await world.abandon()
  world = await mount({ store: world.store })
  expect((await new Paths(world.fs).stat('/d/more')).nlink).toBe(65_000)
})

test.each<[string, string, (p: Paths) => Promise<unknown>]>([
  ['unlink of "."', 'EISDIR', (p) => p.unlink('/d/.')],
  ['rmdir of "."', 'EINVAL', (p) => p.rmdir('/d/.')],
  ['rmdir of ".."', 'ENOTEMPTY', (p) => p.rmdir('/d/..')],
  ['rename of "."', 'EBUSY', (p) => p.rename('/d/.', '/x')],
  ['rename to ".."', 'EBUSY', (p) => p.rename('/f', '/d/..')],
  ['exchange with ".."', 'EBUSY', (p) => p.rename('/f', '/d/..', 2)],
  ['rename to "." without replacing', 'EEXIST', (p) => p.rename('/f', '/d/.', 1)],
  ['mkdir of ".."', 'EEXIST', (p) => p.mkdir('/d/..')],
  ['a name with a slash', 'EINVAL', (p) => p.in('/x', (parent) => p.fs.mkdir(CALLER, parent, bytes('a/b'), 0o755))],
  ['a name with a NUL', 'EINVAL', (p) => p.in('/x', (parent) => p.fs.mkdir(CALLER, parent, bytes('a\0b'), 0o755))],
  ['a new name that is too long', 'ENAMETOOLONG', (p) => p.link('/f', `/${'x'.repeat(256)}`)],
  ['a long name in a file', 'ENOTDIR', (p) => p.stat(`/f/${'x'.repeat(256)}`)],
  ['a long target', 'ENAMETOOLONG', (p) => p.symlink('/x', 'x'.repeat(4096))],
  ['an empty target', 'ENOENT', (p) => p.symlink('/x', '')],
])('%s gives %s', async (_what, errno, operation) => {
  expect(await errnoOf(() => operation(paths))).toBe(errno)
})
