// Salvaging a journal: what is missing or damaged of it is left out and told, what lies behind it is replayed; and what
// was never acknowledged is no damage.
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../src/platform/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { type Database, formatDatabase, inspectDatabase, journalKey } from '../../src/tables/index.ts'
import { flip, keysIn, look, open } from './damage.ts'
import { ALONE, HOOKS, uuid } from './world.ts'

/** A volume whose writer died: one commit for each key, of the first tenure. */
async function crashed(keys: readonly number[]): Promise<ObjectStore> {
  const store = createMemoryStore()
  await formatDatabase(store, uuid)
  await commitEach(await open(store), keys)
  return store
}

async function commitEach(database: Database, keys: readonly number[]): Promise<void> {
  for (const key of keys) {
    const transaction = database.transaction()
    transaction.put(ALONE, 0, key, Buffer.from(`record ${key}`))
    database.apply(transaction)
    await database.commit()
  }
  await database.close('abandon')
}

async function keysOf(database: Database): Promise<number[]> {
  const keys: number[] = []
  await inspectDatabase(database).scan(ALONE, 0, (key) => keys.push(key))
  return keys
}

const damagesOf = (database: Database) =>
  inspectDatabase(database).damages.map(({ kind, object }) => `${kind} ${object.slice(-1)}`)

const commit = (seq: number, epoch = 1) => journalKey(0, epoch, seq)

/** Makes a commit one that was closed before any other was answered. */
async function sentBeforeAnswers(store: ObjectStore, key: string): Promise<void> {
  const { body } = await store.get(key)
  body.writeUInt32LE(0, 72)
  body.writeUInt32LE(crc32c(body.subarray(80 + body.readUInt32LE(56)), crc32c(body.subarray(0, 76))), 76)
  await store.put(key, [body])
}

/** What looking and opening for writing find; both find the same, and a second look after a crash too. */
async function salvaged(store: ObjectStore): Promise<{ keys: number[]; damages: string[] }> {
  const seen = await look(store)
  const found = { keys: await keysOf(seen), damages: damagesOf(seen) }
  const writing = await open(store, { salvage: true })
  expect(await keysOf(writing)).toEqual(found.keys)
  expect(damagesOf(writing)).toEqual(found.damages)
  await writing.close('abandon')
  const again = await look(store)
  expect(await keysOf(again)).toEqual(found.keys)
  expect(damagesOf(again)).toEqual(found.damages)
  return found
}

/** After a checkpoint the volume opens as strictly as ever, with what was salvaged, and the damaged commits are gone. */
async function expectMended(store: ObjectStore, keys: readonly number[]): Promise<void> {
  const database = await open(store, { salvage: true })
  await database.close(HOOKS)
  const strict = await open(store)
  expect(await keysOf(strict)).toEqual(keys)
  await strict.close(HOOKS)
  for (const key of await keysIn(store, 'journal/'))
    expect((await store.get(key)).body.length, `${key} is a seal`).toBe(80)
}

describe('of a tenure that nobody has sealed', () => {
  test('a damaged commit is told, and those behind it are replayed', async () => {
    const store = await crashed([1, 2, 3, 4])
    await flip(store, commit(2), 90)
    await expect(open(store)).rejects.toThrow('checksum does not match')
    expect(await salvaged(store)).toEqual({ keys: [1, 3, 4], damages: ['damaged-commit 2'] })
    await expectMended(store, [1, 3, 4])
  })

  test('a commit that a later one calls acknowledged is missed, and those behind it are replayed', async () => {
    const store = await crashed([1, 2, 3, 4])
    await store.delete([commit(2)])
    await expect(open(store)).rejects.toThrow(/00000002 is missing: acknowledged changes are lost with it/)
    expect(await salvaged(store)).toEqual({ keys: [1, 3, 4], damages: ['journal-gap 2'] })
    await expectMended(store, [1, 3, 4])
  })

  test('the last commit may be the damaged one', async () => {
    const store = await crashed([1, 2, 3])
    await flip(store, commit(3), 70)
    expect(await salvaged(store)).toEqual({ keys: [1, 2], damages: ['damaged-commit 3'] })
    await expectMended(store, [1, 2])
  })

  test('what lies behind a gap was under way: no damage, and void', async () => {
    const store = await crashed([1, 2, 3, 4])
    await sentBeforeAnswers(store, commit(4))
    await store.delete([commit(3)])
    expect(await salvaged(store)).toEqual({ keys: [1, 2], damages: [] })
  })
})

