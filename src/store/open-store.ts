// From a store's name, as users write it, to the store.
//
//   file:///var/lib/cairn        a folder
//   s3://bucket  s3://bucket/prefix    a bucket, or the part of one under a prefix
//
// Must stay true: a name holds no credentials; one that does is refused without being repeated, for messages end in logs.
import type { Clock } from '../platform/index.ts'
import { checkKey } from './keys.ts'
import { openLocalStore } from './local.ts'
import { type ObjectStore, StoreError } from './object-store.ts'
import type { S3StoreOptions } from './s3.ts'

export type StoreName = { kind: 'file'; path: string } | { kind: 's3'; bucket: string; prefix: string }

/** What a name leaves open. For a folder only `createBucket` and `clock` matter. */
export interface OpenStoreOptions extends Omit<S3StoreOptions, 'bucket' | 'prefix' | 'name'> {
  clock?: Clock
}

/** Reads a store's name. Throws StoreError `fatal` with one line that says what is wrong and what to write instead. */
export function parseStoreName(text: string): StoreName {
  const [, scheme = '', rest = ''] = /^([a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? []
  // Only the part up to the first slash can hold them; keys and paths may hold an @.
  const authority = rest.split('/', 1)[0] ?? ''
  if (authority.includes('@'))
    throw unusable(
      `a store's name must not hold credentials (the part before @): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile or --credentials-file`,
    )
  switch (scheme.toLowerCase()) {
    case 'file':
      return parseFile(text, rest)
    case 's3':
      return parseBucket(text, rest)
    case 'http':
    case 'https':
      throw unusable(`${text}: name the bucket, as s3://BUCKET/PREFIX, and give this URL as --endpoint`)
    default:
      throw unusable(
        `${text}: no store has such a name; write s3://BUCKET, s3://BUCKET/PREFIX or file:///ABSOLUTE/PATH`,
      )
  }
}

function parseFile(text: string, rest: string): StoreName {
  if (!rest.startsWith('/')) throw unusable(`${text}: the path must be absolute; write file:///ABSOLUTE/PATH`)
  if (rest.split('/').includes('..')) throw unusable(`${text}: the path must not hold '..'; write where it leads`)
  if (rest.includes('\0')) throw unusable('the path of a store must not hold a NUL byte')
  return { kind: 'file', path: rest.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '') }
}

/** S3's rule for names of buckets. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

function parseBucket(text: string, rest: string): StoreName {
  const slash = rest.indexOf('/')
  const bucket = slash === -1 ? rest : rest.slice(0, slash)
  const prefix = slash === -1 ? '' : rest.slice(slash + 1).replace(/\/$/, '')
  if (!BUCKET.test(bucket))
    throw unusable(`${text}: ${JSON.stringify(bucket)} is no name of a bucket (3 to 63 of a-z, 0-9, '.' and '-')`)
  if (/[?#]/.test(prefix)) throw unusable(`${text}: the prefix must not hold '?' or '#'; give settings as options`)
  if (prefix !== '') {
    try {
      checkKey(prefix)
    } catch (error) {
      throw unusable(
        `${text}: the prefix must have no empty, '.' or '..' component; write s3://${bucket}/PREFIX`,
        error,
      )
    }
  }
  return { kind: 's3', bucket, prefix }
}

function unusable(message: string, cause?: unknown): StoreError {
  return new StoreError('fatal', message, { cause })
}

/** Opens a store by its name: the bare one, without retries or metrics. Throws StoreError. */
export async function openStore(name: string, options: OpenStoreOptions = {}): Promise<ObjectStore> {
  const parsed = parseStoreName(name)
  const { clock, ...s3 } = options
  if (parsed.kind === 'file')
    return openLocalStore({
      path: parsed.path,
      name,
      create: options.createBucket ?? false,
      ...(clock === undefined ? {} : { clock }),
    })
  const { openS3Store } = await import('./s3.ts')
  return openS3Store({ ...s3, bucket: parsed.bucket, prefix: parsed.prefix, name })
}
