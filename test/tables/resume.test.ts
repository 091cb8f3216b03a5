// A journal that could not be written and is resumed, while the first tries are still on their way: whenever these arrive,
// each commit is made once, in order, and what was acknowledged is there.
import { expect, test } from 'vitest'
import type { ObjectStore } from '../../src/store/index.ts'
import type { Database } from '../../src/tables/index.ts'
import { type Delayed, delaying, settled } from './late-store.ts'
import { formatted, HOOKS, opened, put, textOf } from './world.ts'

interface Failed {
  store: ObjectStore
  database: Database
  late: Delayed
  /** How the fsyncs that failed ended. */
  outcomes: string[]
}

/** A writer with `commits` commits whose puts got no answer in time, and are still on their way. */
async function failed(commits: number): Promise<Failed> {
  const store = await formatted()
  const late = delaying(store, 'putIfAbsent', 'journal/')
  const database = await opened(late.delayed, 1)
  const outcomes: string[] = []
  const closed = Array.from({ length: commits }, (_, i) => {
    put(database, i + 1, `text ${i + 1}`)
    return database.commit().catch((error: { code: string }) => void outcomes.push(error.code))
  })
  await settled(() => late.waiting.length === commits)
  for (const call of late.waiting) call.giveUp()
  await Promise.all(closed)
  return { store, database, late, outcomes }
}

/** What another writer finds. */
async function found(store: ObjectStore, keys: number[]): Promise<(string | null)[]> {
  const next = await opened(store, 2)
  return Promise.all(keys.map((key) => textOf(next, key)))
}

test('until it is resumed every fsync fails, that of nothing too, and the changes stay readable', async () => {
  const { database, outcomes } = await failed(2)
  expect(outcomes).toEqual(['EIO', 'EIO'])
  for (const _ of [1, 2, 3]) await expect(database.commit()).rejects.toMatchObject({ code: 'EIO' })
  expect(() => put(database, 9, 'x')).toThrow(expect.objectContaining({ code: 'EROFS' }))
  expect(await textOf(database, 2)).toBe('text 2')
  expect(database.failure?.message).toContain('the journal cannot be written')
})

test('first tries that arrive before it are our own', async () => {
  const { store, database, late } = await failed(2)
  expect([await late.waiting[0]!.arrive(), await late.waiting[0]!.arrive()]).toEqual(['done', 'done'])
  const resumed = database.resume()
  for (const _ of [1, 2]) {
    await settled(() => late.waiting.length === 1)
    expect(await late.waiting[0]!.arrive()).toBe('precondition-failed')
  }
  await resumed
  expect([database.failure, database.acknowledgedSeq]).toEqual([null, 2])
  expect(await found(store, [1, 2])).toEqual(['text 1', 'text 2'])
})

test('first tries that arrive after it find their places taken, and change nothing', async () => {
  const { store, database, late } = await failed(2)
  const firstTries = [...late.waiting]
  const resumed = database.resume()
  for (const _ of [1, 2]) {
    await settled(() => late.waiting.length === 3)
    expect(await late.waiting[2]!.arrive()).toBe('done')
  }
  await resumed
  put(database, 1, 'newer')
  const commit = database.commit()
  await settled(() => late.waiting.length === 3)
  await late.waiting[2]!.arrive()
  await commit
  for (const call of firstTries) expect(await call.arrive()).toBe('precondition-failed')
  expect(database.failure).toBeNull()
  expect(await found(store, [1, 2])).toEqual(['newer', 'text 2'])
})

test('first tries that arrive after the journal was trimmed are read by nobody', async () => {
  const { store, database, late } = await failed(2)
  const firstTries = [...late.waiting]
  const resumed = database.resume()
  for (const _ of [1, 2]) {
    await settled(() => late.waiting.length === 3)
    await late.waiting[2]!.arrive()
  }
  await resumed
  put(database, 1, 'newer')
  const checkpoint = database.checkpoint(HOOKS)
  await settled(() => late.waiting.length === 3)
  await late.waiting[2]!.arrive()
  await checkpoint
  for (const call of firstTries) expect(await call.arrive()).toBe('done')
  expect(await found(store, [1, 2])).toEqual(['newer', 'text 2'])
})

test('the second of two arriving first is not acknowledged before the first is made', async () => {
  const { store, database, late } = await failed(2)
  await late.waiting[1]!.arrive()
  const resumed = database.resume()
  await settled(() => late.waiting.length === 2)
  late.waiting[1]!.giveUp()
  await expect(resumed).rejects.toMatchObject({ code: 'EIO' })
  expect(database.acknowledgedSeq).toBe(0)
  await expect(database.commit()).rejects.toMatchObject({ code: 'EIO' })
  // A crash now: neither was acknowledged, and the second stands behind a gap.
  expect(await found(store, [1, 2])).toEqual([null, null])
})

test('an answer that comes while it is under way, to a commit that was not given up, fails nothing', async () => {
  const store = await formatted()
  const late = delaying(store, 'putIfAbsent', 'journal/')
  const database = await opened(late.delayed, 1)
  put(database, 1, 'one')
  const first = database.commit()
  put(database, 2, 'two')
  const second = database.commit()
  await settled(() => late.waiting.length === 2)
  const [firstTry, secondTry] = late.waiting
  firstTry!.giveUp()
  await expect(first).rejects.toMatchObject({ code: 'EIO' })
  const resumed = database.resume()
  for (const _ of [1, 2]) {
    await settled(() => late.waiting.length === 3)
    await late.waiting[2]!.arrive()
  }
  await resumed
  secondTry!.giveUp()
  await second
  put(database, 3, 'three')
  const third = database.commit()
  await settled(() => late.waiting.length === 3)
  await late.waiting[2]!.arrive()
  await third
  expect(database.failure).toBeNull()
  expect(await found(store, [1, 2, 3])).toEqual(['one', 'two', 'three'])
})

test('a volume that was taken over meanwhile is not resumed, and the failure says so', async () => {
  const { store, database, late } = await failed(1)
  const next = await opened(store, 2)
  const resumed = database.resume()
  resumed.catch(() => {})
  await settled(() => late.waiting.length === 2)
  await late.letGo()
  await expect(resumed).rejects.toThrow(/taken over/)
  await expect(database.resume()).rejects.toThrow(/taken over/)
  await expect(database.commit()).rejects.toThrow(/taken over/)
  expect(database.isLost).toBe(true)
  expect(database.failure?.message).toContain('taken over')
  expect(await textOf(next, 1)).toBeNull()
})
