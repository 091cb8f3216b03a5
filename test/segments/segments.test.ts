// Segments: what is packed is read back, verified; what it costs in requests; what damage and failures do.
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { FsError } from '../../src/platform/index.ts'
import {
  BLOCK_BYTES,
  createSegmentStore,
  type DataRange,
  joinRanges,
  liveBytesOf,
  type PagePointer,
  parseSegmentKey,
  rawBytesOf,
  readContents,
  type SegmentId,
  type SegmentStoreOptions,
  segmentKey,
  sliceRange,
  storedBytesOf,
} from '../../src/segments/index.ts'
import { StoreError } from '../../src/store/index.ts'
import { Bucket, pattern } from './bucket.ts'

const MIB = 1024 * 1024
const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

let bucket: Bucket
let nextId: number
beforeEach(() => {
  bucket = new Bucket()
  nextId = 1
})
const takeId = () => nextId++ as SegmentId
const open = (options: Partial<SegmentStoreOptions> = {}) =>
  createSegmentStore({
    store: bucket,
    volumeUuid: uuid,
    segmentSizeBytes: 8 * MIB,
    cacheBytes: 256 * MIB,
    ...options,
  })
const idsInBucket = () => [...bucket.objects.keys()].map((key) => parseSegmentKey(key)!)

describe('format', () => {
  test('a key names shard and id', () => {
    expect(segmentKey(0x1234 as SegmentId)).toBe('segments/34/00000000001234')
    expect(segmentKey((2 ** 53 - 1) as SegmentId)).toBe('segments/ff/1fffffffffffff')
    fc.assert(
      fc.property(fc.maxSafeNat(), (id) => {
        expect(parseSegmentKey(segmentKey(id as SegmentId))).toBe(id)
      }),
      { numRuns: 1000 },
    )
    expect(parseSegmentKey('segments/00/00000000001234')).toBeNull()
  })

  test('stored and raw bytes of a piece convert both ways', () => {
    for (const raw of [1, 100, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES, 8355840]) {
      expect(rawBytesOf(storedBytesOf(raw))).toBe(raw)
    }
  })

  test('the largest piece fits a segment exactly once and one block more would not', async () => {
    for (const segmentSizeBytes of [8 * MIB, 128 * 1024, 32 * 1024 + 4 + 120]) {
      const store = open({ segmentSizeBytes })
      const packer = store.dataPacker(takeId)
      packer.add(1, 0, [pattern(store.maxPieceBytes)])
      await packer.upload()
      const size = [...bucket.objects.values()].at(-1)!.length
      expect(size).toBeLessThanOrEqual(segmentSizeBytes)
      expect(size + BLOCK_BYTES + 4).toBeGreaterThan(segmentSizeBytes)
    }
    expect(open().maxPieceBytes).toBe(255 * BLOCK_BYTES)
  })

  test('every flipped byte of a segment is found by readContents', async () => {
    const store = open()
    const packer = store.pagePacker(takeId)
    packer.add(3, 7, 9, pattern(50))
    packer.add(3, 8, 10, pattern(61))
    await packer.upload(pattern(20))
    const [id] = idsInBucket()
    const object = bucket.objects.get(segmentKey(id!))!
    const contents = readContents(object, { id: id!, volumeUuid: uuid })
    expect(contents.kind).toBe('pages')
    expect(contents.entries.map((e) => [e.tableKind, e.owner, e.key, e.offset, e.lengthBytes])).toEqual([
      [3, 7, 9, 40, 50],
      [3, 8, 10, 90, 61],
    ])
    expect(contents.trailer).toEqual(pattern(20))
    for (let i = 0; i < object.length; i++) {
      const damaged = Buffer.from(object)
      damaged[i]! ^= 1 << (i % 8)
      expect(() => readContents(damaged), `byte ${i}`).toThrow(FsError)
    }
    for (let length = 0; length < object.length; length++) {
      expect(() => readContents(object.subarray(0, length))).toThrow(FsError)
    }
    expect(() => readContents(object, { volumeUuid: Buffer.alloc(16, 9) })).toThrow(/another volume/)
    expect(() => readContents(object, { id: 77 as SegmentId })).toThrow(FsError)
  })

  test('data blocks are verified by readContents too', async () => {
    const store = open()
    const packer = store.dataPacker(takeId)
    packer.add(5, 0, [pattern(BLOCK_BYTES * 2 + 10)])
    await packer.upload()
    const object = [...bucket.objects.values()][0]!
    expect(readContents(object).entries).toHaveLength(1)
    for (const at of [40, 41 + BLOCK_BYTES, 40 + 2 * (BLOCK_BYTES + 4) + 9]) {
      const damaged = Buffer.from(object)
      damaged[at]! ^= 4
      expect(() => readContents(damaged)).toThrow(/damaged piece/)
    }
  })
})

