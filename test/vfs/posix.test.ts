// POSIX behaviour, one promise a test; errors in the order in which Linux checks.
import { beforeEach, expect, test } from 'vitest'
import { ORPHANS } from '../../src/meta/index.ts'
import { systemRandom } from '../../src/platform/index.ts'
import { type Handle, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
})

/** Opens a path and keeps it open. */
async function opened(path: string, flags = 2): Promise<{ ino: Ino; handle: Handle; close: () => Promise<void> }> {
  const { ino } = await paths.stat(path)
  const cut = path.lastIndexOf('/')
  await paths.at(path.slice(0, cut), (parent) => world.fs.lookup(CALLER, parent, bytes(path.slice(cut + 1))))
  const { handle } = await world.fs.open(CALLER, ino, { flags })
  return {
    ino,
    handle,
    close: async () => {
      await world.fs.release(handle, ino)
      world.fs.forget(ino, 1)
    },
  }
}

const contentOf = async (handle: Handle, ino: Ino) =>
  Buffer.concat(await world.fs.read(handle, ino, 0, 1 << 20)).toString()

test.each<[string, string, (p: Paths) => Promise<unknown>]>([
  ['lookup in a file', 'ENOTDIR', (p) => p.stat('/file/x')],
  ['lookup of nothing', 'ENOENT', (p) => p.stat('/none')],
  ['lookup of a long name', 'ENAMETOOLONG', (p) => p.stat(`/${'x'.repeat(256)}`)],
  ['mkdir over a file', 'EEXIST', (p) => p.mkdir('/file')],
  ['mkdir in a missing directory', 'ENOENT', (p) => p.mkdir('/none/x')],
  ['mknod of a directory', 'EINVAL', (p) => p.mknod('/x', 0o040755)],
  ['unlink of a directory', 'EISDIR', (p) => p.unlink('/dir')],
  ['unlink of nothing', 'ENOENT', (p) => p.unlink('/none')],
  ['rmdir of a file', 'ENOTDIR', (p) => p.rmdir('/file')],
  ['rmdir of a full directory', 'ENOTEMPTY', (p) => p.rmdir('/full')],
  ['link of a directory', 'EPERM', (p) => p.link('/dir', '/x')],
  ['link of a directory onto a name', 'EEXIST', (p) => p.link('/dir', '/file')],
  ['link onto a name', 'EEXIST', (p) => p.link('/file', '/dir')],
  ['truncate of a directory', 'EISDIR', (p) => p.truncate('/dir', 0)],
  ['truncate of a symlink', 'EINVAL', (p) => p.truncate('/symlink', 0)],
  ['readlink of a file', 'EINVAL', (p) => p.at('/file', (ino) => p.fs.readlink(ino))],
  ['open of a directory for writing', 'EISDIR', (p) => p.at('/dir', (ino) => p.fs.open(CALLER, ino, { flags: 1 }))],
  ['O_EXCL on what is there', 'EEXIST', (p) => p.write('/file', '', { flags: 0o301 })],
  ['O_CREAT on a directory', 'EISDIR', (p) => p.write('/dir', '', { flags: 0o101 })],
  ['rename of nothing', 'ENOENT', (p) => p.rename('/none', '/file')],
  ['rename with unknown flags', 'EINVAL', (p) => p.rename('/file', '/x', 8)],
  ['rename without replacing', 'EEXIST', (p) => p.rename('/file', '/dir', 1)],
  ['rename without replacing, onto itself', 'EEXIST', (p) => p.rename('/file', '/file', 1)],
  ['rename of a directory over a file', 'ENOTDIR', (p) => p.rename('/dir', '/file')],
  ['rename of a file over a directory', 'EISDIR', (p) => p.rename('/file', '/dir')],
  ['rename of a directory over a full one', 'ENOTEMPTY', (p) => p.rename('/dir', '/full')],
  ['rename of a directory into itself', 'EINVAL', (p) => p.rename('/full', '/full/x')],
  ['rename of a directory far into itself', 'EINVAL', (p) => p.rename('/full', '/full/deep/x')],
  ['rename over an ancestor', 'ENOTEMPTY', (p) => p.rename('/full/deep/leaf', '/full')],
  ['a write past 2^53', 'EFBIG', (p) => p.write('/file', 'x', { at: Number.MAX_SAFE_INTEGER, flags: 1 })],
  ['an empty symlink', 'ENOENT', (p) => p.symlink('/x', '')],
  ['a symlink longer than a path', 'ENAMETOOLONG', (p) => p.symlink('/x', 'y'.repeat(4096))],
])('%s gives %s', async (_what, errno, operation) => {
  await paths.write('/file', 'x')
  await paths.symlink('/symlink', 'file')
  await paths.mkdir('/dir')
  await paths.mkdir('/full')
  await paths.mkdir('/full/deep')
  await paths.mkdir('/full/deep/leaf')
  expect(await errnoOf(() => operation(paths))).toBe(errno)
})

