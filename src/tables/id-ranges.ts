// Ids of inodes and segments: 10 bits of slot, then a counter, taken only from ranges that a durable `root` has reserved.
//
// Must stay true: an id is never given out twice, nor one at or past the end of the durable range.
import { FsError, ruleHolds } from '../platform/index.ts'
import type { IdSort } from './database.ts'
import type { IdRange } from './root.ts'

/** How many ids a root reserves at a time. */
export const RANGE_IDS = 2 ** 24
const SORTS: Record<IdSort, number> = { ino: 1, segment: 2 }

interface Counter {
  next: number
  end: number
}

export class IdRanges {
  readonly #slot: number
  readonly #counters: Record<IdSort, Counter>

  /** Begins behind everything that `durable` says may have been given out. Nothing can be taken until `reserve`d. */
  constructor(slot: number, durable: readonly IdRange[]) {
    this.#slot = slot
    const counter = (sort: IdSort): Counter => {
      const range = durable.find((each) => each.sort === SORTS[sort] && each.slot === slot)
      if (range === undefined) throw new FsError('EIO', `root reserves no ${sort} ids for slot ${slot}: it is damaged`)
      // Without the rule: what the tenure before may have taken is taken again.
      const next = ruleHolds('ids come from reserved ranges') ? range.end : Math.max(range.end - RANGE_IDS, 16)
      return { next, end: range.end }
    }
    this.#counters = { ino: counter('ino'), segment: counter('segment') }
  }

  take(sort: IdSort): number {
    const counter = this.#counters[sort]
    if (counter.next >= counter.end) throw new FsError('EIO', `out of ${sort} ids until the next checkpoint`)
    return counter.next++
  }

  /** The id that would be taken now. */
  next(sort: IdSort): number {
    return this.#counters[sort].next
  }

  /** Whether less than half a range is left. */
  get isLow(): boolean {
    return Object.values(this.#counters).some((counter) => counter.end - counter.next < RANGE_IDS / 2)
  }

  /** What the next `root` is to say. `extend`: a whole range ahead where less than half is left. `exact`: nothing beyond
   *  what was taken, for a root behind which nothing more is taken. */
  plan(how: 'extend' | 'exact'): IdRange[] {
    return (Object.keys(SORTS) as IdSort[]).map((sort) => {
      const { next, end } = this.#counters[sort]
      const wanted = end - next < RANGE_IDS / 2 ? next + RANGE_IDS : end
      return { sort: SORTS[sort], slot: this.#slot, end: how === 'exact' ? next : wanted }
    })
  }

  /** The root that says so is durable. */
  reserved(ranges: readonly IdRange[]): void {
    for (const sort of Object.keys(SORTS) as IdSort[]) {
      const range = ranges.find((each) => each.sort === SORTS[sort] && each.slot === this.#slot)
      if (range !== undefined) this.#counters[sort].end = range.end
    }
  }
}
