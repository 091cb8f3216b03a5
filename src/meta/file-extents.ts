// The recorded extents of files: up to INLINE_EXTENTS_MAX in the inode, more in the table EXTENTS (key: file offset,
// record: data/'s extent codec). Once in the table they stay there until the file is truncated to 0.
//
// Must stay true: extents of a file never overlap; none is longer than EXTENT_MAX_BYTES (so the one that covers an offset
// begins at most that far before it); allocatedBytes is the sum of their lengths; usage changes with them.
//
// Work in one turn is bounded by what one generation changes, save for truncation of a file with very many extents.
import { ok as assert } from 'node:assert'
import { decodeRange, type Extent, encodeExtentRecord, replaceExtents, type StreamChanges } from '../data/index.ts'
import { type SegmentId, sliceRange } from '../segments/index.ts'
import type { Table, TableReader, Transaction } from '../tables/index.ts'
import { laterOf } from './attributes.ts'
import { INLINE_EXTENTS_MAX, type Inode } from './inode-record.ts'
import { EXTENTS } from './table-kinds.ts'
import type { UsageChanges } from './usage.ts'

/** No piece is longer: pieces fit a segment. */
export const EXTENT_MAX_BYTES = 64 * 1024 * 1024
const END = Number.MAX_SAFE_INTEGER

const endOf = (extent: Extent): number => extent.fileOffset + extent.range.lengthBytes

/** The recorded extents that overlap `[from, to)`, in order; they may reach beyond it. The first `limit` where they are many. */
export function extentsOf(
  reader: TableReader,
  inode: Inode,
  from: number,
  to: number,
  limit = Number.POSITIVE_INFINITY,
): Extent[] {
  if (inode.extents !== null) return inode.extents.filter((extent) => extent.fileOffset < to && endOf(extent) > from)
  const table = reader.table(EXTENTS, inode.ino)
  const found: Extent[] = []
  const before = extentBefore(table, from)
  if (before !== null && endOf(before) > from) found.push(before)
  table.scan(from, to - 1, (key, bytes, start) => {
    found.push({ fileOffset: key, range: decodeRange(bytes, start) })
    return found.length < limit
  })
  return found
}

/** The recorded extents that begin at or past `from`, at most `limit`. */
export function extentsFrom(reader: TableReader, inode: Inode, from: number, limit: number): Extent[] {
  if (inode.extents !== null) return inode.extents.filter(({ fileOffset }) => fileOffset >= from).slice(0, limit)
  const found: Extent[] = []
  reader.table(EXTENTS, inode.ino).scan(from, END, (key, bytes, start) => {
    found.push({ fileOffset: key, range: decodeRange(bytes, start) })
    return found.length < limit
  })
  return found
}

/** The last extent that begins before `offset`, if it can reach there. Tables scan forward only, so it is looked for in
 *  windows that grow. */
function extentBefore(table: Table, offset: number): Extent | null {
  let to = offset
  for (let window = 128 * 1024; to > 0 && offset - to < EXTENT_MAX_BYTES; window *= 16) {
    const from = Math.max(0, to - window)
    let lastKey = -1
    let last: Buffer | null = null
    let lastStart = 0
    table.scan(from, to - 1, (key, bytes, start) => {
      lastKey = key
      last = bytes
      lastStart = start
      return true
    })
    if (last !== null) return { fileOffset: lastKey, range: decodeRange(last, lastStart) }
    to = from
  }
  return null
}

/** A part of an extent: file range `[from, to)` of it. */
export function sliceExtent(extent: Extent, from: number, to: number): Extent {
  if (from === extent.fileOffset && to === endOf(extent)) return extent
  return { fileOffset: from, range: sliceRange(extent.range, from - extent.fileOffset, to - from) }
}

/** Records what a frozen generation changed: the stream half of `inode` (in place; the caller puts it), extents, usage. */
export function recordStream(
  reader: TableReader,
  transaction: Transaction,
  usage: UsageChanges,
  inode: Inode,
  changes: StreamChanges,
): void {
  const { attributes } = changes
  recordExtents(reader, transaction, usage, inode, changes)
  for (const segment of changes.sharedFrom ?? []) usage.share(segment, inode.ino)
  inode.sizeBytes = attributes.sizeBytes
  inode.mtime = attributes.mtime
  inode.ctime = laterOf(attributes.ctime, inode.ctime)
  if (attributes.atime !== null) inode.atime = attributes.atime
}

