// Pages in memory: an LRU of raw pages under a byte budget, identical loads joined, and pins for what an operation has
// loaded and not yet used.
//
// A scan of a large table would push everything else out, for pages that are wanted once. So leaves that a scan brought are
// kept apart, and go first, unless they hold less than their share; a leaf that something else asks for comes over.
//
// Must stay true:
// - A pinned page is found until it is unpinned, however small the budget; pages are immutable, so an entry never goes
//   stale.
// - A page is decoded when it is asked for: what a fetch brought of others stays as it came until then.
import { LRUCache } from 'lru-cache'
import { FsError } from '../platform/index.ts'
import type { PagePointer, SegmentStore } from '../segments/index.ts'
import { decodeStored, type Page } from './page.ts'

/** What a Page costs besides its bytes. */
const PAGE_OVERHEAD_BYTES = 400
/** The part of the budget that scans have at least. */
const SCANNED_SHARE = 1 / 4
const OFFSETS = 2 ** 24

type Key = number | string
type TableName = { kind: number; owner: number }

interface Pin {
  page: Page
  count: number
}

export interface PageCounters {
  /** Pages asked for that were in memory, and that were not. */
  hits: number
  misses: number
  /** Pages decoded, and how many bytes they were as stored. */
  loaded: number
  loadedBytes: number
  /** Leaves that were fetched ahead of a scan, and those of them that it came to. */
  prefetched: number
  prefetchedUsed: number
}

export class PageCache {
  readonly counters: PageCounters = {
    hits: 0,
    misses: 0,
    loaded: 0,
    loadedBytes: 0,
    prefetched: 0,
    prefetchedUsed: 0,
  }
  readonly #segments: SegmentStore
  readonly #budgetBytes: number
  readonly #pages: LRUCache<Key, Page>
  /** Leaves that only scans have asked for. */
  readonly #scanned: LRUCache<Key, Page>
  readonly #pins = new Map<Key, Pin>()
  readonly #loading = new Map<Key, Promise<Page>>()

  constructor(segments: SegmentStore, budgetBytes: number) {
    this.#segments = segments
    this.#budgetBytes = Math.max(1, budgetBytes)
    const sizeCalculation = (page: Page) => page.bytes.length + PAGE_OVERHEAD_BYTES
    this.#pages = new LRUCache({ maxSize: this.#budgetBytes, sizeCalculation })
    this.#scanned = new LRUCache({ maxSize: this.#budgetBytes, sizeCalculation })
  }

  get bytes(): number {
    return this.#pages.calculatedSize + this.#scanned.calculatedSize
  }

  get(pointer: PagePointer, isScan = false): Page | undefined {
    const key = keyOf(pointer)
    return this.#pages.get(key) ?? this.#inScanned(key, isScan) ?? this.#pins.get(key)?.page
  }

  #inScanned(key: Key, isScan: boolean): Page | undefined {
    const page = this.#scanned.get(key)
    if (page !== undefined && !isScan) {
      this.#scanned.delete(key)
      this.#keep(key, page, false)
    }
    return page
  }

  /** A page, when it is in memory or its stored bytes are. Never waits. */
  find(pointer: PagePointer, table: TableName, isScan = false): Page | undefined {
    const page = this.get(pointer, isScan)
    if (page === undefined) this.counters.misses++
    else this.counters.hits++
    return page ?? this.decode(pointer, table, isScan)
  }

  /** A page that is not in memory, out of its stored bytes, when these are. */
  decode(pointer: PagePointer, table: TableName, isScan: boolean): Page | undefined {
    const stored = this.#segments.cachedPage(pointer)
    if (stored === null) return undefined
    try {
      return this.#decoded(pointer, stored, table, isScan)
    } catch (error) {
      // Loading it will fail with the same, where it can be reported.
      if (error instanceof FsError) return undefined
      throw error
    }
  }

  /** A page just built, or read by other means. */
  add(pointer: PagePointer, page: Page): void {
    this.#keep(keyOf(pointer), page, false)
  }

  /** Reads and checks a page; joins a load under way. */
  load(pointer: PagePointer, table: TableName, isScan = false): Promise<Page> {
    const cached = this.get(pointer, isScan)
    if (cached !== undefined) return Promise.resolve(cached)
    const key = keyOf(pointer)
    let loading = this.#loading.get(key)
    if (loading === undefined) {
      loading = this.#read(pointer, table, isScan).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    return loading
  }

  async #read(pointer: PagePointer, table: TableName, isScan: boolean): Promise<Page> {
    const stored = await this.#segments.readPage(pointer, { isScan })
    // Whoever found the bytes in memory first has decoded it.
    return this.get(pointer, isScan) ?? this.#decoded(pointer, stored, table, isScan)
  }

  #decoded(pointer: PagePointer, stored: Uint8Array, table: TableName, isScan: boolean): Page {
    const page = decodeStored(stored, `segment ${pointer.segment.toString(16)} at ${pointer.offset}`, table)
    this.counters.loaded++
    this.counters.loadedBytes += stored.length
    this.#keep(keyOf(pointer), page, isScan && page.level === 0)
    return page
  }

  #keep(key: Key, page: Page, isScanned: boolean): void {
    const pages = isScanned ? this.#scanned : this.#pages
    pages.set(key, page)
    while (this.bytes > this.#budgetBytes) this.#evict()
  }

  #evict(): void {
    const scanned = this.#scanned
    const hasMore = scanned.calculatedSize > this.#budgetBytes * SCANNED_SHARE
    const pages = scanned.size > 0 && (hasMore || this.#pages.size === 0) ? scanned : this.#pages
    pages.pop()
  }

  /** Loads a page and keeps it until the function returned is called. */
  async pin(pointer: PagePointer, table: TableName, isScan = false): Promise<() => void> {
    const page = await this.load(pointer, table, isScan)
    const key = keyOf(pointer)
    const pin = this.#pins.get(key) ?? { page, count: 0 }
    pin.count++
    this.#pins.set(key, pin)
    return () => {
      if (--pin.count === 0) this.#pins.delete(key)
    }
  }
}

/** A number where it can be: strings are slower to make and to find. */
function keyOf({ segment, offset }: PagePointer): Key {
  return segment < 2 ** 29 && offset < OFFSETS ? segment * OFFSETS + offset : `${segment}:${offset}`
}
