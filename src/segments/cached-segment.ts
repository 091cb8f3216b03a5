// What is known of one segment while something of it is held or on its way: its chunks, the GETs under way, and which bytes
// the next GET should ask for. Decides nothing, waits for nothing: see chunk-cache.ts.
import { FsError } from '../platform/index.ts'
import type { Chunk } from './chunk.ts'
import { type SegmentKind, segmentKey } from './format.ts'
import type { ReadPriority, SegmentId } from './segment-store.ts'

/** What was read did not verify, or ended early. It may have been damaged on its way: reading it again may help. */
export class DamagedError extends FsError {
  constructor(message: string) {
    super('EIO', message)
  }
}

/** What a reader wants of a segment, and how it is to be fetched. */
export interface ReadWish {
  start: number
  end: number
  /** Fetches are aligned to this. */
  windowBytes: number
  priority: ReadPriority
  /** Memory of data is used again. */
  kind: SegmentKind
  /** When the rest of the segment is bought.
   *  `near`: with a miss that lies near to what is held, when the rent is paid, or with the first one on credit (breadth.ts).
   *  `rent`: when the rent is paid, by a GET of its own, or with a miss that goes on where something held ends.
   *  `always`: with any second miss. `now`: at once.
   *  `never`: no fetch of another priority grows by the windows either. */
  buy: 'near' | 'rent' | 'always' | 'now' | 'never'
  /** Called when the rest has come that this wish helped to pay for, or that was on its way; never, where it fails. */
  onBought?: (() => void) | undefined
}

/** A GET that waits for its turn or is under way. */
export class Fetch {
  /** The queue has handed it out: its priority is of no more use. */
  dequeued = false
  /** The request is being made: the range is fixed. */
  begun = false
  /** Who waits for it will hold what comes. */
  waiting = 0
  /** Of those who want it ahead. */
  prefetches = 0
  /** It completes the segment. */
  isPurchase = false
  /** It is more than was asked for, since what lies beside it is likely to be wanted. */
  isForNeighbours = false
  /** The segment may be bought when it has come. */
  isRent = false
  /** Who is to be told when the segment is bought. */
  readonly onBought = new Set<() => void>()
  readonly abort = new AbortController()
  /** Resolves to what came. */
  readonly promise: Promise<Chunk>

  constructor(
    readonly held: CachedSegment,
    readonly queueId: string,
    public start: number,
    public end: number,
    public priority: ReadPriority,
    readonly kind: SegmentKind,
    enqueue: (fetch: Fetch) => Promise<Chunk>,
  ) {
    this.promise = enqueue(this)
  }
}

/** A segment of which something is held or on its way. */
export interface CachedSegment {
  readonly id: SegmentId
  chunks: Chunk[]
  fetches: Fetch[]
  /** Fetches that were made since anything of it is held. */
  fetchCount: number
  /** Bytes of the object, once known. */
  sizeBytes: number
}

/** Of these chunks those that hold what is wanted. Throws when something is missing. */
export function inOrder(segment: SegmentId, { start, end }: ReadWish, chunks: readonly Chunk[]): Chunk[] {
  const found: Chunk[] = []
  for (let at = start; at < end; ) {
    const chunk = chunks.find((candidate) => candidate.start <= at && at < candidate.end)
    if (chunk === undefined) {
      const size = chunks.reduce((most, candidate) => Math.max(most, candidate.end), 0)
      throw new DamagedError(`${segmentKey(segment)} has ${size} bytes, wanted were those to ${end}`)
    }
    found.push(chunk)
    at = chunk.end
  }
  return found
}

/** Among the chunks that hold the byte `at`, the one that reaches furthest. */
export function chunkAt(held: CachedSegment, at: number): Chunk | undefined {
  let best: Chunk | undefined
  for (const chunk of held.chunks) {
    if (chunk.start <= at && at < chunk.end && (best === undefined || chunk.end > best.end)) best = chunk
  }
  return best
}

/** The aligned window around what is missing from `at` on, less what is held on its sides. */
export function window(held: CachedSegment, at: number, wish: ReadWish): { start: number; end: number } {
  const { windowBytes } = wish
  const parts = [...held.chunks, ...held.fetches]
  let missingEnd = wish.end
  let start = Math.floor(at / windowBytes) * windowBytes
  for (const part of parts) if (part.start > at) missingEnd = Math.min(missingEnd, part.start)
  let end = Math.max(Math.ceil(missingEnd / windowBytes) * windowBytes, missingEnd)
  for (const part of parts) {
    if (part.end <= at) start = Math.max(start, part.end)
    if (part.start >= missingEnd) end = Math.min(end, part.start)
  }
  return { start, end: Math.max(missingEnd, Math.min(end, held.sizeBytes)) }
}

/** What is missing from `at` on, until `end` at most, in equal parts no larger than `mostBytes`: the first of them. */
export function share(held: CachedSegment, at: number, end: number, mostBytes: number): { start: number; end: number } {
  let missingEnd = end
  for (const { start } of [...held.chunks, ...held.fetches]) if (start > at) missingEnd = Math.min(missingEnd, start)
  const parts = Math.ceil((missingEnd - at) / mostBytes)
  return { start: at, end: at + Math.ceil((missingEnd - at) / parts) }
}

/** All of the segment but what is held of it at its beginning and its end: what one GET can complete. */
export function unheld(held: CachedSegment): { start: number; end: number } {
  const parts = [...held.chunks, ...held.fetches]
  let start = 0
  for (let part = partAt(parts, start); part !== undefined; part = partAt(parts, start)) start = part.end
  let end = held.sizeBytes
  if (end !== Number.POSITIVE_INFINITY) {
    for (let part = partAt(parts, end - 1); part !== undefined && part.start > start; part = partAt(parts, end - 1)) {
      end = part.start
    }
  }
  return { start, end }
}

function partAt<T extends { start: number; end: number }>(parts: readonly T[], at: number): T | undefined {
  return parts.find((part) => part.start <= at && at < part.end)
}
