// Chunks (runs of a segment's bytes, as one GET brought them) and the memory of large ones, which is used again: new memory
// for each costs page faults, and the collector looks through everything for every 64 MiB that come and go.
//
// Must stay true: memory is used again only when the cache has forgotten its chunk and nobody holds it; never when views of it
// were lent, for then nobody knows who reads them.
import assert from 'node:assert'
import { dropUncounted, uncountedMemory } from '../platform/index.ts'
import type { SegmentId } from './segment-store.ts'

export class Chunk {
  readonly serial: number
  readonly segment: SegmentId
  readonly start: number
  readonly end: number
  readonly body: Buffer
  /** Spots a reader has verified, by a number of its choice; and how far readers who keep it have had each. */
  readonly verified = new Map<number, number>()
  /** How much of it readers who keep it were given: each byte counts once. */
  givenBytes = 0
  /** It was bought for the neighbours of what was asked for. */
  isForNeighbours = false
  /** Somebody may ask for it again: one did, or does not keep what he is given. */
  isWantedAgain = false
  /** Where its memory goes back to; null where it is never used again. */
  #memory: ChunkMemory | null
  #holders = 0
  #isForgotten = false

  constructor(
    { serial, segment, start, body }: Pick<Chunk, 'serial' | 'segment' | 'start' | 'body'>,
    memory: ChunkMemory | null,
  ) {
    this.serial = serial
    this.segment = segment
    this.start = start
    this.end = start + body.length
    this.body = body
    this.#memory = memory
  }

  /** What it takes, whatever part of that is in use. */
  get memoryBytes(): number {
    return this.body.buffer.byteLength
  }

  /** Somebody reads it, until `release`. */
  hold(): void {
    this.#holders += 1
  }

  release(): void {
    assert(this.#holders > 0, 'a chunk is released once by each who holds it')
    this.#holders -= 1
    this.#giveBack()
  }

  /** A reader who keeps it is given these bytes of a verified spot. */
  give(spot: number, from: number, to: number): void {
    if (from < this.verified.get(spot)!) this.isWantedAgain = true
    else this.givenBytes += to - from
    this.verified.set(spot, to)
  }

  /** Views of it go to somebody who will not say when he is done. */
  lend(): void {
    this.#memory?.drop(this.body.buffer)
    this.#memory = null
  }

  /** The cache has it no more. */
  forget(): void {
    this.#isForgotten = true
    this.#giveBack()
  }

  #giveBack(): void {
    if (this.#holders > 0 || !this.#isForgotten) return
    this.#memory?.free(this.body)
    this.#memory = null
  }
}

/** What somebody reads until he says that he is done. */
export class Lease {
  /** The reader keeps what he is given, as the kernel's page cache does: he will not ask for it again. */
  readonly isKept: boolean
  readonly #chunks: Chunk[] = []

  constructor({ isKept = false } = {}) {
    this.isKept = isKept
  }

  add(chunk: Chunk): void {
    chunk.hold()
    this.#chunks.push(chunk)
  }

  /** Its views must not be read any more. */
  release(): void {
    for (const chunk of this.#chunks.splice(0)) chunk.release()
  }
}

/** Of a slab a body takes this part at least, or has memory of its own: half a segment does not keep a whole one's. */
const SLAB_SHARE_MIN = 5 / 8

/** Slabs in which large bodies lie, one in each. */
export class ChunkMemory {
  readonly #slabBytes: number
  readonly #keptMax: number
  readonly #slabs = new WeakSet<ArrayBufferLike>()
  #free: ArrayBufferLike[] = []

  /** Of slabs that nobody uses at most `keptMax` are kept. */
  constructor({ slabBytes, keptMax }: { slabBytes: number; keptMax: number }) {
    this.#slabBytes = slabBytes
    this.#keptMax = keptMax
  }

  allocate(lengthBytes: number): Buffer {
    if (lengthBytes > this.#slabBytes || lengthBytes < this.#slabBytes * SLAB_SHARE_MIN)
      return Buffer.allocUnsafeSlow(lengthBytes)
    const slab = this.#free.pop() ?? uncountedMemory(this.#slabBytes)
    this.#slabs.add(slab)
    return Buffer.from(slab, 0, lengthBytes)
  }

  /** Takes a slab back; any other memory is left to the collector. */
  free({ buffer }: Buffer): void {
    if (!this.#slabs.has(buffer)) return
    assert(!this.#free.includes(buffer), 'a slab is freed once')
    if (this.#free.length < this.#keptMax) this.#free.push(buffer)
    else this.drop(buffer)
  }

  /** Somebody has views of it, and will not say when he is done. */
  drop(memory: ArrayBufferLike): void {
    if (this.#slabs.delete(memory)) dropUncounted(memory)
  }
}
