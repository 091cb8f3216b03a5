// copy_file_range(2): shares what is long enough, copies the bytes of the rest, and leaves holes holes.
//
// The model: a copy goes chunk by chunk. One turn plans a chunk of the source as a read does, checks everything, and puts
// all of it into the stream of the destination, so that a reader, or a crash, sees a chunk whole or not at all. Bytes that
// must be fetched are fetched before, and the turn begins anew; what was fetched is used if it is still wanted then.
//
// Shared is what lies in a segment that a record names: never what a commit carries (it moves soon, and is little), nor
// what left early and has no record yet (its uploader may delete it). So a source with much that is unrecorded is recorded
// first, but for what an O_TRUNC holds back.
//
// Must stay true: a range is looked up and put into the stream in one turn. From then on the stream says that the segment
// is in use, until the record that names it is applied.
import type { ReadPart } from '../data/index.ts'
import { extentsOf, isDirectory, isNamedSegment, isRegular, type Node, SHARERS_MAX, sharersOf } from '../meta/index.ts'
import { errnoError, FsError, isPromise, type MaybePromise } from '../platform/index.ts'
import { type DataRange, type SegmentId, sliceRange } from '../segments/index.ts'
import { dropCapabilityOf } from './capability.ts'
import { assertWritable, type Context, FILE_SIZE_MAX, openStream } from './context.ts'
import type { CopyEnd } from './filesystem.ts'
import { planRecorded } from './io.ts'
import { assertAppends, assertWrites } from './protection.ts'

/** Of a file, planned in one turn. */
const CHUNK_BYTES = 64 << 20
/** Of a chunk, copied as bytes. */
const CHUNK_BYTES_COPIED = 1 << 20
/** A stream with more shared parts and holes than this is recorded before it takes more. */
const PLACES_MAX = 65_536

type Step =
  | { kind: 'share'; range: DataRange }
  | { kind: 'bytes'; parts: readonly Uint8Array[] }
  | { kind: 'hole'; lengthBytes: number }

/** Bytes that were fetched, or are on their way, for the chunk under way: by where they lie. */
type Fetches = Map<string, MaybePromise<Uint8Array[]>>

export async function copyFileRange(
  context: Context,
  from: CopyEnd,
  to: CopyEnd,
  lengthBytes: number,
  flags: number,
): Promise<number> {
  assertWritable(context)
  if (flags !== 0) throw errnoError('EINVAL')
  context.handles.get(from.handle)
  if (!context.handles.get(to.handle).writable) throw errnoError('EBADF')
  assertWrites(context, to.ino)
  const wanted = await context.database.run(() => checkedLength(context, from, to, lengthBytes))
  if (wanted > 0) await recordSource(context, from.ino)
  let copied = 0
  while (copied < wanted) {
    if (copied > 0) await context.clock.yield()
    try {
      const taken = await copyChunk(context, advanced(from, copied), advanced(to, copied), wanted - copied)
      // Somebody cut the source meanwhile.
      if (taken === 0) break
      copied += taken
    } catch (error) {
      // What is there is there: the next call meets the error, as with write(2).
      if (copied > 0 && error instanceof FsError) break
      throw error
    }
  }
  return copied
}

function advanced(end: CopyEnd, bytes: number): CopyEnd {
  return { ...end, offset: end.offset + bytes }
}

/** How much there is to copy. EISDIR, EINVAL (no regular files; ranges of one file that overlap), EFBIG: in the order of
 *  the kernel's generic_copy_file_checks. */
function checkedLength(context: Context, from: CopyEnd, to: CopyEnd, lengthBytes: number): number {
  const source = regularFile(context, from)
  regularFile(context, to)
  const sizeBytes = context.streams.get(from.ino)?.attributes.sizeBytes ?? source.inode.sizeBytes
  const length = Math.min(lengthBytes, Math.max(0, sizeBytes - from.offset))
  if (length > 0 && to.offset + length > FILE_SIZE_MAX) throw errnoError('EFBIG')
  if (from.ino === to.ino && from.offset < to.offset + length && to.offset < from.offset + length)
    throw errnoError('EINVAL')
  return length
}

function regularFile(context: Context, { ino }: CopyEnd): Node {
  const node = context.metadata.nodeOf(ino)
  if (isDirectory(node.inode.mode)) throw errnoError('EISDIR')
  if (!isRegular(node.inode.mode)) throw errnoError('EINVAL')
  return node
}

/** Makes what is unrecorded of the source something that can be shared, where it is more than a commit would carry. */
async function recordSource({ streams, writeback }: Context, ino: number): Promise<void> {
  const stream = streams.get(ino)
  if (stream === undefined || writeback.isHeld(ino)) return
  if (stream.dirtyBytes + stream.earlyBytes > writeback.inlineBytesMax) await writeback.commit({ streams: [ino] })
}

async function copyChunk(context: Context, from: CopyEnd, to: CopyEnd, lengthBytes: number): Promise<number> {
  const { database, streams, writeback } = context
  const fetches: Fetches = new Map()
  for (;;) {
    assertWritable(context)
    if ((streams.get(to.ino)?.unrecordedPlaces ?? 0) > PLACES_MAX) {
      // What an O_TRUNC holds back goes along: then nothing is gained by holding back what follows.
      writeback.unhold(to.ino)
      await writeback.commit({ streams: [to.ino] })
    }
    const taken = await database.run(() => chunkTurn(context, from, to, lengthBytes, fetches))
    if (typeof taken === 'number') return taken
    if (taken === 'no room') await writeback.waitForRoom()
    else for (const [key, bytes] of fetches) fetches.set(key, await bytes)
  }
}

