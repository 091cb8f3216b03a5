// copy_file_range: what is shared, what is copied, and that nobody takes away what a copy refers to.
import { describe, expect, test } from 'vitest'
import type { Extent } from '../../src/data/index.ts'
import { extentsOf, liveBytes, Metadata, SHARERS, SHARERS_MAX, sharersOf } from '../../src/meta/index.ts'
import { seededRandom, withoutRule } from '../../src/platform/index.ts'
import { parseSegmentKey, type SegmentId } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import type { Database, TableKind, Transaction } from '../../src/tables/index.ts'
import { checkConsistency, checkSharers } from './consistency.ts'
import { CALLER, errnoOf, formatVolume, type MountOptions, mount, Paths, type World } from './world.ts'

const SEGMENT_BYTES = 256 * 1024
const SOURCE = seededRandom(1).bytes((3 << 20) + 12_345)
const NO_GRACE = { graceMs: 0, isHurried: true }

interface Volume extends World {
  paths: Paths
  /** Requests for segments since it was mounted. */
  requests: { puts: number; gets: number }
}

async function start(options: MountOptions = {}): Promise<Volume> {
  const requests = { puts: 0, gets: 0 }
  const store = new Proxy(options.store ?? (await formatVolume()), {
    get(target, name: keyof ObjectStore) {
      const method = target[name] as unknown
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => {
        const isSegment = String(args[0]).startsWith('segments/')
        if (isSegment && name === 'putIfAbsent') requests.puts++
        if (isSegment && name === 'get') requests.gets++
        return method.apply(target, args)
      }
    },
  })
  const world = await mount({ segmentSizeBytes: SEGMENT_BYTES, ...options, store })
  return Object.assign(world, { paths: new Paths(world.fs), requests })
}

/** A volume with a file in segments, and an empty one to copy it to. */
async function withSource(options: MountOptions = {}): Promise<Volume> {
  const world = await start(options)
  await world.paths.write('/source', SOURCE)
  await world.paths.write('/copy', '')
  await world.fs.sync()
  return world
}

async function extents(world: Volume, path: string): Promise<Extent[]> {
  const { ino } = await world.paths.stat(path)
  const metadata = new Metadata({ database: world.database, nameKeys: () => 0 })
  return world.database.run(() => extentsOf(world.database, metadata.nodeOf(ino).inode, 0, Number.MAX_SAFE_INTEGER))
}

const segmentsOf = (found: readonly Extent[]): SegmentId[] => found.map(({ range }) => range.segment)

async function segmentIds(store: ObjectStore): Promise<SegmentId[]> {
  return (await store.list('segments/')).objects.map(({ key }) => parseSegmentKey(key)!)
}

async function checkAll(world: Volume): Promise<void> {
  await checkConsistency(world.database)
  await checkSharers(world.database, world.segments)
}

