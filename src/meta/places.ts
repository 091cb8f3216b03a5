// Where inodes are that the kernel knows: ino -> directory and key, so that an operation by ino needs no table but its
// directory's. Counts the references the transport holds (lookups not yet forgotten); at none the place is dropped, and
// the table PARENTS answers.
//
// After an `ls -l` of a million files there are a million places. So they lie outside the JavaScript heap, 28 bytes each and
// room to grow (docs/decisions/0022-places.md): a hash table in SHARDS parts, each of which grows and shrinks on its own, so
// that no turn moves more than one part's worth of places for one that comes or goes.
//
// Must stay true:
// - A place is changed in the turn in which the dentry moves; a place that is there is right.
// - Nothing is allocated for an operation but what `get` returns, and the arrays of a part that grows or shrinks.
import { ok as assert } from 'node:assert'
import type { Ino } from './attributes.ts'

/** In place of a directory: the inode stands in the table SHARED, in ORPHANS, or only in memory (a removed directory). */
export const IN_SHARED = -1
export const IN_ORPHANS = -2
export const REMOVED = -3

export interface Place {
  directory: number
  key: number
}

const SHARD_BITS = 11
const SHARDS = 1 << SHARD_BITS
const HOME_RANGE = 2 ** (32 - SHARD_BITS)
const CAPACITY_MIN = 8
/** Parts that are smaller double, so that growing takes few steps. */
const DOUBLED_BELOW = 256

/** Of a slot: ino (0: free), directory and key of two words each, references. */
const WORDS = 7
const DIRECTORY = 2
const KEY = 4
const REFERENCES = 6
const TWO_32 = 0x1_0000_0000

export class Places {
  readonly #shards: (Shard | null)[] = new Array(SHARDS).fill(null)
  #size = 0
  #moved = 0

  get size(): number {
    return this.#size
  }

  /** Places that were moved as parts grew and shrank, so far. */
  get moved(): number {
    return this.#moved
  }

  get(ino: number): Place | undefined {
    const shard = this.#shards[shardOf(ino)] as Shard | null
    const at = shard === null ? -1 : shard.find(ino)
    return at < 0 ? undefined : shard!.placeAt(at)
  }

  /** One more reference to `ino`, which lies there. */
  reference(ino: number, directory: number, key: number): void {
    assert(ino > 0)
    const index = shardOf(ino)
    let shard = this.#shards[index] as Shard | null
    if (shard === null) {
      shard = new Shard(index)
      this.#shards[index] = shard
    }
    let at = shard.find(ino)
    if (at < 0) {
      this.#size++
      this.#moved += shard.makeRoom()
      at = shard.add(ino)
    }
    shard.move(at, directory, key)
    shard.addReferences(at, 1)
  }

  /** Drops references; true when none is left. */
  forget(ino: number, count: number): boolean {
    const index = shardOf(ino)
    const shard = this.#shards[index] as Shard | null
    const at = shard === null ? -1 : shard.find(ino)
    if (at < 0) return true
    if (shard!.referencesAt(at) > count) {
      shard!.addReferences(at, -count)
      return false
    }
    this.#remove(index, at)
    return true
  }

  /** There is no such inode any more, whoever still refers to it. */
  drop(ino: number): void {
    const index = shardOf(ino)
    const at = this.#shards[index]?.find(ino) ?? -1
    if (at >= 0) this.#remove(index, at)
  }

  #remove(index: number, at: number): void {
    const shard = this.#shards[index] as Shard
    this.#size--
    shard.remove(at)
    if (shard.count === 0) this.#shards[index] = null
    else this.#moved += shard.giveBackRoom()
  }

  /** The inode lies elsewhere now. Nothing to do where nobody refers to it. */
  move(ino: number, directory: number, key: number): void {
    const shard = this.#shards[shardOf(ino)] as Shard | null
    const at = shard === null ? -1 : shard.find(ino)
    if (at >= 0) shard!.move(at, directory, key)
  }

  /** How many references there are to each. */
  counts(): Map<Ino, number> {
    const counts = new Map<Ino, number>()
    for (const shard of this.#shards) shard?.addCounts(counts)
    return counts
  }

  isReferenced(ino: number): boolean {
    const shard = this.#shards[shardOf(ino)] as Shard | null
    return shard !== null && shard.find(ino) >= 0
  }
}

/** One part: open addressing with linear probing. Who is removed leaves no mark: those behind move up. */
class Shard {
  count = 0
  /** How much it grows by once it is large. Parts differ in it, so that they do not all grow at about the same size of the
   *  whole. */
  readonly #growth: number
  #capacity = CAPACITY_MIN
  /** WORDS for each slot. One array, for a place that is looked up is seldom in the processor's cache. */
  #words = new Uint32Array(WORDS * CAPACITY_MIN)

