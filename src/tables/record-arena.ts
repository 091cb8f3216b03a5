// Records of many tables, end to end in large buffers outside the JavaScript heap: what a generation of changes holds. The
// garbage collector sees a few buffers instead of millions of objects.
//
// Must stay true:
// - A place stays valid for the life of the arena. Its bytes change only by `replace`, which only the owner of the place
//   calls, in the turn of a change: views given out are valid in their turn.
// - Nothing is given back one by one: an arena goes as a whole, with its generation.
import { ok as assert } from 'node:assert'

const SLAB_BYTES = 1 << 20
/** Places are multiples of this, so that a record may grow a little where it lies. */
const ALIGN_BYTES = 8

/** Where a record begins, counted over all slabs. */
export type Place = number

export class RecordArena {
  readonly #slabs: Buffer[] = []
  readonly #buffers = new Set<ArrayBufferLike>()
  #end = 0

  /** Bytes taken up so far, with what was replaced elsewhere. */
  get usedBytes(): number {
    return this.#end
  }

  add(record: Uint8Array): Place {
    const room = alignedBytes(record.length)
    assert(room <= SLAB_BYTES)
    const left = this.#slabs.length * SLAB_BYTES - this.#end
    if (room > left) {
      this.#end += left
      const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#slabs.push(slab)
      this.#buffers.add(slab.buffer)
    }
    const place = this.#end
    this.#end += room
    this.slabOf(place).set(record, this.startOf(place))
    return place
  }

  /** Puts a record in the place of one that had `lengthBytes`; elsewhere when it does not fit. Returns where. */
  replace(place: Place, lengthBytes: number, record: Uint8Array): Place {
    if (record.length > alignedBytes(lengthBytes)) return this.add(record)
    this.slabOf(place).set(record, this.startOf(place))
    return place
  }

  /** The buffer in which a place lies, and where in it. */
  slabOf(place: Place): Buffer {
    return this.#slabs[Math.floor(place / SLAB_BYTES)] as Buffer
  }

  startOf(place: Place): number {
    return place % SLAB_BYTES
  }

  /** Whether these bytes lie in this arena: then they are not somebody's own. */
  holds(record: Uint8Array): boolean {
    return this.#buffers.has(record.buffer)
  }
}

function alignedBytes(lengthBytes: number): number {
  return Math.ceil(lengthBytes / ALIGN_BYTES) * ALIGN_BYTES
}
