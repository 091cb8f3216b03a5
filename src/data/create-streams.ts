// All streams of a volume: their dirty bytes against the limit, writers that wait for room, and the full runs that leave
// early.
//
// Must stay true:
// - `dirtyBytes` is the sum over all streams, dropped ones whose uploads are under way included.
// - A full run leaves in a later turn than the write that filled it; what was overwritten or cut off by then stays.
// - `#sharers` counts the shared pieces of all generations, by segment and file.
// - A stored early piece that nothing refers to and no record named is deleted by us, after a grace for reads under way.
import PQueue from 'p-queue'
import { type Clock, FsError, type Timer } from '../platform/index.ts'
import type { SegmentId, SegmentStore } from '../segments/index.ts'
import { FileStream, type StreamHost } from './file-stream.ts'
import { Generation, type Piece } from './generation.ts'
import { SLAB_BYTES, SlabPool } from './slab.ts'
import type { Stream, StreamAttributes, Streams } from './stream.ts'

/** Full runs on their way at a time: fewer than the segment store's PUTs, so that commits find some free. */
const EARLY_UPLOADS = 16
/** A waiting writer is let in for this much room: the largest write of the kernel. */
const ROOM_PER_WRITER_BYTES = 1024 * 1024
const UNNAMED_GRACE_MS = 60_000

export interface StreamsOptions {
  /** Full runs of this many bytes leave early: the segment store's. */
  maxPieceBytes: number
  /** Writers wait while this much is dirty. */
  dirtyLimitBytes: number
  clock: Clock
  segments: Pick<SegmentStore, 'dataPacker' | 'delete'>
  takeSegmentId: () => SegmentId
  /** Write-back is wanted: half the limit is dirty and not on its way, or a writer waits. May be called from within
   *  `write` and `roomForWrite`, often; it should begin a commit in a later turn unless one is under way. */
  onPressure: () => void
  /** Called when another MiB has become dirty: who was lent that memory is to give it back. */
  onGrown?: () => void
  /** How much memory that nobody uses is kept when others want it; a quarter of the limit unless told. */
  keptBytes?: number
  /** Memory for writes comes in pieces of this; 1 MiB unless told. */
  slabBytes?: number
  /** An early upload failed (its bytes stay dirty), or unnamed segments could not be deleted: both are tried again. */
  onError?: (error: unknown) => void
}

/** What the owner of all streams can do besides. */
export interface OwnedStreams extends Streams {
  /** Deletes at once the stored pieces that nothing refers to (else a minute after they were given up): at unmount. Never
   *  rejects: what fails is told to `onError`, and tried again with the next ones. */
  deleteUnnamed(): Promise<void>
}

export function createStreams(options: StreamsOptions): OwnedStreams {
  return new AllStreams(options)
}

class AllStreams implements OwnedStreams, StreamHost {
  readonly maxPieceBytes: number
  readonly takeSegmentId: () => SegmentId
  readonly #options: StreamsOptions
  readonly #streams = new Map<number, FileStream>()
  readonly slabs: SlabPool
  readonly #early = new PQueue({ concurrency: EARLY_UPLOADS })
  /** When each early piece under way ends; never rejects. */
  readonly #ends = new Map<Piece, Promise<void>>()
  #dirtyBytes = 0
  /** Of these, bytes in early pieces: they need no write-back. */
  #earlyBytes = 0
  #waiters: (() => void)[] = []
  #lettingIn = false
  #pressed = false
  /** What was dirty when `onGrown` was called last, or less. */
  #toldBytes = 0
  readonly #sharers = new Map<SegmentId, Map<number, number>>()
  #unnamed: SegmentId[] = []
  #unnamedTimer: Timer | null = null

  constructor(options: StreamsOptions) {
    this.#options = options
    this.maxPieceBytes = options.maxPieceBytes
    this.takeSegmentId = options.takeSegmentId
    const { dirtyLimitBytes, keptBytes = dirtyLimitBytes / 4 } = options
    this.slabs = new SlabPool({ keepBytes: keptBytes, slabBytes: options.slabBytes })
  }

  get(ino: number): Stream | undefined {
    const stream = this.#streams.get(ino)
    return stream?.isDirty ? stream : undefined
  }

  open(ino: number, recorded: StreamAttributes): Stream {
    let stream = this.#streams.get(ino)
    if (stream === undefined) {
      stream = new FileStream(ino, recorded, this)
      this.#streams.set(ino, stream)
    } else if (!stream.isDirty) stream.rebase(recorded)
    return stream
  }

  drop(ino: number): void {
    const stream = this.#streams.get(ino)
    if (stream === undefined) return
    this.#streams.delete(ino)
    stream.drop()
  }

