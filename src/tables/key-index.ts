// From a table and a key to a place, all numbers: open addressing in typed arrays, which the garbage collector does not look
// into.
//
// Must stay true: never more than half full, so that a search ends; a table's serial is never 0, which marks what is free.
const FIRST_CAPACITY = 1024
/** A larger one is given back when it is cleared. */
const KEPT_CAPACITY = 1 << 18

export class KeyIndex {
  #tables = new Uint32Array(FIRST_CAPACITY)
  #keys = new Float64Array(FIRST_CAPACITY)
  #places = new Float64Array(FIRST_CAPACITY)
  #count = 0

  get(table: number, key: number): number | undefined {
    const at = this.#find(table, key)
    return this.#tables[at] === 0 ? undefined : this.#places[at]
  }

  set(table: number, key: number, place: number): void {
    let at = this.#find(table, key)
    if (this.#tables[at] === 0) {
      if (++this.#count * 2 > this.#tables.length) {
        this.#grow()
        at = this.#find(table, key)
      }
      this.#tables[at] = table
      this.#keys[at] = key
    }
    this.#places[at] = place
  }

  clear(): void {
    if (this.#tables.length <= KEPT_CAPACITY) this.#tables.fill(0)
    else this.#allocate(FIRST_CAPACITY)
    this.#count = 0
  }

  /** Where an entry stands, or could. */
  #find(table: number, key: number): number {
    const mask = this.#tables.length - 1
    let at = hash(table, key) & mask
    while (this.#tables[at] !== 0 && (this.#tables[at] !== table || this.#keys[at] !== key)) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [tables, keys, places] = [this.#tables, this.#keys, this.#places]
    this.#allocate(tables.length * 2)
    for (let from = 0; from < tables.length; from++) {
      if (tables[from] === 0) continue
      const at = this.#find(tables[from]!, keys[from]!)
      this.#tables[at] = tables[from]!
      this.#keys[at] = keys[from]!
      this.#places[at] = places[from]!
    }
  }

  #allocate(capacity: number): void {
    this.#tables = new Uint32Array(capacity)
    this.#keys = new Float64Array(capacity)
    this.#places = new Float64Array(capacity)
  }
}

/** All bits of both numbers spread over 32. */
function hash(table: number, key: number): number {
  const high = Math.floor(key / 2 ** 32)
  let bits = Math.imul(key >>> 0, 0x9e3779b1) ^ Math.imul(high, 0x85ebca77) ^ Math.imul(table, 0xc2b2ae3d)
  bits = Math.imul(bits ^ (bits >>> 16), 0x2c1b3c6d)
  return bits ^ (bits >>> 15)
}
