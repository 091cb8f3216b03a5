// RunMap: the dirty runs of a file, sorted by offset, without overlaps. Chunks of up to 256 runs: finding one costs two
// binary searches, inserting one moves at most a chunk, for any number of runs.
//
// It is used through its cursor: `seek`, then `current`, `next`, `insert`, `remove`. Knows nothing of what runs hold.
//
// Must stay true: no chunk is empty; starts ascend; start + length of a run is at most the next one's start.

export interface Span {
  start: number
  length: number
}

const CHUNK_RUNS = 256

export class RunMap<R extends Span> {
  #chunks: R[][] = []
  /** The cursor: a run, or the end (`#chunk` is the number of chunks). */
  #chunk = 0
  #index = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The run that reaches furthest. */
  get last(): R | undefined {
    return this.#chunks.at(-1)?.at(-1)
  }

  /** Puts the cursor on the first run that ends after `offset`. */
  seek(offset: number): R | undefined {
    const chunks = this.#chunks
    let low = 0
    let high = chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (chunks[middle]![0]!.start <= offset) low = middle + 1
      else high = middle
    }
    if (low === 0) {
      this.#chunk = 0
      this.#index = 0
      return this.current
    }
    const chunk = chunks[low - 1]!
    this.#chunk = low - 1
    low = 0
    high = chunk.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (chunk[middle]!.start <= offset) low = middle + 1
      else high = middle
    }
    this.#index = low - 1
    const run = chunk[this.#index]!
    return run.start + run.length > offset ? run : this.next()
  }

  get current(): R | undefined {
    return this.#chunks[this.#chunk]?.[this.#index]
  }

  /** The run before the cursor. */
  get previous(): R | undefined {
    if (this.#index > 0) return this.#chunks[this.#chunk]?.[this.#index - 1]
    return this.#chunks[this.#chunk - 1]?.at(-1)
  }

  /** Moves the cursor on. */
  next(): R | undefined {
    this.#index += 1
    if (this.#index >= (this.#chunks[this.#chunk]?.length ?? 0)) {
      this.#chunk = Math.min(this.#chunk + 1, this.#chunks.length)
      this.#index = 0
    }
    return this.current
  }

  /** Inserts before the cursor, which stays on the run it was on. */
  insert(run: R): void {
    this.#size += 1
    if (this.#index === 0 && this.#chunk > 0) {
      // To the end of the chunk before, so that appending fills chunks.
      this.#chunk -= 1
      this.#index = this.#chunks[this.#chunk]!.length
    }
    let chunk = this.#chunks[this.#chunk]
    if (chunk === undefined) {
      chunk = []
      this.#chunks.splice(this.#chunk, 0, chunk)
    } else if (chunk.length >= CHUNK_RUNS) {
      const atEnd = this.#index === chunk.length
      const right = chunk.splice(atEnd ? chunk.length : chunk.length >>> 1)
      this.#chunks.splice(this.#chunk + 1, 0, right)
      if (atEnd || this.#index > chunk.length) {
        this.#index -= chunk.length
        this.#chunk += 1
        chunk = right
      }
    }
    chunk.splice(this.#index, 0, run)
    this.next()
  }

  /** Takes the run at the cursor out; the cursor is then on the one after it. */
  remove(): void {
    const chunk = this.#chunks[this.#chunk]
    if (chunk === undefined) return
    this.#size -= 1
    chunk.splice(this.#index, 1)
    if (chunk.length === 0) {
      this.#chunks.splice(this.#chunk, 1)
      this.#index = 0
    } else if (this.#index >= chunk.length) {
      this.#chunk += 1
      this.#index = 0
    }
  }

  /** All runs in order; the map must not change meanwhile. */
  *[Symbol.iterator](): Generator<R> {
    for (const chunk of this.#chunks) yield* chunk
  }

  clear(): void {
    this.#chunks = []
    this.#chunk = 0
    this.#index = 0
    this.#size = 0
  }
}
