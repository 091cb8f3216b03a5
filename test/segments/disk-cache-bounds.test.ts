// The disk cache keeps within its bounds, throws away what a bucket put back to an older state may contradict, and answers as
// the store alone would whatever happens.
import { rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { crc32c, seededRandom } from '../../src/platform/index.ts'
import { createMemoryStore, type ObjectStore, StoreError } from '../../src/store/index.ts'
import {
  bucket,
  bytesOf,
  clock,
  disk,
  fileOf,
  files,
  folder,
  id,
  key,
  mount,
  remount,
  SEGMENT,
  stored,
} from './disk-cache-fixture.ts'
import type { DiskCall } from './faulty-disk.ts'

describe('bounds', () => {
  const FOUR = 4 * (SEGMENT + 4096)
  const held = () => [...new Set(files().map((name) => Number.parseInt(name.split('/')[1]!, 16)))].sort((a, b) => a - b)

  test('the least recently used goes, before there is too much', async () => {
    const cache = mount({ sizeBytes: FOUR })
    for (const n of [0, 1, 2, 3]) {
      stored(n)
      await cache.get(key(n))
    }
    await cache.settled()
    await cache.get(key(0))
    stored(4)
    await cache.get(key(4))
    await cache.settled()
    expect(held()).toEqual([0, 2, 3, 4])
    expect(cache.status.bytes).toBeLessThanOrEqual(FOUR)
  })

  test('what was used last is known at the next mount, and less room is kept to', async () => {
    const cache = mount({ sizeBytes: FOUR })
    for (const n of [0, 1, 2, 3]) {
      stored(n)
      await cache.get(key(n))
    }
    await cache.settled()
    // As if they had been written an hour ago, one after the other.
    for (const n of [0, 1, 2, 3]) utimesSync(fileOf(n), Date.now() / 1000 - 3600 + n, Date.now() / 1000 - 3600 + n)
    const again = await remount({ sizeBytes: FOUR })
    await again.get(key(0))
    const last = await remount({ sizeBytes: FOUR })
    stored(4)
    await last.get(key(4))
    await last.settled()
    expect(held()).toEqual([0, 2, 3, 4])
    const small = await remount({ sizeBytes: FOUR / 2 })
    stored(5)
    await small.get(key(5))
    await small.settled()
    expect(held()).toEqual([4, 5])
  })

  test('a tenth of the disk stays free where no size was asked for', async () => {
    const space = async () => ({ freeBytes: 4 * SEGMENT, totalBytes: 20 * SEGMENT })
    const cache = mount({ space })
    for (const n of [0, 1, 2, 3, 4]) {
      stored(n)
      await cache.get(key(n))
    }
    await cache.settled()
    expect(files()).toHaveLength(1)
    expect(cache.status.limitBytes).toBe(2 * SEGMENT)
    expect(held()).toEqual([4])
  })

  test("a second mount's files count once they were seen", async () => {
    const sizeBytes = 16 * (SEGMENT + 4096)
    const [one, two] = [mount({ sizeBytes }), mount({ sizeBytes })]
    for (let n = 0; n < 64; n++) {
      stored(n)
      await (n % 2 === 0 ? one : two).get(key(n))
      await Promise.all([one.settled(), two.settled()])
    }
    // An eighth for each mount above what is allowed, at most.
    const bytes = files().reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
    expect(bytes).toBeLessThanOrEqual(sizeBytes * 1.25)
    expect(bytes).toBeGreaterThan(sizeBytes / 2)
  })

  test('little of an object is not worth a file, unless it is all of it', async () => {
    const cache = mount()
    stored(1)
    stored(2, 100)
    await cache.get(key(1), { offset: 9, lengthBytes: 48 })
    await cache.get(key(2))
    await cache.settled()
    expect(held()).toEqual([2])
  })
})

describe('a bucket that was put back to an older state', () => {
  const filled = async (epoch: number) => {
    const cache = mount()
    await cache.trust({ epoch, isWriter: true })
    stored(1)
    await cache.get(key(1))
    await cache.settled()
  }

  test.each([
    { what: 'the next writer', epoch: 6, isWriter: true, keeps: true },
    { what: 'a later writer', epoch: 60, isWriter: true, keeps: true },
    { what: 'a reader beside the writer', epoch: 5, isWriter: false, keeps: true },
    { what: 'a writer of the same epoch', epoch: 5, isWriter: true, keeps: false },
    { what: 'a writer of an older epoch', epoch: 3, isWriter: true, keeps: false },
    { what: 'a reader of an older epoch', epoch: 4, isWriter: false, keeps: false },
  ])('$what: keeps $keeps', async ({ epoch, isWriter, keeps }) => {
    await filled(5)
    const bytes = bytesOf(keeps ? 1 : 77)
    bucket.objects.set(key(1), bytes)
    const cache = await remount()
    await cache.trust({ epoch, isWriter })
    expect(files()).toHaveLength(keeps ? 1 : 0)
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    expect(bucket.gets).toBe(keeps ? 1 : 2)
  })

  test('a folder of which nobody knows what it has seen is emptied', async () => {
    await filled(5)
    rmSync(join(folder, 'epoch'))
    const cache = await remount()
    await cache.trust({ epoch: 9, isWriter: true })
    expect(files()).toEqual([])
  })
})

test('whatever the disk does, it answers as the store alone would', async () => {
  const random = seededRandom(11)
  const [below, plain] = [createMemoryStore(), createMemoryStore()]
  const choose = <T>(all: readonly T[]): T => all[Math.floor(random.next() * all.length)] as T
  const upTo = (most: number) => Math.floor(random.next() * most)
  // A rename may find its file taken away by another mount. What is said to be missing and is there would be found again.
  const faultOf = (call: DiskCall) => choose(call === 'rename' ? ['EIO', 'ENOSPC', 'ENOENT'] : ['EIO', 'ENOSPC'])
  disk.fault = (call) => (random.next() < 0.02 ? faultOf(call) : null)
  /** What it gives, as text. */
  const outcome = (call: (store: ObjectStore) => Promise<string>, store: ObjectStore) =>
    call(store).catch((error: unknown) => (error instanceof StoreError ? error.kind : Promise.reject(error)))
  let cache = mount({ store: below, sizeBytes: 10 * SEGMENT })
  let hits = 0
  // As ids of segments: none is used again, and at a later mount nobody asks for one that was deleted, whose file may be
  // there still.
  let keys = 0
  const deleted = new Set<number>()
  for (let step = 0; step < 1500; step++) {
    const n = Math.max(0, keys - 24) + upTo(Math.min(keys, 24))
    const [offset, lengthBytes, body] = [upTo(SEGMENT * 1.1), upTo(SEGMENT), [bytesOf(step, upTo(SEGMENT) + 1)]]
    const range = choose([{}, { offset }, { offset, lengthBytes }, { lengthBytes }])
    const operation = keys === 0 ? 'put' : choose(['get', 'get', 'get', 'get', 'get', 'put', 'delete'])
    if (operation === 'delete') deleted.add(n)
    const call = async (store: ObjectStore): Promise<string> => {
      if (operation === 'put') return store.putIfAbsent(key(keys), body)
      if (operation === 'delete') return store.delete([key(n)]).then(() => 'deleted')
      const found = await store.get(key(n), range)
      return `${found.etag} ${found.body.length} ${crc32c(found.body)}`
    }
    expect(await outcome(call, cache), `step ${step}: ${operation}`).toBe(await outcome(call, plain))
    if (operation === 'put') keys++
    if (random.next() < 0.2) clock.advance(61_000)
    if (random.next() < 0.1) await cache.settled()
    if (random.next() < 0.01) {
      hits += cache.status.hits
      cache = await remount({ store: below, sizeBytes: 10 * SEGMENT })
      for (const each of deleted) cache.forget(id(each))
    }
  }
  disk.fault = () => null
  expect(hits).toBeGreaterThan(50)
})
