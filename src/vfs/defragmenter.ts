// Makes files whole again that random writes have left in many small extents: part of a pass of the cleaner, with the
// cleaner's pauses (docs/decisions/0019).
//
// Which files: those whose record left them with a table of extents, remembered, a bounded number; and those that earlier
// mounts left with one, found by going once through the owners of such tables, a few in each pass.
//
// Must stay true:
// - A file with anything unrecorded, or recorded lately, is left alone: whoever writes goes first.
// - What was made whole is not chosen again, and a file that was rewritten rests: so it ends, whatever is written meanwhile.
import { EXTENTS_ROWS, filesWithManyExtents, fragmentedRuns, rewriteRuns } from '../meta/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { Context } from './context.ts'

/** Files remembered at most; the longest ago written are forgotten first, and found by a later mount. */
const FILES_MAX = 4096
/** Of those that earlier mounts left, looked at in one pass. */
const FILES_PER_PASS = 64
/** A file is not touched before it was left alone for so long, ... */
const QUIET_MS = 60_000
/** ... nor twice within this. */
const REST_MS = 600_000
/** Bytes rewritten between two pauses. */
const REWRITE_BYTES = 32 << 20

export interface DefragmentOptions {
  /** Without regard to when files were written. */
  isHurried: boolean
  isStopped: () => boolean
  /** Runs a piece of work, and rests after it. */
  paced: (work: () => Promise<void>) => Promise<void>
}

export class Defragmenter {
  readonly #context: () => Context
  /** Files that may be fragmented, and since when they were left alone (monotonic ms). */
  readonly #candidates = new Map<number, number>()
  /** Until when those rest that were rewritten. */
  readonly #resting = new Map<number, number>()
  /** Where to go on among what earlier mounts left; null once all were looked at. */
  #from: number | null = 0
  /** Segments begun that no record may have come to name. */
  readonly #taken = new Set<SegmentId>()
  /** Since the mount. */
  rewrittenBytes = 0

  constructor(context: () => Context) {
    this.#context = context
  }

  /** A record left this file with a table of extents. */
  recorded(ino: number): void {
    this.#candidates.delete(ino)
    this.#candidates.set(ino, this.#context().clock.monotonicMs())
    if (this.#candidates.size <= FILES_MAX) return
    for (const oldest of this.#candidates.keys()) {
      this.#candidates.delete(oldest)
      break
    }
  }

  /** When a pass is worth while, for the sake of files that were written lately or wait for a checkpoint. */
  get nextInMs(): number {
    return this.#candidates.size > 0 || this.#from !== null ? QUIET_MS : Number.POSITIVE_INFINITY
  }

  /** Looks at the files that are due. Resolves to whether it did, or has to do, anything. */
  async pass(options: DefragmentOptions): Promise<boolean> {
    const before = this.rewrittenBytes
    const isGoingOn = this.#from !== null
    const nowMs = this.#context().clock.monotonicMs()
    for (const [ino, untilMs] of this.#resting) if (untilMs <= nowMs) this.#resting.delete(ino)
    await this.#findMore()
    for (const [ino, sinceMs] of [...this.#candidates]) {
      if (options.isStopped()) break
      if (!this.#isDue(ino, sinceMs, options.isHurried)) continue
      // Whoever writes it meanwhile puts it back.
      this.#candidates.delete(ino)
      try {
        const isRewritten = await this.#rewrite(ino, sinceMs, options)
        if (isRewritten) this.#resting.set(ino, this.#context().clock.monotonicMs() + REST_MS)
      } catch (error) {
        // The store failed: the next pass tries again.
        if (!this.#candidates.has(ino)) this.#candidates.set(ino, sinceMs)
        throw error
      }
    }
    return this.rewrittenBytes > before || isGoingOn
  }

  async #findMore(): Promise<void> {
    const { database } = this.#context()
    const from = this.#from
    if (from === null) return
    const inos = await database.run(() => filesWithManyExtents(database, EXTENTS_ROWS, from, FILES_PER_PASS))
    for (const ino of inos) if (!this.#candidates.has(ino)) this.#candidates.set(ino, Number.NEGATIVE_INFINITY)
    this.#from = inos.length < FILES_PER_PASS ? null : inos.at(-1)! + 1
  }

  #isDue(ino: number, sinceMs: number, isHurried: boolean): boolean {
    const { clock, streams } = this.#context()
    if (streams.get(ino) !== undefined) return false
    if (isHurried) return true
    return clock.monotonicMs() - sinceMs >= QUIET_MS && !this.#resting.has(ino)
  }

  /** Rewrites what is fragmented of a file. Resolves to whether anything was. */
  async #rewrite(ino: number, sinceMs: number, { isStopped, paced }: DefragmentOptions): Promise<boolean> {
    const { clock, database, log, metadata, segments, streams, writeback } = this.#context()
    const { takeSegmentId } = streams
    const windowBytes = Math.min(segments.maxPieceBytes, REWRITE_BYTES)
    const options = { metadata, segments, takeSegmentId, yieldTurn: () => clock.yield(), log, taken: this.#taken }
    const before = this.rewrittenBytes
    for (let from: number | null = 0; from !== null && !isStopped(); ) {
      const at: number = from
      const inUse = streams.segmentsInUse()
      const found = await database.run(() => {
        const node = streams.get(ino) === undefined ? metadata.nodeIfAny(ino) : null
        if (node === null || node.home === 'orphan') return { runs: [], next: null, waits: false }
        return fragmentedRuns(database, node.inode, at, { windowBytes, isFixed: (segment) => inUse.has(segment) })
      })
      from = found.next
      // After the next checkpoint, or the record of a copy.
      if (found.waits && !this.#candidates.has(ino)) this.#candidates.set(ino, sinceMs)
      await clock.yield()
      if (found.runs.length === 0) continue
      await paced(async () => {
        this.rewrittenBytes += await rewriteRuns(ino, found.runs, { ...options, priority: 'read-ahead' })
        writeback.changed()
      })
    }
    return this.rewrittenBytes > before
  }
}