test('rename replaces an empty directory, and link counts follow', async () => {
  await paths.mkdir('/a')
  await paths.mkdir('/a/sub')
  await paths.mkdir('/b')
  await paths.rename('/a', '/b')
  expect(await paths.list('/')).toEqual(['b'])
  expect(await paths.list('/b')).toEqual(['sub'])
  expect((await paths.stat('/')).nlink).toBe(3)
  await paths.rename('/b/sub', '/c')
  expect((await paths.stat('/b')).nlink).toBe(2)
  expect((await paths.stat('/')).nlink).toBe(4)
})

test('".." of a moved directory is its new parent', async () => {
  await paths.mkdir('/a')
  await paths.mkdir('/b')
  await paths.rename('/a', '/b/a')
  const parent = await paths.at('/b/a', (ino) => world.fs.lookup(CALLER, ino, bytes('..')))
  expect(parent.attributes.ino).toBe((await paths.stat('/b')).ino)
})

test('renaming one of two names of a file onto the other does nothing', async () => {
  await paths.write('/a', 'x')
  await paths.link('/a', '/b')
  await paths.rename('/a', '/b')
  expect((await paths.list('/')).sort()).toEqual(['a', 'b'])
  expect((await paths.stat('/a')).nlink).toBe(2)
})

test('a hard link shows the same file under both names, unrecorded writes too', async () => {
  await paths.write('/a', 'one')
  await paths.link('/a', '/b')
  await paths.write('/b', 'two!', { flags: 1 })
  expect(await paths.text('/a')).toBe('two!')
  await world.fs.sync()
  await paths.unlink('/a')
  expect(await paths.text('/b')).toBe('two!')
  expect((await paths.stat('/b')).nlink).toBe(1)
  await paths.unlink('/b')
  await world.fs.orphansEmptied()
  await checkConsistency(world.database)
})

test('an unlinked open file works until it is closed, across commits and checkpoints', async () => {
  await paths.write('/f', 'before')
  await world.fs.sync()
  const file = await opened('/f')
  await paths.unlink('/f')
  expect(await errnoOf(() => paths.stat('/f'))).toBe('ENOENT')
  expect(await contentOf(file.handle, file.ino)).toBe('before')
  await world.fs.write(file.handle, file.ino, 6, bytes(' and after'))
  expect((await world.fs.getattr(file.ino)).attributes).toMatchObject({ nlink: 0, sizeBytes: 16 })
  await world.fs.sync()
  await world.fs.checkpointNow()
  expect(await contentOf(file.handle, file.ino)).toBe('before and after')
  expect(await errnoOf(() => world.fs.link(CALLER, file.ino, ROOT_INO, bytes('back')))).toBe('ENOENT')
  await file.close()
  await world.fs.orphansEmptied()
  expect(await errnoOf(() => world.fs.getattr(file.ino))).toBe('ESTALE')
  await checkConsistency(world.database)
})

/** Looked up, so that it is referred to, then unlinked. */
async function unlinkedButReferred(path: string): Promise<Ino> {
  const { attributes } = await paths.in(path, (parent, name) => world.fs.lookup(CALLER, parent, name))
  await paths.unlink(path)
  expect(world.database.table(ORPHANS).isEmpty()).toBe(true)
  return attributes.ino
}

