// What fsck asks of a database beyond reading it: every page, the damaged ones too, and how they are taken out.
//
// Two ways to open for it: `openDatabaseReadOnly` (looking) and `openDatabase` (mending), both with `salvage`: commits of
// the journal that are missing or damaged are left out, those behind them are replayed all the same (records are physical:
// what they say stands by itself), and all that was left out is told. `recoverRoot` says what `root` should be where there
// is none, or none that can be read.
//
// Must stay true:
// - Looking never throws for damage, only for a store that does not answer. What can be read is given out; what cannot is
//   reported once, with the object it lies in.
// - Nothing is taken out of a tree before it was seen to be unreadable three times; nothing is deleted that still can be
//   read.
import type { CheckpointHooks, TableKind } from './database.ts'
import type { PageSegmentUse, Root } from './root.ts'

export type TableDamageKind =
  | 'lost-root'
  | 'damaged-root'
  /** `root` can be read, but a newer one has been in force: pages or commits in the bucket say so. */
  | 'stale-root'
  | 'lost-segment'
  | 'damaged-page'
  /** A whole page, of another table or of other keys than the pointer to it says. */
  | 'misplaced-page'
  | 'damaged-commit'
  | 'journal-gap'

export interface TableDamage {
  kind: TableDamageKind
  /** The key of the object concerned. */
  object: string
  message: string
  /** The table and the range of keys (`to` exclusive) that cannot be read, where that is known. */
  table?: { kind: TableKind; owner: number; from: number; to: number }
}

/** Called for each record in order of keys; valid during the call only. */
export type RecordVisitor = (key: number, record: Buffer) => void

export interface Inspector {
  /** Everything found so far, what was left out of the journal first; grows while tables are read. */
  readonly damages: readonly TableDamage[]
  readonly pagesRead: number
  /** About how many pages there are, from what `root` says of page segments: for a progress bar. */
  readonly pagesExpected: number
  /** Every record of a table that can be read, changes of the journal on top. Yields to the event loop. */
  scan(kind: TableKind, owner: number, visit: RecordVisitor): Promise<void>
  /** The owners of all tables of a per-owner kind, in order: rows that can be read, and changed tables. */
  owners(kind: TableKind): Promise<number[]>
  /** What is known of a range of keys of a table that cannot be read: the records that the newest older pages of it hold
   *  that are still there (cleaning keeps pages for the grace period). Old, maybe out of date, better than nothing. */
  older(table: { kind: TableKind; owner: number; from: number; to: number }, visit: RecordVisitor): Promise<void>
  /** Live bytes of page segments, as counted over all pages of all tables; to be called when every table was scanned. */
  pageSegments(): Map<number, PageSegmentUse>
}

/** How tables are mended, on a database opened for writing with `salvage`. */
export interface TableRepair {
  /** Puts into `root` what was counted of page segments, takes the unreadable pages that `damages` names out of their trees
   *  (as if they had held no record), and makes a checkpoint of that and of all changes applied. */
  mend(options: {
    damages: readonly TableDamage[]
    pageSegments: Map<number, PageSegmentUse>
    hooks: CheckpointHooks
  }): Promise<void>
}

/** What `root` should be: that of the newest checkpoint of which every trace is whole, with id ranges behind every id seen
 *  in the bucket, an epoch not below any seen, and the tenures whose journal is to be replayed on it. */
export interface RecoveredRoot {
  root: Root
  /** Null when `root` itself is to be used as it is. */
  damage: TableDamage | null
  /** volume.json, from the same place; null when there was none beside it. */
  volumeJson: Buffer | null
}
