// Streams: the dirty side of files. Each file has a stream of operations of its own (write, truncate, set-times). What
// was done to it and is not yet recorded in the tables lives here; what is visible is this on top of what is recorded.
//
// The model: a stream has at most two generations. `active` takes changes. `freeze` turns it into `frozen`, which no
// longer changes while its bytes are uploaded; then it is recorded in the tables (meta/) and dropped: in one turn, or, where
// that would be long, from the front to the end of the file in several, with no commit closed between them. A commit so takes
// of each file all of its stream up to a point, or nothing.
//
// Visible bytes at an offset: active's runs; zeros where active truncated below it; frozen's runs; zeros where frozen
// truncated below it; the recorded extents; zeros in holes. All cut at the visible size.
//
// A copy shares: `share` puts a place in a segment that some record names already into the stream, as if its bytes had been
// written, and `punch` a hole. Overwrites and truncations absorb both; nobody deletes the segment meanwhile, as the cleaner
// asks `segmentsInUse`.
//
// Must stay true: overwrites are absorbed within one generation only; a run's bytes never change once frozen or on their
// way to the store; a truncated or dropped stream's bytes are never uploaded if they had not left yet.
import type { Timespec } from '../platform/index.ts'
import type { DataRange, SegmentId } from '../segments/index.ts'
import type { Slab, SlabPool } from './slab.ts'

/** A part of a file and where its bytes lie. `fileOffset` up to 2^53. */
export interface Extent {
  fileOffset: number
  range: DataRange
}

export interface FileRange {
  fileOffset: number
  lengthBytes: number
}

/** Size and times as a stream shows them. atime only when it was set through the stream. */
export interface StreamAttributes {
  sizeBytes: number
  mtime: Timespec
  ctime: Timespec
  atime: Timespec | null
}

/** What one frozen generation changes in the tables. */
export interface StreamChanges {
  /** Everything recorded at or past this offset goes first; null when nothing was truncated. */
  truncateTo: number | null
  /** Sorted, without overlaps: they replace what is recorded where they lie. */
  extents: Extent[]
  /** Where nothing lies any more; sorted, apart from `extents`. None unless given. */
  holes?: readonly FileRange[]
  /** Segments of which extents came by `share`: their rows of sharers must have this file. None unless given. */
  sharedFrom?: ReadonlySet<SegmentId>
  attributes: StreamAttributes
}

/** One run of dirty bytes on its way out. */
export interface DirtyRun {
  fileOffset: number
  parts: readonly Uint8Array[]
  lengthBytes: number
}

export interface FrozenGeneration {
  readonly ino: number
  /** The runs that lie in memory alone, each at most `maxPieceBytes` long, in file order. */
  readonly runs: readonly DirtyRun[]
  readonly dirtyBytes: number
  /** Tells where `runs` were put, or the first of them (one range each, same order). They may not be durable yet. */
  place(ranges: readonly DataRange[]): void
  /** What to record of it, or of what lies before `end` alone; only after all runs of that were placed. */
  changes(end?: number): StreamChanges
  /** What `changes(end)` said stands in the tables: it goes, with its memory. `end` is where a run ends. */
  recordedBefore(end: number): void
}

export interface Stream {
  readonly ino: number
  readonly attributes: StreamAttributes
  /** Bytes in memory that no segment holds yet, both generations. */
  readonly dirtyBytes: number
  /** Bytes that segments hold already, but no record of this file names yet, both generations: what left early, and what
   *  is shared. */
  readonly earlyBytes: number
  /** Bytes that are no more since `punch` hid them, but still count in what is recorded, or in what is not. */
  readonly freedBytes: number
  /** Parts of the file that lie in segments, or are holes, and are unrecorded: what they take of memory is bounded by whoever
   *  makes them. */
  readonly unrecordedPlaces: number
  /** Whether anything at all is unrecorded (bytes, size or times), in the active and in the frozen generation. */
  readonly isDirty: boolean
  readonly frozen: FrozenGeneration | null
  /** Whether the active generation has anything. */
  readonly isTouched: boolean
  /** When the first unrecorded change was made (monotonic ms). */
  readonly dirtySinceMs: number

  /** Takes `data`: copies it, or keeps `slab`, which then has one holder more, where it lies at the beginning of that. Grows the
   *  size. Sets mtime and ctime to `now`. */
  write(offset: number, data: Uint8Array, now: Timespec, slab?: Slab): void
  /** Makes `range.lengthBytes` at `offset` what lies at `range`, in a segment that a record names or named in this turn.
   *  Grows the size. Sets mtime and ctime to `now`. */
  share(offset: number, range: DataRange, now: Timespec): void
  /** Makes a hole, up to 2^53; grows the size. Sets mtime and ctime to `now`. What it frees is counted in `freedBytes` where
   *  `recorded` is given, as to `plan`. */
  punch(offset: number, lengthBytes: number, now: Timespec, recorded?: readonly Extent[]): void
  /** Cuts or grows (with a hole). */
  truncate(sizeBytes: number, now: Timespec): void
  setTimes(times: { atime?: Timespec; mtime?: Timespec; ctime: Timespec }): void

  /** Where the visible bytes of a range come from, in order and without gaps: memory, a place in a segment, or zeros.
   *  `recorded` are the extents that the tables hold for that range (sorted; they may reach beyond it). Cut at the
   *  visible size. The memory parts are live: use them in this turn, or copy. */
  plan(offset: number, lengthBytes: number, recorded: readonly Extent[]): ReadPart[]

  /** Makes `active` the frozen generation; null when active has nothing. There must be no frozen one. */
  freeze(): FrozenGeneration | null
  /** The frozen generation is recorded: drops it. */
  recorded(): void
}

export type ReadPart =
  | { kind: 'memory'; bytes: Uint8Array }
  | { kind: 'stored'; range: DataRange }
  | { kind: 'zeros'; lengthBytes: number }

/** All streams of a volume. */
export interface Streams {
  /** The stream of a file, if it has unrecorded changes. */
  get(ino: number): Stream | undefined
  /** The stream of a file, begun with its recorded attributes when there is none. */
  open(ino: number, recorded: StreamAttributes): Stream
  /** Gives up what is unrecorded (the file lost its last name and its last handle). */
  drop(ino: number): void
  /** Forgets streams that are clean. Called after `recorded`. */
  release(ino: number): void
  /** All dirty streams. */
  [Symbol.iterator](): Iterator<Stream>
  /** Dirty bytes of all streams: what counts against the dirty limit. */
  readonly dirtyBytes: number
  /** Memory for what is written: whoever reads it from somewhere may read it into a slab, for `Stream.write` to keep. */
  readonly slabs: Pick<SlabPool, 'take' | 'letGo' | 'dropSpare'>
  /** Whether a writer must wait; `roomForWrite` resolves when it need not any more. Waiting asks for write-back through
   *  the `onPressure` callback given at construction. */
  readonly isFull: boolean
  roomForWrite(): Promise<void>
  /** Full runs of active generations (8 MiB: `maxPieceBytes`) leave at once, in the background, with ids from here. */
  readonly uploadsUnderWay: number
  /** Waits until the early uploads of these streams' runs have ended (a frozen generation's must, before `changes`).
   *  Never rejects: the bytes of one that failed are in memory again, and `runs` lists them. */
  settled(inos: readonly number[]): Promise<void>
  readonly takeSegmentId: () => SegmentId
  /** Every segment that something unrecorded refers to: what left early, and what was copied by reference. */
  segmentsInUse(): Set<SegmentId>
  /** The files whose streams share parts of the segment, unrecorded. */
  unrecordedSharers(segment: SegmentId): Iterable<number>
}