describe('sharing', () => {
  test('a copy of a large file moves no data, counts in usage and is known to its segments', async () => {
    const world = await withSource()
    const before = { ...world.requests }
    expect(await world.paths.copy('/source', '/copy')).toBe(SOURCE.length)
    await world.fs.sync()
    expect(world.requests).toEqual(before)
    const [source, copy] = [await extents(world, '/source'), await extents(world, '/copy')]
    expect(copy.slice(0, -1)).toEqual(source.slice(0, -1))
    const { ino } = await world.paths.stat('/copy')
    const [{ range }] = source as [Extent]
    expect(await world.database.run(() => liveBytes(world.database, range.segment))).toBe(2 * range.lengthBytes)
    expect(await world.database.run(() => sharersOf(world.database, range.segment))).toEqual([ino])
    expect((await world.paths.read('/copy')).equals(SOURCE)).toBe(true)
    await checkAll(world)
    await world.unmount()
  })

  test('the copy is seen at once, and what is written to either side after it changes that side alone', async () => {
    const world = await withSource()
    await world.paths.copy('/source', '/copy')
    await world.paths.write('/copy', 'COPY', { at: 100_000, flags: 1 })
    await world.paths.write('/source', 'SOURCE', { at: 500_000, flags: 1 })
    await world.paths.truncate('/copy', 2_000_000)
    const expected = Buffer.from(SOURCE.subarray(0, 2_000_000))
    expected.write('COPY', 100_000)
    const source = Buffer.from(SOURCE)
    source.write('SOURCE', 500_000)
    const check = async (paths: Paths) => {
      expect((await paths.read('/copy')).equals(expected)).toBe(true)
      expect((await paths.read('/source')).equals(source)).toBe(true)
    }
    await check(world.paths)
    await world.fs.sync()
    await check(world.paths)
    await world.abandon()
    const again = await start({ store: world.store })
    await check(again.paths)
    await checkAll(again)
    await again.unmount()
  })

  test('a source that is not recorded is recorded first; a little of it is copied', async () => {
    const world = await start()
    await world.paths.write('/source', SOURCE)
    await world.paths.write('/copy', '')
    await world.paths.copy('/source', '/copy')
    expect(world.streams.dirtyBytes).toBeLessThan(64 * 1024)
    await world.paths.write('/small', SOURCE.subarray(0, 200_000))
    await world.paths.write('/small-copy', '')
    await world.paths.copy('/small', '/small-copy')
    expect(world.streams.get((await world.paths.stat('/small-copy')).ino)!.dirtyBytes).toBe(200_000)
    await world.fs.sync()
    for (const path of ['/source', '/copy']) expect((await world.paths.read(path)).equals(SOURCE)).toBe(true)
    expect((await world.paths.read('/small-copy')).equals(SOURCE.subarray(0, 200_000))).toBe(true)
    await checkAll(world)
    await world.unmount()
  })

  test('what an O_TRUNC holds back is not recorded for the sake of a copy', async () => {
    const world = await withSource()
    const { ino } = await world.paths.stat('/source')
    const { handle } = await world.fs.open(CALLER, ino, { flags: 0o1001 })
    await world.fs.write(handle, ino, 0, SOURCE.subarray(0, 2 << 20))
    await world.paths.copy('/source', '/copy')
    await world.fs.fsyncdir((await world.paths.stat('/copy')).ino)
    expect((await world.paths.read('/copy')).equals(SOURCE.subarray(0, 2 << 20))).toBe(true)
    await world.abandon()
    const again = await start({ store: world.store })
    expect((await again.paths.read('/source')).equals(SOURCE)).toBe(true)
    await again.unmount()
  })

  test('holes copy as holes, over data too', async () => {
    const world = await withSource()
    await world.paths.write('/holes', 'begin')
    await world.paths.truncate('/holes', 10 << 20)
    await world.paths.write('/holes', 'end', { at: (20 << 20) - 3, flags: 1 })
    await world.fs.sync()
    await world.paths.copy('/holes', '/copy')
    await world.paths.copy('/holes', '/source')
    await world.fs.sync()
    const wanted = Buffer.alloc(20 << 20)
    wanted.write('begin')
    wanted.write('end', wanted.length - 3)
    for (const path of ['/copy', '/source']) {
      expect((await world.paths.read(path)).equals(wanted), path).toBe(true)
      expect((await world.paths.stat(path)).allocatedBytes, path).toBe(8)
    }
    await checkAll(world)
    await world.unmount()
  })

  test('parts of less than 64 KiB are copied, and so is what a commit carries', async () => {
    const world = await withSource()
    await world.paths.copy('/source', '/copy', { at: 1000, to: 5000, lengthBytes: 60_000 })
    await world.fs.sync()
    await world.paths.write('/inline', SOURCE.subarray(0, 200_000))
    await world.fs.sync()
    await world.paths.write('/inline-copy', '')
    await world.paths.copy('/inline', '/inline-copy')
    await world.fs.sync()
    const source = new Set([
      ...segmentsOf(await extents(world, '/source')),
      ...segmentsOf(await extents(world, '/inline')),
    ])
    const copies = [...(await extents(world, '/copy')), ...(await extents(world, '/inline-copy'))]
    expect(segmentsOf(copies).filter((segment) => source.has(segment))).toEqual([])
    expect((await world.paths.read('/copy', 5000)).equals(SOURCE.subarray(1000, 61_000))).toBe(true)
    await world.fs.checkpointNow()
    expect((await world.paths.read('/inline-copy')).equals(SOURCE.subarray(0, 200_000))).toBe(true)
    await checkAll(world)
    await world.unmount()
  })

  test('a segment has a thousand sharers at most; who comes after them copies bytes', async () => {
    const world = await withSource()
    const lengthBytes = 70_000
    for (let index = 0; index <= SHARERS_MAX; index++) {
      await world.paths.write(`/c${index}`, '')
      await world.paths.copy('/source', `/c${index}`, { lengthBytes })
      // Some of them recorded, some not.
      if (index === 600) await world.fs.sync()
    }
    await world.fs.sync()
    const [{ range }] = (await extents(world, '/source')) as [Extent]
    expect(await world.database.run(() => sharersOf(world.database, range.segment))).toHaveLength(SHARERS_MAX)
    const last = await extents(world, `/c${SHARERS_MAX}`)
    expect(segmentsOf(last)).not.toContain(range.segment)
    expect((await world.paths.read(`/c${SHARERS_MAX}`)).equals(SOURCE.subarray(0, lengthBytes))).toBe(true)
    await world.unmount()
  }, 60_000)

  test('a stream with very many shared parts is recorded before it takes more', async () => {
    const world = await withSource({ shareMinBytes: 1 })
    const { ino } = await world.paths.stat('/copy')
    for (let index = 0; index < 66_000; index++) {
      await world.paths.copy('/source', '/copy', { at: 10, to: index * 2, lengthBytes: 1 })
    }
    expect(world.streams.get(ino)!.unrecordedPlaces).toBeLessThan(1000)
    await world.unmount()
  }, 60_000)
})

