// Moves live file data into new segments: what commits carry, so that the commits can be trimmed (part of a checkpoint),
// and what little still lives in old segments, so that these can be deleted (vfs/cleaner.ts).
//
// Blocks that are damaged stay where they are: once their commit is trimmed their id names a segment that is missing, so
// that reads of them give EIO before and after.
//
// What several files share is moved once, and shared again: all of them are then among the new segment's sharers.
//
// Must stay true: only extents that still point to where they were found when their turn comes are replaced, so whatever
// was written, truncated or removed meanwhile stands; when a repoint ends no record points into the data of those
// commits, damaged blocks aside.
import { ok as assert } from 'node:assert'
import { type Extent, joinExtents } from '../data/index.ts'
import { FsError, isPromise, ruleHolds } from '../platform/index.ts'
import {
  BLOCK_BYTES,
  type ContentsEntry,
  type DataRange,
  type ReadPriority,
  rawBytesOf,
  type SegmentId,
  type SegmentStore,
  sliceRange,
} from '../segments/index.ts'
import { StoreError } from '../store/index.ts'
import type { CommitData } from '../tables/index.ts'
import { type CommonRange, commonRanges } from './common-ranges.ts'
import { extentsByTurns } from './extents-by-turns.ts'
import { extentsIn, recordExtents, sliceExtent } from './file-extents.ts'
import type { Metadata, Node } from './metadata.ts'
import { SHARERS_MAX } from './sharers.ts'
import { liveBytes, UsageChanges } from './usage.ts'

/** Where extents are looked for: what a commit's data or a segment once held. */
export interface MoveSource {
  id: SegmentId
  contents: readonly ContentsEntry[]
  /** Files that may refer to it besides those in `contents`, or elsewhere in them. */
  sharers?: readonly number[]
}

/** What came of a move. */
export interface Moved {
  movedBytes: number
  /** By source: bytes that cannot be read, and stay. */
  damagedBytes: Map<SegmentId, number>
}

/** Files that share a segment after a move, at most: somewhat more than a copy allows, for what is shared comes together. */
const SHARERS_AFTER_MOVE_MAX = SHARERS_MAX + 40

/** One recorded extent that points into a source. */
interface Found {
  ino: number
  directory: number
  key: number
  from: Extent
}

/** The same, or its whole blocks, on their way to a segment. */
export interface Move extends Found {
  to: Extent
  /** Others refer to the same bytes. */
  isShared: boolean
}

/** Files looked at, moved, or recorded, in one turn. */
const FILES_PER_TURN = 64

export interface RepointOptions {
  metadata: Metadata
  segments: SegmentStore
  takeSegmentId: () => SegmentId
  yieldTurn: () => Promise<void>
  log: MetaLog
  /** Segments begun here or in earlier tries that no record may have come to name; kept by the caller. */
  taken: Set<SegmentId>
  /** Of the reads; demand unless told. */
  priority?: ReadPriority
}

export type MetaLog = (level: 'warn' | 'error', message: string) => void

export async function repoint(data: readonly CommitData[], options: RepointOptions): Promise<void> {
  if (data.length === 0) return
  const { metadata } = options
  const sources = data.map(({ id, packed }) => ({ id, contents: packed.contents }))
  const { damagedBytes } = await moveExtents(sources, options)
  for (const { id } of data) {
    const live = (await metadata.database.run(() => liveBytes(metadata.database, id))) ?? 0
    const damaged = damagedBytes.get(id) ?? 0
    assert(live <= damaged, `nothing whole points into the data of commit ${id}, but ${live - damaged} bytes do`)
  }
}

/** Moves all that files still have in `sources` into new segments, in listing order. */
export async function moveExtents(sources: readonly MoveSource[], options: RepointOptions): Promise<Moved> {
  const { metadata, segments, yieldTurn, log, taken, priority = 'demand' } = options
  const found = await findExtents(sources, options)
  found.sort(
    (a, b) => a.directory - b.directory || a.key - b.key || a.ino - b.ino || a.from.fileOffset - b.from.fileOffset,
  )

  const packer = segments.dataPacker(() => {
    const id = options.takeSegmentId()
    taken.add(id)
    return id
  })
  const moves: Move[] = []
  const damagedBytes = new Map<SegmentId, number>()
  try {
    for (const [index, common] of commonRanges(found).entries()) {
      if (index % FILES_PER_TURN === FILES_PER_TURN - 1) await yieldTurn()
      const owner = common.members.find(({ at }) => at === 0)!.item
      for (const { extent, parts } of await readInPieces(common.range, segments, priority)) {
        const isLost = parts instanceof FsError
        const range = isLost ? extent.range : packer.add(owner.ino, owner.from.fileOffset + extent.fileOffset, parts)
        for (const { found: member, from, to } of eachMember(common, { fileOffset: extent.fileOffset, range })) {
          const { fileOffset } = from
          const { segment, lengthBytes } = from.range
          if (isLost) {
            log('error', `${parts.message}: inode ${member.ino} has lost ${lengthBytes} bytes at ${fileOffset}`)
            damagedBytes.set(segment, (damagedBytes.get(segment) ?? 0) + lengthBytes)
          } else moves.push({ ...member, from, to, isShared: common.members.length > 1 })
        }
      }
    }
  } finally {
    // Also when a read failed: what is on its way must have arrived before it can be deleted.
    await packer.upload()
  }

  const files = byFile(moves)
  for (let first = 0; first < files.length; first += FILES_PER_TURN) {
    const batch = files.slice(first, first + FILES_PER_TURN)
    await metadata.database.run(() => recordMoves(metadata, batch))
    await yieldTurn()
  }
  await deleteUnused(taken, options)
  return { movedBytes: moves.reduce((sum, { to }) => sum + to.range.lengthBytes, 0), damagedBytes }
}

