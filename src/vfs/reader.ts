// The reader behind a handle: fetches ahead of it what its read-ahead asks for, and gives up what is not wanted any more.
//
// Must stay true: what is on its way for a reader is told to be given up when he goes elsewhere, or closes.
import { createReadAhead, type Extent, type ReadAhead, type ReadAheadOptions, type Span } from '../data/index.ts'
import { isPromise, type MaybePromise } from '../platform/index.ts'
import { type DataRange, type Prefetch, sliceRange } from '../segments/index.ts'

/** A read that is under way. */
export interface Reading {
  offset: number
  /** Where it ends: not past the file's end. */
  end: number
  /** Not all of it is in memory. */
  waits: boolean
  fileBytes: number
  /** The recorded extents of a part of the file. */
  extents: (from: number, to: number) => MaybePromise<readonly Extent[]>
  /** Null: not now. */
  prefetch: (range: DataRange) => Prefetch | null
}

export class Reader {
  readonly #readAhead: ReadAhead
  /** What was asked for and not yet passed by. */
  #ahead: (Span & { prefetch: Prefetch })[] = []
  #isClosed = false

  constructor(options: ReadAheadOptions) {
    this.#readAhead = createReadAhead(options)
  }

  /** Begins fetching what will be wanted next. Never rejects: a read that comes later meets what fails here. */
  onRead(reading: Reading): void {
    const { offset, end, waits, fileBytes } = reading
    const { fetch, giveUp } = this.#readAhead.onRead(offset, end - offset, waits)
    for (const span of giveUp) this.#giveUp(span)
    if (fetch === null) return
    if (fetch.to > fileBytes) this.#readAhead.refused(Math.max(fetch.from, fileBytes))
    const to = Math.min(fetch.to, fileBytes)
    if (fetch.from >= to) return
    this.#ahead = this.#ahead.filter((span) => span.to > offset)
    const extents = reading.extents(fetch.from, to)
    if (isPromise(extents)) {
      extents.then(
        (found) => this.#fetch(reading, { from: fetch.from, to }, found),
        () => {},
      )
    } else this.#fetch(reading, { from: fetch.from, to }, extents)
  }

  close(): void {
    this.#isClosed = true
    for (const span of this.#readAhead.end()) this.#giveUp(span)
    this.#ahead = []
  }

  #fetch({ prefetch }: Reading, { from, to }: Span, extents: readonly Extent[]): void {
    if (this.#isClosed) return
    for (const { fileOffset, range } of extents) {
      const start = Math.max(from, fileOffset)
      const end = Math.min(to, fileOffset + range.lengthBytes)
      if (start >= end) continue
      const begun = prefetch(sliceRange(range, start - fileOffset, end - start))
      if (begun === null) {
        this.#readAhead.refused(start)
        return
      }
      this.#ahead.push({ from: start, to: end, prefetch: begun })
    }
  }

  #giveUp({ from, to }: Span): void {
    this.#ahead = this.#ahead.filter((span) => {
      if (span.from >= to || span.to <= from) return true
      span.prefetch.giveUp()
      return false
    })
  }
}
