// How entries are cut into pages, as they come.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildPage, PAGE_TARGET_BYTES, type Page, rawPageBytes } from '../../src/tables/page.ts'
import { PAGE_SMALL_AT_EDGE_BYTES, PAGE_SMALL_BYTES, PageBuilder } from '../../src/tables/page-builder.ts'

const table = { kind: 3, owner: 9, level: 0 }
const PAGE_EMPTY_BYTES = rawPageBytes(0, 0)

/** Cuts entries into pages; says how much was held at most. */
function cut(
  entries: readonly { key: number; lengthBytes: number }[],
  { groupBits, where }: { groupBits: number; where: 'inside' | 'at the edge' },
) {
  const pages: Page[] = []
  const builder = new PageBuilder((packed, count) => pages.push(buildPage(table, packed, count)))
  builder.reset(groupBits)
  let heldBytes = 0
  for (const { key, lengthBytes } of entries) {
    builder.add(key, Buffer.alloc(lengthBytes, key), 0, lengthBytes)
    heldBytes = Math.max(heldBytes, builder.heldBytes)
  }
  builder.finish(where)
  return { pages, heldBytes }
}

const entriesOfMany = fc
  .record({
    count: fc.integer({ min: 1, max: 6000 }),
    step: fc.integer({ min: 1, max: 3 }),
    lengths: fc.array(fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 4000 })), {
      minLength: 1,
      maxLength: 20,
    }),
  })
  .map(({ count, step, lengths }) =>
    Array.from({ length: count }, (_, index) => ({ key: index * step, lengthBytes: lengths[index % lengths.length]! })),
  )

const where = fc.constantFrom('inside' as const, 'at the edge' as const)

test('entries come out as they went in, in pages that fit and of which none is tiny', () => {
  fc.assert(
    fc.property(entriesOfMany, where, (entries, where) => {
      const { pages } = cut(entries, { groupBits: 0, where })
      const found = pages.flatMap((page) =>
        Array.from({ length: page.count }, (_, at) => ({ key: page.key(at), record: page.record(at) })),
      )
      expect(found.map(({ key }) => key)).toEqual(entries.map(({ key }) => key))
      for (const [index, { key, lengthBytes }] of entries.entries())
        expect(found[index]!.record.equals(Buffer.alloc(lengthBytes, key))).toBe(true)

      const longest = Math.max(...entries.map(({ lengthBytes }) => lengthBytes + 12))
      const small = where === 'inside' ? PAGE_SMALL_BYTES : PAGE_SMALL_AT_EDGE_BYTES
      for (const [index, { bytes }] of pages.entries()) {
        expect(bytes.length).toBeLessThanOrEqual(PAGE_TARGET_BYTES)
        const least = index < pages.length - 1 ? PAGE_SMALL_BYTES : small
        if (pages.length > 1) expect(bytes.length).toBeGreaterThanOrEqual(least - longest - PAGE_EMPTY_BYTES)
      }
    }),
    { numRuns: 40 },
  )
})

test('no page ends inside a group of keys, and groups larger than a page stay whole', () => {
  fc.assert(
    fc.property(entriesOfMany, fc.integer({ min: 1, max: 10 }), where, (entries, groupBits, where) => {
      const { pages } = cut(entries, { groupBits, where })
      const group = (key: number) => Math.floor(key / 2 ** groupBits)
      const groups = new Map<number, number>()
      for (const { key, lengthBytes } of entries)
        groups.set(group(key), (groups.get(group(key)) ?? 0) + 12 + lengthBytes)
      const largest = Math.max(...groups.values())
      for (const [index, page] of pages.entries()) {
        expect(page.bytes.length).toBeLessThanOrEqual(Math.max(PAGE_TARGET_BYTES, PAGE_SMALL_BYTES + largest))
        if (index > 0) expect(group(page.key(0))).not.toBe(group(pages[index - 1]!.key(pages[index - 1]!.count - 1)))
      }
    }),
    { numRuns: 40 },
  )
})

test('what is held does not grow with the number of entries', () => {
  const entries = Array.from({ length: 200_000 }, (_, key) => ({ key, lengthBytes: 100 }))
  const few = cut(entries.slice(0, 5000), { groupBits: 8, where: 'inside' })
  const many = cut(entries, { groupBits: 8, where: 'inside' })
  expect(many.pages.length).toBeGreaterThan(200)
  expect(many.heldBytes).toBe(few.heldBytes)
})

test('where keys ascend, all pages but the last two are full, and the last one grows next time', () => {
  let entries = [] as { key: number; lengthBytes: number }[]
  const written: Page[] = []
  for (let round = 0; round < 200; round++) {
    for (let index = 0; index < 100; index++) entries.push({ key: round * 100 + index, lengthBytes: 16 })
    const { pages } = cut(entries, { groupBits: 0, where: 'at the edge' })
    written.push(...pages.slice(0, -1))
    // The last page is what the next round begins with.
    const last = pages.at(-1) as Page
    entries = Array.from({ length: last.count }, (_, at) => ({ key: last.key(at), lengthBytes: 16 }))
  }
  const filled = written.reduce((sum, page) => sum + page.bytes.length, 0) / written.length
  expect(written.length).toBeGreaterThan(5)
  expect(filled).toBeGreaterThan(0.7 * PAGE_TARGET_BYTES)
})
