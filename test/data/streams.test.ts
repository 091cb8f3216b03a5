// Streams, one promise each: what leaves early, what never leaves, what counts as dirty, who waits.
import { describe, expect, test } from 'vitest'
import {
  createReadAhead,
  createStreams,
  type ReadPart,
  type Stream,
  type StreamAttributes,
  sliceRange,
} from '../../src/data/index.ts'
import { seededRandom, systemClock } from '../../src/platform/index.ts'
import { BLOCK_BYTES, createSegmentStore, readContents, type SegmentId } from '../../src/segments/index.ts'
import { Bucket, pattern } from '../segments/bucket.ts'
import { World } from './world.ts'

const MIB = 1024 * 1024
const PIECE = 4 * BLOCK_BYTES
const at = (sec: number) => ({ sec, nsec: 0 })
const fresh: StreamAttributes = { sizeBytes: 0, mtime: at(1), ctime: at(1), atime: null }
const kinds = (parts: ReadPart[]) => parts.map((part) => part.kind)
const lengthOf = (part: ReadPart) =>
  part.kind === 'zeros' ? part.lengthBytes : part.kind === 'memory' ? part.bytes.length : part.range.lengthBytes

function setup(dirtyLimitBytes?: number) {
  const world = new World({ maxPieceBytes: PIECE, ...(dirtyLimitBytes === undefined ? {} : { dirtyLimitBytes }) })
  const stream = world.streams.open(7, fresh)
  const append = (lengthBytes: number, step = 4096) => {
    for (let done = 0; done < lengthBytes; done += step) {
      stream.write(stream.attributes.sizeBytes, pattern(Math.min(step, lengthBytes - done), done + 1), at(2))
    }
  }
  return { world, stream, append }
}

test('who was lent the memory of dirty data is told of each MiB that becomes dirty, and anew when that has left', async () => {
  const { world, append } = setup()
  append(1.5 * MIB)
  expect(world.grown).toEqual([MIB])
  append(1.5 * MIB)
  expect(world.grown).toEqual([MIB, 2 * MIB, 3 * MIB])
  for (let early = world.streams.uploadsUnderWay; early > 0; early--) {
    await world.tick()
    await world.endUpload(0)
  }
  await world.tick()
  expect(world.streams.dirtyBytes).toBeLessThan(MIB)
  append(MIB + 4096)
  expect(world.grown).toHaveLength(4)
})

