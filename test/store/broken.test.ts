// The probe recognises stores whose conditional puts are none, and leaves nothing behind.
import { describe, expect, test } from 'vitest'
import { seededRandom, systemClock } from '../../src/platform/index.ts'
import {
  createMemoryStore,
  type ObjectStore,
  openLocalStore,
  probeStore,
  StoreError,
  withFaults,
  withRetry,
} from '../../src/store/index.ts'
import { expectKind } from './conformance.ts'
import { temporaryFolder } from './temporary-folder.ts'

const random = seededRandom(3)

/** A memory store with some of its methods replaced. */
function brokenStore(change: (store: ObjectStore) => Partial<ObjectStore>): ObjectStore {
  const store = createMemoryStore()
  const intact = { ...bound(store) }
  return Object.assign(bound(store), change(intact))
}

function bound(store: ObjectStore): ObjectStore {
  return {
    name: store.name,
    get: store.get.bind(store),
    put: store.put.bind(store),
    putIfAbsent: store.putIfAbsent.bind(store),
    putIfMatch: store.putIfMatch.bind(store),
    delete: store.delete.bind(store),
    list: store.list.bind(store),
    head: store.head.bind(store),
    close: store.close.bind(store),
  }
}

describe('the probe', () => {
  test('finds nothing wrong with memory and a local folder, and leaves nothing', async () => {
    const folder = await temporaryFolder()
    for (const store of [createMemoryStore(), await openLocalStore({ path: folder.path })]) {
      expect(await probeStore(store, random)).toEqual([])
      expect(await store.list('')).toEqual({ objects: [] })
    }
    await folder.remove()
  })

  test('finds a store that ignores If-None-Match', async () => {
    const store = brokenStore((intact) => ({ putIfAbsent: (key, body) => intact.put(key, body) }))
    expect(await probeStore(store, random)).toEqual(['put-if-absent'])
    expect(await store.list('')).toEqual({ objects: [] })
  })

  test('finds a store that ignores If-Match', async () => {
    const store = brokenStore((intact) => ({ putIfMatch: (key, body) => intact.put(key, body) }))
    expect(await probeStore(store, random)).toEqual(['put-if-match', 'put-if-match-missing'])
    expect(await store.list('')).toEqual({ objects: [] })
  })

  test('finds a store that compares first and puts later', async () => {
    const store = brokenStore((intact) => ({
      putIfMatch: async (key, body, etag) => {
        if ((await intact.head(key)).etag !== etag) throw new StoreError('precondition-failed', 'changed')
        return intact.put(key, body)
      },
    }))
    expect(await probeStore(store, random)).toEqual(['put-if-match'])
  })

  test('finds a store that tells everybody that they won, and keeps the first', async () => {
    const store = brokenStore((intact) => ({
      putIfAbsent: (key, body) => intact.putIfAbsent(key, body).catch(async () => (await intact.head(key)).etag),
    }))
    expect(await probeStore(store, random)).toEqual(['put-if-absent'])
  })

  test('finds a store where nobody wins', async () => {
    const store = brokenStore((intact) => ({
      putIfAbsent: async (key, body) => {
        await intact.put(key, body)
        throw new StoreError('precondition-failed', 'always')
      },
    }))
    expect(await probeStore(store, random)).toEqual(['put-if-absent'])
  })

  test('is not misled by answers that got lost', async () => {
    const faulty = withFaults(createMemoryStore())
    faulty.fail({ operation: 'put', when: 'after', times: 3 })
    const store = withRetry(faulty, { clock: systemClock, random, firstPauseMs: 1 })
    expect(await probeStore(store, random)).toEqual([])
  })

  test('fails when the store cannot be asked, and still cleans up', async () => {
    const faulty = withFaults(createMemoryStore())
    faulty.fail({ operation: 'put', when: 'before', skip: 10, error: new StoreError('denied', 'no') })
    await expectKind(probeStore(faulty, random), 'denied')
    expect(await faulty.list('')).toEqual({ objects: [] })
  })
})
