// Which files refer to a segment besides those in its table of contents, or elsewhere than it says: copies that share
// extents. The record in SHARERS: inos, u64 each, at most 1,000.
//
// Must stay true: whoever records an extent that no entry of its segment's table of contents covers (owner, and the file
// offset within the entry's) adds the ino here in the same transaction; else the cleaner cannot move it, and the segment
// stays.
import { readU64 } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { TableReader } from '../tables/index.ts'
import { SHARERS } from './table-kinds.ts'

const INO_BYTES = 8

/** The inos in the segment's row. May fault. */
export function sharersOf(reader: TableReader, segment: SegmentId): number[] {
  const row = reader.table(SHARERS).get(segment)
  if (row === null) return []
  return Array.from({ length: Math.floor(row.length / INO_BYTES) }, (_, index) => readU64(row, index * INO_BYTES))
}
