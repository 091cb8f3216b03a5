// Which leaves of a table are written again, though nothing changed in them, so that they lie in few segments. Pure.
//
// A directory that grows over a thousand checkpoints gets some of its leaves from each of them: each would be a segment of
// its own to whoever lists it. So when the leaves below an inner page, with what a checkpoint writes of them anyway, come to
// lie in more segments than they may, those in the segments that hold least of them are written too. That is a merge in
// tiers: what was gathered lies in a larger segment, and is not taken again soon (docs/decisions/0021).
//
// Must stay true: what is gathered is little beside what is left alone, and bounded for each checkpoint.

/** Leaves gathered by one checkpoint, in stored bytes. */
export const GATHERED_MAX_BYTES = 32 << 20
/** Leaves below an inner page may lie in this many segments, however few would do... */
const SEGMENTS_ALLOWED = 16
/** ...but small tables only in as many as they have of these bytes. */
const BYTES_PER_SEGMENT = 256 * 1024

export interface StayingLeaf {
  index: number
  segment: number
  storedBytes: number
}

export interface GatherBudget {
  segmentSizeBytes: number
  /** What may still be gathered. */
  bytes: number
}

/** `staying`: the leaves below one inner page that would be left where they are; `changedBytes`: what the others took so
 *  far, which are written anew. */
export function leavesToGather(
  staying: readonly StayingLeaf[],
  changedBytes: number,
  { segmentSizeBytes, bytes: budgetBytes }: GatherBudget,
): { indexes: ReadonlySet<number>; bytes: number } {
  const bySegment = new Map<number, { bytes: number; indexes: number[] }>()
  let totalBytes = changedBytes
  for (const { index, segment, storedBytes } of staying) {
    const held = bySegment.get(segment) ?? { bytes: 0, indexes: [] }
    bySegment.set(segment, held)
    held.bytes += storedBytes
    held.indexes.push(index)
    totalBytes += storedBytes
  }
  const allowed = Math.max(
    2 * Math.ceil(totalBytes / segmentSizeBytes),
    Math.min(SEGMENTS_ALLOWED, Math.ceil(totalBytes / BYTES_PER_SEGMENT)),
  )
  const indexes = new Set<number>()
  let bytes = 0
  if (bySegment.size + Math.ceil(changedBytes / segmentSizeBytes) <= allowed) return { indexes, bytes }
  const fewestFirst = [...bySegment.values()].sort((a, b) => a.bytes - b.bytes)
  for (const [taken, held] of fewestFirst.entries()) {
    const written = Math.ceil((changedBytes + bytes) / segmentSizeBytes)
    if (bySegment.size - taken + written <= Math.ceil(allowed / 2) || bytes + held.bytes > budgetBytes) break
    bytes += held.bytes
    for (const index of held.indexes) indexes.add(index)
  }
  return { indexes, bytes }
}
