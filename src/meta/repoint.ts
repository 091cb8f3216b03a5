// Moves the live file data that commits carry into segments, so that the commits can be trimmed. Part of a checkpoint.
//
// Must stay true: only extents that still point into a commit's data when their turn comes are replaced, so whatever was
// written, truncated or removed meanwhile stands; when it ends no record points into that data.
import { ok as assert } from 'node:assert'
import type { Extent } from '../data/index.ts'
import { isPromise } from '../platform/index.ts'
import { type ContentsEntry, rawBytesOf, type SegmentId, type SegmentStore } from '../segments/index.ts'
import type { CommitData } from '../tables/index.ts'
import { extentsIn, recordExtents, sliceExtent } from './file-extents.ts'
import type { Metadata, Node } from './metadata.ts'
import { liveBytes, UsageChanges } from './usage.ts'

/** One recorded extent on its way to a segment. */
interface Move {
  ino: number
  directory: number
  key: number
  from: Extent
  to: Extent | null
}

/** Files looked at, or recorded, in one turn. */
const FILES_PER_TURN = 64

export interface RepointOptions {
  metadata: Metadata
  segments: SegmentStore
  takeSegmentId: () => SegmentId
  yieldTurn: () => Promise<void>
}

export async function repoint(data: readonly CommitData[], options: RepointOptions): Promise<void> {
  if (data.length === 0) return
  const { metadata, segments, yieldTurn } = options
  const moves = await findMoves(data, options)
  moves.sort(
    (a, b) => a.directory - b.directory || a.key - b.key || a.ino - b.ino || a.from.fileOffset - b.from.fileOffset,
  )

  const taken: SegmentId[] = []
  const packer = segments.dataPacker(() => {
    const id = options.takeSegmentId()
    taken.push(id)
    return id
  })
  for (const move of moves) {
    const parts = await segments.readData(move.from.range)
    move.to = { fileOffset: move.from.fileOffset, range: packer.add(move.ino, move.from.fileOffset, parts) }
  }
  await packer.upload()

  const files = byFile(moves)
  for (let first = 0; first < files.length; first += FILES_PER_TURN) {
    const batch = files.slice(first, first + FILES_PER_TURN)
    await metadata.database.run(() => recordMoves(metadata, batch))
    await yieldTurn()
  }
  await deleteUnused(metadata, segments, taken)
  for (const { id } of data) {
    const live = await metadata.database.run(() => liveBytes(metadata.database, id))
    assert(live === null || live === 0, `nothing points into the data of commit ${id}, but ${live} bytes do`)
  }
}

/** Deletes segments that no record came to name: what they hold was overwritten or removed on the way. */
export async function deleteUnused(
  metadata: Metadata,
  segments: SegmentStore,
  ids: readonly SegmentId[],
): Promise<void> {
  const unused: SegmentId[] = []
  for (const id of ids) {
    const live = metadata.database.run(() => liveBytes(metadata.database, id))
    if ((isPromise(live) ? await live : live) === null) unused.push(id)
  }
  if (unused.length > 0) await segments.delete(unused)
}

async function findMoves(data: readonly CommitData[], options: RepointOptions): Promise<Move[]> {
  const { metadata, yieldTurn } = options
  const moves: Move[] = []
  for (const { id, packed } of data) {
    const { contents } = packed
    for (let first = 0; first < contents.length; first += FILES_PER_TURN) {
      const batch = contents.slice(first, first + FILES_PER_TURN)
      moves.push(...(await metadata.database.run(() => batch.flatMap((entry) => movesOf(metadata, id, entry)))))
      await yieldTurn()
    }
  }
  return moves
}

function movesOf(metadata: Metadata, id: SegmentId, entry: ContentsEntry): Move[] {
  const node = nodeIfAny(metadata, entry.owner)
  if (node === null) return []
  const { directory, key } = node
  const to = entry.key + rawBytesOf(entry.lengthBytes)
  return extentsIn(metadata.database, node.inode, id, entry.key, to).map((from) => ({
    ino: entry.owner,
    directory,
    key,
    from,
    to: null,
  }))
}

function nodeIfAny(metadata: Metadata, ino: number): Node | null {
  return metadata.exists(ino) ? metadata.nodeOf(ino) : null
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
    const node = nodeIfAny(metadata, moves[0]!.ino)
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
    sliceExtent(to!, extent.fileOffset, extent.fileOffset + extent.range.lengthBytes),
  )
}
