// Reading the tenures that `root` lists, and ending the last one with a seal.
//
// Must stay true:
// - A tenure's commits are those from its first seq on without a gap, up to its seal. What lies behind a gap was never
//   acknowledged. An epoch that never stood in `root` has no commits.
// - Where `root` knows the seal's place, or a seal or a commit behind a gap says that what is missing was made, it must be
//   there, or the volume is not opened: EIO.
// - The seal is created with If-None-Match at the first free place: either we win it, and the old writer's commit there
//   fails, or we find what won, and go on behind it. So a commit is acknowledged exactly when it lies before the seal.
import PQueue from 'p-queue'
import { FsError, ruleHolds } from '../platform/index.ts'
import { damagedPieceIn } from '../segments/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { type DecodedCommit, decodeCommit, encodeSeal, journalKey, journalPrefix } from './commit-format.ts'
import type { TableDamage } from './inspect.ts'
import { listAll, readDecoded } from './read-object.ts'
import type { Tenure } from './root.ts'

/** Journal objects read at once. */
const PARALLEL_READS = 16

export interface JournalSource {
  store: ObjectStore
  volumeUuid: Buffer
}

/** Which tenure to seal, and as whom. */
export interface SealOrder {
  epoch: number | 'all'
  sealAs: { epoch: number; session: Buffer }
}

export interface FoundTenures {
  tenures: Tenure[]
  /** In order. */
  commits: DecodedCommit[]
  /** Where they lie, for the trim. Seals are not among them: a seal stays, so that a commit of the old writer that was
   *  delayed for however long never finds its place free (docs/decisions/0003). */
  commitKeys: string[]
  /** Always empty where nothing is left out (salvage.ts). */
  leftOut: TableDamage[]
}

/** Reads the commits of `tenures`, oldest first. With `seal`, ends the tenure of that epoch. */
export async function readTenures(
  source: JournalSource,
  slot: number,
  tenures: readonly Tenure[],
  seal: SealOrder | null,
): Promise<FoundTenures> {
  const found: FoundTenures = { tenures: [], commits: [], commitKeys: [], leftOut: [] }
  for (const tenure of tenures) {
    const objects = await listTenure(source, slot, tenure)
    let seq = tenure.firstSeq
    let sealSeq: number | null = null
    const mustReach = tenure.sealSeq
    for (; sealSeq === null; seq++) {
      const key = journalKey(slot, tenure.epoch, seq)
      let body = objects.get(key)
      if (body === undefined) {
        if (!ruleHolds('commits behind a gap are void') && objects.size > 0 && seq <= tenure.firstSeq + objects.size)
          continue
        const isKnown = mustReach !== null || wasMade(source, objects, key, seq)
        if (isKnown && ruleHolds('all commits before a known seal are there')) {
          // A listing is not of one moment: it may have passed this place before, and the seal's after, both were put.
          body = (await readIfThere(source, key)) ?? undefined
          if (body === undefined) throw unusable(`${key} is missing: acknowledged changes are lost with it`)
        } else {
          if (!isToSeal(seal, tenure)) break
          body = await sealOrRead(source, { slot, seq, epoch: tenure.epoch, session: seal.sealAs.session })
        }
      }
      const commit = decodeOrRefuse(body, key, source.volumeUuid)
      if (commit.isSeal) {
        const next = journalKey(slot, tenure.epoch, seq + 1)
        if (ruleHolds('commits behind a seal are void') || !objects.has(next)) sealSeq = seq
        if (!ruleHolds('seals are not trimmed')) found.commitKeys.push(key)
      } else {
        found.commits.push(commit)
        found.commitKeys.push(key)
      }
    }
    found.tenures.push({ ...tenure, sealSeq })
  }
  return found
}

/** Whether what is missing at `seq` was there once: a seal that `root` does not know of lies behind it, or a commit that was
 *  closed when it had been acknowledged. */
function wasMade(
  { volumeUuid }: JournalSource,
  objects: ReadonlyMap<string, Buffer>,
  gap: string,
  seq: number,
): boolean {
  for (const [key, body] of objects) {
    if (key <= gap) continue
    try {
      const { acknowledgedSeq, isSeal } = decodeCommit(body, key, volumeUuid)
      if (isSeal || acknowledgedSeq >= seq) return true
    } catch (error) {
      // Behind a gap anything may lie.
      if (!(error instanceof FsError)) throw error
    }
  }
  return false
}

function unusable(what: string, cause?: unknown): FsError {
  return new FsError('EIO', `${what}: \`cairnfs fsck STORE --repair\` goes on without it`, { cause })
}

function decodeOrRefuse(body: Buffer, key: string, volumeUuid: Buffer): DecodedCommit {
  try {
    return decodeCommit(body, key, volumeUuid)
  } catch (error) {
    throw error instanceof FsError ? unusable(error.message, error) : error
  }
}

/** Whether an order is for this tenure. */
export function isToSeal(order: SealOrder | null, { epoch }: Tenure): order is SealOrder {
  return order !== null && (order.epoch === 'all' || order.epoch === epoch)
}

/** The journal objects of a tenure from its first uncontained one on, by key, undecoded: what lies behind a gap may be
 *  anything. */
async function listTenure(source: JournalSource, slot: number, tenure: Tenure): Promise<Map<string, Buffer>> {
  const startAfter = journalKey(slot, tenure.epoch, tenure.firstSeq - 1)
  const listed = await listAll(source.store, journalPrefix(slot, tenure.epoch), startAfter)
  const keys = listed.map(({ key }) => key)
  return new Map(await readAll(keys, (key) => readWhole(source, key)))
}

/** Reads many objects, several at a time. */
export function readAll<T>(
  keys: readonly string[],
  read: (key: string) => Promise<T>,
): Promise<(readonly [string, T])[]> {
  const queue = new PQueue({ concurrency: PARALLEL_READS })
  return Promise.all(keys.map((key) => queue.add(async () => [key, await read(key)] as const)))
}

/** Seals a place, or reads what occupies it. */
export async function sealOrRead(
  source: JournalSource,
  place: { slot: number; epoch: number; seq: number; session: Buffer },
): Promise<Buffer> {
  const { store, volumeUuid } = source
  const key = journalKey(place.slot, place.epoch, place.seq)
  const body = encodeSeal(volumeUuid, place)
  try {
    await store.putIfAbsent(key, body)
    return Buffer.concat(body)
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
    return ruleHolds("what occupies the seal's place is read") ? readWhole(source, key) : Buffer.concat(body)
  }
}

/** The bytes of a journal object, read again while they arrive damaged. What is damaged in the store is given as it is:
 *  behind a gap it does not matter, and of damaged file data only the blocks concerned are lost. */
async function readWhole({ store, volumeUuid }: JournalSource, key: string): Promise<Buffer> {
  let last: Buffer | null = null
  try {
    const { body } = await readDecoded(store, key, (body) => {
      last = body
      const { packed } = decodeCommit(body, key, volumeUuid)
      const damaged = damagedPieceIn(packed)
      if (damaged !== null) throw new FsError('EIO', `${key} has damaged file data at ${damaged}`)
      return body
    })
    return body
  } catch (error) {
    if (!(error instanceof FsError) || last === null) throw error
    return last
  }
}

/** As `readWhole`; null when it went since it was listed: whoever deleted it has put another `root` before. */
export async function readIfThere(source: JournalSource, key: string): Promise<Buffer | null> {
  try {
    return await readWhole(source, key)
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}
