// The first things anyone does with a filesystem, before and after they are recorded, and after a remount.
import { expect, test } from 'vitest'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { mount, Paths } from './world.ts'

test('what was created, written, renamed and unlinked is there after an unmount and a mount', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.write('/d/a', 'hello')
  await paths.write('/d/b', 'gone')
  await paths.symlink('/d/s', 'a')
  expect(await paths.text('/d/a')).toBe('hello')
  await paths.rename('/d/a', '/d/c')
  await paths.unlink('/d/b')
  expect((await paths.list('/d')).sort()).toEqual(['c', 's'])
  await world.fs.sync()
  expect(await paths.text('/d/c')).toBe('hello')
  await paths.write('/d/c', ', world', { at: 5, flags: 1 })
  expect(await paths.text('/d/c')).toBe('hello, world')
  await world.unmount()

  const again = await mount({ store: world.store })
  const later = new Paths(again.fs)
  expect((await later.list('/d')).sort()).toEqual(['c', 's'])
  expect(await later.text('/d/c')).toBe('hello, world')
  expect((await later.stat('/d/c')).sizeBytes).toBe(12)
  expect((await later.stat('/')).nlink).toBe(3)
  await again.unmount()
})

test('an fsync of a small file costs one PUT', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/warm', 'x', { fsync: true })
  const before = world.database.closedSeq
  await paths.write('/f', Buffer.alloc(4096, 7), { fsync: true })
  expect(world.database.closedSeq).toBe(before + 1)
  expect((await world.store.list('segments/')).objects.length).toBe(0)
  const crashed = await mount({ store: world.store })
  expect(await new Paths(crashed.fs).read('/f')).toEqual(Buffer.alloc(4096, 7))
})

test('statfs counts what files hold, durable or not', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  const used = async () => {
    const { totalBytes, freeBytes } = await world.fs.statfs(ROOT_INO)
    return totalBytes - freeBytes
  }
  expect(await used()).toBe(0)
  await paths.write('/a', Buffer.alloc(100_000, 1))
  expect(await used()).toBe(100_000)
  await world.fs.sync()
  expect(await used()).toBe(100_000)
  await paths.unlink('/a')
  // The references that lookups took go with the mount.
  await world.unmount()
  const again = await mount({ store: world.store })
  const { totalBytes, freeBytes } = await again.fs.statfs(ROOT_INO)
  expect(totalBytes - freeBytes).toBe(0)
})
