// One table in memory: where its pages begin, and its changes since the last checkpoint in two generations. Reads look in
// active, then frozen, then the pages.
//
// Must stay true:
// - `root` is what the current `root` object (or the rows table it names) says; undefined until somebody asked.
// - `frozen` changes only by the checkpoint that owns it; `active` only by Engine.apply.
// - A cleared generation hides everything below it.
import type { PagePointer } from '../segments/index.ts'
import { PageFault, type ScanVisitor, type Table, type TableKind } from './database.ts'
import { type ChangeCursor, OrderedChanges } from './ordered-changes.ts'
import type { Page } from './page.ts'
import type { PageCache } from './page-cache.ts'
import { RecordArena } from './record-arena.ts'
import type { ScanAhead, Step } from './scan-ahead.ts'

/** The changes of one table in one generation. */
export class TableChanges {
  cleared = false
  readonly changes: OrderedChanges

  /** `arena`: that of the generation, or one of its own. */
  constructor(arena = new RecordArena()) {
    this.changes = new OrderedChanges(arena)
  }

  /** Puts `newer` on top of this. */
  merge(newer: TableChanges): TableChanges {
    if (newer.cleared) return newer
    newer.changes.scan(0, Number.POSITIVE_INFINITY, (key, record) => {
      this.changes.set(key, record)
      return true
    })
    return this
  }
}

/** A read that needs a page which is not in memory. */
export class TreePageFault extends PageFault {
  constructor(
    readonly cache: PageCache,
    readonly pointer: PagePointer,
    readonly of: { kind: number; owner: number },
    readonly isScan: boolean,
  ) {
    super(async () => {
      await cache.load(pointer, of, isScan)
    })
  }
}

/** Where the pages of tables are had from. */
export interface PageSource {
  cache: PageCache
  scanAhead: ScanAhead
}

export class TableState {
  root: PagePointer | null | undefined
  active: TableChanges | null = null
  frozen: TableChanges | null = null

  constructor(
    readonly kind: TableKind,
    readonly owner: number,
    root: PagePointer | null | undefined,
  ) {
    this.root = root
  }

  get isChanged(): boolean {
    return this.active !== null || this.frozen !== null
  }
}

/** Finds the root page's place of a table whose state does not know it. May fault. */
export type RootResolver = (state: TableState) => PagePointer | null

/** Where states are: most tables have none, as nobody has asked for their pages. */
export interface TableStates {
  knownState(kind: TableKind, owner: number): TableState | undefined
  /** Made when there is none. */
  state(kind: TableKind, owner: number): TableState
}

export interface TableViewOptions {
  states: TableStates
  pages: PageSource
  resolveRoot: RootResolver
  withActive: boolean
}

/** What readers see of a table: with or without the active generation. */
export class TableView implements Table {
  readonly kind: TableKind
  readonly owner: number
  readonly #options: TableViewOptions
  #known: TableState | undefined

  constructor(kind: TableKind, owner: number, options: TableViewOptions) {
    this.kind = kind
    this.owner = owner
    this.#options = options
    this.#known = options.states.knownState(kind, owner)
  }

