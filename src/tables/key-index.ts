// From a table and a key to a place, all numbers: open addressing in typed arrays, which the garbage collector does not look
// into.
//
// It grows by steps: each `set` moves a few slots into arrays twice as large, so that no turn moves them all.
//
// Must stay true: never more than half full, so that a search ends; a table's serial is never 0, which marks what is free.
// While it grows an entry is in the new slots, or else in the old ones; both are searched in this order.
import { ok as assert } from 'node:assert'

const FIRST_CAPACITY = 1024
/** A larger one is given back when it is cleared. */
const KEPT_CAPACITY = 1 << 18
/** Old slots that a `set` looks at: from 4 on all are moved before the new ones are half full. */
const MOVED_PER_SET = 8

class Slots {
  readonly tables: Uint32Array
  readonly keys: Float64Array
  readonly places: Float64Array

  constructor(readonly capacity: number) {
    this.tables = new Uint32Array(capacity)
    this.keys = new Float64Array(capacity)
    this.places = new Float64Array(capacity)
  }

  /** Where an entry stands, or could. */
  find(table: number, key: number): number {
    const mask = this.capacity - 1
    let at = hash(table, key) & mask
    while (this.tables[at] !== 0 && (this.tables[at] !== table || this.keys[at] !== key)) at = (at + 1) & mask
    return at
  }

  isFree(at: number): boolean {
    return this.tables[at] === 0
  }

  fill(at: number, table: number, key: number, place: number): void {
    this.tables[at] = table
    this.keys[at] = key
    this.places[at] = place
  }
}

export class KeyIndex {
  #slots = new Slots(FIRST_CAPACITY)
  /** Those before it grew, while they are being moved. */
  #old: Slots | null = null
  #nextToMove = 0
  #count = 0
  #moved = 0

  /** Entries that were moved as it grew, so far. */
  get moved(): number {
    return this.#moved
  }

  get(table: number, key: number): number | undefined {
    return lookUp(this.#slots, table, key) ?? (this.#old === null ? undefined : lookUp(this.#old, table, key))
  }

  set(table: number, key: number, place: number): void {
    if (this.#old !== null) this.#move(this.#old)
    const at = this.#slots.find(table, key)
    const isNew = this.#slots.isFree(at) && (this.#old === null || lookUp(this.#old, table, key) === undefined)
    if (isNew && ++this.#count * 2 > this.#slots.capacity) {
      assert(this.#old === null, 'an index grows when it has grown')
      this.#old = this.#slots
      this.#nextToMove = 0
      this.#slots = new Slots(this.#old.capacity * 2)
      this.#slots.fill(this.#slots.find(table, key), table, key, place)
    } else {
      this.#slots.fill(at, table, key, place)
    }
  }

  clear(): void {
    this.#old = null
    if (this.#slots.capacity <= KEPT_CAPACITY) this.#slots.tables.fill(0)
    else this.#slots = new Slots(FIRST_CAPACITY)
    this.#count = 0
  }

  #move({ capacity, tables, keys, places }: Slots): void {
    const end = Math.min(this.#nextToMove + MOVED_PER_SET, capacity)
    for (let from = this.#nextToMove; from < end; from++) {
      const table = tables[from]!
      if (table === 0) continue
      const at = this.#slots.find(table, keys[from]!)
      // Else it was set again since.
      if (this.#slots.isFree(at)) this.#slots.fill(at, table, keys[from]!, places[from]!)
      this.#moved++
    }
    this.#nextToMove = end
    if (end === capacity) this.#old = null
  }
}

function lookUp(slots: Slots, table: number, key: number): number | undefined {
  const at = slots.find(table, key)
  return slots.isFree(at) ? undefined : slots.places[at]
}

/** All bits of both numbers spread over 32. */
function hash(table: number, key: number): number {
  const high = Math.floor(key / 2 ** 32)
  let bits = Math.imul(key >>> 0, 0x9e3779b1) ^ Math.imul(high, 0x85ebca77) ^ Math.imul(table, 0xc2b2ae3d)
  bits = Math.imul(bits ^ (bits >>> 16), 0x2c1b3c6d)
  return bits ^ (bits >>> 15)
}
