// The pure parts of data/: run map, spans, extents and their bytes.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Generation } from '../../src/data/generation.ts'
import {
  decodeInlineExtent,
  decodeRange,
  EXTENT_RECORD_BYTES,
  type Extent,
  encodeExtentRecord,
  encodeInlineExtent,
  INLINE_EXTENT_BYTES,
  replaceExtents,
} from '../../src/data/index.ts'
import { RunMap, type Span } from '../../src/data/run-map.ts'
import { SequentialSpans } from '../../src/data/sequential-spans.ts'
import { SLAB_BYTES, SlabPool } from '../../src/data/slab.ts'
import { BLOCK_BYTES, type DataRange, joinRanges, type SegmentId } from '../../src/segments/index.ts'

describe('RunMap', () => {
  test('does what a sorted array does', () => {
    const step = fc.record({ start: fc.nat(3000), remove: fc.integer({ min: 0, max: 3 }) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 1500, size: 'max' }), (steps) => {
        const map = new RunMap<Span>()
        let wanted: Span[] = []
        for (const { start, remove } of steps) {
          const current = map.seek(start)
          const index = wanted.findIndex((run) => run.start + run.length > start)
          expect(current).toBe(wanted[index])
          expect(map.previous).toBe(index < 0 ? wanted.at(-1) : wanted[index - 1])
          if (remove === 0 && current !== undefined) {
            map.remove()
            wanted.splice(index, 1)
            expect(map.current).toBe(wanted[index])
          } else if (current === undefined || current.start > start) {
            const run = { start, length: 1 }
            map.insert(run)
            wanted.splice(index < 0 ? wanted.length : index, 0, run)
            expect(map.current).toBe(current)
          }
        }
        expect([...map]).toEqual(wanted)
        expect(map.size).toBe(wanted.length)
        expect(map.last).toBe(wanted.at(-1))
        map.clear()
        wanted = []
        expect(map.seek(0)).toBeUndefined()
      }),
      { numRuns: 30 },
    )
  })
})

describe('Generation', () => {
  test('a piece can be carved out of the middle of a run', () => {
    const pool = new SlabPool({ keepBytes: SLAB_BYTES })
    let dirty = 0
    const hooks = {
      pool,
      onDirty: (delta: number) => {
        dirty += delta
      },
      onStored: () => {},
      onShared: () => {},
      onUnnamed: () => {},
    }
    const generation = new Generation(hooks)
    generation.write(0, Buffer.from('abcdefghij'))
    const piece = generation.carve(3, 4)
    expect(Buffer.concat(piece.parts).toString()).toBe('defg')
    generation.write(4, Buffer.from('XY'))
    expect([...generation.runs].map((run) => [run.start, run.length, run.piece !== null])).toEqual([
      [0, 3, false],
      [3, 1, true],
      [4, 2, false],
      [6, 1, true],
      [7, 3, false],
    ])
    expect(Buffer.concat(piece.parts).toString()).toBe('defg')
    generation.returnToMemory(piece)
    expect(dirty).toBe(10)
    const [first] = generation.runs
    const { slab } = first!.region!
    generation.release({ named: false, poison: false })
    expect(dirty).toBe(0)
    expect(slab.holders).toBe(0)
  })
})

describe('SequentialSpans', () => {
  test('tells of the span written last, once it is long enough', () => {
    const spans = new SequentialSpans()
    spans.add(0, 10)
    spans.add(20, 30)
    expect(spans.take(11)).toBeNull()
    spans.add(10, 20)
    expect(spans.take(11)).toBe(0)
    expect(spans.take(11)).toBe(11)
    expect(spans.take(9)).toBeNull()
    spans.cut(25)
    expect(spans.take(4)).toBeNull()
    expect(spans.take(3)).toBe(22)
    for (let i = 0; i < 20; i++) spans.add(i * 100, i * 100 + 10)
    spans.add(10, 20)
    expect(spans.take(20)).toBeNull()
    expect(spans.take(10)).toBe(10)
  })
})

describe('extents', () => {
  const range = (segment: number, lengthBytes: number): DataRange => ({
    segment: segment as SegmentId,
    offset: 40,
    pieceBytes: lengthBytes,
    skipBytes: 0,
    lengthBytes,
  })

  test('replacing cuts what is there, and tells what goes', () => {
    const existing: Extent[] = [
      { fileOffset: 0, range: range(1, 100) },
      { fileOffset: 100, range: range(2, 100) },
      { fileOffset: 500, range: range(3, 100) },
    ]
    const { removed, result } = replaceExtents(existing, {
      truncateTo: 550,
      extents: [
        { fileOffset: 20, range: range(4, 10) },
        { fileOffset: 90, range: range(5, 110) },
        { fileOffset: 540, range: range(6, 100) },
      ],
    })
    expect(
      result.map(({ fileOffset, range }) => [fileOffset, range.segment, range.skipBytes, range.lengthBytes]),
    ).toEqual([
      [0, 1, 0, 20],
      [20, 4, 0, 10],
      [30, 1, 30, 60],
      [90, 5, 0, 110],
      [500, 3, 0, 40],
      [540, 6, 0, 100],
    ])
    expect(removed.map(({ segment, skipBytes, lengthBytes }) => [segment, skipBytes, lengthBytes])).toEqual([
      [1, 20, 10],
      [1, 90, 10],
      [2, 0, 100],
      [3, 40, 10],
      [3, 50, 50],
    ])
  })

  test('records keep every field', () => {
    const arbitraryRange = fc
      .record({
        segment: fc.maxSafeNat(),
        offset: fc.nat(0xffffffff),
        pieceBytes: fc.integer({ min: BLOCK_BYTES, max: 0xffffffff }),
        skipBytes: fc.nat(BLOCK_BYTES - 1),
      })
      .map((r): DataRange => ({ ...r, segment: r.segment as SegmentId, lengthBytes: r.pieceBytes - r.skipBytes }))
    fc.assert(
      fc.property(arbitraryRange, fc.maxSafeNat(), (range, fileOffset) => {
        const record = encodeExtentRecord(range)
        expect(record.length).toBe(EXTENT_RECORD_BYTES)
        expect(decodeRange(record, 0)).toEqual(range)
        const inline = Buffer.alloc(INLINE_EXTENT_BYTES + 3)
        expect(encodeInlineExtent({ fileOffset, range }, inline, 3)).toBe(INLINE_EXTENT_BYTES + 3)
        expect(decodeInlineExtent(inline, 3)).toEqual({ fileOffset, range })
      }),
    )
  })

  test('ranges that disagree on the block they share do not join', () => {
    const first = { ...range(1, 200), lengthBytes: 100 }
    expect(joinRanges(first, { ...range(1, 150), skipBytes: 100, lengthBytes: 50 })).toBeNull()
    expect(joinRanges(first, { ...range(1, 200), skipBytes: 100, lengthBytes: 100 })).not.toBeNull()
  })
})