test('a damaged seal that root does not know ends its tenure all the same: what lies behind it is void', async () => {
  const store = await crashed([1, 2, 3, 4, 5])
  const root = await store.get('root')
  await sentBeforeAnswers(store, commit(5))
  await store.delete([commit(4)])
  await (await open(store)).close('abandon')
  await store.put('root', [root.body])
  await flip(store, commit(4), 20)
  expect(damagesOf(await look(store))).toEqual(['damaged-commit 4'])
  const writing = await open(store, { salvage: true })
  expect(await keysOf(writing)).toEqual([1, 2, 3])
  await writing.close(HOOKS)
  const strict = await open(store)
  expect(await keysOf(strict)).toEqual([1, 2, 3])
  await strict.close('abandon')
})

describe('of a tenure whose seal is known', () => {
  /** Sealed by a writer that died too, with one commit of its own. */
  async function taken(): Promise<ObjectStore> {
    const store = await crashed([1, 2, 3, 4])
    await commitEach(await open(store), [5])
    return store
  }

  test('missing commits are told, and those behind them are replayed', async () => {
    const store = await taken()
    await store.delete([commit(2), commit(3)])
    await expect(open(store)).rejects.toThrow('is missing')
    const seen = await look(store)
    expect(inspectDatabase(seen).damages).toEqual([
      {
        kind: 'journal-gap',
        object: commit(2),
        message: `${commit(2)} to ${commit(3)} are missing: 2 commits, what they changed is lost`,
      },
    ])
    expect(await salvaged(store)).toEqual({ keys: [1, 4, 5], damages: ['journal-gap 2'] })
    await expectMended(store, [1, 4, 5])
  })

  test('a commit missing right before the seal is told', async () => {
    const store = await taken()
    await store.delete([commit(4)])
    expect(await salvaged(store)).toEqual({ keys: [1, 2, 3, 5], damages: ['journal-gap 4'] })
  })

  test('a damaged commit is told, and those behind it are replayed', async () => {
    const store = await taken()
    await flip(store, commit(1), 100)
    expect(await salvaged(store)).toEqual({ keys: [2, 3, 4, 5], damages: ['damaged-commit 1'] })
    await expectMended(store, [2, 3, 4, 5])
  })

  test.each([
    ['damaged', 'damaged-commit', (store: ObjectStore) => flip(store, commit(5), 20)],
    ['missing', 'journal-gap', (store: ObjectStore) => store.delete([commit(5)])],
  ] as const)('a %s seal is told and put again: no commit is lost with it', async (_, kind, damage) => {
    const store = await taken()
    await damage(store)
    await expect(open(store)).rejects.toThrow()
    const seen = await look(store)
    expect(await keysOf(seen)).toEqual([1, 2, 3, 4, 5])
    expect(damagesOf(seen)).toEqual([`${kind} 5`])
    await (await open(store, { salvage: true })).close('abandon')
    expect(await salvaged(store)).toEqual({ keys: [1, 2, 3, 4, 5], damages: [] })
    await expectMended(store, [1, 2, 3, 4, 5])
  })

  test('a seal that is there is known, though root does not say so yet', async () => {
    const store = await crashed([1, 2, 3, 4])
    const root = await store.get('root')
    await (await open(store)).close('abandon')
    await store.put('root', [root.body])
    await store.delete([commit(2)])
    // Nor is it sealed a second time, before commits that were acknowledged.
    await expect(open(store)).rejects.toThrow('is missing: acknowledged changes are lost with it')
    expect(await salvaged(store)).toEqual({ keys: [1, 3, 4], damages: ['journal-gap 2'] })
  })

  test('a commit that a listing, which is not of one moment, lacks is asked for by itself', async () => {
    const store = await crashed([1, 2, 3, 4])
    const root = await store.get('root')
    await (await open(store)).close('abandon')
    await store.put('root', [root.body])
    const strict = await open(lackingInLists(store, commit(2)))
    expect(await keysOf(strict)).toEqual([1, 2, 3, 4])
    await strict.close('abandon')
    expect(await salvaged(lackingInLists(store, commit(3)))).toEqual({ keys: [1, 2, 3, 4], damages: [] })
  })
})

/** A store whose listings passed the place of a key before it was created. */
function lackingInLists(store: ObjectStore, missing: string): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      if (property !== 'list') return member.bind(target) as unknown
      return async (...args: Parameters<ObjectStore['list']>) => {
        const page = await target.list(...args)
        return { ...page, objects: page.objects.filter(({ key }) => key !== missing) }
      }
    },
  })
}