test('an unlinked empty file is there for those who refer to it, and can still get bytes', async () => {
  const { fs, database } = world
  await paths.write('/f', '')
  const ino = await unlinkedButReferred('/f')
  await fs.setattr(CALLER, ino, { mode: 0o600 })
  await fs.checkpointNow()
  expect((await fs.getattr(ino)).attributes).toMatchObject({ nlink: 0, sizeBytes: 0, mode: 0o100600 })
  expect(await errnoOf(() => fs.link(CALLER, ino, ROOT_INO, bytes('back')))).toBe('ENOENT')

  const { handle } = await fs.open(CALLER, ino, { flags: 2 })
  expect(await contentOf(handle, ino)).toBe('')
  await fs.write(handle, ino, 0, bytes('late'))
  await fs.fsync(handle, ino, false)
  await fs.checkpointNow()
  expect(await contentOf(handle, ino)).toBe('late')
  expect((await fs.getattr(ino)).attributes).toMatchObject({ nlink: 0, sizeBytes: 4, mode: 0o100600 })
  await fs.release(handle, ino)
  fs.forget(ino, 1)
  await fs.orphansEmptied()
  expect(await errnoOf(() => fs.getattr(ino))).toBe('ESTALE')
  await checkConsistency(database)
})

test('an unlinked empty file that nobody has open can be extended, and is gone when it is forgotten', async () => {
  await paths.write('/f', '')
  const extended = await unlinkedButReferred('/f')
  await world.fs.setattr(CALLER, extended, { sizeBytes: 1 << 20 })
  expect((await world.fs.getattr(extended)).attributes).toMatchObject({ nlink: 0, sizeBytes: 1 << 20 })
  world.fs.forget(extended, 1)
  await world.fs.orphansEmptied()
  await paths.write('/f', '')
  const untouched = await unlinkedButReferred('/f')
  world.fs.forget(untouched, 1)
  await world.fs.orphansEmptied()
  for (const ino of [extended, untouched]) expect(await errnoOf(() => world.fs.getattr(ino))).toBe('ESTALE')
  await checkConsistency(world.database)
})

test('an unlinked file that is open stays, though nobody else refers to it', async () => {
  const created = await world.fs.create(CALLER, ROOT_INO, bytes('f'), 0o644, { flags: 2 })
  const { ino } = created.entry.attributes
  const { handle } = created.opened
  world.fs.forget(ino, 1)
  await paths.unlink('/f')
  await world.fs.write(handle, ino, 0, bytes('still here'))
  await world.fs.sync()
  expect(await contentOf(handle, ino)).toBe('still here')
  await world.fs.release(handle, ino)
  await world.fs.orphansEmptied()
  await checkConsistency(world.database)
})

test('an unlinked file keeps bytes that are not yet recorded for who refers to it', async () => {
  await paths.write('/f', 'not yet')
  const { attributes } = await world.fs.lookup(CALLER, ROOT_INO, bytes('f'))
  await paths.unlink('/f')
  await world.fs.sync()
  await world.fs.checkpointNow()
  const { handle } = await world.fs.open(CALLER, attributes.ino, { flags: 0 })
  expect(await contentOf(handle, attributes.ino)).toBe('not yet')
  await world.fs.release(handle, attributes.ino)
  world.fs.forget(attributes.ino, 1)
  await world.fs.orphansEmptied()
  await checkConsistency(world.database)
})

test('an unlinked symlink says where it leads as long as somebody refers to it', async () => {
  await paths.symlink('/s', '/target/of/it')
  const ino = await unlinkedButReferred('/s')
  expect((await world.fs.readlink(ino)).toString()).toBe('/target/of/it')
  expect((await world.fs.getattr(ino)).attributes.nlink).toBe(0)
})

test('the last name of a hard link without bytes goes as any other', async () => {
  await paths.write('/a', '')
  await paths.link('/a', '/b')
  await paths.unlink('/a')
  const ino = await unlinkedButReferred('/b')
  expect((await world.fs.getattr(ino)).attributes.nlink).toBe(0)
  await world.fs.sync()
  await world.abandon()
  const next = await mount({ store: world.store })
  await checkConsistency(next.database)
  expect(next.database.table(ORPHANS).isEmpty()).toBe(true)
})

