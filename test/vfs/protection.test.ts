// Immutable and append-only files and directories: what is refused, to root too, and what is not.
import { beforeEach, describe, expect, test } from 'vitest'
import type { Caller, Ino } from '../../src/vfs/index.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const IMMUTABLE = 0x10
const APPEND = 0x20
const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
const [O_RDONLY, O_WRONLY, O_RDWR, O_TRUNC, O_APPEND] = [0, 1, 2, 0o1000, 0o2000]
const [EXCHANGE, PUNCH] = [2, 3]

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
  for (const dir of ['/dir', '/free']) {
    await paths.mkdir(dir)
    await paths.mkdir(`${dir}/sub`)
    await paths.write(`${dir}/f`, 'text')
  }
})

const chattr = (path: string, flags: number, caller = ROOT) =>
  paths.at(path, (ino) => world.fs.setFlags!(caller, ino, flags))
const open = (path: string, flags: number) =>
  paths.at(path, async (ino) => world.fs.release((await world.fs.open(ROOT, ino, { flags })).handle, ino))
const set = (path: string, changes: Parameters<typeof world.fs.setattr>[2]) =>
  paths.at(path, (ino) => world.fs.setattr(ROOT, ino, changes))
const tmpfile = (path: string) => paths.at(path, (ino) => world.fs.tmpfile!(ROOT, ino, 0o644, { flags: O_RDWR }))

/** Each operation with what it gives on an immutable file, and on one that is append-only. */
const ON_FILES: [string, string, string, () => Promise<unknown>][] = [
  ['reading', 'none', 'none', () => open('/free/f', O_RDONLY)],
  ['writing', 'EPERM', 'EPERM', () => open('/free/f', O_WRONLY)],
  ['appending', 'EPERM', 'none', () => open('/free/f', O_WRONLY | O_APPEND)],
  ['O_TRUNC', 'EPERM', 'EPERM', () => open('/free/f', O_WRONLY | O_APPEND | O_TRUNC)],
  ['O_CREAT', 'EPERM', 'EPERM', () => paths.write('/free/f', 'x')],
  ['truncate', 'EPERM', 'EPERM', () => paths.truncate('/free/f', 1)],
  ['chmod', 'EPERM', 'EPERM', () => set('/free/f', { mode: 0o600 })],
  ['chown', 'EPERM', 'EPERM', () => set('/free/f', { uid: 7 })],
  ['touch', 'EPERM', 'none', () => set('/free/f', { atime: 'now', mtime: 'now' })],
  ['utimens', 'EPERM', 'EPERM', () => set('/free/f', { mtime: { sec: 1, nsec: 0 } })],
  ['link', 'EPERM', 'EPERM', () => paths.link('/free/f', '/free/x')],
  ['unlink', 'EPERM', 'EPERM', () => paths.unlink('/free/f')],
  ['rename', 'EPERM', 'EPERM', () => paths.rename('/free/f', '/free/x')],
  ['rename over it', 'EPERM', 'EPERM', () => paths.rename('/dir/f', '/free/f')],
  ['exchange', 'EPERM', 'EPERM', () => paths.rename('/dir/f', '/free/f', EXCHANGE)],
]

/** The same of a directory. */
const IN_DIRECTORIES: [string, string, string, () => Promise<unknown>][] = [
  ['list', 'none', 'none', () => paths.list('/dir')],
  ['write to a file in it', 'none', 'none', () => paths.write('/dir/f', 'x')],
  ['create', 'EPERM', 'none', () => paths.write('/dir/x', '')],
  ['create what is there', 'EEXIST', 'EEXIST', () => paths.write('/dir/f', '', { flags: 0o301 })],
  ['O_TMPFILE', 'EPERM', 'none', () => tmpfile('/dir')],
  ['mkdir', 'EPERM', 'none', () => paths.mkdir('/dir/x')],
  ['mkdir of what is there', 'EEXIST', 'EEXIST', () => paths.mkdir('/dir/sub')],
  ['mknod', 'EPERM', 'none', () => paths.mknod('/dir/x', 0o010644)],
  ['symlink', 'EPERM', 'none', () => paths.symlink('/dir/x', 'to')],
  ['link', 'EPERM', 'none', () => paths.link('/free/f', '/dir/x')],
  ['unlink', 'EPERM', 'EPERM', () => paths.unlink('/dir/f')],
  ['unlink of what is not there', 'ENOENT', 'ENOENT', () => paths.unlink('/dir/x')],
  ['rmdir', 'EPERM', 'EPERM', () => paths.rmdir('/dir/sub')],
  ['rename in it', 'EPERM', 'EPERM', () => paths.rename('/dir/f', '/dir/x')],
  ['rename out of it', 'EPERM', 'EPERM', () => paths.rename('/dir/f', '/free/x')],
  ['rename into it', 'EPERM', 'none', () => paths.rename('/free/f', '/dir/x')],
  ['rename over a name in it', 'EPERM', 'EPERM', () => paths.rename('/free/f', '/dir/f')],
  ['exchange', 'EPERM', 'EPERM', () => paths.rename('/free/f', '/dir/f', EXCHANGE)],
  ['chmod', 'EPERM', 'EPERM', () => set('/dir', { mode: 0o700 })],
  ['rmdir of it', 'EPERM', 'EPERM', () => paths.rmdir('/dir')],
]

