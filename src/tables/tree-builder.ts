// Puts a tree together from left to right: entries for its leaves, and pages of an old tree that stay as they are, with all
// below them. Pages leave as they fill, each level's pointers become the entries of the level above it.
//
// Must stay true:
// - What is written has its neighbours' size: an old page that follows what would be a small page is opened, and joined
//   with it; at the end of a level the one before it is. This holds for leaves and inner pages alike, so that trees
//   shrink as they grow.
// - The root page is written last, anew even where it is an old page: the newest page of a table is its root page
//   (inspector.ts).
// - All but `finish` and what is awaited ends within the turn; what is held is bounded (page-builder.ts).
import { ok as assert } from 'node:assert'
import type { PagePointer } from '../segments/index.ts'
import { decodePointer, encodePointer, type Page, POINTER_BYTES } from './page.ts'
import { PAGE_SMALL_AT_EDGE_BYTES, PAGE_SMALL_BYTES, type PackedEntries, PageBuilder } from './page-builder.ts'

export interface TreePages {
  /** Writes a page of these entries. */
  write(level: number, entries: Readonly<PackedEntries>, count: number): PagePointer
  /** Writes a page as it is. */
  writeAgain(page: Page): PagePointer
  /** Reads an old page, to join it with others. Null when it cannot be read: it stays as it is. */
  load(pointer: PagePointer): Promise<Page | null>
  /** An old page that is not part of the tree any more. */
  drop(pointer: PagePointer): void
}

export class TreeBuilder {
  readonly #pages: TreePages
  readonly #levels: PageBuilder[] = []
  readonly #pointer = Buffer.alloc(POINTER_BYTES)
  #groupBits = 0
  #lastWritten: PagePointer | null = null

  constructor(pages: TreePages) {
    this.#pages = pages
  }

  /** Begins another table. */
  reset(groupBits: number): void {
    this.#groupBits = groupBits
    this.#lastWritten = null
    for (const [level, builder] of this.#levels.entries()) builder.reset(level === 0 ? groupBits : 0)
  }

  /** Bytes of entries in memory. */
  get heldBytes(): number {
    return this.#levels.reduce((sum, level) => sum + level.heldBytes, 0)
  }

  /** Where the entries of leaves go. */
  get leaves(): PageBuilder {
    return this.#level(0)
  }

  /** Takes an old page, with all below it, behind what came so far. When that must wait, resolves once it is taken. */
  pass(level: number, firstKey: number, pointer: PagePointer): Promise<void> | null {
    for (let below = 0; below <= level; below++) {
      const builder = this.#level(below)
      if (builder.isSmall(PAGE_SMALL_BYTES)) return this.#open(level, firstKey, pointer)
      builder.finish('inside')
    }
    this.#addPointer(level + 1, firstKey, pointer)
    return null
  }

  /** Opens a page, as what came before it is small. */
  async #open(level: number, firstKey: number, pointer: PagePointer): Promise<void> {
    const page = await this.#pages.load(pointer)
    if (page === null) {
      for (let below = 0; below <= level; below++) this.#level(below).finish('inside')
      this.#addPointer(level + 1, firstKey, pointer)
      return
    }
    assert(page.level === level, 'levels fall by one')
    this.#pages.drop(pointer)
    const isSmallBelow = this.#levels.some((builder, below) => below < level && builder.count > 0)
    if (!isSmallBelow) {
      this.#level(level).addRun(page, 0, page.count)
      return
    }
    for (let index = 0; index < page.count; index++) {
      const taken = this.pass(level - 1, page.key(index), page.pointer(index))
      if (taken !== null) await taken
    }
  }

  /** Ends the tree; resolves to where its root page lies, null when the tree is empty. */
  async finish(): Promise<PagePointer | null> {
    for (let level = 0; ; level++) {
      const builder = this.#level(level)
      while (builder.isSmall(PAGE_SMALL_AT_EDGE_BYTES)) {
        const previous = await this.#takePrevious(level)
        if (previous === null) break
        builder.prepend(previous)
      }
      if (!this.#isEmptyAbove(level)) {
        builder.finish('at the edge')
        continue
      }
      if (builder.count === 0) return null
      if (level > 0 && builder.count === 1) return this.#asRoot(decodePointer(builder.last.record, 0))
      builder.finish('at the edge')
    }
  }

  /** A page to join with what is small at the end of a level: the one before it, which is old. */
  async #takePrevious(level: number): Promise<Page | null> {
    const above = this.#level(level + 1)
    if (above.count === 0) {
      const page = this.#isEmptyAbove(level + 1) ? null : await this.#takePrevious(level + 1)
      if (page === null) return null
      above.prepend(page)
    }
    const pointer = decodePointer(above.last.record, 0)
    const page = await this.#pages.load(pointer)
    if (page === null) return null
    above.removeLast()
    this.#pages.drop(pointer)
    return page
  }

  /** The one page that is left: written anew when it is old, or what stands alone below it. */
  async #asRoot(pointer: PagePointer): Promise<PagePointer> {
    if (pointer.segment === this.#lastWritten?.segment && pointer.offset === this.#lastWritten.offset) return pointer
    for (;;) {
      const page = await this.#pages.load(pointer)
      if (page === null) return pointer
      this.#pages.drop(pointer)
      if (page.level === 0 || page.count > 1) return this.#pages.writeAgain(page)
      pointer = page.pointer(0)
    }
  }

  #isEmptyAbove(level: number): boolean {
    return this.#levels.every((builder, index) => index <= level || builder.count === 0)
  }

  #addPointer(level: number, firstKey: number, pointer: PagePointer): void {
    this.#level(level).add(firstKey, encodePointer(pointer, this.#pointer), 0, POINTER_BYTES)
  }

  #level(level: number): PageBuilder {
    let builder = this.#levels[level]
    if (builder === undefined) {
      builder = new PageBuilder((entries, count) => {
        this.#lastWritten = this.#pages.write(level, entries, count)
        this.#addPointer(level + 1, entries.keys[0]!, this.#lastWritten)
      })
      builder.reset(level === 0 ? this.#groupBits : 0)
      this.#levels[level] = builder
    }
    return builder
  }
}
