// The cleaner: gives back the space of what was deleted and overwritten. A pass deletes segments that nothing uses any
// more, and moves what still lives in sparse ones into new segments, so that the next pass can delete those. Pages have
// the same done by the database (tables/page-cleaner.ts).
//
// A pass begins some seconds after a checkpoint, and when the grace period of something has ended. Moving takes a fifth of
// the time at most, so a fifth of the bandwidth, and waits while somebody waits for a read. `gc` runs passes without either.
//
// Must stay true:
// - A segment is deleted only when a durable root, with nothing recorded since, has no use for it; the grace period has
//   passed since that was first seen (on the monotonic clock; from the mount on for what was dead before; what a stream
//   refers to may live again, and is not dead before it does no more); and nothing in
//   memory refers to it: no unrecorded stream, no read under way. All but the clock is looked at in the turn in which the
//   deletion begins. Nothing can come to refer to it after that: references are only ever copied from others.
// - Its row in USAGE goes after it, by an ordinary transaction. A crash between the two only has it deleted again.
// - One pass at a time; none once it is stopped.
import {
  allSegmentUse,
  forgetSegments,
  isDeadInRoot,
  liveBytes,
  type MoveSource,
  moveExtents,
  sharersOf,
  type UsageRow,
} from '../meta/index.ts'
import { type FsError, ruleHolds, type Timer } from '../platform/index.ts'
import { chooseSparse, type SegmentId } from '../segments/index.ts'
import type { Context } from './context.ts'
import { SharedUse } from './shared-use.ts'

/** From a checkpoint to the pass that follows it. */
const PASS_DELAY_MS = 10_000
/** After a pass that failed. */
const RETRY_MS = 60_000
/** Keys of one DeleteObjects request. */
const DELETE_BATCH = 1000
/** Live bytes moved at a time: what is packed into new segments together. */
const MOVE_BYTES = 32 << 20
/** Segments whose table of contents is read for one move. */
const MOVE_SEGMENTS = 64
/** Moving pauses for this many times as long as it took. */
const PAUSE_FACTOR = 4
const BUSY_POLL_MS = 100
const BUSY_POLLS_MAX = 50

export interface CleanerStatus {
  /** Since the mount. */
  deletedSegments: number
  deletedBytes: number
  /** Sparse ones whose live bytes were moved. */
  rewrittenSegments: number
  movedBytes: number
  /** Dead ones that wait for the grace period, a root without them, or somebody who still uses them. */
  waitingSegments: number
}

export interface CleanOptions {
  graceMs: number
  /** Without pauses. */
  isHurried: boolean
}

export class Cleaner {
  readonly #context: () => Context
  readonly #graceMs: number
  #timer: Timer | null = null
  #dueMs = Number.POSITIVE_INFINITY
  #working: Promise<unknown> = Promise.resolve()
  readonly #stop = new AbortController()
  /** Since when each was known to be dead in a durable root (monotonic ms). */
  readonly #deadSince = new Map<SegmentId, number>()
  /** What could not be moved, being damaged or not found: left alone until the next mount. */
  readonly #stuck = new Set<SegmentId>()
  /** Of segments that were moved, what was left in them all the same. */
  readonly #leftBytes = new Map<SegmentId, number>()
  /** Segments of moves that no record may have come to name. */
  readonly #taken = new Set<SegmentId>()
  readonly #sharedUse: SharedUse
  /** When page segments are to be looked at again. */
  #pagesInMs: number | null = null
  #waitingPages = 0
  readonly #done = { deletedSegments: 0, deletedBytes: 0, rewrittenSegments: 0, movedBytes: 0 }

  constructor(context: () => Context, graceMs: number) {
    this.#context = context
    this.#graceMs = graceMs
    this.#sharedUse = new SharedUse(context)
  }

  get status(): CleanerStatus {
    return { ...this.#done, waitingSegments: this.#deadSince.size + this.#waitingPages }
  }

  /** A checkpoint was written: something may be dead now. */
  checkpointWritten(): void {
    this.#passIn(PASS_DELAY_MS)
  }

  /** Runs a pass, after the one under way. Resolves to whether it did anything; rejects when it failed. */
  run(options: CleanOptions): Promise<boolean> {
    const pass = this.#working.then(() => this.#pass(options))
    this.#working = pass.catch(() => {})
    return pass
  }

  /** No pass begins any more, and the one under way ends soon. */
  stop(): void {
    this.#stop.abort(new Error('the cleaner is stopped'))
    this.#timer?.cancel()
    this.#timer = null
  }

  async idle(): Promise<void> {
    await this.#working
  }

  get #isStopped(): boolean {
    const { database, readOnly, writeback } = this.#context()
    return this.#stop.signal.aborted || readOnly || writeback.failure !== null || database.failure !== null
  }

