// Tables: ordered maps from a key (a number below 2^53) to a record (1 to 16,384 bytes), stored as copy-on-write trees of
// immutable pages, with a journal in front. A small storage engine that knows nothing of files.
//
// Must stay true:
// - Reads and `apply` never wait. A read that meets a page not in memory throws a PageFault; `run` loads it and begins
//   the operation again. So an operation reads first, builds a Transaction, and applies it last: either it happened
//   whole, in one turn, or it left nothing behind.
// - A transaction's records become durable together: they stand in one commit.
// - Commits are acknowledged in order. What was applied is visible at once, and durable when a commit closed after it
//   is acknowledged.
// - A record given out is a view into a page or into a change: it must not be written to, and not be kept past the turn.
import type { MaybePromise } from '../platform/index.ts'
import type { PackedData, SegmentId } from '../segments/index.ts'
import type { PageCounters } from './page-cache.ts'
import type { Root } from './root.ts'

/** A small number per sort of table; the layer above chooses them (1 to 127). */
export type TableKind = number & { readonly __brand: 'TableKind' }

export interface TableKindSpec {
  kind: TableKind
  /** A page never splits between keys that differ only in their low `groupBits` bits. 0: anywhere. */
  groupBits: number
  /** One table per owner (directories), or one alone (owner 0). */
  perOwner: boolean
}

/** Thrown by a read whose page is not in memory. Not an error: control flow, caught by `run`. */
export class PageFault {
  constructor(readonly load: () => Promise<void>) {}
}

/** Called for each record of a scan, in order of keys; the record is `bytes[start, end)`. Return false to stop. */
export type ScanVisitor = (key: number, bytes: Buffer, start: number, end: number) => boolean

/** One table. Cheap to hold for a turn; ask the database for it again in the next. */
export interface Table {
  readonly kind: TableKind
  readonly owner: number
  /** The record of `key`, or null. */
  get(key: number): Buffer | null
  /** The record as changed since the last checkpoint, null when it was deleted since, undefined when the changes say
   *  nothing of it. Never faults. */
  getChanged(key: number): Buffer | null | undefined
  /** Visits the records with `from` <= key <= `to`. May fault before the first visit or between two. */
  scan(from: number, to: number, visit: ScanVisitor): void
  /** True when the table has no record from `from` on. */
  isEmpty(from?: number): boolean
}

/** Changes that happen together. Later calls for one key replace earlier ones. */
export interface Transaction {
  put(kind: TableKind, owner: number, key: number, record: Uint8Array): void
  delete(kind: TableKind, owner: number, key: number): void
  /** Empties a table (whatever pages it has, unread); puts after it in the same transaction stand. Also marks a table
   *  that is being born: its emptiness then needs no page to be known. */
  clear(kind: TableKind, owner: number): void
}

/** File data that rides in a commit, with the id its extents name. */
export interface CommitData {
  id: SegmentId
  packed: PackedData
}

/** What the layer above does during a checkpoint. */
export interface CheckpointHooks {
  /** Moves the live data that commits carry under these ids into segments, by ordinary transactions. When it resolves
   *  no record points into them any more, but for damaged blocks: they stay lost, and read as EIO. */
  repoint(data: readonly { id: SegmentId; packed: PackedData }[]): Promise<void>
  /** Derived records (copies of what other tables hold) brought up to date: reads the frozen state and puts changes that
   *  go to pages only, never to the journal. `changed` lists the tables of per-owner kinds with changes. Reads through
   *  `view` see the frozen generation and pages. */
  derive(view: TableReader, changed: readonly { kind: TableKind; owner: number }[], out: Transaction): void
}

export interface TableReader {
  table(kind: TableKind, owner?: number): Table
}

/** Sorts of ids; each has its own counter, reserved in `root` by ranges. */
export type IdSort = 'ino' | 'segment'

/** What deleting page segments has brought. */
export interface DeletedPages {
  segments: number
  bytes: number
  /** Segments that wait for the grace period, and for how long the first of them will; null when none does. */
  waiting: number
  nextInMs: number | null
}

export interface DatabaseStatus {
  epoch: number
  checkpointNumber: number
  /** Journal objects and bytes since the last checkpoint. */
  journalObjects: number
  journalBytes: number
  /** About what changes applied but in no acknowledged commit take. */
  unacknowledgedBytes: number
  changeBytes: number
  cachedPageBytes: number
  pages: Readonly<PageCounters>
  /** Set once a journal write failed for good, or the slot was lost. */
  failure: Error | null
  readOnly: boolean
  /** Commits replayed when it was opened. */
  replayedCommits: number
}

export interface Database extends TableReader {
  readonly status: DatabaseStatus
  /** How many pages were not in memory when they were asked for, so far; whether the store was asked or not. */
  readonly pagesLoaded: number
  /** The next id of its sort; never given out before or again. */
  takeId(sort: IdSort): number
  /** What `root` says: for finding objects that nothing refers to. */
  readonly rootInForce: Readonly<Root>
  /** Segment ids below this one were given out, if at all, before this tenure. */
  readonly firstOwnSegment: number
  /** Runs a synchronous operation, loading pages and beginning again as often as it faults; what it loaded stays in
   *  memory until it has ended. */
  run<T>(operation: () => T): MaybePromise<T>
  transaction(): Transaction
  /** Applies a transaction in this turn: visible at once, in the open commit. Throws FsError EROFS on a read-only
   *  database and EIO on one that failed. */
  apply(transaction: Transaction): void
  /** Why nothing can be made durable any more; null while it can. */
  readonly failure: Error | null
  /** Somebody else has the slot: what is in memory here may be stale. */
  readonly isLost: boolean
  /** Changes ought to wait: those not yet acknowledged, or not yet in pages, take more than their share of memory. */
  readonly isFull: boolean
  /** About what the open commit takes in memory: its records, and what is remembered of each table. */
  readonly openCommitBytes: number
  /** Closes the open commit, with `data` in front, in this turn, and uploads it. Resolves when it and all before it are
   *  durable; rejects with FsError EIO when that cannot be. With nothing to commit waits for those under way. */
  commit(data?: CommitData): Promise<void>
  /** Tries again what `failure` was about: the commits that could not be made, in order. Resolves when all are durable and
   *  changes can be made again. Rejects with FsError EIO while that cannot be; for good when the slot was lost. */
  resume(): Promise<void>
  /** Number of the last commit closed, and of the last acknowledged. */
  readonly closedSeq: number
  readonly acknowledgedSeq: number
  /** Whether a checkpoint is due by size, age or memory. */
  readonly checkpointDue: boolean
  /** Writes a checkpoint; joins one under way. Writes pages in sparse segments again, a bounded amount of them. */
  checkpoint(hooks: CheckpointHooks): Promise<void>
  /** Deletes page segments in which no page has lived since a durable root, `graceMs` ago. Rejects when the store fails:
   *  to be tried again. */
  deleteDeadPages(graceMs: number): Promise<DeletedPages>
  /** A last checkpoint, everything trimmed, the slot released. With `abandon` leaves the journal to the next opener. */
  close(hooks: CheckpointHooks | 'abandon'): Promise<void>
}
