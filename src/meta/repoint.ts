// Moves the live file data that commits carry into segments, so that the commits can be trimmed. Part of a checkpoint.
//
// Blocks that are damaged stay where they are: once their commit is trimmed their id names a segment that is missing, so
// that reads of them give EIO before and after.
//
// Must stay true: only extents that still point into a commit's data when their turn comes are replaced, so whatever was
// written, truncated or removed meanwhile stands; when it ends no record points into that data, damaged blocks aside.
import { ok as assert } from 'node:assert'
import type { Extent } from '../data/index.ts'
import { FsError, isPromise } from '../platform/index.ts'
import { BLOCK_BYTES, type ContentsEntry, rawBytesOf, type SegmentId, type SegmentStore } from '../segments/index.ts'
import type { CommitData } from '../tables/index.ts'
import { extentsIn, recordExtents, sliceExtent } from './file-extents.ts'
import type { Metadata, Node } from './metadata.ts'
import { liveBytes, UsageChanges } from './usage.ts'

/** One recorded extent that points into a commit's data. */
interface Found {
  ino: number
  directory: number
  key: number
  from: Extent
}

/** The same, or its whole blocks, on their way to a segment. */
interface Move extends Found {
  to: Extent
}

/** Files looked at, or recorded, in one turn. */
const FILES_PER_TURN = 64

export interface RepointOptions {
  metadata: Metadata
  segments: SegmentStore
  takeSegmentId: () => SegmentId
  yieldTurn: () => Promise<void>
  log: MetaLog
  /** Segments begun here or in earlier tries that no record may have come to name; kept by the caller. */
  taken: Set<SegmentId>
}

export type MetaLog = (level: 'warn' | 'error', message: string) => void

export async function repoint(data: readonly CommitData[], options: RepointOptions): Promise<void> {
  if (data.length === 0) return
  const { metadata, segments, yieldTurn, log, taken } = options
  const found = await findExtents(data, options)
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
  for (const move of found) {
    for (const { extent, parts } of await readWhole(move.from, segments)) {
      const { fileOffset, range } = extent
      if (parts instanceof FsError) {
        log('error', `${parts.message}: inode ${move.ino} has lost ${range.lengthBytes} bytes at ${fileOffset}`)
        damagedBytes.set(range.segment, (damagedBytes.get(range.segment) ?? 0) + range.lengthBytes)
      } else moves.push({ ...move, from: extent, to: { fileOffset, range: packer.add(move.ino, fileOffset, parts) } })
    }
  }
  await packer.upload()

  const files = byFile(moves)
  for (let first = 0; first < files.length; first += FILES_PER_TURN) {
    const batch = files.slice(first, first + FILES_PER_TURN)
    await metadata.database.run(() => recordMoves(metadata, batch))
    await yieldTurn()
  }
  await deleteUnused(taken, options)
  for (const { id } of data) {
    const live = (await metadata.database.run(() => liveBytes(metadata.database, id))) ?? 0
    const damaged = damagedBytes.get(id) ?? 0
    assert(live <= damaged, `nothing whole points into the data of commit ${id}, but ${live - damaged} bytes do`)
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
    if (unused.length > 0) await segments.delete(unused)
    for (const id of unused) taken.delete(id)
  } catch (error) {
    log('warn', `unused segments are not deleted now, it is tried again later: ${(error as Error).message}`)
  }
}

/** An extent's bytes; where a block is damaged, block by block: those that are whole, and why the others are not. */
async function readWhole(
  extent: Extent,
  segments: SegmentStore,
): Promise<{ extent: Extent; parts: Uint8Array[] | FsError }[]> {
  try {
    return [{ extent, parts: await segments.readData(extent.range) }]
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    const { fileOffset, range } = extent
    const end = fileOffset + range.lengthBytes
    const firstEnd = fileOffset + BLOCK_BYTES - range.skipBytes
    if (end <= firstEnd) return [{ extent, parts: error }]
    const read = []
    for (let at = fileOffset, to = firstEnd; at < end; at = to, to = Math.min(end, at + BLOCK_BYTES)) {
      read.push(...(await readWhole(sliceExtent(extent, at, to), segments)))
    }
    return read
  }
}

async function findExtents(data: readonly CommitData[], options: RepointOptions): Promise<Found[]> {
  const { metadata, yieldTurn } = options
  const found: Found[] = []
  for (const { id, packed } of data) {
    const { contents } = packed
    for (let first = 0; first < contents.length; first += FILES_PER_TURN) {
      const batch = contents.slice(first, first + FILES_PER_TURN)
      found.push(...(await metadata.database.run(() => batch.flatMap((entry) => extentsAt(metadata, id, entry)))))
      await yieldTurn()
    }
  }
  return found
}

function extentsAt(metadata: Metadata, id: SegmentId, entry: ContentsEntry): Found[] {
  const node = metadata.nodeIfAny(entry.owner)
  if (node === null) return []
  const { directory, key } = node
  const to = entry.key + rawBytesOf(entry.lengthBytes)
  return extentsIn(metadata.database, node.inode, id, entry.key, to).map((from) => ({
    ino: entry.owner,
    directory,
    key,
    from,
  }))
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

function recordMoves(metadata: Metadata, files: readonly Move[][]): void {
  const { database } = metadata
  const transaction = database.transaction()
  const usage = new UsageChanges()
  let changed = false
  for (const moves of files) {
    const node = metadata.nodeIfAny(moves[0]!.ino)
    if (node === null) continue
    const added = moves.flatMap((move) => stillThere(metadata, node, move)).sort((a, b) => a.fileOffset - b.fileOffset)
    if (added.length === 0) continue
    recordExtents(database, transaction, usage, node.inode, { truncateTo: null, extents: added })
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
  return extentsIn(metadata.database, node.inode, from.range.segment, from.fileOffset, end).map((extent) =>
    sliceExtent(to, extent.fileOffset, extent.fileOffset + extent.range.lengthBytes),
  )
}
