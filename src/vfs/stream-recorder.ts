// From streams into the tables: freezing, placing their bytes (in segments, or in front of a commit), recording. What a
// round of write-back (writeback.ts) consists of.
//
// What is much is sent and recorded part by part (parts.ts): else writers would wait for the last byte of hundreds of
// megabytes before there is room again, and everybody for the turn that records a hundred thousand extents.
//
// Must stay true:
// - A frozen generation is recorded before its stream freezes again; only what is durable, or rides along, is recorded.
// - A commit is closed only when every file that a rename in it put over another one is recorded as it was then, and no
//   generation is recorded in part: whatever fails before, the next round brings the rest.
// - Whatever fails leaves streams dirty or frozen: the next round takes them up again.
import { ok as assert } from 'node:assert'
import type { FrozenGeneration, Stream } from '../data/index.ts'
import { deleteUnused, type Node, recordStream, UsageChanges } from '../meta/index.ts'
import { isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { DataPacker, DataRange, SegmentId } from '../segments/index.ts'
import type { CommitData } from '../tables/index.ts'
import { Background } from './background.ts'
import type { Context } from './context.ts'
import { partsOf, type Share, turnsOf } from './parts.ts'
import { placeOf } from './place.ts'
import { applyWith } from './quota.ts'

/** Streams recorded in one turn. */
const STREAMS_PER_TURN = 64
/** Runs, shared parts and holes recorded in one turn, but for the latter two of a single stream: 5 ms where runs lie among
 *  others. */
const PLACES_PER_TURN = 512
/** What rides in a commit is recorded in one turn. */
const PLACES_INLINE_MAX = 4096
/** From so much on, in segments or in runs, streams are sent and recorded in parts. */
const SEGMENTS_AT_ONCE = 4
const RUNS_AT_ONCE = 4096
/** Parts on their way at a time. They share the line, so that the first takes as long as all of them. */
const PARTS_UNDER_WAY = 8
/** Streams whose data rides in a commit: they are recorded in one turn. */
const STREAMS_INLINE_MAX = 1024

interface Generation {
  readonly ino: number
  readonly stream: Stream
  readonly frozen: FrozenGeneration
  /** Whether it holds all that the round was asked for. */
  readonly isWhole: boolean
}

/** A part on its way to its segment. */
interface SentPart {
  readonly shares: readonly Share<Generation>[]
  /** Where the runs of each share were put. */
  readonly places: readonly (readonly DataRange[])[]
  readonly uploaded: Promise<void>
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
  /** Files of which a generation is recorded in part, in the open commit. */
  readonly #inPart = new Set<number>()
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
    for (const ino of this.#inPart) {
      const stream = streams.get(ino)
      // It was dropped, and what is recorded of it goes with the file.
      if (!stream?.frozen) this.#inPart.delete(ino)
      else if (!required.includes(stream)) required.push(stream)
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
    const context = this.#context()
    const { database, metadata, quotas } = context
    const required = this.required(wanted)
    if (!this.#fitsCommit(required, frozenHere)) return null
    const closing = this.#freezeInOrder(required, frozenHere)
    const data = this.#packRuns(closing, takeId)
    const transaction = database.transaction()
    const usage = new UsageChanges(data?.id ?? null)
    const use = quotas.changes()
    for (const { frozen, node } of closing) {
      recordStream(database, transaction, usage, node.inode, frozen.changes())
      metadata.put(transaction, node)
      if (use !== null) quotas.recorded(use, node.inode.ino, node.inode.sizeBytes)
    }
    usage.putInto(database, transaction)
    if (closing.length > 0) applyWith(context, transaction, use)
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
      if (bytes > this.#inlineBytesMax || places > PLACES_INLINE_MAX) return false
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
    this.#inPart.delete(ino)
    if (inode.extents === null) this.#context().defragmenter.recorded(ino)
    stream.recorded()
    if (this.#renames.get(ino) === this.#coveredRename.get(frozen) || !stream.isDirty) this.#renames.delete(ino)
    const { quotas, streams } = this.#context()
    streams.release(ino)
    if (quotas.isActive) quotas.streamRecorded(ino)
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
    if (this.#isMuch(sorted)) await this.#recordInParts(sorted, wanted)
    else await this.#recordAtOnce(sorted, wanted)
    await deleteUnused(this.#taken, this.#context())
  }

  #isMuch(generations: readonly Generation[]): boolean {
    const mostBytes = SEGMENTS_AT_ONCE * this.#context().segments.maxPieceBytes
    let bytes = 0
    let runs = 0
    for (const { frozen } of generations) {
      bytes += frozen.dirtyBytes
      runs += frozen.runs.length
      if (bytes > mostBytes || runs > RUNS_AT_ONCE) return ruleHolds('data is durable before its record')
    }
    return false
  }

  /** Uploads all, then records it. */
  async #recordAtOnce(sorted: readonly Generation[], wanted: Wanted): Promise<void> {
    // Runs whose early upload was given up join those in memory: what has new runs by then is packed again.
    for (let left = sorted; left.length > 0; ) {
      const uploaded = this.#upload(left)
      if (ruleHolds('data is durable before its record')) left = await uploaded
      else {
        uploaded.catch(() => {})
        left = []
      }
    }

    await this.#record(
      sorted.map((generation) => ({ generation, runs: generation.frozen.runs, end: null })),
      wanted,
    )
  }

  /** Uploads a segment after another, several at a time, and records each when it is there. */
  async #recordInParts(sorted: readonly Generation[], wanted: Wanted): Promise<void> {
    const { segments, streams } = this.#context()
    // From here on their runs stay the same.
    await streams.settled(sorted.map(({ ino }) => ino))
    const background = new Background(this.#context)
    const underWay: SentPart[] = []
    try {
      for (const part of partsOf(sorted, segments.maxPieceBytes)) {
        if (underWay.length === PARTS_UNDER_WAY) await this.#recordPart(underWay, wanted)
        underWay.push(await this.#send(part, background))
      }
      while (underWay.length > 0) await this.#recordPart(underWay, wanted)
    } finally {
      // Their memory is read until then.
      await Promise.allSettled(underWay.map(({ uploaded }) => uploaded))
    }
  }

  async #send(shares: readonly Share<Generation>[], background: Background): Promise<SentPart> {
    const packer = this.#packer()
    const places = shares.map((): DataRange[] => [])
    let packed = 0
    for (const [index, { generation, runs }] of shares.entries()) {
      for (const { fileOffset, parts } of runs) {
        if (++packed % PLACES_PER_TURN === 0) await background.turn()
        // Dropped meanwhile, its bytes are wanted by nobody.
        if (!isAlive(this.#context(), generation)) break
        places[index]!.push(packer.add(generation.ino, fileOffset, parts))
      }
    }
    const uploaded = packer.upload()
    // Whoever records it is told.
    uploaded.catch(() => {})
    await background.turn()
    return { shares, places, uploaded }
  }

  /** Records the first of these parts when it is durable. */
  async #recordPart(underWay: SentPart[], wanted: Wanted): Promise<void> {
    const { shares, places, uploaded } = underWay[0]!
    await uploaded
    underWay.shift()
    const alive = shares.filter(({ generation }, index) => {
      if (!isAlive(this.#context(), generation)) return false
      generation.frozen.place(places[index]!)
      return true
    })
    await this.#record(alive, wanted)
  }

  /** Records what has its place, in as many turns as that takes. */
  async #record(shares: readonly Share<Generation>[], wanted: Wanted): Promise<void> {
    const { database } = this.#context()
    const background = new Background(this.#context)
    const most = {
      generations: STREAMS_PER_TURN,
      places: PLACES_PER_TURN,
      placesIn: ({ stream }: Generation) => stream.unrecordedPlaces,
    }
    for (const turn of turnsOf(shares, most)) {
      const recorded = database.run(() => this.#recordTurn(turn))
      if (isPromise(recorded)) await recorded
      for (const { generation, end } of turn) if (end === null && generation.isWhole) wanted.delete(generation.ino)
      await background.turn()
    }
  }

  #packer(): DataPacker {
    const { segments, streams } = this.#context()
    return segments.dataPacker(() => {
      const id = streams.takeSegmentId()
      this.#taken.add(id)
      return id
    })
  }

  /** Packs and uploads; returns those whose runs changed meanwhile. */
  async #upload(generations: readonly Generation[]): Promise<Generation[]> {
    const { clock, streams } = this.#context()
    const packer = this.#packer()
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

  #recordTurn(turn: readonly Share<Generation>[]): void {
    const context = this.#context()
    const { clock, database, metadata, quotas } = context
    // A file may have been dropped while its bytes were on their way.
    const alive: (Closing & { end: number | null })[] = []
    for (const { generation, end } of turn) {
      const { ino, stream, frozen } = generation
      const node = isAlive(this.#context(), generation) ? metadata.nodeIfAny(ino) : null
      if (node !== null) alive.push({ stream, frozen, node, end })
    }
    const transaction = database.transaction()
    const usage = new UsageChanges()
    const use = quotas.changes()
    for (const { stream, frozen, node, end } of alive) {
      const changes = end === null ? frozen.changes() : frozen.changes(end)
      if (!ruleHolds('size follows the data')) changes.attributes = stream.attributes
      recordStream(database, transaction, usage, node.inode, changes)
      metadata.put(transaction, node)
      if (use !== null) quotas.recorded(use, node.inode.ino, node.inode.sizeBytes)
    }
    if (ruleHolds('usage changes with the extents')) usage.putInto(database, transaction)
    else void clock.yield().then(() => this.#putUsage(usage).catch(() => {}))
    applyWith(context, transaction, use)
    for (const { stream, frozen, node, end } of alive) {
      if (end === null) this.#recorded(stream, frozen, node)
      else {
        this.#inPart.add(stream.ino)
        frozen.recordedBefore(end)
      }
    }
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

/** Whether it is still what is frozen of its file. */
function isAlive({ streams }: Context, { ino, frozen }: Generation): boolean {
  return streams.get(ino)?.frozen === frozen
}

function comparePlaces(a: { directory: number; key: number }, b: { directory: number; key: number }): number {
  return a.directory - b.directory || a.key - b.key
}
