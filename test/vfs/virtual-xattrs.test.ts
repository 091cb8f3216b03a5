// The extended attributes that nobody keeps: whether a directory folds names, and how a name is spelled in it.
import { beforeEach, expect, test } from 'vitest'
import { CASEFOLD_FLAG } from '../../src/meta/index.ts'
import { type Caller, ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const CASEFOLD = 'user.cairnfs.casefold'
const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.mkdir('/plain')
})

const get = (path: string, name: string) =>
  paths.at(path, async (ino) => Buffer.from(await world.fs.getxattr!(CALLER, ino, bytes(name))).toString())
const set = (path: string, value: string, { name = CASEFOLD, caller = CALLER, flags = 0 } = {}) =>
  paths.at(path, (ino) => world.fs.setxattr!(caller, ino, { name: bytes(name), value: bytes(value), flags }))
const remove = (path: string, name = CASEFOLD) =>
  paths.at(path, (ino) => world.fs.removexattr!(CALLER, ino, bytes(name)))
const realName = (path: string, name: string) => get(path, `glusterfs.get_real_filename:${name}`)

test('user.cairnfs.casefold shows, sets and removes the flag of a directory', async () => {
  expect(await get('/d', CASEFOLD)).toBe('0')
  await set('/d', '1')
  expect(await get('/d', CASEFOLD)).toBe('1')
  expect(await paths.at('/d', (ino) => world.fs.getFlags!(ino))).toBe(CASEFOLD_FLAG)
  await paths.write('/d/Name', 'x')
  expect(await paths.text('/d/NAME')).toBe('x')
  await paths.unlink('/d/name')
  await set('/d', '0')
  expect(await get('/d', CASEFOLD)).toBe('0')
  await set('/d', '1')
  await remove('/d')
  expect(await paths.at('/d', (ino) => world.fs.getFlags!(ino))).toBe(0)
})

test('user.cairnfs.casefold fails as chattr does: ENOTEMPTY, ENOTDIR, EPERM; and as setxattr does: EINVAL, EEXIST', async () => {
  await paths.write('/d/file', '')
  expect(await errnoOf(() => set('/d', '1'))).toBe('ENOTEMPTY')
  expect(await errnoOf(() => set('/d', '0'))).toBe('none')
  expect(await errnoOf(() => set('/d/file', '1'))).toBe('ENOTDIR')
  expect(await errnoOf(() => set('/d/file', '0'))).toBe('ENOTDIR')
  expect(await errnoOf(() => set('/d/file', '0', { flags: 1 }))).toBe('ENOTDIR')
  expect(await errnoOf(() => remove('/d/file'))).toBe('ENODATA')
  expect(await errnoOf(() => get('/d/file', CASEFOLD))).toBe('ENODATA')
  for (const value of ['', '2', '10', 'on']) expect(await errnoOf(() => set('/plain', value))).toBe('EINVAL')
  expect(await errnoOf(() => set('/plain', '1', { flags: 1 }))).toBe('EEXIST')
  expect(await errnoOf(() => set('/plain', '1', { caller: { uid: 1001, gid: 1000, pid: 1 } }))).toBe('EPERM')
  expect(await get('/plain', CASEFOLD)).toBe('0')
  expect(await errnoOf(() => set('/plain', '1', { flags: 2, caller: ROOT }))).toBe('none')
  expect(await get('/plain', CASEFOLD)).toBe('1')
})

test('glusterfs.get_real_filename answers with the stored spelling, or ENODATA; EOPNOTSUPP where names do not fold', async () => {
  await set('/d', '1')
  await paths.write('/d/Straße.TXT', '')
  await paths.write('/plain/a', '')
  expect(await realName('/d', 'STRASSE.txt')).toBe('Straße.TXT\0')
  expect(await realName('/d', 'Straße.TXT')).toBe('Straße.TXT\0')
  for (const name of ['none', '', '.', '..', 'a/b', 'x'.repeat(255)])
    expect(await errnoOf(() => realName('/d', name)), name).toBe('ENODATA')
  expect(await errnoOf(() => realName('/d', 'x'.repeat(256)))).toBe('ENAMETOOLONG')
  expect(await errnoOf(() => realName('/plain', 'a'))).toBe('EOPNOTSUPP')
  expect(await errnoOf(() => realName('/plain/a', 'a'))).toBe('EOPNOTSUPP')
})

test('they are not listed', async () => {
  await set('/d', '1')
  expect(await paths.at('/d', (ino) => world.fs.listxattr!(ROOT, ino))).toEqual([])
})

test('of these prefixes whatever else is not supported', async () => {
  for (const name of ['glusterfs.other', 'user.cairnfs.other', 'cairnfs.acl', 'system.other', 'other']) {
    expect(await errnoOf(() => get('/d', name))).toBe('EOPNOTSUPP')
    expect(await errnoOf(() => set('/d', 'x', { name }))).toBe('EOPNOTSUPP')
    expect(await errnoOf(() => remove('/d', name))).toBe('EOPNOTSUPP')
  }
})

test('on a read-only mount they can be asked for, not set', async () => {
  await set('/d', '1')
  await world.unmount()
  const { fs } = await mount({ store: world.store, readOnly: true })
  const { attributes } = await fs.lookup(CALLER, ROOT_INO, bytes('d'))
  expect(Buffer.from(await fs.getxattr!(CALLER, attributes.ino, bytes(CASEFOLD))).toString()).toBe('1')
  expect(
    await errnoOf(() => fs.setxattr!(ROOT, attributes.ino, { name: bytes(CASEFOLD), value: bytes('0'), flags: 0 })),
  ).toBe('EROFS')
})
