// A bucket on S3, MinIO or any service that speaks their protocol.
//
// The SDK builds, signs and parses; CarryingHttpHandler moves the bytes. Bodies never enter the SDK: what travels with a
// request (`Carried`) hangs on the command's input under a symbol, and a middleware before the signature puts it in the
// body's place together with its length and hash. Objects are got and put without its middleware (s3-objects.ts).
//
// Must stay true:
// - One call is one HTTP request (delete: one per 1,000 keys; a get of nothing: one more, see #emptyRange), never
//   repeated here; retry.ts repeats.
// - Every PUT carries the crc32c of its body, so that the service refuses what arrived damaged.
// - send() is given no options: with any, the SDK builds its middleware anew for every request (1 ms).
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import { checkKey, listLimit } from './keys.ts'
import {
  bodyLengthBytes,
  deleteBatches,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
  StoreError,
} from './object-store.ts'
import { contentSha256, crc32cHeader, crc32cOf, leavesBodiesUnsigned } from './s3-checksums.ts'
import { kindOfCode, s3Error } from './s3-errors.ts'
import { type Carried, CarryingHttpHandler, type SignedRequest } from './s3-http.ts'
import { ObjectRequests } from './s3-objects.ts'

export interface S3StoreOptions {
  bucket: string
  /** Keys are relative to it; '' or without slashes at its ends. */
  prefix?: string
  /** The store's name as the user gave it; `s3://BUCKET/PREFIX` unless told. */
  name?: string
  /** URL of the service; AWS's own for the region unless told. */
  endpoint?: string
  /** By AWS's rules (AWS_REGION, profile) unless told, then us-east-1. */
  region?: string
  /** The bucket in the URL's path, not in its host name; true unless told when an endpoint is given. */
  pathStyle?: boolean
  /** Profile of the credentials and config files. */
  profile?: string
  /** A credentials file in place of ~/.aws/credentials. */
  credentialsFile?: string
  /** Most segments uploaded and read at once; 64 unless told. Requests for anything else wait for none of them. */
  parallelism?: number
  /** Leave bodies out of signatures over plain http too (over https they always are: TLS and the crc32c guard them). True unless
   *  told where the endpoint is this machine's own, so that nobody is between. */
  unsignedPayload?: boolean
  /** Create the bucket when it is missing. */
  createBucket?: boolean
  /** A connection on which nothing moves for so long has failed; 30 s unless told. */
  idleTimeoutMs?: number
}

/** What is large. Everything else (writers/, the journal, `root`, lists, deletes) is small and somebody waits for it:
 *  behind uploads on a slow line a live writer would look dead, and a commit miss its deadline. */
const BULK_PREFIX = 'segments/'
/** As many as journal objects are read at once by a mount. */
const OTHER_SOCKETS = 16
const CARRIED = Symbol('carried')

type Sdk = typeof import('@aws-sdk/client-s3')

/** Opens a bucket. Makes no request unless `createBucket`: a bucket that is missing shows at the first one. */
export async function openS3Store(options: S3StoreOptions): Promise<ObjectStore> {
  // Loading the SDK takes 70 ms or more: only who uses S3 pays.
  const sdk = await import('@aws-sdk/client-s3')
  const handler = new CarryingHttpHandler({
    maxSockets: { bulk: options.parallelism ?? 64, other: OTHER_SOCKETS },
    idleTimeoutMs: options.idleTimeoutMs ?? 30_000,
  })
  const client = await createClient(sdk, handler, options)
  const store = new S3Store(sdk, client, handler, options)
  if (options.createBucket) await store.createBucket()
  return store
}

async function createClient(sdk: Sdk, handler: CarryingHttpHandler, options: S3StoreOptions): Promise<S3Client> {
  const config: S3ClientConfig = {
    forcePathStyle: options.pathStyle ?? options.endpoint !== undefined,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    cacheMiddleware: true,
    requestHandler: handler,
  }
  if (options.endpoint !== undefined) config.endpoint = options.endpoint
  if (options.profile !== undefined) config.profile = options.profile
  if (options.credentialsFile !== undefined || options.profile !== undefined)
    config.credentials = await credentials(options)
  config.region = options.region ?? (await defaultRegion(sdk, options.profile))
  const client = new sdk.S3Client(config)
  client.middlewareStack.add(carryBodies(leavesBodiesUnsigned(options)), {
    step: 'build',
    priority: 'low',
    name: 'carryBodies',
  })
  return client
}

async function credentials({ credentialsFile, profile }: S3StoreOptions) {
  const { fromIni, fromNodeProviderChain } = await import('@aws-sdk/credential-providers')
  const chosen = profile === undefined ? {} : { profile }
  return credentialsFile === undefined
    ? fromNodeProviderChain(chosen)
    : fromIni({ ...chosen, filepath: credentialsFile, ignoreCache: true })
}

