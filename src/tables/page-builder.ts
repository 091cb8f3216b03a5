// Collects entries of one level of a tree, in order of their keys, and cuts them into pages as they come.
//
// What is cut: a *run* of entries that follow each other with no old page between them. While a run goes on, full pages
// leave; its end is cut into equal parts, so that no page is tiny. At the right edge of a tree, where tables grow whose keys
// ascend, the last page is left smaller in favour of a full one before it: that one will not be written again.
//
// Must stay true:
// - No more is held than two pages, what one call of `addRun` brings, and one group of keys.
// - Keys that differ only in their low `groupBits` bits come to lie in one page, however large.
import { PAGE_TARGET_BYTES, type Page, rawPageBytes } from './page.ts'

/** Pages below this are joined with a neighbour when they are written anyway. */
export const PAGE_SMALL_BYTES = PAGE_TARGET_BYTES / 2
/** The same for the last page of a level, which is the first to grow. */
export const PAGE_SMALL_AT_EDGE_BYTES = PAGE_TARGET_BYTES / 4
const HELD_MAX_BYTES = 2 * PAGE_TARGET_BYTES
const FIRST_BYTES = 4096
/** Records up to this size are copied faster byte by byte than through a view. */
const LOOP_MAX_BYTES = 256

/** Entries on their way into a page, with their records end to end: record i is `bytes[ends[i - 1], ends[i])`. */
export interface PackedEntries {
  keys: number[]
  ends: number[]
  bytes: Buffer
}

/** Takes the first `count` entries, as a page. They are valid during the call. */
export type TakePage = (entries: Readonly<PackedEntries>, count: number) => void

export class PageBuilder {
  readonly #take: TakePage
  #group = 1
  #keys: number[] = []
  #ends: number[] = []
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES)
  /** A page of this run has left. */
  #hasCut = false

  constructor(take: TakePage) {
    this.#take = take
  }

  /** Begins another table. */
  reset(groupBits: number): void {
    this.#group = 2 ** groupBits
    this.#keys = []
    this.#ends = []
    this.#hasCut = false
  }

  get count(): number {
    return this.#keys.length
  }

  /** Bytes in memory. */
  get heldBytes(): number {
    return this.#bytes.length + this.#keys.length * 16
  }

  /** Whether the run would end as one page of less than `limitBytes`. */
  isSmall(limitBytes: number): boolean {
    return this.#keys.length > 0 && !this.#hasCut && this.#pageBytes() < limitBytes
  }

  /** The entry added last; the record is a view. */
  get last(): { key: number; record: Buffer } {
    const index = this.#keys.length - 1
    return { key: this.#keys[index]!, record: this.#bytes.subarray(this.#start(index), this.#ends[index]) }
  }

  removeLast(): void {
    this.#keys.pop()
    this.#ends.pop()
  }

  /** Adds an entry behind all others; the record is `source[start, end)`, and is copied. */
  add(key: number, source: Uint8Array, start: number, end: number): void {
    const at = this.#end
    this.#reserve(at + end - start)
    if (end - start > LOOP_MAX_BYTES) this.#bytes.set(source.subarray(start, end), at)
    else for (let from = start, to = at; from < end; from++, to++) this.#bytes[to] = source[from]!
    this.#keys.push(key)
    this.#ends.push(at + end - start)
    this.#cutFull()
  }

  /** Adds the entries `[from, to)` of a page behind all others. */
  addRun(page: Page, from: number, to: number): void {
    if (from >= to) return
    const [start, end] = [page.start(from), page.end(to - 1)]
    const at = this.#end
    this.#reserve(at + end - start)
    this.#bytes.set(page.bytes.subarray(start, end), at)
    for (let index = from; index < to; index++) {
      this.#keys.push(page.key(index))
      this.#ends.push(page.end(index) - start + at)
    }
    this.#cutFull()
  }

  /** Adds all entries of a page in front of the run, of which nothing has left. */
  prepend(page: Page): void {
    const [start, end] = [page.start(0), page.end(page.count - 1)]
    const shift = end - start
    const held = this.#end
    this.#reserve(held + shift)
    this.#bytes.copyWithin(shift, 0, held)
    this.#bytes.set(page.bytes.subarray(start, end), 0)
    const keys: number[] = []
    const ends: number[] = []
    for (let index = 0; index < page.count; index++) {
      keys.push(page.key(index))
      ends.push(page.end(index) - start)
    }
    this.#keys = keys.concat(this.#keys)
    this.#ends = ends.concat(this.#ends.map((each) => each + shift))
  }

  /** Ends the run: what is held leaves. */
  finish(where: 'inside' | 'at the edge'): void {
    for (let total = this.#pageBytes(); total > PAGE_TARGET_BYTES && this.#keys.length > 1; total = this.#pageBytes()) {
      const wanted =
        where === 'inside' ? total / Math.ceil(total / PAGE_TARGET_BYTES) : total - PAGE_SMALL_AT_EDGE_BYTES
      this.#cut(this.#cutIndex(wanted))
    }
    this.#cut(this.#keys.length)
    this.#hasCut = false
  }

  #cutFull(): void {
    while (this.#pageBytes() > HELD_MAX_BYTES) {
      const index = this.#cutIndex(PAGE_TARGET_BYTES)
      // The group that began last may not have ended.
      if (index === this.#keys.length) return
      this.#cut(index)
      this.#hasCut = true
    }
  }

  /** Where the first page ends: it has `wantedBytes`, or is full. Never inside a group. */
  #cutIndex(wantedBytes: number): number {
    const keys = this.#keys
    let lastBoundary = 0
    for (let index = 1; index < keys.length; index++) {
      const isBoundary = Math.floor(keys[index]! / this.#group) !== Math.floor(keys[index - 1]! / this.#group)
      const isFull = rawPageBytes(index + 1, this.#ends[index]!) > PAGE_TARGET_BYTES
      if (isBoundary && (isFull || rawPageBytes(index, this.#start(index)) >= wantedBytes)) return index
      if (isBoundary) lastBoundary = index
      if (isFull && rawPageBytes(lastBoundary, this.#start(lastBoundary)) >= PAGE_SMALL_BYTES) return lastBoundary
    }
    return keys.length
  }

  #cut(count: number): void {
    if (count === 0) return
    this.#take({ keys: this.#keys, ends: this.#ends, bytes: this.#bytes }, count)
    const end = this.#ends[count - 1]!
    this.#bytes.copyWithin(0, end, this.#end)
    this.#keys = this.#keys.slice(count)
    this.#ends = this.#ends.slice(count).map((each) => each - end)
  }

  #start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!
  }

  get #end(): number {
    return this.#start(this.#ends.length)
  }

  #pageBytes(): number {
    return rawPageBytes(this.#keys.length, this.#end)
  }

  #reserve(lengthBytes: number): void {
    if (lengthBytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(lengthBytes, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = larger
  }
}
