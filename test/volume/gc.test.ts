// gc: what it deletes, what it never deletes, and that a dry run writes nothing.
import { beforeEach, expect, test } from 'vitest'
import { USAGE } from '../../src/meta/index.ts'
import { atOnce, type Clock, seededRandom, systemClock } from '../../src/platform/index.ts'
import { parseSegmentKey, segmentKey } from '../../src/segments/index.ts'
import { createMemoryStore, type ObjectStore } from '../../src/store/index.ts'
import { encodeCommit, journalKey } from '../../src/tables/commit-format.ts'
import type { Judgement } from '../../src/tables/index.ts'
import { OpenCommit } from '../../src/tables/open-commit.ts'
import { type Filesystem, ROOT_INO } from '../../src/vfs/index.ts'
import {
  formatVolume,
  type GcReport,
  gcVolume,
  openVolume,
  readVolumeJson,
  type Volume,
} from '../../src/volume/index.ts'
import { openParts } from '../../src/volume/open.ts'

const HOUR_MS = 3_600_000
const CALLER = { uid: 1000, gid: 100, pid: 1 }
const self = { host: 'here', bootId: 'boot', pid: 1, since: '2026-01-01T00:00:00Z', lock: null }
let store: ObjectStore
let judgement: Judgement
let nowMs = 0
/** Sleeps pass at once. */
const clock: Clock = {
  ...systemClock,
  monotonicMs: () => nowMs,
  sleep: async (delayMs) => {
    nowMs += delayMs
  },
}

const common = () => ({
  store,
  clock,
  random: seededRandom(nowMs + 1),
  log: () => {},
  rootOwner: { uid: 0, gid: 0 },
  parallelism: 4,
  memoryBytes: 256 << 20,
})
const writer = () => ({ self, leaseMs: 30_000, judge: async () => judgement, probe: null, onFailure: () => {} })

beforeEach(async () => {
  store = createMemoryStore()
  judgement = 'dead'
  await formatVolume({
    ...common(),
    name: 'vol',
    segmentSizeBytes: 1 << 20,
    force: false,
    self,
    leaseMs: 30_000,
    judge: async () => judgement,
    probe: null,
  })
})

async function open(): Promise<Volume> {
  return openVolume({ ...common(), identity: await readVolumeJson(store), writer: writer(), commitMs: 5000 })
}

async function gc(options: { dryRun?: boolean; graceMs?: number } = {}): Promise<GcReport> {
  return gcVolume({
    ...common(),
    identity: await readVolumeJson(store),
    writer: options.dryRun ? null : writer(),
    graceMs: options.graceMs ?? 0,
    onProgress: () => {},
  })
}

async function write(filesystem: Filesystem, name: string, body: Uint8Array): Promise<void> {
  const { entry, opened } = await filesystem.create(CALLER, ROOT_INO, Buffer.from(name), 0o644, { flags: 0o1001 })
  await filesystem.write(opened.handle, entry.attributes.ino, 0, body)
  await filesystem.release(opened.handle, entry.attributes.ino)
  filesystem.forget(entry.attributes.ino, 1)
}

async function read(filesystem: Filesystem, name: string): Promise<Buffer> {
  const { attributes } = await filesystem.lookup(CALLER, ROOT_INO, Buffer.from(name))
  const { handle } = await filesystem.open(CALLER, attributes.ino, { flags: 0 })
  const whole = Buffer.concat(await filesystem.read(handle, attributes.ino, 0, 1 << 24))
  await filesystem.release(handle, attributes.ino)
  return whole
}

const body = (seed: number, lengthBytes = 2_000_000) => seededRandom(seed).bytes(lengthBytes)

async function contents(): Promise<Map<string, string>> {
  const { objects } = await store.list('')
  return new Map(objects.map(({ key, etag }) => [key, etag]))
}

/** Kind 1 in the header: file data, not pages. */
async function firstDataSegment(keys: readonly string[]): Promise<string> {
  for (const key of keys) if (key.startsWith('segments/') && (await store.get(key)).body[4] === 1) return key
  throw new Error('there is no data')
}

