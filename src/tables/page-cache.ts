// Pages in memory: an LRU of raw pages under a byte budget, identical loads joined, and pins for what an operation has
// loaded and not yet used.
//
// Must stay true: a pinned page is found until it is unpinned, however small the budget; pages are immutable, so an entry
// never goes stale.
import { LRUCache } from 'lru-cache'
import type { PagePointer, SegmentStore } from '../segments/index.ts'
import { decodeStored, type Page } from './page.ts'

/** What a Page costs besides its bytes. */
const PAGE_OVERHEAD_BYTES = 400

interface Pin {
  page: Page
  count: number
}

export class PageCache {
  readonly #segments: SegmentStore
  readonly #pages: LRUCache<string, Page>
  readonly #pins = new Map<string, Pin>()
  readonly #loading = new Map<string, Promise<Page>>()
  hits = 0
  loads = 0

  constructor(segments: SegmentStore, budgetBytes: number) {
    this.#segments = segments
    this.#pages = new LRUCache({
      maxSize: Math.max(1, budgetBytes),
      sizeCalculation: (page) => page.bytes.length + PAGE_OVERHEAD_BYTES,
    })
  }

  get bytes(): number {
    return this.#pages.calculatedSize
  }

  static #key(pointer: PagePointer): string {
    return `${pointer.segment}:${pointer.offset}`
  }

  get(pointer: PagePointer): Page | undefined {
    const key = PageCache.#key(pointer)
    const page = this.#pages.get(key) ?? this.#pins.get(key)?.page
    if (page !== undefined) this.hits++
    return page
  }

  /** A page just built, or read by other means. */
  add(pointer: PagePointer, page: Page): void {
    this.#pages.set(PageCache.#key(pointer), page)
  }

  /** Reads and checks a page; joins a load under way. */
  load(pointer: PagePointer, table: { kind: number; owner: number }): Promise<Page> {
    const cached = this.get(pointer)
    if (cached !== undefined) return Promise.resolve(cached)
    const key = PageCache.#key(pointer)
    let loading = this.#loading.get(key)
    if (loading === undefined) {
      loading = this.#read(pointer, table).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    return loading
  }

  async #read(pointer: PagePointer, table: { kind: number; owner: number }): Promise<Page> {
    const stored = await this.#segments.readPage(pointer)
    const where = `segment ${pointer.segment.toString(16)} at ${pointer.offset}`
    const page = decodeStored(stored, where, table)
    this.loads++
    this.#pages.set(PageCache.#key(pointer), page)
    return page
  }

  /** Loads a page and keeps it until the function returned is called. */
  async pin(pointer: PagePointer, table: { kind: number; owner: number }): Promise<() => void> {
    const page = await this.load(pointer, table)
    const key = PageCache.#key(pointer)
    const pin = this.#pins.get(key) ?? { page, count: 0 }
    pin.count++
    this.#pins.set(key, pin)
    return () => {
      if (--pin.count === 0) this.#pins.delete(key)
    }
  }
}
