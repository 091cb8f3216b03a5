// Much that is dirty is sent and recorded part by part: room comes back as segments arrive, and no crash shows a part.
import { expect, test } from 'vitest'
import { StoreError } from '../../src/store/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const SEGMENT_BYTES = 256 * 1024
const PAGE = 4096
const FILE_BYTES = 8 << 20
const isSegment = (key: string) => key.startsWith('segments/')

/** A file of ones, recorded, with every second page overwritten by twos: as many runs, of many segments. */
async function overwritten(world: World): Promise<{ write: (page: number) => unknown; close: () => Promise<void> }> {
  await new Paths(world.fs).write('/f', Buffer.alloc(FILE_BYTES, 1), { fsync: true })
  const { ino } = (await world.fs.lookup(CALLER, ROOT_INO, bytes('f'))).attributes
  const { handle } = await world.fs.open(CALLER, ino, { flags: 2 })
  const page = Buffer.alloc(PAGE, 2)
  const write = (nth: number) => world.fs.write(handle, ino, 2 * nth * PAGE, page)
  for (let nth = 0; nth < FILE_BYTES / PAGE / 2; nth++) await write(nth)
  const close = async () => {
    await world.fs.release(handle, ino)
    world.fs.forget(ino, 1)
  }
  return { write, close }
}

const expected = (() => {
  const body = Buffer.alloc(FILE_BYTES, 1)
  for (let at = 0; at < FILE_BYTES; at += 2 * PAGE) body.fill(2, at, at + PAGE)
  return body
})()

test('a writer finds room when the first of many segments has arrived', async () => {
  const world = await mount({ segmentSizeBytes: SEGMENT_BYTES, dirtyLimitBytes: FILE_BYTES / 2 })
  const { putIfAbsent } = world.store
  const held: (() => void)[] = []
  const { write, close } = await overwritten(world)
  expect(world.streams.isFull).toBe(true)
  world.store.putIfAbsent = async (key, ...rest) => {
    if (isSegment(key)) await new Promise<void>((resolve) => held.push(resolve))
    return putIfAbsent.call(world.store, key, ...rest)
  }
  let isWritten = false
  const waiting = Promise.resolve(write(0)).then(() => {
    isWritten = true
  })
  await expect.poll(() => held.length).toBeGreaterThan(5)
  expect(isWritten).toBe(false)
  held.shift()!()
  await waiting
  // The others are still on their way.
  expect(held.length).toBeGreaterThan(5)
  world.store.putIfAbsent = putIfAbsent
  for (const letGo of held) letGo()
  await world.fs.sync()
  await close()
  expect((await new Paths(world.fs).read('/f')).equals(expected)).toBe(true)
  await world.unmount()
})

test.each(['before a crash', 'before the store is back'])(
  'no commit has a part of what a round brings, %s',
  async (when) => {
    const world = await mount({ segmentSizeBytes: SEGMENT_BYTES })
    const paths = new Paths(world.fs)
    const { putIfAbsent } = world.store
    await overwritten(world)
    await paths.write('/other', 'other')
    const other = (await world.fs.lookup(CALLER, ROOT_INO, bytes('other'))).attributes.ino
    let segments = 0
    world.store.putIfAbsent = async (key, ...rest) => {
      if (isSegment(key) && ++segments > 10) throw new StoreError('fatal', 'the store is full')
      return putIfAbsent.call(world.store, key, ...rest)
    }
    expect(await errnoOf(() => world.fs.sync())).toBe('EIO')
    const recorded = FILE_BYTES / 2 - world.streams.dirtyBytes
    expect(recorded).toBeGreaterThan(SEGMENT_BYTES)
    expect(recorded).toBeLessThan(FILE_BYTES / 2)
    const { handle } = await world.fs.open(CALLER, other, { flags: 0 })
    expect(await errnoOf(() => world.fs.fsync(handle, other, false))).toBe('EIO')
    // Meanwhile it is read as it was written, from both.
    expect((await paths.read('/f')).equals(expected)).toBe(true)
    if (when === 'before the store is back') {
      world.store.putIfAbsent = putIfAbsent
      await world.fs.fsync(handle, other, false)
    }
    await world.abandon()
    const next = await mount({ store: world.store, segmentSizeBytes: SEGMENT_BYTES })
    const found = await new Paths(next.fs).read('/f')
    if (when === 'before a crash') expect(found.equals(Buffer.alloc(FILE_BYTES, 1))).toBe(true)
    else expect(found.equals(expected)).toBe(true)
    await checkConsistency(next.database)
  },
)

test('a file that is removed while it is recorded in part leaves nothing', async () => {
  const world = await mount({ segmentSizeBytes: SEGMENT_BYTES })
  const { putIfAbsent } = world.store
  const { close } = await overwritten(world)
  const held: (() => void)[] = []
  world.store.putIfAbsent = async (key, ...rest) => {
    if (isSegment(key)) await new Promise<void>((resolve) => held.push(resolve))
    return putIfAbsent.call(world.store, key, ...rest)
  }
  const before = world.streams.dirtyBytes
  const synced = world.fs.sync()
  await expect.poll(() => held.length).toBeGreaterThan(5)
  for (const letGo of held.splice(0, 3)) letGo()
  await expect.poll(() => world.streams.dirtyBytes).toBeLessThan(before)
  await new Paths(world.fs).unlink('/f')
  await close()
  expect(await errnoOf(() => world.fs.lookup(CALLER, ROOT_INO, bytes('f')))).toBe('ENOENT')
  world.store.putIfAbsent = putIfAbsent
  for (const letGo of held) letGo()
  await synced
  await world.fs.sync()
  await world.unmount()
  const next = await mount({ store: world.store, segmentSizeBytes: SEGMENT_BYTES })
  await checkConsistency(next.database)
  expect(await new Paths(next.fs).list('/')).toEqual([])
})