describe('full runs leave early', () => {
  test('a sequential writer is dirty only with what has not left, and reads all the while', async () => {
    const { world, stream, append } = setup()
    append(2.5 * PIECE)
    expect(world.streams.uploadsUnderWay).toBe(2)
    expect(stream.dirtyBytes).toBe(2.5 * PIECE)
    expect(kinds(stream.plan(0, PIECE, []))).toContain('memory')
    await world.tick()
    await world.endUpload(0)
    expect(stream.dirtyBytes).toBe(1.5 * PIECE)
    expect(stream.earlyBytes).toBe(PIECE)
    expect(kinds(stream.plan(0, PIECE, []))).toEqual(['stored'])
    await world.endUpload(0)
    await world.tick()
    expect(world.streams.dirtyBytes).toBe(PIECE / 2)
    expect(world.streams.uploadsUnderWay).toBe(0)
    const frozen = stream.freeze()!
    expect(frozen.runs.map((run) => [run.fileOffset, run.lengthBytes])).toEqual([[2 * PIECE, PIECE / 2]])
  })

  test('two writers of one file, and writes that swap places, fill runs too', async () => {
    const { world, stream } = setup()
    const step = 8192
    for (let i = 0; i < PIECE / step; i += 2) {
      for (const base of [0, 100 * PIECE]) {
        stream.write(base + (i + 1) * step, pattern(step), at(2))
        stream.write(base + i * step, pattern(step), at(2))
      }
    }
    expect(world.streams.uploadsUnderWay).toBe(2)
  })

  test('what is dropped or cut off before it left never leaves, nor does what is not whole any more', async () => {
    const { world, stream, append } = setup()
    append(3 * PIECE)
    stream.truncate(PIECE + 100, at(3))
    await world.tick()
    expect(world.earlyStarted).toBe(1)
    expect(world.early[0]!.range.lengthBytes).toBe(PIECE)
    await world.endUpload(0)
    expect(stream.dirtyBytes).toBe(100)
    expect(stream.freeze()!.runs.map((run) => run.lengthBytes)).toEqual([100])

    const other = setup()
    other.append(2 * PIECE)
    other.world.streams.drop(7)
    await other.world.tick()
    expect(other.world.earlyStarted).toBe(0)
    expect(other.world.streams.dirtyBytes).toBe(0)
  })

  test('a failed early upload is told, its bytes stay dirty and go with the commit', async () => {
    const { world, stream, append } = setup()
    append(PIECE + 10)
    await world.tick()
    const frozen = stream.freeze()!
    expect(frozen.runs).toHaveLength(1)
    const settled = world.streams.settled([7])
    await world.endUpload(0, true)
    await settled
    expect(world.errors).toMatchObject([{ code: 'EIO' }])
    expect(stream.dirtyBytes).toBe(PIECE + 10)
    expect(() => frozen.changes()).toThrow(/without a place/)
    expect(frozen.runs.map((run) => run.lengthBytes)).toEqual([PIECE, 10])
    frozen.place(world.place(7, frozen.runs))
    expect(frozen.changes().extents).toHaveLength(1)
    stream.recorded()
    expect(world.streams.dirtyBytes).toBe(0)
  })

  test('a stored piece that was overwritten whole is deleted, after a grace', async () => {
    const { world, stream, append } = setup()
    append(PIECE)
    await world.tick()
    await world.endUpload(0)
    stream.write(100, pattern(10), at(3))
    expect(stream.earlyBytes).toBe(PIECE - 10)
    stream.truncate(0, at(3))
    expect(stream.earlyBytes).toBe(0)
    expect(world.deleted).toEqual([])
    await world.streams.deleteUnnamed()
    expect(world.deleted).toHaveLength(1)
  })

  test('a stored piece that could not be deleted is tried again with the next', async () => {
    const { world, stream, append } = setup()
    append(PIECE)
    await world.tick()
    await world.endUpload(0)
    stream.truncate(0, at(3))
    world.deletesFail = true
    await world.streams.deleteUnnamed()
    expect(world.errors).toHaveLength(1)
    world.deletesFail = false
    await world.streams.deleteUnnamed()
    expect(world.deleted).toEqual(world.earlyStored)
  })

  test('memory of a dropped frozen stream is not used again while its upload may run', () => {
    const { world, stream, append } = setup()
    append(1000)
    const parts = stream.freeze()!.runs.flatMap((run) => run.parts)
    const before = Buffer.concat(parts)
    world.streams.drop(7)
    const other = world.streams.open(8, fresh)
    for (let i = 0; i < 600; i++) other.write(i * 4096, pattern(4096, i), at(2))
    expect(Buffer.concat(parts).equals(before)).toBe(true)
    expect(world.streams.dirtyBytes).toBe(600 * 4096)
  })
})

test('what is written begins in memory where it can be copied by words, whatever was written before', () => {
  const world = new World({ maxPieceBytes: 8 * MIB })
  for (const [index, lengthBytes] of [5, 4096, 1, 100_001, 7].entries()) {
    const stream = world.streams.open(index + 1, fresh)
    stream.write(0, pattern(lengthBytes, index), at(2))
    const [part] = stream.plan(0, lengthBytes, []) as [ReadPart & { kind: 'memory' }]
    expect(part.bytes.byteOffset % 8).toBe(0)
    expect(Buffer.from(part.bytes).equals(pattern(lengthBytes, index))).toBe(true)
  }
})

