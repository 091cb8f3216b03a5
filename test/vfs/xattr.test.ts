// Extended attributes: names, values, errors, and that they go where their file goes.
import * as fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { XATTRS } from '../../src/meta/index.ts'
import { type Caller, type Ino, ROOT_INO, type SetXattr } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
const XATTR_CREATE = 1
const XATTR_REPLACE = 2
const CAPABILITY = 'security.capability'
let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  await paths.write('/f', 'content')
  await paths.mkdir('/d')
})

async function remount(): Promise<void> {
  await world.unmount()
  world = await mount({ store: world.store })
  paths = new Paths(world.fs)
}

async function crash(): Promise<void> {
  await world.fs.sync()
  await world.abandon()
  world = await mount({ store: world.store })
  paths = new Paths(world.fs)
}

const get = (path: string, name: string, caller: Caller = CALLER) =>
  paths.at(path, async (ino) => Buffer.from(await world.fs.getxattr!(caller, ino, bytes(name))).toString('latin1'))
const set = (path: string, name: string, value: string, { caller = CALLER, flags = 0 } = {}) =>
  paths.at(path, (ino) => world.fs.setxattr!(caller, ino, change(name, value, flags)))
const change = (name: string, value: string, flags = 0): SetXattr => ({
  name: bytes(name),
  value: Buffer.from(value, 'latin1'),
  flags,
})
const remove = (path: string, name: string, caller: Caller = CALLER) =>
  paths.at(path, (ino) => world.fs.removexattr!(caller, ino, bytes(name)))
const list = (path: string, caller: Caller = CALLER) =>
  paths.at(path, async (ino) => (await world.fs.listxattr!(caller, ino)).map(String).sort())
/** How many records the tables of large attributes hold. */
async function tableRecords(ino: Ino): Promise<number> {
  return world.database.run(() => {
    let count = 0
    world.database.table(XATTRS, ino).scan(0, Number.MAX_SAFE_INTEGER, () => ++count > 0)
    return count
  })
}

test('a value comes back as it was set, of files, directories and links, whatever its size', async () => {
  await paths.symlink('/l', 'f')
  for (const size of [0, 1, 500, 1000, 1024, 1025, 16_000, 16_001, 65_535, 65_536]) {
    const value = 'v'.repeat(size)
    for (const path of ['/f', '/d', '/']) {
      await set(path, 'user.large', value)
      await set(path, 'user.small', 'x')
      expect(await get(path, 'user.large')).toBe(value)
      expect(await list(path)).toEqual(['user.large', 'user.small'])
    }
    await set('/l', 'trusted.large', value, { caller: ROOT })
    expect(await get('/l', 'trusted.large', ROOT)).toBe(value)
  }
  await remount()
  expect(await get('/f', 'user.large')).toBe('v'.repeat(65_536))
  expect(await get('/d', 'user.small')).toBe('x')
})

test('a name may have any bytes', async () => {
  const name = Buffer.concat([bytes('user.'), Buffer.from([0xff, 0x2f, 0x01])])
  await paths.at('/f', async (ino) => {
    await world.fs.setxattr!(CALLER, ino, { name, value: bytes('v'), flags: 0 })
    expect(await world.fs.listxattr!(CALLER, ino)).toEqual([name])
    expect(Buffer.from(await world.fs.getxattr!(CALLER, ino, name))).toEqual(bytes('v'))
  })
})

test('XATTR_CREATE and XATTR_REPLACE hold, and what is not there is ENODATA', async () => {
  expect(await errnoOf(() => get('/f', 'user.a'))).toBe('ENODATA')
  expect(await errnoOf(() => remove('/f', 'user.a'))).toBe('ENODATA')
  expect(await errnoOf(() => set('/f', 'user.a', '1', { flags: XATTR_REPLACE }))).toBe('ENODATA')
  await set('/f', 'user.a', '1', { flags: XATTR_CREATE })
  expect(await errnoOf(() => set('/f', 'user.a', '2', { flags: XATTR_CREATE }))).toBe('EEXIST')
  expect(await get('/f', 'user.a')).toBe('1')
  await set('/f', 'user.a', '2', { flags: XATTR_REPLACE })
  expect(await get('/f', 'user.a')).toBe('2')
  await remove('/f', 'user.a')
  expect(await list('/f')).toEqual([])
})

