// Readers who go through many segments at once: how many there are, what is fetched of each, and that none of it is fetched
// twice.
import { beforeEach, describe, expect, test } from 'vitest'
import { Breadth } from '../../src/segments/breadth.ts'
import { createSegmentStore, type DataRange, Lease, type SegmentId } from '../../src/segments/index.ts'
import { Bucket, pattern } from './bucket.ts'

const MIB = 1 << 20
const id = (value: number) => value as SegmentId

describe('how many segments there are at a time', () => {
  let breadth: Breadth
  beforeEach(() => {
    breadth = new Breadth()
  })

  /** Reads on in each of these, in which that costs a miss. */
  function miss(...ids: number[]): void {
    for (const each of ids) {
      breadth.missed(id(each))
      breadth.used(id(each))
    }
  }

  test('one while nobody comes back to another', () => {
    expect(breadth.segments).toBe(1)
    miss(1, 1, 2, 2, 3, 3)
    for (let next = 4; next < 300; next++) miss(next)
    expect(breadth.segments).toBe(1)
    expect(breadth.shareOf(8 * MIB)).toBe(7 * MIB)
  })

  test('as many as were used since a segment was', () => {
    miss(1, 2, 3, 1, 2, 3)
    expect(breadth.segments).toBe(3)
    for (let i = 0; i < 1000; i++) breadth.used(id(4 + (i % 7)))
    miss(1)
    expect(breadth.segments).toBe(10)
    expect(breadth.shareOf(80 * MIB)).toBe(7 * MIB)
  })

  test('one again when 64 misses have shown no more', () => {
    miss(1, 2, 3, 4, 1)
    expect(breadth.segments).toBe(4)
    for (let i = 0; i < 63; i++) miss(9)
    expect(breadth.segments).toBe(4)
    miss(9)
    expect(breadth.segments).toBe(1)
  })

  test('of those used long ago nothing is remembered', () => {
    for (let i = 0; i < 2000; i++) breadth.used(id(i))
    miss(0, 1487)
    expect(breadth.segments).toBe(1)
    miss(1490)
    expect(breadth.segments).toBe(512)
  })
})

test('credit is earned one by one, four at most, and is lost at once', () => {
  const breadth = new Breadth()
  const taken = () => Array.from({ length: 6 }, () => breadth.takeCredit()).filter(Boolean).length
  expect(taken()).toBe(0)
  breadth.usedUp()
  expect(taken()).toBe(1)
  for (let i = 0; i < 9; i++) breadth.usedUp()
  expect(taken()).toBe(4)
  for (let i = 0; i < 9; i++) breadth.usedUp()
  breadth.thrownOut()
  expect(taken()).toBe(0)
})

describe('small files in many rows of segments', () => {
  const SEGMENT_BYTES = MIB
  const FILE_BYTES = 10_240
  let bucket: Bucket
  let rows: { content: Buffer; range: DataRange }[][]

  const open = (cacheBytes: number) =>
    createSegmentStore({
      ...{ store: bucket, volumeUuid: Buffer.alloc(16, 7), segmentSizeBytes: SEGMENT_BYTES, cacheBytes },
    })
  type Store = ReturnType<typeof open>

  /** As many rounds of write-back, each with so many files in the order of the listing. */
  async function write(rounds: number, files: number): Promise<void> {
    bucket = new Bucket()
    rows = []
    let nextId = 1
    for (let row = 0; row < rounds; row++) {
      const packer = open(SEGMENT_BYTES).dataPacker(() => id(nextId++))
      const content = pattern(FILE_BYTES, row + 1)
      rows.push(
        Array.from({ length: files }, (_, i) => ({ content, range: packer.add(row * files + i, 0, [content]) })),
      )
      await packer.upload()
    }
    bucket.log.length = 0
  }

  async function read(store: Store, { content, range }: { content: Buffer; range: DataRange }): Promise<void> {
    const lease = new Lease({ isKept: true })
    expect(Buffer.concat(await store.readData(range, { lease })).equals(content)).toBe(true)
    lease.release()
  }

  /** Each file of each row once; which row is next is as good as chance, the same each time. */
  async function readAcross(store: Store): Promise<void> {
    const next = rows.map(() => 0)
    let state = 12345
    for (let left = rows.length * rows[0]!.length; left > 0; left--) {
      state = (state * 1103515245 + 12345) & 0x7fffffff
      let row = (state >> 8) % rows.length
      while (next[row] === rows[row]!.length) row = (row + 1) % rows.length
      await read(store, rows[row]![next[row]!++]!)
    }
  }

  test('cost two or three GETs a segment where the cache holds half of what is read at once, and no byte comes twice', async () => {
    await write(20, 800)
    const stored = [...bucket.objects.values()].reduce((sum, body) => sum + body.length, 0)
    await readAcross(open(12 * SEGMENT_BYTES))
    expect(bucket.gets).toBeLessThanOrEqual(3 * bucket.objects.size)
    expect(bucket.bytesGot).toBeLessThan(1.1 * stored)
  })

  test('cost one or two where the cache holds all that is read at once', async () => {
    await write(20, 800)
    await readAcross(open(24 * SEGMENT_BYTES))
    expect(bucket.gets).toBeLessThanOrEqual(2 * bucket.objects.size)
  })

  test('read in their order are soon fetched by whole segments; one that is read alone afterwards is not for long', async () => {
    await write(12, 100)
    const store = open(8 * SEGMENT_BYTES)
    for (const row of rows.slice(0, 4)) for (const file of row) await read(store, file)
    // Two for the first, until it was read to its end.
    expect(bucket.gets).toBeLessThanOrEqual(bucket.objects.size)
    const before = bucket.log.length
    for (const row of rows.slice(4)) await read(store, row[50]!)
    const lengths = bucket.log.slice(before).map((line) => Number(line.split(' ').at(-1)))
    expect(lengths.filter((bytes) => bytes > SEGMENT_BYTES / 2).length).toBeLessThanOrEqual(4)
    expect(Math.max(...lengths.slice(4))).toBeLessThanOrEqual(512 * 1024)
  })
})
