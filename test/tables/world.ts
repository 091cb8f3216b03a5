// Databases for tests over any store: three kinds of tables, and a clock that stands still.
import type { Clock, Random } from '../../src/platform/index.ts'
import { createSegmentStore } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import type { TableKind } from '../../src/tables/index.ts'

export const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const MANY = 1 as TableKind
export const ALONE = 20 as TableKind
export const REFERENCES = 21 as TableKind
export const KINDS = [
  { kind: MANY, groupBits: 4, perOwner: true },
  { kind: ALONE, groupBits: 0, perOwner: false },
  { kind: REFERENCES, groupBits: 0, perOwner: false },
]
/** Time stands still: nothing in these worlds waits for it. */
export const clock: Clock = {
  now: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => 0,
  after: () => ({ cancel() {} }),
  sleep: () => Promise.resolve(),
  yield: () => new Promise((resolve) => setImmediate(resolve)),
}

/** What openDatabase takes. */
export function setUp(world: { random: Random }, store: ObjectStore) {
  const segments = createSegmentStore({
    store,
    volumeUuid: uuid,
    segmentSizeBytes: 1 << 20,
    cacheBytes: 1 << 20,
    clock,
  })
  const options = {
    store,
    segments,
    kinds: KINDS,
    pinned: [{ kind: MANY, owner: 1 }],
    volumeUuid: uuid,
    volumeJson: Buffer.from('{}'),
    clock,
    random: world.random,
    log: () => {},
    pageCacheBytes: 100_000,
    changeBytesMax: 1 << 20,
  }
  const writer = {
    holder: { host: 'h', bootId: 'b', pid: 1, since: 'now', lock: null },
    leaseMs: 30_000,
    judge: async () => 'dead' as const,
    takeOver: false,
    onFailure: () => {},
  }
  return { segments, options, writer }
}
