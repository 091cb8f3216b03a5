// The reader behind a handle: fetches ahead of it what its read-ahead asks for, and gives up what is not wanted any more.
//
// Must stay true: what is on its way for a reader is told to be given up when he goes elsewhere, or closes.
import { createReadAhead, type Extent, type ReadAhead, type ReadAheadOptions, type RunSpan } from '../data/index.ts'
import { isPromise, type MaybePromise } from '../platform/index.ts'
import { type DataRange, type Prefetch, sliceRange } from '../segments/index.ts'

/** Up to here a file is read for its neighbours' sake too: they are likely to be wanted next. */
const SMALL_FILE_BYTES = 256 * 1024

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
  #ahead: (RunSpan & { prefetch: Prefetch })[] = []
  #isClosed = false

  constructor(options: ReadAheadOptions) {
    this.#readAhead = createReadAhead(options)
  }

  /** Whether a read, which `onRead` is not told of yet, is one in no order: of a part of a large file, and not going on with
   *  others. The first read of such a file is one, unless it takes all of it. */
  isRandom({ offset, end, fileBytes }: Pick<Reading, 'offset' | 'end' | 'fileBytes'>): boolean {
    if (fileBytes <= SMALL_FILE_BYTES || end - offset === fileBytes) return false
    return !this.#readAhead.follows(offset, end - offset)
  }

  /** Begins fetching what will be wanted next. Fails nobody: a read that comes later meets what fails here. */
  onRead(reading: Reading): void {
    const { offset, end, waits, fileBytes } = reading
    const { fetch, giveUp } = this.#readAhead.onRead(offset, end - offset, waits)
    for (const span of giveUp) this.#giveUp(span)
    if (fetch === null) return
    const { run, from } = fetch
    if (fetch.to > fileBytes) this.#readAhead.refused(run, Math.max(from, fileBytes))
    const to = Math.min(fetch.to, fileBytes)
    if (from >= to) return
    this.#ahead = this.#ahead.filter((span) => (span.run === run ? span.to > offset : this.#readAhead.isOn(span.run)))
    this.#begin(reading, { run, from, to })
  }

  #begin(reading: Reading, span: RunSpan): void {
    try {
      const extents = reading.extents(span.from, span.to)
      if (isPromise(extents)) extents.then((found) => this.#fetch(reading, span, found)).catch(() => {})
      else this.#fetch(reading, span, extents)
    } catch {
      // The read that is under way does not need it.
    }
  }

  close(): void {
    this.#isClosed = true
    for (const span of this.#readAhead.end()) this.#giveUp(span)
    this.#ahead = []
  }

  #fetch({ prefetch }: Reading, { run, from, to }: RunSpan, extents: readonly Extent[]): void {
    if (this.#isClosed || !this.#readAhead.isOn(run)) return
    for (const { fileOffset, range } of extents) {
      const start = Math.max(from, fileOffset)
      const end = Math.min(to, fileOffset + range.lengthBytes)
      if (start >= end) continue
      const begun = prefetch(sliceRange(range, start - fileOffset, end - start))
      if (begun === null) {
        this.#readAhead.refused(run, start)
        return
      }
      this.#ahead.push({ run, from: start, to: end, prefetch: begun })
    }
  }

  #giveUp({ run, from, to }: RunSpan): void {
    this.#ahead = this.#ahead.filter((span) => {
      if (span.run !== run || span.from >= to || span.to <= from) return true
      span.prefetch.giveUp()
      return false
    })
  }
}
