// What the tests of streams stand on: a segment store whose uploads end when the test says so, and a clock that yields
// when it is told to.
import assert from 'node:assert'
import { createStreams, type OwnedStreams } from '../../src/data/index.ts'
import { type Clock, FsError } from '../../src/platform/index.ts'
import { BLOCK_BYTES, createSegmentStore, type DataRange, type SegmentId } from '../../src/segments/index.ts'
import { Bucket } from '../segments/bucket.ts'

export interface EarlyUpload {
  owner: number
  range: DataRange
  end(failure?: Error): void
}

/** Lays bytes out as segments do. */
const layout = createSegmentStore({
  store: new Bucket(),
  volumeUuid: Buffer.alloc(16),
  segmentSizeBytes: 1024 * 1024,
  cacheBytes: 0,
})

export class World {
  /** The stored bytes of everything that got a place. */
  readonly stored = new Map<SegmentId, Buffer>()
  readonly early: EarlyUpload[] = []
  /** Segments of early uploads that ended well. */
  readonly earlyStored: SegmentId[] = []
  readonly deleted: SegmentId[] = []
  /** Told to `onError`. */
  readonly errors: unknown[] = []
  deletesFail = false
  readonly streams: OwnedStreams
  pressure = 0
  /** What was dirty when room was asked back. */
  readonly grown: number[] = []
  nowMs = 1000
  earlyStarted = 0
  #nextId = 1
  #yields: (() => void)[] = []

  constructor(options: { maxPieceBytes: number; dirtyLimitBytes?: number; slabBytes?: number }) {
    const world = this
    const clock: Clock = {
      now: () => ({ sec: 0, nsec: 0 }),
      monotonicMs: () => this.nowMs,
      after: () => ({ cancel: () => {} }),
      sleep: async () => {},
      yield: () => new Promise((resolve) => this.#yields.push(resolve)),
    }
    this.streams = createStreams({
      maxPieceBytes: options.maxPieceBytes,
      dirtyLimitBytes: options.dirtyLimitBytes ?? 1 << 30,
      ...(options.slabBytes === undefined ? {} : { slabBytes: options.slabBytes }),
      clock,
      segments: {
        dataPacker: (takeId) => {
          const waiting: { owner: number; range: DataRange; parts: readonly Uint8Array[]; before: Buffer }[] = []
          return {
            add(owner, fileOffset, parts) {
              const { packed, ranges } = layout.packInMemory(takeId(), [{ owner, fileOffset, parts }])
              const range = ranges[0]!
              world.stored.set(range.segment, packed.stored)
              waiting.push({ owner, range, parts, before: Buffer.concat(parts) })
              return range
            },
            upload: () =>
              new Promise((resolve, reject) => {
                const { owner, range, parts, before } = waiting[0]!
                world.earlyStarted += 1
                world.early.push({
                  owner,
                  range,
                  end(failure) {
                    assert(Buffer.concat(parts).equals(before), 'bytes changed on their way')
                    if (failure !== undefined) return reject(failure)
                    world.earlyStored.push(range.segment)
                    resolve()
                  },
                })
              }),
          }
        },
        delete: async (ids) => {
          if (world.deletesFail) throw new FsError('EIO', 'the store is away')
          for (const id of ids) {
            world.deleted.push(id)
            world.stored.delete(id)
          }
        },
      },
      takeSegmentId: () => this.takeId(),
      onPressure: () => {
        this.pressure += 1
      },
      onGrown: () => this.grown.push(this.streams.dirtyBytes),
      onError: (error) => this.errors.push(error),
    })
  }

  takeId(): SegmentId {
    return this.#nextId++ as SegmentId
  }

  /** Lets everything that yields go on, and what follows from it. */
  async tick(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      for (const goOn of this.#yields.splice(0)) goOn()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Ends the `nth` early upload under way. */
  async endUpload(nth: number, fails = false): Promise<void> {
    const [upload] = this.early.splice(nth % this.early.length, 1)
    upload?.end(fails ? new FsError('EIO', 'the store is away') : undefined)
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Places runs one behind the other in a segment of their own. */
  place(owner: number, runs: readonly { fileOffset: number; parts: readonly Uint8Array[] }[]): DataRange[] {
    if (runs.length === 0) return []
    const { packed, ranges } = layout.packInMemory(
      this.takeId(),
      runs.map(({ fileOffset, parts }) => ({ owner, fileOffset, parts })),
    )
    this.stored.set(ranges[0]!.segment, packed.stored)
    return ranges
  }

  readRange({ segment, offset, pieceBytes, skipBytes, lengthBytes }: DataRange): Buffer {
    const stored = this.stored.get(segment)
    assert(stored !== undefined, `segment ${segment} was deleted or never written`)
    assert(skipBytes < BLOCK_BYTES && skipBytes + lengthBytes <= pieceBytes)
    const out = Buffer.alloc(lengthBytes)
    for (let at = 0; at < lengthBytes; ) {
      const raw = skipBytes + at
      const block = Math.floor(raw / BLOCK_BYTES)
      const take = Math.min(lengthBytes - at, (block + 1) * BLOCK_BYTES - raw)
      stored.copy(out, at, offset + raw + block * 4, offset + raw + block * 4 + take)
      at += take
    }
    return out
  }
}
