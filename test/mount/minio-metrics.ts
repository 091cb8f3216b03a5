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

/** All requests since MinIO began. An API that cairnfs has no word for fails the test: nothing goes uncounted. */
export async function minioRequests(): Promise<RequestCounts> {
  const answer = await fetch(`${endpoint}/minio/v2/metrics/cluster`)
  if (!answer.ok) throw new Error(`MinIO's metrics: status ${answer.status} (MINIO_PROMETHEUS_AUTH_TYPE=public?)`)
  const counts: RequestCounts = { get: 0, put: 0, delete: 0, list: 0, head: 0 }
  for (const [, api, count] of (await answer.text()).matchAll(/^minio_s3_requests_total\{api="(\w+)".*\} (\S+)$/gm)) {
    const operation = OPERATIONS[api!]
    if (operation !== undefined) counts[operation] += Number(count)
    else if (api !== 'putbucket' && api !== 'deletebucket') throw new Error(`MinIO counted an unexpected ${api}`)
  }
  return counts
}

export function difference(after: RequestCounts, before: RequestCounts): RequestCounts {
  const result = { ...after }
  for (const operation of Object.keys(result) as (keyof RequestCounts)[]) result[operation] -= before[operation]
  return result
}

export const total = (counts: RequestCounts): number => Object.values(counts).reduce((sum, count) => sum + count, 0)

/** MinIO's count since `before`, once it shows what `expected` says (its metrics lag some seconds), or as it is when it
 *  does not come to that. */
export async function minioSince(before: RequestCounts, expected?: RequestCounts): Promise<RequestCounts> {
  const wanted = expected === undefined ? null : JSON.stringify(expected)
  let counts = difference(await minioRequests(), before)
  for (let waited = 0; waited < 60 && (wanted === null ? waited < 12 : JSON.stringify(counts) !== wanted); waited++) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    counts = difference(await minioRequests(), before)
  }
  return counts
}

/** Bytes of all segments that a volume has in its bucket. */
export async function segmentBytes(storeName: string): Promise<number> {
  const [, bucket, prefix] = /^s3:\/\/([^/]+)\/(.*)$/.exec(storeName)!
  const client = new S3Client({ endpoint, forcePathStyle: true, region: 'us-east-1' })
  let [sum, token]: [number, string | undefined] = [0, undefined]
  try {
    do {
      const list = {
        Bucket: bucket,
        Prefix: `${prefix}/segments/`,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }
      const page: ListObjectsV2CommandOutput = await client.send(new ListObjectsV2Command(list))
      for (const { Size } of page.Contents ?? []) sum += Size ?? 0
      token = page.NextContinuationToken
    } while (token !== undefined)
    return sum
  } finally {
    client.destroy()
  }
}
