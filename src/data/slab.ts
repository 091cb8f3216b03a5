// Memory for dirty bytes: regions cut from slabs of 1 MiB, which are used again instead of left to the collector.
//
// A region is handed out in order from the current slab. One that lies at the slab's filled end can grow in place, so that
// a sequential writer fills a slab from front to back whatever the size of its writes.
//
// Must stay true: a slab is handed out again only when no region of it is held by anyone (runs, pieces on their way to
// the store); where that cannot be known (`poison`) it is left to the collector instead.
import assert from 'node:assert'

export const SLAB_BYTES = 1024 * 1024
/** A rest of a slab smaller than this is left unused rather than splitting a larger write. */
const REST_WORTH_USING_BYTES = 16 * 1024

interface Slab {
  readonly bytes: Buffer
  used: number
  regions: number
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
  readonly #keepSlabs: number
  readonly #free: Slab[] = []
  #current: Slab | null = null

  /** `keepBytes`: how much is kept for later when it is not in use. */
  constructor(options: { keepBytes: number }) {
    this.#keepSlabs = Math.ceil(options.keepBytes / SLAB_BYTES)
  }

  /** A region with room for at least one of `wantedBytes`, and for up to `reserveBytes` where that is more and at hand. It
   *  has one reference. */
  allocate(wantedBytes: number, reserveBytes: number): Region {
    let slab = this.#current
    if (slab === null || SLAB_BYTES - slab.used < Math.min(wantedBytes, REST_WORTH_USING_BYTES)) {
      slab = this.#free.pop() ?? newSlab()
      this.#retire(this.#current)
      this.#current = slab
    }
    const capacity = Math.min(Math.max(wantedBytes, reserveBytes), SLAB_BYTES - slab.used)
    const region: Region = { slab, start: slab.used, capacity, filled: 0, references: 1 }
    slab.used += capacity
    slab.regions += 1
    return region
  }

  /** Makes room behind what is filled, up to `moreBytes`, where nothing else lies there. Returns the room. */
  grow(region: Region, moreBytes: number): number {
    const { slab } = region
    assertHeld(region)
    const room = region.capacity - region.filled
    if (room >= moreBytes || slab !== this.#current || region.start + region.capacity !== slab.used) return room
    const more = Math.min(moreBytes - room, SLAB_BYTES - slab.used)
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
    if (region.references > 0) return
    const { slab } = region
    slab.regions -= 1
    if (slab.regions > 0) return
    if (slab === this.#current) {
      if (slab.reusable) slab.used = 0
      else this.#current = null
    } else this.#retire(slab)
  }

  /** Its bytes may be read by somebody who will not tell when he has done. */
  poison(region: Region): void {
    region.slab.reusable = false
  }

  #retire(slab: Slab | null): void {
    if (slab === null || slab.regions > 0 || !slab.reusable || this.#free.length >= this.#keepSlabs) return
    slab.used = 0
    this.#free.push(slab)
  }
}

/** What nobody holds may lie in a slab that was handed out again: its bounds would be somebody else's bytes. */
function assertHeld(region: Region): void {
  assert(region.references > 0, 'a region that was given back')
}

function newSlab(): Slab {
  return { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), used: 0, regions: 0, reusable: true }
}