/** What of the members of a common range lies in a part of it: `fileOffset` from its beginning, the bytes now at `range`. */
function* eachMember(
  { members }: CommonRange<Found>,
  { fileOffset: partAt, range }: Extent,
): Generator<{ found: Found; from: Extent; to: Extent }> {
  for (const { item: found, at } of members) {
    const from = Math.max(partAt, at)
    const to = Math.min(partAt + range.lengthBytes, at + found.from.range.lengthBytes)
    if (from >= to) continue
    const fileOffset = found.from.fileOffset + from - at
    const extent = sliceExtent(found.from, fileOffset, fileOffset + to - from)
    yield { found, from: extent, to: { fileOffset, range: sliceRange(range, from - partAt, to - from) } }
  }
}

/** Deletes those of `taken` that no record came to name: what they hold was overwritten or removed on the way, or their
 *  round failed. Never rejects, as nothing depends on it: what is left in `taken` can be tried again. */
export async function deleteUnused(
  taken: Set<SegmentId>,
  { metadata, segments, log }: { metadata: Metadata; segments: SegmentStore; log: MetaLog },
): Promise<void> {
  try {
    const unused: SegmentId[] = []
    for (const id of [...taken]) {
      const live = metadata.database.run(() => liveBytes(metadata.database, id))
      if ((isPromise(live) ? await live : live) === null) unused.push(id)
      else taken.delete(id)
    }
    if (unused.length > 0 && ruleHolds('unnamed segments go with their uploader')) await segments.delete(unused)
    for (const id of unused) taken.delete(id)
  } catch (error) {
    log('warn', `unused segments are not deleted now, it is tried again later: ${(error as Error).message}`)
  }
}

/** The bytes of a range, as extents counted from its beginning, none longer than a piece may be: neighbouring pieces of a
 *  segment read as one. */
async function readInPieces(range: DataRange, segments: SegmentStore, priority: ReadPriority): Promise<Read[]> {
  const read: Read[] = []
  for (let at = 0; at < range.lengthBytes; at += segments.maxPieceBytes) {
    const to = Math.min(range.lengthBytes, at + segments.maxPieceBytes)
    read.push(...(await readWhole(sliceExtent({ fileOffset: 0, range }, at, to), segments, priority)))
  }
  return read
}

/** An extent, and its bytes or why they cannot be read. */
interface Read {
  extent: Extent
  parts: Uint8Array[] | FsError
}

/** An extent's bytes; where a block is damaged, block by block: those that are whole, and why the others are not. */
async function readWhole(extent: Extent, segments: SegmentStore, priority: ReadPriority): Promise<Read[]> {
  try {
    return [{ extent, parts: await segments.readData(extent.range, { priority }) }]
  } catch (error) {
    if (!(error instanceof FsError) || isPassing(error)) throw error
    const { fileOffset, range } = extent
    const end = fileOffset + range.lengthBytes
    const firstEnd = fileOffset + BLOCK_BYTES - range.skipBytes
    if (end <= firstEnd) return [{ extent, parts: error }]
    const read: Read[] = []
    for (let at = fileOffset, to = firstEnd; at < end; at = to, to = Math.min(end, at + BLOCK_BYTES)) {
      read.push(...(await readWhole(sliceExtent(extent, at, to), segments, priority)))
    }
    return read
  }
}

/** Whether the store could not be asked: then nothing is known to be lost. */
export function isPassing({ cause }: FsError): boolean {
  return cause instanceof StoreError && cause.kind !== 'not-found'
}

async function findExtents(
  sources: readonly MoveSource[],
  options: Pick<RepointOptions, 'metadata' | 'yieldTurn'>,
): Promise<Found[]> {
  const { metadata, yieldTurn } = options
  const found: Found[] = []
  const bySharer = new Map<number, Set<SegmentId>>()
  for (const { id, sharers = [] } of sources)
    for (const ino of sharers) bySharer.set(ino, (bySharer.get(ino) ?? new Set()).add(id))
  for (const [ino, ids] of bySharer) {
    for await (const { node, extents } of extentsByTurns(metadata, ino, yieldTurn)) {
      const { directory, key } = node
      for (const from of extents) if (ids.has(from.range.segment)) found.push({ ino, directory, key, from })
    }
  }
  for (const { id, contents } of sources) {
    const owned = ownedRanges(contents).filter(({ owner }) => bySharer.get(owner)?.has(id) !== true)
    for (let first = 0; first < owned.length; first += FILES_PER_TURN) {
      const batch = owned.slice(first, first + FILES_PER_TURN)
      const read = () => batch.flatMap(({ owner, from, to }) => extentsInFile(metadata, id, owner, from, to))
      found.push(...(await metadata.database.run(read)))
      await yieldTurn()
    }
  }
  return found
}

