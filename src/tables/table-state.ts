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

/** How much of a table is asked for ahead, in stored bytes, when a scan meets a page not in memory. */
const SCAN_AHEAD_BYTES = 8 << 20

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
  ) {
    super(async () => {
      await cache.load(pointer, of)
    })
  }
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

/** What readers see of a table: with or without the active generation. */
export class TableView implements Table {
  readonly #state: TableState
  readonly #cache: PageCache
  readonly #resolveRoot: RootResolver
  readonly #withActive: boolean

  constructor(state: TableState, cache: PageCache, resolveRoot: RootResolver, withActive: boolean) {
    this.#state = state
    this.#cache = cache
    this.#resolveRoot = resolveRoot
    this.#withActive = withActive
  }

  get kind(): TableKind {
    return this.#state.kind
  }

  get owner(): number {
    return this.#state.owner
  }

  getChanged(key: number): Buffer | null | undefined {
    const { active, frozen } = this.#state
    if (this.#withActive && active !== null) {
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
    const { page } = this.#findLeaf(root, key, false)
    const at = page.lowerBound(key)
    return at < page.count && page.key(at) === key ? page.record(at) : null
  }

  isEmpty(from = 0): boolean {
    let empty = true
    this.scan(from, Number.MAX_SAFE_INTEGER, () => {
      empty = false
      return false
    })
    return empty
  }

  scan(from: number, to: number, visit: ScanVisitor): void {
    const active = this.#withActive ? this.#state.active : null
    const frozen = active?.cleared ? null : this.#state.frozen
    const newer = active === null ? NOTHING : active.changes.cursor(from)
    const older = frozen === null ? NOTHING : frozen.changes.cursor(from)
    const root = active?.cleared || frozen?.cleared ? null : this.#rootPointer()
    let leaf = root === null ? null : this.#findLeaf(root, from, true)
    let at = leaf === null ? 0 : leaf.page.lowerBound(from)
    for (;;) {
      while (leaf !== null && at >= leaf.page.count) {
        leaf = leaf.upper > to ? null : this.#findLeaf(root as PagePointer, leaf.upper, true)
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
    if (this.#state.root === undefined) this.#state.root = this.#resolveRoot(this.#state)
    return this.#state.root
  }

  /** The leaf whose range holds `key`, and the first key beyond its range. */
  #findLeaf(root: PagePointer, key: number, ahead: boolean): Leaf {
    let pointer = root
    let upper = Number.POSITIVE_INFINITY
    let parent: Page | null = null
    let childIndex = 0
    for (;;) {
      const page = this.#cache.get(pointer)
      if (page === undefined) {
        if (ahead && parent !== null) this.#askAhead(parent, childIndex + 1)
        throw new TreePageFault(this.#cache, pointer, this.#state)
      }
      if (page.level === 0) return { page, upper }
      parent = page
      childIndex = page.childIndex(key)
      if (childIndex + 1 < page.count) upper = page.key(childIndex + 1)
      pointer = page.pointer(childIndex)
    }
  }

  /** Begins loading the siblings that a scan will want next. */
  #askAhead(parent: Page, from: number): void {
    let bytes = 0
    for (let index = from; index < parent.count && bytes < SCAN_AHEAD_BYTES; index++) {
      const pointer = parent.pointer(index)
      bytes += pointer.storedBytes
      // A failure is met again, and reported, by the read that wants the page.
      this.#cache.load(pointer, this.#state).catch(() => undefined)
    }
  }
}

interface Leaf {
  page: Page
  /** First key that is not in the leaf's range. */
  upper: number
}

const NOTHING: ChangeCursor = new OrderedChanges(new RecordArena()).cursor(0)