describe('a slab that was read into', () => {
  const filled = (world: World, seed: number) => {
    const slab = world.streams.slabs.take()
    slab.bytes.set(pattern(slab.bytes.length, seed))
    return slab
  }
  const seen = (stream: Stream) =>
    Buffer.concat(
      stream.plan(0, 4 * MIB, []).map((part) => (part.kind === 'memory' ? part.bytes : Buffer.alloc(lengthOf(part)))),
    )

  test('is kept in place of a copy, until what it holds is recorded', () => {
    const world = new World({ maxPieceBytes: 8 * MIB })
    const stream = world.streams.open(7, fresh)
    const slab = filled(world, 1)
    stream.write(10, slab.bytes, at(2), slab)
    expect(slab.holders).toBe(2)
    const [part] = stream.plan(10, MIB, []) as [ReadPart & { kind: 'memory' }]
    expect([part.bytes.buffer === slab.bytes.buffer, part.bytes.byteOffset]).toEqual([true, slab.bytes.byteOffset])
    expect(world.streams.dirtyBytes).toBe(MIB)
    world.streams.slabs.letGo(slab)
    stream.write(10 + MIB, pattern(100, 2), at(2))
    stream.write(12, pattern(100, 3), at(2))
    const frozen = stream.freeze()!
    frozen.place(world.place(stream.ino, frozen.runs))
    frozen.changes()
    stream.recorded()
    expect(slab.holders).toBe(0)
    expect(world.streams.slabs.take().bytes.buffer).toBe(slab.bytes.buffer)
  })

  test('is copied where something in memory lies in the way, or it is not full, and is its owner’s again', () => {
    const { world, stream } = setup()
    stream.write(MIB, pattern(100, 1), at(2))
    const wanted = Buffer.alloc(2 * MIB + 7)
    wanted.set(pattern(100, 1), MIB)
    const slab = filled(world, 2)
    stream.write(7, slab.bytes, at(2), slab)
    wanted.set(slab.bytes, 7)
    stream.write(MIB + 7, slab.bytes.subarray(0, 4096), at(2), slab)
    wanted.set(slab.bytes.subarray(0, 4096), MIB + 7)
    expect(slab.holders).toBe(1)
    slab.bytes.fill(0xee)
    expect(seen(stream).equals(wanted.subarray(0, MIB + 7 + 4096))).toBe(true)
    world.streams.slabs.letGo(slab)
    expect(() => world.streams.slabs.letGo(slab)).toThrow('let go once')
  })

  test('takes nothing from what was reserved for the one before', () => {
    const world = new World({ maxPieceBytes: 8 * MIB })
    const stream = world.streams.open(7, fresh)
    let end = 0
    for (let i = 0; i < 6; i++) {
      const slab = filled(world, i)
      stream.write(end, slab.bytes, at(2), slab)
      world.streams.slabs.letGo(slab)
      stream.write(end + MIB, pattern(4096, i), at(2))
      end += MIB + 4096
    }
    const buffers = stream.plan(0, end, []).map((part) => (part.kind === 'memory' ? part.bytes.buffer : null))
    expect(new Set(buffers).size).toBe(7)
  })

  test('goes when others want the memory, but for a part', () => {
    const { world } = setup(16 * MIB)
    const { slabs } = world.streams
    const taken = Array.from({ length: 10 }, () => slabs.take())
    for (const slab of taken) slabs.letGo(slab)
    slabs.dropSpare()
    const buffers = new Set(taken.map(({ bytes }) => bytes.buffer))
    const again = Array.from({ length: 10 }, () => slabs.take())
    expect(again.filter(({ bytes }) => buffers.has(bytes.buffer)).length).toBe(4)
  })
})

