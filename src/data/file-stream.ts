// The stream of one file: an active generation, a frozen one at most, and size and times.
//
// Must stay true:
// - Every byte below the visible size that no generation holds and none truncated away is what the tables say.
// - A frozen generation never changes, but that its early pieces end as stored or as memory (`runs` then lists anew), and
//   that what was recorded of it goes, from the front.
// - `changes` is given out only when all its bytes have a place.
import assert from 'node:assert'
import { FsError, type Timespec } from '../platform/index.ts'
import { type DataRange, joinRanges, type SegmentId, sliceRange } from '../segments/index.ts'
import { joinExtents } from './extents.ts'
import { eachMemoryPart, type Generation, type Piece } from './generation.ts'
import { SequentialSpans } from './sequential-spans.ts'
import type { Slab } from './slab.ts'
import type {
  DirtyRun,
  Extent,
  FileRange,
  FrozenGeneration,
  ReadPart,
  Stream,
  StreamAttributes,
  StreamChanges,
} from './stream.ts'

/** Runs leave a frozen generation in pieces of this size, so that packers fill segments to the last few percent;
 *  neighbours become one extent again. A multiple of BLOCK_BYTES. */
export const FROZEN_PIECE_BYTES = 256 * 1024

/** What a stream needs of the collection it is in. */
export interface StreamHost {
  readonly maxPieceBytes: number
  newGeneration(stream: FileStream): Generation
  nowMs(): number
  /** Sends a full run on its way. */
  uploadEarly(stream: FileStream, generation: Generation, piece: Piece): void
  /** A write ended: bounds may have been crossed. */
  written(): void
}

interface GenerationTimes {
  atime: Timespec | null
  sinceMs: number
  freedBytes: number
}

export class FileStream implements Stream {
  readonly ino: number
  /** Changed by generations through their hooks only. */
  dirtyBytes = 0
  earlyBytes = 0
  readonly #host: StreamHost
  readonly #spans = new SequentialSpans()
  #active: Generation
  #frozen: Frozen | null = null
  /** Times and size as visible. */
  #sizeBytes: number
  #mtime: Timespec
  #ctime: Timespec
  /** Of the active generation: whether anything changed, since when, atime where it was set, and what holes freed. */
  #touched: GenerationTimes | null = null

  constructor(ino: number, recorded: StreamAttributes, host: StreamHost) {
    this.ino = ino
    this.#host = host
    this.#sizeBytes = recorded.sizeBytes
    this.#mtime = recorded.mtime
    this.#ctime = recorded.ctime
    this.#active = host.newGeneration(this)
  }

  /** Begins again from what is recorded; only while clean. */
  rebase(recorded: StreamAttributes): void {
    assert(!this.isDirty)
    this.#sizeBytes = recorded.sizeBytes
    this.#mtime = recorded.mtime
    this.#ctime = recorded.ctime
  }

