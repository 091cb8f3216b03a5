// POSIX ACLs in the filesystem: what they do to modes, and modes and directories to them.
import { beforeEach, expect, test } from 'vitest'
import { type Caller, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const ACCESS = 'system.posix_acl_access'
const DEFAULT = 'system.posix_acl_default'
const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
const STRANGER: Caller = { uid: 77, gid: 77, pid: 1 }
let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  await paths.write('/f', 'content')
  await paths.mkdir('/d')
})

const TAGS: Record<string, number> = { u: 1, U: 2, g: 4, G: 8, m: 16, o: 32 }
/** `u6 U7:1000 g4 m7 o0`, in the kernel's form. */
function acl(text: string): Buffer {
  const entries = text.split(' ').map((entry) => {
    const [, tag, permissions, id] = /^(\w)(\d)(?::(\d+))?$/.exec(entry)!
    const bytes = Buffer.alloc(8)
    bytes.writeUInt16LE(TAGS[tag!]!, 0)
    bytes.writeUInt16LE(Number(permissions), 2)
    bytes.writeUInt32LE(id === undefined ? 0xffffffff : Number(id), 4)
    return bytes
  })
  return Buffer.concat([Buffer.from([2, 0, 0, 0]), ...entries])
}

const get = (path: string, name: string) =>
  paths.at(path, async (ino) => Buffer.from(await world.fs.getxattr!(CALLER, ino, bytes(name))).toString('hex'))
const set = (path: string, name: string, text: string, { caller = CALLER, dropsSetgid = false } = {}) =>
  paths.at(path, (ino) =>
    world.fs.setxattr!(caller, ino, { name: bytes(name), value: acl(text), flags: 0, dropsSetgid }),
  )
const remove = (path: string, name: string, caller = CALLER) =>
  paths.at(path, (ino) => world.fs.removexattr!(caller, ino, bytes(name)))
const list = (path: string) => paths.at(path, async (ino) => (await world.fs.listxattr!(ROOT, ino)).map(String).sort())
const mode = async (path: string) => (await paths.stat(path)).mode & 0o7777
const chmod = (path: string, mode: number) => paths.at(path, (ino) => world.fs.setattr(CALLER, ino, { mode }))
const expectAcl = async (path: string, name: string, text: string) =>
  expect(await get(path, name)).toBe(acl(text).toString('hex'))

async function made(path: string, mode: number, { umask, kind }: { umask: number; kind: 'file' | 'directory' }) {
  await paths.in(path, async (parent, name) => {
    const { fs } = world
    if (kind === 'directory') fs.forget((await fs.mkdir(CALLER, parent, name, mode, umask)).attributes.ino, 1)
    else {
      const { entry, opened } = await fs.create(CALLER, parent, name, 0o100000 | mode, { flags: 1, umask })
      await fs.release(opened.handle, entry.attributes.ino)
      fs.forget(entry.attributes.ino, 1)
    }
  })
}

test('setting an access ACL sets the mode, and chmod sets the ACL', async () => {
  await set('/f', ACCESS, 'u7 U5:1001 g4 m6 o1')
  expect(await mode('/f')).toBe(0o761)
  await expectAcl('/f', ACCESS, 'u7 U5:1001 g4 m6 o1')
  expect(await list('/f')).toEqual([ACCESS])
  await chmod('/f', 0o640)
  expect(await mode('/f')).toBe(0o640)
  await expectAcl('/f', ACCESS, 'u6 U5:1001 g4 m4 o0')
  await remove('/f', ACCESS)
  expect(await mode('/f')).toBe(0o640)
  expect(await errnoOf(() => get('/f', ACCESS))).toBe('ENODATA')
})

test('an ACL that says no more than a mode is not kept', async () => {
  await set('/f', ACCESS, 'u7 U5:1001 g4 m6 o1')
  await set('/f', ACCESS, 'u6 g5 o0')
  expect(await mode('/f')).toBe(0o650)
  expect(await list('/f')).toEqual([])
})

test('an empty ACL removes it', async () => {
  await set('/d', DEFAULT, 'u7 g5 o0')
  await paths.at('/d', (ino) =>
    world.fs.setxattr!(CALLER, ino, { name: bytes(DEFAULT), value: Buffer.alloc(0), flags: 0 }),
  )
  expect(await list('/d')).toEqual([])
})

test('who may: the owner and uid 0; default ACLs are for directories, none for symlinks', async () => {
  expect(await errnoOf(() => set('/f', ACCESS, 'u7 g5 o0', { caller: STRANGER }))).toBe('EPERM')
  await set('/f', ACCESS, 'u7 U5:1001 g4 m6 o1', { caller: ROOT })
  expect(await errnoOf(() => remove('/f', ACCESS, STRANGER))).toBe('EPERM')
  expect(await errnoOf(() => set('/f', DEFAULT, 'u7 g5 o0'))).toBe('EACCES')
  await paths.symlink('/l', 'f')
  expect(await errnoOf(() => set('/l', ACCESS, 'u7 g5 o0'))).toBe('EOPNOTSUPP')
  expect(await errnoOf(() => set('/f', ACCESS, 'u7 g5'))).toBe('EINVAL')
})