/** Where files have what a table of contents says, each part of a file once: entries overlap where one stands for bytes
 *  that several files share. */
function ownedRanges(contents: readonly ContentsEntry[]): { owner: number; from: number; to: number }[] {
  const byOwner = new Map<number, { owner: number; from: number; to: number }[]>()
  for (const { owner, key, lengthBytes } of contents) {
    const entry = { owner, from: key, to: key + rawBytesOf(lengthBytes) }
    const entries = byOwner.get(owner)
    if (entries === undefined) byOwner.set(owner, [entry])
    else entries.push(entry)
  }
  const ranges: { owner: number; from: number; to: number }[] = []
  for (const entries of byOwner.values()) {
    for (const entry of entries.sort((a, b) => a.from - b.from)) {
      const last = ranges.at(-1)
      if (last?.owner === entry.owner && entry.from <= last.to) last.to = Math.max(last.to, entry.to)
      else ranges.push(entry)
    }
  }
  return ranges
}

/** Whether a file refers to a segment whose table of contents this is. */
export async function isReferredTo(source: MoveSource, options: Pick<RepointOptions, 'metadata' | 'yieldTurn'>) {
  return (await findExtents([source], options)).length > 0
}

/** How many bytes of a segment files refer to, each counted once. */
export async function distinctBytes(source: MoveSource, options: Pick<RepointOptions, 'metadata' | 'yieldTurn'>) {
  return commonRanges(await findExtents([source], options)).reduce((sum, { range }) => sum + range.lengthBytes, 0)
}

/** What the file has of the segment within `[from, to)`. */
function extentsInFile(metadata: Metadata, id: SegmentId, ino: number, from: number, to: number): Found[] {
  const node = metadata.nodeIfAny(ino)
  if (node === null) return []
  const { directory, key } = node
  return extentsIn(metadata.database, node.inode, id, from, to).map((extent) => ({ ino, directory, key, from: extent }))
}

function byFile(moves: readonly Move[]): Move[][] {
  const files = new Map<number, Move[]>()
  for (const move of moves) {
    const file = files.get(move.ino)
    if (file === undefined) files.set(move.ino, [move])
    else file.push(move)
  }
  return [...files.values()]
}

/** Records the moves of files where these still have what was moved. A synchronous operation for `run`. */
export function recordMoves(metadata: Metadata, files: readonly Move[][]): void {
  const { database } = metadata
  const transaction = database.transaction()
  const usage = new UsageChanges()
  let changed = false
  for (const moves of files) {
    const node = metadata.nodeIfAny(moves[0]!.ino)
    if (node === null) continue
    const added: Extent[] = []
    for (const move of moves) {
      const { segment } = move.to.range
      const { ino } = node.inode
      if (move.isShared && usage.sharersWith(database, segment, ino) > SHARERS_AFTER_MOVE_MAX) continue
      const there = stillThere(metadata, node, move)
      if (there.length > 0 && move.isShared) usage.share(segment, ino)
      added.push(...there)
    }
    if (added.length === 0) continue
    added.sort((a, b) => a.fileOffset - b.fileOffset)
    recordExtents(database, transaction, usage, node.inode, { truncateTo: null, extents: joinExtents(added) })
    metadata.put(transaction, node)
    changed = true
  }
  if (!changed) return
  usage.putInto(database, transaction)
  database.apply(transaction)
}

/** The parts of the new extent whose bytes the file still has from the old one. */
function stillThere(metadata: Metadata, node: Node, move: Move): Extent[] {
  const { from, to } = move
  const end = from.fileOffset + from.range.lengthBytes
  if (!ruleHolds('what changed since is not moved')) return [to]
  // A copy may have brought it other bytes of the same segment.
  return extentsIn(metadata.database, node.inode, from.range.segment, from.fileOffset, end)
    .map((extent) => ({ extent, endOffset: extent.fileOffset + extent.range.lengthBytes }))
    .filter(({ extent, endOffset }) => beginsAt(sliceExtent(from, extent.fileOffset, endOffset).range, extent.range))
    .map(({ extent, endOffset }) => sliceExtent(to, extent.fileOffset, endOffset))
}

/** Whether two ranges begin at the same byte of the same segment. */
function beginsAt(first: DataRange, second: DataRange): boolean {
  return first.segment === second.segment && first.offset === second.offset && first.skipBytes === second.skipBytes
}
