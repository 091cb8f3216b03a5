// How many segments readers go through at once, and whether they use up what they are given: both say how much of a segment
// a GET fetches beyond what was asked for.
//
// Files of a directory that were written in many rounds lie in as many rows of segments, and `tar` goes from one row to the
// other. Whole segments of all of them may be more than the cache holds; each would then be thrown out before it is read,
// and fetched again for the next file. So a purchase is no larger than the part of the cache that is its share.
//
// Must stay true: what is bought with the first miss in a segment was earned by what was used up before: no more than
// CREDIT_MAX such purchases are in vain before the next one is.
import type { SegmentId } from './segment-store.ts'

/** Segments that are remembered, whether anything of them is held or not. */
const SEGMENTS_MAX = 512
/** As many of the latest misses say how many segments there are at a time. */
const MISSES = 64
/** What is fetched beside it takes a part of the cache too. */
const SHARED_PART = 7 / 8
const CREDIT_MAX = 4

export class Breadth {
  /** By when they were last used, the latest at the end. */
  readonly #used = new Map<SegmentId, true>()
  #latest: SegmentId | null = null
  /** Of the latest misses: how many other segments had been used since that one was. */
  readonly #distances = new Uint16Array(MISSES)
  #misses = 0
  #credit = 0

  used(id: SegmentId): void {
    if (id === this.#latest) return
    this.#latest = id
    this.#used.delete(id)
    this.#used.set(id, true)
    if (this.#used.size <= SEGMENTS_MAX) return
    for (const oldest of this.#used.keys()) {
      this.#used.delete(oldest)
      break
    }
  }

  /** Something of it is wanted that is not held. To be told before `used`. */
  missed(id: SegmentId): void {
    let distance = 0
    if (this.#used.has(id)) {
      distance = this.#used.size
      for (const each of this.#used.keys()) {
        distance -= 1
        if (each === id) break
      }
    }
    this.#distances[this.#misses++ % MISSES] = distance
  }

  /** How many segments readers go through at once. */
  get segments(): number {
    return Math.max(...this.#distances) + 1
  }

  /** How much of a segment may be bought, so that what is bought of the others stays. */
  shareOf(cacheBytes: number): number {
    return (cacheBytes * SHARED_PART) / this.segments
  }

  /** What was bought was read to its end. */
  usedUp(): void {
    this.#credit = Math.min(CREDIT_MAX, this.#credit + 1)
  }

  /** What was bought was thrown out, and most of it never read. */
  thrownOut(): void {
    this.#credit = 0
  }

  /** Whether as much was used up lately that the next segment is bought before anything shows that it is wanted. */
  takeCredit(): boolean {
    if (this.#credit === 0) return false
    this.#credit -= 1
    return true
  }
}
