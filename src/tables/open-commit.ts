// The commit that is open: its records, encoded as they come, so that closing it costs no look at them. Closing takes its
// tables away, in one turn; they are put end to end in as many turns as that takes, as there may be many. Records of one table
// lie end to end in buffers outside the JavaScript heap, as they will in the commit; where that of a key lies is remembered
// in one hash table over all of them.
//
// Must stay true:
// - One record per key, the last: one of the same length is replaced where it lies, another leaves a gap, which is closed
//   when the commit is.
// - What `close` gave out is not written to again: what is put between two turns of its encoding is in the next commit.
import { ok as assert } from 'node:assert'
import { ruleHolds } from '../platform/index.ts'
import {
  RECORD_HEADER_BYTES,
  readRecordBytes,
  TABLE_HEADER_BYTES,
  writeRecord,
  writeTableHeader,
} from './commit-format.ts'
import { KeyIndex } from './key-index.ts'

/** A new directory's "." and its first name. */
const FIRST_CHUNK_BYTES = 128
const CHUNK_BYTES = 1 << 18
/** Chunks up to this size lie in one buffer with others: a buffer of its own takes 200 bytes more. */
const SHARED_BELOW_BYTES = 1 << 12
/** What a table takes beside its records, its chunk not full: scripts/change-memory.mjs. */
const TABLE_BYTES = 400
/** Pieces up to this size are copied together, so that a commit of many tables is not thousands of socket writes. */
const COPY_BELOW_BYTES = 1 << 15
/** Tables and pieces of them, about 5 ms of work. */
const PIECES_PER_TURN = 4096
/** A place in a table: the chunk, and where in it. */
const PLACES_PER_CHUNK = 1 << 20

/** `bytes[start, limit)`, of which `[start, end)` is taken. */
interface Chunk {
  bytes: Buffer
  start: number
  end: number
  limit: number
}

/** Gives out chunks; small ones from one buffer, which the next commit goes on with: were it new for each fsync, the collector
 *  would be called for it every thirty. */
class ChunkSource {
  #shared = Buffer.alloc(0)
  #taken = 0

  take(lengthBytes: number): Chunk {
    if (lengthBytes > SHARED_BELOW_BYTES)
      return { bytes: Buffer.allocUnsafeSlow(lengthBytes), start: 0, end: 0, limit: lengthBytes }
    if (this.#taken + lengthBytes > this.#shared.length) {
      this.#shared = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      this.#taken = 0
    }
    const start = this.#taken
    this.#taken += lengthBytes
    return { bytes: this.#shared, start, end: start, limit: this.#taken }
  }
}

class OpenTable {
  /** An array that is pushed to has room for many. */
  chunks: readonly Chunk[] = []
  /** Places of records that were replaced by others of another length. */
  gaps: number[] | null = null
  /** What those take. */
  gapBytes = 0
  cleared = false
  count = 0
  /** Without gaps. */
  recordBytes = 0

  constructor(
    readonly kind: number,
    readonly owner: number,
    /** Tells it from others in the index; another one once it was cleared. */
    readonly serial: number,
  ) {}

  /** Room for a record behind all others. */
  append(lengthBytes: number, source: ChunkSource): number {
    let chunk = this.chunks.at(-1)
    if (chunk === undefined || chunk.end + lengthBytes > chunk.limit) {
      const size = chunk === undefined ? FIRST_CHUNK_BYTES : Math.min(CHUNK_BYTES, (chunk.limit - chunk.start) * 2)
      chunk = source.take(Math.max(size, lengthBytes))
      this.chunks = [...this.chunks, chunk]
    }
    const place = (this.chunks.length - 1) * PLACES_PER_CHUNK + chunk.end
    chunk.end += lengthBytes
    this.count++
    this.recordBytes += lengthBytes
    return place
  }

  bufferOf(place: number): Buffer {
    return (this.chunks[Math.floor(place / PLACES_PER_CHUNK)] as Chunk).bytes
  }

  /** What lies between gaps, in order. */
  *pieces(): Generator<Piece> {
    const gaps = this.gaps === null ? NO_GAPS : Float64Array.from(this.gaps).sort()
    let next = 0
    for (const [index, chunk] of this.chunks.entries()) {
      const { bytes, end } = chunk
      let { start } = chunk
      for (; next < gaps.length && gaps[next]! < (index + 1) * PLACES_PER_CHUNK; next++) {
        const gap = gaps[next]! - index * PLACES_PER_CHUNK
        if (gap > start) yield { bytes, start, end: gap }
        start = gap + RECORD_HEADER_BYTES + readRecordBytes(bytes, gap)
      }
      if (end > start) yield { bytes, start, end }
    }
  }
}

/** `bytes[start, end)` */
interface Piece {
  bytes: Buffer
  start: number
  end: number
}

const NO_GAPS = new Float64Array(0)

/** The records of a commit, encoded: parts of an object. */
export interface EncodedRecords {
  parts: Buffer[]
  lengthBytes: number
}

/** The tables of a commit that is closed. */
export class ClosedRecords {
  readonly #tables: ReadonlyMap<number, ReadonlyMap<number, OpenTable>>