/** The region by AWS's own rules; services that are not AWS rarely have one, so that none is us-east-1. */
async function defaultRegion(sdk: Sdk, profile: string | undefined): Promise<string> {
  const client = new sdk.S3Client(profile === undefined ? {} : { profile })
  try {
    return await client.config.region()
  } catch {
    return 'us-east-1'
  } finally {
    client.destroy()
  }
}

interface BuildArguments {
  input: object
  request: unknown
}

/** Puts `Carried` where the body belongs, with its length and hash, so that the SDK signs without seeing a byte. */
function carryBodies(isUnsigned: boolean) {
  return <Args extends BuildArguments, Result>(next: (args: Args) => Result) =>
    (args: Args): Result => {
      const request = args.request as SignedRequest
      const carried = (args.input as { [CARRIED]?: Carried })[CARRIED] ?? carry()
      // DeleteObjects and CreateBucket have a body of their own, in XML.
      const parts = request.body === undefined ? carried.parts : [Buffer.from(request.body as string)]
      if (request.method === 'PUT' || request.method === 'POST')
        request.headers['content-length'] = String(bodyLengthBytes(parts))
      const isSigned = !isUnsigned && request.protocol !== 'https:'
      request.headers['x-amz-content-sha256'] = contentSha256(parts, { isSigned })
      request.body = parts === carried.parts ? carried : { ...carried, parts }
      return next(args)
    }
}

function carry({ signal, progress }: PutOptions = {}, body: Partial<Carried> = {}): Carried {
  return { parts: [], signal, progress, isBulk: false, keepsBody: false, ...body }
}

/** Hangs `carried` on a command's input. */
function carrying<T extends object>(input: T, carried: Carried): T {
  return Object.assign(input, { [CARRIED]: carried })
}

class S3Store implements ObjectStore {
  readonly name: string
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #bucket: string
  /** Empty or ends in '/'. */
  readonly #prefix: string
  readonly #endpoint: string
  readonly #objects: ObjectRequests

  constructor(sdk: Sdk, client: S3Client, handler: CarryingHttpHandler, options: S3StoreOptions) {
    this.#sdk = sdk
    this.#client = client
    this.#bucket = options.bucket
    const isUnsigned = leavesBodiesUnsigned(options)
    this.#objects = new ObjectRequests({ sdk, client, handler, bucket: options.bucket, isUnsigned })
    this.#prefix = options.prefix ? `${options.prefix}/` : ''
    this.#endpoint = options.endpoint ?? 'AWS S3'
    this.name = options.name ?? `s3://${options.bucket}${options.prefix ? `/${options.prefix}` : ''}`
  }