test('what is too large, too much or of no known sort is refused, and changes nothing', async () => {
  expect(await errnoOf(() => set('/f', 'user.a', 'v'.repeat(65_537)))).toBe('E2BIG')
  expect(await errnoOf(() => set('/f', `user.${'n'.repeat(251)}`, ''))).toBe('ERANGE')
  for (const name of ['user.', 'trusted.', 'security.'])
    expect(await errnoOf(() => set('/f', name, 'x', { caller: ROOT }))).toBe('EINVAL')
  for (const name of ['none', 'system.other', 'user', 'btrfs.compression', 'user.cairnfs.other'])
    for (const operation of [() => set('/f', name, 'x'), () => get('/f', name), () => remove('/f', name)])
      expect(await errnoOf(operation), name).toBe('EOPNOTSUPP')
  for (let i = 0; i < 16; i++) await set('/f', `user.${i}`, 'v'.repeat(65_536))
  expect(await errnoOf(() => set('/f', 'user.more', 'x'))).toBe('ENOSPC')
  expect(await list('/f')).toHaveLength(16)
  await remove('/f', 'user.7')
  await set('/f', 'user.more', 'x')
  for (let i = 0; i < 256; i++) await set('/d', `user.${String(i).padEnd(250, 'n')}`, '')
  expect(await errnoOf(() => set('/d', 'user.more', ''))).toBe('ENOSPC')
  expect((await list('/d')).join('\0').length + 1).toBe(65_536)
})

test('trusted.* is for uid 0 alone; user.* for files and directories', async () => {
  await set('/f', 'trusted.a', 'x', { caller: ROOT })
  await set('/f', 'user.a', 'x')
  expect(await list('/f', ROOT)).toEqual(['trusted.a', 'user.a'])
  expect(await list('/f')).toEqual(['user.a'])
  expect(await get('/f', 'trusted.a', ROOT)).toBe('x')
  expect(await errnoOf(() => get('/f', 'trusted.a'))).toBe('ENODATA')
  expect(await errnoOf(() => set('/f', 'trusted.a', 'y'))).toBe('EPERM')
  expect(await errnoOf(() => remove('/f', 'trusted.a'))).toBe('EPERM')
  await paths.symlink('/l', 'f')
  await paths.mknod('/p', 0o010644)
  for (const path of ['/l', '/p']) {
    expect(await errnoOf(() => set(path, 'user.a', 'x'))).toBe('EPERM')
    expect(await errnoOf(() => get(path, 'user.a'))).toBe('ENODATA')
  }
})

test('setting and removing change ctime, and nothing else', async () => {
  const before = await paths.stat('/f')
  await set('/f', 'user.a', 'x')
  const after = await paths.stat('/f')
  expect(after).toEqual({ ...before, ctime: after.ctime })
  expect(after.ctime).not.toEqual(before.ctime)
  await remove('/f', 'user.a')
  expect((await paths.stat('/f')).ctime).not.toEqual(after.ctime)
})

test('they follow their file: another name, a second name, none while it is open, and are gone with it', async () => {
  const large = 'v'.repeat(40_000)
  await set('/f', 'user.large', large)
  await set('/f', 'user.small', 'x')
  await paths.rename('/f', '/d/g')
  await paths.link('/d/g', '/h')
  await set('/h', 'user.more', 'y')
  await crash()
  expect(await list('/d/g')).toEqual(['user.large', 'user.more', 'user.small'])
  await paths.unlink('/d/g')
  const { ino } = await paths.stat('/h')
  expect(await tableRecords(ino)).toBe(3)
  await paths.at('/h', async () => {
    const { handle } = await world.fs.open(CALLER, ino, { flags: 0 })
    await paths.unlink('/h')
    expect(Buffer.from(await world.fs.getxattr!(CALLER, ino, bytes('user.large'))).toString()).toBe(large)
    await world.fs.setxattr!(CALLER, ino, change('user.late', 'z'.repeat(2000)))
    await world.fs.release(handle, ino)
  })
  await world.fs.orphansEmptied()
  expect(await tableRecords(ino)).toBe(0)
})

test('a crash leaves no table of an inode that went', async () => {
  await set('/f', 'user.large', 'v'.repeat(40_000))
  await set('/d', 'user.large', 'v'.repeat(40_000))
  const inos = [(await paths.stat('/f')).ino, (await paths.stat('/d')).ino]
  await world.fs.checkpointNow()
  const { fs } = world
  await fs.lookup(CALLER, ROOT_INO, bytes('f'))
  await paths.unlink('/f')
  await paths.rmdir('/d')
  await crash()
  await world.fs.orphansEmptied()
  for (const ino of inos) expect(await tableRecords(ino)).toBe(0)
  await remount()
  for (const ino of inos) expect(await tableRecords(ino)).toBe(0)
})

