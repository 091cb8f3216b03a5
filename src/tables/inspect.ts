// Reading a database as it lies in the bucket, damage and all, for fsck: writes nothing, takes no slot.
//
// Must stay true:
// - What can be read is given out, what cannot is reported once, with the object it lies in; nothing here throws for
//   damage, only for a store that does not answer.
// - The state is the one that a mount would replay to: the pages of `root`, and on top of them the journal up to its end.
import type { Clock } from '../platform/index.ts'
import type { PagePointer, SegmentStore } from '../segments/index.ts'
import type { ObjectStore } from '../store/index.ts'
import type { TableKind, TableKindSpec } from './database.ts'
import type { PageSegmentUse, Root } from './root.ts'

export interface InspectOptions {
  store: ObjectStore
  segments: SegmentStore
  kinds: readonly TableKindSpec[]
  volumeUuid: Buffer
  clock: Clock
}

export interface TableDamage {
  kind:
    | 'lost-root'
    | 'damaged-root'
    | 'stale-root'
    | 'lost-segment'
    | 'damaged-page'
    | 'misplaced-page'
    | 'damaged-commit'
    | 'journal-gap'
  object: string
  message: string
  /** The table and the range of keys that cannot be read, where that is known. */
  table?: { kind: TableKind; owner: number; fromKey: number; toKey: number }
}

/** Called for each record in order of keys. The record is valid during the call only. */
export type RecordVisitor = (key: number, record: Buffer) => void

export interface Inspection {
  /** The root that is looked at: the one in the bucket, or the newest whole copy where that is lost, damaged or stale. */
  readonly root: Root
  readonly replayedCommits: number
  readonly journalObjects: number
  /** File data that replayed commits carry: id to stored bytes. Their extents are as good as those in segments. */
  readonly carried: ReadonlyMap<number, { storedBytes: number }>
  /** Everything found so far; grows while tables are read. */
  readonly damages: readonly TableDamage[]
  /** Every record of a table that can be read, changes of the journal on top. */
  scan(kind: TableKind, owner: number, visit: RecordVisitor): Promise<void>
  /** The owners of all tables of a per-owner kind, as far as they can be read, in order. */
  owners(kind: TableKind): Promise<number[]>
  /** Reads every page that no scan has read, and gives the live bytes of page segments as counted; called last. */
  pageSegmentsCounted(): Promise<Map<number, PageSegmentUse>>
  readonly pagesRead: number
  /** Pointers of pages that cannot be read. */
  readonly damagedPages: readonly PagePointer[]
}