  /** Creates the bucket unless it is there. */
  createBucket(): Promise<void> {
    return this.#run('create the bucket', undefined, async () => {
      try {
        await this.#client.send(new this.#sdk.CreateBucketCommand({ Bucket: this.#bucket }))
      } catch (error) {
        const { name } = error as Error
        if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') throw error
      }
    })
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    const { offset = 0, lengthBytes, signal } = options
    if (lengthBytes === 0) return this.#emptyRange(key, options)
    const isRange = offset > 0 || lengthBytes !== undefined
    const carried = carry(options, { keepsBody: true, isBulk: isBulk(key), allocate: options.allocate })
    const headers = isRange
      ? { range: `bytes=${offset}-${lengthBytes === undefined ? '' : offset + lengthBytes - 1}` }
      : {}
    const reply = await this.#run(`get ${key}`, signal, () =>
      this.#objects.send({ method: 'GET', key: this.#fullKey(key), headers, carried }).catch((error: unknown) => {
        if (isRange && statusOf(error) === 416) return undefined
        throw error
      }),
    )
    if (reply === undefined) return this.#emptyRange(key, options)
    const received = carried.received as Buffer
    const etag = this.#etag(reply.headers.etag)
    const contentRange = reply.headers['content-range']
    if (contentRange !== undefined && !isAsked(contentRange, options, received.length))
      throw new StoreError(
        'retryable',
        `${this.name}: get ${key}: asked for ${headers.range ?? 'all'}, got ${contentRange}`,
      )
    // A service may ignore a range and send the whole object.
    const isCut = isRange && contentRange === undefined
    const end = lengthBytes === undefined ? undefined : offset + lengthBytes
    return { body: isCut ? Buffer.from(received.subarray(offset, end)) : received, etag }
  }

  put(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    return this.#put(key, body, options, {})
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    return this.#put(key, body, options, { 'if-none-match': '*' })
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options: PutOptions = {}): Promise<Etag> {
    return this.#put(key, body, options, { 'if-match': etag })
  }

  async delete(keys: readonly string[], options: PutOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key)
    for (const batch of deleteBatches(keys)) await this.#deleteBatch(batch, options)
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    const { startAfter, limit, signal } = options
    const input = carrying(
      {
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        MaxKeys: listLimit(limit),
        // Keys may hold characters that XML cannot.
        EncodingType: 'url' as const,
        ...(startAfter === undefined ? {} : { StartAfter: this.#prefix + startAfter }),
      },
      carry(options),
    )
    return this.#run(`list ${prefix}`, signal, async () => {
      const reply = await this.#client.send(new this.#sdk.ListObjectsV2Command(input))
      const objects = (reply.Contents ?? []).map(({ Key = '', Size = 0, ETag }) => ({
        key: (reply.EncodingType === 'url' ? decodeKey(Key) : Key).slice(this.#prefix.length),
        sizeBytes: Size,
        etag: this.#etag(ETag),
      }))
      const last = objects[objects.length - 1]
      return reply.IsTruncated && last !== undefined ? { objects, next: last.key } : { objects }
    })
  }

  head(key: string, options: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#run(`head ${key}`, options.signal, async () => {
      const reply = await this.#client.send(new this.#sdk.HeadObjectCommand(this.#object(key, carry(options))))
      return { sizeBytes: reply.ContentLength ?? 0, etag: this.#etag(reply.ETag) }
    })
  }

  async close(): Promise<void> {
    this.#client.destroy()
  }

  async #put(
    key: string,
    body: readonly Uint8Array[],
    options: PutOptions,
    condition: Readonly<Record<string, string>>,
  ): Promise<Etag> {
    const carried = carry(options, { parts: body, isBulk: isBulk(key) })
    const headers = {
      'content-type': 'application/octet-stream',
      'x-amz-checksum-crc32c': crc32cHeader(options.bodyCrc32c ?? crc32cOf(body)),
      ...condition,
    }
    const request = { method: 'PUT' as const, key: this.#fullKey(key), headers, carried }
    return this.#run(`put ${key}`, options.signal, async () =>
      this.#etag((await this.#objects.send(request)).headers.etag),
    )
  }

  async #deleteBatch(keys: readonly string[], options: PutOptions): Promise<void> {
    const Objects = keys.map((key) => ({ Key: this.#prefix + key }))
    const input = carrying({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } }, carry(options))
    const what = keys.length === 1 ? `delete ${keys[0]}` : `delete ${keys.length} keys from ${keys[0]}`
    const reply = await this.#run(what, options.signal, () =>
      this.#client.send(new this.#sdk.DeleteObjectsCommand(input)),
    )
    const failed = (reply.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey')
    const [first] = failed
    if (first === undefined) return
    // One refusal that passes makes the whole batch worth another try: deleting again what is gone is no error.
    const kinds = failed.map(({ Code = 'InternalError' }) => kindOfCode(Code))
    const kind = kinds.includes('retryable') ? 'retryable' : (kinds[0] ?? 'fatal')
    throw new StoreError(
      kind,
      `${this.name}: ${what}: ${failed.length} refused, ${first.Key}: ${first.Code} ${first.Message}`,
    )
  }

  /** A range of no bytes cannot be asked for; the etag, or that there is no such object, takes a HEAD. */
  async #emptyRange(key: string, options: PutOptions): Promise<StoredObject> {
    const { etag } = await this.head(key, options)
    return { body: Buffer.alloc(0), etag }
  }

  #object(key: string, carried: Carried): { Bucket: string; Key: string } {
    return carrying({ Bucket: this.#bucket, Key: this.#fullKey(key) }, carried)
  }

  #fullKey(key: string): string {
    checkKey(key)
    return this.#prefix + key
  }

  #etag(etag: string | undefined): Etag {
    if (!etag) throw new StoreError('fatal', `${this.name}: the service sends no ETag; cairnfs cannot work without`)
    return etag as Etag
  }

  /** Runs a request; what it fails with becomes a StoreError, except that an abort rejects with its own reason. */
  async #run<T>(what: string, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    try {
      return await request()
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw s3Error(error, { name: this.name, endpoint: this.#endpoint, what })
    }
  }
}

/** Whether an answer has the bytes that were asked for: all, or those to the object's end. Checksums of blocks do not say
 *  where they lie: others would go for them. */
function isAsked(contentRange: string, { offset = 0, lengthBytes }: GetOptions, receivedBytes: number): boolean {
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange) ?? []
  const end = Number(to) + 1
  const isAll = end === offset + (lengthBytes ?? Number.NaN) || size === '*' || end === Number(size)
  return Number(from) === offset && end - offset === receivedBytes && isAll
}

function isBulk(key: string): boolean {
  return key.startsWith(BULK_PREFIX)
}

function decodeKey(key: string): string {
  return decodeURIComponent(key.replaceAll('+', ' '))
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
}