test('the set-group-ID bit goes where the transport says so, or a stranger to the group sets the ACL', async () => {
  await chmod('/f', 0o2755)
  await set('/f', ACCESS, 'u7 g5 o0')
  expect(await mode('/f')).toBe(0o2750)
  await set('/f', ACCESS, 'u7 g5 o0', { dropsSetgid: true })
  expect(await mode('/f')).toBe(0o750)
  const unsaid = (caller: Caller) =>
    paths.at('/f', (ino) => world.fs.setxattr!(caller, ino, { name: bytes(ACCESS), value: acl('u7 g5 o0'), flags: 0 }))
  for (const [caller, expected] of [
    [ROOT, 0o2750],
    [CALLER, 0o2750],
    [{ ...CALLER, gid: 5 }, 0o750],
  ] as const) {
    await chmod('/f', 0o2755)
    await unsaid(caller)
    expect(await mode('/f')).toBe(expected)
  }
})

test('a default ACL stands in for the umask, and is inherited by directories', async () => {
  await set('/d', DEFAULT, 'u7 U7:1001 g5 m7 o0')
  const umask = 0o077
  await made('/d/file', 0o664, { umask, kind: 'file' })
  expect(await mode('/d/file')).toBe(0o660)
  await expectAcl('/d/file', ACCESS, 'u6 U7:1001 g5 m6 o0')
  expect(await list('/d/file')).toEqual([ACCESS])
  await made('/d/sub', 0o777, { umask, kind: 'directory' })
  expect(await mode('/d/sub')).toBe(0o770)
  await expectAcl('/d/sub', ACCESS, 'u7 U7:1001 g5 m7 o0')
  await expectAcl('/d/sub', DEFAULT, 'u7 U7:1001 g5 m7 o0')
  await made('/d/sub/deeper', 0o640, { umask, kind: 'file' })
  expect(await mode('/d/sub/deeper')).toBe(0o640)
  await paths.symlink('/d/link', 'file')
  expect(await mode('/d/link')).toBe(0o777)
  expect(await list('/d/link')).toEqual([])
  // One that says no more than a mode.
  await set('/d', DEFAULT, 'u7 g5 o0')
  await made('/d/plain', 0o666, { umask, kind: 'file' })
  expect(await mode('/d/plain')).toBe(0o640)
  expect(await list('/d/plain')).toEqual([])
  await made('/d/plain directory', 0o777, { umask, kind: 'directory' })
  expect(await list('/d/plain directory')).toEqual([DEFAULT])
})

test('a file without a name inherits too, whatever the size', async () => {
  const users = Array.from({ length: 200 }, (_, index) => `U7:${index}`).join(' ')
  for (const named of ['U7:1001', users]) {
    await set('/d', DEFAULT, `u7 ${named} g5 m7 o0`)
    const { ino } = await paths.stat('/d')
    const { entry, opened } = await world.fs.tmpfile!(CALLER, ino, 0o666, { flags: 2, umask: 0o077 })
    await world.fs.link(CALLER, entry.attributes.ino, ROOT_INO, bytes('named'))
    await world.fs.release(opened.handle, entry.attributes.ino)
    expect(await mode('/named')).toBe(0o660)
    await expectAcl('/named', ACCESS, `u6 ${named} g5 m6 o0`)
    await paths.unlink('/named')
  }
})

test('without a default ACL the umask is taken off', async () => {
  for (const kind of ['file', 'directory'] as const) {
    await made(`/${kind}`, 0o777, { umask: 0o027, kind })
    expect(await mode(`/${kind}`)).toBe(0o750)
    await made(`/${kind} as it is`, 0o777, { umask: 0, kind })
    expect(await mode(`/${kind} as it is`)).toBe(0o777)
  }
})

test('large ACLs are inherited too, from tables into tables', async () => {
  const users = Array.from({ length: 200 }, (_, index) => `U${index % 8}:${index}`).join(' ')
  await set('/d', DEFAULT, `u7 ${users} g5 m7 o0`)
  await world.unmount()
  world = await mount({ store: world.store })
  paths = new Paths(world.fs)
  await made('/d/sub', 0o777, { umask: 0, kind: 'directory' })
  await expectAcl('/d/sub', ACCESS, `u7 ${users} g5 m7 o0`)
  await expectAcl('/d/sub', DEFAULT, `u7 ${users} g5 m7 o0`)
  await chmod('/d/sub', 0o700)
  await expectAcl('/d/sub', ACCESS, `u7 ${users} g5 m0 o0`)
})

test('a volume says that it has ACLs, from the first on, also after a crash; not for attributes', async () => {
  const remount = async () => {
    await world.fs.sync()
    await world.abandon()
    world = await mount({ store: world.store })
    paths = new Paths(world.fs)
    return world.fs.hasAcls
  }
  expect(world.fs.hasAcls).toBe(false)
  await paths.at('/f', (ino: Ino) =>
    world.fs.setxattr!(CALLER, ino, { name: bytes('user.x'), value: bytes('x'), flags: 0 }),
  )
  await set('/f', ACCESS, 'u6 g5 o0')
  expect(await remount()).toBe(false)
  const before = await world.fs.getattr(ROOT_INO)
  await set('/f', ACCESS, 'u7 U5:1001 g4 m6 o1')
  expect(await world.fs.getattr(ROOT_INO)).toEqual(before)
  expect(await remount()).toBe(true)
  expect(await list('/')).toEqual([])
  expect(await errnoOf(() => get('/', 'cairnfs.acl'))).toBe('EOPNOTSUPP')
  await remove('/f', ACCESS)
  expect(await remount()).toBe(true)
})

test('the root directory may be the first to have one', async () => {
  await set('/', DEFAULT, 'u7 g5 o0', { caller: ROOT })
  await world.unmount()
  world = await mount({ store: world.store, readOnly: true })
  paths = new Paths(world.fs)
  expect(world.fs.hasAcls).toBe(true)
  expect(await list('/')).toEqual([DEFAULT])
})
