// How the volume of a world is made and opened.
import type { Clock, Random } from '../../src/platform/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { formatVolume, readVolumeJson, type VolumeLog, type VolumeWriter } from '../../src/volume/index.ts'
import type { Traits } from './traits.ts'

export const SELF: VolumeWriter['self'] = {
  host: 'host',
  bootId: 'boot',
  pid: 1,
  since: '2026-01-01T00:00:00Z',
  lock: null,
}
export const LEASE_MS = 30_000
/** What a commit may take besides the interval before it begins, in calm weather. */
export const COMMIT_SLACK_MS = 4_000
/** So little that a read-only mount keeps nothing from look to look. */
export const ONLOOKER_MEMORY_BYTES = 1024
/** So small that worlds have many. */
export const SEGMENT_BYTES = 64 * 1024

export function format(store: ObjectStore, clock: Clock, random: Random): Promise<unknown> {
  return formatVolume({
    store,
    name: 'simulated',
    segmentSizeBytes: 256 * 1024,
    force: false,
    clock,
    random,
    self: SELF,
    rootOwner: { uid: 0, gid: 0 },
    leaseMs: LEASE_MS,
    judge: async () => 'dead',
    log: () => {},
    probe: null,
  })
}

/** What all mounts have in common. */
export async function openOptions(
  around: { store: ObjectStore; clock: Clock; random: Random; log: VolumeLog },
  { commitMs, copies, graceMs, inlineBytesMax }: Traits,
) {
  const identity = await readVolumeJson(around.store)
  return {
    ...around,
    identity: { ...identity, json: { ...identity.json, segmentSize: SEGMENT_BYTES } },
    commitMs,
    parallelism: 4,
    rootOwner: { uid: 0, gid: 0 },
    inlineBytesMax,
    graceMs,
    ...(copies === null ? {} : { shareMinBytes: 256 }),
  }
}
