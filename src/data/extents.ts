// Sorted lists of extents: replacing parts of them, and their bytes in records. Pure.
//
// One extent as a record of an extents table (key: the file offset), 24 bytes, little-endian, unsigned:
//    0   8  segment (or commit) id
//    8   4  offset of the first stored block
//   12   4  pieceBytes: raw bytes in the blocks from there on
//   16   2  skipBytes: below 32,768
//   18   2  0
//   20   4  lengthBytes: the wanted bytes after the skipped ones
// Inline in an inode: the file offset (8 bytes) in front, 32 bytes in all.
//
// Must stay true: lists are sorted by file offset and do not overlap.
import assert from 'node:assert'
import { type DataRange, joinRanges, type SegmentId, sliceRange } from '../segments/index.ts'
import type { Extent, FileRange, StreamChanges } from './stream.ts'

export const EXTENT_RECORD_BYTES = 24
export const INLINE_EXTENT_BYTES = 32
/** No segment: where a hole is put like an extent. */
const NOWHERE = -1 as SegmentId

/** What changes make of a list of recorded extents, and the parts of ranges that nothing refers to any more (each counts
 *  for its `lengthBytes` in its segment's live bytes; those of `changes.extents` come to live). */
export function replaceExtents(
  existing: readonly Extent[],
  changes: Pick<StreamChanges, 'truncateTo' | 'extents' | 'holes'>,
): { removed: DataRange[]; result: Extent[] } {
  const removed: DataRange[] = []
  const result: Extent[] = []
  const cutAt = changes.truncateTo ?? Number.POSITIVE_INFINITY
  const { holes = [] } = changes
  const added = holes.length === 0 ? changes.extents : withHoles(changes.extents, holes)
  // The additions before `next` lie before what is looked at.
  let next = 0
  for (const { fileOffset, range } of existing) {
    const end = fileOffset + range.lengthBytes
    const keptEnd = Math.max(fileOffset, Math.min(end, cutAt))
    let at = fileOffset
    while (at < keptEnd) {
      const addition = added[next]
      if (addition !== undefined && addition.fileOffset + addition.range.lengthBytes <= at) {
        result.push(addition)
        next += 1
        continue
      }
      const keepTo = addition === undefined ? keptEnd : Math.min(keptEnd, addition.fileOffset)
      if (keepTo > at) {
        result.push({ fileOffset: at, range: sliceRange(range, at - fileOffset, keepTo - at) })
        at = keepTo
        continue
      }
      const replacedTo = Math.min(keptEnd, addition!.fileOffset + addition!.range.lengthBytes)
      removed.push(sliceRange(range, at - fileOffset, replacedTo - at))
      at = replacedTo
    }
    if (keptEnd < end) removed.push(sliceRange(range, keptEnd - fileOffset, end - keptEnd))
  }
  for (; next < added.length; next++) result.push(added[next]!)
  return { removed, result: holes.length === 0 ? result : result.filter(({ range }) => range.segment !== NOWHERE) }
}

function withHoles(extents: readonly Extent[], holes: readonly FileRange[]): Extent[] {
  const nowhere = holes.map(({ fileOffset, lengthBytes }): Extent => {
    const range = { segment: NOWHERE, offset: 0, pieceBytes: lengthBytes, skipBytes: 0, lengthBytes }
    return { fileOffset, range }
  })
  return [...extents, ...nowhere].sort((a, b) => a.fileOffset - b.fileOffset)
}

/** Extents that continue each other, in the file and in a segment, as one. */
export function joinExtents(extents: readonly Extent[]): Extent[] {
  const joined: Extent[] = []
  for (const extent of extents) {
    const last = joined.at(-1)
    const follows = last !== undefined && last.fileOffset + last.range.lengthBytes === extent.fileOffset
    const range = follows ? joinRanges(last.range, extent.range) : null
    if (range === null) joined.push(extent)
    else joined[joined.length - 1] = { fileOffset: last!.fileOffset, range }
  }
  return joined
}

/** Writes the 24 bytes of `range` at `at`; returns what follows. */
export function encodeRange(range: DataRange, buffer: Buffer, at: number): number {
  assert(range.skipBytes < 32768 && range.skipBytes + range.lengthBytes <= range.pieceBytes)
  buffer.writeUInt32LE(range.segment % 4294967296, at)
  buffer.writeUInt32LE(Math.floor(range.segment / 4294967296), at + 4)
  buffer.writeUInt32LE(range.offset, at + 8)
  buffer.writeUInt32LE(range.pieceBytes, at + 12)
  buffer.writeUInt16LE(range.skipBytes, at + 16)
  buffer.writeUInt16LE(0, at + 18)
  return buffer.writeUInt32LE(range.lengthBytes, at + 20)
}

export function decodeRange(buffer: Buffer, at: number): DataRange {
  return {
    segment: (buffer.readUInt32LE(at + 4) * 4294967296 + buffer.readUInt32LE(at)) as SegmentId,
    offset: buffer.readUInt32LE(at + 8),
    pieceBytes: buffer.readUInt32LE(at + 12),
    skipBytes: buffer.readUInt16LE(at + 16),
    lengthBytes: buffer.readUInt32LE(at + 20),
  }
}

/** The record of an extents table. */
export function encodeExtentRecord(range: DataRange): Buffer {
  const record = Buffer.allocUnsafe(EXTENT_RECORD_BYTES)
  encodeRange(range, record, 0)
  return record
}

/** Writes the 32 bytes of an inline extent at `at`; returns what follows. */
export function encodeInlineExtent(extent: Extent, buffer: Buffer, at: number): number {
  buffer.writeUInt32LE(extent.fileOffset % 4294967296, at)
  buffer.writeUInt32LE(Math.floor(extent.fileOffset / 4294967296), at + 4)
  return encodeRange(extent.range, buffer, at + 8)
}

export function decodeInlineExtent(buffer: Buffer, at: number): Extent {
  const fileOffset = buffer.readUInt32LE(at + 4) * 4294967296 + buffer.readUInt32LE(at)
  return { fileOffset, range: decodeRange(buffer, at + 8) }
}
