// One generation of a file's unrecorded bytes: a map of runs, each in memory (a region of a slab) or in a piece that left
// early for the store.
//
// States of a piece: waiting (in the queue, bytes in memory) -> uploading -> stored (bytes released, the run is a place in
// a segment), or -> memory (the upload failed, or some of its bytes were overwritten before it left: they stay dirty and
// leave with the commit), or -> abandoned (all of it was overwritten or cut off before it left). Pieces that never were in
// memory: shared (a place in a segment that others refer to) and hole.
//
// Must stay true:
// - Bytes of regions are written only through `write`, in the active generation, and never those of a piece.
// - `onDirty` is told of every byte that becomes or ceases to be dirty: bytes of regions; of waiting and uploading pieces
//   all, as their memory is held whole; of pieces in memory those still referred to.
// - A region or piece is released when no run, and for regions no piece, refers to it.
import assert from 'node:assert'
import type { DataRange, SegmentId } from '../segments/index.ts'
import { RunMap } from './run-map.ts'
import type { Region, Slab, SlabPool } from './slab.ts'

/** How much a run that is being appended to reserves beyond what is written, at most. */
const RESERVE_BYTES_MAX = 256 * 1024

/** `length` bytes of the file at `start`: `at` bytes into a region or into a piece (one of the two). */
export interface Run {
  start: number
  length: number
  at: number
  readonly region: Region | null
  readonly piece: Piece | null
}

export type PieceState = 'waiting' | 'uploading' | 'stored' | 'memory' | 'abandoned' | 'shared' | 'hole'

/** A full run that leaves before its generation is frozen; or what never was in memory. */
export interface Piece {
  readonly fileOffset: number
  readonly lengthBytes: number
  state: PieceState
  /** Bytes that runs still refer to. */
  liveBytes: number
  /** While in memory: the bytes, where each part ends, and the regions they lie in. */
  parts: Uint8Array[]
  partEnds: number[]
  regions: Region[]
  /** Once stored; where it is shared. */
  range: DataRange | null
  /** A record may name its segment. */
  named: boolean
}

export interface GenerationHooks {
  readonly pool: SlabPool
  onDirty(deltaBytes: number): void
  /** Of bytes that runs begin or cease to refer to in stored and in shared pieces. */
  onStored(deltaBytes: number): void
  /** No run refers to this stored segment, and no record ever did. */
  onUnnamed(segment: SegmentId): void
  /** A shared piece came (1) or went (-1). */
  onShared(segment: SegmentId, delta: 1 | -1): void
}

export class Generation {
  readonly runs = new RunMap<Run>()
  /** Waiting or uploading. */
  readonly onTheirWay = new Set<Piece>()
  truncateTo: number | null = null
  /** Counts pieces that went back to memory: lists of runs made before are stale. */
  returnedPieces = 0
  readonly #hooks: GenerationHooks
  /** Runs in pieces; while there are none writes need not look for them. */
  #pieceRuns = 0
  /** Always in `runs`: else its region may be somebody else's. */
  #lastWritten: Run | null = null

  constructor(hooks: GenerationHooks) {
    this.#hooks = hooks
  }

  get hasPieces(): boolean {
    return this.#pieceRuns > 0
  }

  get pieceRuns(): number {
    return this.#pieceRuns
  }

