// volume.json: what says how to read everything else in the bucket. Written once, when the volume is formatted.
//
// Feature bits are ext4's: an unknown *compat* bit may be ignored, an unknown *ro-compat* bit forbids writing, an unknown
// *incompat* bit forbids mounting at all. None is defined yet.
//
// Must stay true: whatever a newer cairnfs may have written, what this one does not know is refused with one line that
// says so, before anything else of the volume is read or changed.
import { z } from 'zod'
import { checksumHolds, encodeCheckedJson, FsError } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { readDecoded } from '../tables/index.ts'

export const VOLUME_KEY = 'volume.json'
export const FORMAT_VERSION = 2
export const UNICODE_VERSION = '12.1.0'
export const SEGMENT_SIZE_MIN_BYTES = 256 * 1024
export const SEGMENT_SIZE_MAX_BYTES = 64 * 1024 * 1024
/** Also the name of the log file. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** Bits this cairnfs understands. */
const KNOWN_FEATURES = { compat: 0, roCompat: 0, incompat: 0 } as const

const featureBits = z.number().int().nonnegative()

const schema = z.object({
  format: z.literal('cairnfs'),
  formatVersion: z.literal(FORMAT_VERSION),
  uuid: z.uuid(),
  name: z.string().regex(NAME_PATTERN),
  features: z.object({ compat: featureBits, roCompat: featureBits, incompat: featureBits }),
  /** Largest segment, in bytes. */
  segmentSize: z.number().int().min(SEGMENT_SIZE_MIN_BYTES).max(SEGMENT_SIZE_MAX_BYTES),
  /** Version by which names are folded in case-insensitive directories. */
  unicodeVersion: z.literal(UNICODE_VERSION),
  /** Key of the names' SipHash, 128 bits in hex. */
  hashKey: z.string().regex(/^[0-9a-f]{32}$/),
})

/** What every version of volume.json says, so that a newer one can be told from a damaged one. */
const headSchema = z.object({ format: z.literal('cairnfs'), formatVersion: z.number().int().positive() })

export type VolumeJson = z.infer<typeof schema>

/** A volume.json as it was read: `bytes` are what the store holds. */
export interface VolumeIdentity {
  json: VolumeJson
  bytes: Buffer
  /** 16 bytes. */
  uuid: Buffer
  /** 16 bytes. */
  hashKey: Buffer
  /** A ro-compat feature is unknown: only read-only mounts are allowed. */
  isReadOnly: boolean
}

export function encodeVolumeJson(json: VolumeJson): Buffer {
  return encodeCheckedJson(json)
}

/** Decodes and checks. `storeName` names the volume in messages. EINVAL for what is damaged, EPROTONOSUPPORT for what is
 *  newer than this cairnfs. */
export function decodeVolumeJson(bytes: Buffer, storeName: string): VolumeIdentity {
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString())
  } catch (error) {
    throw damaged(storeName, 'is no JSON', error)
  }
  const head = headSchema.safeParse(parsed)
  if (!head.success) throw damaged(storeName, 'is not the description of a cairnfs volume', head.error)
  const { formatVersion } = head.data
  if (formatVersion > FORMAT_VERSION) {
    throw newer(`${storeName} has format version ${formatVersion}, this cairnfs knows ${FORMAT_VERSION}`)
  }
  if (formatVersion < FORMAT_VERSION) {
    const what = `${storeName} has format version ${formatVersion}, from before the first release`
    throw new FsError('EPROTONOSUPPORT', `${what}: copy its files to a new volume with the cairnfs that made it`)
  }
  if (!checksumHolds(parsed)) throw damaged(storeName, 'has a checksum that does not match', null)
  const result = schema.safeParse(parsed)
  if (!result.success) {
    const issue = result.error.issues[0]
    throw damaged(storeName, `is wrong at ${issue?.path.join('.')}: ${issue?.message}`, result.error)
  }
  const json = result.data
  const unknownIncompat = unknownBits(json.features.incompat, KNOWN_FEATURES.incompat)
  if (unknownIncompat !== '') {
    throw newer(`${storeName} uses features that this cairnfs does not know (incompat bits ${unknownIncompat})`)
  }
  return {
    json,
    bytes,
    uuid: Buffer.from(json.uuid.replaceAll('-', ''), 'hex'),
    hashKey: Buffer.from(json.hashKey, 'hex'),
    isReadOnly: unknownBits(json.features.roCompat, KNOWN_FEATURES.roCompat) !== '',
  }
}

/** Throws FsError EROFS for a volume with features that allow reading only. */
export function refuseToWriteReadOnly(storeName: string, { isReadOnly }: VolumeIdentity): void {
  if (!isReadOnly) return
  throw new FsError(
    'EROFS',
    `${storeName} uses features that this cairnfs can only read: mount it with -o ro, or use a newer cairnfs`,
  )
}

/** Reads and checks volume.json. ENOENT where there is none. */
export async function readVolumeJson(store: ObjectStore): Promise<VolumeIdentity> {
  try {
    return (await readDecoded(store, VOLUME_KEY, (body) => decodeVolumeJson(body, store.name))).decoded
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'not-found') throw error
    const remedy = `check the name, or make a volume with: cairnfs format ${store.name} (if one was there: cairnfs fsck ${store.name} --repair)`
    throw new FsError('ENOENT', `${store.name} holds no cairnfs volume (no ${VOLUME_KEY}): ${remedy}`, { cause: error })
  }
}

/** The numbers of the bits in `bits` that `known` lacks, as text. */
function unknownBits(bits: number, known: number): string {
  const unknown: number[] = []
  for (let bit = 0; 2 ** bit <= bits; bit++) {
    if (Math.floor(bits / 2 ** bit) % 2 === 1 && Math.floor(known / 2 ** bit) % 2 === 0) unknown.push(bit)
  }
  return unknown.join(', ')
}

function newer(what: string): FsError {
  return new FsError('EPROTONOSUPPORT', `${what}: use a newer cairnfs`)
}

function damaged(storeName: string, what: string, cause: unknown): FsError {
  return new FsError('EINVAL', `${storeName}: ${VOLUME_KEY} ${what}: restore it (a copy ends every page segment)`, {
    cause,
  })
}
