// Write-back: makes names and streams durable. The heart of the promises in section 5 of the design.
//
// The model: operations on names are in the database's open commit as soon as they are applied. Streams are not: their
// bytes must be durable first, or ride in the commit itself. A *round* brings the streams it needs into the tables and
// closes the open commit. What is much is uploaded to segments and then recorded, as often as it takes; when what is
// left fits into the commit, one synchronous turn freezes it, packs it, records it and closes the commit. So a little
// data costs exactly one PUT.
//
// A round needs: the streams that were asked for, as they were when it began; and every stream whose file a rename put
// over another one in the open commit, as it was at the rename (or later). After ROUNDS_MAX uploads new renames of that
// sort wait, so that the round ends.
//
// Must stay true:
// - One round at a time, and commits are closed here or by a checkpoint while `#rounds` is held and no such rename is
//   pending. Requests that come during a round share the next one.
// - A frozen generation is recorded before its stream freezes again; only what is durable, or rides along, is recorded.
// - When a round fails nothing is lost: streams stay dirty or frozen, and the next round tries again. Changes are
//   refused (EROFS) until one succeeds.
import { ok as assert } from 'node:assert'
import type { FrozenGeneration, Stream } from '../data/index.ts'
import { deleteUnused, recordStream, UsageChanges } from '../meta/index.ts'
import { FsError, isPromise, type Timer } from '../platform/index.ts'
import type { DataRange, PackedData, SegmentId } from '../segments/index.ts'
import type { Context } from './context.ts'
import { Gate, Mutex } from './mutex.ts'
import { placeOf } from './place.ts'

const ROUNDS_MAX = 4
/** Streams recorded in one turn. */
const STREAMS_PER_TURN = 64
/** Streams whose data rides in a commit: they are recorded in one turn. */
const STREAMS_INLINE_MAX = 1024
const OPEN_COMMIT_BYTES_MAX = 8 << 20

export interface WritebackOptions {
  commitIntervalMs: number
  truncateHoldMs: number
  inlineBytesMax: number
}

export interface CommitRequest {
  /** These streams; `all` that are dirty. Names are always committed. */
  streams: 'all' | readonly number[]
  /** Also streams that an O_TRUNC holds back. */
  includeHeld?: boolean
  /** Also streams of files that have lost their name: only to get their bytes out of memory. */
  includeOrphans?: boolean
}

/** Requests that one round answers. */
class Batch {
  all = false
  includeHeld = false
  includeOrphans = false
  readonly inos = new Set<number>()
  readonly promise: Promise<void>
  resolve: () => void = () => {}
  reject: (error: unknown) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  add(request: CommitRequest): void {
    if (request.streams === 'all') this.all = true
    else for (const ino of request.streams) this.inos.add(ino)
    this.includeHeld ||= request.includeHeld === true
    this.includeOrphans ||= request.includeOrphans === true
  }
}

interface Generation {
  readonly ino: number
  readonly stream: Stream
  readonly frozen: FrozenGeneration
  /** Whether it was frozen in this round, and so holds all that the round was asked for. */
  readonly isWhole: boolean
}

export class Writeback {
  readonly #context: () => Context
  readonly #options: WritebackOptions
  readonly #rounds = new Mutex()
  #next: Batch | null = null
  #running = false
  #timer: Timer | null = null
  #stopped = false
  /** Streams that an O_TRUNC holds back, since when (monotonic ms). */
  readonly #held = new Map<number, number>()
  /** Files put over another one by a rename in the open commit whose data was unrecorded then, with the rename's serial
   *  number. */
  readonly #renames = new Map<number, number>()
  #renameSerial = 0
  /** For frozen streams: the serial of the rename that they cover. */
  readonly #coveredRename = new Map<number, number>()
  /** Streams that were changed after they were frozen. */
  readonly #changedSinceFreeze = new Set<number>()
  #renameGate: Gate | null = null
  /** Why changes are refused; null while all is well. */
  failure: FsError | null = null
  /** Called after each round that succeeded. */
  onCommitted: () => void = () => {}

  constructor(context: () => Context, options: WritebackOptions) {
    this.#context = context
    this.#options = options
  }

  // What operations tell. All of it synchronous, in the turn of the change.

