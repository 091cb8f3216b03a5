// gc: gives back everything that an unmounted volume does not need. Takes the slot as a mount does, and replays; deletes
// what nothing refers to (leftovers.ts), then runs the cleaner to its end. A dry run takes no slot, writes nothing, and also
// works beside a mount; what that has on its way is then counted as if it were left over.
//
// Must stay true: nothing is deleted before the slot is ours and a checkpoint of ours is durable.
import { allSegmentUse } from '../meta/index.ts'
import type { ListedObject } from '../store/index.ts'
import { findLeftovers, type Leftover, type LeftoverKind, type Leftovers, listAll } from './leftovers.ts'
import { type OpenVolumeOptions, openParts, type VolumeParts, type VolumeWriter } from './open.ts'

export interface GcOptions
  extends Omit<OpenVolumeOptions, 'writer' | 'commitMs' | 'inlineBytesMax' | 'shareMinBytes' | 'graceMs'> {
  /** Null: a dry run. */
  writer: VolumeWriter | null
  /** How long a segment must have been dead, as far as this run can tell. */
  graceMs: number
  onProgress: (step: string, done: number, total: number | null) => void
}

export interface GcFigures {
  objects: number
  bytes: number
}

/** What `cairnfs gc --json` prints: fields keep their names and meanings. */
export interface GcReport {
  dryRun: boolean
  /** Deleted, or to be deleted by a run that is no dry one. */
  leftovers: Record<LeftoverKind, GcFigures>
  /** Segments that were in use once and are no more. */
  dead: GcFigures
  /** Of these, those that stay until the grace period is over. */
  waiting: number
  /** Live bytes that were moved out of sparse segments; 0 in a dry run. */
  movedBytes: number
  /** Keys that are not this volume's: left alone. */
  foreign: string[]
  /** Segments that files use though no counter says so: left alone. */
  miscounted: string[]
}

/** Deleted at a time, so that progress shows. */
const DELETE_BATCH = 1000
/** Rounds of the cleaner: each moves or deletes something. */
const ROUNDS_MAX = 1000

export async function gcVolume(options: GcOptions): Promise<GcReport> {
  const { store, writer, onProgress } = options
  const list = () => listAll(store, (done) => onProgress('listing objects', done, null))
  if (writer === null) {
    // Listed first: what was put since is not taken for a leftover.
    const listed = await list()
    const parts = await openParts({ ...options, writer: null, commitMs: 1000 })
    try {
      return dryReport(parts, await find(options, parts, listed))
    } finally {
      await parts.volume.close()
    }
  }
  const parts = await openParts({ ...options, writer, commitMs: 1000 })
  try {
    await parts.filesystem.orphansEmptied()
    await parts.filesystem.sync()
    await parts.filesystem.checkpointNow()
    const found = await find(options, parts, await list())
    await deleteLeftovers(options, found.leftovers)
    await cleanToTheEnd(options, parts)
    const report = reportOf(found, parts)
    await parts.volume.close()
    return report
  } catch (error) {
    // As a crash: the next mount replays the journal. The slot is given back where that can be.
    await parts.volume.close().catch(() => parts.volume.abandon())
    throw error
  }
}

function find(options: GcOptions, parts: VolumeParts, listed: readonly ListedObject[]): Promise<Leftovers> {
  const { store, identity, clock, onProgress } = options
  const { database, segments } = parts
  return findLeftovers({
    store,
    identity,
    database,
    segments,
    clock,
    listed,
    onProgress: (done, total) => onProgress('looking at objects', done, total),
  })
}

async function deleteLeftovers({ store, onProgress }: GcOptions, leftovers: readonly Leftover[]): Promise<void> {
  for (let first = 0; first < leftovers.length; first += DELETE_BATCH) {
    onProgress('deleting leftovers', first, leftovers.length)
    await store.delete(leftovers.slice(first, first + DELETE_BATCH).map(({ key }) => key))
  }
}

async function cleanToTheEnd({ graceMs, onProgress }: GcOptions, { filesystem }: VolumeParts): Promise<void> {
  // The second quiet round has seen what the checkpoint after the first made dead.
  for (let round = 0, quiet = 0; quiet < 2 && round < ROUNDS_MAX; round++) {
    onProgress('cleaning', filesystem.status().cleaner.deletedSegments, null)
    const didSomething = await filesystem.clean({ graceMs, isHurried: true })
    quiet = didSomething ? 0 : quiet + 1
    await filesystem.sync()
    await filesystem.checkpointNow()
  }
}

function figures(leftovers: readonly Leftover[], kind: LeftoverKind): GcFigures {
  const ofKind = leftovers.filter((leftover) => leftover.kind === kind)
  return { objects: ofKind.length, bytes: ofKind.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
}

function leftoverFigures({ leftovers }: Leftovers): Record<LeftoverKind, GcFigures> {
  return {
    segment: figures(leftovers, 'segment'),
    journal: figures(leftovers, 'journal'),
    probe: figures(leftovers, 'probe'),
  }
}

function reportOf(found: Leftovers, { filesystem }: VolumeParts): GcReport {
  const { deletedSegments, deletedBytes, waitingSegments, movedBytes } = filesystem.status().cleaner
  return {
    dryRun: false,
    leftovers: leftoverFigures(found),
    dead: { objects: deletedSegments, bytes: deletedBytes },
    waiting: waitingSegments,
    movedBytes,
    foreign: found.foreign,
    miscounted: found.miscounted,
  }
}

async function dryReport({ database }: VolumeParts, found: Leftovers): Promise<GcReport> {
  const dead: GcFigures = { objects: 0, bytes: 0 }
  const count = (bytes: number) => {
    dead.objects++
    dead.bytes += bytes
  }
  for (const { segment, liveBytes } of await allSegmentUse(database)) {
    const bytes = found.segmentBytes.get(segment)
    if (liveBytes === 0 && bytes !== undefined) count(bytes)
  }
  for (const { liveBytes, totalBytes } of database.rootInForce.pageSegments.values())
    if (liveBytes === 0) count(totalBytes)
  return {
    dryRun: true,
    leftovers: leftoverFigures(found),
    dead,
    waiting: 0,
    movedBytes: 0,
    foreign: found.foreign,
    miscounted: found.miscounted,
  }
}
