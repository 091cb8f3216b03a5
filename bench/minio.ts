// The MinIO under the systems: its own count of requests, and buckets for one use each.
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  NoSuchBucket,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { sleep } from './waiting.ts'

/** Requests by API, as MinIO names them (PutObject, ListObjectsV2, ...). */
export type RequestCounts = Record<string, number>

/** Requests under way while a bucket is filled. */
const PARALLEL_PUTS = 32
/** How long a count is waited for to stand still: a system may send requests without end. */
const SETTLE_MS = 5_000
const SETTLE_STEP_MS = 50
/** So many times in a row it must be the same. MinIO counts a request before its answer has reached the client. */
const SETTLED_COUNTS = 2

export const REGION = 'us-east-1'

/** Keys as the files of a directory are named, with the headers that s3fs writes. The directory is a key too. */
export const DIRECTORY = 'many'
export const fileName = (index: number): string => `file-${String(index).padStart(7, '0')}`

/** How a client of the SDK is made here. */
export function clientConfig(endpoint: string): S3ClientConfig {
  return {
    endpoint,
    region: REGION,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  }
}

export class Minio {
  readonly endpoint: string
  readonly #client: S3Client
  /** Deletes buckets with all they hold, which is an extension of MinIO. */
  readonly #forcing: S3Client

  constructor(endpoint: string) {
    this.endpoint = endpoint
    this.#client = new S3Client(clientConfig(endpoint))
    this.#forcing = new S3Client(clientConfig(endpoint))
    this.#forcing.middlewareStack.add(
      (next) => (args) => {
        ;(args.request as { headers: Record<string, string> }).headers['x-minio-force-delete'] = 'true'
        return next(args)
      },
      { step: 'build', name: 'forceDelete' },
    )
  }

  /** Requests since MinIO began, once the count stands still: a system may go on for a moment after a program ended. */
  async settledRequests(): Promise<RequestCounts> {
    const deadline = performance.now() + SETTLE_MS
    let counts = await this.#requests()
    for (let same = 0; same < SETTLED_COUNTS && performance.now() < deadline; ) {
      await sleep(SETTLE_STEP_MS)
      const now = await this.#requests()
      same = JSON.stringify(now) === JSON.stringify(counts) ? same + 1 : 0
      counts = now
    }
    return counts
  }

  async createBucket(bucket: string): Promise<void> {
    await this.#client.send(new CreateBucketCommand({ Bucket: bucket }))
  }

  /** With all it holds; fine when there is none. */
  async removeBucket(bucket: string): Promise<void> {
    try {
      await this.#forcing.send(new DeleteBucketCommand({ Bucket: bucket }))
    } catch (error) {
      if (!(error instanceof NoSuchBucket)) throw error
    }
  }

  /** Puts `entries` empty objects into `DIRECTORY/`. `isStopped` is asked between them. */
  async fill(bucket: string, entries: number, isStopped: () => boolean): Promise<void> {
    const now = String(Math.floor(Date.now() / 1000))
    const put = (key: string, mode: string) =>
      this.#client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: new Uint8Array(0),
          Metadata: { mode, uid: '0', gid: '0', mtime: now },
        }),
      )
    await put(`${DIRECTORY}/`, '16877')
    let next = 0
    const putRest = async () => {
      while (next < entries && !isStopped()) await put(`${DIRECTORY}/${fileName(next++)}`, '33188')
    }
    await Promise.all(Array.from({ length: PARALLEL_PUTS }, putRest))
  }

  /** How many keys there are with a prefix. */
  async countKeys(bucket: string, prefix: string): Promise<number> {
    let count = 0
    for (let token: string | undefined; ; ) {
      const page: ListObjectsV2CommandOutput = await this.#client.send(
        new ListObjectsV2Command({
          ...{ Bucket: bucket, Prefix: prefix },
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      )
      count += page.KeyCount ?? 0
      token = page.NextContinuationToken
      if (token === undefined) return count
    }
  }

  /** As the server says; one built by `go install` does not know it. */
  async version(): Promise<string> {
    const text = await this.#metrics('/minio/v2/metrics/cluster')
    return /^minio_software_version_info\{.*version="([^"]*)"/m.exec(text)?.[1] ?? 'unknown'
  }

  close(): void {
    this.#client.destroy()
    this.#forcing.destroy()
  }

  async #requests(): Promise<RequestCounts> {
    const counts: RequestCounts = {}
    const text = await this.#metrics('/minio/metrics/v3/api/requests')
    for (const [, api, count] of text.matchAll(/^minio_api_requests_total\{name="(\w+)".*\} (\S+)$/gm)) {
      counts[api!] = (counts[api!] ?? 0) + Number(count)
    }
    return counts
  }

  async #metrics(path: string): Promise<string> {
    const answer = await fetch(this.endpoint + path)
    if (!answer.ok) throw new Error(`${path}: status ${answer.status}: MinIO needs MINIO_PROMETHEUS_AUTH_TYPE=public`)
    return answer.text()
  }
}

/** What came between two counts; APIs that were not used are left out. */
export function requestsBetween(before: RequestCounts, after: RequestCounts): RequestCounts {
  return Object.fromEntries(
    Object.entries(after).flatMap(([api, count]) => {
      const more = count - (before[api] ?? 0)
      return more === 0 ? [] : [[api, more]]
    }),
  )
}
