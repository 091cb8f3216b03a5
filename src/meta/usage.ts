// Live bytes of data segments: every extent recorded adds its length, every extent dropped takes it away, in the same
// transaction. The record of a segment: u64 live bytes, u8 flags (bit 0: the id is of data that a commit carries).
//
// Must stay true: a row's count is the sum over all recorded extents that name its segment. A segment's row at 0 stays:
// it tells the cleaner that the segment can be deleted, and goes when it was. A commit's row goes at 0: a checkpoint
// asserts so before the commit is trimmed, but for damaged blocks, which are lost (repoint.ts).
import { ok as assert } from 'node:assert'
import { readU64, writeU64 } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { TableReader, Transaction } from '../tables/index.ts'
import { USAGE } from './table-kinds.ts'

const IN_COMMIT = 1

/** What one transaction changes, collected: extents of many files may lie in one segment. */
export class UsageChanges {
  readonly #deltas = new Map<number, number>()
  readonly #commitId: SegmentId | null

  /** `commitId`: the id of the data that the commit of this transaction carries. */
  constructor(commitId: SegmentId | null = null) {
    this.#commitId = commitId
  }

  add(segment: SegmentId, bytes: number): void {
    this.#deltas.set(segment, (this.#deltas.get(segment) ?? 0) + bytes)
  }

  /** Reads the rows (may fault) and puts the new ones; the last thing to do with a transaction. */
  putInto(reader: TableReader, transaction: Transaction): void {
    const table = reader.table(USAGE)
    for (const [segment, delta] of this.#deltas) {
      const row = table.get(segment)
      const flags = row === null ? (segment === this.#commitId ? IN_COMMIT : 0) : row[8]!
      const live = (row === null ? 0 : readU64(row, 0)) + delta
      assert(live >= 0, `live bytes of segment ${segment} fell below 0`)
      if (live === 0 && (flags & IN_COMMIT) !== 0) {
        transaction.delete(USAGE, 0, segment)
        continue
      }
      const record = Buffer.allocUnsafe(9)
      writeU64(record, 0, live)
      record[8] = flags
      transaction.put(USAGE, 0, segment, record)
    }
  }
}

/** Live bytes of all file data that is recorded: one row a segment is read. May fault. */
export function allLiveBytes(reader: TableReader): number {
  let sum = 0
  reader.table(USAGE).scan(0, Number.MAX_SAFE_INTEGER, (_, bytes, start) => {
    sum += readU64(bytes, start)
    return true
  })
  return sum
}

/** Live bytes of a segment; null when no record ever named it. */
export function liveBytes(reader: TableReader, segment: SegmentId): number | null {
  const row = reader.table(USAGE).get(segment)
  return row === null ? null : readU64(row, 0)
}
