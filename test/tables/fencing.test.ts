// Two writers of one volume: whoever lost the slot makes nothing durable any more, however late its puts arrive; and what
// is our own, though its answer was lost, is not taken for somebody else's.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { openDatabase, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { delaying, losingAnswer, settled } from './late-store.ts'
import { formatted, HOOKS, opened, put, setUp, textOf } from './world.ts'

test('a commit that arrives after its writer was overtaken is not acknowledged', async () => {
  const store = await formatted()
  const { delayed, letGo, waiting } = delaying(store, 'putIfAbsent', 'journal/')
  const old = await opened(delayed, 1)
  put(old, 1, 'old')
  const late = old.commit()
  const next = await opened(store, 2)
  expect(waiting.length).toBe(1)
  await letGo()
  await expect(late).rejects.toThrow(/sealed/)
  expect(old.isLost).toBe(true)
  expect(() => put(old, 2, 'more')).toThrow(expect.objectContaining({ code: 'EROFS' }))
  await expect(old.commit()).rejects.toThrow(/taken over/)
  expect(await textOf(next, 1)).toBe(null)
})

test('nor when the tenure was contained and trimmed meanwhile', async () => {
  const store = await formatted()
  const { delayed, letGo } = delaying(store, 'putIfAbsent', 'journal/')
  const old = await opened(delayed, 1)
  put(old, 1, 'first')
  const first = old.commit()
  await letGo()
  await first
  put(old, 2, 'late')
  const late = old.commit()
  const next = await opened(store, 2)
  put(next, 3, 'new')
  await next.commit()
  await next.checkpoint(HOOKS)
  await next.close(HOOKS)
  await letGo()
  await expect(late).rejects.toThrow(/sealed/)
  const last = await opened(store, 3)
  expect(await Promise.all([1, 2, 3].map((key) => textOf(last, key)))).toEqual(['first', null, 'new'])
})

test('a checkpoint of a writer that was overtaken does not take effect', async () => {
  const store = await formatted()
  const old = await opened(store, 1)
  put(old, 1, 'old')
  await old.commit()
  const next = await opened(store, 2)
  put(next, 1, 'new')
  await next.commit()
  await expect(old.checkpoint(HOOKS)).rejects.toThrow(/taken over/)
  expect(old.isLost).toBe(true)
  await next.close(HOOKS)
  expect(await textOf(await opened(store, 3), 1)).toBe('new')
})

test('a heartbeat whose answer was lost does not look like a takeover at the release', async () => {
  const store = await formatted()
  const isBeat = (key: string, body: string) => key.startsWith('writers/') && body.includes('"probed": [\n')
  const database = await opened(losingAnswer(store, 'putIfMatch', isBeat))
  await expect(database.noteProbed('here')).rejects.toThrow(/answer was lost/)
  put(database, 1, 'kept')
  await database.close(HOOKS)
  expect(database.isLost).toBe(false)
  expect(JSON.parse((await store.get('writers/0.json')).body.toString())).toMatchObject({ released: { lastSeq: 1 } })
})

test('a checkpoint that failed in the background does not keep the volume from closing', async () => {
  const store = await formatted()
  const isRoot = (key: string) => key === 'root'
  let roots = 0
  const database = await opened(losingAnswer(store, 'putIfMatch', (key) => isRoot(key) && ++roots === 2))
  put(database, 1, 'kept')
  const checkpoint = database.checkpoint(HOOKS)
  const closing = database.close(HOOKS)
  await expect(checkpoint).rejects.toThrow(/answer was lost/)
  await closing
  expect(await textOf(await opened(store, 2), 1)).toBe('kept')
})