test('a symlink that another one replaced is still read as it was by those who refer to it', async () => {
  await world.fs.symlink(CALLER, ROOT_INO, bytes('a'), bytes('/A'))
  const { attributes } = await world.fs.symlink(CALLER, ROOT_INO, bytes('b'), bytes('/target-of-b-which-is-long'))
  await world.fs.rename(CALLER, { parent: ROOT_INO, name: bytes('a') }, { parent: ROOT_INO, name: bytes('b') }, 0)
  expect((await world.fs.readlink(attributes.ino)).toString()).toBe('/target-of-b-which-is-long')
})

test('an orphan that a crash left is emptied by the next mount', async () => {
  await paths.write('/f', Buffer.alloc(100_000, 1), { fsync: true })
  await opened('/f')
  await paths.unlink('/f')
  await world.fs.sync()
  await world.abandon()
  const next = await mount({ store: world.store })
  await next.fs.orphansEmptied()
  await checkConsistency(next.database)
  expect(next.database.table(6 as never).isEmpty()).toBe(true)
})

test('a file with very many extents is dropped in pieces', async () => {
  await paths.write('/f', '')
  const file = await opened('/f')
  for (let at = 0; at < 5000; at++) await world.fs.write(file.handle, file.ino, at * 8192, bytes('x'))
  await world.fs.sync()
  await file.close()
  expect(
    Buffer.concat(
      await paths.at('/f', async (ino) =>
        world.fs.read((await world.fs.open(CALLER, ino, { flags: 0 })).handle, ino, 4999 * 8192, 10),
      ),
    ).toString(),
  ).toBe('x')
  await world.fs.close()
  await checkConsistency(world.database)
})

test("a removed directory that is somebody's cwd is empty, and takes no names", async () => {
  await paths.mkdir('/d')
  const { attributes } = await world.fs.lookup(CALLER, ROOT_INO, bytes('d'))
  const { ino } = attributes
  await paths.rmdir('/d')
  expect((await world.fs.getattr(ino)).attributes.nlink).toBe(0)
  expect(await errnoOf(() => world.fs.mkdir(CALLER, ino, bytes('x'), 0o755))).toBe('ENOENT')
  expect(await errnoOf(() => world.fs.lookup(CALLER, ino, bytes('x')))).toBe('ENOENT')
  const names: string[] = []
  await world.fs.readdir(ino, 0, true, (name) => names.push(Buffer.from(name).toString()) > 0)
  expect(names).toEqual(['.', '..'])
  world.fs.forget(ino, 1)
  expect(await errnoOf(() => world.fs.getattr(ino))).toBe('ESTALE')
})

test('a set-group-ID directory hands its group down, and to directories the bit', async () => {
  await paths.mkdir('/d')
  await paths.at('/d', (ino) => world.fs.setattr(CALLER, ino, { gid: 42, mode: 0o2775 }))
  await paths.write('/d/f', 'x')
  await paths.mkdir('/d/sub')
  expect(await paths.stat('/d/f')).toMatchObject({ gid: 42, mode: 0o100644 })
  expect(await paths.stat('/d/sub')).toMatchObject({ gid: 42, mode: 0o042755 })
})

test('chown takes the set-id bits of a file', async () => {
  await paths.mknod('/f', 0o106755)
  const { attributes } = await paths.at('/f', (ino) => world.fs.setattr(CALLER, ino, { uid: 7 }))
  expect(attributes).toMatchObject({ uid: 7, mode: 0o100755 })
})

test('chown that changes neither takes set-id bits and sets ctime, for the owner and root, and does nothing for others', async () => {
  await paths.mknod('/f', 0o106755)
  await paths.mkdir('/d')
  const before = await paths.stat('/f')
  world.clock.advance(5)
  // The kernel asks so before another user writes, too.
  await paths.at('/f', async (ino) => world.fs.setattr({ ...CALLER, uid: 77 }, ino, {}))
  expect(await paths.stat('/f')).toEqual(before)
  await paths.at('/f', (ino) => world.fs.setattr(CALLER, ino, {}))
  const after = await paths.stat('/f')
  expect(after).toMatchObject({ mode: 0o100755, mtime: before.mtime })
  expect(after.ctime).not.toEqual(before.ctime)
  await paths.at('/f', async (ino) => world.fs.setattr({ ...CALLER, uid: 77 }, ino, {}))
})

