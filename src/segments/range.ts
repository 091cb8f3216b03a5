// Arithmetic of DataRange: cutting, joining, counting. Pure.
//
// Must stay true: a result's `skipBytes` is below BLOCK_BYTES, its `offset` a block's start, and its `pieceBytes` ends
// with the last block it touches (or with the piece): so what must be read to verify it is known from it alone.
import { FsError } from '../platform/index.ts'
import { STORED_BLOCK_BYTES, storedBytesOf } from './format.ts'
import { BLOCK_BYTES, type DataRange } from './segment-store.ts'

/** `lengthBytes` wanted bytes of `range` after its first `from`, normalised. */
export function sliceRange(range: DataRange, from: number, lengthBytes: number): DataRange {
  if (from < 0 || lengthBytes < 0 || from + lengthBytes > range.lengthBytes) {
    throw new FsError('EIO', `slice ${from}+${lengthBytes} of a range of ${range.lengthBytes} bytes`)
  }
  const begin = range.skipBytes + from
  const firstBlock = Math.floor(begin / BLOCK_BYTES)
  const endBlock = Math.max(firstBlock + 1, Math.ceil((begin + lengthBytes) / BLOCK_BYTES))
  return {
    segment: range.segment,
    offset: range.offset + firstBlock * STORED_BLOCK_BYTES,
    pieceBytes: Math.max(0, Math.min(range.pieceBytes, endBlock * BLOCK_BYTES) - firstBlock * BLOCK_BYTES),
    skipBytes: begin - firstBlock * BLOCK_BYTES,
    lengthBytes,
  }
}

/** One range for two that lie one behind the other in one segment; null when they do not. */
export function joinRanges(first: DataRange, second: DataRange): DataRange | null {
  if (first.segment !== second.segment) return null
  const end = first.skipBytes + first.lengthBytes
  const blocks = Math.floor(end / BLOCK_BYTES)
  const intoBlock = end - blocks * BLOCK_BYTES
  if (second.offset !== first.offset + blocks * STORED_BLOCK_BYTES || second.skipBytes !== intoBlock) return null
  const rest = Math.min(BLOCK_BYTES, first.pieceBytes - blocks * BLOCK_BYTES)
  if (intoBlock > 0 && rest !== Math.min(BLOCK_BYTES, second.pieceBytes)) return null
  return {
    segment: first.segment,
    offset: first.offset,
    pieceBytes: blocks * BLOCK_BYTES + second.pieceBytes,
    skipBytes: first.skipBytes,
    lengthBytes: first.lengthBytes + second.lengthBytes,
  }
}

/** One range for two of which the second begins within the first, and how far behind it; null when it does not. */
export function uniteRanges(first: DataRange, second: DataRange): { range: DataRange; distance: number } | null {
  if (first.segment !== second.segment) return null
  const blocks = (second.offset - first.offset) / STORED_BLOCK_BYTES
  const distance = blocks * BLOCK_BYTES + second.skipBytes - first.skipBytes
  // Between blocks of two pieces lies no whole number of blocks, or more than the first piece has.
  if (!Number.isInteger(blocks) || distance < 0 || distance >= first.lengthBytes) return null
  const range = {
    segment: first.segment,
    offset: first.offset,
    pieceBytes: Math.max(first.pieceBytes, blocks * BLOCK_BYTES + second.pieceBytes),
    skipBytes: first.skipBytes,
    lengthBytes: Math.max(first.lengthBytes, distance + second.lengthBytes),
  }
  return { range, distance }
}

/** How many bytes a range counts for in its segment's live bytes. */
export function liveBytesOf(range: DataRange): number {
  return range.lengthBytes
}

/** The stored bytes to be read for the wanted ones: whole blocks. Throws EIO for a range that cannot be. */
export function storedSpan(range: DataRange): { start: number; end: number } {
  const { offset, pieceBytes, skipBytes, lengthBytes } = range
  if (lengthBytes <= 0 || skipBytes < 0 || offset < 0 || skipBytes + lengthBytes > pieceBytes) {
    throw new FsError('EIO', `bad extent: ${JSON.stringify(range)}`)
  }
  const first = Math.floor(skipBytes / BLOCK_BYTES)
  const endBlock = Math.ceil((skipBytes + lengthBytes) / BLOCK_BYTES)
  const end = offset + Math.min(endBlock * STORED_BLOCK_BYTES, storedBytesOf(pieceBytes))
  return { start: offset + first * STORED_BLOCK_BYTES, end }
}
