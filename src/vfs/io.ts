// open, read, write, flush, release, fsync: the bytes of regular files.
//
// Must stay true: what a read returns was planned, and its fetches begun, in one turn; parts that live in a stream's
// memory are handed out in that turn or copied in it.
import type { Extent, ReadPart } from '../data/index.ts'
import { extentsOf, type Ino, type Inode, isDirectory, isRegular, type Node } from '../meta/index.ts'
import { errnoError, isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import { type Lease, type ReadDataOptions, sliceRange } from '../segments/index.ts'
import { dropCapabilityOf } from './capability.ts'
import { assertWritable, type Context, FILE_SIZE_MAX, openStream } from './context.ts'
import type { Handle, Opened, OpenFlags, WriteOptions } from './filesystem.ts'
import { assertAppends, assertOpens, assertWrites, noteProtected } from './protection.ts'
import type { Reader, Reading } from './reader.ts'
import { staleGate } from './stale-names.ts'

const O_TRUNC = 0o1000
const O_DIRECT = 0o40000
const O_ACCMODE = 3
const ZEROS = Buffer.alloc(128 * 1024)

/** Whether opening changes the file. */
export function isTruncating({ flags }: OpenFlags): boolean {
  return (flags & O_TRUNC) !== 0
}

export function open(context: Context, ino: Ino, { flags }: OpenFlags): MaybePromise<Opened> {
  if ((flags & O_ACCMODE) !== 0 || (flags & O_TRUNC) !== 0) assertWritable(context)
  const stale = staleGate(context, ino)
  if (stale !== null) return stale
  return context.handOver.whenQuiet(() =>
    afterGate(context, ino, flags, () =>
      context.database.run(() => openNode(context, context.metadata.nodeOf(ino), flags)),
    ),
  )
}

/** Opens, after what an O_TRUNC has to wait for. */
function afterGate<T>(context: Context, ino: Ino, flags: number, opening: () => MaybePromise<T>): MaybePromise<T> {
  const gate = (flags & O_TRUNC) === 0 ? null : context.writeback.truncationGate(ino)
  if (gate === null) return opening()
  return gate.then(() => {
    assertWritable(context)
    return afterGate(context, ino, flags, opening)
  })
}

/** Whether the file's bytes may change from the opening on. */
export function mayChange({ flags }: OpenFlags): boolean {
  return (flags & (O_ACCMODE | O_TRUNC)) !== 0
}

/** Opens a file in this turn, as `handOver.whenQuiet` lets it; O_TRUNC empties it, held back from commits until the last
 *  writer has closed it. */
export function openNode(context: Context, node: Node, flags: number): Opened {
  const { handles, quotas, reaper, streams, writeback, clock } = context
  const { ino, mode, sizeBytes } = node.inode
  if (isDirectory(mode) && (flags & O_ACCMODE) !== 0) throw errnoError('EISDIR')
  assertOpens(node.inode, flags)
  if (node.inode.flags !== 0) noteProtected(context, node.inode, flags)
  if (mayChange({ flags })) context.handOver.assertQuiet(ino)
  if ((flags & O_TRUNC) !== 0 && isRegular(mode)) {
    const size = streams.get(ino)?.attributes.sizeBytes ?? sizeBytes
    dropCapabilityOf(context, node)
    const stream = openStream(context, node)
    if (size > 0) writeback.hold(stream)
    stream.truncate(0, clock.now())
    writeback.streamChanged(stream)
  }
  const handle = handles.open(ino, flags)
  if (quotas.isActive && reaper.isOrphan(ino)) quotas.orphanUsed(ino, true)
  return { handle, directIo: (flags & O_DIRECT) !== 0 }
}

export function read(
  context: Context,
  handle: Handle,
  ino: Ino,
  offset: number,
  lengthBytes: number,
  lease?: Lease,
): MaybePromise<readonly Uint8Array[]> {
  const { database, metadata, streams, handles } = context
  const reader = handles.reader(handle, ino)
  let isFirstTry = true
  const answer = database.run((): Uint8Array[] | Promise<Uint8Array[]> => {
    const mayShare = isFirstTry
    isFirstTry = false
    const { inode } = metadata.nodeOf(ino)
    if (!isRegular(inode.mode)) throw errnoError(isDirectory(inode.mode) ? 'EISDIR' : 'EINVAL')
    const stream = streams.get(ino)
    const sizeBytes = stream?.attributes.sizeBytes ?? inode.sizeBytes
    const end = Math.min(offset + lengthBytes, sizeBytes)
    if (end <= offset) return []
    const recorded = extentsOf(database, inode, offset, end)
    const parts = stream?.plan(offset, end - offset, recorded) ?? planRecorded(recorded, offset, end)
    const isRandom = reader.isRandom({ offset, end, fileBytes: sizeBytes })
    const onBought = isRandom && lease?.isKept ? () => bought(context, ino, recorded) : undefined
    const gathered = gather(context, parts, { mayShare, lease, isRandom, onBought })
    if (onBought !== undefined && !isPromise(gathered)) found(context, ino, recorded)
    if (inode.allocatedBytes > 0)
      fetchAhead(context, inode, reader, { offset, end, waits: isPromise(gathered), fileBytes: sizeBytes })
    return gathered
  })
  return isPromise(answer) ? answer.then((parts) => parts) : answer
}

/** The kernel keeps what it is given: it may have all of what lies where this read's bytes do. */
function bought({ handOver }: Context, ino: Ino, recorded: readonly Extent[]): void {
  for (const { fileOffset } of recorded) handOver.bought(ino, fileOffset)
}

/** The same, where nothing had to be fetched. */
function found({ handOver }: Context, ino: Ino, recorded: readonly Extent[]): void {
  if (handOver.isOn) for (const { fileOffset } of recorded) handOver.hit(ino, fileOffset)
}

/** As Stream.plan, where nothing is unrecorded. */
export function planRecorded(recorded: readonly Extent[], from: number, to: number): ReadPart[] {
  const parts: ReadPart[] = []
  let at = from
  for (const { fileOffset, range } of recorded) {
    if (fileOffset > at) parts.push({ kind: 'zeros', lengthBytes: fileOffset - at })
    const start = Math.max(at, fileOffset)
    const end = Math.min(to, fileOffset + range.lengthBytes)
    parts.push({ kind: 'stored', range: sliceRange(range, start - fileOffset, end - start) })
    at = end
  }
  if (at < to) parts.push({ kind: 'zeros', lengthBytes: to - at })
  return parts
}

/** The bytes of a plan. All stored parts are asked for in this turn. */
function gather(
  context: Context,
  plan: readonly ReadPart[],
  { mayShare, ...options }: ReadDataOptions & { mayShare: boolean },
): Uint8Array[] | Promise<Uint8Array[]> {
  const pieces: (Uint8Array[] | Promise<Uint8Array[]>)[] = []
  let waits = false
  for (const part of plan) {
    if (part.kind === 'memory') pieces.push([part.bytes])
    else if (part.kind === 'zeros') pieces.push(zeros(part.lengthBytes))
    else {
      const bytes = context.segments.readData(part.range, options)
      if (isPromise(bytes)) {
        waits = true
        handled(bytes)
      }
      pieces.push(bytes)
    }
  }
  if (waits || !mayShare) {
    for (const [index, part] of plan.entries()) if (part.kind === 'memory') pieces[index] = [Buffer.from(part.bytes)]
  }
  if (!waits) return (pieces as Uint8Array[][]).flat()
  const gathered = Promise.all(pieces).then((done) => done.flat())
  handled(gathered)
  return gathered
}

/** What is planned next may throw in this turn, and then nobody waits for this read: its failure must not end the
 *  process. Whoever does wait for it still gets it. */
function handled(read: Promise<unknown>): void {
  read.catch(() => {})
}

function zeros(lengthBytes: number): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let left = lengthBytes; left > 0; left -= ZEROS.length)
    parts.push(ZEROS.subarray(0, Math.min(left, ZEROS.length)))
  return parts
}