test('a stream that a copy had to record is not held back any more by an O_TRUNC', async () => {
  const { store, paths, fs, streams, clock } = await withSource()
  await paths.write('/copy', 'old')
  await fs.sync()
  const [source, copy] = [await paths.stat('/source'), await paths.stat('/copy')]
  const from = { handle: (await fs.open(CALLER, source.ino, { flags: 0 })).handle, ino: source.ino, offset: 0 }
  const to = { handle: (await fs.open(CALLER, copy.ino, { flags: 0o1001 })).handle, ino: copy.ino, offset: 0 }
  for (let index = 0; index < 66_000; index++) streams.get(copy.ino)!.punch(index * 2, 1, clock.now())
  expect(await fs.copyFileRange(from, to, 100_000, 0)).toBe(100_000)
  await clock.advance(5_000)
  for (let turns = 0; turns < 20; turns++) await clock.yield()
  const crashed = new Paths((await mount({ store })).fs)
  expect((await crashed.read('/copy', 0, 100_000)).equals(SOURCE.subarray(0, 100_000))).toBe(true)
})

test('a chunk looks once at who shares a segment, however many parts lie there', async () => {
  let looks = 0
  const wrap = (database: Database) =>
    new Proxy(database, {
      get(target, name: keyof Database) {
        const member = target[name]
        if (typeof member !== 'function') return member
        if (name !== 'table') return member.bind(target)
        return (kind: TableKind, owner = 0) => {
          if (kind === SHARERS) looks++
          return target.table(kind, owner)
        }
      },
    })
  const world = await start({ shareMinBytes: 1, inlineBytesMax: 0, wrap })
  await world.paths.write('/source', SOURCE.subarray(0, 200_000))
  await world.paths.write('/copy', '')
  await world.fs.sync()
  for (let at = 0; at < 200_000; at += 2000) await world.paths.write('/source', 'x', { at, flags: 1 })
  await world.fs.sync()
  expect(await extents(world, '/source')).toHaveLength(200)
  looks = 0
  await world.paths.copy('/source', '/copy')
  expect(looks).toBe(2)
  await world.unmount()
})

test('a copy of many chunks lets others work between them', async () => {
  const world = await withSource()
  await world.paths.truncate('/source', 2 ** 36)
  let [turns, isCopying] = [0, true]
  const count = (): void => {
    turns++
    if (isCopying) setImmediate(count)
  }
  setImmediate(count)
  expect(await world.paths.copy('/source', '/copy')).toBe(2 ** 36)
  isCopying = false
  expect(turns).toBeGreaterThanOrEqual(2 ** 36 / (64 << 20) - 1)
  await world.unmount()
})

