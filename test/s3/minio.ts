// A MinIO for tests: its endpoint and keys from the environment, a fresh bucket for each suite, and MinIO's own count of
// the requests it served.
//
//   describe.skipIf(minio === undefined)('...', () => { beforeAll(async () => { bucket = await createTestBucket(minio!) }) })
//
// Must stay true: without CAIRNFS_TEST_S3 the tests are skipped, and say so once; under CI=true that is a failure, so
// that nobody takes skipped tests for passed ones. Buckets are named cairnfs-test-RANDOM and removed with all they hold.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ObjectStore, type OpenStoreOptions, openStore } from '../../src/store/index.ts'

export interface Minio {
  /** URL. The keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, where stores and spawned programs find them. */
  endpoint: string
}

/** The MinIO to test with; undefined when there is none and tests are to be skipped. Throws when CI has none. */
export const minio: Minio | undefined = findMinio()

function findMinio(): Minio | undefined {
  const { CAIRNFS_TEST_S3: endpoint, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, CI } = process.env
  const missing = !endpoint
    ? 'CAIRNFS_TEST_S3 is not set'
    : AWS_ACCESS_KEY_ID && AWS_SECRET_ACCESS_KEY
      ? undefined
      : 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set'
  if (missing === undefined && endpoint) return { endpoint }
  const remedy = `${missing}: run eval "$(scripts/minio start)"`
  if (CI === 'true') throw new Error(`no MinIO to test with, ${remedy}`)
  console.warn(`skipped: ${remedy}`)
  return undefined
}

export interface TestBucket {
  bucket: string
  /** `s3://BUCKET`. */
  name: string
  /** What openStore needs besides the name. */
  options: OpenStoreOptions
  /** Opens the bucket, or a prefix in it, as a bare store. */
  open(prefix?: string): Promise<ObjectStore>
  /** Deletes every object and the bucket. */
  remove(): Promise<void>
}

/** Creates a bucket that nobody else uses. */
export async function createTestBucket({ endpoint }: Minio): Promise<TestBucket> {
  const bucket = `cairnfs-test-${randomBytes(6).toString('hex')}`
  const name = `s3://${bucket}`
  const options: OpenStoreOptions = { endpoint, region: process.env.AWS_REGION ?? 'us-east-1' }
  await (await openStore(name, { ...options, createBucket: true })).close()
  return {
    bucket,
    name,
    options,
    open: (prefix) => openStore(prefix === undefined ? name : `${name}/${prefix}`, options),
    remove: () => removeBucket(bucket, options),
  }
}

async function removeBucket(bucket: string, options: OpenStoreOptions): Promise<void> {
  const store = await openStore(`s3://${bucket}`, options)
  for (;;) {
    const { objects } = await store.list('')
    if (objects.length === 0) break
    await store.delete(objects.map(({ key }) => key))
  }
  await store.close()
  const { S3Client, DeleteBucketCommand } = await import('@aws-sdk/client-s3')
  const client = new S3Client({ endpoint: options.endpoint!, region: 'us-east-1', forcePathStyle: true })
  await client.send(new DeleteBucketCommand({ Bucket: bucket }))
  client.destroy()
}

/** MinIO's names of the S3 operations that cairnfs uses. */
export type MinioOperation = 'getobject' | 'putobject' | 'deletemultipleobjects' | 'listobjectsv2' | 'headobject'

const NOTHING: Record<MinioOperation, number> = {
  getobject: 0,
  putobject: 0,
  deletemultipleobjects: 0,
  listobjectsv2: 0,
  headobject: 0,
}

/** How many requests of each operation MinIO has served since it started. Needs MINIO_PROMETHEUS_AUTH_TYPE=public. */
export async function minioRequests({ endpoint }: Minio): Promise<Record<MinioOperation, number>> {
  const response = await fetch(`${endpoint}/minio/metrics/v3/api/requests`)
  if (!response.ok) throw new Error(`${endpoint}: metrics: ${response.status}; set MINIO_PROMETHEUS_AUTH_TYPE=public`)
  const counts = { ...NOTHING }
  for (const line of (await response.text()).split('\n')) {
    const [, operation = '', value] = /^minio_api_requests_total\{.*\bname="([^"]+)".*\} (\S+)$/.exec(line) ?? []
    const key = operation.toLowerCase()
    if (key in counts) counts[key as MinioOperation] += Number(value)
  }
  return counts
}

/** What MinIO counted while `work` ran, when nobody else used it. MinIO publishes counts with a delay: they are read
 *  until they stand still. */
export async function countMinioRequests(
  from: Minio,
  work: () => Promise<void>,
): Promise<Record<MinioOperation, number>> {
  const before = await settledRequests(from)
  await work()
  const after = await settledRequests(from)
  const delta = { ...NOTHING }
  for (const operation of Object.keys(NOTHING) as MinioOperation[])
    delta[operation] = after[operation] - before[operation]
  return delta
}

async function settledRequests(from: Minio): Promise<Record<MinioOperation, number>> {
  let last = await minioRequests(from)
  for (let same = 0; same < 3; ) {
    await sleep(500)
    const next = await minioRequests(from)
    same = JSON.stringify(next) === JSON.stringify(last) ? same + 1 : 0
    last = next
  }
  return last
}
