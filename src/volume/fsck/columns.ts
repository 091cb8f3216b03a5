// Growing columns of numbers: what a check remembers of ten million inodes, without an object for each.

/** A list of numbers; `Float64Array` for what may pass 2^32. */
export class Column {
  #values: Float64Array | Uint32Array
  length = 0

  constructor(kind: 'wide' | 'u32') {
    this.#values = kind === 'wide' ? new Float64Array(256) : new Uint32Array(256)
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const grown =
        this.#values instanceof Float64Array ? new Float64Array(this.length * 2) : new Uint32Array(this.length * 2)
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.length++] = value
  }

  get(index: number): number {
    return this.#values[index]!
  }

  set(index: number, value: number): void {
    this.#values[index] = value
  }

  /** Where `value` stands in a column that was pushed in rising order; -1: nowhere. */
  find(value: number): number {
    let low = 0
    let high = this.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const there = this.#values[middle]!
      if (there === value) return middle
      if (there < value) low = middle + 1
      else high = middle - 1
    }
    return -1
  }
}
