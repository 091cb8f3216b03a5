// Writes the changes of a table into new pages, bottom up, leaving the old ones as they are (copy on write).
//
// Must stay true:
// - Pages of one table are written in order of their keys, so that a directory's leaves lie together.
// - Every pointer dropped from the tree and every one added is counted in `pageSegments`.
// - It yields to the event loop at least every YIELD_MS.
import { ok as assert } from 'node:assert'
import type { Clock } from '../platform/index.ts'
import type { PagePacker, PagePointer } from '../segments/index.ts'
import { lowerBound } from './ordered-changes.ts'
import {
  buildPage,
  encodePointer,
  encodeStored,
  PAGE_SMALL_BYTES,
  type Page,
  type PageEntries,
  rawPageBytes,
  splitIntoPages,
} from './page.ts'
import type { PageCache } from './page-cache.ts'
import type { PageSegmentUse } from './root.ts'
import type { TableChanges } from './table-state.ts'
import { childPlace, type Place, ROOT_PLACE } from './tree-reader.ts'

const YIELD_MS = 5

/** Changes in order, as arrays; a null record deletes; undefined leaves the record as it is, and has the pages on the way
 *  to it written again. */
interface SortedChanges {
  keys: number[]
  records: (Buffer | null | undefined)[]
}

/** The changes `[from, to)` of many. */
interface ChangeRun {
  changes: SortedChanges
  from: number
  to: number
}

/** A child of an inner page under construction: a page as it was, or the entries of a leaf to be written. */
type Child = { firstKey: number; pointer: PagePointer } | { firstKey: number; entries: PageEntries }

interface TableName {
  kind: number
  owner: number
  groupBits: number
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
  #lastYieldMs: number
  pagesWritten = 0

  constructor(options: {
    cache: PageCache
    packer: PagePacker
    pageSegments: Map<number, PageSegmentUse>
    clock: Clock
    /** As the page cache does, unless told: what cannot be read is an error. */
    read?: PageReader
  }) {
    this.#cache = options.cache
    this.#read = options.read ?? ((pointer, table) => options.cache.load(pointer, table))
    this.#packer = options.packer
    this.#pageSegments = options.pageSegments
    this.#clock = options.clock
    this.#lastYieldMs = options.clock.monotonicMs()
  }

  /** Rewrites one table; returns where its new root page lies, null when it is empty. The pages on the way to the keys
   *  in `touched` (in order) are written again though nothing changed there. */
  async write(
    table: TableName,
    oldRoot: PagePointer | null,
    changed: TableChanges,
    touched: readonly number[] = [],
  ): Promise<PagePointer | null> {
    const changes = sortedChanges(changed, touched)
    if (changed.cleared && oldRoot !== null) await this.#dropTree(table, oldRoot)
    const all = { changes, from: 0, to: changes.keys.length }
    const root = changed.cleared ? null : oldRoot
    const page = root === null ? null : await this.#read(root, table, ROOT_PLACE)
    if (root === null || page === null) {
      if (root !== null) this.#dropUnread(root)
      return this.#finish(table, await this.#writeFresh(table, all, 0), 1)
    }
    const children = await this.#rewrite(table, root, page, all, ROOT_PLACE, true)
    return this.#finish(table, children, page.level + 1)
  }