test('device numbers and types stay', async () => {
  await paths.mknod('/null', 0o020666, 0x103)
  await paths.mknod('/fifo', 0o010644)
  await world.unmount()
  const next = new Paths((await mount({ store: world.store })).fs)
  expect(await next.stat('/null')).toMatchObject({ mode: 0o020666, rdev: 0x103 })
  expect(await next.stat('/fifo')).toMatchObject({ mode: 0o010644, rdev: 0 })
})

test('holes read as zeros, and truncation forgets what it cuts', async () => {
  await paths.write('/f', 'abc', { at: 300_000 })
  expect((await paths.read('/f')).equals(Buffer.concat([Buffer.alloc(300_000), bytes('abc')]))).toBe(true)
  await world.fs.sync()
  await paths.truncate('/f', 300_001)
  await world.fs.sync()
  await paths.truncate('/f', 300_010)
  expect((await paths.read('/f', 300_000)).equals(Buffer.concat([bytes('a'), Buffer.alloc(9)]))).toBe(true)
  expect((await paths.stat('/f')).sizeBytes).toBe(300_010)
})

test('times are set to what was asked, also before 1970, and survive', async () => {
  await paths.write('/f', 'x')
  await paths.at('/f', (ino) =>
    world.fs.setattr(CALLER, ino, { atime: { sec: -1, nsec: 5 }, mtime: { sec: 2 ** 35, nsec: 999_999_999 } }),
  )
  await world.unmount()
  const found = await new Paths((await mount({ store: world.store })).fs).stat('/f')
  expect(found.atime).toEqual({ sec: -1, nsec: 5 })
  expect(found.mtime).toEqual({ sec: 2 ** 35, nsec: 999_999_999 })
})

test('an O_TRUNC is held back from interval commits until the file is closed', async () => {
  await paths.write('/f', 'old')
  await world.fs.sync()
  const file = await opened('/f', 0o1001)
  await world.fs.write(file.handle, file.ino, 0, bytes('n'))
  await world.clock.advance(5_000)
  await world.fs.fsyncdir((await paths.mkdir('/other')).ino)
  const crashed = await mount({ store: world.store })
  expect(await new Paths(crashed.fs).text('/f')).toBe('old')
})

test('an O_TRUNC is held no longer than the limit', async () => {
  await paths.write('/f', 'old')
  await world.fs.sync()
  const file = await opened('/f', 0o1001)
  await world.fs.write(file.handle, file.ino, 0, bytes('n'))
  for (let ms = 0; ms <= 35_000; ms += 5_000) await world.clock.advance(5_000)
  await world.fs.fsyncdir((await paths.mkdir('/other')).ino)
  expect(await new Paths((await mount({ store: world.store })).fs).text('/f')).toBe('n')
})

test('what is not synced is durable after the commit interval', async () => {
  await paths.write('/f', 'x')
  await world.clock.advance(5_000)
  for (let turns = 0; turns < 20; turns++) await world.clock.yield()
  expect(await new Paths((await mount({ store: world.store })).fs).text('/f')).toBe('x')
})

test('a large file goes to segments while it is written, and reads back', async () => {
  const body = systemRandom.bytes(20 << 20)
  await paths.write('/f', '')
  const file = await opened('/f')
  for (let at = 0; at < body.length; at += 1 << 20) {
    await world.fs.write(file.handle, file.ino, at, body.subarray(at, at + (1 << 20)))
  }
  await world.fs.fsync(file.handle, file.ino, false)
  expect((await paths.read('/f')).equals(body)).toBe(true)
  await file.close()
  await world.unmount()
  expect((await new Paths((await mount({ store: world.store })).fs).read('/f')).equals(body)).toBe(true)
})

test('a read-only mount shows the state and refuses changes', async () => {
  await paths.write('/f', 'x')
  await world.unmount()
  const readOnly = await mount({ store: world.store, readOnly: true })
  const later = new Paths(readOnly.fs)
  expect(await later.text('/f')).toBe('x')
  for (const operation of [() => later.write('/f', 'y'), () => later.mkdir('/d'), () => later.unlink('/f')]) {
    expect(await errnoOf(operation)).toBe('EROFS')
  }
})