test('many copies are recorded a bounded number of parts a turn', async () => {
  const sizes: number[] = []
  const wrap = (database: Database) =>
    new Proxy(database, {
      get(target, name: keyof Database) {
        const member = target[name]
        if (typeof member !== 'function') return member
        if (name !== 'apply') return member.bind(target)
        return (transaction: Transaction & { operations: readonly unknown[] }) => {
          sizes.push(transaction.operations.length)
          target.apply(transaction)
        }
      },
    })
  const world = await withSource({ shareMinBytes: 1, wrap })
  const [files, parts] = [100, 100]
  for (let file = 0; file < files; file++) {
    await world.paths.write(`/${file}`, '')
    for (let part = 0; part < parts; part++)
      await world.paths.copy('/source', `/${file}`, { at: 10, to: part * 2, lengthBytes: 1 })
  }
  const before = { ...world.requests }
  sizes.length = 0
  await world.fs.sync()
  expect(Math.max(...sizes)).toBeLessThan(5000)
  expect(world.requests).toEqual(before)
  for (let file = 0; file < files; file++) expect((await world.paths.stat(`/${file}`)).sizeBytes).toBe(2 * parts - 1)
  await checkAll(world)
  await world.unmount()
})

describe('answers', () => {
  test('EINVAL, EISDIR, EBADF and EFBIG as copy_file_range(2) says; short at the end of the source', async () => {
    const world = await withSource()
    const { fs, paths } = world
    await paths.mkdir('/dir')
    expect(await errnoOf(() => paths.copy('/source', '/source', { at: 0, to: 100, lengthBytes: 1000 }))).toBe('EINVAL')
    expect(await paths.copy('/source', '/source', { at: 0, to: 1000, lengthBytes: 1000 })).toBe(1000)
    expect(await paths.copy('/source', '/copy', { at: SOURCE.length - 7 })).toBe(7)
    expect(await paths.copy('/source', '/copy', { at: SOURCE.length })).toBe(0)
    expect(await errnoOf(() => paths.copy('/dir', '/copy'))).toBe('EISDIR')
    expect(await errnoOf(() => paths.copy('/source', '/copy', { to: Number.MAX_SAFE_INTEGER - 10 }))).toBe('EFBIG')
    const { ino } = await paths.stat('/copy')
    const reader = (await fs.open(CALLER, ino, { flags: 0 })).handle
    const end = { handle: reader, ino, offset: 0 }
    expect(await errnoOf(() => fs.copyFileRange(end, end, 1, 0))).toBe('EBADF')
    const writer = { ...end, handle: (await fs.open(CALLER, ino, { flags: 1 })).handle }
    expect(await errnoOf(() => fs.copyFileRange(end, writer, 1, 1))).toBe('EINVAL')
    await fs.release(reader, ino)
    await fs.release(writer.handle, ino)
    await world.unmount()
  })

  test('the destination gets new times', async () => {
    const world = await withSource()
    world.clock.fixedSec = 1_800_000_000
    await world.paths.copy('/source', '/copy')
    const { mtime, ctime } = await world.paths.stat('/copy')
    expect([mtime.sec, ctime.sec]).toEqual([1_800_000_000, 1_800_000_000])
    expect((await world.paths.stat('/source')).mtime.sec).not.toBe(1_800_000_000)
    await world.unmount()
  })
})

