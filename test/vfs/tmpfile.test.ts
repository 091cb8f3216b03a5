// Files that are made without a name (O_TMPFILE): they get one by link, or go with whoever has them open.
import { beforeEach, expect, test } from 'vitest'
import { ORPHANS } from '../../src/meta/index.ts'
import { type Handle, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const O_RDWR = 2
const O_EXCL = 0o200

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
})

async function nameless(flags = O_RDWR): Promise<{ ino: Ino; handle: Handle; close: () => Promise<void> }> {
  const { entry, opened } = await world.fs.tmpfile!(CALLER, ROOT_INO, 0o640, { flags })
  const { ino } = entry.attributes
  expect(entry.attributes).toMatchObject({ mode: 0o100640, nlink: 0, uid: CALLER.uid })
  const close = async () => {
    await world.fs.release(opened.handle, ino)
    world.fs.forget(ino, 1)
  }
  return { ino, handle: opened.handle, close }
}

const link = async (ino: Ino, name: string) => {
  const { attributes } = await world.fs.link(CALLER, ino, ROOT_INO, bytes(name))
  world.fs.forget(ino, 1)
  return attributes
}

test('has no name, and goes when nobody has it open', async () => {
  for (const body of ['', 'some bytes']) {
    const file = await nameless()
    await world.fs.write(file.handle, file.ino, 0, bytes(body))
    await world.fs.fsync(file.handle, file.ino, false)
    expect(await paths.list('/')).toEqual([])
    expect(Buffer.concat(await world.fs.read(file.handle, file.ino, 0, 100)).toString()).toBe(body)
    await file.close()
    await world.fs.orphansEmptied()
    expect(await errnoOf(() => world.fs.getattr(file.ino))).toBe('ESTALE')
    await checkConsistency(world.database)
  }
})

test.each([
  ['without bytes', '', false],
  ['with bytes that are not recorded', 'bytes', false],
  ['with bytes that are', 'bytes', true],
])('gets a name by link, %s', async (_how, body, isSynced) => {
  const file = await nameless()
  if (body !== '') await world.fs.write(file.handle, file.ino, 0, bytes(body))
  if (isSynced) await world.fs.fsync(file.handle, file.ino, false)
  expect(await link(file.ino, 'named')).toMatchObject({ ino: file.ino, nlink: 1, sizeBytes: body.length })
  await world.fs.write(file.handle, file.ino, body.length, bytes('!'))
  await file.close()
  await world.fs.orphansEmptied()
  expect(await paths.text('/named')).toBe(`${body}!`)
  await world.fs.sync()
  await world.abandon()
  const next = await mount({ store: world.store })
  await checkConsistency(next.database)
  expect(next.database.table(ORPHANS).isEmpty()).toBe(true)
  expect(await new Paths(next.fs).text('/named')).toBe(`${body}!`)
  expect(await new Paths(next.fs).stat('/named')).toMatchObject({ ino: file.ino, nlink: 1, mode: 0o100640 })
})

test('what was synced before it got a name is there under the name', async () => {
  const file = await nameless()
  await world.fs.write(file.handle, file.ino, 0, Buffer.alloc(3 << 20, 7))
  await world.fs.fsync(file.handle, file.ino, false)
  await link(file.ino, 'named')
  const root = await paths.stat('/')
  await paths.mkdir('/d')
  await paths.at('/d', (ino) => world.fs.fsyncdir(ino))
  expect(root.ino).toBe(ROOT_INO)
  await world.abandon()
  const next = await mount({ store: world.store })
  expect((await new Paths(next.fs).read('/named')).equals(Buffer.alloc(3 << 20, 7))).toBe(true)
  await checkConsistency(next.database)
})

test('has as many names as others then, and loses them', async () => {
  const file = await nameless()
  await world.fs.write(file.handle, file.ino, 0, bytes('x'))
  await link(file.ino, 'a')
  expect(await link(file.ino, 'b')).toMatchObject({ nlink: 2 })
  await paths.unlink('/a')
  await paths.unlink('/b')
  expect(await errnoOf(() => link(file.ino, 'c'))).toBe('ENOENT')
  await file.close()
  await world.fs.orphansEmptied()
  expect(await errnoOf(() => world.fs.getattr(file.ino))).toBe('ESTALE')
  await checkConsistency(world.database)
})

test('gets no name where O_EXCL forbids it, nor one that is taken', async () => {
  const exclusive = await nameless(O_RDWR | O_EXCL)
  expect(await errnoOf(() => link(exclusive.ino, 'named'))).toBe('ENOENT')
  await paths.write('/taken', '')
  const file = await nameless()
  expect(await errnoOf(() => link(file.ino, 'taken'))).toBe('EEXIST')
  await link(file.ino, 'free')
})

test('inherits the group of a set-group-ID directory', async () => {
  await paths.mkdir('/d')
  await paths.at('/d', async (ino) => {
    await world.fs.setattr(CALLER, ino, { gid: 42, mode: 0o2775 })
    const { entry } = await world.fs.tmpfile!(CALLER, ino, 0o644, { flags: O_RDWR })
    expect(entry.attributes).toMatchObject({ gid: 42, mode: 0o100644 })
  })
  expect(await errnoOf(() => paths.at('/d/x', () => null))).toBe('ENOENT')
})

test('goes in a crash, with its bytes', async () => {
  const file = await nameless()
  await world.fs.write(file.handle, file.ino, 0, Buffer.alloc(100_000, 1))
  await world.fs.fsync(file.handle, file.ino, false)
  await world.fs.checkpointNow()
  await world.abandon()
  const next = await mount({ store: world.store })
  await next.fs.orphansEmptied()
  await checkConsistency(next.database)
  expect(next.database.table(ORPHANS).isEmpty()).toBe(true)
  expect(await errnoOf(() => next.fs.getattr(file.ino))).toBe('ESTALE')
})
