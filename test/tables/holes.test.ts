// The classic holes of journals on a bucket, one by one: what is delayed, repeated, half done or woken up
// late loses nothing that was acknowledged, and brings nothing back.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import type { SegmentId, SegmentStore } from '../../src/segments/index.ts'
import { type ObjectStore, withRetry } from '../../src/store/index.ts'
import { journalKey } from '../../src/tables/commit-format.ts'
import { type Database, openDatabase, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { createVirtualClock } from '../store/virtual-clock.ts'
import { delaying, letting, losingAnswer, settled } from './late-store.ts'
import {
  decodeRange,
  encodeRange,
  formatted,
  HOOKS,
  hooksFor,
  opened,
  put,
  REFERENCES,
  setUp,
  textOf,
} from './world.ts'

const retrying = (store: ObjectStore) => withRetry(store, { clock: createVirtualClock(), random: seededRandom(1) })
const textsOf = (database: Database, keys: number[]) => Promise.all(keys.map((key) => textOf(database, key)))

async function readOnly(store: ObjectStore): Promise<Database> {
  return openDatabaseReadOnly(setUp({ random: seededRandom(9) }, store).options)
}

/** A writer whose commits carry file data. */
async function openedWithData(store: ObjectStore, seed: number) {
  const { options, writer, segments } = setUp({ random: seededRandom(seed) }, store)
  const database = await openDatabase(options, writer)
  return { database, segments, hooks: hooksFor(database, segments) }
}

/** Changes a file and makes it durable with its data in the commit. */
function fsyncData(database: Database, segments: SegmentStore, key: number, text: string): Promise<void> {
  const id = database.takeId('segment') as SegmentId
  const { packed, ranges } = segments.packInMemory(id, [{ owner: 1, fileOffset: key, parts: [Buffer.from(text)] }])
  const transaction = database.transaction()
  transaction.put(REFERENCES, 0, key, encodeRange(ranges[0]!))
  database.apply(transaction)
  return database.commit({ id, packed })
}

async function dataOf(database: Database, segments: SegmentStore, key: number): Promise<string> {
  const record = await database.run(() => database.table(REFERENCES).get(key))
  return Buffer.concat(await segments.readData(decodeRange(record!))).toString()
}

test('a delayed commit arriving after its place was trimmed: a first try that comes last is read by nobody', async () => {
  const store = await formatted()
  const { delayed, waiting } = delaying(store, 'putIfAbsent', 'journal/')
  const database = await opened(retrying(delayed), 1)
  put(database, 1, 'old')
  const commit = database.commit()
  await settled(() => waiting.length === 1)
  const [first] = waiting
  first!.giveUp()
  await settled(() => waiting.length === 2)
  await waiting[1]!.arrive()
  await commit
  put(database, 1, 'new')
  const checkpoint = database.checkpoint(HOOKS)
  await settled(() => waiting.length === 2)
  await waiting[1]!.arrive()
  await checkpoint
  expect((await store.list('journal/')).objects).toEqual([])

  expect(await first!.arrive(), 'the place is free again').toBe('done')
  expect(await textOf(await readOnly(store), 1)).toBe('new')
  const next = await opened(store, 2)
  expect(await textOf(next, 1)).toBe('new')
  expect(next.status.replayedCommits).toBe(0)
})

test('a gap filled later: commits behind a gap are void, and stay so when what was missing comes', async () => {
  const store = await formatted()
  const { delayed, waiting } = delaying(store, 'putIfAbsent', journalKey(0, 1, 2))
  const old = await opened(delayed, 1)
  const commits = [1, 2, 3].map((key) => {
    put(old, key, 'old')
    return old.commit()
  })
  const outcomes = Promise.allSettled(commits)
  await commits[0]
  await settled(() => waiting.length === 1)
  const next = await opened(store, 2)
  expect(await textsOf(next, [1, 2, 3])).toEqual(['old', null, null])
  expect(await waiting[0]!.arrive()).toBe('precondition-failed')
  expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect(await textsOf(await opened(store, 3), [1, 2, 3])).toEqual(['old', null, null])
})

test('a gap filled while its tenure is sealed: what won the place counts, with all behind it', async () => {
  const store = await formatted()
  const late = delaying(store, 'putIfAbsent', journalKey(0, 1, 2))
  const old = await opened(late.delayed, 1)
  const commits = [1, 2, 3].map((key) => {
    put(old, key, 'old')
    return old.commit()
  })
  await settled(() => late.waiting.length === 1)
  const sealing = delaying(store, 'putIfAbsent', 'journal/')
  const opening = opened(sealing.delayed, 2)
  await settled(() => sealing.waiting.length === 1)
  await late.letGo()
  await Promise.all(commits)
  await sealing.letGo()
  await settled(() => sealing.waiting.length === 1)
  await sealing.letGo()
  expect(await textsOf(await opening, [1, 2, 3])).toEqual(['old', 'old', 'old'])
})

test('an old root landing after the new writer read it: the new one reads again before it puts its own', async () => {
  const store = await formatted()
  const oldRoots = delaying(store, /^put/, 'root', 1)
  const old = await opened(oldRoots.delayed, 1)
  put(old, 1, 'old')
  await old.commit()
  const checkpoint = old.checkpoint(HOOKS)
  await settled(() => oldRoots.waiting.length === 1)

  const newRoots = delaying(store, /^put/, 'root')
  const opening = opened(newRoots.delayed, 2)
  await settled(() => newRoots.waiting.length === 1)
  await oldRoots.letGo()
  await checkpoint
  expect((await store.list('journal/')).objects.length, 'only the seal is left').toBe(1)
  await newRoots.letGo()
  await settled(() => newRoots.waiting.length === 1)
  await newRoots.letGo()
  const next = await opening
  expect(await textOf(next, 1)).toBe('old')
  put(old, 2, 'late')
  await expect(old.commit()).rejects.toThrow(/taken over/)
  expect(await textsOf(await opened(store, 3), [1, 2])).toEqual(['old', null])
})

test('an old root landing after the new writer put its own: it is refused, and its journal is not trimmed', async () => {
  const store = await formatted()
  const { delayed, waiting, letGo } = delaying(store, /^put/, 'root', 1)
  const old = await opened(delayed, 1)
  put(old, 1, 'old')
  await old.commit()
  const checkpoint = old.checkpoint(HOOKS)
  await settled(() => waiting.length === 1)
  const next = await opened(store, 2)
  put(next, 2, 'new')
  await next.commit()
  await letGo()
  await expect(checkpoint).rejects.toThrow(/taken over/)
  expect(await textsOf(await opened(store, 3), [1, 2])).toEqual(['old', 'new'])
})

test('ids used by segments no record names: nobody uses them again, whenever those segments arrive', async () => {
  const store = await formatted()
  const { delayed, waiting, letGo } = delaying(store, 'putIfAbsent', 'segments/', 1)
  const upload = async (database: Database, segments: SegmentStore, text: string) => {
    const packer = segments.dataPacker(() => database.takeId('segment') as SegmentId)
    const range = packer.add(1, 0, [Buffer.from(text)])
    await packer.upload()
    return range
  }
  const dead = await openedWithData(delayed, 1)
  const unnamed = await upload(dead.database, dead.segments, 'there')
  const late = upload(dead.database, dead.segments, 'on its way')
  await settled(() => waiting.length === 1)

  const next = await openedWithData(store, 2)
  const ranges = [await upload(next.database, next.segments, 'one'), await upload(next.database, next.segments, 'two')]
  await letGo()
  const ids = [unnamed, await late, ...ranges].map((range) => range.segment)
  expect(new Set(ids).size).toBe(4)
  const fresh = setUp({ random: seededRandom(3) }, store).segments
  const read = await Promise.all(ranges.map(async (range) => Buffer.concat(await fresh.readData(range)).toString()))
  expect(read).toEqual(['one', 'two'])
})

test('a retried commit that had succeeded is acknowledged, and its place is not left', async () => {
  const store = await formatted()
  const lossy = losingAnswer(store, 'putIfAbsent', (key) => key.startsWith('journal/'))
  const database = await opened(retrying(lossy), 1)
  for (const key of [1, 2]) {
    put(database, key, 'x')
    await database.commit()
  }
  expect([database.isLost, database.failure]).toEqual([false, null])
  expect((await store.list('journal/')).objects.length).toBe(2)
  expect(await textsOf(await opened(store, 2), [1, 2])).toEqual(['x', 'x'])
})

test.each([
  ['of the mount', 1],
  ['of a checkpoint', 2],
])('a retried root that had succeeded, %s, is our own', async (_, nth) => {
  const store = await formatted()
  let roots = 0
  const lossy = losingAnswer(store, 'putIfMatch', (key) => key === 'root' && ++roots === nth)
  const database = await opened(retrying(lossy), 1)
  put(database, 1, 'x')
  await database.commit()
  await database.checkpoint(HOOKS)
  expect([database.isLost, database.rootInForce.number]).toEqual([false, 3])
  put(database, 2, 'y')
  await database.close(HOOKS)
  expect(await textsOf(await opened(store, 2), [1, 2])).toEqual(['x', 'y'])
})

test('a retried segment that had succeeded is our own', async () => {
  const store = await formatted()
  const lossy = losingAnswer(store, 'putIfAbsent', (key) => key.startsWith('segments/'))
  const database = await opened(retrying(lossy), 1)
  put(database, 1, 'x')
  await database.checkpoint(HOOKS)
  expect((await store.list('segments/')).objects.length).toBe(1)
  await database.close(HOOKS)
  expect(await textOf(await opened(store, 2), 1)).toBe('x')
})

test('a retried raise of the epoch that had succeeded is our own', async () => {
  const store = await formatted()
  const lossy = losingAnswer(store, 'putIfMatch', (key) => key.startsWith('writers/'))
  const database = await opened(retrying(lossy), 1)
  expect(database.status.epoch).toBe(1)
  put(database, 1, 'x')
  await database.commit()
  expect(database.isLost).toBe(false)
})

test('two takers that saw the same epoch raise it one after the other, and the last one serves', async () => {
  const store = await formatted()
  const late = delaying(store, /^put/, 'writers/')
  const outcomes = Promise.allSettled([opened(late.delayed, 1), opened(late.delayed, 2)])
  await settled(() => late.waiting.length === 2)
  const served = (await letting(late, outcomes)).flatMap((outcome) =>
    outcome.status === 'fulfilled' ? [outcome.value] : [],
  )
  const [last] = served.sort((a, b) => b.status.epoch - a.status.epoch)
  const slot = JSON.parse((await store.get('writers/0.json')).body.toString()) as { epoch: number; released: unknown }
  expect(slot).toMatchObject({ epoch: last?.status.epoch, released: null })
  await letting(late, last!.noteProbed('here'))
  expect(last?.isLost).toBe(false)
})

test('a taker that dies between raising the epoch and putting root: what the old writer still syncs is kept', async () => {
  const store = await formatted()
  const old = await opened(store, 1)
  const { delayed, waiting } = delaying(store, /^get/, 'root')
  opened(delayed, 2).catch(() => {})
  await settled(() => waiting.length === 1)
  put(old, 1, 'synced')
  await old.commit()
  const next = await opened(store, 3)
  expect(next.status.epoch).toBe(3)
  expect(await textOf(next, 1)).toBe('synced')
  put(old, 2, 'late')
  await expect(old.commit()).rejects.toThrow(/taken over/)
})

test.each([
  ['before it read root', /^get/],
  ['with its root on its way', /^put/],
])('such a taker that wakes up later, %s, gives up and changes nothing', async (_, method) => {
  const store = await formatted()
  const old = await opened(store, 1)
  put(old, 1, 'old')
  await old.commit()
  const late = delaying(store, method, 'root')
  const outcome = opened(late.delayed, 2).then(
    () => 'served',
    (error: Error) => error.message,
  )
  await settled(() => late.waiting.length === 1)
  const winner = await opened(store, 3)
  put(winner, 2, 'one')
  await winner.commit()
  expect(await letting(late, outcome)).toMatch(/another mount took the volume/)
  put(winner, 3, 'two')
  await winner.commit()
  expect(winner.isLost).toBe(false)
  await winner.checkpoint(HOOKS)
  expect(await textsOf(await opened(store, 4), [1, 2, 3])).toEqual(['old', 'one', 'two'])
})

test.each([
  ['while it packs', 'repoint'],
  ['while its pages are on their way', 'pages'],
] as const)('a commit fsynced during a checkpoint, %s, is not trimmed with it', async (_, when) => {
  const store = await formatted()
  const late = delaying(store, 'putIfAbsent', 'segments/', when === 'pages' ? 1 : 0)
  const { database, segments, hooks } = await openedWithData(late.delayed, 1)
  await fsyncData(database, segments, 1, 'before')
  await fsyncData(database, segments, 3, 'before')
  const checkpoint = database.checkpoint(hooks)
  await settled(() => late.waiting.length === 1)
  await fsyncData(database, segments, 2, 'during')
  await fsyncData(database, segments, 1, 'instead')
  await letting(late, checkpoint)
  expect(database.rootInForce.number).toBe(3)

  const next = await openedWithData(store, 2)
  expect(await dataOf(next.database, next.segments, 1)).toBe('instead')
  expect(await dataOf(next.database, next.segments, 2)).toBe('during')
  expect(await dataOf(next.database, next.segments, 3)).toBe('before')
})
