// The memory of what was read: used again when nobody reads it any more, and not before.
import fc from 'fast-check'
import { beforeEach, expect, test } from 'vitest'
import { Chunk, ChunkMemory } from '../../src/segments/chunk.ts'
import { createSegmentStore, type DataRange, Lease, type SegmentId, sliceRange } from '../../src/segments/index.ts'
import { Bucket, pattern } from './bucket.ts'

const SEGMENT_BYTES = 1 << 20
const SEGMENTS = 12
const FILE_BYTES = 900_000
const SMALL_READ_BYTES = 1000

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

test('reads however small spend what they read, each byte once: nobody has asked again for what comes next', async () => {
  const store = open(5)
  const first = new Lease()
  store.prefetchData(ranges[0]!)
  await store.readData(ranges[0]!, { lease: first })
  first.release()
  for (let index = 1; index < SEGMENTS; index++) {
    store.prefetchData(ranges[index]!)
    for (let from = 0; from < FILE_BYTES; from += SMALL_READ_BYTES) {
      const lease = new Lease({ isKept: true })
      const length = Math.min(SMALL_READ_BYTES, FILE_BYTES - from)
      const parts = await store.readData(sliceRange(ranges[index]!, from, length), { lease })
      expect(Buffer.concat(parts).equals(contents[index]!.subarray(from, from + length))).toBe(true)
      lease.release()
    }
  }
  // Not even the last bytes of one took a GET of their own.
  expect(bucket.gets).toBe(SEGMENTS)
  await store.readData(ranges[0]!)
  expect(bucket.gets).toBe(SEGMENTS)
})

test('a part that is read again and again makes nothing spent', async () => {
  const store = open(5)
  store.prefetchData(ranges[0]!)
  for (let time = 0; time < 10; time++) {
    const lease = new Lease({ isKept: true })
    await store.readData(sliceRange(ranges[0]!, 0, FILE_BYTES / 5), { lease })
    lease.release()
  }
  for (let index = 1; index < SEGMENTS; index++) await readKept(store, index)
  bucket.gets = 0
  await store.readData(ranges[0]!)
  expect(bucket.gets).toBe(0)
})

test('what is spent stays until its reader has come to its end, however large segments are', async () => {
  const segmentSizeBytes = 40 << 20
  const store = createSegmentStore({
    store: bucket,
    volumeUuid: Buffer.alloc(16, 7),
    segmentSizeBytes,
    cacheBytes: 4 * segmentSizeBytes,
  })
  const bytes = Buffer.alloc(36 << 20, 1)
  let nextId = 90
  const packer = store.dataPacker(() => nextId++ as SegmentId)
  const large = [1, 2].map((owner) => packer.add(owner, 0, [bytes]))
  await packer.upload()
  bucket.gets = 0
  for (const range of large) store.prefetchData(range)
  for (let from = 0; from < bytes.length; from += 1 << 17) {
    for (const range of large) {
      const lease = new Lease({ isKept: true })
      await store.readData(sliceRange(range, from, 1 << 17), { lease })
      lease.release()
    }
  }
  expect(bucket.gets).toBe(2)
})

test('what comes while the cache is full takes the place of something else than what is being read to its end', async () => {
  const store = open(4)
  for (const index of [0, 1, 2]) {
    store.prefetchData(ranges[index]!)
    await store.readData(ranges[index]!)
  }
  const almost = Math.floor(FILE_BYTES * 0.995)
  for (const [index, from, to] of [
    [3, 0, almost],
    [4, 0, 1],
    [3, almost, FILE_BYTES],
  ] as const) {
    const lease = new Lease({ isKept: true })
    store.prefetchData(ranges[index]!)
    await store.readData(sliceRange(ranges[index]!, from, to - from), { lease })
    lease.release()
  }
  expect(bucket.gets).toBe(5)
})

test('what is given up and comes all the same is not held beside what is asked for again', async () => {
  const store = open(5)
  const released: (() => void)[] = []
  const get = bucket.get.bind(bucket)
  // A store may be past looking at the signal.
  bucket.get = async (key, options = {}) => {
    await new Promise<void>((resolve) => released.push(resolve))
    return get(key, options)
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const unwanted = store.prefetchData(ranges[0]!)!
  await turn()
  unwanted.giveUp()
  store.prefetchData(ranges[0]!)
  await turn()
  expect(released.length).toBe(2)
  for (const release of released) {
    release()
    await turn()
  }
  const bytes = await store.readData(ranges[0]!)
  expect(Buffer.concat(bytes).equals(contents[0]!)).toBe(true)
  expect(released.length).toBe(2)
  expect(store.cachedBytes).toBe(SEGMENT_BYTES)
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

test('slabs hold bodies of five eighths of their size and more, and few are kept', () => {
  const memory = new ChunkMemory({ slabBytes: 1000, keptMax: 2 })
  const large = [625, 1000, 700].map((length) => memory.allocate(length))
  expect(large.map(({ length, buffer }) => [length, buffer.byteLength])).toEqual([
    [625, 1000],
    [1000, 1000],
    [700, 1000],
  ])
  for (const length of [0, 500, 624, 1001]) expect(memory.allocate(length).buffer.byteLength).toBe(length)
  for (const body of large) memory.free(body)
  const again = new Set([1, 2, 3].map(() => memory.allocate(900).buffer))
  expect(large.filter(({ buffer }) => again.has(buffer)).length).toBe(2)
  memory.free(large[0]!)
  expect(() => memory.free(large[0]!)).toThrow('freed once')
})

test('a chunk is given back when it is forgotten and nobody holds it, once', () => {
  const freed: Buffer[] = []
  const dropped: ArrayBufferLike[] = []
  const memory = {
    free: (body: Buffer) => freed.push(body),
    drop: (bytes: ArrayBufferLike) => dropped.push(bytes),
  } as unknown as ChunkMemory
  const chunk = () => new Chunk({ serial: 1, segment: 1 as SegmentId, start: 0, body: Buffer.alloc(1) }, memory)
  const [held, lent, forgotten] = [chunk(), chunk(), chunk()]
  held.hold()
  held.forget()
  expect(freed).toEqual([])
  held.release()
  expect(freed).toEqual([held.body])
  expect(() => held.release()).toThrow('released once')
  lent.lend()
  lent.lend()
  lent.forget()
  expect(dropped).toEqual([lent.body.buffer])
  forgotten.hold()
  forgotten.release()
  expect(freed.length).toBe(1)
  forgotten.forget()
  expect(freed.length).toBe(2)
})

test('what others leave is used, and given back when they want it', async () => {
  let spareBytes = 6 * SEGMENT_BYTES
  const store = createSegmentStore({
    store: bucket,
    volumeUuid: Buffer.alloc(16, 7),
    segmentSizeBytes: SEGMENT_BYTES,
    cacheBytes: 4 * SEGMENT_BYTES,
    spareBytes: () => spareBytes,
  })
  await readAll(store, new Lease())
  expect(store.cachedBytes).toBe(10 * SEGMENT_BYTES)
  spareBytes = 2 * SEGMENT_BYTES
  store.giveWay()
  expect(store.cachedBytes).toBe(6 * SEGMENT_BYTES)
  // Whether or not it was told, at the next insertion.
  spareBytes = 0
  bucket.gets = 0
  await store.readData(ranges[0]!, { lease: new Lease() })
  expect(bucket.gets).toBe(1)
  expect(store.cachedBytes).toBeLessThanOrEqual(4 * SEGMENT_BYTES)
})
