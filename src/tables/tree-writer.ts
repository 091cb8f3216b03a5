// Writes the changes of a table into new pages, from left to right, leaving the old ones as they are (copy on write).
//
// The old tree is walked along the changes: subtrees without any are passed on as they are, leaves with some are merged with
// them entry by entry. What leaves pages (tree-builder.ts) are cut into, and which neighbours are joined, is decided as
// they come. So a table of any size and any number of changes takes the memory of a few pages.
//
// Must stay true:
// - Pages of one table are written in order of their keys, so that a directory's leaves lie together.
// - Every pointer dropped from the tree and every one added is counted in `pageSegments`.
// - It yields to the event loop at least every YIELD_MS, looking at the clock every ENTRIES_PER_LOOK entries; and it waits
//   while more is packed than is on its way to the store. The changes must not change meanwhile.
import { ok as assert } from 'node:assert'
import { type Clock, FsError } from '../platform/index.ts'
import type { PagePacker, PagePointer } from '../segments/index.ts'
import { GATHERED_MAX_BYTES, type GatherBudget, leavesToGather, type StayingLeaf } from './gathering.ts'
import type { ChangeCursor } from './ordered-changes.ts'
import { buildPage, encodeStored, type Page } from './page.ts'
import type { PageCache } from './page-cache.ts'
import type { PageSegmentUse } from './root.ts'
import { TableChanges } from './table-state.ts'
import { TreeBuilder } from './tree-builder.ts'
import { childPlace, KEYS_END, type Place, ROOT_PLACE } from './tree-reader.ts'

const YIELD_MS = 5
const ENTRIES_PER_LOOK = 256
const NONE: ReadonlySet<number> = new Set()

interface TableName {
  kind: number
  owner: number
  groupBits: number
}

/** What is written: the changes of one table in one generation (TableChanges). */
export interface Changed {
  cleared: boolean
  changes: { cursor(from: number): ChangeCursor }
}

/** Reads a page on the way to a change. Null: it is left out of the tree, with all below it. */
export type PageReader = (
  pointer: PagePointer,
  table: { kind: number; owner: number },
  place: Place,
) => Promise<Page | null>

export class TreeWriter {
  readonly #cache: PageCache
  readonly #read: PageReader
  readonly #packer: PagePacker
  readonly #pageSegments: Map<number, PageSegmentUse>
  readonly #clock: Clock
  readonly #tree: TreeBuilder
  #table: TableName = { kind: 0, owner: 0, groupBits: 0 }
  #changed: Changed = new TableChanges()
  #source = new ChangeSource(this.#changed.changes.cursor(0), [])
  readonly #gatherBudget: GatherBudget | null
  #lastYieldMs: number
  #entriesUntilLook = ENTRIES_PER_LOOK
  pagesWritten = 0