  constructor(index: number) {
    this.#growth = 1.2 + (index % 16) / 100
  }

  /** The slot of `ino`, or -1. */
  find(ino: number): number {
    const words = this.#words
    const low = ino >>> 0
    const high = Math.floor(ino / TWO_32)
    for (let at = this.#home(ino); ; at = this.#next(at)) {
      const word = at * WORDS
      if (words[word] === low && words[word + 1] === high) return at
      if (words[word] === 0 && words[word + 1] === 0) return -1
    }
  }

  placeAt(at: number): Place {
    return { directory: this.#number(at * WORDS + DIRECTORY), key: this.#number(at * WORDS + KEY) }
  }

  referencesAt(at: number): number {
    return this.#words[at * WORDS + REFERENCES]!
  }

  addReferences(at: number, count: number): void {
    this.#words[at * WORDS + REFERENCES]! += count
  }

  move(at: number, directory: number, key: number): void {
    const words = this.#words
    const word = at * WORDS
    words[word + DIRECTORY] = directory
    words[word + DIRECTORY + 1] = Math.floor(directory / TWO_32)
    words[word + KEY] = key
    words[word + KEY + 1] = Math.floor(key / TWO_32)
  }

  /** Takes a slot for `ino`, which has none: one is free. */
  add(ino: number): number {
    const at = this.#freeFrom(this.#home(ino))
    const word = at * WORDS
    this.#words[word] = ino
    this.#words[word + 1] = Math.floor(ino / TWO_32)
    this.#words[word + REFERENCES] = 0
    this.count++
    return at
  }

  remove(at: number): void {
    const capacity = this.#capacity
    let free = at
    for (let next = this.#next(at); this.#isTaken(next); next = this.#next(next)) {
      // It may move up unless its home lies behind the free slot.
      const fromHome = (next - this.#home(this.#number(next * WORDS)) + capacity) % capacity
      if (fromHome < (next - free + capacity) % capacity) continue
      copySlot(this.#words, next, this.#words, free)
      free = next
    }
    this.#words[free * WORDS] = 0
    this.#words[free * WORDS + 1] = 0
    this.count--
  }

  /** Grows where one more would make searches long: past five sixths. Returns how many places it moved. */
  makeRoom(): number {
    if ((this.count + 1) * 6 <= this.#capacity * 5) return 0
    return this.#resize(Math.ceil(this.#capacity * (this.#capacity < DOUBLED_BELOW ? 2 : this.#growth)))
  }

  /** Shrinks where two thirds are free. Returns how many places it moved. */
  giveBackRoom(): number {
    if (this.count * 3 >= this.#capacity || this.#capacity === CAPACITY_MIN) return 0
    return this.#resize(Math.max(CAPACITY_MIN, Math.ceil(this.count * 1.5)))
  }

  #resize(capacity: number): number {
    const before = this.#words
    const slots = this.#capacity
    this.#capacity = capacity
    this.#words = new Uint32Array(WORDS * capacity)
    for (let at = 0; at < slots; at++) {
      const ino = before[at * WORDS]! + before[at * WORDS + 1]! * TWO_32
      if (ino !== 0) copySlot(before, at, this.#words, this.#freeFrom(this.#home(ino)))
    }
    return this.count
  }

  addCounts(counts: Map<Ino, number>): void {
    for (let at = 0; at < this.#capacity; at++) {
      if (this.#isTaken(at)) counts.set(this.#number(at * WORDS) as Ino, this.referencesAt(at))
    }
  }

  #isTaken(at: number): boolean {
    return this.#words[at * WORDS] !== 0 || this.#words[at * WORDS + 1] !== 0
  }

  /** A number of two words; the upper one has the sign. */
  #number(word: number): number {
    return this.#words[word]! + (this.#words[word + 1]! | 0) * TWO_32
  }

  #freeFrom(at: number): number {
    while (this.#isTaken(at)) at = this.#next(at)
    return at
  }

  #home(ino: number): number {
    return Math.floor(((hashOf(ino) & (HOME_RANGE - 1)) * this.#capacity) / HOME_RANGE)
  }

  #next(at: number): number {
    return at + 1 === this.#capacity ? 0 : at + 1
  }
}

function copySlot(from: Uint32Array, at: number, to: Uint32Array, slot: number): void {
  for (let word = 0; word < WORDS; word++) to[slot * WORDS + word] = from[at * WORDS + word]!
}

function shardOf(ino: number): number {
  return hashOf(ino) >>> (32 - SHARD_BITS)
}

/** 32 bits that depend on all of an ino's 53 (MurmurHash3's finalizer). */
function hashOf(ino: number): number {
  let hash = (ino | 0) ^ Math.imul((ino / 4294967296) | 0, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
