// Quotas, and what is in memory alone: files made without a name, and directories that were removed.
import { expect, test } from 'vitest'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { expectExact } from './quota-recount.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

async function limitTree(world: World, path: string, inodes: number): Promise<Ino> {
  const { ino } = await new Paths(world.fs).stat(path)
  await world.fs.quotas.set({ kind: 'tree', ino }, { inodes })
  await world.fs.quotas.counted()
  return ino
}

async function tmpfile(world: World, directory: Ino) {
  const { entry, opened } = await world.fs.tmpfile!(CALLER, directory, 0o644, { flags: 2 })
  return { ino: entry.attributes.ino, handle: opened.handle }
}

test('what is in memory alone changes its owner without counting', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  for (const id of [CALLER.uid, 7]) await world.fs.quotas.set({ kind: 'uid', id }, {})
  await world.fs.quotas.counted()
  const file = await tmpfile(world, ROOT_INO)
  await world.fs.setattr(CALLER, file.ino, { uid: 7 })
  await expectExact(world, 'a file')
  await world.fs.write(file.handle, file.ino, 0, bytes('abc'))
  await expectExact(world, 'a file that got bytes')
  await paths.mkdir('/d')
  await paths.at('/d', async (ino) => {
    await paths.rmdir('/d')
    await world.fs.setattr(CALLER, ino, { uid: 7 })
    await expectExact(world, 'a directory')
  })
})

test('a file in memory alone that must not become more stays what it is', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  const directory = await limitTree(world, '/d', 1)
  const { ino, handle } = await tmpfile(world, directory)
  const { attributes } = await world.fs.getattr(ino)
  const refused: [string, () => unknown][] = [
    ['write', () => world.fs.write(handle, ino, 0, bytes('abc'))],
    ['truncate', () => world.fs.setattr(CALLER, ino, { sizeBytes: 3 })],
    ['fallocate', () => world.fs.fallocate!(handle, ino, 0, 0, 3)],
    ['utimensat', () => world.fs.setattr(CALLER, ino, { mtime: { sec: 1, nsec: 0 } })],
    ['setxattr', () => world.fs.setxattr!(CALLER, ino, { name: bytes('user.a'), value: Buffer.alloc(5000), flags: 0 })],
    ['link', () => world.fs.link(CALLER, ino, directory, bytes('name'))],
  ]
  for (const [what, operation] of refused) {
    expect(await errnoOf(operation), what).toBe('EDQUOT')
    expect((await world.fs.getattr(ino)).attributes, what).toEqual(attributes)
    await expectExact(world, `after ${what}`)
  }
  await world.fs.quotas.set({ kind: 'tree', ino: directory }, { inodes: 2 })
  await world.fs.write(handle, ino, 0, bytes('abc'))
  expect(await errnoOf(() => paths.write('/d/more', ''))).toBe('EDQUOT')
  await expectExact(world, 'with room')
})

test('an owner that has no room gets no file in memory alone that he could not keep', async () => {
  const world = await mount()
  await world.fs.quotas.set({ kind: 'uid', id: 7 }, { inodes: 0 })
  await world.fs.quotas.counted()
  const { ino, handle } = await tmpfile(world, ROOT_INO)
  await world.fs.setattr(CALLER, ino, { uid: 7 })
  expect(await errnoOf(() => world.fs.write(handle, ino, 0, bytes('abc')))).toBe('EDQUOT')
  expect(await errnoOf(() => world.fs.link(CALLER, ino, ROOT_INO, bytes('name')))).toBe('EDQUOT')
  expect((await world.fs.getattr(ino)).attributes).toMatchObject({ nlink: 0, uid: 7, sizeBytes: 0 })
})

test('a file that lost its name, and has a size but no bytes, does not grow past a limit', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/a', '')
  await paths.truncate('/a', 80)
  await world.fs.sync()
  await world.fs.quotas.set({ kind: 'volume' }, { bytes: 100 })
  await world.fs.quotas.counted()
  await paths.at('/a', async (ino) => {
    await paths.unlink('/a')
    expect(await errnoOf(() => world.fs.setattr(CALLER, ino, { sizeBytes: 101 }))).toBe('ENOSPC')
    await world.fs.setattr(CALLER, ino, { sizeBytes: 100 })
    expect(await world.fs.quotas.get({ kind: 'volume' })).toMatchObject({ bytesUsed: 100 })
    await expectExact(world, 'at the limit')
  })
})

test('a file that nobody has open, and that must not get a name, hinders nobody', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  const directory = await limitTree(world, '/d', 1)
  await world.fs.quotas.set({ kind: 'volume' }, { bytes: 5 })
  await world.fs.quotas.counted()
  const { ino, handle } = await tmpfile(world, ROOT_INO)
  await world.fs.write(handle, ino, 0, bytes('abc'))
  await world.fs.release(handle, ino)
  expect(await world.fs.quotas.get({ kind: 'volume' })).toMatchObject({ bytesUsed: 0 })
  expect(await errnoOf(() => world.fs.link(CALLER, ino, directory, bytes('name')))).toBe('EDQUOT')
  expect(await world.fs.quotas.get({ kind: 'volume' })).toMatchObject({ bytesUsed: 0 })
  await world.fs.link(CALLER, ino, ROOT_INO, bytes('name'))
  expect(await world.fs.quotas.get({ kind: 'volume' })).toMatchObject({ bytesUsed: 3 })
  await expectExact(world, 'named')
})
