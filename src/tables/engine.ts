// The engine: tables in memory over pages in segments, and the open commit. Reading, changing and committing live here;
// checkpoint.ts writes pages, open-database.ts takes the slot and replays.
//
// Must stay true:
// - `apply` is one synchronous turn: all of a transaction is visible and in the open commit, or none of it.
// - A commit's records are the last value of each key since the commit before it was closed.
// - A generation is swapped in one turn, and dropped table by table in several: a table says the same before and after.
// - Replayed commits are applied to the active generation and never enter a commit again.
import { ok as assert } from 'node:assert'
import { atOnce, type Clock, FsError, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { PackedData, PagePointer, SegmentId, SegmentStore } from '../segments/index.ts'
import type { DecodedCommit } from './commit-format.ts'
import {
  type CommitData,
  PageFault,
  type Table,
  type TableKind,
  type TableKindSpec,
  type TableReader,
  type Transaction,
} from './database.ts'
import type { JournalWriter } from './journal-writer.ts'
import { OpenCommit } from './open-commit.ts'
import { ENTRY_BYTES, TABLE_BYTES } from './ordered-changes.ts'
import { decodePointer, RECORD_MAX_BYTES } from './page.ts'
import type { PageCache } from './page-cache.ts'
import { RecordArena } from './record-arena.ts'
import { ROWS } from './root.ts'
import { ScanAhead } from './scan-ahead.ts'
import { TableChanges, TableState, TableView, type TableViewOptions, TreePageFault } from './table-state.ts'

/** Unchanged table states kept around, to spare asking for their roots again. */
const STATES_KEPT = 50_000
/** States that long work looks at in one turn: a few ms. */
export const STATES_PER_TURN = 8192

/** File data that commits carry and no segment holds yet. */
export interface CarriedData {
  /** The commit's number in this tenure; 0 when it was replayed from an earlier one. */
  seq: number
  id: SegmentId
  packed: PackedData
}

type Operation =
  | { what: 'record'; kind: TableKind; owner: number; key: number; record: Buffer | null }
  | { what: 'clear'; kind: TableKind; owner: number }

export class EngineTransaction implements Transaction {
  readonly operations: Operation[] = []

  put(kind: TableKind, owner: number, key: number, record: Uint8Array): void {
    assert(record.length > 0 && record.length <= RECORD_MAX_BYTES, 'a record has 1 to 16,384 bytes')
    const bytes = Buffer.isBuffer(record) ? record : Buffer.from(record.buffer, record.byteOffset, record.length)
    this.operations.push({ what: 'record', kind, owner, key, record: bytes })
  }

  delete(kind: TableKind, owner: number, key: number): void {
    this.operations.push({ what: 'record', kind, owner, key, record: null })
  }

  clear(kind: TableKind, owner: number): void {
    this.operations.push({ what: 'clear', kind, owner })
  }
}

export class Engine implements TableReader {
  readonly cache: PageCache
  readonly segments: SegmentStore
  readonly clock: Clock
  readonly specs = new Map<number, TableKindSpec>()
  readonly #views: { readonly [which in 'all' | 'frozen']: TableViewOptions }
  readonly #states = new Map<number, Map<number, TableState>>()
  /** With so many states of a kind those are looked for that can be forgotten. */
  #pruneAt = 2 * STATES_KEPT
  /** States with changes in the active generation. */
  activeStates = new Set<TableState>()
  /** States with changes in the frozen generation; empty when no checkpoint is under way or left over. */
  frozenStates = new Set<TableState>()
  /** Tables whose root page `root` itself names, besides those alone of their kind. */
  readonly pinned = new Set<TableState>()
  readonly #openCommit = new OpenCommit()
  #transactionsInCommit = 0
  carried: CarriedData[] = []
  /** Records of the active generation; of the frozen one, and of what failed checkpoints left frozen. */
  #activeArena = new RecordArena()
  #frozenArenas: RecordArena[] = []
  #activeEntries = 0
  #frozenEntries = 0
  firstChangeMs: number | null = null
  /** When the oldest change in the frozen generation was made. */
  frozenSinceMs: number | null = null
  replayedCommits = 0
  /** Null on a read-only database. */
  journal: JournalWriter | null = null

  constructor(options: {
    cache: PageCache
    segments: SegmentStore
    clock: Clock
    kinds: readonly TableKindSpec[]
  }) {
    this.cache = options.cache
    const pages = { cache: options.cache, scanAhead: new ScanAhead(options.cache, options.segments, options.clock) }
    const view = { states: this, pages, resolveRoot: this.#resolveRoot }
    this.#views = { all: { ...view, withActive: true }, frozen: { ...view, withActive: false } }
    this.segments = options.segments
    this.clock = options.clock
    for (const spec of options.kinds) {
      assert(spec.kind > 0 && spec.kind < ROWS)
      this.specs.set(spec.kind, spec)
      if (spec.perOwner) {
        const rows = (spec.kind + ROWS) as TableKind
        this.specs.set(rows, { kind: rows, groupBits: 0, perOwner: false })
      }
    }
  }

  /** The state of a table, made when there is none. */
  state(kind: TableKind, owner: number): TableState {
    let owners = this.#states.get(kind)
    if (owners === undefined) {
      owners = new Map()
      this.#states.set(kind, owners)
    }
    let state = owners.get(owner)
    if (state === undefined) {
      const spec = this.specs.get(kind)
      assert(spec !== undefined, `table kind ${kind} is known`)
      assert(spec.perOwner || owner === 0, `table kind ${kind} has one table`)
      state = new TableState(kind, owner, spec.perOwner ? undefined : null)
      // Where there are checkpoints one may be about to say where this table's pages lie: they see to it themselves.
      if (this.journal === null && owners.size >= this.#pruneAt) atOnce(this.#pruneStates())
      owners.set(owner, state)
    }
    return state
  }

  /** The state of a table, when there is one. */
  knownState(kind: TableKind, owner: number): TableState | undefined {
    return this.#states.get(kind)?.get(owner)
  }

  /** The owners of tables of a kind with changes, or whose root page `root` names. */
  ownersInMemory(kind: TableKind): number[] {
    const states = [...(this.#states.get(kind)?.values() ?? [])]
    return states.filter((state) => state.isChanged || this.pinned.has(state)).map(({ owner }) => owner)
  }

  /** Forgets states that have nothing to remember, when there are many. They may change between two of its steps. */
  *#pruneStates(): Generator<void, void> {
    let most = 0
    let looked = 0
    for (const [kind, owners] of this.#states) {
      if (owners.size > STATES_KEPT && this.specs.get(kind)?.perOwner) {
        for (const [owner, state] of owners) {
          if (!state.isChanged && !this.pinned.has(state)) owners.delete(owner)
          if (++looked % STATES_PER_TURN === 0) yield
        }
      }
      most = Math.max(most, owners.size)
    }
    this.#pruneAt = most + 2 * STATES_KEPT
  }

  readonly #resolveRoot = (state: TableState) => {
    const row = this.table((state.kind + ROWS) as TableKind, 0).get(state.owner)
    return row === null ? null : decodePointer(row, 0)
  }

  /** Where a table's root page lies as of the last checkpoint. May fault. */
  rootOf(state: TableState): PagePointer | null {
    if (state.root === undefined) state.root = this.#resolveRoot(state)
    return state.root
  }

  table(kind: TableKind, owner = 0): Table {
    return new TableView(kind, owner, this.#views.all)
  }

  /** Reads as of the frozen generation. */
  readonly frozenView: TableReader = {
    table: (kind, owner = 0) => new TableView(kind, owner, this.#views.frozen),
  }

  run<T>(operation: () => T): MaybePromise<T> {
    try {
      return operation()
    } catch (thrown) {
      if (thrown instanceof PageFault) return this.#runAgain(operation, thrown)
      throw thrown
    }
  }

  async #runAgain<T>(operation: () => T, fault: PageFault): Promise<T> {
    const unpin: (() => void)[] = []
    try {
      for (;;) {
        if (fault instanceof TreePageFault) unpin.push(await this.cache.pin(fault.pointer, fault.of, fault.isScan))
        else await fault.load()
        try {
          return operation()
        } catch (thrown) {
          if (!(thrown instanceof PageFault)) throw thrown
          fault = thrown
        }
      }
    } finally {
      for (const release of unpin) release()
    }
  }

  get openCommitBytes(): number {
    return this.#openCommit.heldBytes
  }

  apply(transaction: EngineTransaction): void {
    if (this.journal === null) throw new FsError('EROFS', 'the volume is mounted read-only')
    if (this.journal.failure !== null && ruleHolds('a journal that failed takes no changes'))
      throw new FsError('EROFS', this.journal.failure.message, { cause: this.journal.failure })
    if (transaction.operations.length === 0) return
    const version = this.#transactionsInCommit++
    for (const operation of transaction.operations) {
      const { kind, owner } = operation
      const state = this.state(kind, owner)
      if (operation.what === 'clear') {
        this.#clear(state)
        this.#openCommit.clear(kind, owner)
      } else {
        this.#change(state, operation.key, operation.record)
        this.#openCommit.put(kind, owner, operation.key, operation.record, version)
      }
    }
  }

  #active(state: TableState): TableChanges {
    if (state.active === null) {
      state.active = new TableChanges(this.#activeArena)
      this.activeStates.add(state)
      this.firstChangeMs ??= this.clock.monotonicMs()
    }
    return state.active
  }

  #clear(state: TableState): void {
    this.#active(state)
    state.active = new TableChanges(this.#activeArena)
    state.active.cleared = true
  }

  #change(state: TableState, key: number, record: Buffer | null): void {
    assert(
      record === null || !this.#activeArena.holds(record),
      'a record put is not a view of one that may be replaced',
    )
    if (this.#active(state).changes.set(key, record)) this.#activeEntries++
  }

  /** About what the changes of both generations take in memory. */
  get changeBytes(): number {
    const entries = this.#activeEntries + this.#frozenEntries
    const tables = this.activeStates.size + this.frozenStates.size
    const frozenBytes = this.#frozenArenas.reduce((sum, arena) => sum + arena.usedBytes, 0)
    return this.#activeArena.usedBytes + frozenBytes + entries * ENTRY_BYTES + tables * TABLE_BYTES
  }

  /** Applies a commit found in the journal. */
  replay(commit: DecodedCommit): void {
    for (const { kind, owner, cleared, records } of commit.tables) {
      const state = this.state(kind as TableKind, owner)
      if (cleared) this.#clear(state)
      for (const [key, { record }] of records) this.#change(state, key, record)
    }
    if (commit.dataId !== null) {
      this.carried.push({ seq: 0, id: commit.dataId, packed: commit.packed })
      this.segments.keepInMemory(commit.dataId, commit.packed.stored)
    }
    this.replayedCommits++
  }

  commit(data?: CommitData): Promise<void> {
    const { journal } = this
    if (journal === null) return Promise.resolve()
    if (journal.failure !== null) {
      return ruleHolds('a failed commit stays failed until it is durable')
        ? Promise.reject(journal.failure)
        : Promise.resolve()
    }
    if (this.#openCommit.isEmpty && data === undefined) return journal.settled()
    const records = this.#openCommit.close()
    this.#transactionsInCommit = 0
    const acknowledged = journal.close(records, data)
    if (data !== undefined) {
      this.carried.push({ seq: journal.closedSeq, ...data })
      this.segments.keepInMemory(data.id, data.packed.stored)
    }
    return acknowledged
  }

  /** Turns the active generation into the frozen one; on top of what a failed checkpoint left frozen. */
  swapGenerations(): void {
    // Filling a set takes most of the time that many states do.
    const frozenStates = this.frozenStates.size === 0 ? this.activeStates : this.frozenStates
    for (const state of this.activeStates) {
      const active = state.active as TableChanges
      state.frozen = state.frozen === null ? active : state.frozen.merge(active)
      state.active = null
      if (frozenStates !== this.activeStates) frozenStates.add(state)
    }
    this.frozenStates = frozenStates
    this.activeStates = new Set()
    this.#frozenEntries += this.#activeEntries
    this.#activeEntries = 0
    this.#frozenArenas.push(this.#activeArena)
    this.#activeArena = new RecordArena()
    this.frozenSinceMs ??= this.firstChangeMs
    this.firstChangeMs = null
  }

  /** The frozen generation is in pages: drops it, and reads from there. A step is a turn. Between two of them some tables
   *  are read from the new pages and some from the old ones under the frozen changes, which say the same. */
  *dropFrozen(roots: readonly (readonly [TableState, PagePointer | null])[]): Generator<void, void> {
    // The rows tables stand last, and move first: a table without frozen changes is found only there.
    for (let index = roots.length - 1; index >= 0; index--) {
      const [state, pointer] = roots[index]!
      state.root = pointer
      state.frozen = null
      if ((roots.length - index) % STATES_PER_TURN === 0) yield
    }
    assert(roots.length >= this.frozenStates.size, 'all that is frozen was written')
    this.frozenStates = new Set()
    this.#frozenArenas = []
    this.#frozenEntries = 0
    this.frozenSinceMs = null
    yield* this.#pruneStates()
  }

  /** Puts derived changes into the frozen generation: they go to pages, never to the journal. */
  applyDerived(transaction: EngineTransaction): void {
    const arena = this.#frozenArenas.at(-1) as RecordArena
    for (const operation of transaction.operations) {
      assert(operation.what === 'record')
      const state = this.state(operation.kind, operation.owner)
      state.frozen ??= new TableChanges(arena)
      state.frozen.changes.set(operation.key, operation.record)
      this.frozenStates.add(state)
    }
  }
}
