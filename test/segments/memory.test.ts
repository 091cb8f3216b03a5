// The memory of what was read: used again when nobody reads it any more, and not before.
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import { Chunk, ChunkMemory } from '../../src/segments/chunk.ts'
import { createSegmentStore, type DataRange, Lease, type SegmentId, sliceRange } from '../../src/segments/index.ts'
import { Bucket, pattern } from './bucket.ts'

const SEGMENT_BYTES = 1 << 20
const SEGMENTS = 12
const FILE_BYTES = 900_000

let bucket: Bucket
let ranges: DataRange[]
const contents = Array.from({ length: SEGMENTS }, (_, index) => pattern(FILE_BYTES, index + 1))
/** What the store was given to read into. */
let given: Set<ArrayBufferLike>

const open = (cachedSegments: number) =>
  createSegmentStore({
    store: bucket,
    volumeUuid: Buffer.alloc(16, 7),
    segmentSizeBytes: SEGMENT_BYTES,
    cacheBytes: cachedSegments * SEGMENT_BYTES,
  })

beforeEach(async () => {
  bucket = new Bucket()
  given = new Set()
  let nextId = 1
  const writer = open(4)
  ranges = []
  for (const [index, bytes] of contents.entries()) {
    const packer = writer.dataPacker(() => nextId++ as SegmentId)
    ranges.push(packer.add(100 + index, 0, [bytes]))
    await packer.upload()
  }
  const get = bucket.get.bind(bucket)
  bucket.get = (key, options = {}) => {
    const { allocate } = options
    if (allocate === undefined) return get(key, options)
    return get(key, {
      ...options,
      allocate: (length) => {
        const memory = allocate(length)
        given.add(memory.buffer)
        return memory
      },
    })
  }
})

/** Reads whole segments, one after the other. */
async function readAll(store: ReturnType<typeof open>, lease: Lease | undefined): Promise<void> {
  for (const [index, range] of ranges.entries()) {
    store.prefetchData(range)
    const parts = await store.readData(range, { lease })
    expect(Buffer.concat(parts).equals(contents[index]!)).toBe(true)
    lease?.release()
  }
}

test('a reader who says when he is done uses the same memory again and again', async () => {
  await readAll(open(4), new Lease())
  // As much as the cache holds, and what comes while it is full.
  expect(given.size).toBe(5)
})

test('what was lent is never used again', async () => {
  await readAll(open(4), undefined)
  expect(given.size).toBe(SEGMENTS)
})

test('whoever reads while others come and go reads what he asked for', async () => {
  const operation = fc.record({
    segment: fc.nat(SEGMENTS - 1),
    from: fc.nat(FILE_BYTES - 1),
    lengthBytes: fc.integer({ min: 1, max: 300_000 }),
    /** Turns for which the reader keeps what he has read. */
    keeps: fc.nat(6),
    hasLease: fc.boolean(),
    isPrefetched: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 60 }), async (operations) => {
      const store = open(4)
      await Promise.all(
        operations.map(async ({ segment, from, lengthBytes, keeps, hasLease, isPrefetched }, turn) => {
          for (let i = 0; i < turn; i++) await Promise.resolve()
          const lease = hasLease ? new Lease() : undefined
          const length = Math.min(lengthBytes, FILE_BYTES - from)
          if (isPrefetched) store.prefetchData(ranges[segment]!)
          const parts = await store.readData(sliceRange(ranges[segment]!, from, length), { lease })
          for (let i = 0; i < keeps; i++) await new Promise((resolve) => setImmediate(resolve))
          expect(Buffer.concat(parts).equals(contents[segment]!.subarray(from, from + length))).toBe(true)
          lease?.release()
        }),
      )
    }),
    { numRuns: 60 },
  )
  expect(given.size).toBeGreaterThan(SEGMENTS)
})

test('memory that several tries were given is not used again', async () => {
  const get = bucket.get.bind(bucket)
  bucket.get = (key, options = {}) => {
    options.allocate?.(FILE_BYTES)
    return get(key, options)
  }
  await readAll(open(4), new Lease())
  expect(given.size).toBe(SEGMENTS)
})

