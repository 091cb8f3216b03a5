// Databases for tests over any store: three kinds of tables, and a clock that stands still.
import { type Clock, isPromise, type Random, seededRandom } from '../../src/platform/index.ts'
import { createSegmentStore, type DataRange, type SegmentId, type SegmentStore } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import {
  type CheckpointHooks,
  type Database,
  formatDatabase,
  openDatabase,
  type TableKind,
} from '../../src/tables/index.ts'

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
export function setUp(world: { random: Random }, store: ObjectStore, segmentSizeBytes = 1 << 20, cacheBytes = 1 << 20) {
  const segments = createSegmentStore({
    store,
    volumeUuid: uuid,
    segmentSizeBytes,
    cacheBytes,
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
    pageCacheBytes: Math.min(100_000, cacheBytes),
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

/** For databases whose commits carry no file data. */
export const HOOKS: CheckpointHooks = { repoint: async () => {}, derive() {} }

export async function formatted(): Promise<ObjectStore> {
  const store = createMemoryStore()
  await formatDatabase(store, uuid)
  return store
}

/** One more writer of the volume in a store; each wants a seed of its own. */
export function opened(store: ObjectStore, seed = 1) {
  const { options, writer } = setUp({ random: seededRandom(seed) }, store)
  return openDatabase(options, writer)
}

export function put(database: Database, key: number, text: string): void {
  const transaction = database.transaction()
  transaction.put(ALONE, 0, key, Buffer.from(text))
  database.apply(transaction)
}

export async function textOf(database: Pick<Database, 'run' | 'table'>, key: number): Promise<string | null> {
  return (await database.run(() => database.table(ALONE).get(key)))?.toString() ?? null
}

export const encodeRange = (range: DataRange) => Buffer.from(JSON.stringify(range))
export const decodeRange = (record: Buffer) => JSON.parse(record.toString()) as DataRange

/** What the layer above does with file data that commits carry: here, one reference per run. */
export function hooksFor(database: Database, segments: SegmentStore): CheckpointHooks {
  return {
    async repoint(carried) {
      for (const { id, packed } of carried) {
        for (const { key } of packed.contents) {
          const record = await database.run(() => database.table(REFERENCES).get(key))
          if (record === null || decodeRange(record).segment !== id) continue
          const before = decodeRange(record)
          const packer = segments.dataPacker(() => database.takeId('segment') as SegmentId)
          const range = packer.add(1, key, await segments.readData(before))
          await packer.upload()
          const done = database.run(() => {
            const now = database.table(REFERENCES).get(key)
            if (now === null || decodeRange(now).segment !== id) return
            const transaction = database.transaction()
            transaction.put(REFERENCES, 0, key, encodeRange(range))
            database.apply(transaction)
          })
          if (isPromise(done)) await done
        }
      }
    },
    derive() {},
  }
}