describe.each([
  ['a file', '/free/f', ON_FILES],
  ['a directory', '/dir', IN_DIRECTORIES],
])('of %s', (_what, path, cases) => {
  test.each(cases)('%s', async (_operation, whenImmutable, whenAppendOnly, operation) => {
    await chattr(path, IMMUTABLE)
    expect(await errnoOf(operation), 'immutable').toBe(whenImmutable)
    await chattr(path, APPEND)
    expect(await errnoOf(operation), 'append-only').toBe(whenAppendOnly)
  })
})

test('all of that works again when the flags have gone', async () => {
  for (const flags of [IMMUTABLE, APPEND, 0]) await chattr('/free/f', flags)
  for (const [operation, , , run] of ON_FILES.slice(0, 10)) expect(await errnoOf(run), operation).toBe('none')
})

test('root alone sets and clears them; they stay over a mount', async () => {
  expect(await errnoOf(() => chattr('/free/f', IMMUTABLE, CALLER))).toBe('EPERM')
  await chattr('/free/f', APPEND)
  expect(await errnoOf(() => chattr('/free/f', 0, CALLER))).toBe('EPERM')
  await chattr('/free/f', APPEND | 0x40 | 0x80, CALLER)
  await world.unmount()
  world = await mount({ store: world.store })
  paths = new Paths(world.fs)
  expect(await paths.at('/free/f', (ino) => world.fs.getFlags!(ino))).toBe(APPEND | 0x40 | 0x80)
  expect(await errnoOf(() => paths.truncate('/free/f', 1))).toBe('EPERM')
  expect(await errnoOf(() => chattr('/free/f', 0x8))).toBe('EOPNOTSUPP')
})

test('who has a file open writes no more when it becomes immutable, until it is no more', async () => {
  const { entry, opened } = await paths.at('/free', (parent) =>
    world.fs.create(ROOT, parent, bytes('f'), 0o644, { flags: O_RDWR }),
  )
  const ino: Ino = entry.attributes.ino
  const write = () => world.fs.write(opened.handle, ino, 0, bytes('x'))
  const source = { handle: opened.handle, ino, offset: 0 }
  await chattr('/free/f', IMMUTABLE)
  expect(await errnoOf(write)).toBe('EPERM')
  expect(await errnoOf(() => world.fs.fallocate!(opened.handle, ino, 0, 0, 100))).toBe('EPERM')
  expect(await errnoOf(() => world.fs.copyFileRange(source, { ...source, offset: 10 }, 1, 0))).toBe('EPERM')
  expect(await errnoOf(() => world.fs.setattr(ROOT, ino, { sizeBytes: 0, handle: opened.handle }))).toBe('EPERM')
  await chattr('/free/f', 0)
  expect(await errnoOf(write)).toBe('none')
  await chattr('/free/f', APPEND)
  expect(await errnoOf(() => world.fs.fallocate!(opened.handle, ino, PUNCH, 0, 1))).toBe('EPERM')
  expect(await errnoOf(() => world.fs.fallocate!(opened.handle, ino, 0, 0, 100))).toBe('none')
})

test('bytes of an append-only file stay, however it was opened', async () => {
  for (const flags of [O_RDWR | O_APPEND, O_RDWR]) {
    const isBefore = (flags & O_APPEND) === 0
    if (!isBefore) await chattr('/free/f', APPEND)
    const { attributes } = await paths.in('/free/f', (parent, name) => world.fs.lookup(ROOT, parent, name))
    const { ino, sizeBytes } = attributes
    const { handle } = await world.fs.open(ROOT, ino, { flags })
    const source = { handle, ino, offset: 0 }
    if (isBefore) await chattr('/free/f', APPEND)
    const write = (at: number) => errnoOf(() => world.fs.write(handle, ino, at, bytes('x')))
    for (let round = 0; round < 2; round++) {
      expect(await write(sizeBytes + round)).toBe('none')
      expect(await write(0)).toBe('EPERM')
      expect(await write(sizeBytes + round)).toBe('EPERM')
      expect(await errnoOf(() => world.fs.copyFileRange(source, { ...source, offset: 2 }, 1, 0))).toBe('EPERM')
      await world.fs.sync()
    }
    await world.fs.release(handle, ino)
    await chattr('/free/f', 0)
    expect((await paths.text('/free/f')).slice(0, 4)).toBe('text')
  }
})

test('set-ID bits stay where a change is refused', async () => {
  await set('/free/f', { mode: 0o6755 })
  await chattr('/free/f', IMMUTABLE)
  await paths.at('/free/f', async (ino) => {
    expect(await errnoOf(() => world.fs.dropSetId(ino, { isByName: true }))).toBe('EPERM')
  })
  const creating = () =>
    paths.in('/free/f', (parent, name) =>
      world.fs.create(CALLER, parent, name, 0o644, { flags: O_WRONLY | O_TRUNC, dropsSetId: true }),
    )
  expect(await errnoOf(creating)).toBe('EPERM')
  expect((await paths.stat('/free/f')).mode).toBe(0o106755)
})

test('directories hand down what ext4 hands down: names that fold, nodump, noatime', async () => {
  await paths.mkdir('/empty')
  await chattr('/empty', 0x4000_0000 | 0x40 | 0x80 | APPEND)
  await paths.mkdir('/empty/sub')
  await paths.write('/empty/f', '')
  const flags = (path: string) => paths.at(path, (ino) => world.fs.getFlags!(ino))
  expect([await flags('/empty/sub'), await flags('/empty/f')]).toEqual([0x4000_00c0, 0xc0])
  expect((await paths.stat('/EMPTY/F'.toLowerCase())).nlink).toBe(1)
  expect((await paths.stat('/empty/SUB')).nlink).toBe(2)
})
