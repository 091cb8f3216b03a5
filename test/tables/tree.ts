// One table as a tree of pages without an engine around it: written by TreeWriter, walked page by page, and judged.
import { expect } from 'vitest'
import { type Clock, seededRandom } from '../../src/platform/index.ts'
import type { PagePointer, SegmentId } from '../../src/segments/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { PAGE_TARGET_BYTES, Page, rawPageBytes } from '../../src/tables/page.ts'
import { PAGE_SMALL_AT_EDGE_BYTES, PAGE_SMALL_BYTES } from '../../src/tables/page-builder.ts'
import { PageCache } from '../../src/tables/page-cache.ts'
import type { PageSegmentUse } from '../../src/tables/root.ts'
import { TableChanges } from '../../src/tables/table-state.ts'
import { childPlace, type Place, ROOT_PLACE, readPlaced } from '../../src/tables/tree-reader.ts'
import { TreeWriter } from '../../src/tables/tree-writer.ts'
import { setUp, clock as stillClock } from './world.ts'

export class Tree {
  readonly segments
  readonly cache: PageCache
  readonly pageSegments = new Map<number, PageSegmentUse>()
  readonly table
  root: PagePointer | null = null
  #lastSegment = 0
  /** Of the last write. */
  pagesWritten = 0

  constructor(groupBits: number, segmentSizeBytes = 1 << 20) {
    this.table = { kind: 3, owner: 7, groupBits }
    this.segments = setUp({ random: seededRandom(1) }, createMemoryStore(), segmentSizeBytes, 64 << 20).segments
    this.cache = new PageCache(this.segments, 64 << 20)
  }

  async write(
    changed: TableChanges,
    { touched = [], clock = stillClock }: { touched?: readonly number[]; clock?: Clock } = {},
  ): Promise<TreeWriter> {
    const packer = this.segments.pagePacker(() => ++this.#lastSegment as SegmentId)
    const { cache, pageSegments } = this
    const segmentSizeBytes = this.segments.maxPieceBytes
    const writer = new TreeWriter({ cache, packer, pageSegments, clock, segmentSizeBytes })
    this.root = await writer.write(this.table, this.root, changed, touched)
    await packer.upload()
    this.pagesWritten = writer.pagesWritten
    return writer
  }

  /** Every page, depth first, parents after their children. */
  async pages(): Promise<{ page: Page; pointer: PagePointer }[]> {
    const found: { page: Page; pointer: PagePointer }[] = []
    const walk = async (pointer: PagePointer, place: Place): Promise<void> => {
      const page = await readPlaced(this.cache, pointer, this.table, place)
      if (!(page instanceof Page)) throw new Error(page.message)
      for (let at = 0; page.level > 0 && at < page.count; at++)
        await walk(page.pointer(at), childPlace(page, at, place))
      found.push({ page, pointer })
    }
    if (this.root !== null) await walk(this.root, ROOT_PLACE)
    return found
  }

  /** All entries, the record as a string of bytes. */
  async content(): Promise<Map<number, string>> {
    const content = new Map<number, string>()
    for (const { page } of await this.pages())
      for (let at = 0; page.level === 0 && at < page.count; at++)
        content.set(page.key(at), page.record(at).toString('latin1'))
    return content
  }
}

/** The tree is in shape: pages no larger than their target and a group of keys, none but the last of a level much less than
 *  half full, so that there are at most twice as many as are needed; no level with one page but the root's; no group in
 *  two leaves; segments counted by what of them is in the tree. */
export async function expectInShape(tree: Tree): Promise<void> {
  const pages = await tree.pages()
  const levels = new Map<number, Page[]>()
  for (const { page } of pages) levels.set(page.level, [...(levels.get(page.level) ?? []), page])
  const height = levels.size
  for (const [level, ofLevel] of levels) {
    const groupBits = level === 0 ? tree.table.groupBits : 0
    expect(ofLevel.length === 1, `level ${level} of ${height} has ${ofLevel.length} pages`).toBe(level === height - 1)
    expectFilled(ofLevel, groupBits)
  }
  const live = new Map<number, number>()
  for (const { pointer } of pages) live.set(pointer.segment, (live.get(pointer.segment) ?? 0) + pointer.storedBytes)
  for (const [id, { liveBytes }] of tree.pageSegments) expect(liveBytes, `segment ${id}`).toBe(live.get(id) ?? 0)
  for (const id of live.keys()) expect(tree.pageSegments.has(id)).toBe(true)
}

function expectFilled(pages: readonly Page[], groupBits: number): void {
  const group = (key: number) => Math.floor(key / 2 ** groupBits)
  let [largest, needed] = [0, 0]
  for (const page of pages) {
    let bytes = 0
    for (let at = 0; at < page.count; at++) {
      const entry = 12 + page.end(at) - page.start(at)
      bytes = at > 0 && group(page.key(at)) === group(page.key(at - 1)) ? bytes + entry : entry
      largest = Math.max(largest, bytes)
      needed += entry
    }
  }
  let before: Page | null = null
  for (const [index, page] of pages.entries()) {
    expect(page.bytes.length).toBeLessThanOrEqual(Math.max(PAGE_TARGET_BYTES, PAGE_SMALL_BYTES + largest))
    if (before !== null) expect(group(page.key(0)) > group(before.key(before.count - 1))).toBe(true)
    before = page
    if (pages.length === 1) continue
    const least = index < pages.length - 1 ? PAGE_SMALL_BYTES : PAGE_SMALL_AT_EDGE_BYTES
    expect(page.bytes.length, `page ${index} of ${pages.length}`).toBeGreaterThanOrEqual(least - largest)
  }
  const least = Math.ceil(needed / (PAGE_TARGET_BYTES - rawPageBytes(0, 0)))
  expect(pages.length).toBeLessThanOrEqual(Math.max(2 * least, 1))
}

/** Changes of these entries: a number is the length of a record that is put, null deletes. */
export function changesOf(entries: Iterable<readonly [number, number | null]>, cleared = false): TableChanges {
  const changed = new TableChanges()
  changed.cleared = cleared
  for (const [key, lengthBytes] of entries)
    changed.changes.set(key, lengthBytes === null ? null : recordOf(key, lengthBytes))
  return changed
}

export function recordOf(key: number, lengthBytes: number): Buffer {
  const record = Buffer.alloc(lengthBytes, key % 251)
  if (lengthBytes >= 8) record.writeDoubleLE(key, 0)
  return record
}
