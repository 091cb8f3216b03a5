// How much of a shared segment is in use: USAGE counts every reference, so a byte that three files share counts thrice,
// and a segment that holds little else than garbage could look full.
//
// What the files among its sharers refer to is looked up in their extents, each file once for all segments. What else the
// row counts are references of the files in its table of contents, each byte once: mostly that bounds it well enough, and
// the table is read only where it does not.
//
// Must stay true: a segment that was just written, all of it in use, never looks sparse.
import type { Extent } from '../data/index.ts'
import { commonRanges, distinctBytes, extentsByTurns, sharedSegments, sharersOf, type UsageRow } from '../meta/index.ts'
import type { FsError } from '../platform/index.ts'
import { NEVER_SPARSE_FROM, type SegmentId } from '../segments/index.ts'
import type { Context } from './context.ts'

/** Rows looked at in one turn. */
const ROWS_PER_TURN = 2048

interface Shared {
  segment: SegmentId
  liveBytes: number
  sharers: number[]
  /** What these refer to. */
  found: { from: Extent }[]
}

export class SharedUse {
  readonly #context: () => Context
  /** As last found, with what it was found from: nothing else changes it. */
  readonly #known = new Map<SegmentId, { liveBytes: number; sharers: number; distinctBytes: number }>()

  constructor(context: () => Context) {
    this.#context = context
  }

  /** The live bytes of segments, every byte counted once, as far as it came before it was stopped. */
  async distinct(rows: readonly UsageRow[], isStopped: () => boolean): Promise<Map<SegmentId, number>> {
    const live = new Map(rows.map(({ segment, liveBytes }) => [segment, liveBytes]))
    const shared = await this.#shared(live)
    for (const segment of this.#known.keys()) if (!shared.has(segment)) this.#known.delete(segment)
    const stale = [...shared.values()].filter(({ segment, liveBytes, sharers }) => {
      const known = this.#known.get(segment)
      return known?.liveBytes !== liveBytes || known.sharers !== sharers.length
    })
    if (!(await this.#lookUp(stale, isStopped))) return live
    for (const use of stale) {
      if (isStopped()) return live
      const { segment, liveBytes, sharers } = use
      this.#known.set(segment, { liveBytes, sharers: sharers.length, distinctBytes: await this.#measured(use) })
    }
    for (const segment of shared.keys()) live.set(segment, this.#known.get(segment)!.distinctBytes)
    return live
  }

  async #shared(live: ReadonlyMap<SegmentId, number>): Promise<Map<SegmentId, Shared>> {
    const { clock, database } = this.#context()
    const shared = new Map<SegmentId, Shared>()
    for (let from = 0, isEnd = false; !isEnd; ) {
      const ids = await database.run(() => sharedSegments(database, from, ROWS_PER_TURN))
      for (const segment of ids) {
        const liveBytes = live.get(segment)
        if (liveBytes === undefined) continue
        const sharers = await database.run(() => sharersOf(database, segment))
        shared.set(segment, { segment, liveBytes, sharers, found: [] })
      }
      isEnd = ids.length < ROWS_PER_TURN
      from = (ids.at(-1) ?? 0) + 1
      if (!isEnd) await clock.yield()
    }
    return shared
  }

  /** Finds what the sharers have of their segments, each file read once. Resolves to whether it came to the end. */
  async #lookUp(uses: readonly Shared[], isStopped: () => boolean): Promise<boolean> {
    const { clock, metadata } = this.#context()
    const bySegment = new Map(uses.map((use) => [use.segment, use]))
    for (const ino of new Set(uses.flatMap(({ sharers }) => sharers))) {
      for await (const { extents } of extentsByTurns(metadata, ino, () => clock.yield())) {
        if (isStopped()) return false
        for (const extent of extents) bySegment.get(extent.range.segment)?.found.push({ from: extent })
      }
    }
    return true
  }

  async #measured({ segment, liveBytes, sharers, found }: Shared): Promise<number> {
    const { clock, metadata, segments } = this.#context()
    const common = commonRanges(found).reduce((sum, { range }) => sum + range.lengthBytes, 0)
    const others = Math.max(0, liveBytes - found.reduce((sum, { from }) => sum + from.range.lengthBytes, 0))
    const [least, most] = [Math.max(common, others), common + others]
    const wholeBytes = (await segments.sizes([segment])).get(segment)?.bytes ?? 0
    if (least === most || least >= NEVER_SPARSE_FROM * wholeBytes) return least
    try {
      const contents = await segments.readTable(segment)
      return await distinctBytes({ id: segment, contents, sharers }, { metadata, yieldTurn: () => clock.yield() })
    } catch (error) {
      if ((error as FsError).code !== 'EIO') throw error
      // Damaged, or the store is away: it is not moved for the sake of a guess.
      return most
    }
  }
}