describe('a copy whose source is deleted and cleaned before the copy is recorded', () => {
  /** Everything but the copy is durable, in `root`; the copy is in memory alone. */
  async function sourceGone(): Promise<Volume & { shared: SegmentId[] }> {
    const world = await withSource()
    const shared = segmentsOf(await extents(world, '/source'))
    await world.paths.copy('/source', '/copy')
    await world.paths.unlink('/source')
    await world.fs.orphansEmptied()
    await world.database.commit()
    await world.database.checkpoint(world.fs.checkpointHooks)
    expect(await world.database.run(() => liveBytes(world.database, shared[0]!))).toBe(0)
    return Object.assign(world, { shared })
  }

  test('its segments stay until the record that names them, and from then on', async () => {
    const world = await sourceGone()
    await world.fs.clean(NO_GRACE)
    expect(await segmentIds(world.store)).toEqual(expect.arrayContaining(world.shared.slice(0, -1)))
    await world.fs.sync()
    await world.abandon()
    const again = await start({ store: world.store })
    await again.fs.checkpointNow()
    await again.fs.clean(NO_GRACE)
    expect((await again.paths.read('/copy')).equals(SOURCE)).toBe(true)
    await checkAll(again)
    await again.unmount()
  })

  test('the grace period counts from when the copy is gone too', async () => {
    const world = await sourceGone()
    const pass = () => world.fs.clean({ graceMs: 3_600_000, isHurried: true })
    await pass()
    await world.clock.advance(3_599_000)
    // Its record brings them back to life: who mounts now and only reads may read them for an hour.
    await world.fs.sync()
    await world.paths.unlink('/copy')
    await world.fs.orphansEmptied()
    await world.fs.sync()
    await world.fs.checkpointNow()
    await world.clock.advance(2_000)
    await pass()
    expect(await segmentIds(world.store)).toEqual(expect.arrayContaining(world.shared.slice(0, -1)))
    await world.clock.advance(3_600_000)
    await pass()
    const left = new Set(await segmentIds(world.store))
    expect(world.shared.filter((id) => left.has(id))).toEqual([])
    await world.unmount()
  })

  test('they go when the copy goes without ever being recorded', async () => {
    const world = await sourceGone()
    await world.paths.unlink('/copy')
    await world.fs.orphansEmptied()
    await world.fs.clean(NO_GRACE)
    const left = new Set(await segmentIds(world.store))
    expect(world.shared.filter((id) => left.has(id))).toEqual([])
    await world.unmount()
  })

  test('without the rule "segments in use in memory stay" the copy is lost', async () => {
    const world = await sourceGone()
    await withoutRule('segments that streams refer to stay', () => world.fs.clean(NO_GRACE))
    await world.abandon()
    const left = new Set(await segmentIds(world.store))
    expect(world.shared.filter((id) => left.has(id))).toEqual([])
  })
})

/** A store that calls `between.work`, once, before the next segment is put. */
async function interruptedStore(): Promise<{ store: ObjectStore; between: { work: (() => Promise<void>) | null } }> {
  const between: { work: (() => Promise<void>) | null } = { work: null }
  const store = new Proxy(await formatVolume(), {
    get(target, name: keyof ObjectStore) {
      const method = target[name] as (...args: unknown[]) => unknown
      if (name !== 'putIfAbsent') return typeof method === 'function' ? method.bind(target) : method
      return async (...args: unknown[]) => {
        const { work } = between
        if (String(args[0]).startsWith('segments/') && work !== null) {
          between.work = null
          await work()
        }
        return method.apply(target, args)
      }
    },
  })
  return { store, between }
}