describe('generations', () => {
  test('bytes of a file stay its own after another file cut its newest run off and was recorded', () => {
    const world = new World({ maxPieceBytes: 8 * MIB })
    const [a, b, d, e] = [1, 2, 3, 4].map((ino) => world.streams.open(ino, fresh)) as Stream[] as [
      Stream,
      Stream,
      Stream,
      Stream,
    ]
    const record = (stream: Stream) => {
      const frozen = stream.freeze()!
      frozen.place(world.place(stream.ino, frozen.runs))
      frozen.changes()
      stream.recorded()
    }
    a.write(0, pattern(100 * 1024, 1), at(2))
    b.write(0, pattern(4096, 2), at(2))
    a.write(100 * 1024, pattern(4096, 3), at(2))
    a.truncate(0, at(2))
    record(b)
    const body = Buffer.from(pattern(204 * 1024, 4))
    d.write(0, body, at(2))
    record(a)
    e.write(0, pattern(4096, 5), at(2))
    const seen = d.plan(0, body.length, []).map((part) => (part.kind === 'memory' ? part.bytes : Buffer.alloc(0)))
    expect(Buffer.concat(seen).equals(body)).toBe(true)
  })

  test('nothing changed: nothing to freeze; times alone are a change', () => {
    const { world, stream } = setup()
    expect(stream.freeze()).toBeNull()
    expect(stream.isDirty).toBe(false)
    expect(world.streams.get(7)).toBeUndefined()
    stream.write(0, new Uint8Array(0), at(9))
    expect(stream.isDirty).toBe(false)
    world.nowMs = 5000
    stream.setTimes({ atime: at(50), ctime: at(60) })
    expect(stream.dirtySinceMs).toBe(5000)
    expect([...world.streams]).toEqual([stream])
    expect(stream.attributes).toEqual({ sizeBytes: 0, mtime: at(1), ctime: at(60), atime: at(50) })
    const frozen = stream.freeze()!
    expect(frozen.changes()).toEqual({ truncateTo: null, extents: [], attributes: stream.attributes })
    world.nowMs = 6000
    stream.write(0, pattern(1), at(70))
    expect(stream.dirtySinceMs).toBe(5000)
    expect(stream.attributes.atime).toEqual(at(50))
    stream.recorded()
    expect(stream.dirtySinceMs).toBe(6000)
    expect(stream.attributes.atime).toBeNull()
    world.streams.release(7)
    expect(world.streams.get(7)).toBe(stream)
    expect(() => {
      stream.freeze()
      stream.freeze()
    }).toThrow(/frozen already/)
  })

  test('truncations remember the lowest size, growing leaves zeros', () => {
    const { world, stream } = setup()
    stream.write(0, pattern(1000), at(2))
    stream.truncate(600, at(3))
    stream.truncate(100, at(3))
    stream.truncate(5000, at(3))
    const parts = stream.plan(0, 10_000, [])
    expect(parts.map((part) => [part.kind, lengthOf(part)])).toEqual([
      ['memory', 100],
      ['zeros', 4900],
    ])
    const frozen = stream.freeze()!
    frozen.place(world.place(7, frozen.runs))
    const { truncateTo, extents, attributes } = frozen.changes()
    expect([truncateTo, extents.length, attributes.sizeBytes]).toEqual([100, 1, 5000])
  })

  test('sparse files reach to 2^53', () => {
    const { stream } = setup()
    const far = 2 ** 53 - 1 - 10
    stream.write(far, pattern(10), at(2))
    stream.write(2 ** 40, pattern(10), at(2))
    expect(stream.attributes.sizeBytes).toBe(2 ** 53 - 1)
    expect(stream.plan(far - 5, 100, []).map((part) => [part.kind, lengthOf(part)])).toEqual([
      ['zeros', 5],
      ['memory', 10],
    ])
    expect(() => stream.write(2 ** 53 - 1, pattern(1), at(2))).toThrow()
    expect(stream.freeze()!.runs.map((run) => run.fileOffset)).toEqual([2 ** 40, far])
  })

  test('overwrites are absorbed in place', () => {
    const { stream, append } = setup()
    append(3000, 1000)
    for (let i = 0; i < 100; i++) stream.write(i * 20, pattern(900, i), at(2))
    expect(stream.dirtyBytes).toBe(3000)
  })

  test('small neighbouring writes in any order leave as one run with parts', () => {
    const { stream } = setup()
    const order = Array.from({ length: 20 }, (_, i) => (i * 7) % 20)
    for (const page of order) stream.write(page * 4096, pattern(4096, page + 1), at(2))
    const { runs } = stream.freeze()!
    expect(runs).toHaveLength(1)
    const wanted = Array.from({ length: 20 }, (_, page) => pattern(4096, page + 1))
    expect(Buffer.concat(runs[0]!.parts).equals(Buffer.concat(wanted))).toBe(true)
  })
})