  /** Counts a whole tree as dropped, reading its inner pages only. */
  async #dropTree(table: TableName, root: PagePointer): Promise<void> {
    const page = await this.#cache.load(root, table)
    this.#drop(root)
    for (let index = 0; page.level > 0 && index < page.count; index++) {
      if (page.level === 1) this.#drop(page.pointer(index))
      else await this.#dropTree(table, page.pointer(index))
    }
  }

  /** Rewrites a subtree with some changes; returns the pages that take its place, on the subtree's level; a root left with
   *  one child gives way to it. */
  async #rewrite(
    table: TableName,
    pointer: PagePointer,
    page: Page,
    { changes, from, to }: ChangeRun,
    place: Place,
    isRoot = false,
  ): Promise<ChildPointer[]> {
    this.#drop(pointer)
    if (page.level === 0) {
      const entries = mergeEntries(page, changes, from, to)
      return this.#writeLeaves(table, [{ firstKey: entries.keys[0] ?? 0, entries }])
    }
    const children: Child[] = []
    let at = from
    for (let index = 0; index < page.count; index++) {
      const upper = index + 1 < page.count ? page.key(index + 1) : Number.POSITIVE_INFINITY
      const until = upper === Number.POSITIVE_INFINITY ? to : Math.min(to, lowerBound(changes.keys, upper))
      const child = page.pointer(index)
      if (until <= at) {
        children.push({ firstKey: page.key(index), pointer: child })
        continue
      }
      const run = { changes, from: at, to: until }
      const below = childPlace(page, index, place)
      const childPage = await this.#read(child, table, below)
      if (childPage === null) {
        this.#dropUnread(child)
        if (page.level === 1)
          children.push({ firstKey: page.key(index), entries: mergeEntries(null, changes, at, until) })
        else children.push(...(await this.#writeFresh(table, run, page.level - 1)))
      } else if (page.level === 1) {
        this.#drop(child)
        children.push({ firstKey: page.key(index), entries: mergeEntries(childPage, changes, at, until) })
      } else {
        children.push(...(await this.#rewrite(table, child, childPage, run, below)))
      }
      at = until
      await this.#yieldIfDue()
    }
    if (page.level === 1) await this.#joinSmall(table, children)
    const pointers = await this.#writeLeaves(table, children)
    return isRoot && pointers.length === 1 ? pointers : this.#writeInner(table, pointers, page.level)
  }

  /** Writes changes with nothing below them, up to pages of this level. */
  async #writeFresh(table: TableName, { changes, from, to }: ChangeRun, level: number): Promise<ChildPointer[]> {
    const entries = mergeEntries(null, changes, from, to)
    let pages = await this.#writeLeaves(table, [{ firstKey: 0, entries }])
    for (let above = 1; above <= level; above++) pages = await this.#writeInner(table, pages, above)
    return pages
  }

  /** Joins leaves that became small with a neighbour. */
  async #joinSmall(table: TableName, children: Child[]): Promise<void> {
    for (let index = 0; index < children.length; index++) {
      const child = children[index]!
      if (!('entries' in child) || rawPageBytes(child.entries) >= PAGE_SMALL_BYTES || children.length === 1) continue
      const first = index + 1 < children.length ? index : index - 1
      const [left, right] = [children[first]!, children[first + 1]!]
      const joined = await this.#entriesOf(table, left)
      const more = await this.#entriesOf(table, right)
      const entries = { keys: joined.keys.concat(more.keys), records: joined.records.concat(more.records) }
      children.splice(first, 2, { firstKey: left.firstKey, entries })
      index = first - 1
    }
  }

  async #entriesOf(table: TableName, child: Child): Promise<PageEntries> {
    if ('entries' in child) return child.entries
    const page = await this.#cache.load(child.pointer, table)
    this.#drop(child.pointer)
    return mergeEntries(page, { keys: [], records: [] }, 0, 0)
  }

  /** Writes the leaves among `children`; those that stayed keep their pointers. */
  async #writeLeaves(table: TableName, children: readonly Child[]): Promise<ChildPointer[]> {
    const written: ChildPointer[] = []
    for (const child of children) {
      if ('pointer' in child) written.push(child)
      else written.push(...(await this.#writePages(table, child.entries, 0)))
    }
    return written
  }

  async #writeInner(table: TableName, children: readonly ChildPointer[], level: number): Promise<ChildPointer[]> {
    const entries: PageEntries = { keys: [], records: [] }
    for (const { firstKey, pointer } of children) {
      entries.keys.push(firstKey)
      entries.records.push(encodePointer(pointer))
    }
    return this.#writePages({ ...table, groupBits: 0 }, entries, level)
  }

  async #writePages(table: TableName, entries: PageEntries, level: number): Promise<ChildPointer[]> {
    const written: ChildPointer[] = []
    for (const [from, to] of splitIntoPages(entries, table.groupBits)) {
      const page = buildPage({ ...table, level }, entries, from, to)
      const stored = encodeStored(page)
      const firstKey = entries.keys[from]!
      const pointer = this.#packer.add(table.kind, table.owner, firstKey, stored)
      this.#cache.add(pointer, page)
      this.#count(pointer)
      this.pagesWritten++
      written.push({ firstKey, pointer })
      await this.#yieldIfDue()
    }
    return written
  }

  /** Grows inner pages until one page is left. */
  async #finish(table: TableName, pages: ChildPointer[], level: number): Promise<PagePointer | null> {
    while (pages.length > 1) pages = await this.#writeInner(table, pages, level++)
    return pages[0]?.pointer ?? null
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

  async #yieldIfDue(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#lastYieldMs < YIELD_MS) return
    await this.#clock.yield()
    this.#lastYieldMs = this.#clock.monotonicMs()
  }
}

interface ChildPointer {
  firstKey: number
  pointer: PagePointer
}

function sortedChanges(changed: TableChanges, touched: readonly number[]): SortedChanges {
  const changes: SortedChanges = { keys: [], records: [] }
  let next = 0
  const touchUntil = (key: number) => {
    for (; next < touched.length && touched[next]! < key; next++) {
      changes.keys.push(touched[next]!)
      changes.records.push(undefined)
    }
    if (touched[next] === key) next++
  }
  changed.changes.scan(0, Number.POSITIVE_INFINITY, (key, record) => {
    touchUntil(key)
    changes.keys.push(key)
    changes.records.push(record)
    return true
  })
  touchUntil(Number.POSITIVE_INFINITY)
  return changes
}

/** A leaf's entries with changes `[from, to)` on top. */
function mergeEntries(page: Page | null, changes: SortedChanges, from: number, to: number): PageEntries {
  const entries: PageEntries = { keys: [], records: [] }
  const count = page === null ? 0 : page.count
  let at = 0
  let change = from
  while (at < count || change < to) {
    const pageKey = at < count ? (page as Page).key(at) : Number.POSITIVE_INFINITY
    const changeKey = change < to ? changes.keys[change]! : Number.POSITIVE_INFINITY
    if (pageKey < changeKey) {
      entries.keys.push(pageKey)
      entries.records.push((page as Page).record(at++))
      continue
    }
    const record = changes.records[change++]
    if (record === undefined) continue
    if (record !== null) {
      entries.keys.push(changeKey)
      entries.records.push(record)
    }
    if (pageKey === changeKey) at++
  }
  return entries
}