describe('ranges', () => {
  const arbitraryRange = fc
    .record({ blocks: fc.nat(4), rest: fc.integer({ min: 1, max: BLOCK_BYTES }), offset: fc.nat(100000) })
    .map(({ blocks, rest, offset }): DataRange => {
      const pieceBytes = blocks * BLOCK_BYTES + rest
      return { segment: 1 as SegmentId, offset, pieceBytes, skipBytes: 0, lengthBytes: pieceBytes }
    })

  test('slices are normalised, and join to what they were cut from', () => {
    fc.assert(
      fc.property(arbitraryRange, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (range, share, cutAt) => {
        const cut = Math.floor((range.lengthBytes - 1) * share)
        const whole = sliceRange(range, cut, range.lengthBytes - cut)
        expect(whole.skipBytes).toBeLessThan(BLOCK_BYTES)
        expect((whole.offset - range.offset) % (BLOCK_BYTES + 4)).toBe(0)
        if (whole.lengthBytes < 2) return
        const at = 1 + (cutAt % (whole.lengthBytes - 1))
        const first = sliceRange(whole, 0, at)
        const second = sliceRange(whole, at, whole.lengthBytes - at)
        expect(liveBytesOf(first) + liveBytesOf(second)).toBe(liveBytesOf(whole))
        expect(joinRanges(first, second)).toEqual(whole)
        expect(joinRanges(second, first)).toBeNull()
      }),
      { numRuns: 500 },
    )
  })

  test('a piece behind a short last block does not join', () => {
    const segment = 1 as SegmentId
    const first = { segment, offset: 0, pieceBytes: 100, skipBytes: 0, lengthBytes: 100 }
    expect(joinRanges(first, { ...first, offset: 104 })).toBeNull()
  })

  test('slicing past the end is refused', () => {
    const range = { segment: 1 as SegmentId, offset: 0, pieceBytes: 100, skipBytes: 0, lengthBytes: 100 }
    expect(() => sliceRange(range, 50, 51)).toThrow(FsError)
  })
})

async function readAll(store: ReturnType<typeof open>, range: DataRange): Promise<Buffer> {
  return Buffer.concat(await store.readData(range))
}