test('when the store refuses, fsync gives EIO and changes EROFS, until it works again', async () => {
  const { putIfAbsent } = world.store
  await paths.write('/f', Buffer.alloc(3 << 20, 1))
  world.store.putIfAbsent = async () => {
    throw new Error('the store is full')
  }
  expect(await errnoOf(() => world.fs.sync())).toBe('EIO')
  expect(await errnoOf(() => paths.mkdir('/d'))).toBe('EROFS')
  expect((await paths.read('/f')).equals(Buffer.alloc(3 << 20, 1))).toBe(true)
  expect(world.fs.status().failure).not.toBeNull()
  world.store.putIfAbsent = putIfAbsent
  await world.clock.advance(5_000)
  await world.fs.sync()
  await paths.mkdir('/d')
  const next = new Paths((await mount({ store: world.store })).fs)
  expect((await next.read('/f')).equals(Buffer.alloc(3 << 20, 1))).toBe(true)
})

test('a listing goes on after entries came and went', async () => {
  await paths.mkdir('/d')
  for (let at = 0; at < 300; at++) await paths.write(`/d/${at}`, '')
  const { ino } = await paths.stat('/d')
  const seen: string[] = []
  let cookie = 0
  let taken = 0
  do {
    taken = 0
    await world.fs.readdir(ino, cookie, false, (name, _ino, _mode, next) => {
      if (taken === 50) return false
      taken++
      cookie = next
      seen.push(Buffer.from(name).toString())
      return true
    })
    if (taken > 0 && seen.length < 200) await paths.unlink(`/d/${seen.at(-1)}`)
    if (seen.length === 100) await world.fs.checkpointNow()
  } while (taken > 0)
  expect(seen.length).toBe(302)
  expect(new Set(seen).size).toBe(302)
})

test('writers wait while too much is dirty, and all of it arrives', async () => {
  world = await mount({ store: world.store, dirtyLimitBytes: 1 << 20, segmentSizeBytes: 256 * 1024 })
  paths = new Paths(world.fs)
  const body = systemRandom.bytes(6 << 20)
  await paths.write('/f', '')
  const file = await opened('/f')
  const order = Array.from({ length: 96 }, (_, at) => (at * 37) % 96)
  for (const at of order) {
    await world.fs.write(file.handle, file.ino, at << 16, body.subarray(at << 16, (at + 1) << 16))
    expect(world.streams.dirtyBytes).toBeLessThanOrEqual((1 << 20) + (1 << 16))
  }
  expect((await paths.read('/f')).equals(body)).toBe(true)
  await world.fs.sync()
  expect((await paths.read('/f')).equals(body)).toBe(true)
  await checkConsistency(world.database)
})

test('a writer of a file without a name that came to wait during a write-back gets in after it', async () => {
  world = await mount({ store: world.store, dirtyLimitBytes: 1 << 20 })
  paths = new Paths(world.fs)
  await paths.write('/f', '')
  const { handle, ino } = await opened('/f')
  await paths.unlink('/f')
  const put = world.store.putIfAbsent.bind(world.store)
  let letGo = () => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  let isWritingBack = () => {}
  const writingBack = new Promise<void>((resolve) => {
    isWritingBack = resolve
  })
  world.store.putIfAbsent = async (...args) => {
    isWritingBack()
    await gate
    return put(...args)
  }
  const half = Buffer.alloc(1 << 19)
  await world.fs.write(handle, ino, 0, half)
  await writingBack
  await world.fs.write(handle, ino, 1 << 19, Buffer.alloc(1 << 20))
  const waiting = world.fs.write(handle, ino, 1 << 22, half)
  letGo()
  expect(await waiting).toBe(1 << 19)
})

test('a writer that waits is told when the store refuses', async () => {
  world = await mount({ store: world.store, dirtyLimitBytes: 1 << 20 })
  paths = new Paths(world.fs)
  world.store.putIfAbsent = async () => {
    throw new Error('the store is full')
  }
  await paths.write('/f', '')
  const file = await opened('/f')
  let outcome = 'none'
  for (let at = 0; at < 40 && outcome === 'none'; at++) {
    outcome = await errnoOf(() => world.fs.write(file.handle, file.ino, at << 16, Buffer.alloc(1 << 16)))
  }
  expect(outcome).toBe('EROFS')
})

