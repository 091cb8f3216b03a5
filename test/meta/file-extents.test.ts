// Recording into a table of many extents: what comes of looking only at those that the changes meet is what comes of looking
// at all of them.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRange, type Extent, replaceExtents } from '../../src/data/index.ts'
import { recordExtents } from '../../src/meta/file-extents.ts'
import { type Inode, UsageChanges } from '../../src/meta/index.ts'
import type { DataRange, SegmentId } from '../../src/segments/index.ts'
import type { TableReader, Transaction } from '../../src/tables/index.ts'

const PAGE = 4096
/** Pages from each other: neighbours, some that are looked up together, and some that are not. */
const gap = fc.oneof(fc.constant(0), fc.nat(3), fc.nat(31), fc.nat(100), fc.nat(5000))
const spans = (maxLength: number) =>
  fc.array(
    fc.record({
      gap,
      pages: fc.oneof(
        fc.constant(1),
        fc.nat(80).map((n) => n + 1),
      ),
    }),
    { maxLength },
  )

function extentsFrom(list: readonly { gap: number; pages: number }[], segment: number): Extent[] {
  let page = 0
  return list.map(({ gap, pages }, index): Extent => {
    const fileOffset = (page + gap) * PAGE
    page += gap + pages
    const lengthBytes = pages * PAGE
    // Of different segments, so that none continues another.
    const range: DataRange = {
      segment: (segment + index) as SegmentId,
      offset: 40,
      pieceBytes: lengthBytes,
      skipBytes: 0,
      lengthBytes,
    }
    return { fileOffset, range }
  })
}

/** A table that is a sorted Map. */
class Records {
  readonly records = new Map<number, Buffer>()
  readonly reader = { table: () => this } as unknown as TableReader
  readonly transaction = {
    put: (_kind: number, _owner: number, key: number, record: Buffer) => this.records.set(key, Buffer.from(record)),
    delete: (_kind: number, _owner: number, key: number) => this.records.delete(key),
    clear: () => this.records.clear(),
  } as unknown as Transaction

  scan(from: number, to: number, visit: (key: number, bytes: Buffer, start: number) => boolean): void {
    for (const [key, record] of [...this.records].sort((a, b) => a[0] - b[0]))
      if (key >= from && key <= to && !visit(key, record, 0)) return
  }

  get extents(): Extent[] {
    return [...this.records]
      .sort((a, b) => a[0] - b[0])
      .map(([key, record]) => ({ fileOffset: key, range: decodeRange(record, 0) }))
  }
}

test('changes of a table of extents leave what changes of a plain list do', () => {
  const change = fc.record({ extents: spans(25), truncateTo: fc.option(fc.nat(3000)), punched: fc.nat(4) })
  fc.assert(
    fc.property(spans(60), fc.array(change, { minLength: 1, maxLength: 4 }), (first, changes) => {
      const table = new Records()
      let expected = extentsFrom(first, 1000)
      const sum = (list: readonly Extent[]) => list.reduce((total, { range }) => total + range.lengthBytes, 0)
      const inode = { ino: 7, extents: null, allocatedBytes: sum(expected) } as unknown as Inode
      recordExtents(
        table.reader,
        table.transaction,
        new UsageChanges(),
        { ...inode, allocatedBytes: 0 },
        {
          truncateTo: null,
          extents: expected,
        },
      )
      for (const [nth, { extents, truncateTo, punched }] of changes.entries()) {
        const all = extentsFrom(extents, 2000 + 100 * nth)
        const holes = all
          .slice(0, punched)
          .map(({ fileOffset, range }) => ({ fileOffset, lengthBytes: range.lengthBytes }))
        const change = {
          truncateTo: truncateTo === null ? null : (truncateTo + 1) * PAGE,
          extents: all.slice(punched),
          holes,
        }
        expected = replaceExtents(expected, change).result
        recordExtents(table.reader, table.transaction, new UsageChanges(), inode, change)
        expect(table.extents).toEqual(expected)
        expect(inode.allocatedBytes).toBe(sum(expected))
      }
    }),
    { numRuns: 300 },
  )
})
