// What retry.ts repeats, what it does not, and what it must not hide.
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import {
  createMemoryStore,
  type Etag,
  type GetOptions,
  type ObjectStore,
  type RequestProgress,
  type RetryOptions,
  type StoredObject,
  StoreError,
  withFaults,
  withRetry,
} from '../../src/store/index.ts'
import { expectKind } from './conformance.ts'
import { createVirtualClock } from './virtual-clock.ts'

function setUp(options: Partial<RetryOptions> = {}) {
  const clock = createVirtualClock()
  const memory = createMemoryStore()
  const faulty = withFaults(memory)
  const retried: number[] = []
  const store = withRetry(faulty, {
    clock,
    random: seededRandom(7),
    onRetry: ({ tries }) => retried.push(tries),
    ...options,
  })
  return { clock, memory, faulty, store, retried }
}

describe('retry', () => {
  test('repeats what is retryable until it succeeds', async () => {
    const { faulty, store, retried } = setUp()
    faulty.fail({ operation: 'put', when: 'before', times: 3 })
    await store.put('a', [Buffer.from('x')])
    expect(retried).toEqual([1, 2, 3])
    faulty.fail({ operation: 'get', when: 'after', times: 1 })
    expect((await store.get('a')).body.toString()).toBe('x')
    faulty.fail({ operation: 'list', when: 'before' })
    faulty.fail({ operation: 'head', when: 'before' })
    faulty.fail({ operation: 'delete', when: 'after' })
    expect((await store.list('')).objects.length).toBe(1)
    expect((await store.head('a')).sizeBytes).toBe(1)
    await store.delete(['a'])
    await expectKind(store.head('a'), 'not-found')
  })

  test.each(['not-found', 'no-bucket', 'precondition-failed', 'denied', 'fatal'] as const)(
    'does not repeat %s',
    async (kind) => {
      const { faulty, store, retried } = setUp()
      const error = new StoreError(kind, 'told once')
      faulty.fail({ when: 'before', error })
      expect(await store.get('a').catch((reason) => reason)).toBe(error)
      expect(retried).toEqual([])
    },
  )

  test('a putIfAbsent whose first try took effect unseen fails as ambiguous', async () => {
    const { faulty, store } = setUp()
    faulty.fail({ operation: 'put', when: 'after' })
    const error = await expectKind(store.putIfAbsent('a', [Buffer.from('mine')]), 'precondition-failed')
    expect(error.ambiguous).toBe(true)
    expect((await store.get('a')).body.toString()).toBe('mine')
  })

  test('a putIfMatch whose first try took effect unseen fails as ambiguous', async () => {
    const { faulty, store } = setUp()
    const etag = await store.put('a', [])
    faulty.fail({ operation: 'put', when: 'after' })
    const error = await expectKind(store.putIfMatch('a', [Buffer.from('mine')], etag), 'precondition-failed')
    expect(error.ambiguous).toBe(true)
  })

  test('a precondition that fails at the first try is not ambiguous', async () => {
    const { store } = setUp()
    const etag = await store.put('a', [Buffer.from('1')])
    await store.put('a', [Buffer.from('2')])
    expect((await expectKind(store.putIfAbsent('a', []), 'precondition-failed')).ambiguous).toBe(false)
    expect((await expectKind(store.putIfMatch('a', [], etag), 'precondition-failed')).ambiguous).toBe(false)
  })

  test('a conditional put whose first try had no effect succeeds at the second', async () => {
    const { faulty, store } = setUp()
    faulty.fail({ operation: 'put', when: 'before' })
    const etag = await store.putIfAbsent('a', [Buffer.from('1')])
    faulty.fail({ operation: 'put', when: 'before' })
    await store.putIfMatch('a', [Buffer.from('2')], etag)
    expect((await store.get('a')).body.toString()).toBe('2')
  })

  test('gives up at the deadline, says how often it tried and what happened', async () => {
    const { clock, faulty, store, retried } = setUp({ deadlineMs: 10_000 })
    faulty.fail({ when: 'before', times: Number.POSITIVE_INFINITY, error: new StoreError('retryable', 'the cable') })
    const error = await expectKind(store.get('a'), 'retryable')
    expect(error.message).toMatch(/gave up get a after \d+ tries.*the cable/)
    expect(retried.length).toBeGreaterThan(3)
    expect(clock.monotonicMs()).toBeLessThanOrEqual(10_000)
    expect(clock.monotonicMs()).toBeGreaterThan(4_000)
  })

  test('a call that gets no answer is cut off at the deadline', async () => {
    const clock = createVirtualClock()
    const hanging: ObjectStore = Object.assign(createMemoryStore(), {
      get: (_: string, { signal }: { signal?: AbortSignal } = {}) =>
        new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
    })
    const store = withRetry(hanging, { clock, random: seededRandom(1), deadlineMs: 10_000 })
    const call = store.get('a')
    await clock.yield()
    clock.advance(10_001)
    const error = await expectKind(call, 'retryable')
    expect(error.message).toContain('no answer within 10000 ms')
  })

  /** A store whose only get is in the test's hands. */
  function heldGet(deadlineMs: number) {
    const clock = createVirtualClock()
    let held: { progress: RequestProgress; answer: () => void } | undefined
    const holding: ObjectStore = Object.assign(createMemoryStore(), {
      get: (_: string, { signal, progress }: GetOptions = {}) =>
        new Promise<StoredObject>((resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason))
          held = { progress: progress!, answer: () => resolve({ body: Buffer.alloc(0), etag: 'e' as Etag }) }
        }),
    })
    const store = withRetry(holding, { clock, random: seededRandom(1), deadlineMs, slowestBytesPerSecond: 1000 })
    const call = store.get('a')
    call.catch(() => undefined)
    return { clock, call, ...held! }
  }

  test('while a request waits for a connection its time does not run', async () => {
    const { clock, call, progress, answer } = heldGet(10_000)
    progress.queued()
    clock.advance(100_000)
    progress.moved(0)
    clock.advance(9_999)
    answer()
    await call
  })

  test('a request that got its connection late and no answer is cut off', async () => {
    const { clock, call, progress } = heldGet(10_000)
    progress.queued()
    clock.advance(100_000)
    progress.moved(0)
    clock.advance(10_001)
    await expectKind(call, 'retryable')
  })

  test('a get of unknown length goes on while bytes come, and is cut off when none do', async () => {
    const { clock, call, progress, answer } = heldGet(10_000)
    for (let bytes = 1; bytes < 20; bytes++) {
      clock.advance(9_000)
      progress.moved(bytes)
    }
    answer()
    await call
    const stuck = heldGet(10_000)
    stuck.clock.advance(9_000)
    stuck.progress.moved(1)
    for (let second = 0; second < 11; second++) stuck.clock.advance(1000)
    await expectKind(stuck.call, 'retryable')
  })

  test('a call whose every try breaks half-way ends', async () => {
    const clock = createVirtualClock()
    const breaking: ObjectStore = Object.assign(createMemoryStore(), {
      get: async (_: string, { progress }: GetOptions = {}) => {
        clock.advance(1000)
        progress!.moved(5000)
        throw new StoreError('retryable', 'cut')
      },
    })
    const store = withRetry(breaking, {
      clock,
      random: seededRandom(1),
      deadlineMs: 10_000,
      slowestBytesPerSecond: 1000,
    })
    await expectKind(store.get('a'), 'retryable')
    expect(clock.monotonicMs()).toBeLessThan(20_000)
  })

  test('a body gets the time its bytes need on a slow line', async () => {
    const asked: string[] = []
    const { clock, faulty, store } = setUp({
      deadlineMs: (operation, key) => {
        asked.push(`${operation} ${key}`)
        return 1000
      },
      slowestBytesPerSecond: 1000,
    })
    faulty.fail({ when: 'before', times: Number.POSITIVE_INFINITY })
    await expectKind(store.put('a', [Buffer.alloc(20_000)]), 'retryable')
    expect(clock.monotonicMs()).toBeGreaterThan(10_000)
    expect(clock.monotonicMs()).toBeLessThanOrEqual(21_000)
    expect(asked).toEqual(['put a'])
  })

  test('pauses grow from try to try up to a bound, and differ from run to run', async () => {
    const pausesOf = async (seed: number) => {
      const { clock, faulty, store } = setUp({
        random: seededRandom(seed),
        deadlineMs: 60_000,
        onRetry: () => times.push(clock.monotonicMs()),
      })
      const times: number[] = []
      faulty.fail({ when: 'before', times: 12 })
      await store.put('a', [])
      times.push(clock.monotonicMs())
      return times.slice(1).map((time, i) => time - times[i]!)
    }
    const [first, second] = [await pausesOf(1), await pausesOf(2)]
    expect(first).not.toEqual(second)
    for (const [i, pause] of first.entries()) expect(pause).toBeLessThanOrEqual(Math.min(50 * 2 ** i, 5000))
    expect(Math.max(...first)).toBeGreaterThan(500)
  })

  test('an abort ends the pauses and rejects with its reason', async () => {
    const reason = new Error('unmounted')
    const abort = new AbortController()
    const { faulty, store } = setUp({ onRetry: () => abort.abort(reason) })
    faulty.fail({ when: 'before', times: Number.POSITIVE_INFINITY })
    expect(await store.get('a', { signal: abort.signal }).catch((error) => error)).toBe(reason)
  })

  test('a delete of 2,500 keys repeats only the batch that failed', async () => {
    const { faulty, store } = setUp()
    const batches: number[] = []
    const remove = faulty.delete.bind(faulty)
    faulty.delete = (keys, options) => {
      batches.push(keys.length)
      return remove(keys, options)
    }
    faulty.fail({ operation: 'delete', when: 'after', skip: 1 })
    await store.delete(Array.from({ length: 2500 }, (_, i) => `k/${i}`))
    expect(batches).toEqual([1000, 1000, 1000, 500])
  })
})