describe('the cleaner and what is shared', () => {
  test('an unmount does not wait until all that share something were looked at', async () => {
    const world = await withSource()
    const files = 500
    for (let file = 0; file < files; file++) {
      await world.paths.write(`/${file}`, '')
      await world.paths.copy('/source', `/${file}`, { lengthBytes: 70_000 })
    }
    await world.fs.sync()
    await world.fs.checkpointNow()
    let yields = 0
    const { clock } = world
    const yieldTurn = clock.yield.bind(clock)
    clock.yield = () => {
      yields++
      return yieldTurn()
    }
    const cleaned = world.fs.clean(NO_GRACE)
    while (yields < 20) await yieldTurn()
    await Promise.all([world.unmount(), cleaned])
    expect(yields).toBeLessThan(files / 2)
  })

  test('what files share is moved once, and stays shared', async () => {
    const world = await withSource()
    for (const path of ['/b', '/c']) {
      await world.paths.write(path, '')
      await world.paths.copy('/source', path, { at: 40_000, lengthBytes: 70_000 })
    }
    await world.paths.copy('/source', '/copy', { at: 70_000, to: 5, lengthBytes: 70_000 })
    await world.fs.sync()
    await world.paths.unlink('/source')
    await world.fs.orphansEmptied()
    await world.fs.sync()
    await world.fs.checkpointNow()
    await world.fs.clean(NO_GRACE)
    await world.fs.sync()
    const [b, c, copy] = await Promise.all(['/b', '/c', '/copy'].map((path) => extents(world, path)))
    expect(b).toEqual(c)
    expect(segmentsOf(copy!)).toEqual(segmentsOf(b!))
    expect(world.fs.status().cleaner.movedBytes).toBe(3 * 70_000)
    const { bytes } = (await world.segments.sizes(segmentsOf(b!))).get(segmentsOf(b!)[0]!)!
    expect(bytes).toBe(100_000)
    expect((await world.paths.read('/b')).equals(SOURCE.subarray(40_000, 110_000))).toBe(true)
    expect((await world.paths.read('/copy', 5)).equals(SOURCE.subarray(70_000, 140_000))).toBe(true)
    await checkAll(world)
    await world.unmount()
  })

  test('a file that a copy gave other bytes of the same segment while it was moved keeps those', async () => {
    const { store, between } = await interruptedStore()
    const world = await start({ store, inlineBytesMax: 0 })
    const body = SOURCE.subarray(0, 240_000)
    await world.paths.write('/source', body)
    await world.paths.write('/file', '')
    await world.fs.sync()
    await world.paths.copy('/source', '/file', { at: 0, lengthBytes: 70_000 })
    await world.paths.truncate('/source', 150_000)
    await world.paths.write('/source', 'x', { flags: 0o1001 })
    await world.fs.sync()
    await world.fs.checkpointNow()
    await world.paths.write('/other', '')
    // While what lives of the segment is on its way, /file comes to refer to another part of it by way of a copy.
    await world.paths.copy('/file', '/other', { at: 0, lengthBytes: 70_000 })
    await world.fs.sync()
    await world.fs.checkpointNow()
    between.work = async () => {
      await world.paths.copy('/other', '/file', { at: 1000, lengthBytes: 65_536 })
      await world.fs.sync()
    }
    await world.fs.clean(NO_GRACE)
    expect(between.work, 'the segment was moved').toBeNull()
    const wanted = Buffer.concat([body.subarray(1000, 66_536), body.subarray(65_536, 70_000)])
    expect((await world.paths.read('/file')).equals(wanted)).toBe(true)
    await world.fs.sync()
    await checkAll(world)
    // The next pass moves what was left.
    const left = segmentsOf(await extents(world, '/file'))[0]!
    await world.fs.checkpointNow()
    await world.fs.clean(NO_GRACE)
    expect(segmentsOf(await extents(world, '/file'))).not.toContain(left)
    expect((await world.paths.read('/file')).equals(wanted)).toBe(true)
    await checkAll(world)
    await world.unmount()
  })

  test('a file of which a part was overwritten while it was moved counts once where it is moved again', async () => {
    const { store, between } = await interruptedStore()
    const world = await start({ store, inlineBytesMax: 0, shareMinBytes: 32 * 1024 })
    const { paths, fs } = world
    const [kib32, kib64] = [32 * 1024, 64 * 1024]
    await paths.write('/a', SOURCE.subarray(0, 2 * kib64 + kib32))
    await paths.write('/b', '')
    await fs.sync()
    await paths.copy('/a', '/b', { at: kib32, lengthBytes: kib64 })
    await fs.sync()
    // /a has its first 64 KiB here, /b the 64 KiB from the middle of these on; what follows of /a lies elsewhere.
    await paths.truncate('/a', kib64)
    await fs.sync()
    const tail = SOURCE.subarray(0, kib64)
    await paths.write('/a', tail, { at: kib64, flags: 1 })
    await paths.write('/filler', SOURCE.subarray(0, 2 * kib64))
    await fs.sync()
    await paths.unlink('/filler')
    await fs.orphansEmptied()
    await fs.sync()
    await fs.checkpointNow()
    // While all of it is on its way together, the part that is shared is written over.
    between.work = async () => {
      await paths.write('/a', SOURCE.subarray(0, kib64), { flags: 1 })
      await fs.sync()
    }
    await fs.clean(NO_GRACE)
    expect(between.work, 'they were moved').toBeNull()
    await checkAll(world)
    for (let pass = 0; pass < 3; pass++) {
      await paths.write('/b', '')
      await fs.sync()
      await fs.checkpointNow()
      await fs.clean(NO_GRACE)
      await checkAll(world)
    }
    expect((await paths.read('/a')).equals(Buffer.concat([SOURCE.subarray(0, kib64), tail]))).toBe(true)
    await world.unmount()
  })
})