/** The turn of a chunk. Returns how much of the file it took, or what it has to wait for. */
function chunkTurn(
  context: Context,
  from: CopyEnd,
  to: CopyEnd,
  lengthBytes: number,
  fetches: Fetches,
): number | 'no room' | 'fetches' {
  const { clock, quotas, streams, writeback } = context
  const target = regularFile(context, to)
  if (quotas.isActive) lengthBytes = roomFor(context, target, to.offset, lengthBytes)
  const steps: Step[] = []
  const sharable = new Map<SegmentId, boolean>()
  let copiedBytes = 0
  let waits = false
  for (const part of chunkParts(context, from, lengthBytes)) {
    if (part.kind === 'zeros') steps.push({ kind: 'hole', lengthBytes: part.lengthBytes })
    else if (part.kind === 'stored' && mayShare(context, part.range, to.ino, sharable))
      steps.push({ kind: 'share', range: part.range })
    else {
      const { piece, takesAll } = cut(part, CHUNK_BYTES_COPIED - copiedBytes)
      const parts = piece.kind === 'memory' ? [piece.bytes] : fetched(context, piece.range, fetches)
      waits ||= isPromise(parts)
      copiedBytes += piece.kind === 'memory' ? piece.bytes.length : piece.range.lengthBytes
      if (!isPromise(parts)) steps.push({ kind: 'bytes', parts })
      if (!takesAll || copiedBytes === CHUNK_BYTES_COPIED) break
    }
  }
  if (waits) return 'fetches'
  if (copiedBytes > 0 && streams.isFull) return 'no room'
  if (steps.length === 0) return 0

  const sizeBytes = streams.get(to.ino)?.attributes.sizeBytes ?? target.inode.sizeBytes
  assertAppends(context, to.ino, { offset: to.offset, sizeBytes })
  dropCapabilityOf(context, target)
  const stream = openStream(context, target)
  const now = clock.now()
  let at = to.offset
  for (const step of steps) {
    if (step.kind === 'share') {
      stream.share(at, step.range, now)
      at += step.range.lengthBytes
    } else if (step.kind === 'hole') {
      stream.punch(at, step.lengthBytes, now)
      at += step.lengthBytes
    } else {
      for (const bytes of step.parts) {
        stream.write(at, bytes, now)
        at += bytes.length
      }
    }
  }
  writeback.streamChanged(stream)
  return at - to.offset
}

/** How much of so many bytes the quotas have room for. EDQUOT, ENOSPC for none. */
function roomFor({ quotas }: Context, target: Node, offset: number, lengthBytes: number): number {
  const room = quotas.mostBytes(target) - offset
  if (room <= 0 && lengthBytes > 0) quotas.checkSize(target, offset + 1)
  return Math.min(lengthBytes, room)
}

/** Where the bytes of the next chunk lie. An extent that the end of a chunk would cut is left to the next. */
function chunkParts(context: Context, { ino, offset }: CopyEnd, lengthBytes: number): ReadPart[] {
  const { database, metadata, streams } = context
  const { inode } = metadata.nodeOf(ino)
  const stream = streams.get(ino)
  const sizeBytes = stream?.attributes.sizeBytes ?? inode.sizeBytes
  const end = Math.min(offset + Math.min(lengthBytes, CHUNK_BYTES), sizeBytes)
  if (end <= offset) return []
  const recorded = extentsOf(database, inode, offset, end)
  const parts = stream?.plan(offset, end - offset, recorded) ?? planRecorded(recorded, offset, end)
  if (parts.length > 1 && parts.at(-1)!.kind === 'stored' && end < Math.min(offset + lengthBytes, sizeBytes))
    parts.pop()
  return parts
}

/** `sharable`: the segments looked at in this turn. */
function mayShare(
  context: Context,
  { segment, lengthBytes }: DataRange,
  ino: number,
  sharable: Map<SegmentId, boolean>,
): boolean {
  if (lengthBytes < context.shareMinBytes) return false
  const known = sharable.get(segment)
  if (known !== undefined) return known
  const isSharable = takesSharer(context, segment, ino)
  sharable.set(segment, isSharable)
  return isSharable
}

function takesSharer({ database, streams }: Context, segment: SegmentId, ino: number): boolean {
  if (!isNamedSegment(database, segment)) return false
  const sharers = new Set([...sharersOf(database, segment), ...streams.unrecordedSharers(segment)])
  return sharers.has(ino) || sharers.size < SHARERS_MAX
}

type InMemoryOrStored = Exclude<ReadPart, { kind: 'zeros' }>

function cut(part: InMemoryOrStored, bytesMax: number): { piece: InMemoryOrStored; takesAll: boolean } {
  const lengthBytes = part.kind === 'memory' ? part.bytes.length : part.range.lengthBytes
  if (lengthBytes <= bytesMax) return { piece: part, takesAll: true }
  const piece: InMemoryOrStored =
    part.kind === 'memory'
      ? { kind: 'memory', bytes: part.bytes.subarray(0, bytesMax) }
      : { kind: 'stored', range: sliceRange(part.range, 0, bytesMax) }
  return { piece, takesAll: false }
}

/** The bytes of a range; a promise while they are on their way. */
function fetched(context: Context, range: DataRange, fetches: Fetches): MaybePromise<Uint8Array[]> {
  const key = keyOf(range)
  const known = fetches.get(key)
  if (known !== undefined) return known
  const bytes = context.segments.readData(range)
  // A turn that begins anew may not want it any more: whoever waits for it still gets its failure.
  if (isPromise(bytes)) bytes.catch(() => {})
  fetches.set(key, bytes)
  return bytes
}

function keyOf({ segment, offset, skipBytes, lengthBytes }: DataRange): string {
  return `${segment}/${offset}/${skipBytes}/${lengthBytes}`
}
