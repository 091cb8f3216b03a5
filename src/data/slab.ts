// Memory for dirty bytes: regions cut from slabs of 1 MiB, which are used again instead of left to the collector.
//
// A region is handed out in order from the current slab. One that lies at the slab's filled end can grow in place, so that
// a sequential writer fills a slab from front to back whatever the size of its writes.
//
// Whoever reads from a descriptor what is to be written takes a whole slab and reads into it: if it is filled, it is adopted, and
// the bytes are never copied.
//
// Must stay true: a slab is handed out again only when no region of it is held by anyone (runs, pieces on their way to
// the store), nor the slab itself; where that cannot be known (`poison`) it is left to the collector instead.
import assert from 'node:assert'
import { dropUncounted, uncountedMemory } from '../platform/index.ts'

export const SLAB_BYTES = 1024 * 1024
/** A rest of a slab smaller than this is left unused rather than splitting a larger write. */
const REST_WORTH_USING_BYTES = 16 * 1024
const ALIGNMENT_BYTES = 8

/** Room in front of a slab's bytes and behind them, for whoever reads into it what is more than that: a request with its head. */
const SLAB_HEAD_BYTES = 128
const SLAB_TAIL_BYTES = 4096

export interface Slab {
  readonly bytes: Buffer
  used: number
  /** Who keeps it from being handed out again: regions, and whoever took all of it. */
  holders: number
  reusable: boolean
}

/** Bytes [start, start + capacity) of a slab; `filled` of them are in use, from the front. */
export interface Region {
  readonly slab: Slab
  readonly start: number
  capacity: number
  filled: number
  /** Runs and pieces that refer to it. */
  references: number
}

export class SlabPool {
  readonly #slabBytes: number
  readonly #keepSlabs: number
  readonly #free: Slab[] = []
  #current: Slab | null = null

  /** `keepBytes`: how much of what is not in use `dropSpare` leaves. `slabBytes` are SLAB_BYTES unless told. */
  constructor(options: { keepBytes: number; slabBytes?: number | undefined }) {
    this.#slabBytes = options.slabBytes ?? SLAB_BYTES
    this.#keepSlabs = Math.ceil(options.keepBytes / this.#slabBytes)
  }

  /** A slab for whoever fills it himself, until he lets go of it; what he put there may be adopted. */
  take(): Slab {
    const slab = this.#free.pop() ?? newSlab(this.#slabBytes)
    slab.holders = 1
    return slab
  }

  letGo(slab: Slab): void {
    assert(slab.holders > 0, 'a slab is let go once by each who holds it')
    slab.holders -= 1
    if (slab.holders > 0) return
    slab.used = 0
    if (!slab.reusable) {
      if (slab === this.#current) this.#current = null
      drop(slab)
    } else if (slab !== this.#current) this.#free.push(slab)
  }

  /** What was put into a whole slab becomes a region, without a copy. It has one reference. */
  adopt(slab: Slab): Region {
    assert(slab.holders === 1 && slab !== this.#current, 'nobody but one who took it has it')
    slab.holders += 1
    const lengthBytes = slab.bytes.length
    slab.used = lengthBytes
    return { slab, start: 0, capacity: lengthBytes, filled: lengthBytes, references: 1 }
  }

  /** A region with room for at least one of `wantedBytes`, and for up to `reserveBytes` where that is more and at hand. It
   *  has one reference. */
  allocate(wantedBytes: number, reserveBytes: number): Region {
    let slab = this.#current
    const leastBytes = Math.min(wantedBytes, REST_WORTH_USING_BYTES, this.#slabBytes)
    if (slab === null || this.#slabBytes - aligned(slab.used) < leastBytes) {
      slab = this.#free.pop() ?? newSlab(this.#slabBytes)
      this.#current = slab
    }
    const start = aligned(slab.used)
    const capacity = Math.min(Math.max(wantedBytes, reserveBytes), this.#slabBytes - start)
    const region: Region = { slab, start, capacity, filled: 0, references: 1 }
    slab.used = start + capacity
    slab.holders += 1
    return region
  }

  /** Makes room behind what is filled, up to `moreBytes`, where nothing else lies there. Returns the room. */
  grow(region: Region, moreBytes: number): number {
    const { slab } = region
    assertHeld(region)
    const room = region.capacity - region.filled
    if (room >= moreBytes || slab !== this.#current || region.start + region.capacity !== slab.used) return room
    const more = Math.min(moreBytes - room, this.#slabBytes - slab.used)
    region.capacity += more
    slab.used += more
    return room + more
  }

  /** Gives back what was reserved and will not be filled. */
  trim(region: Region): void {
    const { slab } = region
    assertHeld(region)
    if (slab === this.#current && region.start + region.capacity === slab.used) {
      slab.used = region.start + region.filled
      region.capacity = region.filled
    }
  }

  release(region: Region): void {
    region.references -= 1
    if (region.references === 0) this.letGo(region.slab)
  }

  /** Its bytes may be read by somebody who will not tell when he has done. */
  poison(region: Region): void {
    region.slab.reusable = false
  }

  /** Drops what is more than is to be kept: somebody else has a use for the memory. */
  dropSpare(): void {
    while (this.#free.length > this.#keepSlabs) drop(this.#free.pop()!)
  }
}

/** Regions begin where V8 copies shared memory by words: byte by byte it takes eight times as long. */
function aligned(at: number): number {
  return Math.ceil(at / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

/** What nobody holds may lie in a slab that was handed out again: its bounds would be somebody else's bytes. */
function assertHeld(region: Region): void {
  assert(region.references > 0, 'a region that was given back')
}

function newSlab(lengthBytes: number): Slab {
  const memory = uncountedMemory(SLAB_HEAD_BYTES + lengthBytes + SLAB_TAIL_BYTES)
  return { bytes: Buffer.from(memory, SLAB_HEAD_BYTES, lengthBytes), used: 0, holders: 0, reusable: true }
}

function drop({ bytes }: Slab): void {
  dropUncounted(bytes.buffer)
}