  release(ino: number): void {
    if (this.#streams.get(ino)?.isDirty === false) this.#streams.delete(ino)
  }

  *[Symbol.iterator](): Generator<Stream> {
    for (const stream of this.#streams.values()) if (stream.isDirty) yield stream
  }

  get dirtyBytes(): number {
    return this.#dirtyBytes
  }

  get isFull(): boolean {
    return this.#dirtyBytes >= this.#options.dirtyLimitBytes
  }

  get uploadsUnderWay(): number {
    return this.#ends.size
  }

  roomForWrite(): Promise<void> {
    if (!this.isFull && this.#waiters.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      if (this.isFull) this.#options.onPressure()
      else this.#letWritersIn()
    })
  }

  async settled(inos: readonly number[]): Promise<void> {
    const generations = inos.flatMap((ino) => this.#streams.get(ino)?.committing ?? [])
    await Promise.all(generations.flatMap((generation) => [...generation.onTheirWay].map((p) => this.#ends.get(p))))
  }

  segmentsInUse(): Set<SegmentId> {
    const inUse = new Set<SegmentId>()
    for (const stream of this.#streams.values()) stream.addSegmentsInUse(inUse)
    return inUse
  }

  unrecordedSharers(segment: SegmentId): Iterable<number> {
    return this.#sharers.get(segment)?.keys() ?? []
  }

  async deleteUnnamed(): Promise<void> {
    this.#unnamedTimer?.cancel()
    this.#unnamedTimer = null
    // What is on its way may belong to a stream that was dropped.
    await Promise.all(this.#ends.values())
    const ids = this.#unnamed
    this.#unnamed = []
    if (ids.length === 0) return
    try {
      await this.#options.segments.delete(ids)
    } catch (error) {
      this.#unnamed = ids.concat(this.#unnamed)
      this.#options.onError?.(error)
    }
  }

  // What streams ask of their host.

  newGeneration(stream: FileStream): Generation {
    return new Generation({
      pool: this.slabs,
      onDirty: (deltaBytes) => {
        stream.dirtyBytes += deltaBytes
        this.#dirtyBytes += deltaBytes
        if (deltaBytes < 0 && this.#waiters.length > 0) this.#letWritersIn()
      },
      onStored: (deltaBytes) => {
        stream.earlyBytes += deltaBytes
      },
      onUnnamed: (segment) => this.#deleteLater(segment),
      onShared: (segment, delta) => this.#shared(segment, stream.ino, delta),
    })
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs()
  }

  written(): void {
    const pressed = this.#dirtyBytes - this.#earlyBytes >= this.#options.dirtyLimitBytes / 2
    if (pressed && !this.#pressed) this.#options.onPressure()
    this.#pressed = pressed
    if (this.#dirtyBytes < this.#toldBytes) this.#toldBytes = this.#dirtyBytes
    else if (this.#dirtyBytes >= this.#toldBytes + SLAB_BYTES) {
      this.#toldBytes = this.#dirtyBytes
      this.#options.onGrown?.()
    }
  }

  uploadEarly(stream: FileStream, generation: Generation, piece: Piece): void {
    this.#earlyBytes += piece.lengthBytes
    const end = this.#early.add(() => this.#upload(stream, generation, piece))
    this.#ends.set(
      piece,
      end.finally(() => {
        this.#ends.delete(piece)
        this.#earlyBytes -= piece.lengthBytes
      }),
    )
  }

  /** Never rejects: what fails goes back to memory. */
  async #upload(stream: FileStream, generation: Generation, piece: Piece): Promise<void> {
    await this.#options.clock.yield()
    if (piece.state !== 'waiting') return
    if (piece.liveBytes < piece.lengthBytes) {
      generation.returnToMemory(piece)
      return
    }
    piece.state = 'uploading'
    try {
      const packer = this.#options.segments.dataPacker(this.takeSegmentId)
      const range = packer.add(stream.ino, piece.fileOffset, piece.parts)
      await packer.upload()
      generation.stored(piece, range)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      const what = `data of inode ${stream.ino} cannot be stored now, it leaves with a later commit: ${why}`
      this.#options.onError?.(new FsError('EIO', what, { cause }))
      generation.returnToMemory(piece)
    }
  }

  /** Lets waiting writers in, in order, as many as there is room for; in the next turn again. */
  #letWritersIn(): void {
    if (this.#lettingIn || this.isFull) return
    this.#lettingIn = true
    const room = this.#options.dirtyLimitBytes - this.#dirtyBytes
    for (const letIn of this.#waiters.splice(0, Math.max(1, Math.floor(room / ROOM_PER_WRITER_BYTES)))) letIn()
    this.#options.clock.yield().then(() => {
      this.#lettingIn = false
      if (this.#waiters.length === 0) return
      if (this.isFull) this.#options.onPressure()
      else this.#letWritersIn()
    })
  }

  #shared(segment: SegmentId, ino: number, delta: 1 | -1): void {
    const files = this.#sharers.get(segment) ?? new Map<number, number>()
    this.#sharers.set(segment, files)
    const pieces = (files.get(ino) ?? 0) + delta
    if (pieces > 0) files.set(ino, pieces)
    else files.delete(ino)
    if (files.size === 0) this.#sharers.delete(segment)
  }

  #deleteLater(segment: SegmentId): void {
    this.#unnamed.push(segment)
    this.#armDeletion()
  }

  #armDeletion(): void {
    if (this.#unnamed.length === 0) return
    this.#unnamedTimer ??= this.#options.clock.after(UNNAMED_GRACE_MS, () => {
      this.#unnamedTimer = null
      void this.deleteUnnamed().then(() => this.#armDeletion())
    })
  }
}
