// Which files refer to a segment besides those in its table of contents, or elsewhere than it says: copies that share
// extents. The record in SHARERS: inos, u64 each.
//
// A copy shares what lies in a segment with fewer than SHARERS_MAX of them (vfs/copy.ts); the cleaner may bring together
// what a few more share, and streams that are unrecorded when a copy asks may each add one, so that a row is never longer
// than SHARERS_ROW_MAX.
//
// Must stay true: whoever records an extent that no entry of its segment's table of contents covers (owner, and the file
// offset within the entry's) adds the ino here in the same transaction (UsageChanges.share); else the cleaner cannot move
// it, and the segment stays. The reverse need not hold: files stay listed that refer to the segment no more, or that are
// gone. A row goes with its segment.
import { ok as assert } from 'node:assert'
import { readU64, writeU64 } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { TableReader } from '../tables/index.ts'
import { SHARERS } from './table-kinds.ts'

/** Files that share a segment, at most, so that one that is moved is found in bounded time. */
export const SHARERS_MAX = 1000
/** What fits a record. */
const SHARERS_ROW_MAX = 2048
const INO_BYTES = 8

/** The inos in the segment's row. May fault. */
export function sharersOf(reader: TableReader, segment: SegmentId): number[] {
  const row = reader.table(SHARERS).get(segment)
  if (row === null) return []
  return Array.from({ length: Math.floor(row.length / INO_BYTES) }, (_, index) => readU64(row, index * INO_BYTES))
}

export function encodeSharers(inos: readonly number[]): Buffer {
  assert(inos.length <= SHARERS_ROW_MAX, `${inos.length} files share a segment`)
  const record = Buffer.allocUnsafe(inos.length * INO_BYTES)
  for (const [index, ino] of inos.entries()) writeU64(record, index * INO_BYTES, ino)
  return record
}

/** All segments with a row, from `from` on, at most `limit`. May fault. */
export function sharedSegments(reader: TableReader, from: number, limit: number): SegmentId[] {
  const found: SegmentId[] = []
  reader.table(SHARERS).scan(from, Number.MAX_SAFE_INTEGER, (key) => {
    found.push(key as SegmentId)
    return found.length < limit
  })
  return found
}
