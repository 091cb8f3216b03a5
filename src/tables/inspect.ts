// What fsck asks of a database beyond reading it: every page, the damaged ones too, and how they are taken out.
//
// Two ways to open for it: `openDatabaseReadOnly` (looking) and `openDatabase` (mending), both with `salvage`: commits of
// the journal that are missing or damaged are left out, those behind them are replayed all the same (records are physical:
// what they say stands by itself), and all that was left out is told. `inspectDatabase` then reads every page.
// `recoverRoot` says what `root` should be where there is none, or none that can be read: to look, its root is given to
// `openDatabaseReadOnly` in place of `root`; to mend, `restoreRoot` puts it before the database is opened.
//
// Must stay true:
// - Looking never throws for damage, only for a store that does not answer. What can be read is given out; what cannot is
//   reported once, with the object it lies in.
// - Nothing is taken out of a tree before it was seen to be unreadable three times; nothing is deleted that still can be
//   read.
import type { PackedData, SegmentId } from '../segments/index.ts'
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
  /** Of writers/: who holds the slot, and its epoch. */
  | 'lost-slot'
  | 'damaged-slot'

export interface TableDamage {
  kind: TableDamageKind
  /** The key of the object concerned; of the first one, when several in a row are missing. */
  object: string
  message: string
  /** The table and the range of keys (`to` exclusive) that cannot be read, where that is known. */
  table?: { kind: TableKind; owner: number; from: number; to: number }
}

/** Called for each record in order of keys; valid during the call only. */
export type RecordVisitor = (key: number, record: Buffer) => void

/** File data of a commit that was replayed. */
export interface ReplayedData {
  id: SegmentId
  /** The key of the commit. */
  key: string
  packed: PackedData
}

export interface Inspector {
  /** Everything found so far, what was left out of the journal first; grows while tables are read. */
  readonly damages: readonly TableDamage[]
  /** File data of commits that were replayed and that no segment holds yet. */
  readonly carried: readonly ReplayedData[]
  readonly pagesRead: number
  /** About how many pages there are, from what `root` says of page segments: for a progress bar. */
  readonly pagesExpected: number
  /** Every record of a table that can be read, changes of the journal on top. Yields to the event loop. The table must not
   *  change meanwhile. */
  scan(kind: TableKind, owner: number, visit: RecordVisitor): Promise<void>
  /** The owners of all tables of a per-owner kind, in order: those with rows that can be read, changed tables, and pinned
   *  ones (of which some may be empty). Where rows cannot be read (a damage of the table kind + 128) also the owners in
   *  that range of whom pages are there: `scan` gives what their newest root page does, which is the table in force, unless
   *  it was emptied, or lost a level of its tree, without a new page since; and `mend` puts rows for them, unless a transaction cleared the table before. */
  owners(kind: TableKind): Promise<number[]>
  /** What is known of a range of keys of a table that cannot be read: what the newest leaves say of it that are still there
   *  (cleaning keeps pages for the grace period), but of no key that the journal speaks of. Below a damaged inner page that
   *  is what was in force; in place of a damaged leaf it is older. Maybe out of date, better than nothing. */
  older(table: { kind: TableKind; owner: number; from: number; to: number }, visit: RecordVisitor): Promise<void>
  /** Live bytes of page segments, as counted over all pages of all tables; to be called when every table was scanned. */
  pageSegments(): Map<number, PageSegmentUse>
}

/** How tables are mended: a database opened for writing with `salvage` has it. */
export interface TableRepair {
  /** Takes the unreadable pages that `inspector` told of out of their trees (as if they had held no record), puts rows of
   *  tables that were found again and what was counted of page segments into `root`, and makes a checkpoint of all changes
   *  applied. For that `inspector` has scanned all tables, and no checkpoint was made since. Rejects with FsError EIO when
   *  a page on the way turns out damaged that was not told of: to be inspected again. Whatever step it fails in, or dies
   *  in, nothing is lost that could be read, and all of it can be begun again. */
  mend(options: { inspector: Inspector; hooks: CheckpointHooks }): Promise<void>
}

/** What `root` should be: that of the newest checkpoint of which every trace is whole, with id ranges behind every id seen
 *  in the bucket, an epoch not below any seen, and the tenures whose journal is to be replayed on it. */
export interface RecoveredRoot {
  root: Root
  /** Null when `root` itself is to be used as it is. */
  damage: TableDamage | null
  /** Null when `writers/` can be read. */
  slotDamage: TableDamage | null
  /** volume.json, from the same place; null when there was none beside it. */
  volumeJson: Buffer | null
}