/** A volume with a file, and next to it one of each sort of leftover. */
async function withLeftovers(): Promise<{ leftovers: string[]; data: string }> {
  const volume = await open()
  await write(volume.filesystem, 'kept', body(1))
  await write(volume.filesystem, 'gone', body(2))
  await volume.close()
  // A tenure that crashed; what it had uploaded and not recorded stays.
  const crashed = await open()
  await write(crashed.filesystem, 'later', body(3))
  await crashed.sync()
  await crashed.filesystem.unlink(CALLER, ROOT_INO, Buffer.from('gone'))
  await crashed.sync()
  crashed.abandon()
  const keys = [...(await contents()).keys()]
  const data = await firstDataSegment(keys)
  const unnamed = segmentKey(9 as never)
  const { body: copy } = await store.get(data)
  await store.put(unnamed, [copy])
  // Void, behind a gap.
  const commit = keys.filter((key) => key.startsWith('journal/')).at(-1)!
  const identity = { slot: 0, epoch: Number.parseInt(commit.split('/')[2]!, 16), seq: 99, session: Buffer.alloc(16) }
  const { uuid } = await readVolumeJson(store)
  await store.put(
    journalKey(0, identity.epoch, 99),
    encodeCommit(uuid, identity, atOnce(new OpenCommit().close().encode())),
  )
  const probe = `probe/${'ab'.repeat(12)}`
  await store.put(probe, [Buffer.from('x')])
  await store.put('holiday.jpg', [Buffer.from('x')])
  return { leftovers: [unnamed, probe], data }
}

test('a dry run tells what would go, and changes nothing', async () => {
  await withLeftovers()
  const before = await contents()
  const report = await gc({ dryRun: true })
  expect(report.dryRun).toBe(true)
  expect(report.leftovers.segment.objects).toBe(1)
  expect(report.leftovers.probe.objects).toBe(1)
  expect(report.foreign).toEqual(['holiday.jpg'])
  expect(await contents()).toEqual(before)
})

test('what nothing refers to goes, with what files no longer use; files and foreign objects stay', async () => {
  const { leftovers } = await withLeftovers()
  const report = await gc()
  const after = await contents()
  for (const key of leftovers) expect([...after.keys()]).not.toContain(key)
  expect(report.leftovers.segment.objects).toBe(1)
  expect(report.dead.bytes).toBeGreaterThan(1_900_000)
  expect([...after.keys()]).toContain('holiday.jpg')
  const bytes = (await store.list('segments/')).objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  expect(bytes).toBeLessThan(1.1 * 4_000_000)
  const volume = await open()
  expect((await read(volume.filesystem, 'kept')).equals(body(1))).toBe(true)
  expect((await read(volume.filesystem, 'later')).equals(body(3))).toBe(true)
  await expect(async () => volume.filesystem.lookup(CALLER, ROOT_INO, Buffer.from('gone'))).rejects.toThrow()
  await volume.close()
})

test('objects of the journal that are void or contained go; the seal of a tenure that crashed stays', async () => {
  await withLeftovers()
  await gc()
  const journal = (await store.list('journal/')).objects
  expect(journal, 'the seal alone').toHaveLength(1)
  expect(journal[0]!.sizeBytes).toBe(80)
  expect((await gc()).leftovers.journal.objects).toBe(0)
  expect((await store.list('journal/')).objects.map(({ key }) => key)).toEqual([journal[0]!.key])
})

test('a second run finds nothing', async () => {
  await withLeftovers()
  await gc()
  const { leftovers, dead, movedBytes } = await gc()
  expect(Object.values(leftovers).reduce((sum, { objects }) => sum + objects, 0)).toBe(0)
  expect(movedBytes).toBe(0)
  // Its own mount and unmount replace a few pages.
  expect(dead.bytes).toBeLessThan(10_000)
})

test('what died lately stays until the grace period is over', async () => {
  await withLeftovers()
  const report = await gc({ graceMs: HOUR_MS })
  expect(report.dead.objects).toBe(0)
  expect(report.waiting).toBeGreaterThan(0)
  expect(report.leftovers.segment.objects, 'leftovers were never of use to anybody').toBe(1)
})

test('a volume that is mounted is refused, naming the holder; a dry run looks at it', async () => {
  const volume = await open()
  judgement = 'alive'
  await expect(gc()).rejects.toThrow(/here/)
  await expect(gc({ dryRun: true })).resolves.toMatchObject({ dryRun: true })
  await volume.close()
})

test('a segment that files use is not deleted though its counter is lost', async () => {
  const { data } = await withLeftovers()
  const identity = await readVolumeJson(store)
  const parts = await openParts({ ...common(), identity, writer: writer(), commitMs: 5000 })
  const transaction = parts.database.transaction()
  transaction.delete(USAGE, 0, parseSegmentKey(data)!)
  parts.database.apply(transaction)
  await parts.volume.close()
  expect((await gc()).miscounted).toEqual([data])
  const volume = await open()
  expect((await read(volume.filesystem, 'kept')).equals(body(1))).toBe(true)
  await volume.close()
})
