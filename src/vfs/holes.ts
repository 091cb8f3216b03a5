// fallocate(2), and lseek(2) for SEEK_DATA and SEEK_HOLE: where a file has bytes, and where it has none.
//
// The model: nothing is reserved in a bucket, so allocating only makes a file longer, and zeros that are asked for are a
// hole. Both are operations of the file's stream: a crash leaves them done or not done, in order with its writes.
//
// Must stay true: a hole is put into the stream in the turn in which it is known what it frees.
import type { ReadPart } from '../data/index.ts'
import { extentsOf, type Ino, type Inode, isDirectory, isRegular, type Node } from '../meta/index.ts'
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import { dropCapabilityOf } from './capability.ts'
import { assertWritable, type Context, FILE_SIZE_MAX, openStream } from './context.ts'
import type { Handle } from './filesystem.ts'
import { planRecorded } from './io.ts'
import { assertUnprotected, assertWrites } from './protection.ts'

const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
/** A stream with more holes and shared parts than this is recorded before it takes more. */
const PLACES_MAX = 65_536

/** How much of a file is looked at first; more and more while there is nothing. */
const WINDOW_BYTES = 1 << 20
const WINDOW_GROWTH = 8
/** Recorded extents that are looked at together. */
const EXTENTS_AT_ONCE = 256
/** Windows of a turn. */
const WINDOWS_PER_TURN = 16

/** As vfs_fallocate: EOPNOTSUPP for modes that are not built, EBADF, EISDIR, ENODEV for what is no regular file, EFBIG. */
export function fallocate(
  context: Context,
  handle: Handle,
  ino: Ino,
  mode: number,
  offset: number,
  lengthBytes: number,
): MaybePromise<void> {
  assertWritable(context)
  const keepsSize = (mode & KEEP_SIZE) !== 0
  const what = mode & ~KEEP_SIZE
  if (what !== 0 && what !== ZERO_RANGE && !(what === PUNCH_HOLE && keepsSize)) throw errnoError('EOPNOTSUPP')
  if (!context.handles.get(handle).writable) throw errnoError('EBADF')
  if (offset < 0 || lengthBytes <= 0) throw errnoError('EINVAL')
  assertWrites(context, ino)
  const { database, streams, writeback } = context
  const change = { keepsSize, makesHole: what !== 0, offset, end: offset + lengthBytes }
  const turn = () => database.run(() => fallocateTurn(context, ino, change))
  if ((streams.get(ino)?.unrecordedPlaces ?? 0) <= PLACES_MAX) return turn()
  // What an O_TRUNC holds back goes along: then nothing is gained by holding back what follows.
  writeback.unhold(ino)
  return writeback.commit({ streams: [ino] }).then(() => {
    assertWritable(context)
    return turn()
  })
}

function fallocateTurn(
  context: Context,
  ino: Ino,
  { keepsSize, makesHole, offset, end }: { keepsSize: boolean; makesHole: boolean; offset: number; end: number },
): void {
  const { clock, database, metadata, quotas, streams, writeback } = context
  const node = metadata.nodeOf(ino)
  const { inode } = node
  assertFile(node)
  if (makesHole) assertUnprotected(inode)
  if (end > FILE_SIZE_MAX) throw errnoError('EFBIG')
  const sizeBytes = streams.get(ino)?.attributes.sizeBytes ?? inode.sizeBytes
  if (quotas.isActive && !keepsSize) quotas.checkSize(node, end)
  const holeEnd = Math.min(end, sizeBytes)
  const recorded = makesHole && offset < holeEnd ? extentsOf(database, inode, offset, holeEnd) : []

  dropCapabilityOf(context, node)
  const stream = openStream(context, node)
  const now = clock.now()
  if (makesHole && offset < holeEnd) stream.punch(offset, holeEnd - offset, now, recorded)
  if (!keepsSize && end > sizeBytes) stream.truncate(end, now)
  stream.setTimes({ mtime: now, ctime: now })
  writeback.streamChanged(stream)
}

function assertFile({ inode: { mode } }: Node): void {
  if (isDirectory(mode)) throw errnoError('EISDIR')
  if (!isRegular(mode)) throw errnoError('ENODEV')
}

/** ENXIO at and past the end, and where no data follows; EISDIR, EINVAL for what is no regular file. */
export function lseek(context: Context, ino: Ino, offset: number, whence: 'data' | 'hole'): MaybePromise<number> {
  if (offset < 0) throw errnoError('ENXIO')
  const search: Search = { from: offset, at: offset, windowBytes: WINDOW_BYTES, whence }
  const turn = () => context.database.run(() => seekTurn(context, ino, search))
  const goOn = async (): Promise<number> => {
    for (;;) {
      await context.clock.yield()
      const found = await turn()
      if (found !== null) return found
    }
  }
  const found = turn()
  return isPromise(found) ? found.then((at) => at ?? goOn()) : (found ?? goOn())
}

/** How far a search has come. */
interface Search {
  readonly from: number
  readonly whence: 'data' | 'hole'
  at: number
  windowBytes: number
}

/** Null: not found yet. */
function seekTurn(context: Context, ino: Ino, search: Search): number | null {
  const { metadata, streams } = context
  const { from, whence } = search
  const { inode } = metadata.nodeOf(ino)
  if (!isRegular(inode.mode)) throw errnoError(isDirectory(inode.mode) ? 'EISDIR' : 'EINVAL')
  const stream = streams.get(ino)
  const sizeBytes = stream?.attributes.sizeBytes ?? inode.sizeBytes
  if (from >= sizeBytes) throw errnoError('ENXIO')
  if (stream === undefined) {
    // As most files are.
    if (whence === 'hole' && inode.allocatedBytes === sizeBytes) return sizeBytes
    if (whence === 'data' && inode.allocatedBytes === 0) throw errnoError('ENXIO')
  }
  for (let windows = 0; search.at < sizeBytes; windows++) {
    if (windows === WINDOWS_PER_TURN) return null
    const found = seekInWindow(context, inode, search, sizeBytes)
    if (found !== null) return found
  }
  if (whence === 'data') throw errnoError('ENXIO')
  return sizeBytes
}

/** Looks through the next part of the file, and goes on behind it where nothing is found. */
function seekInWindow({ database, streams }: Context, inode: Inode, search: Search, sizeBytes: number): number | null {
  const from = search.at
  let to = Math.min(from + search.windowBytes, sizeBytes)
  const recorded = extentsOf(database, inode, from, to, EXTENTS_AT_ONCE)
  if (recorded.length >= EXTENTS_AT_ONCE) {
    const { fileOffset, range } = recorded.at(-1)!
    to = Math.min(to, fileOffset + range.lengthBytes)
  }
  const parts = streams.get(inode.ino)?.plan(from, to - from, recorded) ?? planRecorded(recorded, from, to)
  let at = from
  for (const part of parts) {
    if ((part.kind === 'zeros') === (search.whence === 'hole')) return at
    at += lengthOf(part)
  }
  search.at = to
  search.windowBytes *= WINDOW_GROWTH
  return null
}

function lengthOf(part: ReadPart): number {
  if (part.kind === 'memory') return part.bytes.length
  return part.kind === 'stored' ? part.range.lengthBytes : part.lengthBytes
}
