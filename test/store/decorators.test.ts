// metrics.ts, latency.ts and faults.ts, each for what it is there for.
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/observe/index.ts'
import { seededRandom } from '../../src/platform/index.ts'
import {
  createMemoryStore,
  StoreError,
  storeRequests,
  withFaults,
  withLatency,
  withMetrics,
  withRetry,
} from '../../src/store/index.ts'
import { expectKind } from './conformance.ts'
import { createVirtualClock } from './virtual-clock.ts'

describe('metrics', () => {
  test('count requests by operation, bytes each way, and nothing in flight at the end', async () => {
    const registry = new Registry()
    const store = withMetrics(createMemoryStore(), { clock: createVirtualClock(), registry })
    const etag = await store.put('a', [Buffer.alloc(10), Buffer.alloc(5)])
    await store.putIfMatch('a', [Buffer.alloc(7)], etag)
    await store.putIfAbsent('b', [Buffer.alloc(3)])
    await store.get('a', { offset: 5 })
    await store.head('a')
    await store.list('')
    await store.delete(Array.from({ length: 2500 }, (_, i) => `k/${i}`))
    await store.delete([])
    expect(storeRequests(registry)).toEqual({ get: 1, put: 3, delete: 3, list: 1, head: 1 })
    expect(registry.counter('store.bytes_out').value).toBe(25)
    expect(registry.counter('store.bytes_in').value).toBe(2)
    expect(registry.gauge('store.in_flight').value).toBe(0)
    expect(registry.histogram('store.latency_ms.put').count).toBe(3)
  })

  test('count a request once for each time it is sent, below the retries', async () => {
    const registry = new Registry()
    const clock = createVirtualClock()
    const faulty = withFaults(createMemoryStore())
    const store = withRetry(withMetrics(faulty, { clock, registry }), { clock, random: seededRandom(1) })
    faulty.fail({ operation: 'put', when: 'before', times: 2 })
    await store.put('a', [Buffer.alloc(10)])
    expect(storeRequests(registry).put).toBe(3)
    expect(registry.counter('store.failures.put').value).toBe(2)
    expect(registry.counter('store.bytes_out').value).toBe(30)
    expect(registry.gauge('store.in_flight').value).toBe(0)
  })

  test('take "no such key" and a failed precondition for answers', async () => {
    const registry = new Registry()
    const store = withMetrics(createMemoryStore(), { clock: createVirtualClock(), registry })
    await store.put('a', [])
    await expectKind(store.putIfAbsent('a', []), 'precondition-failed')
    await expectKind(store.get('b'), 'not-found')
    expect(registry.counter('store.failures.put').value + registry.counter('store.failures.get').value).toBe(0)
  })
})

describe('latency', () => {
  test('every request waits, a delete for each of its batches', async () => {
    const clock = createVirtualClock()
    const store = withLatency(createMemoryStore(), { clock, latencyMs: 10 })
    const etag = await store.put('a', [])
    await store.putIfMatch('a', [], etag)
    await store.putIfAbsent('b', [])
    await store.get('a')
    await store.head('a')
    await store.list('')
    expect(clock.monotonicMs()).toBe(60)
    await store.delete(Array.from({ length: 2500 }, (_, i) => `k/${i}`))
    expect(clock.monotonicMs()).toBe(90)
  })
})

describe('faults', () => {
  test('before: the request has no effect', async () => {
    const store = withFaults(createMemoryStore())
    store.fail({ operation: 'put', when: 'before' })
    await expectKind(store.put('a', []), 'retryable')
    await expectKind(store.head('a'), 'not-found')
    await store.put('a', [])
  })

  test('after: the request has taken effect', async () => {
    const store = withFaults(createMemoryStore())
    store.fail({ operation: 'put', when: 'after' })
    await expectKind(store.put('a', []), 'retryable')
    expect((await store.head('a')).sizeBytes).toBe(0)
  })

  test('meet the chosen operation, key, count and error only', async () => {
    const store = withFaults(createMemoryStore())
    await store.put('a', [])
    await store.put('b/1', [])
    const error = new StoreError('denied', 'chosen')
    const remove = store.fail({ operation: 'get', key: /^b\//, when: 'before', error, times: 2, skip: 1 })
    await store.get('a')
    await store.head('b/1')
    await store.get('b/1')
    expect(await store.get('b/1').catch((reason) => reason)).toBe(error)
    expect(await store.get('b/1').catch((reason) => reason)).toBe(error)
    await store.get('b/1')
    expect(remove()).toBe(2)
    store.fail({ key: 'a', when: 'before', times: Number.POSITIVE_INFINITY })
    await expectKind(store.get('a'), 'retryable')
    await expectKind(store.delete(['a']), 'retryable')
  })
})