  /** Something was changed: a commit is due within the interval. */
  changed(): void {
    if (this.#timer === null && !this.#stopped) this.#arm(this.#options.commitIntervalMs)
    if (this.#context().database.openCommitBytes > OPEN_COMMIT_BYTES_MAX && !this.#running) {
      this.commit({ streams: [] }).catch(() => {})
    }
  }

  streamChanged(stream: Stream): void {
    if (stream.frozen !== null) this.#changedSinceFreeze.add(stream.ino)
    this.changed()
  }

  /** An open with O_TRUNC emptied the file: its stream waits for `unhold`. */
  hold(ino: number): void {
    if (!this.#held.has(ino)) this.#held.set(ino, this.#context().clock.monotonicMs())
  }

  /** The last writer closed it, or somebody wants it durable. */
  unhold(ino: number): void {
    this.#held.delete(ino)
  }

  /** A rename put this file over another: its stream so far goes into the commit that carries the rename. */
  renamedOver(ino: number): void {
    const stream = this.#context().streams.get(ino)
    if (stream?.isDirty) this.#renames.set(ino, ++this.#renameSerial)
  }

  /** Set while such renames must wait. */
  get renameGate(): Promise<void> | null {
    return this.#renameGate?.opened ?? null
  }

  /** The file has no name any more: no commit needs its stream. */
  lostName(ino: number): void {
    this.#held.delete(ino)
    this.#renames.delete(ino)
  }

  get heldStreams(): number {
    return this.#held.size
  }

  // Asking for commits.

  /** Resolves when the names so far and the streams asked for are durable. Rejects with EIO when they cannot be now. */
  commit(request: CommitRequest): Promise<void> {
    this.#next ??= new Batch()
    this.#next.add(request)
    const { promise } = this.#next
    if (!this.#running) void this.#run()
    return promise
  }

  async #run(): Promise<void> {
    this.#running = true
    for (let batch = this.#next; batch !== null; batch = this.#next) {
      try {
        const acquired = this.#rounds.acquire()
        const release = isPromise(acquired) ? await acquired : acquired
        // Requests that came while it waited belong to this round.
        this.#next = null
        try {
          await this.#round(batch)
        } finally {
          release()
        }
        this.#succeeded()
        batch.resolve()
        this.onCommitted()
      } catch (error) {
        this.#next = this.#next === batch ? null : this.#next
        batch.reject(this.#failed(error))
      }
    }
    this.#running = false
  }

  #succeeded(): void {
    if (this.failure === null) return
    this.failure = null
    this.#context().log('info', 'everything is durable again; changes are accepted')
  }

  #failed(cause: unknown): FsError {
    const { log } = this.#context()
    const message = cause instanceof Error ? cause.message : String(cause)
    const error = new FsError('EIO', message, { cause })
    if (this.failure === null) {
      log('error', `write-back failed, changes are refused until it succeeds: ${message}`)
    }
    this.failure = error
    if (this.#timer === null && !this.#stopped) this.#arm(this.#options.commitIntervalMs)
    return error
  }

  #arm(delayMs: number): void {
    this.#timer = this.#context().clock.after(delayMs, () => {
      this.#timer = null
      // Whoever waits for it was told; the log has it.
      this.commit({ streams: 'all' }).catch(() => {})
      if (this.#held.size > 0 && this.#timer === null) this.#arm(this.#options.commitIntervalMs)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }

  // Rounds.

  async #round(batch: Batch): Promise<void> {
    const wanted = this.#wantedBy(batch)
    try {
      for (let round = 0; ; round++) {
        if (round === ROUNDS_MAX) this.#renameGate ??= new Gate()
        const closed = await this.#closeCommit(wanted)
        if (closed !== null) {
          this.#openGate()
          return await closed.durable
        }
        await this.#uploadAndRecord(this.#required(wanted), wanted)
      }
    } finally {
      this.#openGate()
    }
  }

  #openGate(): void {
    this.#renameGate?.open()
    this.#renameGate = null
  }

  /** The streams that the batch asks for and that have something unrecorded now. */
  #wantedBy(batch: Batch): Set<number> {
    const { clock, streams, reaper } = this.#context()
    const wanted = new Set<number>()
    for (const ino of batch.inos) if (streams.get(ino)?.isDirty) wanted.add(ino)
    if (!batch.all) return wanted
    const heldBefore = clock.monotonicMs() - this.#options.truncateHoldMs
    for (const stream of streams) {
      const { ino } = stream
      if (!stream.isDirty || (reaper.isOrphan(ino) && !batch.includeOrphans)) continue
      const since = this.#held.get(ino)
      if (since !== undefined && since > heldBefore && !batch.includeHeld) continue
      wanted.add(ino)
    }
    return wanted
  }

