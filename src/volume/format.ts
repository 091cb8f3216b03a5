// Formatting: a new volume in an empty store, or (with `force`) in place of an old one.
//
// Must stay true:
// - Objects that no cairnfs wrote are never deleted and never mixed with ours: they refuse the format, whatever is forced.
// - Nothing is deleted while somebody holds the volume. volume.json goes first: from then on nobody can mount what is
//   left, and a format that was interrupted can be repeated.
// - volume.json is put last, where there is none: of two who format at a time one fails, and a volume that can be mounted
//   is whole.
import { ok as assert } from 'node:assert'
import { type Clock, FsError, type Random } from '../platform/index.ts'
import { parseSegmentKey } from '../segments/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { describeHolder, formatDatabase, type Holder, type Judgement, readSlot } from '../tables/index.ts'
import { openVolume, type VolumeLog, type VolumeWriter } from './open.ts'
import {
  decodeVolumeJson,
  encodeVolumeJson,
  FORMAT_VERSION,
  NAME_PATTERN,
  SEGMENT_SIZE_MAX_BYTES,
  SEGMENT_SIZE_MIN_BYTES,
  UNICODE_VERSION,
  VOLUME_KEY,
  type VolumeIdentity,
  type VolumeJson,
} from './volume-json.ts'

const SLOT = 0
const FORMAT_MEMORY_BYTES = 64 << 20
const ROOT_KEY = 'root'
const ROOT_MAGIC = Buffer.from('CRNR')
const WRITER_PATTERN = /^writers\/\d+\.json$/
/** A probe that was interrupted (store/probe.ts). */
const PROBE_PATTERN = /^probe\/[0-9a-f]{24}(-missing)?$/
const JOURNAL_PATTERN = /^journal\/[0-9a-f]{3}\/[0-9a-f]{14}\/[0-9a-f]{14}$/

export interface FormatOptions {
  store: ObjectStore
  name: string
  segmentSizeBytes: number
  /** Whether names ignore case, in the root directory and all made below. */
  casefold?: boolean
  /** Delete the volume that is there first. */
  force: boolean
  clock: Clock
  random: Random
  /** Who formats; owns the root directory. */
  self: Omit<Holder, 'session'>
  rootOwner: { uid: number; gid: number }
  /** How long a holder may be silent before it counts as dead. */
  leaseMs: number
  judge: (holder: Holder) => Promise<Judgement>
  log: VolumeLog
  /** Fails when the store's conditional writes cannot be relied on; null: the user answers for that. */
  probe: VolumeWriter['probe']
}

/** Makes a volume. EEXIST when there is one (or remains of one) and `force` is not set, ENOTEMPTY for foreign objects,
 *  EBUSY while somebody holds it. */
export async function formatVolume(options: FormatOptions): Promise<VolumeJson> {
  const { store, name, segmentSizeBytes, force, random } = options
  checkName(name)
  checkSegmentSize(segmentSizeBytes)
  const keys = await listOwnKeys(store)
  if (keys.length > 0) {
    if (keys.includes(ROOT_KEY)) await checkRootIsOurs(store)
    if (!force) throw existsAlready(store, keys)
    await refuseLiveHolder(options)
    if (keys.includes(VOLUME_KEY)) await store.delete([VOLUME_KEY])
    await store.delete(keys.filter((key) => key !== VOLUME_KEY))
  }
  await options.probe?.run()
  const json: VolumeJson = {
    format: 'cairnfs',
    formatVersion: FORMAT_VERSION,
    uuid: randomUuid(random),
    name,
    features: { compat: 0, roCompat: 0, incompat: 0 },
    segmentSize: segmentSizeBytes,
    unicodeVersion: UNICODE_VERSION,
    hashKey: random.bytes(16).toString('hex'),
  }
  const bytes = encodeVolumeJson(json)
  const identity = decodeVolumeJson(bytes, store.name)
  await formatDatabase(store, identity.uuid)
  await makeRootDirectory(options, identity)
  await putVolumeJson(store, bytes)
  return json
}

/** A first tenure that ends at once: its checkpoint holds the root directory, and nothing else. */
async function makeRootDirectory(options: FormatOptions, identity: VolumeIdentity): Promise<void> {
  const { store, clock, random, log, self, leaseMs, judge, rootOwner } = options
  // It has just been done; this notes it in writers/.
  const probe = options.probe && { endpoint: options.probe.endpoint, run: async () => {} }
  const volume = await openVolume({
    store,
    identity,
    writer: { self, leaseMs, judge, probe, onFailure: () => {} },
    clock,
    random,
    log,
    memoryBytes: FORMAT_MEMORY_BYTES,
    commitMs: 1000,
    parallelism: 1,
    rootOwner,
    casefold: options.casefold ?? false,
  })
  await volume.close()
}