/** Reads a whole segment as the kernel does. */
async function readKept(store: ReturnType<typeof open>, index: number): Promise<void> {
  const lease = new Lease({ isKept: true })
  store.prefetchData(ranges[index]!)
  const parts = await store.readData(ranges[index]!, { lease })
  expect(Buffer.concat(parts).equals(contents[index]!)).toBe(true)
  lease.release()
}

test('what the reader keeps goes before what others may ask for again', async () => {
  const store = open(5)
  const first = new Lease()
  store.prefetchData(ranges[0]!)
  await store.readData(ranges[0]!, { lease: first })
  first.release()
  for (let index = 1; index < SEGMENTS; index++) await readKept(store, index)
  bucket.gets = 0
  await store.readData(ranges[0]!)
  expect(bucket.gets).toBe(0)
})

test('what is asked for again although its reader kept it stays like all else', async () => {
  const store = open(5)
  await readKept(store, 0)
  const again = new Lease({ isKept: true })
  await store.readData(sliceRange(ranges[0]!, 0, 1000), { lease: again })
  again.release()
  for (let index = 1; index < SEGMENTS; index++) await readKept(store, index)
  bucket.gets = 0
  await store.readData(ranges[0]!)
  expect(bucket.gets).toBe(0)
})

test('what nobody waits for any more is given up, begun or not; what somebody waits for comes', async () => {
  const store = open(40)
  const aborted: string[] = []
  const released: (() => void)[] = []
  const get = bucket.get.bind(bucket)
  bucket.get = async (key, options = {}) => {
    await new Promise<void>((resolve, reject) => {
      released.push(resolve)
      options.signal?.addEventListener('abort', () => {
        aborted.push(key)
        reject(options.signal!.reason)
      })
    })
    return get(key, options)
  }
  const [unwanted, wanted, twice] = [0, 1, 2].map((index) => store.prefetchData(ranges[index]!)!)
  const again = store.prefetchData(ranges[2]!)!
  const read = store.readData(ranges[1]!)
  await new Promise((resolve) => setImmediate(resolve))
  for (const prefetch of [unwanted, wanted, twice]) prefetch!.giveUp()
  expect(aborted.length).toBe(1)
  again.giveUp()
  again.giveUp()
  expect(aborted.length).toBe(2)
  for (const release of released) release()
  expect(Buffer.concat(await read).equals(contents[1]!)).toBe(true)
  // It can be asked for again.
  bucket.get = get
  expect(Buffer.concat(await store.readData(ranges[0]!)).equals(contents[0]!)).toBe(true)
})

test('slabs hold bodies of half their size and more, and few are kept', () => {
  const memory = new ChunkMemory({ slabBytes: 1000, keptMax: 2 })
  const large = [500, 1000, 700].map((length) => memory.allocate(length))
  expect(large.map(({ length, buffer }) => [length, buffer.byteLength])).toEqual([
    [500, 1000],
    [1000, 1000],
    [700, 1000],
  ])
  for (const length of [0, 499, 1001]) expect(memory.allocate(length).buffer.byteLength).toBe(length)
  for (const body of large) memory.free(body)
  const again = new Set([1, 2, 3].map(() => memory.allocate(900).buffer))
  expect(large.filter(({ buffer }) => again.has(buffer)).length).toBe(2)
  memory.free(large[0]!)
  expect(() => memory.free(large[0]!)).toThrow('freed once')
})

test('a chunk is given back when it is forgotten and nobody holds it, once', () => {
  const freed: Buffer[] = []
  const memory = { free: (body: Buffer) => freed.push(body) } as unknown as ChunkMemory
  const chunk = () => new Chunk({ serial: 1, segment: 1 as SegmentId, start: 0, body: Buffer.alloc(1) }, memory)
  const [held, lent, forgotten] = [chunk(), chunk(), chunk()]
  held.hold()
  held.forget()
  expect(freed).toEqual([])
  held.release()
  expect(freed).toEqual([held.body])
  expect(() => held.release()).toThrow('released once')
  lent.lend()
  lent.forget()
  forgotten.hold()
  forgotten.release()
  expect(freed.length).toBe(1)
  forgotten.forget()
  expect(freed.length).toBe(2)
})
