// GETs that are asked again when they are late: when, how often, and whose answer counts.
import { beforeEach, describe, expect, test } from 'vitest'
import { withHedge } from '../../src/store/hedge.ts'
import {
  createMemoryStore,
  type Etag,
  type GetOptions,
  type ObjectStore,
  type StoredObject,
  StoreError,
} from '../../src/store/index.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

/** A request that the store below was given. */
interface Asked {
  key: string
  options: GetOptions
  answer(text: string): Promise<void>
  fail(error: unknown): Promise<void>
}

let clock: VirtualClock
let asked: Asked[]
let store: ObjectStore
let hedged: string[]

const settled = () => new Promise((resolve) => setImmediate(resolve))

beforeEach(() => {
  clock = createVirtualClock()
  asked = []
  hedged = []
  const below: ObjectStore = Object.assign(createMemoryStore(), {
    get: (key: string, options: GetOptions = {}) =>
      new Promise<StoredObject>((resolve, reject) => {
        options.signal?.addEventListener('abort', () => reject(options.signal!.reason))
        asked.push({
          ...{ key, options },
          async answer(text) {
            resolve({ body: Buffer.from(text), etag: 'e' as Etag })
            await settled()
          },
          async fail(error) {
            reject(error)
            await settled()
          },
        })
      }),
  })
  store = withHedge(below, { clock, onHedge: (key) => hedged.push(key) })
})

/** So many calls, each answered after that time. */
async function calls(count: number, quietMs: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const call = store.get('k')
    clock.advance(quietMs)
    await asked.at(-1)!.answer('x')
    await call
  }
  asked = []
}

test('nothing is late before enough is known, and then what is slower than nearly all', async () => {
  await calls(99, 40)
  const unknown = store.get('early')
  clock.advance(100_000)
  expect(asked.length).toBe(1)
  await asked[0]!.answer('x')
  await unknown
  await calls(60, 40)
  const call = store.get('late')
  clock.advance(39)
  expect(asked.length).toBe(1)
  clock.advance(100_000)
  // The slow one above is among those that tell.
  expect(asked.map(({ key }) => key)).toEqual(['late', 'late'])
  expect(hedged).toEqual(['late'])
  await asked[1]!.answer('second')
  expect((await call).body.toString()).toBe('second')
})

describe('where 40 ms is as slow as it gets', () => {
  let call: ReturnType<ObjectStore['get']>
  let outcome: string | undefined

  beforeEach(async () => {
    await calls(160, 40)
    outcome = undefined
    call = store.get('late', { offset: 5, lengthBytes: 10 })
    call.then(
      ({ body }) => {
        outcome = body.toString()
      },
      (error) => {
        outcome = error.message
      },
    )
    clock.advance(41)
    expect(asked.length).toBe(2)
  })

  test('the same is asked again, once', () => {
    expect(asked[1]!.key).toBe('late')
    expect(asked[1]!.options).toMatchObject({ offset: 5, lengthBytes: 10 })
    clock.advance(100_000)
    expect(asked.length).toBe(2)
  })

  test.each([
    [0, 1],
    [1, 0],
  ])('the first answer is taken, and the other request aborted', async (first, other) => {
    await asked[first]!.answer('came')
    expect(outcome).toBe('came')
    expect(asked[other]!.options.signal!.aborted).toBe(true)
    expect(asked[first]!.options.signal!.aborted).toBe(false)
  })

  test('a failure counts only when there is no other request left', async () => {
    await asked[1]!.fail(new StoreError('retryable', 'second failed'))
    expect(outcome).toBeUndefined()
    await asked[0]!.answer('came after all')
    expect(outcome).toBe('came after all')
  })

  test('when both fail, the first failure is told', async () => {
    await asked[1]!.fail(new StoreError('retryable', 'second failed'))
    await asked[0]!.fail(new StoreError('retryable', 'first failed'))
    expect(outcome).toBe('second failed')
  })
})

test('a body that keeps coming is not late, one that stops is; waiting for a connection is no time', async () => {
  await calls(160, 40)
  const call = store.get('long')
  asked[0]!.options.progress!.queued()
  clock.advance(1000)
  asked[0]!.options.progress!.moved(0)
  for (let i = 1; i < 30; i++) {
    clock.advance(30)
    asked[0]!.options.progress!.moved(i * 1000)
  }
  expect(asked.length).toBe(1)
  clock.advance(41)
  expect(asked.length).toBe(2)
  await asked[0]!.answer('x')
  await call
})

test('what the caller wants to know and to stop is passed on', async () => {
  await calls(160, 40)
  const aborting = new AbortController()
  const told: string[] = []
  const progress = { queued: () => told.push('queued'), moved: (bytes: number) => told.push(String(bytes)) }
  const call = store.get('k', { signal: aborting.signal, progress })
  clock.advance(41)
  asked[0]!.options.progress!.queued()
  asked[1]!.options.progress!.moved(7)
  expect(told).toEqual(['queued', '7'])
  aborting.abort(new Error('not wanted'))
  await expect(call).rejects.toThrow('not wanted')
  for (const { options } of asked) expect(options.signal!.aborted).toBe(true)
})

test('a service that becomes slow as a whole is asked a few times more, then 5 in 100', async () => {
  await calls(400, 40)
  for (let i = 0; i < 300; i++) {
    const call = store.get('k')
    clock.advance(60)
    await asked.at(-1)!.answer('x')
    await call
    clock.advance(1)
  }
  // 10 saved up, and a twentieth of 300; fewer, as 60 ms becomes usual.
  expect(hedged.length).toBeGreaterThan(0)
  expect(hedged.length).toBeLessThanOrEqual(25)
})

test('all else is passed to the store below', async () => {
  const memory = createMemoryStore()
  const through = withHedge(memory, { clock })
  const etag = await through.put('a', [Buffer.from('1')])
  await through.putIfMatch('a', [Buffer.from('2')], etag)
  await through.putIfAbsent('b', [Buffer.from('3')])
  expect((await through.get('a')).body.toString()).toBe('2')
  expect((await through.head('b')).sizeBytes).toBe(1)
  expect((await through.list('')).objects.map(({ key }) => key)).toEqual(['a', 'b'])
  await through.delete(['a', 'b'])
  await expect(through.get('a')).rejects.toMatchObject({ kind: 'not-found' })
  expect(through.name).toBe(memory.name)
})