/** A name for the volume from its store's: the last part, with what NAME_PATTERN forbids left out. */
export function defaultName(storeName: string): string {
  const last =
    storeName
      .replace(/^\w+:\/\//, '')
      .replace(/\/+$/, '')
      .split('/')
      .at(-1) ?? ''
  const allowed = last.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '')
  return allowed.slice(0, 63) || 'volume'
}

function checkName(name: string): void {
  if (NAME_PATTERN.test(name)) return
  throw new FsError(
    'EINVAL',
    `'${name}' cannot name a volume: use 1 to 63 letters, digits, dots, dashes and underscores`,
  )
}

function checkSegmentSize(bytes: number): void {
  if (bytes >= SEGMENT_SIZE_MIN_BYTES && bytes <= SEGMENT_SIZE_MAX_BYTES) return
  throw new FsError('EINVAL', `a segment size of ${bytes} bytes is out of range: give 256K to 64M (8M suits most)`)
}

/** All keys in the store. ENOTEMPTY when one is not a volume's. */
async function listOwnKeys(store: ObjectStore): Promise<string[]> {
  const keys: string[] = []
  let startAfter: string | undefined
  do {
    const page = await store.list('', startAfter === undefined ? {} : { startAfter })
    for (const { key } of page.objects) {
      if (!isVolumeKey(key)) throw foreign(store, key)
      keys.push(key)
    }
    startAfter = page.next
  } while (startAfter !== undefined)
  return keys
}

function foreign(store: ObjectStore, key: string): FsError {
  return new FsError('ENOTEMPTY', `${store.name} holds what is no cairnfs volume's (${key}): choose an empty place`)
}

/** `root` is a name that others may have used too: it must begin as ours does. */
async function checkRootIsOurs(store: ObjectStore): Promise<void> {
  const { body } = await store.get(ROOT_KEY, { lengthBytes: ROOT_MAGIC.length })
  if (!body.equals(ROOT_MAGIC)) throw foreign(store, ROOT_KEY)
}

function isVolumeKey(key: string): boolean {
  return (
    key === VOLUME_KEY ||
    key === ROOT_KEY ||
    WRITER_PATTERN.test(key) ||
    JOURNAL_PATTERN.test(key) ||
    PROBE_PATTERN.test(key) ||
    parseSegmentKey(key) !== null
  )
}

function existsAlready(store: ObjectStore, keys: readonly string[]): FsError {
  const what = keys.includes(VOLUME_KEY)
    ? 'a cairnfs volume'
    : 'remains of a cairnfs volume (cairnfs fsck --repair may bring it back)'
  return new FsError('EEXIST', `${store.name} already holds ${what}: --force deletes it with everything in it`)
}

/** EBUSY when somebody holds the volume: by its lock file at once, else by signs of life within the lease. */
async function refuseLiveHolder({ store, clock, leaseMs, judge }: FormatOptions): Promise<void> {
  const seen = await readSlotIfAny(store)
  if (seen === null || seen.state.epoch === 0 || seen.state.released !== null) return
  const held = () =>
    new FsError('EBUSY', `${store.name} is mounted (${describeHolder(seen.state)}): cairnfs umount it there first`)
  const judgement = await judge(seen.state)
  if (judgement === 'dead') return
  if (judgement !== 'unknown') throw held()
  const untilMs = clock.monotonicMs() + leaseMs
  while (clock.monotonicMs() < untilMs) {
    await clock.sleep(Math.min(1000, leaseMs / 10))
    const again = await readSlotIfAny(store)
    if (again === null || again.state.released !== null) return
    if (again.etag !== seen.etag) throw held()
  }
}

async function readSlotIfAny(store: ObjectStore): Promise<Awaited<ReturnType<typeof readSlot>> | null> {
  try {
    return await readSlot(store, SLOT)
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}

async function putVolumeJson(store: ObjectStore, body: Buffer): Promise<void> {
  try {
    await store.putIfAbsent(VOLUME_KEY, [body])
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
    // It may have been our own first try that got there.
    const there = await store.get(VOLUME_KEY)
    if (there.body.equals(body)) return
    throw new FsError('EEXIST', `${store.name} was formatted by somebody else at the same time: mount that volume`, {
      cause: error,
    })
  }
}

/** A version 4 UUID (RFC 9562). */
function randomUuid(random: Random): string {
  const bytes = random.bytes(16)
  assert(bytes.length === 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
