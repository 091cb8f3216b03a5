// What goes wrong costs what it must and no more: the rest of the volume works on, and unmounts.
import { expect, test, vi } from 'vitest'
import { liveBytes, ORPHANS } from '../../src/meta/index.ts'
import { FsError } from '../../src/platform/index.ts'
import type { SegmentId } from '../../src/segments/index.ts'
import { StoreError } from '../../src/store/index.ts'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const BLOCK = 32 * 1024

/** Opens a file, with the reference that the kernel would hold. */
async function opened(world: World, name: string) {
  const { attributes } = await world.fs.lookup(CALLER, ROOT_INO, bytes(name))
  const ino: Ino = attributes.ino
  const { handle } = await world.fs.open(CALLER, ino, { flags: 2 })
  const close = async () => {
    await world.fs.release(handle, ino)
    world.fs.forget(ino, 1)
  }
  return { ino, handle, close }
}

async function keysUnder(world: World, prefix: string): Promise<string[]> {
  return (await world.store.list(prefix)).objects.map(({ key }) => key)
}

/** Ids of segments in the store that no record names, and no page segment either. */
async function unnamedSegments(world: World, before: readonly string[]): Promise<string[]> {
  const unnamed: string[] = []
  for (const key of await keysUnder(world, 'segments/')) {
    if (before.includes(key)) continue
    const id = Number(key.slice(key.lastIndexOf('/') + 1)) as SegmentId
    if ((await world.database.run(() => liveBytes(world.database, id))) === null) unnamed.push(key)
  }
  return unnamed
}

test('a mount that goes away while an unlinked file is open unmounts clean', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', Buffer.alloc(4096, 1), { fsync: true })
  await opened(world, 'f')
  await new Paths(world.fs).unlink('/f')
  await world.unmount()
  const next = await mount({ store: world.store })
  expect(next.database.table(ORPHANS).isEmpty()).toBe(true)
  await checkConsistency(next.database)
})

test('an early upload that failed while the store was away does not fail a later fsync', async () => {
  const world = await mount({ segmentSizeBytes: 256 * 1024, inlineBytesMax: 64 * 1024 })
  const paths = new Paths(world.fs)
  await paths.write('/f', '')
  const { ino, handle } = await opened(world, 'f')
  const { putIfAbsent } = world.store
  world.store.putIfAbsent = async () => {
    throw new StoreError('fatal', 'the store is away')
  }
  const body = Buffer.alloc(1 << 20, 7)
  for (let at = 0; at < body.length; at += 65536) await world.fs.write(handle, ino, at, body.subarray(at, at + 65536))
  expect(world.streams.uploadsUnderWay).toBeGreaterThan(0)
  await vi.waitUntil(() => world.streams.uploadsUnderWay === 0)
  world.store.putIfAbsent = putIfAbsent
  expect(await errnoOf(() => world.fs.fsync(handle, ino, false))).toBe('none')
  await world.abandon()
  expect((await new Paths((await mount({ store: world.store })).fs).read('/f')).equals(body)).toBe(true)
})

test('segments of a round that failed are deleted when a later one succeeds', async () => {
  const world = await mount({ inlineBytesMax: 1024 })
  const paths = new Paths(world.fs)
  await paths.write('/f', '', { fsync: true })
  const before = await keysUnder(world, 'segments/')
  await paths.write('/f', Buffer.alloc(4096, 1), { flags: 1 })
  world.database.apply = () => {
    throw new FsError('EIO', 'a page cannot be read')
  }
  expect(await errnoOf(() => world.fs.sync())).toBe('EIO')
  delete (world.database as Partial<typeof world.database>).apply
  expect(await unnamedSegments(world, before)).toHaveLength(1)
  await world.fs.sync()
  expect(await unnamedSegments(world, before)).toEqual([])
})