  /** Copies `data` in, over bytes in memory in place. If it is all of `slab`, that may be adopted instead. */
  write(offset: number, data: Uint8Array, slab?: Slab): void {
    const end = offset + data.length
    if (slab !== undefined && data.length === slab.bytes.length && this.#adopt(offset, data, slab)) return
    const last = this.#lastWritten
    let at = offset
    if (last !== null && last.start + last.length === offset && this.runs.last === last) at += this.#append(last, data)
    if (at === end) return
    if (this.#pieceRuns > 0) this.#discard(at, end, true)
    let run = this.runs.seek(at)
    while (at < end) {
      if (run !== undefined && run.start <= at) {
        const region = run.region!
        const to = Math.min(end, run.start + run.length)
        region.slab.bytes.set(data.subarray(at - offset, to - offset), region.start + run.at + (at - run.start))
        at = to
        run = this.runs.next()
        continue
      }
      const gapEnd = run === undefined ? end : Math.min(end, run.start)
      this.#fillGap(at, data.subarray(at - offset, gapEnd - offset))
      at = gapEnd
    }
  }

  /** The bytes from `start` on are those at `range`, or zeros (`lengthBytes` of them) where that is null. */
  refer(start: number, lengthBytes: number, range: DataRange | null): void {
    this.#discard(start, start + lengthBytes, false)
    const piece: Piece = {
      fileOffset: start,
      lengthBytes,
      state: range === null ? 'hole' : 'shared',
      liveBytes: lengthBytes,
      parts: [],
      partEnds: [],
      regions: [],
      range,
      named: true,
    }
    this.runs.seek(start)
    this.runs.insert({ start, length: lengthBytes, at: 0, region: null, piece })
    this.#pieceRuns += 1
    if (range === null) return
    this.#hooks.onStored(lengthBytes)
    this.#hooks.onShared(range.segment, 1)
  }

  /** The file now ends at `size`: what lay behind is gone, here and in what is older. */
  truncate(size: number): void {
    this.truncateTo = Math.min(this.truncateTo ?? size, size)
    this.#discard(size, Number.POSITIVE_INFINITY, false)
  }

  /** Visits [from, to) in order: runs (with the part of them that lies in it) and the gaps between them. */
  visit(
    from: number,
    to: number,
    onRun: (run: Run, from: number, to: number) => void,
    onGap: (from: number, to: number) => void,
  ): void {
    let at = from
    for (let run = this.runs.seek(from); run !== undefined && run.start < to && at < to; run = this.runs.next()) {
      if (run.start > at) onGap(at, run.start)
      const start = Math.max(at, run.start)
      at = Math.min(to, run.start + run.length)
      onRun(run, start, at)
    }
    if (at < to) onGap(at, to)
  }

  /** Makes a piece of [start, start + lengthBytes), all of which lies in regions. */
  carve(start: number, lengthBytes: number): Piece {
    const end = start + lengthBytes
    const piece: Piece = {
      fileOffset: start,
      lengthBytes,
      state: 'waiting',
      liveBytes: lengthBytes,
      parts: [],
      partEnds: [],
      regions: [],
      range: null,
      named: false,
    }
    let covered = start
    for (let run = this.runs.seek(start); run !== undefined && run.start < end; run = this.runs.current) {
      const { region } = run
      assert(region !== null && run.start <= covered, 'a full run has a gap')
      const from = Math.max(start, run.start)
      const to = Math.min(end, run.start + run.length)
      piece.parts.push(regionBytes(region, run.at + (from - run.start), to - from))
      piece.partEnds.push(to - start)
      piece.regions.push(region)
      region.references += 1
      this.#cutAtCursor(run, from, to)
      covered = to
    }
    assert(covered === end, 'a full run ends early')
    this.runs.seek(start)
    this.runs.insert({ start, length: lengthBytes, at: 0, region: null, piece })
    this.#pieceRuns += 1
    this.onTheirWay.add(piece)
    return piece
  }

  /** The piece lies in the store, durable. */
  stored(piece: Piece, range: DataRange): void {
    piece.state = 'stored'
    piece.range = range
    this.onTheirWay.delete(piece)
    this.#hooks.onDirty(-piece.lengthBytes)
    this.#hooks.onStored(piece.liveBytes)
    this.#releaseMemory(piece)
    if (piece.liveBytes === 0) this.#unused(piece)
  }

  /** The piece does not leave early: it failed, or is not whole any more. */
  returnToMemory(piece: Piece): void {
    piece.state = 'memory'
    this.onTheirWay.delete(piece)
    this.returnedPieces += 1
    this.#hooks.onDirty(piece.liveBytes - piece.lengthBytes)
    if (piece.liveBytes === 0) this.#releaseMemory(piece)
  }

  /** Before it is frozen: room behind runs is given back, and pieces that would not leave whole join the rest. */
  seal(): void {
    for (const piece of [...this.onTheirWay]) {
      if (piece.state === 'waiting' && piece.liveBytes < piece.lengthBytes) this.returnToMemory(piece)
    }
    if (this.#lastWritten?.region) this.#hooks.pool.trim(this.#lastWritten.region)
    this.#lastWritten = null
  }

  /** What lies before `end` stands in the tables, and the truncation too: they go from here. Nobody reads their memory. */
  recordedBefore(end: number): void {
    this.truncateTo = null
    for (let run = this.runs.seek(0); run !== undefined && run.start < end; run = this.runs.current) {
      const { start, region, piece } = run
      const cutTo = Math.min(end, start + run.length)
      if (region !== null) this.#hooks.onDirty(start - cutTo)
      else piece!.named = true
      this.#cutAtCursor(run, start, cutTo)
      if (piece !== null) this.#discounted(piece, cutTo - start)
    }
  }

  /** Everything goes. `named`: records may name the stored pieces. `poison`: somebody may still read the memory. */
  release(options: { named: boolean; poison: boolean }): void {
    let memoryBytes = 0
    for (const run of this.runs) {
      if (run.region !== null) {
        memoryBytes += run.length
        if (options.poison) this.#hooks.pool.poison(run.region)
        this.#hooks.pool.release(run.region)
        continue
      }
      const piece = run.piece!
      piece.named ||= options.named
      if (options.poison) for (const region of piece.regions) this.#hooks.pool.poison(region)
      this.#discounted(piece, run.length)
    }
    this.runs.clear()
    this.#lastWritten = null
    this.#pieceRuns = 0
    this.#hooks.onDirty(-memoryBytes)
  }

  /** Appends to a run what fits behind it in its region. Returns how much. */
  #append(run: Run, data: Uint8Array): number {
    const { region } = run
    if (region === null || run.at + run.length !== region.filled) return 0
    const room = this.#hooks.pool.grow(region, data.length)
    const take = Math.min(room, data.length)
    if (take === 0) return 0
    region.slab.bytes.set(take === data.length ? data : data.subarray(0, take), region.start + region.filled)
    region.filled += take
    run.length += take
    this.#lastWritten = run
    this.#hooks.onDirty(take)
    return take
  }

  /** Whether nothing is in the way. */
  #adopt(start: number, data: Uint8Array, slab: Slab): boolean {
    assert(data.buffer === slab.bytes.buffer && data.byteOffset === slab.bytes.byteOffset && slab.holders === 1)
    const end = start + data.length
    if (this.#pieceRuns > 0) this.#discard(start, end, true)
    const run = this.runs.seek(start)
    if (run !== undefined && run.start < end) return false
    if (this.#lastWritten?.region) this.#hooks.pool.trim(this.#lastWritten.region)
    this.#insert(start, this.#hooks.pool.adopt(slab), data.length)
    return true
  }

  #insert(start: number, region: Region, length: number): void {
    const run: Run = { start, length, at: 0, region, piece: null }
    this.runs.insert(run)
    this.#lastWritten = run
    this.#hooks.onDirty(length)
  }

  /** Fills the gap before the cursor from `start` on. */
  #fillGap(start: number, data: Uint8Array): void {
    const previous = this.runs.previous
    const continues = previous !== undefined && previous.start + previous.length === start
    let at = continues ? this.#append(previous, data) : 0
    const reserveBytes = continues ? Math.min(previous.length, RESERVE_BYTES_MAX) : 0
    while (at < data.length) {
      const region = this.#hooks.pool.allocate(data.length - at, reserveBytes)
      const length = Math.min(region.capacity, data.length - at)
      region.slab.bytes.set(data.subarray(at, at + length), region.start)
      region.filled = length
      this.#insert(start + at, region, length)
      at += length
    }
  }

  /** Takes [from, to) out: all of it, or only what lies in pieces. */
  #discard(from: number, to: number, piecesOnly: boolean): void {
    for (let run = this.runs.seek(from); run !== undefined && run.start < to; ) {
      if (piecesOnly && run.piece === null) {
        run = this.runs.next()
        continue
      }
      const cutFrom = Math.max(from, run.start)
      const cutTo = Math.min(to, run.start + run.length)
      const { region, piece } = run
      if (region !== null) this.#hooks.onDirty(cutFrom - cutTo)
      this.#cutAtCursor(run, cutFrom, cutTo)
      if (piece !== null) this.#discounted(piece, cutTo - cutFrom)
      run = this.runs.current
    }
  }

