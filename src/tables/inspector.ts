// Reads every page of a database that may be damaged (inspect.ts says what for).
//
// Must stay true:
// - A table is walked page by page, depth first: memory holds one path, and what the page cache has room for.
// - Each table is counted, and its damage told, once, however often it is scanned.
// - Where the rows of a kind cannot be read, the tables they named are found by the segments' tables of contents: pages are
//   written from the leaves up, the root page last, so that the newest page of a table is its root page.
import { ok as assert } from 'node:assert'
import type { PagePointer } from '../segments/index.ts'
import type { Database, TableKind } from './database.ts'
import type { Engine } from './engine.ts'
import { EngineDatabase } from './engine-database.ts'
import type { Inspector, RecordVisitor, ReplayedData, TableDamage } from './inspect.ts'
import { OrderedChanges } from './ordered-changes.ts'
import { decodePointer, encodePointer, Page } from './page.ts'
import { PageHistory } from './page-history.ts'
import { RecordArena } from './record-arena.ts'
import { type PageSegmentUse, ROWS, type Root } from './root.ts'
import type { TableState } from './table-state.ts'
import { childPlace, KEYS_END, type Place, ROOT_PLACE, readPlaced, type Unreadable } from './tree-reader.ts'

/** Records given out between two looks at the clock. */
const RECORDS_PER_TURN = 4096
const YIELD_MS = 5

interface TableName {
  kind: TableKind
  owner: number
}

/** A range of keys that cannot be read, `to` exclusive. */
interface Range {
  from: number
  to: number
}

/** Begins an inspection of an open database, opened with `salvage`. No checkpoint may be made until it is done with. */
export function inspectDatabase(database: Database): Inspector {
  assert(database instanceof EngineDatabase, 'a database of this layer')
  return new TableInspector(database)
}

export class TableInspector implements Inspector {
  readonly #engine: Engine
  /** What is inspected: a checkpoint would change it. */
  readonly root: Readonly<Root>
  readonly #history: PageHistory
  readonly carried: readonly ReplayedData[]
  readonly #damages: TableDamage[]
  readonly #used = new Map<number, PageSegmentUse>()
  /** Owners of the tables counted, by kind. */
  readonly #counted = new Map<TableKind, Set<number>>()
  /** By kind: the rows that no page gives any more, found by the tables of contents. */
  readonly #foundRows = new Map<TableKind, Promise<Map<number, PagePointer>>>()
  #lastYieldMs: number
  #storedBytesRead = 0
  pagesRead = 0