test('set-ID bits go with chown, and where the transport says so; group-ID only where the group may execute', async () => {
  await paths.write('/f', 'x')
  await paths.link('/f', '/shared')
  await paths.write('/g', 'x')
  const { fs } = world
  const modeAfter = (path: string, mode: number, change: (ino: Ino) => Promise<unknown> | unknown) =>
    paths.at(path, async (ino) => {
      await fs.setattr(CALLER, ino, { mode })
      await change(ino)
      return (await fs.getattr(ino)).attributes.mode & 0o7777
    })
  for (const path of ['/f', '/g']) {
    expect(await modeAfter(path, 0o6775, (ino) => fs.dropSetId(ino, {}))).toBe(0o775)
    expect(await modeAfter(path, 0o6765, (ino) => fs.dropSetId(ino, {}))).toBe(0o2765)
    expect(await modeAfter(path, 0o6775, (ino) => fs.setattr(CALLER, ino, { uid: 7 }))).toBe(0o775)
    expect(await modeAfter(path, 0o6775, (ino) => fs.setattr(CALLER, ino, { sizeBytes: 0 }))).toBe(0o6775)
  }
  await paths.mkdir('/d')
  expect(await modeAfter('/d', 0o2775, (ino) => fs.dropSetId(ino, {}))).toBe(0o2775)
  expect(await modeAfter('/d', 0o2775, (ino) => fs.setattr(CALLER, ino, { gid: 7 }))).toBe(0o2775)
  const had = (mode: number) =>
    paths.at('/f', async (ino) => {
      await fs.setattr(CALLER, ino, { mode })
      return fs.dropSetId(ino, {})
    })
  expect([await had(0o4755), await had(0o755)]).toEqual([true, false])

  // A change that will be refused takes none away.
  for (const [endBytes, errno] of [
    [2 ** 53, 'EFBIG'],
    [-1, 'EINVAL'],
  ] as const) {
    const refused = (ino: Ino) => errnoOf(() => fs.dropSetId(ino, { endBytes }))
    expect(await paths.at('/f', refused)).toBe(errno)
    expect(await modeAfter('/f', 0o6775, refused)).toBe(0o6775)
  }
  expect(await modeAfter('/f', 0o6775, (ino) => fs.dropSetId(ino, { endBytes: 9, isByName: true }))).toBe(0o775)
  await paths.at('/f', (ino) => fs.setattr(CALLER, ino, { mode: 0o755 }))

  // O_TRUNC by `create`: of what is there, not of what it makes.
  const create = (name: string) =>
    paths.in(name, async (parent, last) => {
      const options = { flags: 0o1001, dropsSetId: true }
      const { entry, opened } = await fs.create(CALLER, parent, last, 0o4755, options)
      await fs.release(opened.handle, entry.attributes.ino)
      fs.forget(entry.attributes.ino, 1)
      return entry.attributes.mode & 0o7777
    })
  expect([await create('/new'), await create('/new')]).toEqual([0o4755, 0o755])

  await fs.sync()
  const crashed = await mount({ store: world.store })
  expect((await new Paths(crashed.fs).stat('/f')).mode & 0o7777).toBe(0o755)
  await checkConsistency(world.database)
})

test('"." of any inode is the inode itself, and ESTALE where there is none', async () => {
  await paths.write('/f', 'x')
  await paths.mkdir('/d')
  const { ino } = await paths.stat('/f')
  const itself = (of: number) => world.fs.lookup(CALLER, of as Ino, bytes('.'))
  await world.unmount()
  world = await mount({ store: world.store })
  paths = new Paths(world.fs)
  // Nobody has looked it up.
  expect((await itself(ino)).attributes).toMatchObject({ ino, nlink: 1, generation: 0 })
  expect(await errnoOf(() => world.fs.lookup(CALLER, ino, bytes('..')))).toBe('ENOTDIR')
  expect((await itself(ROOT_INO)).attributes.ino).toBe(ROOT_INO)
  await paths.unlink('/f')
  for (const of of [ino, 0, -1, 12345, 2 ** 53, 2 ** 64])
    expect(await errnoOf(() => itself(of)), `${of}`).toBe('ESTALE')
})