/** Takes what was truncated out of the recorded extents and puts the new ones in; changes `inode` in place. */
export function recordExtents(
  reader: TableReader,
  transaction: Transaction,
  usage: UsageChanges,
  inode: Inode,
  changes: Pick<StreamChanges, 'truncateTo' | 'extents' | 'holes'>,
): void {
  const { holes = [] } = changes
  if (changes.truncateTo === null && changes.extents.length === 0 && holes.length === 0) return
  const inTable = inode.extents === null
  const touched = inode.extents ?? touchedInTable(reader, inode, changes)
  const { removed, result } = replaceExtents(touched, changes)
  let end = 0
  for (const extent of changes.extents) {
    const { fileOffset, range } = extent
    assert(range.lengthBytes > 0 && range.lengthBytes <= EXTENT_MAX_BYTES)
    assert(fileOffset >= end, `extents of inode ${inode.ino} overlap at ${fileOffset}`)
    end = endOf(extent)
    usage.add(range.segment, range.lengthBytes)
    inode.allocatedBytes += range.lengthBytes
  }
  for (const range of removed) {
    usage.add(range.segment, -range.lengthBytes)
    inode.allocatedBytes -= range.lengthBytes
  }
  if (inTable && changes.truncateTo !== 0) {
    for (const extent of touched) transaction.delete(EXTENTS, inode.ino, extent.fileOffset)
    for (const extent of result) putExtent(transaction, inode.ino, extent)
    return
  }
  if (inTable || result.length > INLINE_EXTENTS_MAX) transaction.clear(EXTENTS, inode.ino)
  inode.extents = result.length > INLINE_EXTENTS_MAX ? null : result
  if (inode.extents === null) for (const extent of result) putExtent(transaction, inode.ino, extent)
}

/** Changes that begin so soon after each other are looked up by one scan: what it sees between them costs less than a scan
 *  of its own for each, of which `extentBefore` alone looks at as much. */
const NEAR_BYTES = 128 * 1024

/** Every recorded extent that the changes meet, once, in order. */
function touchedInTable(
  reader: TableReader,
  inode: Inode,
  { truncateTo, extents, holes = [] }: Pick<StreamChanges, 'truncateTo' | 'extents' | 'holes'>,
): Extent[] {
  const found: Extent[] = []
  const add = (extent: Extent) => {
    const last = found.at(-1)
    if (last === undefined || last.fileOffset < extent.fileOffset) found.push(extent)
  }
  let changed = extents.map((extent): [number, number] => [extent.fileOffset, endOf(extent)])
  for (const { fileOffset, lengthBytes } of holes) changed.push([fileOffset, fileOffset + lengthBytes])
  if (holes.length > 0) changed.sort((a, b) => a[0] - b[0])
  if (truncateTo !== null) changed = changed.filter(([from]) => from < truncateTo)
  const table = reader.table(EXTENTS, inode.ino)
  for (let first = 0; first < changed.length; ) {
    let next = first + 1
    while (next < changed.length && changed[next]![0] - changed[next - 1]![1] <= NEAR_BYTES) next++
    const from = changed[first]![0]
    const before = extentBefore(table, from)
    if (before !== null && endOf(before) > from) add(before)
    let at = first
    table.scan(from, changed[next - 1]![1] - 1, (key, bytes, start) => {
      while (changed[at]![1] <= key) at++
      const extent = { fileOffset: key, range: decodeRange(bytes, start) }
      if (changed[at]![0] < endOf(extent)) add(extent)
      return true
    })
    first = next
  }
  if (truncateTo !== null) for (const extent of extentsOf(reader, inode, truncateTo, END)) add(extent)
  return found
}

function putExtent(transaction: Transaction, ino: number, extent: Extent): void {
  transaction.put(EXTENTS, ino, extent.fileOffset, encodeExtentRecord(extent.range))
}

/** Drops up to `limit` extents of a file; returns whether none is left. Changes `inode` in place. */
export function dropExtents(
  reader: TableReader,
  transaction: Transaction,
  usage: UsageChanges,
  inode: Inode,
  limit: number,
): boolean {
  const dropped: Extent[] = []
  let more = false
  if (inode.extents !== null) {
    dropped.push(...inode.extents)
    inode.extents = []
  } else {
    reader.table(EXTENTS, inode.ino).scan(0, END, (key, bytes, start) => {
      more = dropped.length === limit
      if (!more) dropped.push({ fileOffset: key, range: decodeRange(bytes, start) })
      return !more
    })
    if (more) for (const extent of dropped) transaction.delete(EXTENTS, inode.ino, extent.fileOffset)
    else transaction.clear(EXTENTS, inode.ino)
  }
  for (const { range } of dropped) {
    usage.add(range.segment, -range.lengthBytes)
    inode.allocatedBytes -= range.lengthBytes
  }
  return !more
}

/** The recorded extents of `[from, to)` that lie in `segment`, cut to that range. */
export function extentsIn(reader: TableReader, inode: Inode, segment: SegmentId, from: number, to: number): Extent[] {
  return extentsOf(reader, inode, from, to)
    .filter((extent) => extent.range.segment === segment)
    .map((extent) => sliceExtent(extent, Math.max(from, extent.fileOffset), Math.min(to, endOf(extent))))
}
