// tables/: paged copy-on-write tables with a journal, group commit, replay, checkpoints and fencing: a storage engine
// that knows nothing of files. Promises upward: Database (database.ts). Asks downward: SegmentStore for pages, an
// ObjectStore for `root`, `writers/` and the journal, a clock and a random source.
export { decodeCommit, journalKey } from './commit-format.ts'
export * from './database.ts'
export type { DatabaseOptions } from './engine-database.ts'
export type * from './inspect.ts'
export { inspectDatabase } from './inspector.ts'
export {
  formatDatabase,
  openDatabase,
  openDatabaseReadOnly,
  type WritableDatabase,
  type WriterOptions,
} from './open-database.ts'
export type { PageCounters } from './page-cache.ts'
export { readDecoded } from './read-object.ts'
export { type RecoveryOptions, recoverRoot } from './recover-root.ts'
export { type RestoreOptions, restoreRoot } from './restore-root.ts'
export { type PageSegmentUse, ROWS, type Root } from './root.ts'
export { describeHolder, type Holder, type Judgement, readSlot, type SlotState } from './writer-slot.ts'