  /** What must be recorded before the open commit may be closed. */
  #required(wanted: ReadonlySet<number>): Stream[] {
    const { streams } = this.#context()
    const required: Stream[] = []
    for (const ino of wanted) {
      const stream = streams.get(ino)
      if (stream?.isDirty) required.push(stream)
    }
    for (const ino of this.#renames.keys()) {
      const stream = streams.get(ino)
      if (stream?.isDirty && !wanted.has(ino)) required.push(stream)
    }
    return required
  }

  /** The last turn of a round: what is left rides in the commit. Null when it is too much, or when a generation that is
   *  frozen already does not hold all that is needed. */
  async #closeCommit(wanted: ReadonlySet<number>): Promise<{ durable: Promise<void> } | null> {
    const { database, segments, metadata } = this.#context()
    const frozenHere = new Set<FrozenGeneration>()
    let id: SegmentId | null = null

    const turn = (): { durable: Promise<void> } | null => {
      const required = this.#required(wanted)
      if (required.length > STREAMS_INLINE_MAX) return null
      let bytes = 0
      for (const stream of required) {
        bytes += stream.dirtyBytes
        if (bytes > this.#options.inlineBytesMax || !this.#mayClose(stream, frozenHere)) return null
      }
      // Reads that can be made before anything is frozen.
      const nodes = required.map((stream) => (metadata.exists(stream.ino) ? metadata.nodeOf(stream.ino) : null))
      const generations: { stream: Stream; frozen: FrozenGeneration; node: NonNullable<(typeof nodes)[number]> }[] = []
      for (const [index, stream] of required.entries()) {
        const node = nodes[index]!
        if (node === null) continue
        const frozen = stream.frozen ?? this.#freeze(stream)
        if (frozen === null) continue
        frozenHere.add(frozen)
        generations.push({ stream, frozen, node })
      }
      generations.sort((a, b) => comparePlaces(placeOf(a.node), placeOf(b.node)))
      const runs = generations.flatMap(({ frozen }) =>
        frozen.runs.map((run) => ({ owner: frozen.ino, fileOffset: run.fileOffset, parts: run.parts })),
      )
      let packed: PackedData | null = null
      let ranges: DataRange[] = []
      if (runs.length > 0) {
        id ??= database.takeId('segment') as SegmentId
        ;({ packed, ranges } = segments.packInMemory(id, runs))
      }
      const transaction = database.transaction()
      const usage = new UsageChanges(id)
      let at = 0
      for (const { frozen, node } of generations) {
        const count = frozen.runs.length
        frozen.place(ranges.slice(at, at + count))
        at += count
        recordStream(database, transaction, usage, node.inode, frozen.changes())
        metadata.put(transaction, node)
      }
      usage.putInto(database, transaction)
      if (generations.length > 0) database.apply(transaction)
      for (const { stream } of generations) this.#recorded(stream)
      assert(this.#required(new Set()).length === 0, 'no rename over a name goes without its data')
      return { durable: packed === null ? database.commit() : database.commit({ id: id as SegmentId, packed }) }
    }

    const closed = database.run(turn)
    return isPromise(closed) ? await closed : closed
  }

  /** Whether recording what is frozen, or can be frozen now, brings all that is needed of the stream. */
  #mayClose(stream: Stream, frozenHere: ReadonlySet<FrozenGeneration>): boolean {
    const { segments, streams } = this.#context()
    // Runs that leave early must have arrived first; they count as dirty until then.
    if (stream.dirtyBytes >= segments.maxPieceBytes && streams.uploadsUnderWay > 0) return false
    if (stream.frozen === null) return true
    if (!frozenHere.has(stream.frozen)) return false
    return !(this.#renames.has(stream.ino) && this.#changedSinceFreeze.has(stream.ino))
  }

  #freeze(stream: Stream): FrozenGeneration | null {
    const { ino } = stream
    this.#changedSinceFreeze.delete(ino)
    const serial = this.#renames.get(ino)
    if (serial !== undefined) this.#coveredRename.set(ino, serial)
    return stream.freeze()
  }

  /** The frozen generation stands in the tables now. */
  #recorded(stream: Stream): void {
    const { ino } = stream
    stream.recorded()
    this.#changedSinceFreeze.delete(ino)
    if (this.#renames.get(ino) === this.#coveredRename.get(ino) || !stream.isDirty) this.#renames.delete(ino)
    this.#coveredRename.delete(ino)
    if (!stream.isDirty) this.#held.delete(ino)
    this.#context().streams.release(ino)
  }

  /** Freezes, uploads and records these streams. Of `wanted` goes what was recorded whole. */
  async #uploadAndRecord(required: readonly Stream[], wanted: Set<number>): Promise<void> {
    const { metadata, segments } = this.#context()
    const generations: Generation[] = []
    for (const stream of required) {
      const isWhole = stream.frozen === null
      const frozen = stream.frozen ?? this.#freeze(stream)
      if (frozen !== null) generations.push({ ino: stream.ino, stream, frozen, isWhole })
    }
    const sorted = await this.#inListingOrder(generations)
    const taken: SegmentId[] = []
    // Runs whose early upload was given up join those in memory: what has new runs by then is packed again.
    for (let left = sorted; left.length > 0; ) left = await this.#upload(left, taken)

    for (let first = 0; first < sorted.length; first += STREAMS_PER_TURN) {
      const batch = sorted.slice(first, first + STREAMS_PER_TURN)
      const recorded = this.#context().database.run(() => this.#recordTurn(batch))
      if (isPromise(recorded)) await recorded
      for (const { ino, isWhole } of batch) if (isWhole) wanted.delete(ino)
      await this.#context().clock.yield()
    }
    if (taken.length > 0) await deleteUnused(metadata, segments, taken)
  }

  /** Packs and uploads; returns those whose runs changed meanwhile. */
  async #upload(generations: readonly Generation[], taken: SegmentId[]): Promise<Generation[]> {
    const { segments, streams } = this.#context()
    const packer = segments.dataPacker(() => {
      const id = streams.takeSegmentId()
      taken.push(id)
      return id
    })
    const packed = new Map<Generation, FrozenGeneration['runs']>()
    for (const generation of generations) {
      const { ino, frozen } = generation
      const { runs } = frozen
      frozen.place(runs.map((run) => packer.add(ino, run.fileOffset, run.parts)))
      packed.set(generation, runs)
    }
    const inos = generations.map(({ ino }) => ino)
    const [uploaded, settled] = await Promise.allSettled([packer.upload(), streams.settled(inos)])
    if (uploaded.status === 'rejected') throw uploaded.reason
    if (settled.status === 'rejected') throw settled.reason
    return generations.filter((generation) => generation.frozen.runs !== packed.get(generation))
  }

  #recordTurn(generations: readonly Generation[]): void {
    const { database, metadata, streams } = this.#context()
    // A file may have been dropped while its bytes were on their way.
    const alive = generations.filter(({ ino, frozen }) => streams.get(ino)?.frozen === frozen && metadata.exists(ino))
    const transaction = database.transaction()
    const usage = new UsageChanges()
    for (const { ino, frozen } of alive) {
      const node = metadata.nodeOf(ino)
      recordStream(database, transaction, usage, node.inode, frozen.changes())
      metadata.put(transaction, node)
    }
    usage.putInto(database, transaction)
    database.apply(transaction)
    for (const { stream } of alive) this.#recorded(stream)
  }

  /** By directory and key: what was written together is listed, and read, together. */
  async #inListingOrder(generations: readonly Generation[]): Promise<Generation[]> {
    const { database, metadata } = this.#context()
    const placed: { generation: Generation; place: { directory: number; key: number } }[] = []
    for (let first = 0; first < generations.length; first += STREAMS_PER_TURN) {
      const batch = generations.slice(first, first + STREAMS_PER_TURN)
      const found = database.run(() =>
        batch.map(({ ino }) => metadata.places.get(ino) ?? metadata.placeByTables(ino) ?? { directory: 0, key: 0 }),
      )
      const places = isPromise(found) ? await found : found
      for (const [index, generation] of batch.entries()) placed.push({ generation, place: places[index]! })
    }
    placed.sort((a, b) => comparePlaces(a.place, b.place))
    return placed.map(({ generation }) => generation)
  }

  // Checkpoints: they close the open commit too.

  /** Records the data of all renames over a name, and keeps new ones (and rounds) out until the function returned is
   *  called. What then closes the commit in this very turn breaks no promise. */
  async sealRenames(): Promise<() => void> {
    const release = await this.#rounds.acquire()
    this.#renameGate ??= new Gate()
    const unseal = () => {
      this.#openGate()
      release()
    }
    try {
      for (;;) {
        const required = this.#required(new Set())
        if (required.length === 0) return unseal
        await this.#uploadAndRecord(required, new Set())
      }
    } catch (error) {
      unseal()
      throw error
    }
  }
}

function comparePlaces(a: { directory: number; key: number }, b: { directory: number; key: number }): number {
  return a.directory - b.directory || a.key - b.key
}
