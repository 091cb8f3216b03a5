// Writes that a kernel held back (WRITEBACK_CACHE): it says itself when they were, and nobody is refused what he was let do.
import { expect, test } from 'vitest'
import { encodeQuota, QUOTA_TREE } from '../../src/meta/index.ts'
import { type Caller, ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
const LATE = { isLate: true }

async function withFile(): Promise<{
  world: World
  write: (text: string, how?: typeof LATE) => Promise<number>
  ino: never
}> {
  const world = await mount()
  const { entry, opened } = await world.fs.create(CALLER, ROOT_INO, bytes('f'), 0o644, { flags: 2 })
  const ino = entry.attributes.ino as never
  return { world, ino, write: async (text, how) => world.fs.write(opened.handle, ino, 0, bytes(text), how) }
}

test('they leave the times, whether or not something of the file is unrecorded', async () => {
  const { world, write, ino } = await withFile()
  const mtime = { sec: 1_000_000_000, nsec: 7 }
  await write('text')
  for (let round = 0; round < 2; round++) {
    await world.fs.setattr(CALLER, ino, { mtime, ctime: mtime })
    await write('late', LATE)
    expect((await world.fs.getattr(ino)).attributes.mtime).toEqual(mtime)
    await world.fs.sync()
  }
  await write('late', LATE)
  await world.unmount()
  const paths = new Paths((await mount({ store: world.store })).fs)
  expect(await paths.text('/f')).toBe('late')
  expect((await paths.stat('/f')).mtime).toEqual(mtime)
})

test('they and their times reach a file that became immutable, or append-only, since', async () => {
  const { world, write, ino } = await withFile()
  const time = { sec: 1_000_000_000, nsec: 7 }
  for (const flags of [0x10, 0x20]) {
    await world.fs.setFlags!(ROOT, ino, flags)
    expect(await errnoOf(() => write('late', LATE))).toBe('none')
    expect(await errnoOf(() => world.fs.setattr(CALLER, ino, { mtime: time, ctime: time }))).toBe('none')
    expect(await errnoOf(() => world.fs.setattr(CALLER, ino, { atime: time, mtime: time, ctime: time }))).toBe('EPERM')
    expect(await errnoOf(() => world.fs.setattr(CALLER, ino, { mode: 0o600, ctime: time }))).toBe('EPERM')
  }
})

test('a volume with a limit is not mounted so; with one that was removed it is', async () => {
  const { world } = await withFile()
  const limit = {
    isCounting: false,
    isRemoved: false,
    bytesLimit: 1 << 20,
    inodesLimit: null,
    bytesUsed: 0,
    inodesUsed: 2,
    parentRealm: 0,
    directory: 0,
    countedBelow: 0,
  }
  const put = async (of: World, isRemoved: boolean) => {
    const transaction = of.database.transaction()
    transaction.put(QUOTA_TREE, 0, ROOT_INO, encodeQuota({ ...limit, isRemoved }))
    of.database.apply(transaction)
    await of.fs.sync()
    await of.abandon()
  }
  await put(world, false)
  const { store } = world
  await expect(mount({ store, kernelWritesBack: true })).rejects.toThrow(/quotas.*without -o writeback/)
  await put(await mount({ store }), true)
  await (await mount({ store, kernelWritesBack: true })).unmount()
})
