// What a bucket says of roots besides `root` itself: the journal's listing, who has the slot, which segments there are, and
// the copies of roots in the trailers of page segments.
//
// Must stay true: an object counts only when it decodes as one of this volume; what merely lies under a fitting key may be
// anything.
import { FsError, readU64 } from '../platform/index.ts'
import { parseSegmentKey, readTrailer, type SegmentId } from '../segments/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { COMMIT_HEADER_BYTES, decodeCommit, journalKey } from './commit-format.ts'
import type { TableDamage } from './inspect.ts'
import { listAll } from './read-object.ts'
import { decodeRoot, type Root } from './root.ts'
import { type JournalSource, readAll, readIfThere } from './seal.ts'
import { readSlot, slotKey } from './writer-slot.ts'

/** Footers asked for at once. */
const BATCH = 16

/** One tenure's objects, as listed. */
export interface ListedTenure {
  epoch: number
  /** Places of commits, in order; of seals too when they are damaged. */
  commits: number[]
  /** The first seal. */
  sealSeq: number | null
}

/** A root that stood in a trailer: `root` said so when the checkpoint came to its end. */
export interface RootCopy {
  root: Root
  volumeJson: Buffer
  segment: SegmentId
  /** First 8 bytes of the uuid of the volume that it is of. */
  uuidPrefix: Buffer
}

/** Where every object of the journal lies, by what the listing tells: a seal is a header alone. */
export async function listTenures(store: ObjectStore, slot: number): Promise<ListedTenure[]> {
  const tenures = new Map<number, ListedTenure>()
  for (const { key, sizeBytes } of await listAll(store, `journal/${slot.toString(16).padStart(3, '0')}/`)) {
    const [epoch, seq] = key
      .split('/')
      .slice(2)
      .map((part) => Number.parseInt(part, 16))
    if (epoch === undefined || seq === undefined || journalKey(slot, epoch, seq) !== key) continue
    const tenure = tenures.get(epoch) ?? { epoch, commits: [], sealSeq: null }
    tenures.set(epoch, tenure)
    if (sizeBytes > COMMIT_HEADER_BYTES) tenure.commits.push(seq)
    else tenure.sealSeq ??= seq
  }
  return [...tenures.values()].sort((a, b) => a.epoch - b.epoch)
}

/** What the objects of a tenure are: `commits` when one at least decodes; `ours` when one at least calls itself what its key
 *  says, damaged as it may be; `foreign` when none does. */
export async function judgeTenure(
  source: JournalSource,
  slot: number,
  { epoch, commits, sealSeq }: ListedTenure,
): Promise<'commits' | 'ours' | 'foreign'> {
  let isOurs = false
  const places = sealSeq === null ? commits : [...commits, sealSeq]
  for (let from = 0; from < places.length; from += BATCH) {
    const keys = places.slice(from, from + BATCH).map((seq) => journalKey(slot, epoch, seq))
    for (const [key, body] of await readAll(keys, (each) => readIfThere(source, each))) {
      if (body === null) continue
      try {
        if (!decodeCommit(body, key, source.volumeUuid).isSeal) return 'commits'
        isOurs = true
      } catch (error) {
        if (!(error instanceof FsError)) throw error
        isOurs ||= callsItself(body, source.volumeUuid, slot, key)
      }
    }
  }
  return isOurs ? 'ours' : 'foreign'
}

function callsItself(body: Buffer, volumeUuid: Buffer, slot: number, key: string): boolean {
  if (body.length < COMMIT_HEADER_BYTES || !body.subarray(8, 16).equals(volumeUuid.subarray(0, 8))) return false
  return journalKey(slot, readU64(body, 16), readU64(body, 24)) === key
}

/** The epoch in writers/, or what is wrong with it. */
export async function readSlotEvidence(
  store: ObjectStore,
  slot: number,
): Promise<{ epoch: number; lastSeq: number | null; damage: null } | { damage: TableDamage }> {
  const object = slotKey(slot)
  try {
    const { state } = await readSlot(store, slot)
    return { epoch: state.epoch, lastSeq: state.released?.lastSeq ?? null, damage: null }
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found')
      return { damage: { kind: 'lost-slot', object, message: `${object} is missing: nobody can take the volume` } }
    if (error instanceof FsError) return { damage: { kind: 'damaged-slot', object, message: error.message } }
    throw error
  }
}

export interface ListedSegment {
  id: SegmentId
  sizeBytes: number
}

/** All segments, newest first. */
export async function listSegments(store: ObjectStore): Promise<ListedSegment[]> {
  const segments: ListedSegment[] = []
  for (const { key, sizeBytes } of await listAll(store, 'segments/')) {
    const id = parseSegmentKey(key)
    if (id !== null) segments.push({ id, sizeBytes })
  }
  return segments.sort((a, b) => b.id - a.id)
}

/** Whether an object under a segment's key is one of this volume. */
export async function isSegmentOf(
  store: ObjectStore,
  volumeUuid: Buffer,
  { id, sizeBytes }: ListedSegment,
): Promise<boolean> {
  return (await readTrailer(store, { id, objectBytes: sizeBytes, volumeUuid })) !== null
}

/** The copies of roots in the trailers of segments, in the order of these. */
export async function* rootCopies(
  store: ObjectStore,
  volumeUuid: Buffer | null,
  segments: readonly ListedSegment[],
): AsyncGenerator<RootCopy> {
  for (let from = 0; from < segments.length; from += BATCH) {
    const batch = segments.slice(from, from + BATCH)
    const copies = await Promise.all(batch.map((segment) => readCopy(store, volumeUuid, segment)))
    for (const copy of copies) if (copy !== null) yield copy
  }
}

async function readCopy(
  store: ObjectStore,
  volumeUuid: Buffer | null,
  { id, sizeBytes }: ListedSegment,
): Promise<RootCopy | null> {
  const trailer = await readTrailer(store, { id, objectBytes: sizeBytes, volumeUuid })
  if (trailer === null || trailer.bytes === null || trailer.bytes.length < 8) return null
  const { bytes, uuidPrefix } = trailer
  const rootEnd = 8 + bytes.readUInt32LE(0)
  const volumeJson = bytes.subarray(rootEnd, rootEnd + bytes.readUInt32LE(4))
  try {
    return { root: decodeRoot(bytes.subarray(8, rootEnd), uuidPrefix), volumeJson, segment: id, uuidPrefix }
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    return null
  }
}
