// What the segments of pages still hold besides the tree in force: older pages of a table, for ranges of it that cannot be
// read any more, and the newest page of each table, where the rows that named them are gone.
//
// Of a range that cannot be read the newest leaf that holds a key tells of it: under an inner page that is damaged these
// are the very leaves in force; in place of a damaged leaf they are as old as its table's last but one change. A leaf tells
// of all keys between its first and its last one; so what older ones held there is known to be gone.
//
// Must stay true: only segments that the root in force names are looked into: those of failed checkpoints may hold what
// never was.
import { FsError } from '../platform/index.ts'
import type { PagePointer, SegmentId } from '../segments/index.ts'
import { StoreError } from '../store/index.ts'
import type { TableKind } from './database.ts'
import type { Engine } from './engine.ts'
import type { RecordVisitor } from './inspect.ts'
import { Page } from './page.ts'
import type { Root } from './root.ts'
import type { TableState } from './table-state.ts'
import { ROOT_PLACE, readPlaced } from './tree-reader.ts'

interface Range {
  from: number
  /** Exclusive. */
  to: number
}

/** A page by its line in a table of contents; about 100 bytes in memory for each page of a volume. */
interface StoredPage {
  kind: number
  owner: number
  firstKey: number
  pointer: PagePointer
  /** Once it was read: its last key; null for what is no leaf, or cannot be read. */
  lastKey?: number | null
}

export class PageHistory {
  readonly #engine: Engine
  readonly #root: Readonly<Root>
  #pages: Promise<StoredPage[]> | null = null

  constructor(engine: Engine, root: Readonly<Root>) {
    this.#engine = engine
    this.#root = root
  }

  /** The newest page of each table of a kind whose owner lies in one of the ranges. */
  async newestPages(kind: TableKind, ranges: readonly Range[]): Promise<Map<number, PagePointer>> {
    const newest = new Map<number, PagePointer>()
    for (const page of await this.#allPages()) {
      const isLost = page.kind === kind && ranges.some(({ from, to }) => from <= page.owner && page.owner < to)
      if (isLost) newest.set(page.owner, page.pointer)
    }
    return newest
  }

  /** Gives out, in order of keys, what the newest leaves say of a range; but of no key that `state` has a change of. */
  async give(
    table: { kind: TableKind; owner: number } & Range,
    state: TableState | undefined,
    visit: RecordVisitor,
  ): Promise<void> {
    const { active, frozen } = state ?? {}
    if (active?.cleared || frozen?.cleared) return
    for (const { page: stored, from, to } of await this.#newestLeaves(table)) {
      const page = await readPlaced(this.#engine.cache, stored.pointer, table, ROOT_PLACE)
      if (!(page instanceof Page)) continue
      for (let at = page.lowerBound(from); at < page.count && page.key(at) < to; at++) {
        const key = page.key(at)
        const isChanged = active?.changes.get(key) !== undefined || frozen?.changes.get(key) !== undefined
        if (!isChanged) visit(key, page.record(at))
      }
      await this.#engine.clock.yield()
    }
  }

  /** Which leaf tells of which part of a range, in order. */
  async #newestLeaves(table: { kind: TableKind; owner: number } & Range): Promise<(Range & { page: StoredPage })[]> {
    const found: (Range & { page: StoredPage })[] = []
    const pages = await this.#allPages()
    for (let index = pages.length - 1; index >= 0; index--) {
      const page = pages[index]!
      if (page.kind !== table.kind || page.owner !== table.owner || page.firstKey >= table.to) continue
      const lastKey = await this.#lastKey(page)
      if (lastKey === null || lastKey < table.from) continue
      const range = { from: Math.max(page.firstKey, table.from), to: Math.min(lastKey + 1, table.to) }
      found.push(...withoutThose(range, found).map((part) => ({ ...part, page })))
      found.sort((a, b) => a.from - b.from)
    }
    return found
  }

  async #lastKey(stored: StoredPage): Promise<number | null> {
    if (stored.lastKey === undefined) {
      const page = await readPlaced(this.#engine.cache, stored.pointer, stored, ROOT_PLACE)
      stored.lastKey = page instanceof Page && page.level === 0 ? page.key(page.count - 1) : null
    }
    return stored.lastKey
  }

  /** All pages, oldest first. */
  #allPages(): Promise<StoredPage[]> {
    this.#pages ??= this.#readContents()
    return this.#pages
  }

  async #readContents(): Promise<StoredPage[]> {
    const pages: StoredPage[] = []
    for (const id of [...this.#root.pageSegments.keys()].sort((a, b) => a - b)) {
      const segment = id as SegmentId
      for (const { tableKind: kind, owner, key: firstKey, offset, lengthBytes, crc } of await this.#contentsOf(segment))
        pages.push({ kind, owner, firstKey, pointer: { segment, offset, storedBytes: lengthBytes, crc } })
    }
    return pages
  }

  async #contentsOf(id: SegmentId) {
    try {
      return await this.#engine.segments.readTable(id)
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      if (error.cause instanceof StoreError && error.cause.kind !== 'not-found') throw error
      // A segment that is gone, or whose contents are damaged, tells nothing: its pages in force are told of by the walk.
      return []
    }
  }
}

/** The parts of a range that none of `taken` (in order, apart) holds. */
function withoutThose({ from, to }: Range, taken: readonly Range[]): Range[] {
  const parts: Range[] = []
  for (const each of taken) {
    if (each.to <= from || each.from >= to) continue
    if (from < each.from) parts.push({ from, to: each.from })
    from = each.to
  }
  if (from < to) parts.push({ from, to })
  return parts
}