test('what was removed while it is known takes what has room in memory', async () => {
  await paths.at('/d', async (ino) => {
    await paths.rmdir('/d')
    await world.fs.setxattr!(CALLER, ino, change('user.a', 'x'))
    expect(await world.fs.listxattr!(CALLER, ino)).toEqual([bytes('user.a')])
    expect(await errnoOf(() => world.fs.setxattr!(CALLER, ino, change('user.b', 'x'.repeat(2000))))).toBe('ENOSPC')
    expect(await world.fs.listxattr!(CALLER, ino)).toEqual([bytes('user.a')])
  })
})

test('a file without a name has them too, and keeps them when it gets one', async () => {
  const { fs } = world
  const { entry, opened } = await fs.tmpfile!(CALLER, ROOT_INO, 0o644, { flags: 2 })
  const { ino } = entry.attributes
  await fs.setxattr!(CALLER, ino, change('user.small', 'x'))
  await fs.setxattr!(CALLER, ino, change('user.large', 'v'.repeat(40_000)))
  await fs.link(CALLER, ino, ROOT_INO, bytes('named'))
  await fs.release(opened.handle, ino)
  await crash()
  expect(await list('/named')).toEqual(['user.large', 'user.small'])
  const gone = await world.fs.tmpfile!(CALLER, ROOT_INO, 0o644, { flags: 2 })
  await world.fs.setxattr!(CALLER, gone.entry.attributes.ino, change('user.large', 'v'.repeat(40_000)))
  await world.fs.release(gone.opened.handle, gone.entry.attributes.ino)
  world.fs.forget(gone.entry.attributes.ino, 1)
  await world.fs.orphansEmptied()
  expect(await tableRecords(gone.entry.attributes.ino)).toBe(0)
})

test('what is immutable or append-only keeps them as they are', async () => {
  await set('/f', 'user.a', 'x')
  for (const flag of [0x10, 0x20]) {
    await paths.at('/f', (ino) => world.fs.setFlags!(ROOT, ino, flag))
    expect(await errnoOf(() => set('/f', 'user.a', 'y'))).toBe('EPERM')
    expect(await errnoOf(() => remove('/f', 'user.a'))).toBe('EPERM')
    expect(await get('/f', 'user.a')).toBe('x')
  }
})

test('a file without any says so without loading anything', async () => {
  await remount()
  await paths.at('/f', async (ino) => {
    const before = world.database.pagesLoaded
    expect(await errnoOf(() => world.fs.getxattr!(CALLER, ino, bytes(CAPABILITY)))).toBe('ENODATA')
    expect(await world.fs.listxattr!(CALLER, ino)).toEqual([])
    expect(world.database.pagesLoaded).toBe(before)
  })
})

test('on a read-only mount they can be asked for, not changed', async () => {
  await set('/f', 'user.a', 'x')
  await world.unmount()
  world = await mount({ store: world.store, readOnly: true })
  paths = new Paths(world.fs)
  expect(await get('/f', 'user.a')).toBe('x')
  expect(await errnoOf(() => set('/f', 'user.a', 'y'))).toBe('EROFS')
  expect(await errnoOf(() => remove('/f', 'user.a'))).toBe('EROFS')
})

