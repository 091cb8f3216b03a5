// Writing a tree again around a page that is left out.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import type { PagePointer, SegmentId } from '../../src/segments/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { Page } from '../../src/tables/page.ts'
import { PageCache } from '../../src/tables/page-cache.ts'
import type { PageSegmentUse } from '../../src/tables/root.ts'
import { TableChanges } from '../../src/tables/table-state.ts'
import { childPlace, ROOT_PLACE, readPlaced } from '../../src/tables/tree-reader.ts'
import { TreeWriter } from '../../src/tables/tree-writer.ts'
import { clock, setUp } from './world.ts'

test('changes in the range of an inner page that is left out lie on the level of its neighbours', async () => {
  const { segments } = setUp({ random: seededRandom(1) }, createMemoryStore())
  const cache = new PageCache(segments, 1 << 30)
  const pageSegments = new Map<number, PageSegmentUse>()
  const table = { kind: 3, owner: 0, groupBits: 0 }
  let id = 1
  const packer = segments.pagePacker(() => id++ as SegmentId)
  const record = Buffer.alloc(16_384, 'x')
  const all = new TableChanges()
  for (let key = 0; key < 9000; key++) all.changes.set(key * 2, record)
  const before = await new TreeWriter({ cache, packer, pageSegments, clock }).write(table, null, all)
  const top = await cache.load(before as PagePointer, table)
  expect([top.level, top.count]).toEqual([2, 2])

  const lost = top.pointer(0)
  const read = async (pointer: PagePointer) =>
    pointer.offset === lost.offset && pointer.segment === lost.segment ? null : cache.load(pointer, table)
  const changed = new TableChanges()
  changed.changes.set(1, record)
  changed.changes.set(3, record)
  const after = await new TreeWriter({ cache, packer, pageSegments, clock, read }).write(table, before, changed)
  await packer.upload()

  const keys: number[] = []
  let liveBytes = 0
  const walk = async (pointer: PagePointer, place = ROOT_PLACE): Promise<void> => {
    const page = await readPlaced(cache, pointer, table, place)
    expect(page).toBeInstanceOf(Page)
    if (!(page instanceof Page)) return
    liveBytes += pointer.storedBytes
    for (let at = 0; at < page.count; at++) {
      if (page.level === 0) keys.push(page.key(at))
      else await walk(page.pointer(at), childPlace(page, at, place))
    }
  }
  await walk(after as PagePointer)
  const kept = Array.from({ length: 9000 }, (_, key) => key * 2).filter((key) => key >= top.key(1))
  expect(keys).toEqual([1, 3, ...kept])
  // All below the page left out is still counted: nobody could say what it was.
  let counted = 0
  for (const use of pageSegments.values()) counted += use.liveBytes
  expect(counted).toBeGreaterThan(liveBytes)
})
