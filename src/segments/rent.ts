// Rent or buy: when the rest of a segment is fetched for readers in no order. Each small GET is rent; once the rent paid for a
// segment comes to the price of all of it, it is bought. Whatever is read afterwards, no more than twice was paid of what
// knowing it before would have cost; and where it is bought in vain, as much had been paid in small GETs before.
//
// Both are times, of GETs as they go now. A small one costs what it took (little, where the disk cache has it); a large one
// what it keeps the store busy for, since several are under way at once and nobody may wait for them.
//
// Must stay true: what was bought is paid for: if it is thrown out, read or unread, the rent begins at nothing. Rent that did
// not come to the price is remembered when what it fetched is thrown out.
import type { SegmentId } from './segment-store.ts'

/** A GET up to this long is all latency. */
const SMALL_BYTES = 128 * 1024
/** One from this length on tells of the bandwidth. */
const LARGE_BYTES = 1024 * 1024
/** Before any large GET has come, so much takes as long as a small one: at 20 ms that is 100 MiB/s. */
const BYTES_PER_LATENCY = 2 * 2 ** 20
/** Nothing is for nothing: the clock of a test may stand still. */
const LATENCY_MIN_MS = 0.1
const MS_PER_BYTE_MIN = 0.1 / 2 ** 20
/** A GET that was held up costs no more than so many as usual. */
const HELD_UP_MAX = 4
/** How much the latest small GET says, and how much the ones before a large one. */
const LATENCY_WEIGHT_MIN = 1 / 8
const BANDWIDTH_MEMORY = 0.95
/** Segments whose rent is remembered. */
const SEGMENTS_MAX = 16_384

export class RentOrBuy {
  #latencyMs = 0
  #latencyWeight = 1
  /** Large GETs, each counting less than the one after it: how long the store was busy with them, and what came. */
  #busyMs = 0
  #busyBytes = 0
  #largeUnderWay = 0
  #busySinceMs = 0
  /** Rent paid since it was last bought, and how often; the segment that paid last is at the end. */
  readonly #paid = new Map<SegmentId, { ms: number; times: number }>()

  /** A GET begins; `Infinity`: it has no known end. Tell its end by what this returns, with what came, 0 where it failed; that
   *  gives what it has cost. */
  begin(lengthBytes: number, nowMs: number): (gotBytes: number, endMs: number) => number {
    const isLarge = lengthBytes > SMALL_BYTES
    // Before its first byte comes, the store is not busy with it.
    if (isLarge && this.#largeUnderWay++ === 0) this.#busySinceMs = nowMs + this.#latencyMs
    let isOver = false
    return (gotBytes, endMs) => {
      if (isOver) return 0
      isOver = true
      if (isLarge) this.#largeUnderWay -= 1
      if (gotBytes === 0) return 0
      if (!isLarge) {
        this.#latencyMs += (endMs - nowMs - this.#latencyMs) * this.#latencyWeight
        this.#latencyWeight = Math.max(LATENCY_WEIGHT_MIN, this.#latencyWeight / 2)
      } else if (gotBytes >= LARGE_BYTES) {
        this.#busyMs = this.#busyMs * BANDWIDTH_MEMORY + Math.max(0, endMs - this.#busySinceMs)
        this.#busyBytes = this.#busyBytes * BANDWIDTH_MEMORY + gotBytes
        this.#busySinceMs = endMs
      }
      return Math.min(Math.max(endMs - nowMs, LATENCY_MIN_MS), HELD_UP_MAX * this.priceMs(gotBytes))
    }
  }

  /** What a GET of so much costs. */
  priceMs(lengthBytes: number): number {
    const latencyMs = Math.max(this.#latencyMs, LATENCY_MIN_MS)
    const msPerByte = this.#busyBytes > 0 ? this.#busyMs / this.#busyBytes : latencyMs / BYTES_PER_LATENCY
    return latencyMs + lengthBytes * Math.max(msPerByte, MS_PER_BYTE_MIN)
  }

  /** A part of a segment was fetched, at this cost. */
  pay(segment: SegmentId, costMs: number): void {
    const { ms, times } = this.#paid.get(segment) ?? { ms: 0, times: 0 }
    this.#paid.delete(segment)
    this.#paid.set(segment, { ms: ms + costMs, times: times + 1 })
    if (this.#paid.size <= SEGMENTS_MAX) return
    for (const longest of this.#paid.keys()) {
      this.#paid.delete(longest)
      break
    }
  }

  /** Whether the rent has come to the price of `missingBytes`: not by one GET, whatever it cost. */
  isPaid(segment: SegmentId, missingBytes: number): boolean {
    const paid = this.#paid.get(segment)
    return paid !== undefined && paid.times > 1 && paid.ms >= this.priceMs(missingBytes)
  }

  /** The rest of it is being fetched. */
  bought(segment: SegmentId): void {
    this.#paid.delete(segment)
  }
}