test('pages of a root whose answer was lost stay for those who read by it, until the grace period is over', async () => {
  const store = await formatted()
  let roots = 0
  const database = await opened(losingAnswer(store, 'putIfMatch', (key) => key === 'root' && ++roots === 2))
  put(database, 1, 'kept')
  await expect(database.checkpoint(HOOKS)).rejects.toThrow(/answer was lost/)
  const { options } = setUp({ random: seededRandom(2) }, store)
  const reader = await openDatabaseReadOnly(options)
  put(database, 1, 'newer')
  await database.checkpoint(HOOKS)
  expect((await database.deleteDeadPages(1)).waiting).toBe(1)
  expect(await textOf(reader, 1)).toBe('kept')
  expect((await database.deleteDeadPages(0)).segments).toBe(1)
  await database.close(HOOKS)
})

test('a read-only opener that races a trim reads root again', async () => {
  const store = await formatted()
  const crashed = await opened(store, 1)
  put(crashed, 1, 'one')
  await crashed.commit()
  const writer = await opened(store, 2)
  const { delayed, letGo, waiting } = delaying(store, 'list', 'journal/')
  const { options } = setUp({ random: seededRandom(3) }, delayed)
  const reading = openDatabaseReadOnly(options)
  await settled(() => waiting.length > 0)
  await writer.checkpoint(HOOKS)
  const letting = setInterval(() => void letGo(), 1)
  try {
    expect(await textOf(await reading, 1)).toBe('one')
  } finally {
    clearInterval(letting)
  }
})

test('so does a writer that takes the slot while the one before it, still alive, trims', async () => {
  const store = await formatted()
  const before = await opened(store, 1)
  for (const key of [1, 2]) {
    put(before, key, 'x')
    await before.commit()
  }
  const { delayed, letGo, waiting } = delaying(store, 'get', 'journal/')
  const { options, writer } = setUp({ random: seededRandom(2) }, delayed)
  const taking = openDatabase(options, writer)
  await settled(() => waiting.length > 0)
  await before.checkpoint(HOOKS)
  const letting = setInterval(() => void letGo(), 1)
  try {
    expect(await textOf(await taking, 2)).toBe('x')
  } finally {
    clearInterval(letting)
  }
  put(before, 3, 'late')
  await expect(before.commit()).rejects.toThrow('taken over')
})

test('a commit missing before a known seal is an error, not an end', async () => {
  const store = await formatted()
  const crashed = await opened(store, 1)
  for (const key of [1, 2, 3]) {
    put(crashed, key, 'x')
    await crashed.commit()
  }
  await opened(store, 2)
  const { objects } = await store.list('journal/')
  await store.delete([objects[1]!.key])
  await expect(opened(store, 3)).rejects.toThrow(/is missing: acknowledged changes are lost/)
  const slot = JSON.parse((await store.get('writers/0.json')).body.toString()) as { released: unknown }
  expect(slot.released, 'the slot of a mount that did not come about').not.toBe(null)
})

test('ids are never given out twice, over clean ends and crashes', async () => {
  const store = await formatted()
  const seen = new Set<number>()
  for (let life = 0; life < 6; life++) {
    const database = await opened(store, life)
    for (let count = 0; count < 10; count++) {
      const id = database.takeId('ino')
      expect(seen.has(id)).toBe(false)
      seen.add(id)
    }
    if (life % 2 === 0) await database.close(HOOKS)
  }
})

test.each([
  ['before it read root', /^get/, 'synced later'],
  ['with the old tenure sealed', /^put/, null],
])(
  'a mount that fails %s ends the one before it, and loses nothing that was acknowledged',
  async (_, method, later) => {
    const store = await formatted()
    const served = await opened(store, 1)
    put(served, 1, 'synced')
    await served.commit()
    const { delayed, waiting } = delaying(store, method, 'root')
    const failing = opened(delayed, 2)
    await settled(() => waiting.length === 1)
    waiting[0]?.giveUp()
    await expect(failing).rejects.toThrow(/no answer/)

    put(served, 2, 'synced later')
    const commit = served.commit()
    if (later === null) await expect(commit).rejects.toThrow(/taken over/)
    else await commit
    await expect(served.noteProbed('here')).rejects.toThrow(/taken over/)
    expect(served.isLost).toBe(true)

    const next = await opened(store, 3)
    expect(await textOf(next, 1)).toBe('synced')
    expect(await textOf(next, 2)).toBe(later)
  },
)