  /** Takes [from, to) out of the run at the cursor, which then is on what follows it. */
  #cutAtCursor(run: Run, from: number, to: number): void {
    const end = run.start + run.length
    if (from === run.start && to === end) {
      this.runs.remove()
      if (run === this.#lastWritten) this.#lastWritten = null
      if (run.region !== null) this.#hooks.pool.release(run.region)
      else this.#pieceRuns -= 1
      return
    }
    if (from === run.start) {
      run.at += to - from
      run.start = to
      run.length = end - to
      return
    }
    run.length = from - run.start
    this.runs.next()
    if (to === end) return
    const { region, piece } = run
    this.runs.insert({ start: to, length: end - to, at: run.at + (to - run.start), region, piece })
    if (region !== null) region.references += 1
    else this.#pieceRuns += 1
    this.runs.seek(to)
  }

  #discounted(piece: Piece, lengthBytes: number): void {
    piece.liveBytes -= lengthBytes
    if (piece.state === 'memory') this.#hooks.onDirty(-lengthBytes)
    else if (piece.state === 'stored' || piece.state === 'shared') this.#hooks.onStored(-lengthBytes)
    if (piece.liveBytes > 0) return
    if (piece.state === 'memory') this.#releaseMemory(piece)
    else if (piece.state === 'stored') this.#unused(piece)
    else if (piece.state === 'shared') this.#hooks.onShared(piece.range!.segment, -1)
    else if (piece.state === 'waiting') {
      piece.state = 'abandoned'
      this.onTheirWay.delete(piece)
      this.#hooks.onDirty(-piece.lengthBytes)
      this.#releaseMemory(piece)
    }
  }

  #releaseMemory(piece: Piece): void {
    for (const region of piece.regions) this.#hooks.pool.release(region)
    piece.parts = []
    piece.partEnds = []
    piece.regions = []
  }

  #unused(piece: Piece): void {
    if (!piece.named) this.#hooks.onUnnamed(piece.range!.segment)
  }
}

function regionBytes(region: Region, at: number, lengthBytes: number): Uint8Array {
  const start = region.start + at
  return region.slab.bytes.subarray(start, start + lengthBytes)
}

/** Calls `emit` with the bytes [from, to) (file offsets) of a run in memory. */
export function eachMemoryPart(run: Run, from: number, to: number, emit: (bytes: Uint8Array) => void): void {
  const at = run.at + (from - run.start)
  if (run.region !== null) {
    emit(regionBytes(run.region, at, to - from))
    return
  }
  const { parts, partEnds } = run.piece!
  let low = 0
  let high = partEnds.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (partEnds[middle]! <= at) low = middle + 1
    else high = middle
  }
  const end = at + (to - from)
  for (let i = low, position = at; position < end; i++) {
    const part = parts[i]!
    const partStart = partEnds[i]! - part.length
    const partTo = Math.min(partEnds[i]!, end)
    emit(part.subarray(position - partStart, partTo - partStart))
    position = partTo
  }
}