test('a store that refuses DELETE of segments fails neither fsync nor checkpoint nor unmount', async () => {
  const warnings: string[] = []
  const world = await mount({
    inlineBytesMax: 64 * 1024,
    log: (level, message) => level === 'warn' && warnings.push(message),
  })
  const paths = new Paths(world.fs)
  world.segments.delete = async () => {
    throw new FsError('EIO', 'DELETE is denied')
  }
  // Uploaded by a checkpoint, and by a round, but overwritten or dropped before it is recorded.
  await paths.write('/moved', Buffer.alloc(4096, 1), { fsync: true })
  await paths.write('/large', Buffer.alloc(1 << 20, 1))
  const { putIfAbsent } = world.store
  world.store.putIfAbsent = async (key, body, ...rest) => {
    if (key.startsWith('segments/')) {
      for (const name of ['/moved', '/large']) await paths.unlink(name).catch(() => {})
      await world.fs.orphansEmptied()
    }
    return putIfAbsent.call(world.store, key, body, ...rest)
  }
  await world.fs.checkpointNow()
  expect(warnings).toHaveLength(1)
  await paths.write('/large', Buffer.alloc(1 << 20, 1))
  await world.fs.sync()
  expect(warnings).toHaveLength(2)
  await world.unmount()
  await checkConsistency((await mount({ store: world.store })).database)
})

test('a read of which one part fails at once and another later fails, and harms nothing else', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/f', Buffer.alloc(4096, 1), { fsync: true })
  await paths.write('/f', Buffer.alloc(4096, 2), { at: 65536, flags: 1, fsync: true })
  let reads = 0
  let fail = () => {}
  world.segments.readData = () => {
    if (reads++ > 0) throw new FsError('EIO', 'a damaged block')
    return new Promise((_resolve, reject) => {
      fail = () => reject(new FsError('EIO', 'a missing object'))
    })
  }
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  expect(await errnoOf(() => paths.read('/f'))).toBe('EIO')
  fail()
  for (let turns = 0; turns < 3; turns++) await world.clock.yield()
  process.off('unhandledRejection', unhandled)
  expect(unhandled).not.toHaveBeenCalled()
})

test('a damaged block in a replayed commit costs that block alone, and no checkpoint', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', Buffer.alloc(3 * BLOCK, 7), { fsync: true })
  const intact = await keysUnder(world, 'journal/')
  await world.abandon()
  for (const key of intact) {
    const { body } = await world.store.get(key)
    const at = body.indexOf(Buffer.alloc(100, 7))
    if (at < 0) continue
    const damaged = Buffer.from(body)
    damaged[at + BLOCK + 1000]! ^= 1
    await world.store.delete([key])
    await world.store.putIfAbsent(key, [damaged])
  }

  const errors: string[] = []
  const next = await mount({
    store: world.store,
    log: (level, message) => level === 'error' && errors.push(message),
  })
  const expectOneLost = async (mounted: World) => {
    const paths = new Paths(mounted.fs)
    for (const [block, outcome] of [
      [0, 'none'],
      [1, 'EIO'],
      [2, 'none'],
    ] as const) {
      expect(await errnoOf(() => paths.read('/f', block * BLOCK, BLOCK))).toBe(outcome)
    }
  }
  await expectOneLost(next)
  await next.fs.checkpointNow()
  expect(errors).toEqual([
    expect.stringMatching(/^segments\/.* damaged block .* inode \d+ has lost 32768 bytes at 32768$/),
  ])
  await expectOneLost(next)
  await next.unmount()

  const last = await mount({ store: world.store })
  expect(last.database.status.replayedCommits).toBe(0)
  await expectOneLost(last)
  await new Paths(last.fs).unlink('/f')
  await last.fs.orphansEmptied()
  await checkConsistency(last.database)
  await last.unmount()
})

test('orphans that a failure of the store kept are dropped once it works again', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/f', Buffer.alloc(4096, 1), { fsync: true })
  const file = await opened(world, 'f')
  await paths.unlink('/f')
  const { putIfAbsent } = world.store
  world.store.putIfAbsent = async () => {
    throw new StoreError('fatal', 'the store is away')
  }
  await paths.write('/large', Buffer.alloc(3 << 20, 1))
  expect(await errnoOf(() => world.fs.sync())).toBe('EIO')
  await file.close()
  await world.fs.orphansEmptied()
  expect(world.database.table(ORPHANS).isEmpty()).toBe(false)
  world.store.putIfAbsent = putIfAbsent
  await world.fs.sync()
  await world.fs.orphansEmptied()
  expect(world.database.table(ORPHANS).isEmpty()).toBe(true)
})

test('a mount that replayed a journal and then only reads writes a checkpoint in time', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', 'x', { fsync: true })
  await world.abandon()
  const next = await mount({ store: world.store })
  const { checkpointNumber } = next.database.status
  for (let seconds = 0; seconds < 65; seconds += 5) await next.clock.advance(5_000)
  await vi.waitUntil(() => next.database.status.checkpointNumber > checkpointNumber)
})
