// What databases for reading and for writing have in common: the engine over the pages that a root names, with commits of
// the journal on top; and the one for reading.
import { type Clock, FsError, type MaybePromise, type Random } from '../platform/index.ts'
import type { SegmentStore } from '../segments/index.ts'
import type { ObjectStore } from '../store/index.ts'
import { type DecodedCommit, journalKey } from './commit-format.ts'
import type {
  Database,
  DatabaseStatus,
  DeletedPages,
  IdSort,
  Table,
  TableKind,
  TableKindSpec,
  Transaction,
} from './database.ts'
import { Engine, EngineTransaction } from './engine.ts'
import type { TableDamage } from './inspect.ts'
import { PageCache } from './page-cache.ts'
import type { Root } from './root.ts'

export interface DatabaseOptions {
  store: ObjectStore
  segments: SegmentStore
  kinds: readonly TableKindSpec[]
  /** Tables of per-owner kinds whose root page `root` names itself (the root directory): read with one request less. */
  pinned: readonly { kind: TableKind; owner: number }[]
  /** 16 bytes. */
  volumeUuid: Buffer
  /** volume.json as it is: its copy goes into the last page segment of every checkpoint. */
  volumeJson: Buffer
  clock: Clock
  random: Random
  log: (level: 'info' | 'warn' | 'error', message: string) => void
  pageCacheBytes: number
  /** A checkpoint is due when changes take this much. */
  changeBytesMax: number
  /** Leaves out what is missing or damaged of the journal instead of refusing: for looking at a damaged volume, and for
   *  mending it (inspect.ts). */
  salvage?: boolean
}

function newEngine(options: DatabaseOptions, root: Root): Engine {
  const engine = new Engine({
    cache: new PageCache(options.segments, options.pageCacheBytes),
    segments: options.segments,
    clock: options.clock,
    kinds: options.kinds,
  })
  for (const { kind, owner } of options.pinned) {
    const state = engine.state(kind, owner)
    state.root = null
    engine.pinned.add(state)
  }
  for (const { kind, owner, pointer } of root.tables) engine.state(kind as TableKind, owner).root = pointer
  return engine
}

/** What was found in the journal. */
export interface Replay {
  /** In order. */
  commits: readonly DecodedCommit[]
  /** With `salvage`: what was left out. */
  leftOut: readonly TableDamage[]
}

export abstract class EngineDatabase {
  readonly engine: Engine
  readonly leftOut: readonly TableDamage[]
  /** The commits that were replayed with file data, by the id of that. */
  readonly carriers: ReadonlyMap<number, string>
  abstract readonly rootInForce: Readonly<Root>
  protected readonly options: DatabaseOptions

  constructor(options: DatabaseOptions, root: Root, replay: Replay) {
    this.options = options
    this.leftOut = replay.leftOut
    this.engine = newEngine(options, root)
    const carriers = new Map<number, string>()
    for (const commit of replay.commits) {
      this.engine.replay(commit)
      if (commit.dataId !== null) carriers.set(commit.dataId, journalKey(commit.slot, commit.epoch, commit.seq))
    }
    this.carriers = carriers
  }

  table(kind: TableKind, owner = 0): Table {
    return this.engine.table(kind, owner)
  }

  get pagesLoaded(): number {
    return this.engine.cache.counters.loaded
  }

  run<T>(operation: () => T): MaybePromise<T> {
    return this.engine.run(operation)
  }

  transaction(): Transaction {
    return new EngineTransaction()
  }

  protected baseStatus(root: Root): DatabaseStatus {
    const { engine } = this
    return {
      epoch: root.epoch,
      checkpointNumber: root.number,
      journalObjects: 0,
      journalBytes: 0,
      unacknowledgedBytes: 0,
      changeBytes: engine.changeBytes,
      cachedPageBytes: engine.cache.bytes,
      pages: engine.cache.counters,
      failure: null,
      readOnly: true,
      replayedCommits: engine.replayedCommits,
    }
  }
}

/** A database as it was when it was opened. */
export class ReadOnlyDatabase extends EngineDatabase implements Database {
  readonly rootInForce: Root
  readonly firstOwnSegment = Number.MAX_SAFE_INTEGER
  readonly openCommitBytes = 0
  readonly closedSeq = 0
  readonly acknowledgedSeq = 0
  readonly checkpointDue = false
  readonly failure = null
  readonly isLost = false
  readonly isFull = false

  constructor(options: DatabaseOptions, root: Root, replay: Replay) {
    super(options, root, replay)
    this.rootInForce = root
  }

  get status(): DatabaseStatus {
    return this.baseStatus(this.rootInForce)
  }

  takeId(_sort: IdSort): number {
    throw new FsError('EROFS', 'the volume is mounted read-only')
  }

  apply(transaction: Transaction): void {
    this.engine.apply(transaction as EngineTransaction)
  }

  async commit(): Promise<void> {}
  async resume(): Promise<void> {}
  async checkpoint(): Promise<void> {}
  deleteDeadPages = async (): Promise<DeletedPages> => ({ segments: 0, bytes: 0, waiting: 0, nextInMs: null })
  async close(): Promise<void> {}
}
