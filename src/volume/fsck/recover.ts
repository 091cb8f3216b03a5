// What must be there before anything else can be read: volume.json, `root`, writers/. Where one is lost or damaged, what
// else the bucket says of it is taken in its place; mending puts it back.
import { FsError } from '../../platform/index.ts'
import { type ObjectStore, StoreError } from '../../store/index.ts'
import { type RecoveredRoot, recoverRoot, type TableDamage } from '../../tables/index.ts'
import { decodeVolumeJson, readVolumeJson, VOLUME_KEY, type VolumeIdentity } from '../volume-json.ts'
import type { Finding } from './report.ts'

export interface Identified {
  identity: VolumeIdentity
  /** volume.json is lost or damaged: what is wrong. */
  damage: string | null
}

/** Reads volume.json, or the copy of it that ends page segments. ENOENT where nothing is a volume's. */
export async function identify(store: ObjectStore): Promise<Identified> {
  try {
    return { identity: await readVolumeJson(store), damage: null }
  } catch (error) {
    if (!(error instanceof FsError) || (error.code !== 'ENOENT' && error.code !== 'EINVAL')) throw error
    const copy = await copyOfVolumeJson(store)
    if (copy === null) throw error
    return {
      identity: decodeVolumeJson(copy, store.name),
      damage: error.code === 'ENOENT' ? `${VOLUME_KEY} is missing` : error.message,
    }
  }
}

/** Null where there is none. */
async function copyOfVolumeJson(store: ObjectStore): Promise<Buffer | null> {
  try {
    return (await recoverRoot({ store, volumeUuid: null })).volumeJson
  } catch (error) {
    if (error instanceof FsError && error.code === 'EIO') return null
    throw error
  }
}

/** Puts volume.json back. */
export async function putVolumeJson(store: ObjectStore, { bytes }: VolumeIdentity): Promise<void> {
  try {
    await store.putIfAbsent(VOLUME_KEY, [bytes])
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
    await store.putIfMatch(VOLUME_KEY, [bytes], (await store.head(VOLUME_KEY)).etag)
  }
}

/** What is told of all this. */
export function recoveryFindings({ damage }: Identified, recovered: RecoveredRoot): Finding[] {
  const findings: Finding[] = []
  const add = (kind: Finding['kind'], object: string, message: string, remedy: string) =>
    findings.push({ kind, severity: 'damage', object, message, remedy, repaired: false })
  if (damage !== null)
    add('lost-volume-json', VOLUME_KEY, damage, 'the copy that ends the last page segment is put in its place')
  for (const each of [recovered.damage, recovered.slotDamage])
    if (each !== null) add(each.kind, each.object, each.message, recoveryRemedy(each))
  return findings
}

function recoveryRemedy({ kind }: TableDamage): string {
  return kind === 'lost-slot' || kind === 'damaged-slot'
    ? 'it is put again, with an epoch above all that were'
    : 'it is put again, as the newest whole checkpoint says, and the journal is replayed on that'
}
