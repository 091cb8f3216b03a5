// Rent or buy: when the rest of a segment is fetched for readers in no order. Each small GET is rent; once the rent paid for a
// segment comes to the price of all of it, it is bought. Whatever is read afterwards, no more than twice was paid of what
// knowing it before would have cost; and where it is bought in vain, as much had been paid in small GETs before.
//
// Both are times, of GETs as they go now. A small one costs what it takes; a large one what it keeps the store busy for, since
// several are under way at once and nobody may wait for them.
//
// Must stay true: what was bought is paid for: if it is thrown out, read or unread, the rent begins at nothing. Rent that did
// not come to the price is remembered when what it fetched is thrown out.
import type { SegmentId } from './segment-store.ts'

/** A GET up to this long is all latency. */
const SMALL_BYTES = 128 * 1024
/** One from this length on tells of the bandwidth. */
const LARGE_BYTES = 1024 * 1024
/** Before anything is known: an object store in the same region. */
const FIRST_LATENCY_MS = 20
const FIRST_MS_PER_BYTE = 10 / 2 ** 20
/** Nothing is for nothing: the clock of a test may stand still. */
const LATENCY_MIN_MS = 0.1
const MS_PER_BYTE_MIN = 0.1 / 2 ** 20
/** How much the latest small GET says, and how much the ones before a large one. */
const LATENCY_WEIGHT = 1 / 8
const BANDWIDTH_MEMORY = 0.95
/** Segments whose rent is remembered. */
const SEGMENTS_MAX = 16_384

export class RentOrBuy {
  #latencyMs = FIRST_LATENCY_MS
  /** Large GETs, each counting less than the one after it: how long the store was busy with them, and what came. */
  #busyMs = FIRST_MS_PER_BYTE * LARGE_BYTES
  #busyBytes = LARGE_BYTES
  #largeUnderWay = 0
  #busySinceMs = 0
  /** Rent paid since it was last bought; the segment that paid last is at the end. */
  readonly #paidMs = new Map<SegmentId, number>()

  /** A GET begins; `Infinity`: it has no known end. Tell its end by what this returns, with what came, 0 where it failed. */
  begin(lengthBytes: number, nowMs: number): (gotBytes: number, endMs: number) => void {
    const isLarge = lengthBytes > SMALL_BYTES
    if (isLarge && this.#largeUnderWay++ === 0) this.#busySinceMs = nowMs
    let isOver = false
    return (gotBytes, endMs) => {
      if (isOver) return
      isOver = true
      if (isLarge) this.#largeUnderWay -= 1
      if (gotBytes === 0) return
      if (!isLarge) this.#latencyMs += (endMs - nowMs - this.#latencyMs) * LATENCY_WEIGHT
      else if (gotBytes >= LARGE_BYTES) {
        this.#busyMs = this.#busyMs * BANDWIDTH_MEMORY + (endMs - this.#busySinceMs)
        this.#busyBytes = this.#busyBytes * BANDWIDTH_MEMORY + gotBytes
        this.#busySinceMs = endMs
      }
    }
  }

  /** What a GET of so much costs. */
  priceMs(lengthBytes: number): number {
    const msPerByte = Math.max(this.#busyMs / this.#busyBytes, MS_PER_BYTE_MIN)
    return Math.max(this.#latencyMs, LATENCY_MIN_MS) + lengthBytes * msPerByte
  }

  /** So much of a segment was fetched, and not all. */
  pay(segment: SegmentId, lengthBytes: number): void {
    const paid = this.#paidMs.get(segment) ?? 0
    this.#paidMs.delete(segment)
    this.#paidMs.set(segment, paid + this.priceMs(lengthBytes))
    if (this.#paidMs.size <= SEGMENTS_MAX) return
    for (const longest of this.#paidMs.keys()) {
      this.#paidMs.delete(longest)
      break
    }
  }

  /** Whether the rent has come to the price of `missingBytes`. */
  isPaid(segment: SegmentId, missingBytes: number): boolean {
    return (this.#paidMs.get(segment) ?? 0) >= this.priceMs(missingBytes)
  }

  /** The rest of it is being fetched. */
  bought(segment: SegmentId): void {
    this.#paidMs.delete(segment)
  }
}
