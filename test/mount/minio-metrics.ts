// MinIO's own count of requests, to compare with what the mount says of itself, and what lies in a bucket.
import { ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'

const endpoint = process.env.CAIRNFS_TEST_S3 ?? ''

/** By operation, as `cairnfs status` names them. */
export interface RequestCounts {
  get: number
  put: number
  delete: number
  list: number
  head: number
}

const OPERATIONS: Record<string, keyof RequestCounts> = {
  getobject: 'get',
  putobject: 'put',
  deleteobject: 'delete',
  deletemultipleobjects: 'delete',
  listobjectsv2: 'list',
  headobject: 'head',
  headbucket: 'head',
}

/** What others asked for before the first count, by the APIs that cairnfs has no word for. */
let others: Map<string, number> | null = null

/** All requests since MinIO began. One more through an API that cairnfs has no word for fails the test: nothing goes
 *  uncounted. */
export async function minioRequests(): Promise<RequestCounts> {
  const answer = await fetch(`${endpoint}/minio/metrics/v3/api/requests`)
  if (!answer.ok) throw new Error(`MinIO's metrics: status ${answer.status} (MINIO_PROMETHEUS_AUTH_TYPE=public?)`)
  const counts: RequestCounts = { get: 0, put: 0, delete: 0, list: 0, head: 0 }
  const isFirst = others === null
  others ??= new Map()
  for (const [, api, count] of (await answer.text()).matchAll(/^minio_api_requests_total\{name="(\w+)".*\} (\S+)$/gm)) {
    const operation = OPERATIONS[api!.toLowerCase()]
    if (operation !== undefined) counts[operation] += Number(count)
    else if (isFirst) others.set(api!, Number(count))
    else if (!/^(PutBucket|DeleteBucket)$/.test(api!) && Number(count) !== others.get(api!))
      throw new Error(`MinIO counted an unexpected ${api}`)
  }
  return counts
}

export function difference(after: RequestCounts, before: RequestCounts): RequestCounts {
  const result = { ...after }
  for (const operation of Object.keys(result) as (keyof RequestCounts)[]) result[operation] -= before[operation]
  return result
}

export const total = (counts: RequestCounts): number => Object.values(counts).reduce((sum, count) => sum + count, 0)

/** MinIO's count once it stands still: what was answered is counted a moment later. */
export async function settledRequests(): Promise<RequestCounts> {
  let counts = await minioRequests()
  for (let same = 0; same < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    const now = await minioRequests()
    same = JSON.stringify(now) === JSON.stringify(counts) ? same + 1 : 0
    counts = now
  }
  return counts
}

/** Bytes of all segments that a volume has in its bucket. */
export async function segmentBytes(storeName: string): Promise<number> {
  return (await segmentSizes(storeName)).reduce((sum, bytes) => sum + bytes, 0)
}

/** Of each segment that a volume has in its bucket. */
export async function segmentSizes(storeName: string): Promise<number[]> {
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/(.*)$/.exec(storeName)!
  const client = new S3Client({ endpoint, forcePathStyle: true, region: 'us-east-1' })
  const sizes: number[] = []
  let token: string | undefined
  try {
    do {
      const list = {
        Bucket: bucket,
        Prefix: `${prefix}/segments/`,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }
      const page: ListObjectsV2CommandOutput = await client.send(new ListObjectsV2Command(list))
      for (const { Size } of page.Contents ?? []) sizes.push(Size ?? 0)
      token = page.NextContinuationToken
    } while (token !== undefined)
    return sizes
  } finally {
    client.destroy()
  }
}
