// Live bytes of data segments, and who shares them (sharers.ts): every extent recorded adds its length, every extent dropped
// takes it away, in the same transaction. The record of a segment: u64 live bytes, u8 flags (bit 0: the id is of data that a
// commit carries).
//
// Must stay true: a row's count is the sum over all recorded extents that name its segment. A segment's row at 0 stays:
// it tells the cleaner that the segment can be deleted, and goes when it was. A commit's row goes at 0: a checkpoint
// asserts so before the commit is trimmed, but for damaged blocks, which are lost (repoint.ts).
import { ok as assert } from 'node:assert'
import { readU64, ruleHolds, writeU64 } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { Database, TableReader, Transaction } from '../tables/index.ts'
import { encodeSharers, sharersOf } from './sharers.ts'
import { SHARERS, USAGE } from './table-kinds.ts'

const IN_COMMIT = 1
/** Rows looked at in one turn. */
const ROWS_PER_TURN = 4096

/** What one transaction changes, collected: extents of many files may lie in one segment. */
export class UsageChanges {
  readonly #deltas = new Map<number, number>()
  readonly #sharers = new Map<SegmentId, Set<number>>()
  readonly #commitId: SegmentId | null

  /** `commitId`: the id of the data that the commit of this transaction carries. */
  constructor(commitId: SegmentId | null = null) {
    this.#commitId = commitId
  }

  add(segment: SegmentId, bytes: number): void {
    this.#deltas.set(segment, (this.#deltas.get(segment) ?? 0) + bytes)
  }

  /** The file refers to the segment elsewhere than its table of contents says. */
  share(segment: SegmentId, ino: number): void {
    const inos = this.#sharers.get(segment)
    if (inos === undefined) this.#sharers.set(segment, new Set([ino]))
    else inos.add(ino)
  }

  /** How many files will share the segment with this one. May fault. */
  sharersWith(reader: TableReader, segment: SegmentId, ino: number): number {
    return new Set([...sharersOf(reader, segment), ...(this.#sharers.get(segment) ?? []), ino]).size
  }

  /** Reads the rows (may fault) and puts the new ones; the last thing to do with a transaction. */
  putInto(reader: TableReader, transaction: Transaction): void {
    for (const [segment, inos] of this.#sharers) {
      const before = sharersOf(reader, segment)
      const all = [...new Set([...before, ...inos])]
      if (all.length > before.length) transaction.put(SHARERS, 0, segment, encodeSharers(all))
    }
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

export interface UsageRow {
  segment: SegmentId
  liveBytes: number
}

/** The rows of segments (not of what commits carry) from `from` on, at most `limit` rows looked at; `next`: where to go on,
 *  null at the end. May fault. */
function segmentUse(reader: TableReader, from: number, limit: number): { rows: UsageRow[]; next: number | null } {
  const rows: UsageRow[] = []
  let next: number | null = null
  let seen = 0
  reader.table(USAGE).scan(from, Number.MAX_SAFE_INTEGER, (key, bytes, start) => {
    if (seen++ === limit) {
      next = key
      return false
    }
    if (bytes[start + 8] === 0) rows.push({ segment: key as SegmentId, liveBytes: readU64(bytes, start) })
    return true
  })
  return { rows, next }
}

/** The rows of all segments, a bounded number a turn. */
export async function allSegmentUse(database: Database, yieldTurn = async () => {}): Promise<UsageRow[]> {
  const rows: UsageRow[] = []
  for (let from: number | null = 0; from !== null; ) {
    const at: number = from
    const found = await database.run(() => segmentUse(database, at, ROWS_PER_TURN))
    rows.push(...found.rows)
    from = found.next
    await yieldTurn()
  }
  return rows
}

/** Whether the state that a durable `root` names, with nothing recorded since, has no use for a segment. May fault. */
export function isDeadInRoot(reader: TableReader, segment: SegmentId): boolean {
  const table = reader.table(USAGE)
  if (table.getChanged(segment) !== undefined && ruleHolds('segments go after a root without them')) return false
  const row = table.get(segment)
  return row !== null && row[8] === 0 && readU64(row, 0) === 0
}

/** Takes the rows of deleted segments away. A synchronous operation for `run`. */
export function forgetSegments(database: Database, segments: readonly SegmentId[]): void {
  const table = database.table(USAGE)
  const transaction = database.transaction()
  for (const segment of segments) {
    const row = table.get(segment)
    if (row === null) continue
    assert(readU64(row, 0) === 0, `nothing came to name segment ${segment}, which was deleted`)
    transaction.delete(USAGE, 0, segment)
    if (database.table(SHARERS).get(segment) !== null) transaction.delete(SHARERS, 0, segment)
  }
  database.apply(transaction)
}

/** Whether a record names, or named, this segment, and it is none that a commit carries: then nobody but the cleaner deletes
 *  it. May fault. */
export function isNamedSegment(reader: TableReader, segment: SegmentId): boolean {
  // 0 stands for what is lost.
  if (segment === 0) return false
  const row = reader.table(USAGE).get(segment)
  return row !== null && (row[8]! & IN_COMMIT) === 0
}

/** Live bytes of a segment; null when no record ever named it. */
export function liveBytes(reader: TableReader, segment: SegmentId): number | null {
  const row = reader.table(USAGE).get(segment)
  return row === null ? null : readU64(row, 0)
}