  get attributes(): StreamAttributes {
    const atime = this.#touched?.atime ?? this.#frozen?.attributes.atime ?? null
    return { sizeBytes: this.#sizeBytes, mtime: this.#mtime, ctime: this.#ctime, atime }
  }

  get freedBytes(): number {
    return (this.#touched?.freedBytes ?? 0) + (this.#frozen?.freedBytes ?? 0)
  }

  get unrecordedPlaces(): number {
    return this.#active.pieceRuns + (this.#frozen?.generation.pieceRuns ?? 0)
  }

  get isDirty(): boolean {
    return this.#touched !== null || this.#frozen !== null
  }

  get isTouched(): boolean {
    return this.#touched !== null
  }

  get frozen(): FrozenGeneration | null {
    return this.#frozen
  }

  get dirtySinceMs(): number {
    return this.#frozen?.sinceMs ?? this.#touched?.sinceMs ?? Number.POSITIVE_INFINITY
  }

  write(offset: number, data: Uint8Array, now: Timespec, slab?: Slab): void {
    if (data.length === 0) return
    const end = offset + data.length
    assert(offset >= 0 && Number.isSafeInteger(end), `write to ${offset}`)
    this.#touch()
    this.#mtime = now
    this.#ctime = now
    this.#active.write(offset, data, slab)
    if (end > this.#sizeBytes) this.#sizeBytes = end
    this.#spans.add(offset, end)
    const { maxPieceBytes } = this.#host
    for (let start = this.#spans.take(maxPieceBytes); start !== null; start = this.#spans.take(maxPieceBytes)) {
      this.#host.uploadEarly(this, this.#active, this.#active.carve(start, maxPieceBytes))
    }
    this.#host.written()
  }

  share(offset: number, range: DataRange, now: Timespec): void {
    this.#refer(offset, range.lengthBytes, range, now)
  }

  punch(offset: number, lengthBytes: number, now: Timespec, recorded?: readonly Extent[]): void {
    if (recorded === undefined) {
      this.#refer(offset, lengthBytes, null, now)
      return
    }
    const hiddenBytes = bytesOf(this.plan(offset, lengthBytes, recorded))
    const before = this.dirtyBytes + this.earlyBytes
    this.#refer(offset, lengthBytes, null, now)
    // What the active generation held of it counts no more.
    const goneBytes = before - this.dirtyBytes - this.earlyBytes
    this.#touch().freedBytes += Math.max(0, hiddenBytes - goneBytes)
  }

  #refer(offset: number, lengthBytes: number, range: DataRange | null, now: Timespec): void {
    if (lengthBytes === 0) return
    const end = offset + lengthBytes
    assert(offset >= 0 && Number.isSafeInteger(end), `a place at ${offset}`)
    this.#touch()
    this.#mtime = now
    this.#ctime = now
    // A full run never reaches over what is not in memory.
    this.#spans.clear()
    this.#active.refer(offset, lengthBytes, range)
    if (end > this.#sizeBytes) this.#sizeBytes = end
  }

  truncate(sizeBytes: number, now: Timespec): void {
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, `truncate to ${sizeBytes}`)
    this.#touch()
    this.#mtime = now
    this.#ctime = now
    if (sizeBytes < this.#sizeBytes) {
      this.#active.truncate(sizeBytes)
      this.#spans.cut(sizeBytes)
    }
    this.#sizeBytes = sizeBytes
  }

  setTimes(times: { atime?: Timespec; mtime?: Timespec; ctime: Timespec }): void {
    const touched = this.#touch()
    if (times.atime !== undefined) touched.atime = times.atime
    if (times.mtime !== undefined) this.#mtime = times.mtime
    this.#ctime = times.ctime
  }

  plan(offset: number, lengthBytes: number, recorded: readonly Extent[]): ReadPart[] {
    const end = Math.min(offset + lengthBytes, this.#sizeBytes)
    if (end <= offset) return []
    const plan = new Plan(recorded)
    const frozen = this.#frozen?.generation ?? null
    planGeneration(plan, this.#active, offset, end, (from, to) => {
      if (frozen === null) plan.recorded(from, to)
      else planGeneration(plan, frozen, from, to, (a, b) => plan.recorded(a, b))
    })
    return plan.parts
  }

  freeze(): FrozenGeneration | null {
    assert(this.#frozen === null, `inode ${this.ino} is frozen already`)
    if (this.#touched === null) return null
    const generation = this.#active
    generation.seal()
    const { atime, sinceMs, freedBytes } = this.#touched
    const attributes = { sizeBytes: this.#sizeBytes, mtime: this.#mtime, ctime: this.#ctime, atime }
    this.#frozen = new Frozen(this.ino, generation, attributes, { sinceMs, freedBytes }, this.#host.maxPieceBytes)
    this.#active = this.#host.newGeneration(this)
    this.#touched = null
    this.#spans.clear()
    return this.#frozen
  }

  recorded(): void {
    const frozen = this.#frozen
    if (frozen === null) return
    this.#frozen = null
    frozen.generation.release({ named: true, poison: false })
  }

  /** Gives up everything. Uploads of frozen bytes may be under way: their memory is left to the collector. */
  drop(): void {
    this.#active.release({ named: false, poison: false })
    this.#active = this.#host.newGeneration(this)
    this.#spans.clear()
    this.#touched = null
    const frozen = this.#frozen
    if (frozen === null) return
    this.#frozen = null
    frozen.generation.release({ named: frozen.changesGiven, poison: true })
  }

  /** Adds the segments that unrecorded runs refer to. */
  addSegmentsInUse(inUse: Set<SegmentId>): void {
    for (const generation of [this.#active, this.#frozen?.generation]) {
      if (generation === undefined || !generation.hasPieces) continue
      for (const { piece } of generation.runs) if (piece?.range) inUse.add(piece.range.segment)
    }
  }

  /** The generation whose early pieces a commit must wait for: the frozen one, if any. */
  get committing(): Generation {
    return this.#frozen?.generation ?? this.#active
  }

  #touch(): GenerationTimes {
    this.#touched ??= { atime: null, sinceMs: this.#host.nowMs(), freedBytes: 0 }
    return this.#touched
  }
}

class Frozen implements FrozenGeneration {
  /** Whether records may already name what lies here. */
  changesGiven = false
  readonly sinceMs: number
  readonly freedBytes: number
  #runs: DirtyRun[] | null = null
  #ranges: readonly DataRange[] | null = null
  #listedAt = 0

  constructor(
    readonly ino: number,
    readonly generation: Generation,
    readonly attributes: StreamAttributes,
    { sinceMs, freedBytes }: { sinceMs: number; freedBytes: number },
    readonly maxPieceBytes: number,
  ) {
    this.sinceMs = sinceMs
    this.freedBytes = freedBytes
  }

  get runs(): readonly DirtyRun[] {
    if (this.#runs === null || this.#listedAt !== this.generation.returnedPieces) {
      this.#runs = listRuns(this.generation, Math.min(this.maxPieceBytes, FROZEN_PIECE_BYTES))
      this.#listedAt = this.generation.returnedPieces
      this.#ranges = null
    }
    return this.#runs
  }

  get dirtyBytes(): number {
    return this.runs.reduce((sum, run) => sum + run.lengthBytes, 0)
  }

  place(ranges: readonly DataRange[]): void {
    const { runs } = this
    assert(ranges.length <= runs.length, `${ranges.length} places for ${runs.length} runs of inode ${this.ino}`)
    ranges.forEach((range, i) => {
      assert(range.lengthBytes === runs[i]!.lengthBytes, `a place of a wrong length for inode ${this.ino}`)
    })
    this.#ranges = ranges
  }

  changes(end = Number.POSITIVE_INFINITY): StreamChanges {
    const { runs, generation } = this
    assert(generation.onTheirWay.size === 0, `early uploads of inode ${this.ino} are under way`)
    const count = runsBefore(runs, end)
    if ((this.#ranges?.length ?? 0) < count) throw new FsError('EIO', `inode ${this.ino} has data without a place`)
    const extents: Extent[] = []
    const holes: FileRange[] = []
    const sharedFrom = new Set<SegmentId>()
    for (const { start, length, at, piece } of generation.hasPieces ? generation.runs : []) {
      if (start >= end) break
      if (piece?.state === 'hole') holes.push({ fileOffset: start, lengthBytes: length })
      if (piece?.state === 'shared') sharedFrom.add(piece.range!.segment)
      if (piece?.state !== 'stored' && piece?.state !== 'shared') continue
      extents.push({ fileOffset: start, range: sliceRange(piece.range!, at, length) })
    }
    for (let i = 0; i < count; i++) extents.push({ fileOffset: runs[i]!.fileOffset, range: this.#ranges![i]! })
    extents.sort((a, b) => a.fileOffset - b.fileOffset)
    this.changesGiven = true
    const { truncateTo } = generation
    return {
      truncateTo,
      extents: joinExtents(extents),
      attributes: this.attributes,
      ...(holes.length === 0 ? {} : { holes }),
      ...(sharedFrom.size === 0 ? {} : { sharedFrom }),
    }
  }

  recordedBefore(end: number): void {
    const { runs } = this
    const count = runsBefore(runs, end)
    const last = runs[count - 1]
    assert(
      last !== undefined && last.fileOffset + last.lengthBytes === end,
      `no run of inode ${this.ino} ends at ${end}`,
    )
    this.generation.recordedBefore(end)
    this.#runs = runs.slice(count)
    this.#ranges = this.#ranges?.slice(count) ?? null
  }
}

/** How many of them begin before `end`. */
function runsBefore(runs: readonly DirtyRun[], end: number): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (runs[middle]!.fileOffset < end) low = middle + 1
    else high = middle
  }
  return low
}

/** The runs in memory, neighbours joined, cut to pieces. */
function listRuns(generation: Generation, pieceBytes: number): DirtyRun[] {
  const list: DirtyRun[] = []
  let open: { fileOffset: number; parts: Uint8Array[]; lengthBytes: number } | null = null
  for (const run of generation.runs) {
    if (run.piece !== null && run.piece.state !== 'memory') continue
    const end = run.start + run.length
    for (let at = run.start; at < end; ) {
      if (open === null || open.fileOffset + open.lengthBytes !== at || open.lengthBytes >= pieceBytes) {
        open = { fileOffset: at, parts: [], lengthBytes: 0 }
        list.push(open)
      }
      const to = Math.min(end, open.fileOffset + pieceBytes)
      const { parts } = open
      eachMemoryPart(run, at, to, (bytes) => parts.push(bytes))
      open.lengthBytes += to - at
      at = to
    }
  }
  return list
}

/** Plans [from, to) by one generation; where it says nothing, `older` is asked. */
function planGeneration(
  plan: Plan,
  generation: Generation,
  from: number,
  to: number,
  older: (from: number, to: number) => void,
): void {
  const { truncateTo } = generation
  generation.visit(
    from,
    to,
    (run, a, b) => {
      const state = run.piece?.state
      if (state === 'hole') plan.zeros(b - a)
      else if (state === 'stored' || state === 'shared')
        plan.stored(sliceRange(run.piece!.range!, run.at + (a - run.start), b - a))
      else eachMemoryPart(run, a, b, (bytes) => plan.parts.push({ kind: 'memory', bytes }))
    },
    (a, b) => {
      const cut = truncateTo === null ? b : Math.max(a, Math.min(b, truncateTo))
      if (a < cut) older(a, cut)
      if (cut < b) plan.zeros(b - cut)
    },
  )
}

/** How many bytes of a plan lie somewhere. */
function bytesOf(parts: readonly ReadPart[]): number {
  let bytes = 0
  for (const part of parts) {
    if (part.kind === 'memory') bytes += part.bytes.length
    else if (part.kind === 'stored') bytes += part.range.lengthBytes
  }
  return bytes
}

/** Collects the parts of a read in order, joining what continues. */
class Plan {
  readonly parts: ReadPart[] = []
  readonly #recorded: readonly Extent[]
  /** Extents before this one end before what is planned next. */
  #next = 0

  constructor(recorded: readonly Extent[]) {
    this.#recorded = recorded
  }

  zeros(lengthBytes: number): void {
    const last = this.parts.at(-1)
    if (last?.kind === 'zeros') last.lengthBytes += lengthBytes
    else this.parts.push({ kind: 'zeros', lengthBytes })
  }

  stored(range: DataRange): void {
    const last = this.parts.at(-1)
    const joined = last?.kind === 'stored' ? joinRanges(last.range, range) : null
    if (joined !== null) this.parts[this.parts.length - 1] = { kind: 'stored', range: joined }
    else this.parts.push({ kind: 'stored', range })
  }

  /** What the tables hold of [from, to); zeros between. */
  recorded(from: number, to: number): void {
    let at = from
    for (; at < to; this.#next++) {
      const extent = this.#recorded[this.#next]
      if (extent === undefined || extent.fileOffset >= to) break
      const end = extent.fileOffset + extent.range.lengthBytes
      if (end <= at) continue
      if (extent.fileOffset > at) this.zeros(extent.fileOffset - at)
      const start = Math.max(at, extent.fileOffset)
      at = Math.min(end, to)
      this.stored(sliceRange(extent.range, start - extent.fileOffset, at - start))
      if (end > to) break
    }
    if (at < to) this.zeros(to - at)
  }
}