describe('data', () => {
  test('any pieces in any parts are read back at any place, from the store and from memory', async () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 3 * BLOCK_BYTES + 100 }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(size, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        fc.constantFrom(0, 64 * 1024, 64 * MIB),
        async (pieces, numbers, cacheBytes) => {
          bucket = new Bucket()
          const store = open({ segmentSizeBytes: 512 * 1024, cacheBytes })
          const packer = store.dataPacker(takeId)
          const inputs = pieces.map((parts, i) => parts.map((bytes, j) => pattern(bytes, i * 100 + j + 1)))
          const inMemory = store.packInMemory(
            takeId(),
            inputs.map((parts, i) => ({ owner: i + 1, fileOffset: 0, parts })),
          )
          store.keepInMemory(inMemory.ranges[0]!.segment, inMemory.packed.stored)
          const ranges = inputs.map((parts, i) => packer.add(i + 1, 0, parts))
          await packer.upload()
          const reads = [...inputs.entries()].flatMap(([i, parts]) => {
            const whole = Buffer.concat(parts)
            const from = numbers.next().value! % whole.length
            const length = 1 + (numbers.next().value! % (whole.length - from))
            const wanted = whole.subarray(from, from + length)
            return [ranges[i]!, inMemory.ranges[i]!].map(async (range) => {
              expect((await readAll(store, sliceRange(range, from, length))).equals(wanted)).toBe(true)
            })
          })
          await Promise.all(reads)
          for (const object of bucket.objects.values()) readContents(object, { volumeUuid: uuid })
          expect(store.cachedBytes).toBeLessThanOrEqual(cacheBytes)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('small files fill segments, and reading them back in order is two GETs a segment', async () => {
    const store = open()
    const packer = store.dataPacker(takeId)
    const content = pattern(20_000)
    const ranges = Array.from({ length: 1500 }, (_, i) => packer.add(i + 1, 0, [content]))
    await packer.upload()
    const segments = bucket.objects.size
    expect(segments).toBe(Math.ceil((1500 * 20_036) / (8 * MIB)))
    for (const range of ranges) expect((await readAll(store, range)).equals(content)).toBe(true)
    expect(bucket.gets).toBeLessThanOrEqual(segments * 2)
    const gets = bucket.gets
    for (const range of ranges) expect(store.readData(range)).toBeInstanceOf(Array)
    expect(bucket.gets).toBe(gets)
  })

  test('one random read of a cold segment fetches little', async () => {
    const store = open()
    const packer = store.dataPacker(takeId)
    const range = packer.add(1, 0, [pattern(store.maxPieceBytes)])
    await packer.upload()
    await store.readData(sliceRange(range, 3 * MIB + 5, 4096))
    expect(bucket.gets).toBe(1)
    expect(bucket.bytesGot).toBeLessThanOrEqual(512 * 1024)
  })

  test('a big file read in order with prefetch is one GET a segment', async () => {
    const store = open()
    const bytes = pattern(store.maxPieceBytes)
    const ranges: DataRange[] = []
    for (let i = 0; i < 8; i++) {
      const packer = store.dataPacker(takeId)
      ranges.push(packer.add(1, i * store.maxPieceBytes, [bytes]))
      await packer.upload()
    }
    for (const [i, range] of ranges.entries()) {
      if (i + 1 < ranges.length) store.prefetchData(sliceRange(ranges[i + 1]!, 0, MIB))
      for (let at = 0; at < range.lengthBytes; at += 128 * 1024) {
        const length = Math.min(128 * 1024, range.lengthBytes - at)
        const read = await readAll(store, sliceRange(range, at, length))
        expect(read.equals(bytes.subarray(at, at + length))).toBe(true)
      }
    }
    expect(bucket.gets).toBeLessThanOrEqual(8 + 4)
  })

  test('reads of one turn share their GETs', async () => {
    const store = open()
    const packer = store.dataPacker(takeId)
    const range = packer.add(1, 0, [pattern(4 * MIB)])
    await packer.upload()
    await Promise.all(Array.from({ length: 64 }, (_, i) => store.readData(sliceRange(range, i * 16 * 1024, 16 * 1024))))
    expect(bucket.gets).toBe(1)
  })

  test('a waiting read-ahead is done first when a read wants it, and demand goes before read-ahead', async () => {
    const store = open({ fetches: 1 })
    const ranges: DataRange[] = []
    for (let i = 0; i < 5; i++) {
      const packer = store.dataPacker(takeId)
      ranges.push(packer.add(1, 0, [pattern(100_000, i + 1)]))
      await packer.upload()
    }
    for (const range of ranges.slice(0, 4)) store.prefetchData(range)
    const joined = store.readData(ranges[3]!)
    const demanded = store.readData(ranges[4]!)
    await Promise.all([joined, demanded])
    const order = bucket.log.filter((line) => line.startsWith('get')).map((line) => line.split(' ')[1])
    expect(order.slice(0, 3)).toEqual([0, 3, 4].map((i) => segmentKey(ranges[i]!.segment)))
    expect(bucket.mostInFlight).toBe(1)
  })

  test('no more PUTs than allowed are under way, and segments keep the order of add', async () => {
    const store = open({ uploads: 3, segmentSizeBytes: 128 * 1024 })
    const packer = store.dataPacker(takeId)
    bucket.onPut = () => new Promise((resolve) => setImmediate(() => resolve(undefined)))
    const ranges = Array.from({ length: 40 }, (_, i) => packer.add(i + 1, 0, [pattern(30_000, i)]))
    await packer.upload()
    expect(bucket.mostInFlight).toBe(3)
    expect(ranges.map((range) => range.segment)).toEqual(
      [...ranges.map((range) => range.segment)].sort((a, b) => a - b),
    )
    expect(ranges[0]!.segment).toBe(ranges[3]!.segment)
    for (const [i, range] of ranges.entries())
      expect((await readAll(store, range)).equals(pattern(30_000, i))).toBe(true)
  })

  test('pieces of one file that follow each other are one line of the contents and one range', async () => {
    const store = open()
    const packer = store.dataPacker(takeId)
    const bytes = pattern(256 * 1024 + 5)
    const a = packer.add(9, 0, [bytes.subarray(0, 128 * 1024)])
    const b = packer.add(9, 128 * 1024, [bytes.subarray(128 * 1024)])
    packer.add(9, bytes.length, [pattern(10)])
    packer.add(10, 0, [pattern(10)])
    await packer.upload()
    const { entries } = readContents([...bucket.objects.values()][0]!)
    expect(entries.map((entry) => [entry.owner, entry.key])).toEqual([
      [9, 0],
      [9, bytes.length],
      [10, 0],
    ])
    expect((await readAll(store, joinRanges(a, b)!)).equals(bytes)).toBe(true)
  })

  test('the cache keeps its budget and gives way when it shrinks', async () => {
    const store = open({ cacheBytes: 3 * MIB, segmentSizeBytes: MIB })
    const ranges: DataRange[] = []
    const packer = store.dataPacker(takeId)
    for (let i = 0; i < 12; i++) ranges.push(packer.add(i + 1, 0, [pattern(900_000, i)]))
    await packer.upload()
    for (const range of ranges) await store.readData(range)
    expect(store.cachedBytes).toBeLessThanOrEqual(3 * MIB)
    expect(store.cachedBytes).toBeGreaterThan(2 * MIB)
    store.resizeCache(MIB)
    expect(store.cachedBytes).toBeLessThanOrEqual(MIB)
    for (const [i, range] of ranges.entries())
      expect((await readAll(store, range)).equals(pattern(900_000, i))).toBe(true)
  })
})

describe('pages', () => {
  test('pages are read back, two GETs for a whole cold segment in any order, trailer behind the last', async () => {
    const store = open()
    const packer = store.pagePacker(takeId)
    const pointers = Array.from({ length: 700 }, (_, i) => packer.add(1, i, i * 3, pattern(20_000 + i, i + 1)))
    await packer.upload(Buffer.from('what root will say'))
    const segments = idsInBucket()
    expect(segments).toHaveLength(2)
    const last = readContents(bucket.objects.get(segmentKey(segments[1]!))!)
    expect(last.trailer?.toString()).toBe('what root will say')
    expect(readContents(bucket.objects.get(segmentKey(segments[0]!))!).trailer).toBeNull()
    const order = pointers
      .map((pointer, i) => ({ pointer, i }))
      .sort((a, b) => ((a.i * 7919) % 701) - ((b.i * 7919) % 701))
    for (const { pointer, i } of order) {
      expect(Buffer.from(await store.readPage(pointer)).equals(pattern(20_000 + i, i + 1))).toBe(true)
    }
    expect(bucket.gets).toBeLessThanOrEqual(4)
  })

  test('a page is verified at every read, and a damaged one read once more before EIO', async () => {
    const store = open()
    const packer = store.pagePacker(takeId)
    const pointer = packer.add(1, 1, 1, pattern(3000))
    await packer.upload()
    bucket.onGet = async (_key, body, nth) => {
      if (nth === 1) body[100]! ^= 1
      return body
    }
    expect(Buffer.from(await store.readPage(pointer)).equals(pattern(3000))).toBe(true)
    expect(bucket.gets).toBe(2)
    const wrong: PagePointer = { ...pointer, crc: pointer.crc ^ 1 }
    await expect(store.readPage(wrong)).rejects.toThrow(/segments\/01\/00000000000001 has a damaged page at 40/)
  })

  test('who adds pages is told to wait while the store is behind, and as much is held as is on its way', async () => {
    const packer = open({ segmentSizeBytes: 128 * 1024 }).pagePacker(takeId)
    const waiting: (() => void)[] = []
    bucket.onPut = () => new Promise((resolve) => waiting.push(() => resolve(undefined)))
    let begun = 0
    const fill = () => {
      while (packer.backlog === null) packer.add(1, 1, begun++, pattern(100_000))
    }
    fill()
    expect(begun).toBe(5)
    for (let round = 0; round < 3; round++) {
      await expect.poll(() => waiting.length).toBe(4)
      waiting.shift()!()
      await packer.backlog
      fill()
      expect(begun).toBe(6 + round)
    }
    bucket.onPut = async () => undefined
    const uploaded = packer.upload()
    for (const answer of waiting) answer()
    await uploaded
    expect(bucket.objects.size).toBe(begun)
  })

  test('who waits for a store that fails is let go, and told at the end', async () => {
    const packer = open({ segmentSizeBytes: 128 * 1024 }).pagePacker(takeId)
    bucket.onPut = async () => {
      throw new StoreError('fatal', 'full')
    }
    for (let added = 0; added < 20; added++) {
      await packer.backlog
      packer.add(1, 1, added, pattern(100_000))
    }
    await expect(packer.upload()).rejects.toThrow('full')
    expect(bucket.objects.size).toBe(0)
  })

  test('without pages there is no segment, trailer or not', async () => {
    await open().pagePacker(takeId).upload(Buffer.from('x'))
    expect(bucket.objects.size).toBe(0)
    expect(nextId).toBe(1)
  })
})

describe('damage and failure', () => {
  const one = async (store: ReturnType<typeof open>, bytes = pattern(100_000)) => {
    const packer = store.dataPacker(takeId)
    const range = packer.add(1, 0, [bytes])
    await packer.upload()
    return range
  }

  test('a damaged block in the store is EIO that names the object, never wrong bytes', async () => {
    const store = open()
    const range = await one(store)
    bucket.objects.get(segmentKey(range.segment))![40 + BLOCK_BYTES + 4 + 7]! ^= 8
    await expect(store.readData(range)).rejects.toMatchObject({
      code: 'EIO',
      message: 'segments/01/00000000000001 has a damaged block at 32812',
    })
    expect((await readAll(store, sliceRange(range, 0, BLOCK_BYTES))).length).toBe(BLOCK_BYTES)
  })

  test('bytes damaged or cut short on their way are fetched again', async () => {
    const store = open()
    const range = await one(store)
    bucket.onGet = async (_key, body, nth) => {
      if (nth === 1) return body.subarray(0, 70_000)
      if (nth === 3) body[50]! ^= 1
      return body
    }
    expect((await readAll(store, range)).equals(pattern(100_000))).toBe(true)
    expect(bucket.gets).toBe(2)
    const fresh = open()
    expect((await readAll(fresh, range)).equals(pattern(100_000))).toBe(true)
    expect(bucket.gets).toBe(4)
  })

  test('a missing object, a range past its end and a nonsense extent are EIO', async () => {
    const store = open()
    const range = await one(store)
    await expect(store.readData({ ...range, segment: 99 as SegmentId })).rejects.toThrow(/segments\/63\/.* is missing/)
    await expect(store.readData({ ...range, offset: 90_000 })).rejects.toMatchObject({ code: 'EIO' })
    await expect(store.readData({ ...range, offset: 9_000_000 })).rejects.toMatchObject({ code: 'EIO' })
    expect(() => store.readData({ ...range, skipBytes: 99_999 })).toThrow(FsError)
    expect((await readAll(store, range)).equals(pattern(100_000))).toBe(true)
  })

  test('damaged bytes kept in memory are EIO', () => {
    const store = open()
    const { packed, ranges } = store.packInMemory(takeId(), [{ owner: 1, fileOffset: 0, parts: [pattern(50)] }])
    packed.stored[3]! ^= 1
    store.keepInMemory(ranges[0]!.segment, packed.stored)
    expect(() => store.readData(ranges[0]!)).toThrow(/damaged block/)
  })

  test('an upload that fails rejects with EIO and deletes what got there', async () => {
    const store = open({ segmentSizeBytes: 128 * 1024 })
    bucket.onPut = async (_key, nth) => {
      if (nth === 3) throw new StoreError('retryable', 'no answer')
      return undefined
    }
    const packer = store.dataPacker(takeId)
    for (let i = 0; i < 20; i++) packer.add(1, i * 30_000, [pattern(30_000)])
    await expect(packer.upload()).rejects.toMatchObject({ code: 'EIO' })
    expect(bucket.objects.size).toBe(0)
    await expect(packer.upload()).rejects.toMatchObject({ code: 'EIO' })
  })

  test('a put that failed after its effect and is found again is taken as done', async () => {
    const store = open()
    const put = bucket.putIfAbsent.bind(bucket)
    // As store/retry would: the first try lands unseen, the second meets it.
    bucket.putIfAbsent = async (key, body) => {
      await put(key, body)
      return await put(key, body)
    }
    const range = await one(store)
    expect(bucket.deleted).toEqual([])
    expect((await readAll(store, range)).equals(pattern(100_000))).toBe(true)
  })

  test('an object of somebody else under the key fails the upload and stays', async () => {
    const store = open()
    const other = open({ volumeUuid: Buffer.alloc(16, 7) })
    await one(other)
    nextId = 1
    await expect(one(store)).rejects.toThrow(/another object lies there/)
    expect(bucket.deleted).toEqual([])
    nextId = 1
    await expect(one(store, pattern(100_000, 2))).rejects.toThrow(/another object lies there/)
    expect(bucket.objects.size).toBe(1)
  })

  test('a failed read-ahead is tried again by the read that comes, whose failure is told', async () => {
    const store = open()
    const range = await one(store)
    bucket.onGet = async (_key, body, nth) => {
      if (nth <= 2) throw new StoreError('retryable', 'no answer')
      return body
    }
    store.prefetchData(range)
    await new Promise((resolve) => setImmediate(resolve))
    await expect(store.readData(range)).rejects.toThrow(/cannot be read: no answer/)
    expect((await readAll(store, range)).equals(pattern(100_000))).toBe(true)
  })

  test('deleted segments are gone from the cache too; unknown ids are no error', async () => {
    const store = open()
    const range = await one(store)
    await store.readData(range)
    await store.delete([range.segment, 55 as SegmentId])
    expect(store.cachedBytes).toBe(0)
    await expect(store.readData(range)).rejects.toThrow(/missing/)
  })
})