/** Begins fetching what the reader will want next. */
function fetchAhead(
  { database, segments }: Context,
  inode: Inode,
  reader: Reader,
  read: Pick<Reading, 'offset' | 'end' | 'waits' | 'fileBytes'>,
): void {
  reader.onRead({
    ...read,
    extents: (from, to) => database.run(() => extentsOf(database, inode, from, to)),
    prefetch: (range) => segments.prefetchData(range),
  })
}

/** Takes all of `data`. Waits while too much is dirty. EFBIG past what numbers hold exactly. */
export function write(
  context: Context,
  ino: Ino,
  offset: number,
  data: Uint8Array,
  how?: WriteOptions,
): MaybePromise<number> {
  const { database, metadata, quotas, streams, clock, writeback } = context
  const isLate = how?.isLate === true
  assertWritable(context)
  if (!isLate) assertWrites(context, ino)
  if (offset + data.length > FILE_SIZE_MAX) throw errnoError('EFBIG')
  if (streams.isFull) return writeback.waitForRoom().then(() => write(context, ino, offset, data, how))
  const dirty = context.capable.has(ino) ? undefined : streams.get(ino)
  // Nothing is written past the end by nothing.
  const end = data.length === 0 ? 0 : offset + data.length
  if (dirty !== undefined) {
    if (!isLate) assertAppends(context, ino, { offset, sizeBytes: dirty.attributes.sizeBytes })
    if (quotas.isActive) quotas.checkStreamSize(ino, end)
    dirty.write(offset, data, isLate ? dirty.attributes.mtime : clock.now(), how?.slab)
    writeback.streamChanged(dirty)
    return data.length
  }
  return database.run(() => {
    const node = metadata.nodeOf(ino)
    if (!isRegular(node.inode.mode)) throw errnoError(isDirectory(node.inode.mode) ? 'EISDIR' : 'EINVAL')
    if (!isLate)
      assertAppends(context, ino, { offset, sizeBytes: streams.get(ino)?.attributes.sizeBytes ?? node.inode.sizeBytes })
    if (quotas.isActive) quotas.checkSize(node, end)
    dropCapabilityOf(context, node)
    const stream = openStream(context, node)
    stream.write(offset, data, isLate ? stream.attributes.mtime : clock.now(), how?.slab)
    writeback.streamChanged(stream)
    return data.length
  })
}

export function release(context: Context, handle: Handle): void {
  const { handles, quotas, reaper, writeback } = context
  const { ino, open: stillOpen, writers } = handles.close(handle)
  if (writers === 0) {
    writeback.unhold(ino)
    if (context.protectedWritten.size > 0) context.protectedWritten.delete(ino)
  }
  if (stillOpen > 0) return
  if (quotas.isActive && reaper.isOrphan(ino)) quotas.orphanUsed(ino, false)
  reaper.unused(ino)
}

export function fsync(context: Context, ino: Ino): Promise<void> {
  if (context.readOnly) return Promise.resolve()
  context.writeback.unhold(ino)
  if (!ruleHolds('fsync commits the names') && !context.streams.get(ino)?.isDirty) return Promise.resolve()
  return context.writeback.commit({ streams: ruleHolds('fsync commits the stream') ? [ino] : [] })
}