  constructor(
    tables: ReadonlyMap<number, ReadonlyMap<number, OpenTable>>,
    readonly lengthBytes: number,
  ) {
    this.#tables = tables
  }

  /** To be run once. Yields where others may have their turn: they find none of it changed. */
  *encode(): Generator<void, EncodedRecords> {
    const parts: Buffer[] = []
    let staging = Buffer.alloc(0)
    let [start, end] = [0, 0]
    const flush = () => {
      if (end > start) parts.push(staging.subarray(start, end))
      start = end
    }
    const reserve = (lengthBytes: number) => {
      if (end + lengthBytes <= staging.length) return
      flush()
      staging = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, this.lengthBytes))
      start = 0
      end = 0
    }
    let pieces = 0
    for (const owners of this.#tables.values()) {
      for (const table of owners.values()) {
        if (++pieces % PIECES_PER_TURN === 0) yield
        reserve(TABLE_HEADER_BYTES)
        writeTableHeader(staging, end, table)
        end += TABLE_HEADER_BYTES
        for (const piece of table.pieces()) {
          if (++pieces % PIECES_PER_TURN === 0) yield
          const lengthBytes = piece.end - piece.start
          if (lengthBytes > COPY_BELOW_BYTES) {
            flush()
            parts.push(piece.bytes.subarray(piece.start, piece.end))
            continue
          }
          reserve(lengthBytes)
          piece.bytes.copy(staging, end, piece.start, piece.end)
          end += lengthBytes
        }
      }
    }
    flush()
    const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0)
    assert(lengthBytes === this.lengthBytes, 'the records of a commit take what was counted')
    return { parts, lengthBytes }
  }
}

export class OpenCommit {
  /** By kind, then owner. */
  #tables = new Map<number, Map<number, OpenTable>>()
  readonly #index = new KeyIndex()
  readonly #chunkSource = new ChunkSource()
  #serial = 0
  #bytes = 0
  #gapBytes = 0
  #tableCount = 0

  /** What the records take. */
  get bytes(): number {
    return this.#bytes
  }

  /** About what they take in memory until the commit is closed, with those that they replaced. */
  get heldBytes(): number {
    return this.#bytes + this.#gapBytes + this.#tableCount * TABLE_BYTES
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0
  }

  /** A record, or null: the key is deleted. */
  put(kind: number, owner: number, key: number, record: Uint8Array | null, version: number): void {
    const table = this.#table(kind, owner)
    const lengthBytes = RECORD_HEADER_BYTES + (record?.length ?? 0)
    const before = this.#index.get(table.serial, key)
    if (before !== undefined) {
      if (!ruleHolds('a commit holds the last record of a key')) return
      const bytes = table.bufferOf(before)
      const start = before % PLACES_PER_CHUNK
      const bytesBefore = RECORD_HEADER_BYTES + readRecordBytes(bytes, start)
      if (bytesBefore === lengthBytes) {
        writeRecord(bytes, start, key, record, version)
        return
      }
      table.gaps ??= []
      table.gaps.push(before)
      table.count--
      table.recordBytes -= bytesBefore
      table.gapBytes += bytesBefore
      this.#bytes -= bytesBefore
      this.#gapBytes += bytesBefore
    }
    const place = table.append(lengthBytes, this.#chunkSource)
    writeRecord(table.bufferOf(place), place % PLACES_PER_CHUNK, key, record, version)
    this.#index.set(table.serial, key, place)
    this.#bytes += lengthBytes
  }

  /** The table holds nothing any more but what follows. */
  clear(kind: number, owner: number): void {
    let table = this.#table(kind, owner)
    if (ruleHolds('a clear stands before the records that follow it') && table.chunks.length > 0) {
      this.#bytes -= table.recordBytes
      this.#gapBytes -= table.gapBytes
      table = new OpenTable(kind, owner, ++this.#serial)
      this.#tables.get(kind)?.set(owner, table)
    }
    table.cleared = true
  }

  /** The records so far; then the next commit is open. */
  close(): ClosedRecords {
    const closed = new ClosedRecords(this.#tables, this.#bytes)
    this.#tables = new Map()
    this.#tableCount = 0
    this.#gapBytes = 0
    this.#index.clear()
    // Serials are compared within a commit.
    this.#serial = 0
    this.#bytes = 0
    return closed
  }

  #table(kind: number, owner: number): OpenTable {
    let owners = this.#tables.get(kind)
    if (owners === undefined) {
      owners = new Map()
      this.#tables.set(kind, owners)
    }
    let table = owners.get(owner)
    if (table === undefined) {
      table = new OpenTable(kind, owner, ++this.#serial)
      owners.set(owner, table)
      this.#bytes += TABLE_HEADER_BYTES
      this.#tableCount++
    }
    return table
  }
}
