// The S3 client with its retries, behind a proxy that breaks what passes to a real MinIO: every operation succeeds in the
// end or fails within its deadline, and what had taken effect is known for what it is.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock, systemRandom } from '../../src/platform/index.ts'
import { type ObjectStore, openStore, type RetryOptions, StoreError, withRetry } from '../../src/store/index.ts'
import { pattern } from '../store/conformance.ts'
import { type Asked, FAULTS, type Fault, type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import { createTestBucket, minio, type TestBucket } from './minio.ts'

const IDLE_MS = 600
/** Of calls that are to fail; the others have plenty of time. */
const DEADLINE_MS = 2500
/** What the last try may take longer: it began before the deadline, and the clock of a busy machine. */
const SLACK_MS = 2500
const OUTAGE_MS = 1500
const LARGE = pattern(4 << 20)
const small = (text: string) => [Buffer.from(text)]

describe.skipIf(minio === undefined)('behind a proxy that breaks requests to a service (needs MinIO)', () => {
  let bucket: TestBucket
  let proxy: FaultProxy
  let store: ObjectStore
  let retries: number
  let deadlineMs: number
  let direct: ObjectStore
  beforeAll(async () => {
    bucket = await createTestBucket(minio!)
    direct = await bucket.open()
  })
  afterAll(async () => {
    await direct.close()
    await bucket.remove()
  })
  beforeEach(async () => {
    proxy = await startFaultProxy(minio!.endpoint)
    retries = 0
    deadlineMs = 20_000
    const options: RetryOptions = {
      clock: systemClock,
      random: systemRandom,
      deadlineMs: () => deadlineMs,
      slowestBytesPerSecond: LARGE.length,
      longestPauseMs: 500,
      onRetry: () => {
        retries++
      },
    }
    const bare = await openStore(bucket.name, { ...bucket.options, endpoint: proxy.endpoint, idleTimeoutMs: IDLE_MS })
    store = withRetry(bare, options)
  })
  afterEach(async () => {
    await store.close()
    await proxy.close()
  })

  /** Each operation on an object of its own, and what must be true when it succeeded. */
  const OPERATIONS: Record<string, (key: string) => Promise<void>> = {
    async get(key) {
      await direct.put(key, [LARGE])
      expect((await store.get(key)).body.equals(LARGE)).toBe(true)
    },
    async put(key) {
      await store.put(key, [LARGE])
      expect((await direct.get(key)).body.equals(LARGE)).toBe(true)
    },
    async putIfAbsent(key) {
      await orOursAlready(store.putIfAbsent(key, [LARGE]))
      expect((await direct.get(key)).body.equals(LARGE)).toBe(true)
    },
    async putIfMatch(key) {
      const etag = await direct.put(key, small('before'))
      await orOursAlready(store.putIfMatch(key, [LARGE], etag))
      expect((await direct.get(key)).body.equals(LARGE)).toBe(true)
    },
    async head(key) {
      await direct.put(key, small('12345'))
      expect((await store.head(key)).sizeBytes).toBe(5)
    },
    async list(key) {
      await direct.put(`${key}/one`, small(''))
      expect((await store.list(`${key}/`)).objects.map((object) => object.key)).toEqual([`${key}/one`])
    },
    async delete(key) {
      await direct.put(key, small('x'))
      await store.delete([key])
      expect((await direct.list(key)).objects).toEqual([])
    },
  }

  /** A conditional put may find its own first try in its place; nothing else may be in the way. */
  async function orOursAlready(put: Promise<unknown>): Promise<void> {
    try {
      await put
    } catch (error) {
      if (!(error instanceof StoreError) || !error.ambiguous) throw error
    }
  }

  test.each(FAULTS)('every operation succeeds after two tries met with: %s', async (fault) => {
    const tries = fault === 'slow' ? 1 : 2
    const running = Object.entries(OPERATIONS).map(async ([name, operation]) => {
      const key = `${name}-${fault.replaceAll(' ', '-')}`
      // The keys of a delete stand in its body.
      const isIt = ({ method, path }: Asked) => (name === 'delete' ? method === 'POST' : path.includes(key))
      proxy.inject(fault, { times: tries, matches: isIt })
      await operation(key)
    })
    await Promise.all(running)
    expect(proxy.injected[fault]).toBe(tries * running.length)
    expect(proxy.longestMs, 'the longest try').toBeLessThan(IDLE_MS + SLACK_MS)
  })

  const LASTING: Fault[] = FAULTS.filter((fault) => fault !== 'slow')
  test.each(LASTING)('every operation fails within its deadline when all are met with: %s', async (fault) => {
    const seed = `lasting-${fault.replaceAll(' ', '-')}`
    const etag = await direct.put(`${seed}-there`, [LARGE])
    proxy.inject(fault)
    deadlineMs = DEADLINE_MS
    const calls: Record<string, () => Promise<unknown>> = {
      get: () => store.get(`${seed}-there`),
      put: () => store.put(`${seed}-put`, [LARGE]),
      putIfAbsent: () => store.putIfAbsent(`${seed}-absent`, [LARGE]),
      putIfMatch: () => store.putIfMatch(`${seed}-there`, [LARGE], etag),
      head: () => store.head(`${seed}-there`),
      list: () => store.list(seed),
      delete: () => store.delete([`${seed}-gone`]),
    }
    const started = performance.now()
    const outcomes = Object.entries(calls).map(async ([name, call]) => {
      const error: unknown = await call().then(
        () => 'succeeded',
        (reason: unknown) => reason,
      )
      const tookMs = performance.now() - started
      const allowedMs = DEADLINE_MS + IDLE_MS + SLACK_MS + (/get|put/.test(name) ? 1000 : 0)
      expect(error, name).toBeInstanceOf(StoreError)
      expect(tookMs, name).toBeLessThan(allowedMs)
      // What took effect without our knowing stands in the way of the tries after it.
      const isAmbiguous = (error as StoreError).ambiguous && name.startsWith('putIf')
      if (!isAmbiguous) expect((error as StoreError).kind, name).toBe('retryable')
    })
    await Promise.all(outcomes)
    expect(proxy.injected[fault]).toBeGreaterThanOrEqual(Object.keys(calls).length)
  })

  test('a put that had succeeded is found standing in the way of its second try, and is not done twice', async () => {
    proxy.inject('reset after', { times: 1 })
    const error: unknown = await store.putIfAbsent('once', small('ours')).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ kind: 'precondition-failed', ambiguous: true })
    expect(proxy.answers.map(({ method, status }) => `${method} ${status}`)).toEqual(['PUT 200', 'PUT 412'])
    expect((await store.get('once')).body.toString()).toBe('ours')

    const etag = await store.put('matched', small('first'))
    proxy.inject('reset after', { times: 1 })
    await expect(store.putIfMatch('matched', small('second'), etag)).rejects.toMatchObject({ ambiguous: true })
    expect((await store.get('matched')).body.toString()).toBe('second')
  })

  test('a slow answer is waited for as long as it moves, and not asked for again', async () => {
    await direct.put('slow', [LARGE])
    // Its pieces take twice as long as nothing may move.
    proxy.inject('slow', { pauseMs: (2 * IDLE_MS) / 10 })
    expect((await store.get('slow')).body.equals(LARGE)).toBe(true)
    await expect.poll(() => proxy.longestMs).toBeGreaterThan(IDLE_MS)
    expect(retries).toBe(0)
    expect(proxy.answers.length).toBe(1)
  })

  test('work goes on after an outage in which connections are refused, and one in which nothing is answered', async () => {
    for (const outage of ['refuse', 'blackHole'] as const) {
      await store.put(`before-${outage}`, small('x'))
      const retriesBefore = retries
      await proxy[outage]()
      const puts = Array.from({ length: 20 }, (_, index) => store.put(`${outage}-${index}`, small(`${index}`)))
      const over = new Promise((resolve) => setTimeout(resolve, OUTAGE_MS)).then(() => proxy.recover())
      await Promise.all([...puts, over])
      expect((await direct.list(`${outage}-`)).objects.length).toBe(20)
      expect(retries - retriesBefore, outage).toBeGreaterThanOrEqual(20)
    }
    expect(proxy.swallowed).toBeGreaterThanOrEqual(20)
  })

  test('an outage longer than the deadline fails what was asked within it, and nothing after it', async () => {
    deadlineMs = DEADLINE_MS
    for (const outage of ['refuse', 'blackHole'] as const) {
      await proxy[outage]()
      const started = performance.now()
      const kind = await store.get('anything').catch((error: StoreError) => error.kind)
      expect(kind).toBe('retryable')
      expect(performance.now() - started).toBeLessThan(DEADLINE_MS + IDLE_MS + SLACK_MS)
      await proxy.recover()
      await store.put(`after-${outage}`, small('x'))
    }
  })
})
