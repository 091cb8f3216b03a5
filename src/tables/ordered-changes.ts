// An ordered map from number to record or tombstone: the changes of one table in one generation. Keys lie in sorted
// chunks, so that a lookup is two binary searches, an insertion moves at most a chunk, and a scan allocates nothing. The
// records themselves lie in the generation's arena; here is where, in arrays of plain numbers.
//
// Must stay true: keys are strictly increasing within a chunk and from chunk to chunk; no chunk is empty, save the only
// one of an empty map.
import type { RecordArena } from './record-arena.ts'

const CHUNK_MAX = 256
/** Chunks this short have no room to grow: there may be many, each the only one of a small table. */
const SHORT_CHUNK = 16
/** A record's place and length in one number below 2^53. */
const LENGTHS = 1 << 15
const TOMBSTONE = -1

interface Chunk {
  keys: number[]
  /** Place x LENGTHS + length, or TOMBSTONE. */
  records: number[]
}

/** What one entry takes beside its record: key, place, and room to grow. */
export const ENTRY_BYTES = 32
/** What a table with changes takes beside its entries: scripts/change-memory.mjs. */
export const TABLE_BYTES = 450

/** Index of the first of `keys` that is >= `key`; keys.length when there is none. */
export function lowerBound(keys: ArrayLike<number>, key: number): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as number) < key) low = middle + 1
    else high = middle
  }
  return low
}

export class OrderedChanges {
  readonly #arena: RecordArena
  #chunks: Chunk[] = [{ keys: [], records: [] }]
  #size = 0

  constructor(arena: RecordArena) {
    this.#arena = arena
  }

  get size(): number {
    return this.#size
  }

  /** The chunk that holds `key`, or where it would go: the last whose first key is <= key. */
  #chunkIndex(key: number): number {
    const chunks = this.#chunks
    let low = 1
    let high = chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((chunks[middle] as Chunk).keys[0]! <= key) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** The record, null for a tombstone, undefined when the key was not changed. A view, valid in this turn. */
  get(key: number): Buffer | null | undefined {
    const { keys, records } = this.#chunks[this.#chunkIndex(key)] as Chunk
    const at = lowerBound(keys, key)
    return keys[at] === key ? viewOf(this.#arena, records[at] as number) : undefined
  }

  /** Sets a record (copying it) or a tombstone. Returns whether the key is new here. */
  set(key: number, record: Uint8Array | null): boolean {
    const chunkIndex = this.#chunkIndex(key)
    const chunk = this.#chunks[chunkIndex] as Chunk
    const { keys, records } = chunk
    const last = keys.length - 1
    const at = last < 0 || (keys[last] as number) < key ? last + 1 : lowerBound(keys, key)
    if (keys[at] === key) {
      records[at] = this.#placed(record, records[at] as number)
      return false
    }
    const placed = this.#placed(record, TOMBSTONE)
    if (keys.length < SHORT_CHUNK) {
      chunk.keys = inserted(keys, at, key)
      chunk.records = inserted(records, at, placed)
    } else if (at === keys.length) {
      keys.push(key)
      records.push(placed)
    } else {
      keys.splice(at, 0, key)
      records.splice(at, 0, placed)
    }
    this.#size++
    if (keys.length > CHUNK_MAX) {
      // Appending in order leaves full chunks behind; elsewhere both halves get room.
      const keep = at === keys.length - 1 ? CHUNK_MAX : CHUNK_MAX >>> 1
      this.#chunks.splice(chunkIndex + 1, 0, { keys: keys.slice(keep), records: records.slice(keep) })
      // A copy has no room to grow.
      chunk.keys = keys.slice(0, keep)
      chunk.records = records.slice(0, keep)
    }
    return true
  }

  #placed(record: Uint8Array | null, before: number): number {
    if (record === null) return TOMBSTONE
    const arena = this.#arena
    const place =
      before === TOMBSTONE ? arena.add(record) : arena.replace(Math.floor(before / LENGTHS), before % LENGTHS, record)
    return place * LENGTHS + record.length
  }

  /** Visits entries with `from` <= key <= `to` in order, until the visitor returns false. The map must not change
   *  meanwhile. */
  scan(from: number, to: number, visit: (key: number, record: Buffer | null) => boolean): void {
    const cursor = this.cursor(from)
    while (cursor.key !== Number.POSITIVE_INFINITY && cursor.key <= to && visit(cursor.key, cursor.record))
      cursor.next()
  }

  /** A cursor on the first entry >= `from`. */
  cursor(from: number): ChangeCursor {
    const chunkIndex = this.#chunkIndex(from)
    const at = lowerBound((this.#chunks[chunkIndex] as Chunk).keys, from)
    return new ChangeCursor(this.#arena, this.#chunks, chunkIndex, at)
  }
}

/** Walks entries in order; `key` is Infinity past the end. Invalid once the map changes. */
export class ChangeCursor {
  key = Number.POSITIVE_INFINITY
  readonly #arena: RecordArena
  readonly #chunks: readonly Chunk[]
  #chunkIndex: number
  #at: number
  #placed = TOMBSTONE

  constructor(arena: RecordArena, chunks: readonly Chunk[], chunkIndex: number, at: number) {
    this.#arena = arena
    this.#chunks = chunks
    this.#chunkIndex = chunkIndex
    this.#at = at - 1
    this.next()
  }

  get isTombstone(): boolean {
    return this.#placed === TOMBSTONE
  }

  /** Null for a tombstone. */
  get record(): Buffer | null {
    return viewOf(this.#arena, this.#placed)
  }

  /** The record without a view of its own: `bytes[start, end)`. Not for tombstones. */
  get bytes(): Buffer {
    return this.#arena.slabOf(Math.floor(this.#placed / LENGTHS))
  }

  get start(): number {
    return this.#arena.startOf(Math.floor(this.#placed / LENGTHS))
  }

  get lengthBytes(): number {
    return this.#placed % LENGTHS
  }

  next(): void {
    this.#at++
    let chunk = this.#chunks[this.#chunkIndex]
    while (chunk !== undefined && this.#at >= chunk.keys.length) {
      this.#chunkIndex++
      this.#at = 0
      chunk = this.#chunks[this.#chunkIndex]
    }
    this.key = chunk === undefined ? Number.POSITIVE_INFINITY : (chunk.keys[this.#at] as number)
    this.#placed = chunk === undefined ? TOMBSTONE : (chunk.records[this.#at] as number)
  }
}

/** A copy with one more and no room for others. */
function inserted(values: readonly number[], at: number, value: number): number[] {
  const copy = values.concat([value])
  for (let index = values.length; index > at; index--) copy[index] = values[index - 1]!
  copy[at] = value
  return copy
}

function viewOf(arena: RecordArena, placed: number): Buffer | null {
  if (placed === TOMBSTONE) return null
  const place = Math.floor(placed / LENGTHS)
  const start = arena.startOf(place)
  return arena.slabOf(place).subarray(start, start + (placed % LENGTHS))
}