  get #state(): TableState | undefined {
    // A change may have come since.
    this.#known ??= this.#options.states.knownState(this.kind, this.owner)
    return this.#known
  }

  getChanged(key: number): Buffer | null | undefined {
    const state = this.#state
    if (state === undefined) return undefined
    const { active, frozen } = state
    if (this.#options.withActive && active !== null) {
      const record = active.changes.get(key)
      if (record !== undefined) return record
      if (active.cleared) return null
    }
    if (frozen !== null) {
      const record = frozen.changes.get(key)
      if (record !== undefined) return record
      if (frozen.cleared) return null
    }
    return undefined
  }

  get(key: number): Buffer | null {
    const changed = this.getChanged(key)
    if (changed !== undefined) return changed
    const root = this.#rootPointer()
    if (root === null) return null
    const { page } = this.#findLeaf(root, key, key)
    const at = page.lowerBound(key)
    return at < page.count && page.key(at) === key ? page.record(at) : null
  }

  isEmpty(from = 0): boolean {
    let empty = true
    const visit = () => {
      empty = false
      return false
    }
    this.#scan(from, Number.MAX_SAFE_INTEGER, from, visit)
    return empty
  }

  scan(from: number, to: number, visit: ScanVisitor): void {
    this.#scan(from, to, to, visit)
  }

  /** `aheadTo`: the keys that are read for sure, if nobody stops. */
  #scan(from: number, to: number, aheadTo: number, visit: ScanVisitor): void {
    const state = this.#state
    const active = state !== undefined && this.#options.withActive ? state.active : null
    const frozen = state === undefined || active?.cleared ? null : state.frozen
    const newer = active === null ? NOTHING : active.changes.cursor(from)
    const older = frozen === null ? NOTHING : frozen.changes.cursor(from)
    const root = active?.cleared || frozen?.cleared ? null : this.#rootPointer()
    let leaf = root === null ? null : this.#findLeaf(root, from, aheadTo)
    let at = leaf === null ? 0 : leaf.page.lowerBound(from)
    for (;;) {
      while (leaf !== null && at >= leaf.page.count) {
        leaf = leaf.upper > to ? null : this.#findLeaf(root as PagePointer, leaf.upper, aheadTo)
        at = 0
      }
      const pageKey = leaf === null ? Number.POSITIVE_INFINITY : leaf.page.key(at)
      const key = Math.min(newer.key, older.key, pageKey)
      if (key > to || key === Number.POSITIVE_INFINITY) return
      let goOn = true
      if (newer.key === key || older.key === key) {
        const changed = newer.key === key ? newer : older
        if (!changed.isTombstone) {
          const { bytes, start, lengthBytes } = changed
          goOn = visit(key, bytes, start, start + lengthBytes)
        }
        if (newer.key === key) newer.next()
        if (older.key === key) older.next()
        if (pageKey === key) at++
      } else {
        const page = (leaf as Leaf).page
        goOn = visit(key, page.bytes, page.start(at), page.end(at))
        at++
      }
      if (!goOn) return
    }
  }

  #rootPointer(): PagePointer | null {
    this.#known ??= this.#options.states.state(this.kind, this.owner)
    const state = this.#known
    if (state.root === undefined) state.root = this.#options.resolveRoot(state)
    return state.root
  }

  /** The leaf whose range holds `key`, and the first key beyond its range. `to`: how far the scan goes, or `key`. */
  #findLeaf(root: PagePointer, key: number, to: number): Leaf {
    const { cache, scanAhead } = this.#options.pages
    const table = { kind: this.kind, owner: this.owner }
    let pointer = root
    let upper = Number.POSITIVE_INFINITY
    let above: Step | null = null
    let at: Step | null = null
    for (;;) {
      const isLeaf = at?.page.level === 1
      // Of a leaf that the scan goes beyond, the others are wanted too, each once.
      const isScan = isLeaf && upper <= to
      const page = cache.find(pointer, table, isScan)
      if (page === undefined) {
        // The leaf is asked for first: it is waited for, by whom the fault below reaches, and he meets the error too.
        if (isScan) cache.load(pointer, table, true).catch(() => {})
        if (isScan) scanAhead.reached(table, at as Step, above, true)
        throw new TreePageFault(cache, pointer, table, isScan)
      }
      if (page.level === 0) {
        if (isScan) scanAhead.reached(table, at as Step, above, false)
        return { page, upper }
      }
      const index = page.childIndex(key)
      if (index + 1 < page.count) upper = page.key(index + 1)
      pointer = page.pointer(index)
      above = at
      at = { page, index }
    }
  }
}

interface Leaf {
  page: Page
  /** First key that is not in the leaf's range. */
  upper: number
}

const NOTHING: ChangeCursor = new OrderedChanges(new RecordArena()).cursor(0)
