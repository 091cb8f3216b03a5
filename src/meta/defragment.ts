// Makes parts of files whole again that lie in many small extents: their bytes go into a new segment in the order of the
// file, as one extent.
//
// Must stay true: as when segments are cleaned (repoint.ts), an extent is replaced only where the file still has the very
// bytes that were read. What was made whole is one extent, so it is never chosen again.
import type { Extent } from '../data/index.ts'
import { FsError } from '../platform/index.ts'
import { type SegmentId, sliceRange } from '../segments/index.ts'
import type { TableKind, TableReader } from '../tables/index.ts'
import { extentsFrom, extentsOf, sliceExtent } from './file-extents.ts'
import { deleteUnused, isPassing, type Move, type RepointOptions, recordMoves } from './repoint.ts'
import { sharersOf } from './sharers.ts'
import { isNamedSegment } from './usage.ts'

/** A run is rewritten from so many extents on, ... */
const EXTENTS_MIN = 8
/** ... if they are no longer than this on average: what a window of a cold read fetches anyway. */
const AVERAGE_BYTES_MAX = 256 * 1024
/** Windows of a file looked at in one turn. */
const WINDOWS_PER_TURN = 4

/** The next runs of a file worth rewriting, from `from` on; `next`: where to look further, null at the end. A run is a
 *  sequence of extents without a gap between two multiples of `windowBytes`. Left out are those that are or were shared, as
 *  rewriting would take their space twice; and, for now (`waits`), those that `isFixed` names and those of commits, which
 *  move anyway. May fault. */
export function fragmentedRuns(
  reader: TableReader,
  inode: Parameters<typeof extentsOf>[1],
  from: number,
  { windowBytes, isFixed }: { windowBytes: number; isFixed: (segment: SegmentId) => boolean },
): { runs: Extent[][]; next: number | null; waits: boolean } {
  const [first] = extentsFrom(reader, inode, from, 1)
  if (first === undefined) return { runs: [], next: null, waits: false }
  const begin = Math.floor(first.fileOffset / windowBytes) * windowBytes
  const end = begin + WINDOWS_PER_TURN * windowBytes
  const runs: Extent[][] = []
  let at = -1
  let waits = false
  for (const extent of extentsOf(reader, inode, begin, end)) {
    const { segment } = extent.range
    // What is lost, as a repair marked it.
    if (segment === 0) continue
    const isWaiting = isFixed(segment) || !isNamedSegment(reader, segment)
    waits ||= isWaiting
    if (isWaiting || sharersOf(reader, segment).length > 0) continue
    const extentEnd = extent.fileOffset + extent.range.lengthBytes
    for (let start = Math.max(begin, extent.fileOffset); start < Math.min(end, extentEnd); ) {
      const isNew = start !== at || start % windowBytes === 0
      at = Math.min(extentEnd, (Math.floor(start / windowBytes) + 1) * windowBytes)
      const part = sliceExtent(extent, start, at)
      if (isNew) runs.push([part])
      else runs.at(-1)!.push(part)
      start = at
    }
  }
  return { runs: runs.filter(isFragmented), next: end, waits }
}

function isFragmented(run: readonly Extent[]): boolean {
  const bytes = run.reduce((sum, { range }) => sum + range.lengthBytes, 0)
  return run.length >= EXTENTS_MIN && bytes / run.length <= AVERAGE_BYTES_MAX
}

/** Rewrites runs of a file. Returns how many bytes; what is damaged stays as it is. */
export async function rewriteRuns(
  ino: number,
  runs: readonly (readonly Extent[])[],
  options: RepointOptions,
): Promise<number> {
  const { metadata, segments, taken, yieldTurn, priority = 'demand' } = options
  const packer = segments.dataPacker(() => {
    const id = options.takeSegmentId()
    taken.add(id)
    return id
  })
  const rewritten: Move[][] = []
  try {
    for (const run of runs) {
      let parts: Uint8Array[]
      try {
        parts = (await Promise.all(run.map(({ range }) => segments.readData(range, { priority })))).flat()
      } catch (error) {
        if (!(error instanceof FsError) || isPassing(error)) throw error
        continue
      }
      const start = run[0]!.fileOffset
      const whole = packer.add(ino, start, parts)
      rewritten.push(
        run.map((from) => {
          const range = sliceRange(whole, from.fileOffset - start, from.range.lengthBytes)
          return { ino, directory: 0, key: 0, from, to: { fileOffset: from.fileOffset, range }, isShared: false }
        }),
      )
    }
  } finally {
    // Also when a read failed: what is on its way must have arrived before it can be deleted.
    await packer.upload()
  }
  for (const moves of rewritten) {
    await metadata.database.run(() => recordMoves(metadata, [moves]))
    await yieldTurn()
  }
  await deleteUnused(taken, options)
  return rewritten.flat().reduce((sum, { to }) => sum + to.range.lengthBytes, 0)
}

/** Files with tables of extents as of the last checkpoint, from `from` on, at most `limit`. May fault. */
export function filesWithManyExtents(reader: TableReader, rowsKind: TableKind, from: number, limit: number): number[] {
  const inos: number[] = []
  reader.table(rowsKind).scan(from, Number.MAX_SAFE_INTEGER, (ino) => {
    inos.push(ino)
    return inos.length < limit
  })
  return inos
}
