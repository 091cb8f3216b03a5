// Reads in no order: which GETs they make, when the rest of a segment is bought, and who is told.
import { beforeEach, expect, test } from 'vitest'
import { createSegmentStore, type DataRange, Lease, type SegmentId, sliceRange } from '../../src/segments/index.ts'
import { TestClock } from '../vfs/world.ts'
import { Bucket, pattern } from './bucket.ts'

const MIB = 1 << 20
const SEGMENT_BYTES = 8 * MIB
const FILE_BYTES = 7 * MIB
const BLOCK_STORED = 32 * 1024 + 4

/** A store in the same region: 20 ms, and 10 more for each MiB. */
const takes = (body: Buffer) => clock.advance(20 + (10 * body.length) / MIB)

let bucket: Bucket
let clock: TestClock
let ranges: DataRange[]
const contents = Array.from({ length: 6 }, (_, index) => pattern(FILE_BYTES, index + 1))

const open = (cacheBytes = 8 * SEGMENT_BYTES) =>
  createSegmentStore({
    store: bucket,
    volumeUuid: Buffer.alloc(16, 7),
    segmentSizeBytes: SEGMENT_BYTES,
    cacheBytes,
    clock,
  })
type Store = ReturnType<typeof open>

beforeEach(async () => {
  bucket = new Bucket()
  clock = new TestClock()
  let nextId = 1
  ranges = []
  for (const [index, bytes] of contents.entries()) {
    const packer = open().dataPacker(() => nextId++ as SegmentId)
    ranges.push(packer.add(100 + index, 0, [bytes]))
    await packer.upload()
  }
  bucket.log.length = 0
  bucket.onGet = async (_key, body) => {
    await takes(body)
    return body
  }
})

interface Reading {
  file?: number
  onBought?: () => void
}

/** Reads 4 KiB in no order. */
async function read(store: Store, at: number, { file = 0, onBought }: Reading = {}): Promise<void> {
  const range = sliceRange(ranges[file]!, at, 4096)
  const parts = await store.readData(range, { isRandom: true, lease: new Lease({ isKept: true }), onBought })
  expect(Buffer.concat(parts).equals(contents[file]!.subarray(at, at + 4096))).toBe(true)
}

/** Lengths of the GETs so far. */
const lengths = () => bucket.log.map((line) => Number(line.split(' ').at(-1)))
const settled = () => new Promise((resolve) => setImmediate(resolve))
/** Far from each other and in no order. */
const spots = Array.from({ length: 32 }, (_, index) => ((index * 13) % 32) * 7 * BLOCK_STORED + 4096)

test('the first costs one GET of the block it lies in, or of two', async () => {
  const store = open()
  await read(store, 3 * MIB + 8192)
  expect(lengths()).toEqual([BLOCK_STORED])
  await read(store, 5 * MIB - 2048)
  expect(lengths()).toEqual([BLOCK_STORED, 2 * BLOCK_STORED])
  expect(bucket.log[0]!.split(' ')[2]).toBe(String(ranges[0]!.offset + (3 * MIB * BLOCK_STORED) / 32768))
})

test('the rest of the segment is bought when they have cost as much, and nobody waits for it', async () => {
  const store = open()
  let bought = 0
  const onBought = () => {
    bought += 1
  }
  let release = () => {}
  bucket.onGet = async (_key, body) => {
    await takes(body)
    if (body.length > MIB) await new Promise<void>((resolve) => (release = resolve))
    return body
  }
  let reads = 0
  while (lengths().length === reads) await read(store, spots[reads++]!, { onBought })
  expect(reads).toBe(5)
  expect(lengths().slice(0, -1)).toEqual(Array(reads).fill(BLOCK_STORED))
  // All but what is there at its ends.
  expect(bucket.log.at(-1)).toMatch(/ end$| \d{7}$/)
  expect(bought).toBe(0)
  // Who wants more of it waits for that.
  const waiting = read(store, spots[reads]!, { onBought: () => (bought += 10) })
  release()
  await waiting
  await settled()
  expect(bought).toBe(11)
  for (const at of spots) await read(store, at)
  expect(lengths().length).toBe(reads + 1)
})

test('rent is paid for each segment, and anew when what was bought is thrown out', async () => {
  const store = open(4 * SEGMENT_BYTES)
  const gets = async (file: number) => {
    const before = lengths().length
    for (const at of spots) await read(store, at, { file })
    await settled()
    return lengths().length - before
  }
  const counts: number[] = []
  for (const file of [0, 1, 2, 3, 4, 5, 0, 0]) counts.push(await gets(file))
  expect(counts).toEqual([6, 6, 6, 6, 6, 6, 6, 0])
})

test('what was rented and thrown out counts towards the price all the same', async () => {
  const store = open()
  for (const at of spots.slice(0, 4)) await read(store, at)
  store.resizeCache(0)
  store.resizeCache(8 * SEGMENT_BYTES)
  await read(store, spots[0]!)
  await settled()
  expect(lengths().length).toBe(6)
})

test('nothing is bought where there is no room for it', async () => {
  const store = open(3 * SEGMENT_BYTES)
  for (const at of spots) await read(store, at)
  await settled()
  expect(lengths()).toEqual(Array(spots.length).fill(BLOCK_STORED))
})

test('who goes on where another stopped is in order after all', async () => {
  const store = open()
  const end = (4 * MIB) / 32768
  await read(store, (end - 1) * 32768)
  await read(store, end * 32768)
  await settled()
  expect(lengths().length).toBe(2)
  await read(store, MIB)
  expect(lengths().length).toBe(2)
})

test('a purchase that fails tells nobody, and the next reads go on', async () => {
  const store = open()
  bucket.onGet = async (_key, body) => {
    await takes(body)
    if (body.length > MIB) throw new Error('cut off')
    return body
  }
  let bought = 0
  for (const at of spots) await read(store, at, { onBought: () => (bought += 1) }).catch(() => {})
  await settled()
  expect(bought).toBe(0)
  bucket.onGet = async (_key, body) => {
    await takes(body)
    return body
  }
  for (const at of spots) await read(store, at + 3 * 32768, { onBought: () => (bought += 1) })
  await settled()
  expect(bought).toBeGreaterThan(0)
})

test('neighbours are fetched along by who does not read in no order', async () => {
  const store = open()
  await store.readData(sliceRange(ranges[0]!, 3 * MIB, 4096))
  expect(lengths()[0]).toBe(256 * 1024)
})

test('what is in memory is had at once, verified, or not at all', async () => {
  const store = open()
  const range = sliceRange(ranges[0]!, MIB, 4096)
  expect(store.cachedData(range)).toBe(null)
  await store.readData(range, { isRandom: true })
  expect(Buffer.concat(store.cachedData(range)!).equals(contents[0]!.subarray(MIB, MIB + 4096))).toBe(true)
  bucket.onGet = async (_key, body) => {
    body[1000]! ^= 1
    return body
  }
  // The first read of it is tried twice.
  await expect(store.readData(sliceRange(ranges[1]!, 0, 4096), { isRandom: true })).rejects.toThrow('damaged')
  expect(store.cachedData(sliceRange(ranges[1]!, 0, 4096))).toBe(null)
})
