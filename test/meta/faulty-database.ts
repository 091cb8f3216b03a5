// A Database whose tables forget pages at random: any read may throw a PageFault that takes a few turns to load. What an
// operation changes before its last read then shows as a difference to the same work without faults.
import type { MaybePromise, Random } from '../../src/platform/index.ts'
import {
  type CheckpointHooks,
  type CommitData,
  type Database,
  type DatabaseStatus,
  type DeletedPages,
  type IdSort,
  PageFault,
  type ScanVisitor,
  type Table,
  type TableKind,
  type Transaction,
} from '../../src/tables/index.ts'

export class FaultyDatabase implements Database {
  readonly #inner: Database
  readonly #random: Random
  readonly #yieldTurn: () => Promise<void>
  /** Reads until the next fault. */
  #quietReads = 0
  /** Faults since the last change: each doubles the quiet after it, so that long operations end too. */
  #streak = 0
  faults = 0

  constructor(inner: Database, random: Random, yieldTurn: () => Promise<void>) {
    this.#inner = inner
    this.#random = random
    this.#yieldTurn = yieldTurn
  }

  readonly mayFault = (): void => {
    if (this.#quietReads-- > 0) return
    this.#streak = Math.min(20, this.#streak + 1)
    this.#quietReads = Math.floor(this.#random.next() * 8 * 2 ** this.#streak)
    this.faults++
    throw new PageFault(async () => {
      for (let turns = this.#random.next() * 3; turns > 0; turns--) await this.#yieldTurn()
    })
  }

  table(kind: TableKind, owner = 0): Table {
    return new FaultyTable(this.#inner.table(kind, owner), this.mayFault)
  }

  run<T>(operation: () => T): MaybePromise<T> {
    return this.#inner.run(operation)
  }

  apply(transaction: Transaction): void {
    this.#inner.apply(transaction)
    this.#streak = 0
    this.#quietReads = Math.floor(this.#random.next() * 8)
  }

  get pagesLoaded() {
    return this.#inner.pagesLoaded
  }
  get rootInForce() {
    return this.#inner.rootInForce
  }
  get firstOwnSegment(): number {
    return this.#inner.firstOwnSegment
  }
  deleteDeadPages(graceMs: number): Promise<DeletedPages> {
    return this.#inner.deleteDeadPages(graceMs)
  }
  get status(): DatabaseStatus {
    return this.#inner.status
  }
  get failure(): Error | null {
    return this.#inner.failure
  }
  get isLost(): boolean {
    return this.#inner.isLost
  }
  get isFull(): boolean {
    return this.#inner.isFull
  }
  takeId(sort: IdSort): number {
    return this.#inner.takeId(sort)
  }
  transaction(): Transaction {
    return this.#inner.transaction()
  }
  get openCommitBytes(): number {
    return this.#inner.openCommitBytes
  }
  resume(): Promise<void> {
    return this.#inner.resume()
  }

  commit(data?: CommitData): Promise<void> {
    return this.#inner.commit(data)
  }
  get closedSeq(): number {
    return this.#inner.closedSeq
  }
  get acknowledgedSeq(): number {
    return this.#inner.acknowledgedSeq
  }
  get checkpointDue(): boolean {
    return this.#inner.checkpointDue
  }
  checkpoint(hooks: CheckpointHooks): Promise<void> {
    return this.#inner.checkpoint(hooks)
  }
  close(hooks: CheckpointHooks | 'abandon'): Promise<void> {
    return this.#inner.close(hooks)
  }
}

class FaultyTable implements Table {
  readonly #inner: Table
  readonly #mayFault: () => void

  constructor(inner: Table, mayFault: () => void) {
    this.#inner = inner
    this.#mayFault = mayFault
  }

  get kind(): TableKind {
    return this.#inner.kind
  }
  get owner(): number {
    return this.#inner.owner
  }
  get(key: number): Buffer | null {
    this.#mayFault()
    return this.#inner.get(key)
  }
  getChanged(key: number): Buffer | null | undefined {
    return this.#inner.getChanged(key)
  }
  scan(from: number, to: number, visit: ScanVisitor): void {
    this.#mayFault()
    this.#inner.scan(from, to, (key, bytes, start, end) => {
      const goOn = visit(key, bytes, start, end)
      if (goOn) this.#mayFault()
      return goOn
    })
  }
  isEmpty(from?: number): boolean {
    this.#mayFault()
    return this.#inner.isEmpty(from)
  }
}
