// Where a file is being written in order: the few spans that writes have lately filled without a gap. It tells, in
// constant time per write, when a full piece's worth of contiguous dirty bytes exists, also for several writers of one
// file and for writes that arrive somewhat out of order. Pure.
//
// Must stay true: spans neither overlap nor touch; every byte in one was added since it was last cut off.

const SPANS_MAX = 8

export class SequentialSpans {
  /** Least recently written first. */
  readonly #spans: { start: number; end: number }[] = []

  /** [start, end) was written. */
  add(start: number, end: number): void {
    const newest = this.#spans.at(-1)
    if (newest !== undefined && newest.end === start && this.#spans.length === 1) {
      newest.end = end
      return
    }
    const merged = { start, end }
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const span = this.#spans[i]!
      if (span.start > merged.end || merged.start > span.end) continue
      merged.start = Math.min(merged.start, span.start)
      merged.end = Math.max(merged.end, span.end)
      this.#spans.splice(i, 1)
      // What is larger now may touch a span that was passed over.
      i = this.#spans.length
    }
    if (this.#spans.length >= SPANS_MAX) this.#spans.shift()
    this.#spans.push(merged)
  }

  /** The first `lengthBytes` of the span written last, once it is that long; they then belong to no span. */
  take(lengthBytes: number): number | null {
    const span = this.#spans.at(-1)
    if (span === undefined || span.end - span.start < lengthBytes) return null
    const { start } = span
    span.start += lengthBytes
    if (span.start === span.end) this.#spans.pop()
    return start
  }

  /** Nothing lies at or past `end` any more. */
  cut(end: number): void {
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const span = this.#spans[i]!
      span.end = Math.min(span.end, end)
      if (span.end <= span.start) this.#spans.splice(i, 1)
    }
  }

  clear(): void {
    this.#spans.length = 0
  }
}
