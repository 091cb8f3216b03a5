// What must hold of the bucket of a volume at rest, after everything: the tables recounted, fsck content, no
// orphan, and no segment that nobody will ever delete where its uploader lived to unmount cleanly and had no request that it
// gave up.
import { ORPHANS, PINNED_TABLES, TABLE_KINDS, USAGE } from '../../src/meta/index.ts'
import type { Random } from '../../src/platform/index.ts'
import { createSegmentStore, parseSegmentKey } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { type Database, journalKey, openDatabaseReadOnly, type TableKind } from '../../src/tables/index.ts'
import { decodeRoot } from '../../src/tables/root.ts'
import { checkVolume, readVolumeJson } from '../../src/volume/index.ts'
import { checkConsistency } from '../vfs/consistency.ts'
import type { Process } from './process.ts'

export interface FinalCheckOptions {
  store: ObjectStore
  /** Of all objects. */
  keys: readonly string[]
  process: Process
  random: Random
  segmentBytes: number
  /** Whether its uploader could not delete it when nothing came to name it. */
  mayBeLeft: (key: string) => boolean
}

export async function checkAtRest(options: FinalCheckOptions): Promise<void> {
  const { store, process, random, segmentBytes } = options
  const identity = await readVolumeJson(store)
  const segments = createSegmentStore({
    store,
    volumeUuid: identity.uuid,
    segmentSizeBytes: segmentBytes,
    cacheBytes: 64 << 20,
    clock: process.clock,
  })
  const database = await openDatabaseReadOnly({
    store,
    segments,
    kinds: TABLE_KINDS,
    pinned: PINNED_TABLES,
    volumeUuid: identity.uuid,
    volumeJson: identity.bytes,
    clock: process.clock,
    random,
    log: () => {},
    pageCacheBytes: 64 << 20,
    changeBytesMax: 64 << 20,
  })
  await checkConsistency(database)
  const { findings } = await checkVolume({
    store,
    clock: process.clock,
    random,
    log: () => {},
    memoryBytes: 64 << 20,
    parallelism: 4,
    readsData: true,
    judge: async () => 'dead',
    onProgress: () => {},
  })
  const damage = findings.find(({ severity }) => severity === 'damage')
  if (damage !== undefined) throw new Error(`fsck: ${damage.kind}: ${damage.message}`)
  const [orphan] = await keysOf(database, ORPHANS)
  if (orphan !== undefined) throw new Error(`orphan ${orphan} is left after a clean unmount`)
  const named = new Set([...database.rootInForce.pageSegments.keys(), ...(await keysOf(database, USAGE))])
  for (const key of options.keys) {
    const id = parseSegmentKey(key)
    if (id !== null && !named.has(id) && !options.mayBeLeft(key))
      throw new Error(`${key} is left over, and nobody will delete it`)
  }
}

async function keysOf(database: Database, kind: TableKind): Promise<number[]> {
  const keys: number[] = []
  await database.run(() => {
    keys.length = 0
    database.table(kind).scan(0, Number.MAX_SAFE_INTEGER, (key) => {
      keys.push(key)
      return true
    })
  })
  return keys
}

/** The key of a commit of a tenure whose seal `root` knows; null where there is none. */
export function sealedCommit(root: Buffer, uuid: Buffer, random: Random): string | null {
  const { slot, tenures } = decodeRoot(root, uuid)
  for (const { epoch, firstSeq, sealSeq } of tenures)
    if (sealSeq !== null && sealSeq > firstSeq)
      return journalKey(slot, epoch, firstSeq + Math.floor(random.next() * (sealSeq - firstSeq)))
  return null
}
