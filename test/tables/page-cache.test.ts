// Which pages stay in memory: what is asked for by itself outlives what scans bring, and neither is kept out for good.
import { expect, test } from 'vitest'
import type { PagePointer, SegmentId, SegmentStore } from '../../src/segments/index.ts'
import { buildPage, encodeStored } from '../../src/tables/page.ts'
import { PageCache } from '../../src/tables/page-cache.ts'

const TABLE = { kind: 1, owner: 7 }
const RECORDS = Buffer.alloc(2000, 'x')

/** Segments that hold one leaf at every offset. `inMemory`: those whose stored bytes are there. */
class Leaves implements Pick<SegmentStore, 'readPage' | 'cachedPage'> {
  readonly inMemory = new Set<number>()
  readonly reads: number[] = []
  damaged = -1

  async readPage({ offset }: PagePointer): Promise<Uint8Array> {
    this.reads.push(offset)
    return this.#stored(offset)
  }

  cachedPage({ offset }: PagePointer): Uint8Array | null {
    return this.inMemory.has(offset) ? this.#stored(offset) : null
  }

  #stored(offset: number): Uint8Array {
    const entries = { keys: [offset * 10, offset * 10 + 1], ends: [1000, 2000], bytes: RECORDS }
    const stored = encodeStored(buildPage({ ...TABLE, level: 0 }, entries, 2))
    return offset === this.damaged ? stored.subarray(0, 10) : stored
  }
}

const PAGE_BYTES = 2_450
const at = (offset: number): PagePointer => ({ segment: 5 as SegmentId, offset, storedBytes: 100, crc: 0 })
const cacheOf = (leaves: Leaves, pages: number) => new PageCache(leaves as unknown as SegmentStore, pages * PAGE_BYTES)

async function load(cache: PageCache, from: number, to: number, isScan: boolean): Promise<void> {
  for (let offset = from; offset < to; offset++) await cache.load(at(offset), TABLE, isScan)
}

/** How many of the pages are in memory. Asks as a scan does, which changes nothing. */
const held = (cache: PageCache, from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => cache.get(at(from + index), true)).filter(
    (page) => page !== undefined,
  ).length

test('a scan of much more than there is room for takes nothing that something else has asked for', async () => {
  const cache = cacheOf(new Leaves(), 100)
  await load(cache, 0, 50, false)
  await load(cache, 1000, 2000, true)
  expect(held(cache, 0, 50)).toBe(50)
  expect(held(cache, 1950, 2000), 'and has all of the rest').toBe(50)
  expect(cache.bytes).toBeLessThanOrEqual(100 * PAGE_BYTES)
})

test('scans have a quarter of the room, however much else is asked for', async () => {
  const cache = cacheOf(new Leaves(), 100)
  await load(cache, 0, 100, false)
  await load(cache, 1000, 1025, true)
  await load(cache, 100, 200, false)
  expect(held(cache, 1000, 1025)).toBe(25)
  expect(held(cache, 0, 200)).toBe(75)
  await load(cache, 1025, 1050, true)
  expect(held(cache, 1025, 1050)).toBe(25)
  expect(held(cache, 1000, 1025)).toBe(0)
})

test('a leaf of a scan that something else asks for stays when the next scan comes', async () => {
  const cache = cacheOf(new Leaves(), 100)
  await load(cache, 0, 100, true)
  for (let offset = 60; offset < 70; offset++) expect(cache.find(at(offset), TABLE)).toBeDefined()
  await load(cache, 1000, 2000, true)
  expect(held(cache, 60, 70)).toBe(10)
  expect(held(cache, 0, 60)).toBe(0)
})

test('a page whose stored bytes are in memory is had at once, and counted as loaded', () => {
  const leaves = new Leaves()
  leaves.inMemory.add(3)
  const cache = cacheOf(leaves, 10)
  expect(cache.find(at(3), TABLE)?.key(0)).toBe(30)
  expect(cache.find(at(3), TABLE)?.key(0)).toBe(30)
  expect(cache.find(at(4), TABLE)).toBeUndefined()
  expect(leaves.reads).toEqual([])
  expect(cache.counters).toMatchObject({ hits: 1, misses: 2, loaded: 1 })
})

test('one that is no page is not had; loading it tells why', async () => {
  const leaves = new Leaves()
  leaves.inMemory.add(3)
  leaves.damaged = 3
  const cache = cacheOf(leaves, 10)
  expect(cache.find(at(3), TABLE)).toBeUndefined()
  await expect(cache.load(at(3), TABLE)).rejects.toThrow(/segment 5 at 3/)
})

test('a pinned page is found when nothing else fits', async () => {
  const cache = cacheOf(new Leaves(), 0)
  const unpin = await cache.pin(at(1), TABLE)
  expect(cache.find(at(1), TABLE)).toBeDefined()
  unpin()
  expect(cache.find(at(1), TABLE)).toBeUndefined()
})