describe('the dirty limit', () => {
  test('write-back is asked for at half of it, writers wait at all of it, in order, and go on as room comes', async () => {
    const { world, stream } = setup(8 * MIB)
    for (let i = 0; i < 7; i++) stream.write(2 * i * MIB, pattern(MIB), at(2))
    // All of it left early but the gaps; early bytes need no write-back.
    const waitedFor = world.pressure
    expect(world.streams.isFull).toBe(false)
    await world.streams.roomForWrite()
    stream.write(20 * MIB, pattern(MIB), at(2))
    expect(world.streams.isFull).toBe(true)
    const order: number[] = []
    for (let i = 0; i < 5; i++) world.streams.roomForWrite().then(() => order.push(i))
    expect(world.pressure).toBeGreaterThan(waitedFor)
    await world.tick()
    expect(order).toEqual([])
    // Pieces are 128 KiB: one stored lets one writer in, and the next in a later turn.
    await world.endUpload(0)
    expect(order).toEqual([0])
    await world.tick()
    expect(order).toEqual([0, 1, 2, 3])
    await world.tick()
    expect(order).toEqual([0, 1, 2, 3, 4])
  })

  test('small scattered writes press at half the limit, once', () => {
    const { world, stream } = setup(MIB)
    for (let i = 0; i < 200; i++) stream.write(i * 8192, pattern(4096), at(2))
    expect(world.pressure).toBe(1)
  })
})