describe('file capabilities', () => {
  const capable = async () => {
    await set('/f', CAPABILITY, 'c'.repeat(20), { caller: ROOT })
    expect(await get('/f', CAPABILITY)).toBe('c'.repeat(20))
  }
  const allocate = (path: string) =>
    paths.at(path, async (ino) => {
      const { handle } = await world.fs.open(CALLER, ino, { flags: 1 })
      await world.fs.fallocate!(handle, ino, 0, 0, 100)
      await world.fs.release(handle, ino)
    })
  const isCapable = async () => (await list('/f')).includes(CAPABILITY)

  test('go when bytes or the owner change, not otherwise', async () => {
    const other = { uid: 0, gid: 0, pid: 1 }
    await paths.write('/source', 'bytes')
    const changes: [string, () => Promise<unknown>, boolean][] = [
      ['write', () => paths.write('/f', 'x', { flags: 1 }), true],
      ['write again', () => paths.write('/f', 'x', { flags: 1 }), true],
      ['O_TRUNC', () => paths.write('/f', ''), true],
      ['truncate', () => paths.truncate('/f', 3), true],
      ['fallocate', () => allocate('/f'), true],
      ['copy', () => paths.copy('/source', '/f'), true],
      ['chown', () => paths.at('/f', (ino) => world.fs.setattr(other, ino, { uid: 5 })), true],
      ['chgrp', () => paths.at('/f', (ino) => world.fs.setattr(other, ino, { gid: 5 })), true],
      ['chmod', () => paths.at('/f', (ino) => world.fs.setattr(other, ino, { mode: 0o755 })), false],
      ['times', () => paths.at('/f', (ino) => world.fs.setattr(other, ino, { mtime: 'now' })), false],
      ['link', () => paths.link('/f', '/l'), false],
      ['sync', () => world.fs.sync(), false],
      ['write as a link', () => paths.write('/l', 'x', { flags: 1 }), true],
    ]
    for (const [what, operation, drops] of changes) {
      await capable()
      await operation()
      expect(await isCapable(), what).toBe(!drops)
    }
  })

  test('go by a write after the times were set, whose stream did not look at the inode', async () => {
    await remount()
    await capable()
    await paths.at('/f', (ino) => world.fs.setattr(ROOT, ino, { mtime: { sec: 1, nsec: 0 } }))
    expect(await isCapable()).toBe(true)
    await paths.write('/f', 'x', { flags: 1 })
    expect(await isCapable()).toBe(false)
  })

  test('go at a write through a handle that is open, and stay in the inode however much else there is', async () => {
    for (let i = 0; i < 4; i++) await set('/f', `user.${i}`, 'v'.repeat(240))
    await paths.at('/f', async (ino) => {
      const { handle } = await world.fs.open(CALLER, ino, { flags: 1 })
      await world.fs.write(handle, ino, 0, bytes('a'))
      await capable()
      expect(await list('/f')).toEqual([CAPABILITY, 'user.0', 'user.1', 'user.2', 'user.3'])
      await world.fs.write(handle, ino, 0, bytes('b'))
      expect(await list('/f')).toEqual(['user.0', 'user.1', 'user.2', 'user.3'])
      await world.fs.release(handle, ino)
    })
    expect(await get('/f', 'user.0')).toBe('v'.repeat(240))
    expect(await errnoOf(() => set('/f', CAPABILITY, 'x'.repeat(65), { caller: ROOT }))).toBe('EINVAL')
  })
})

test('whatever is set and removed is there as in a Map, also after a crash and after a checkpoint', async () => {
  const name = fc.integer({ min: 0, max: 12 }).map((n) => `user.${'n'.repeat(n * 20)}${n}`)
  const size = fc.oneof(fc.nat(100), fc.nat(1100), fc.nat(40_000))
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('set' as const), path: fc.nat(2), name, size }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('remove' as const), path: fc.nat(2), name }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('crash' as const, 'remount' as const, 'link' as const) }),
    },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await world.abandon()
      world = await mount()
      paths = new Paths(world.fs)
      const files = ['/f', '/d', '/'] as const
      await paths.write('/f', 'x')
      await paths.mkdir('/d')
      const models = files.map(() => new Map<string, string>())
      let serial = 0
      for (const one of steps) {
        if (one.kind === 'crash') await crash()
        else if (one.kind === 'remount') await remount()
        else if (one.kind === 'link') await errnoOf(() => paths.link('/f', '/g'))
        else if (one.kind === 'remove') {
          const expected = models[one.path]!.delete(one.name) ? 'none' : 'ENODATA'
          expect(await errnoOf(() => remove(files[one.path]!, one.name))).toBe(expected)
        } else if (one.kind === 'set') {
          const value = String.fromCharCode(97 + (serial++ % 26)).repeat(one.size)
          await set(files[one.path]!, one.name, value)
          models[one.path]!.set(one.name, value)
        }
        for (const [index, model] of models.entries()) {
          const path = files[index]!
          expect(await list(path)).toEqual([...model.keys()].sort())
          for (const [name, value] of model) expect((await get(path, name)) === value, `${path} ${name}`).toBe(true)
        }
      }
    }),
    { numRuns: 40 },
  )
}, 60_000)