  #passIn(delayMs: number): void {
    const { clock, log } = this.#context()
    const dueMs = clock.monotonicMs() + delayMs
    if (this.#stop.signal.aborted || (this.#timer !== null && this.#dueMs <= dueMs)) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    this.#timer = clock.after(delayMs, () => {
      this.#timer = null
      this.run({ graceMs: this.#graceMs, isHurried: false }).catch((error: Error) => {
        if (this.#isStopped) return
        log('warn', `cleaning is put off: ${error.message}`)
        this.#passIn(RETRY_MS)
      })
    })
  }

  async #pass(options: CleanOptions): Promise<boolean> {
    if (this.#isStopped) return false
    const before = { ...this.#done }
    const { clock, database } = this.#context()
    const rows = await allSegmentUse(database, () => clock.yield())
    await this.#deleteDead(rows, options.graceMs)
    await this.#deletePages(options.graceMs)
    await this.#moveSparse(rows, options)
    const hasDefragmented = await this.#defragment(options)
    this.#passWhenGraceEnds()
    return (
      hasDefragmented ||
      this.#done.deletedSegments > before.deletedSegments ||
      this.#done.rewrittenSegments > before.rewrittenSegments
    )
  }

  async #deleteDead(rows: readonly UsageRow[], graceMs: number): Promise<void> {
    const dead = new Set(rows.filter((row) => row.liveBytes === 0).map((row) => row.segment))
    for (const segment of this.#deadSince.keys()) if (!dead.has(segment)) this.#deadSince.delete(segment)
    const list = [...dead]
    for (let first = 0; first < list.length && !this.#isStopped; first += DELETE_BATCH) {
      await this.#deleteBatch(list.slice(first, first + DELETE_BATCH), graceMs)
    }
  }

  async #deleteBatch(segments: readonly SegmentId[], graceMs: number): Promise<void> {
    const context = this.#context()
    const { clock, database, streams, writeback } = context
    const sizes = await context.segments.sizes(segments)
    // One turn from the last look to the request: what is found unused cannot be used any more.
    const deleting = await database.run(() => {
      const dead = segments.filter((segment) => isDeadInRoot(database, segment))
      const nowMs = clock.monotonicMs()
      const inUse = streams.segmentsInUse()
      const unused = dead.filter((segment) => !inUse.has(segment) || !ruleHolds('segments that streams refer to stay'))
      for (const segment of inUse) this.#deadSince.delete(segment)
      for (const segment of unused) if (!this.#deadSince.has(segment)) this.#deadSince.set(segment, nowMs)
      const due = unused.filter((segment) => this.#isDue(segment, nowMs, graceMs) && !this.#isBeingRead(segment))
      return { due, deleted: context.segments.delete(due) }
    })
    const { due } = deleting
    await deleting.deleted
    if (due.length === 0 || this.#isStopped) return
    await database.run(() => forgetSegments(database, due))
    writeback.changed()
    for (const segment of due) {
      this.#deadSince.delete(segment)
      this.#leftBytes.delete(segment)
      this.#done.deletedSegments++
      this.#done.deletedBytes += sizes.get(segment)?.bytes ?? 0
    }
  }

  #isDue(segment: SegmentId, nowMs: number, graceMs: number): boolean {
    return nowMs - this.#deadSince.get(segment)! >= graceMs || !ruleHolds('segments wait for the grace period')
  }

  #isBeingRead(segment: SegmentId): boolean {
    return this.#context().segments.isBeingRead(segment) && ruleHolds('segments being read stay')
  }

  async #deletePages(graceMs: number): Promise<void> {
    if (this.#isStopped) return
    const { segments, bytes, waiting, nextInMs } = await this.#context().database.deleteDeadPages(graceMs)
    this.#done.deletedSegments += segments
    this.#done.deletedBytes += bytes
    this.#waitingPages = waiting
    this.#pagesInMs = nextInMs
  }

  /** Moves what lives in sparse segments, until none is left that is worth it. */
  async #moveSparse(rows: readonly UsageRow[], options: CleanOptions): Promise<void> {
    const used = rows.filter((row) => row.liveBytes > 0)
    const living = await this.#sharedUse.distinct(used, () => this.#isStopped)
    while (!this.#isStopped) {
      const sources = await this.#chooseSources(living)
      if (sources.length === 0) return
      await this.#paced(() => this.#move(sources), options)
      for (const { id } of sources) living.delete(id)
    }
  }

  #defragment(options: CleanOptions): Promise<boolean> {
    const { isHurried } = options
    const isStopped = () => this.#isStopped
    return this.#context().defragmenter.pass({ isHurried, isStopped, paced: (work) => this.#paced(work, options) })
  }

  /** Runs a piece of work after those who read, and rests after it. */
  async #paced(work: () => Promise<void>, { isHurried }: CleanOptions): Promise<void> {
    const { clock } = this.#context()
    if (!isHurried) await this.#waitForReaders()
    const beganMs = clock.monotonicMs()
    await work()
    const pauseMs = (clock.monotonicMs() - beganMs) * PAUSE_FACTOR
    if (!isHurried && pauseMs > 0 && !this.#isStopped) await clock.sleep(pauseMs, this.#stop.signal)
  }

  /** The next segments to move. What they held is estimated by the objects' sizes first, then known by their tables. */
  async #chooseSources(living: Map<SegmentId, number>): Promise<MoveSource[]> {
    const { database, log, segments, streams } = this.#context()
    const tables = new Map<SegmentId, MoveSource['contents']>()
    // What a copy shares that is not recorded yet would stay behind, and take its space twice.
    const inUse = streams.segmentsInUse()
    while (!this.#isStopped) {
      const sizes = await segments.sizes([...living.keys()])
      const uses = [...living].flatMap(([id, live]) => {
        const size = this.#stuck.has(id) || inUse.has(id) ? undefined : sizes.get(id)
        return size === undefined ? [] : [{ id, liveBytes: live, totalBytes: size.bytes }]
      })
      const chosen = chooseSparse(uses, MOVE_BYTES).slice(0, MOVE_SEGMENTS)
      for (const use of chosen) {
        const id = use.id as SegmentId
        if (tables.has(id)) continue
        try {
          tables.set(id, await segments.readTable(id))
        } catch (error) {
          if (!isLost(error as FsError)) throw error
          this.#stuck.add(id)
          log('warn', `what lives in a segment cannot be moved: ${(error as Error).message}`)
        }
      }
      // Those that were whole after all, by what their tables say, are not chosen again.
      const after = await segments.sizes([...living.keys()])
      const isSettled = chosen.every(
        ({ id, totalBytes }) => tables.has(id as SegmentId) && after.get(id as SegmentId)?.bytes === totalBytes,
      )
      if (!isSettled) continue
      const sources: MoveSource[] = []
      for (const { id } of chosen) {
        const sharers = await database.run(() => sharersOf(database, id as SegmentId))
        sources.push({ id: id as SegmentId, contents: tables.get(id as SegmentId)!, sharers })
      }
      return sources
    }
    return []
  }

  async #move(sources: readonly MoveSource[]): Promise<void> {
    const { clock, database, log, metadata, segments, streams, writeback } = this.#context()
    const { takeSegmentId } = streams
    const { movedBytes, damagedBytes } = await moveExtents(sources, {
      metadata,
      segments,
      takeSegmentId,
      yieldTurn: () => clock.yield(),
      log,
      taken: this.#taken,
      priority: 'read-ahead',
    })
    writeback.changed()
    this.#done.movedBytes += movedBytes
    for (const { id } of sources) {
      const left = (await database.run(() => liveBytes(database, id))) ?? 0
      const leftBefore = this.#leftBytes.get(id)
      if (left > 0) this.#leftBytes.set(id, left)
      else this.#leftBytes.delete(id)
      if (left === 0) this.#done.rewrittenSegments++
      // Unless it is damaged a copy came to refer to it meanwhile, mostly: the next pass looks at it again.
      else if (left <= (damagedBytes.get(id) ?? 0) || left === leftBefore) {
        this.#stuck.add(id)
        log('warn', `${left} bytes in segment ${id} stay where they are: they could not be moved`)
      }
    }
  }

  /** Lets those who wait for reads go first, for a while. */
  async #waitForReaders(): Promise<void> {
    const { clock, segments } = this.#context()
    for (let polls = 0; segments.isBusy && polls < BUSY_POLLS_MAX && !this.#isStopped; polls++)
      await clock.sleep(BUSY_POLL_MS, this.#stop.signal)
  }

  #passWhenGraceEnds(): void {
    let inMs = this.#pagesInMs ?? Number.POSITIVE_INFINITY
    const { clock, defragmenter } = this.#context()
    const nowMs = clock.monotonicMs()
    inMs = Math.min(inMs, defragmenter.nextInMs)
    for (const sinceMs of this.#deadSince.values()) inMs = Math.min(inMs, sinceMs + this.#graceMs - nowMs)
    if (inMs !== Number.POSITIVE_INFINITY) this.#passIn(Math.max(inMs, PASS_DELAY_MS))
  }
}

/** Whether an object is gone or damaged: trying again is of no use. */
function isLost({ code, cause }: FsError): boolean {
  if (code !== 'EIO') return false
  return !(cause instanceof Error && 'kind' in cause) || cause.kind === 'not-found'
}