describe('with real segments', () => {
  test('reading a cold file in order costs 1.05 GETs a segment and 4', async () => {
    const bucket = new Bucket()
    const options = { store: bucket, volumeUuid: Buffer.alloc(16, 5), segmentSizeBytes: 8 * MIB, cacheBytes: 128 * MIB }
    const writing = createSegmentStore(options)
    const fileBytes = 100 * MIB
    const chunk = pattern(MIB)
    const streams = createStreams({
      maxPieceBytes: writing.maxPieceBytes,
      dirtyLimitBytes: 64 * MIB,
      clock: systemClock,
      segments: writing,
      takeSegmentId: (
        (id) => () =>
          id++ as SegmentId
      )(1),
      onPressure: () => {},
    })
    const stream = streams.open(1, fresh)
    for (let from = 0; from < fileBytes; from += MIB) {
      await streams.roomForWrite()
      stream.write(from, chunk, at(2))
    }
    const frozen = stream.freeze()!
    const packer = writing.dataPacker(streams.takeSegmentId)
    frozen.place(frozen.runs.map((run) => packer.add(1, run.fileOffset, run.parts)))
    await Promise.all([packer.upload(), streams.settled([1])])
    const { extents } = frozen.changes()
    stream.recorded()
    expect(bucket.puts).toBe(Math.ceil(fileBytes / writing.maxPieceBytes))

    const reading = createSegmentStore(options)
    const cold = streams.open(1, stream.attributes)
    const readAhead = createReadAhead({ maxReadAheadBytes: 32 * MIB })
    const step = 128 * 1024
    for (let from = 0; from < fileBytes; from += step) {
      const { fetch } = readAhead.onRead(from, step, false)
      for (const part of fetch === null ? [] : cold.plan(fetch.from, fetch.to - fetch.from, extents)) {
        if (part.kind === 'stored') reading.prefetchData(part.range)
      }
      const got: Uint8Array[] = []
      for (const part of cold.plan(from, step, extents)) {
        if (part.kind === 'stored') got.push(...(await reading.readData(part.range)))
      }
      expect(Buffer.concat(got).equals(chunk.subarray(from % MIB, (from % MIB) + step))).toBe(true)
    }
    expect(bucket.gets).toBeLessThanOrEqual((1.05 * fileBytes) / (8 * MIB) + 4)
    expect(reading.cachedBytes).toBeLessThanOrEqual(128 * MIB)
  })

  test('files packed together become few extents, segments fill, and read back', async () => {
    const bucket = new Bucket()
    const segments = createSegmentStore({
      store: bucket,
      volumeUuid: Buffer.alloc(16, 5),
      segmentSizeBytes: 8 * MIB,
      cacheBytes: 64 * MIB,
    })
    let id = 1
    const takeSegmentId = () => id++ as SegmentId
    const streams = createStreams({
      maxPieceBytes: segments.maxPieceBytes,
      dirtyLimitBytes: 256 * MIB,
      clock: systemClock,
      segments,
      takeSegmentId,
      onPressure: () => {},
    })
    const content = pattern(11 * MIB + 12345)
    for (const ino of [1, 2, 3]) {
      const stream = streams.open(ino, fresh)
      for (let from = 0; from < content.length; from += 128 * 1024) {
        stream.write(from, content.subarray(from, from + 128 * 1024), at(2))
      }
    }
    const packer = segments.dataPacker(takeSegmentId)
    const frozen = [...streams].map((stream) => stream.freeze()!)
    for (const generation of frozen) {
      generation.place(generation.runs.map((run) => packer.add(generation.ino, run.fileOffset, run.parts)))
    }
    await Promise.all([packer.upload(), streams.settled([1, 2, 3])])
    expect(bucket.objects.size).toBe(3 + 2)
    for (const object of bucket.objects.values()) readContents(object)
    for (const generation of frozen) {
      const { extents } = generation.changes()
      expect(extents.length).toBeLessThanOrEqual(3)
      const parts = await Promise.all(extents.map(async ({ range }) => Buffer.concat(await segments.readData(range))))
      expect(Buffer.concat(parts).equals(content)).toBe(true)
      streams.get(generation.ino)!.recorded()
      streams.release(generation.ino)
    }
    expect(streams.dirtyBytes).toBe(0)
    expect([...streams]).toEqual([])
  })

  test('a random writer over a stored file leaves the untouched rest of it recorded', async () => {
    const world = new World({ maxPieceBytes: PIECE })
    const random = seededRandom(1)
    const stream = world.streams.open(1, { ...fresh, sizeBytes: MIB })
    const wanted = pattern(MIB, 3)
    const [range] = world.place(1, [{ fileOffset: 0, parts: [wanted] }])
    for (let i = 0; i < 200; i++) {
      const offset = Math.floor(random.next() * (MIB - 100))
      stream.write(offset, pattern(100, i), at(2))
      pattern(100, i).copy(wanted, offset)
    }
    const parts = stream.plan(0, MIB, [{ fileOffset: 0, range: range! }])
    const shown = parts.map((part) => {
      if (part.kind === 'memory') return Buffer.from(part.bytes)
      return part.kind === 'stored' ? world.readRange(part.range) : Buffer.alloc(0)
    })
    expect(Buffer.concat(shown).equals(wanted)).toBe(true)
    expect(() => sliceRange(range!, 0, MIB + 1)).toThrow()
  })
})