  constructor(options: {
    cache: PageCache
    packer: PagePacker
    pageSegments: Map<number, PageSegmentUse>
    clock: Clock
    /** As the page cache does, unless told: what cannot be read is an error. */
    read?: PageReader
    /** What segments hold: then leaves that lie in too many of them are gathered. */
    segmentSizeBytes?: number
  }) {
    this.#cache = options.cache
    this.#read = options.read ?? ((pointer, table) => options.cache.load(pointer, table))
    this.#packer = options.packer
    const { segmentSizeBytes } = options
    this.#gatherBudget = segmentSizeBytes === undefined ? null : { segmentSizeBytes, bytes: GATHERED_MAX_BYTES }
    this.#pageSegments = options.pageSegments
    this.#clock = options.clock
    this.#lastYieldMs = options.clock.monotonicMs()
    this.#tree = new TreeBuilder({
      write: (level, entries, count) => this.#writePage(buildPage({ ...this.#table, level }, entries, count)),
      writeAgain: (page) => this.#writePage(page),
      load: (pointer) => this.#loadToJoin(pointer),
      drop: (pointer) => this.#drop(pointer),
    })
  }

  /** Bytes of entries on their way into pages. */
  get heldBytes(): number {
    return this.#tree.heldBytes
  }

  /** Rewrites one table; returns where its new root page lies, null when it is empty. The pages on the way to the keys
   *  in `touched` (in order) are written again though nothing changed there. */
  async write(
    table: TableName,
    oldRoot: PagePointer | null,
    changed: Changed,
    touched: readonly number[] = [],
  ): Promise<PagePointer | null> {
    this.#table = table
    this.#changed = changed
    this.#source = new ChangeSource(changed.changes.cursor(0), touched)
    this.#tree.reset(table.groupBits)
    if (changed.cleared && oldRoot !== null) await this.#dropTree(oldRoot)
    const root = changed.cleared ? null : oldRoot
    if (root === null) await this.#merge(null, KEYS_END)
    else await this.#rewrite(root, ROOT_PLACE)
    return this.#tree.finish()
  }

  /** Counts a whole tree as dropped, reading its inner pages only. */
  async #dropTree(root: PagePointer): Promise<void> {
    const page = await this.#cache.load(root, this.#table)
    this.#drop(root)
    for (let index = 0; page.level > 0 && index < page.count; index++) {
      if (page.level === 1) this.#drop(page.pointer(index))
      else await this.#dropTree(page.pointer(index))
    }
    await this.#pause()
  }

  /** Rewrites a subtree, with the changes in its range on top. */
  async #rewrite(pointer: PagePointer, place: Place): Promise<void> {
    const page = await this.#read(pointer, this.#table, place)
    if (page === null) {
      this.#dropUnread(pointer)
      return this.#merge(null, place.to)
    }
    this.#drop(pointer)
    if (page.level === 0) return this.#merge(page, place.to)
    const gathered = page.level === 1 ? this.#leavesToGather(page, place) : NONE
    for (let index = 0; index < page.count; index++) {
      const below = childPlace(page, index, place)
      if (this.#source.key < below.to) {
        await this.#rewrite(page.pointer(index), below)
        continue
      }
      const leaf = gathered.has(index) ? await this.#loadToJoin(page.pointer(index)) : null
      if (leaf !== null) {
        this.#drop(page.pointer(index))
        await this.#merge(leaf, below.to)
        continue
      }
      const taken = this.#tree.pass(page.level - 1, page.key(index), page.pointer(index))
      if (taken !== null) await taken
      if (--this.#entriesUntilLook === 0) await this.#pause()
    }
    await this.#pause()
  }

  /** Gives a leaf's entries, with the changes before `to` on top, to the tree. */
  async #merge(page: Page | null, to: number): Promise<void> {
    const source = this.#source
    const { leaves } = this.#tree
    const count = page === null ? 0 : page.count
    let at = 0
    for (;;) {
      const key = Math.min(source.key, to)
      const before = at
      at = page === null ? 0 : page.lowerBound(key, at)
      if (at > before) leaves.addRun(page as Page, before, at)
      if (key === to) break
      if (source.isChange) {
        if (at < count && (page as Page).key(at) === key) at++
        const { cursor } = source
        if (!cursor.isTombstone) leaves.add(key, cursor.bytes, cursor.start, cursor.start + cursor.lengthBytes)
      }
      source.next()
      if (--this.#entriesUntilLook === 0) await this.#pause()
    }
    assert(page === null || at === count, 'a leaf has no key beyond its place')
    await this.#pause()
  }

  /** Which leaves below an inner page are to be written again though nothing changed in them, so that all of them lie in few
   *  segments. */
  #leavesToGather(page: Page, place: Place): ReadonlySet<number> {
    if (this.#gatherBudget === null) return NONE
    const { changes } = this.#changed
    const staying: StayingLeaf[] = []
    let changedBytes = 0
    for (let index = 0; index < page.count; index++) {
      const { from, to } = childPlace(page, index, place)
      const { segment, storedBytes } = page.pointer(index)
      // The first child's range begins where that of its parent does.
      if (changes.cursor(index === 0 ? place.from : from).key < to) changedBytes += storedBytes
      else staying.push({ index, segment, storedBytes })
    }
    const { indexes, bytes } = leavesToGather(staying, changedBytes, this.#gatherBudget)
    this.#gatherBudget.bytes -= bytes
    return indexes
  }

  /** A page that need not be read: where it cannot be, it is left alone, and whoever wants it is told. */
  async #loadToJoin(pointer: PagePointer): Promise<Page | null> {
    try {
      return await this.#cache.load(pointer, this.#table)
    } catch (error) {
      if (error instanceof FsError) return null
      throw error
    }
  }

  #writePage(page: Page): PagePointer {
    const { kind, owner } = this.#table
    const pointer = this.#packer.add(kind, owner, page.key(0), encodeStored(page))
    this.#cache.add(pointer, page)
    this.#count(pointer)
    this.pagesWritten++
    return pointer
  }

  #count(pointer: PagePointer): void {
    const use = this.#pageSegments.get(pointer.segment) ?? { liveBytes: 0, totalBytes: 0 }
    this.#pageSegments.set(pointer.segment, {
      liveBytes: use.liveBytes + pointer.storedBytes,
      totalBytes: use.totalBytes + pointer.storedBytes,
    })
  }

  #drop(pointer: PagePointer): void {
    const use = this.#pageSegments.get(pointer.segment)
    assert(use !== undefined && use.liveBytes >= pointer.storedBytes, 'a dropped page was counted')
    this.#pageSegments.set(pointer.segment, { ...use, liveBytes: use.liveBytes - pointer.storedBytes })
  }

  /** Of a page that could not be read the pointer may be anything: only what was counted is counted off. */
  #dropUnread(pointer: PagePointer): void {
    if (this.#pageSegments.has(pointer.segment)) this.#drop(pointer)
  }

  /** Lets others have their turn when it is time, and the store catch up. */
  async #pause(): Promise<void> {
    this.#entriesUntilLook = ENTRIES_PER_LOOK
    const backlog = this.#packer.backlog
    if (backlog !== null) await backlog
    if (this.#clock.monotonicMs() - this.#lastYieldMs < YIELD_MS) return
    await this.#clock.yield()
    this.#lastYieldMs = this.#clock.monotonicMs()
  }
}

/** Changes, and keys that are only touched, in order. */
class ChangeSource {
  readonly cursor: ChangeCursor
  readonly #touched: readonly number[]
  #next = 0
  /** Infinity past the end. */
  key = Number.POSITIVE_INFINITY
  /** Whether the cursor stands on a change of the key. */
  isChange = false

  constructor(cursor: ChangeCursor, touched: readonly number[]) {
    this.cursor = cursor
    this.#touched = touched
    this.#look()
  }

  next(): void {
    while (this.#touched[this.#next] === this.key) this.#next++
    if (this.isChange) this.cursor.next()
    this.#look()
  }

  #look(): void {
    const touched = this.#touched[this.#next] ?? Number.POSITIVE_INFINITY
    this.key = Math.min(this.cursor.key, touched)
    this.isChange = this.cursor.key === this.key
  }
}
