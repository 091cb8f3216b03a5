// An ordered map from number to record or tombstone: the changes of one table in one generation. Keys lie in sorted
// chunks, so that a lookup is two binary searches, an insertion moves at most a chunk, and a scan allocates nothing.
//
// Must stay true: keys are strictly increasing within a chunk and from chunk to chunk; no chunk is empty, save the only
// one of an empty map. (Arenas outside the JS heap come with the directories' issue, behind this interface.)
const CHUNK_MAX = 256

interface Chunk {
  keys: number[]
  records: (Buffer | null)[]
}

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
  #chunks: Chunk[] = [{ keys: [], records: [] }]
  #size = 0

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

  /** The record, null for a tombstone, undefined when the key was not changed. */
  get(key: number): Buffer | null | undefined {
    const chunk = this.#chunks[this.#chunkIndex(key)] as Chunk
    const at = lowerBound(chunk.keys, key)
    return chunk.keys[at] === key ? chunk.records[at] : undefined
  }

  /** Sets a record or a tombstone; returns what was there before, as `get` would have. */
  set(key: number, record: Buffer | null): Buffer | null | undefined {
    const chunkIndex = this.#chunkIndex(key)
    const chunk = this.#chunks[chunkIndex] as Chunk
    const { keys, records } = chunk
    const last = keys.length - 1
    const at = last < 0 || (keys[last] as number) < key ? last + 1 : lowerBound(keys, key)
    if (keys[at] === key) {
      const before = records[at]
      records[at] = record
      return before
    }
    if (at === keys.length) {
      keys.push(key)
      records.push(record)
    } else {
      keys.splice(at, 0, key)
      records.splice(at, 0, record)
    }
    this.#size++
    if (keys.length > CHUNK_MAX) {
      // Appending in order leaves full chunks behind; elsewhere both halves get room.
      const keep = at === keys.length - 1 ? CHUNK_MAX : CHUNK_MAX >>> 1
      this.#chunks.splice(chunkIndex + 1, 0, { keys: keys.splice(keep), records: records.splice(keep) })
    }
    return undefined
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
    return new ChangeCursor(this.#chunks, chunkIndex, lowerBound((this.#chunks[chunkIndex] as Chunk).keys, from))
  }
}

/** Walks entries in order; `key` is Infinity past the end. Invalid once the map changes. */
export class ChangeCursor {
  key = Number.POSITIVE_INFINITY
  record: Buffer | null = null
  #chunks: readonly Chunk[]
  #chunkIndex: number
  #at: number

  constructor(chunks: readonly Chunk[], chunkIndex: number, at: number) {
    this.#chunks = chunks
    this.#chunkIndex = chunkIndex
    this.#at = at - 1
    this.next()
  }

  next(): void {
    this.#at++
    let chunk = this.#chunks[this.#chunkIndex]
    while (chunk !== undefined && this.#at >= chunk.keys.length) {
      this.#chunkIndex++
      this.#at = 0
      chunk = this.#chunks[this.#chunkIndex]
    }
    if (chunk === undefined) {
      this.key = Number.POSITIVE_INFINITY
      this.record = null
    } else {
      this.key = chunk.keys[this.#at] as number
      this.record = chunk.records[this.#at] as Buffer | null
    }
  }
}
