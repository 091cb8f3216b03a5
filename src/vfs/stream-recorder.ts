// From streams into the tables: freezing, placing their bytes (in segments, or in front of a commit), recording. What a
// round of write-back (writeback.ts) consists of.
//
// Must stay true:
// - A frozen generation is recorded before its stream freezes again; only what is durable, or rides along, is recorded.
// - A commit is closed only when every file that a rename in it put over another one is recorded as it was then.
// - Whatever fails leaves streams dirty or frozen: the next round takes them up again.
import { ok as assert } from 'node:assert'
import type { FrozenGeneration, Stream } from '../data/index.ts'
import { deleteUnused, type Node, recordStream, UsageChanges } from '../meta/index.ts'
import { isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { SegmentId } from '../segments/index.ts'
import type { CommitData } from '../tables/index.ts'
import type { Context } from './context.ts'
import { placeOf } from './place.ts'

/** Streams recorded in one turn. */
const STREAMS_PER_TURN = 64
/** Shared parts and holes recorded in one turn, but for those of a single stream. */
const PLACES_PER_TURN = 4096
/** Streams whose data rides in a commit: they are recorded in one turn. */
const STREAMS_INLINE_MAX = 1024

interface Generation {
  readonly ino: number
  readonly stream: Stream
  readonly frozen: FrozenGeneration
  /** Whether it holds all that the round was asked for. */
  readonly isWhole: boolean
}

/** A stream on its way into a commit. */
interface Closing {
  readonly stream: Stream
  readonly frozen: FrozenGeneration
  readonly node: Node
}

/** What a round is to record of a stream: all of it, or only the generation that is frozen. */
export type Wanted = Map<number, 'all' | 'frozen'>

const NONE: Readonly<Wanted> = new Map()

export class StreamRecorder {
  readonly #context: () => Context
  readonly #inlineBytesMax: number
  /** Files put over another one by a rename in the open commit whose data was unrecorded then, with the rename's serial
   *  number. */
  readonly #renames = new Map<number, number>()
  #renameSerial = 0
  /** The serial of the rename that a frozen generation covers. */
  readonly #coveredRename = new WeakMap<FrozenGeneration, number>()
  /** Frozen generations whose stream was changed after. */
  readonly #changedSinceFreeze = new WeakSet<FrozenGeneration>()
  /** Segments of rounds that failed, or that could not be deleted: looked at again when a round has recorded. */
  readonly #taken = new Set<SegmentId>()

  constructor(context: () => Context, inlineBytesMax: number) {
    this.#context = context
    this.#inlineBytesMax = inlineBytesMax
  }

  streamChanged(stream: Stream): void {
    if (stream.frozen !== null) this.#changedSinceFreeze.add(stream.frozen)
  }

  /** A rename put this file over another, in this turn. */
  renamedOver(ino: number): void {
    if (this.#context().streams.get(ino)?.isDirty) this.#renames.set(ino, ++this.#renameSerial)
  }

  /** Whether the open commit carries a rename of this file over a name. */
  isRenamed(ino: number): boolean {
    return this.#renames.has(ino)
  }

  /** What was done to the stream so far is kept apart from what comes. False where that cannot be: what is frozen is still
   *  on its way, and more was done since. */
  split(stream: Stream): boolean {
    if (stream.frozen === null) this.#freeze(stream)
    return !stream.isTouched
  }

  /** Whether a rename waits for more of the stream than what is frozen. */
  isAwaited(stream: Stream): boolean {
    const serial = this.#renames.get(stream.ino)
    return serial !== undefined && stream.frozen !== null && this.#coveredRename.get(stream.frozen) !== serial
  }

  lostName(ino: number): void {
    this.#renames.delete(ino)
  }

  /** What must be recorded before the open commit may be closed. */
  required(wanted: Readonly<Wanted>): Stream[] {
    const { streams } = this.#context()
    const required: Stream[] = []
    for (const [ino, what] of wanted) {
      const stream = streams.get(ino)
      if (what === 'all' ? stream?.isDirty : stream?.frozen) required.push(stream as Stream)
    }
    for (const ino of this.#renames.keys()) {
      const stream = streams.get(ino)
      if (stream?.isDirty && !wanted.has(ino)) required.push(stream)
    }
    return required
  }

  /** The last turn of a round: what is left rides in the commit. Null when it is too much, or when a generation that is
   *  frozen already does not hold all that is needed. */
  closeCommit(wanted: Readonly<Wanted>): MaybePromise<{ durable: Promise<void> } | null> {
    const { database } = this.#context()
    const frozenHere = new Set<FrozenGeneration>()
    let id: SegmentId | null = null
    const takeId = (): SegmentId => {
      id ??= database.takeId('segment') as SegmentId
      return id
    }
    // Begins again where a page is missing: what it has frozen by then stays frozen, and is packed anew.
    return database.run(() => this.#closeTurn(wanted, frozenHere, takeId))
  }

  #closeTurn(
    wanted: Readonly<Wanted>,
    frozenHere: Set<FrozenGeneration>,
    takeId: () => SegmentId,
  ): { durable: Promise<void> } | null {
    const { database, metadata } = this.#context()
    const required = this.required(wanted)
    if (!this.#fitsCommit(required, frozenHere)) return null
    const closing = this.#freezeInOrder(required, frozenHere)
    const data = this.#packRuns(closing, takeId)
    const transaction = database.transaction()
    const usage = new UsageChanges(data?.id ?? null)
    for (const { frozen, node } of closing) {
      recordStream(database, transaction, usage, node.inode, frozen.changes())
      metadata.put(transaction, node)
    }
    usage.putInto(database, transaction)
    if (closing.length > 0) database.apply(transaction)
    for (const { stream, frozen, node } of closing) this.#recorded(stream, frozen, node)
    assert(this.required(NONE).length === 0, 'no rename over a name goes without its data')
    return { durable: data === null ? database.commit() : database.commit(data) }
  }

  #fitsCommit(required: readonly Stream[], frozenHere: ReadonlySet<FrozenGeneration>): boolean {
    if (required.length > STREAMS_INLINE_MAX) return false
    let bytes = 0
    let places = 0
    for (const stream of required) {
      bytes += stream.dirtyBytes
      places += stream.unrecordedPlaces
      if (bytes > this.#inlineBytesMax || places > PLACES_PER_TURN) return false
      if (!this.#mayClose(stream, frozenHere)) return false
    }
    return true
  }

  #freezeInOrder(required: readonly Stream[], frozenHere: Set<FrozenGeneration>): Closing[] {
    const { metadata } = this.#context()
    // Reads that can be made before anything is frozen.
    const nodes = required.map(({ ino }) => metadata.nodeIfAny(ino))
    const closing: Closing[] = []
    for (const [index, stream] of required.entries()) {
      const node = nodes[index] as Node | null
      const frozen = node === null ? null : (stream.frozen ?? this.#freeze(stream))
      if (node === null || frozen === null) continue
      frozenHere.add(frozen)
      closing.push({ stream, frozen, node })
    }
    return closing.sort((a, b) => comparePlaces(placeOf(a.node), placeOf(b.node)))
  }

  /** Lays the bytes out for the commit; null when there are none. */
  #packRuns(closing: readonly Closing[], takeId: () => SegmentId): CommitData | null {
    const runs = closing.flatMap(({ frozen }) =>
      frozen.runs.map(({ fileOffset, parts }) => ({ owner: frozen.ino, fileOffset, parts })),
    )
    if (runs.length === 0) {
      for (const { frozen } of closing) frozen.place([])
      return null
    }
    const id = takeId()
    const { packed, ranges } = this.#context().segments.packInMemory(id, runs)
    let at = 0
    for (const { frozen } of closing) {
      const count = frozen.runs.length
      frozen.place(ranges.slice(at, at + count))
      at += count
    }
    return { id, packed }
  }

  /** Whether recording what is frozen, or can be frozen now, brings all that is needed of the stream. */
  #mayClose(stream: Stream, frozenHere: ReadonlySet<FrozenGeneration>): boolean {
    const { segments, streams } = this.#context()
    // Runs that leave early must have arrived first; they count as dirty until then.
    if (stream.dirtyBytes >= segments.maxPieceBytes && streams.uploadsUnderWay > 0) return false
    if (stream.frozen === null) return true
    if (!frozenHere.has(stream.frozen)) return !ruleHolds('a sync waits for all that was written before')
    return !(this.#renames.has(stream.ino) && this.#changedSinceFreeze.has(stream.frozen))
  }

  #freeze(stream: Stream): FrozenGeneration | null {
    const frozen = stream.freeze()
    const serial = this.#renames.get(stream.ino)
    if (frozen !== null && serial !== undefined) this.#coveredRename.set(frozen, serial)
    return frozen
  }

  /** The frozen generation stands in the tables now. */
  #recorded(stream: Stream, frozen: FrozenGeneration, { inode }: Node): void {
    const { ino } = stream
    if (inode.extents === null) this.#context().defragmenter.recorded(ino)
    stream.recorded()
    if (this.#renames.get(ino) === this.#coveredRename.get(frozen) || !stream.isDirty) this.#renames.delete(ino)
    this.#context().streams.release(ino)
  }

  /** Freezes, uploads and records these streams. Of `wanted` goes what was recorded whole. */
  async uploadAndRecord(required: readonly Stream[], wanted: Wanted): Promise<void> {
    const generations: Generation[] = []
    for (const stream of required) {
      const isWhole = stream.frozen === null || wanted.get(stream.ino) === 'frozen'
      const frozen = stream.frozen ?? this.#freeze(stream)
      if (frozen !== null) generations.push({ ino: stream.ino, stream, frozen, isWhole })
    }
    const sorted = await this.#inListingOrder(generations)
    // Runs whose early upload was given up join those in memory: what has new runs by then is packed again.
    for (let left = sorted; left.length > 0; ) {
      const uploaded = this.#upload(left)
      if (ruleHolds('data is durable before its record')) left = await uploaded
      else {
        uploaded.catch(() => {})
        left = []
      }
    }

    for (const batch of turnsOf(sorted)) {
      const recorded = this.#context().database.run(() => this.#recordTurn(batch))
      if (isPromise(recorded)) await recorded
      for (const { ino, isWhole } of batch) if (isWhole) wanted.delete(ino)
      await this.#context().clock.yield()
    }
    await deleteUnused(this.#taken, this.#context())
  }

  /** Packs and uploads; returns those whose runs changed meanwhile. */
  async #upload(generations: readonly Generation[]): Promise<Generation[]> {
    const { clock, segments, streams } = this.#context()
    const packer = segments.dataPacker(() => {
      const id = streams.takeSegmentId()
      this.#taken.add(id)
      return id
    })
    const packed = new Map<Generation, FrozenGeneration['runs']>()
    for (const [index, generation] of generations.entries()) {
      if (index % STREAMS_PER_TURN === STREAMS_PER_TURN - 1) await clock.yield()
      const { ino, frozen } = generation
      const { runs } = frozen
      frozen.place(runs.map((run) => packer.add(ino, run.fileOffset, run.parts)))
      packed.set(generation, runs)
    }
    const inos = generations.map(({ ino }) => ino)
    const [uploaded] = await Promise.allSettled([packer.upload(), streams.settled(inos)])
    if (uploaded.status === 'rejected') throw uploaded.reason
    return generations.filter((generation) => generation.frozen.runs !== packed.get(generation))
  }

  #recordTurn(generations: readonly Generation[]): void {
    const { clock, database, metadata, streams } = this.#context()
    // A file may have been dropped while its bytes were on their way.
    const alive: Closing[] = []
    for (const { ino, stream, frozen } of generations) {
      const node = streams.get(ino)?.frozen === frozen ? metadata.nodeIfAny(ino) : null
      if (node !== null) alive.push({ stream, frozen, node })
    }
    const transaction = database.transaction()
    const usage = new UsageChanges()
    for (const { stream, frozen, node } of alive) {
      const changes = frozen.changes()
      if (!ruleHolds('size follows the data')) changes.attributes = stream.attributes
      recordStream(database, transaction, usage, node.inode, changes)
      metadata.put(transaction, node)
    }
    if (ruleHolds('usage changes with the extents')) usage.putInto(database, transaction)
    else void clock.yield().then(() => this.#putUsage(usage).catch(() => {}))
    database.apply(transaction)
    for (const { stream, frozen, node } of alive) this.#recorded(stream, frozen, node)
  }

  /** Only without the rule that usage changes with the extents. */
  async #putUsage(usage: UsageChanges): Promise<void> {
    const { database } = this.#context()
    await database.run(() => {
      const transaction = database.transaction()
      usage.putInto(database, transaction)
      database.apply(transaction)
    })
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
}

/** What is recorded together in a turn. */
function* turnsOf(generations: readonly Generation[]): globalThis.Generator<Generation[]> {
  let batch: Generation[] = []
  let places = 0
  for (const generation of generations) {
    places += generation.stream.unrecordedPlaces
    if (batch.length === STREAMS_PER_TURN || (batch.length > 0 && places > PLACES_PER_TURN)) {
      yield batch
      batch = []
      places = generation.stream.unrecordedPlaces
    }
    batch.push(generation)
  }
  if (batch.length > 0) yield batch
}

function comparePlaces(a: { directory: number; key: number }, b: { directory: number; key: number }): number {
  return a.directory - b.directory || a.key - b.key
}