  constructor(database: EngineDatabase) {
    this.#engine = database.engine
    this.root = database.rootInForce
    this.#history = new PageHistory(this.#engine, this.root)
    this.#damages = [...database.leftOut]
    this.carried = this.#engine.carried.flatMap(({ id, packed }) => {
      const key = database.carriers.get(id)
      return key === undefined ? [] : [{ id, key, packed }]
    })
    this.#lastYieldMs = this.#engine.clock.monotonicMs()
  }

  get damages(): readonly TableDamage[] {
    return this.#damages
  }

  get pagesExpected(): number {
    let liveBytes = 0
    for (const use of this.root.pageSegments.values()) liveBytes += use.liveBytes
    if (this.pagesRead === 0) return Math.ceil(liveBytes / 16_384)
    const left = Math.max(0, liveBytes - this.#storedBytesRead)
    return this.pagesRead + Math.ceil((left * this.pagesRead) / this.#storedBytesRead)
  }

  async scan(kind: TableKind, owner: number, visit: RecordVisitor): Promise<void> {
    const table = { kind, owner }
    const pointer = await this.rootPointer(table)
    const isFirst = this.#countOnce(table)
    const state = this.#engine.knownState(kind, owner)
    // Changes before the first key of a leaf are given with it, those behind the last one at the end.
    let given = 0
    const give = async (page: Page | null, to: number): Promise<void> => {
      await this.#give(state, page, { from: given, to }, visit)
      given = to
    }
    if (pointer !== null) await this.#walk(table, pointer, ROOT_PLACE, isFirst, give)
    await give(null, KEYS_END)
  }

  async owners(kind: TableKind): Promise<number[]> {
    const owners: number[] = []
    const rows = (kind + ROWS) as TableKind
    await this.scan(rows, 0, (owner) => void owners.push(owner))
    const found = await this.#rowsFound(kind)
    return [...new Set([...owners, ...found.keys(), ...this.#engine.ownersInMemory(kind)])].sort((a, b) => a - b)
  }

  older(table: TableName & Range, visit: RecordVisitor): Promise<void> {
    return this.#history.give(table, this.#engine.knownState(table.kind, table.owner), visit)
  }

  pageSegments(): Map<number, PageSegmentUse> {
    const uses = new Map<number, PageSegmentUse>()
    for (const [id, { totalBytes }] of this.root.pageSegments) uses.set(id, { liveBytes: 0, totalBytes })
    for (const [id, { liveBytes, totalBytes }] of this.#used) {
      const known = uses.get(id)
      uses.set(id, { liveBytes, totalBytes: Math.max(totalBytes, known?.totalBytes ?? 0) })
    }
    return uses
  }

  /** What is known of the root pages of tables whose rows cannot be read. */
  async #rowsFound(kind: TableKind): Promise<Map<number, PagePointer>> {
    const rows = (kind + ROWS) as TableKind
    if (!this.#counted.get(rows)?.has(0)) await this.scan(rows, 0, () => undefined)
    let found = this.#foundRows.get(kind)
    if (found === undefined) {
      const lost = this.#damages.flatMap(({ table }) => (table?.kind === rows ? [table] : []))
      found = lost.length === 0 ? Promise.resolve(new Map()) : this.#findRows(kind, lost)
      this.#foundRows.set(kind, found)
    }
    return found
  }

  async #findRows(kind: TableKind, lost: readonly Range[]): Promise<Map<number, PagePointer>> {
    const found = await this.#history.newestPages(kind, lost)
    // `root` itself names these.
    for (const { kind: pinned, owner } of this.#engine.pinned) if (pinned === kind) found.delete(owner)
    return found
  }

  /** Rows for what the damaged pages of a rows table held: in order. */
  async rowsToRestore(kind: TableKind): Promise<[number, Buffer][]> {
    const found = [...(await this.#rowsFound(kind))]
    return found.sort(([a], [b]) => a - b).map(([owner, pointer]) => [owner, encodePointer(pointer)])
  }

  /** Whether a page in this place was told of as unreadable. */
  hasTold(table: { kind: number; owner: number }, { from, to }: Range): boolean {
    return this.#damages.some(
      ({ table: told }) =>
        told?.kind === table.kind && told.owner === table.owner && told.from === from && told.to === to,
    )
  }

  /** Where a table's root page lies; null when it has none. */
  async rootPointer({ kind, owner }: TableName): Promise<PagePointer | null> {
    const state = this.#engine.knownState(kind, owner)
    if (state?.root !== undefined) return state.root
    if (!this.#engine.specs.get(kind)?.perOwner) return null
    const found = (await this.#rowsFound(kind)).get(owner)
    if (found !== undefined) return found
    const rows = { kind: (kind + ROWS) as TableKind, owner: 0 }
    let pointer = this.#engine.knownState(rows.kind, 0)?.root ?? null
    for (let place = ROOT_PLACE; pointer !== null; ) {
      const page = await readPlaced(this.#engine.cache, pointer, rows, place)
      if (!(page instanceof Page)) return null
      const at = page.level === 0 ? page.lowerBound(owner) : page.childIndex(owner)
      if (page.level === 0) return at < page.count && page.key(at) === owner ? decodePointer(page.record(at), 0) : null
      pointer = page.pointer(at)
      place = childPlace(page, at, place)
    }
    return null
  }

  #countOnce({ kind, owner }: TableName): boolean {
    const owners = this.#counted.get(kind) ?? new Set()
    this.#counted.set(kind, owners)
    const isFirst = !owners.has(owner)
    owners.add(owner)
    return isFirst
  }

  /** Calls `give` for each leaf in order, null for what cannot be read, with the end of its range. */
  async #walk(
    table: TableName,
    pointer: PagePointer,
    place: Place,
    isFirst: boolean,
    give: (page: Page | null, to: number) => Promise<void>,
  ): Promise<void> {
    const page = await readPlaced(this.#engine.cache, pointer, table, place)
    if (isFirst) this.#count(pointer, page)
    if (!(page instanceof Page)) {
      if (isFirst) this.#tell(page, table, place)
      return give(null, place.to)
    }
    if (page.level === 0) return give(page, place.to)
    for (let index = 0; index < page.count; index++)
      await this.#walk(table, page.pointer(index), childPlace(page, index, place), isFirst, give)
  }

  #count({ segment, storedBytes }: PagePointer, page: Page | Unreadable): void {
    const use = this.#used.get(segment)
    // A pointer to what is no page may name any segment: not one that is to be called a segment of pages.
    if (!(page instanceof Page) && !this.root.pageSegments.has(segment)) return
    const liveBytes = (use?.liveBytes ?? 0) + storedBytes
    this.#used.set(segment, { liveBytes, totalBytes: liveBytes })
    this.#storedBytesRead += storedBytes
    this.pagesRead++
  }

  #tell({ kind, object, message }: Unreadable, table: TableName, { from, to }: Place): void {
    this.#damages.push({ kind, object, message, table: { ...table, from, to } })
  }

  /** Gives out the records of a leaf, with the changes in [from, to) on top. */
  async #give(state: TableState | undefined, page: Page | null, { from, to }: Range, visit: RecordVisitor) {
    for (let next = from; next < to; ) {
      next = giveTurn(state, page, { from: next, to }, visit)
      if (this.#engine.clock.monotonicMs() - this.#lastYieldMs < YIELD_MS && next >= to) continue
      await this.#engine.clock.yield()
      this.#lastYieldMs = this.#engine.clock.monotonicMs()
    }
  }
}

const NOTHING = new OrderedChanges(new RecordArena())

/** One turn's records; returns where to go on. */
function giveTurn(state: TableState | undefined, page: Page | null, { from, to }: Range, visit: RecordVisitor): number {
  const active = state?.active ?? null
  const frozen = active?.cleared ? null : (state?.frozen ?? null)
  const newer = (active?.changes ?? NOTHING).cursor(from)
  const older = (frozen?.changes ?? NOTHING).cursor(from)
  const leaf = active?.cleared || frozen?.cleared ? null : page
  let at = leaf === null ? 0 : leaf.lowerBound(from)
  for (let given = 1; ; given++) {
    const pageKey = leaf !== null && at < leaf.count ? leaf.key(at) : Number.POSITIVE_INFINITY
    const key = Math.min(newer.key, older.key, pageKey)
    if (key >= to) return to
    const changed = newer.key === key ? newer.record : older.key === key ? older.record : undefined
    const record = changed === undefined ? (leaf as Page).record(at) : changed
    if (newer.key === key) newer.next()
    if (older.key === key) older.next()
    if (pageKey === key) at++
    if (record !== null) visit(key, record)
    if (given === RECORDS_PER_TURN) return key + 1
  }
}
