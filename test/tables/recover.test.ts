// Putting `root` and writers/ back: what is recovered is what the last writer left, nobody who thinks he still has the slot
// acknowledges anything afterwards, and a crash between any two steps loses nothing.
import { describe, expect, test } from 'vitest'
import { parseSegmentKey, type SegmentId, segmentKey } from '../../src/segments/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import {
  type Database,
  formatDatabase,
  journalKey,
  openDatabase,
  readSlot,
  recoverRoot,
  restoreRoot,
} from '../../src/tables/index.ts'
import {
  apply,
  type Content,
  copyOf,
  dyingAt,
  flip,
  flipPage,
  inspect,
  keysIn,
  look,
  open,
  pagesOf,
  parts,
  populated,
  rootIn,
  sorted,
  textOf,
} from './damage.ts'
import { ALONE, HOOKS, MANY, uuid } from './world.ts'

const SLOT_KEY = 'writers/0.json'

const recovered = (store: ObjectStore) => recoverRoot({ store, volumeUuid: uuid })

function restored(store: ObjectStore, seed = 77) {
  const { options, writer } = parts(store, seed)
  return restoreRoot(options, writer)
}

/** Puts it back; then the volume opens as strictly as ever, and holds `content`. */
async function expectRestored(store: ObjectStore, content: Content): Promise<void> {
  await restored(store)
  expect((await recovered(store)).damage).toBe(null)
  const database = await open(store)
  const { inspector, content: found } = await inspect(database)
  expect(inspector.damages).toEqual([])
  expect(sorted(found)).toEqual(sorted(content))
  await database.close(HOOKS)
  expect((await recovered(store)).damage).toBe(null)
}

/** A volume with a checkpoint, commits behind it, and commits of a second writer; both writers died. */
async function crashedTwice(): Promise<{ store: ObjectStore; content: Content; database: Database }> {
  const store = createMemoryStore()
  const { database: first, content } = await populated(store, 300)
  apply(first, content, [[`${ALONE}/0/1`, 'behind the checkpoint']])
  await first.commit()
  await first.close('abandon')
  const database = await open(store, { seed: 2 })
  for (const key of [3, 4]) {
    apply(database, content, [[`${ALONE}/0/${key}`, 'of the second writer']])
    await database.commit()
  }
  return { store, content, database }
}

async function closedCleanly(): Promise<{ store: ObjectStore; content: Content; database: Database }> {
  const store = createMemoryStore()
  const { database, content } = await populated(store, 300)
  await database.close(HOOKS)
  return { store, content, database }
}

test('a lost root is recovered whose checkpoint had nothing but removals to write', async () => {
  const store = createMemoryStore()
  await formatDatabase(store, uuid)
  const database = await open(store)
  const content: Content = new Map()
  apply(database, content, [
    [`${MANY}/1/0`, 'of the pinned table'],
    [`${ALONE}/0/7`, 'goes'],
  ])
  await database.checkpoint(HOOKS)
  // All records of a table: no page of it is left to be written.
  apply(database, content, [[`${ALONE}/0/7`, null]])
  await database.checkpoint(HOOKS)
  // And a removal of what is not there, of the very table whose page is written again.
  apply(database, content, [[`${MANY}/1/5`, null]])
  await database.checkpoint(HOOKS)
  expect(await database.run(() => database.table(MANY, 1).get(0)?.toString())).toBe('of the pinned table')
  await database.close('abandon')
  expect((await recovered(store)).damage).toBe(null)
  await store.delete(['root'])
  const { inspector, content: found } = await inspect(await look(store, (await recovered(store)).root))
  expect(inspector.damages).toEqual([])
  expect(sorted(found)).toEqual(sorted(content))
  await expectRestored(store, content)
})

describe.each([
  ['after a clean unmount', closedCleanly],
  ['after two crashes', crashedTwice],
])('%s', (_, volume) => {
  test('a lost root is recovered, read without it, and put back', async () => {
    const { store, content } = await volume()
    await store.delete(['root'])
    const { root, damage } = await recovered(store)
    expect(damage).toEqual({ kind: 'lost-root', object: 'root', message: 'root is missing' })
    const { inspector, content: found } = await inspect(await look(store, root))
    expect(inspector.damages).toEqual([])
    expect(sorted(found)).toEqual(sorted(content))
    await expectRestored(store, content)
  })

  test('so is a damaged one', async () => {
    const { store, content } = await volume()
    await flip(store, 'root', 90)
    expect((await recovered(store)).damage).toMatchObject({ kind: 'damaged-root', object: 'root' })
    await expectRestored(store, content)
  })

  test('and with writers/ lost too, and volume.json', async () => {
    const { store, content } = await volume()
    const before = await rootIn(store)
    await store.delete(['root', SLOT_KEY])
    const { slotDamage, volumeJson } = await recoverRoot({ store, volumeUuid: null })
    expect(slotDamage?.kind).toBe('lost-slot')
    expect(volumeJson?.toString()).toBe('{}')
    await expectRestored(store, content)
    expect((await rootIn(store)).epoch).toBeGreaterThan(before.epoch + 1000)
  })

  test.each([
    ['lost', (store: ObjectStore) => store.delete([SLOT_KEY])],
    ['damaged', (store: ObjectStore) => flip(store, SLOT_KEY, 30)],
  ] as const)('with root whole, %s writers/ are put back', async (how, damage) => {
    const { store, content } = await volume()
    await damage(store)
    await expect(open(store)).rejects.toThrow()
    const found = await recovered(store)
    expect([found.damage, found.slotDamage?.kind]).toEqual([null, `${how}-slot`])
    await expectRestored(store, content)
  })

  test('a crash between any two steps loses nothing', async () => {
    const { store: whole, content } = await volume()
    let isDone = false
    for (let calls = 1; !isDone; calls++) {
      const store = await copyOf(whole)
      await store.delete(['root', SLOT_KEY])
      isDone = await restored(dyingAt(store, calls)).then(
        () => true,
        (error: Error) => {
          expect(`${error}`).toContain('crashed')
          return false
        },
      )
      await expectRestored(store, content)
      expect(calls).toBeLessThan(20)
    }
  })
})

test('whoever thought he had the slot acknowledges nothing after it', async () => {
  const { store, database } = await crashedTwice()
  await store.delete(['root', SLOT_KEY])
  await restored(store)
  apply(database, new Map(), [[`${ALONE}/0/5`, 'late']])
  await expect(database.commit()).rejects.toThrow('taken over')
})

describe('an old root in place of a newer one is noticed', () => {
  /** What `root` was after each step, then puts that of step `back` in place of the last. */
  async function putBack(steps: readonly ((database: Database, content: Content) => Promise<unknown>)[], back: number) {
    const store = createMemoryStore()
    const { database, content } = await populated(store, 300)
    const roots = [(await store.get('root')).body]
    for (const step of steps) {
      await step(database, content)
      roots.push((await store.get('root')).body)
    }
    await store.put('root', [roots[back]!])
    return { store, content }
  }

  const changed = async (database: Database, content: Content) => {
    apply(database, content, [[`${ALONE}/0/${content.size + 1}`, 'changed']])
    await database.checkpoint(HOOKS)
  }
  const closed = (database: Database) => database.close(HOOKS)

  test.each([
    ['of the checkpoint before, its writer dead', [changed], 0],
    ['of two checkpoints before', [changed, changed], 0],
    ['of before a clean unmount', [changed, closed], 0],
  ] as const)('%s', async (_, steps, back) => {
    const { store, content } = await putBack(steps, back)
    expect((await recovered(store)).damage).toMatchObject({ kind: 'stale-root', object: 'root' })
    await expectRestored(store, content)
  })

  test('of the writer before', async () => {
    const { store, content } = await crashedTwice()
    const old = (await store.get('root')).body
    const third = await open(store, { seed: 3 })
    apply(third, content, [[`${MANY}/2/16`, 'third']])
    await third.commit()
    await third.close('abandon')
    await store.put('root', [old])
    expect((await recovered(store)).damage?.message).toBe('root is old: epoch 3 has written, it is of epoch 2')
    await expectRestored(store, content)
  })
})

test('what merely lies under a key of the journal or of a segment makes no root an old one', async () => {
  const { store } = await crashedTwice()
  await store.put(journalKey(0, 9, 1), [Buffer.from('foreign '.repeat(20))])
  await store.put(segmentKey((2 ** 40) as SegmentId), [Buffer.from('foreign '.repeat(20))])
  expect((await recovered(store)).damage).toBe(null)
})

test('a checkpoint that failed is not what root should be: only its last segment came', async () => {
  const { store, content } = await crashedTwice()
  const written = new Map<string, readonly Uint8Array[]>()
  let isDying = false
  const dying = new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: [string, readonly Uint8Array[]]) => {
        if (!isDying || property !== 'putIfAbsent') {
          if (isDying && property === 'putIfMatch') throw new StoreError('fatal', 'crashed')
          return member.apply(target, args) as unknown
        }
        if (!args[0].startsWith('segments/')) return member.apply(target, args) as unknown
        written.set(args[0], args[1])
        return 'etag'
      }
    },
  })
  const { options, writer } = parts(dying, 5)
  const failing = await openDatabase(options, writer)
  const records = Array.from({ length: 1500 }, (_, key): [string, string] => [
    `${MANY}/7/${key * 16}`,
    textOf(key, 300),
  ])
  apply(failing, content, records)
  isDying = true
  await expect(failing.checkpoint(HOOKS)).rejects.toThrow('crashed')
  await failing.close('abandon')
  expect(written.size).toBeGreaterThan(1)
  const last = [...written].sort(([a], [b]) => parseSegmentKey(b)! - parseSegmentKey(a)!)[0]!
  await store.put(...last)

  expect((await recovered(store)).damage).toBe(null)
  await store.delete(['root'])
  await expectRestored(store, content)
})

test('of a damaged state no older one takes the place where commits between are gone without a trace', async () => {
  const store = createMemoryStore()
  const { database } = await populated(store, 600)
  await database.close(HOOKS)
  const before = await rootIn(store)
  // A clean unmount leaves no seal, and a writer that only writes pages, as gc may, no commit.
  const second = await open(store, { seed: 2, salvage: true })
  // A leaf behind all that the second checkpoint changed: it is in force.
  await flipPage(store, (await pagesOf(store, ALONE, 0)).find(({ level, firstKey }) => level === 0 && firstKey > 4000)!)
  const { inspector } = await inspect(second)
  await second.mend({ inspector, hooks: HOOKS })
  await second.close(HOOKS)
  const newest = await rootIn(store)
  expect(newest.tenures).toMatchObject([{ epoch: 2, firstSeq: 1 }])
  const last = Math.max(...before.pageSegments.keys()) as SegmentId
  await store.delete(['root', segmentKey(last)])
  const { root } = await recovered(store)
  expect(root.tables).toEqual(newest.tables)
})

test('a new volume without a checkpoint is recovered from its journal alone', async () => {
  const store = createMemoryStore()
  await formatDatabase(store, uuid)
  const database = await open(store)
  const content: Content = new Map()
  apply(database, content, [[`${ALONE}/0/1`, 'first']])
  await database.commit()
  await database.close('abandon')
  await store.delete(['root'])
  await expectRestored(store, content)
})

test('a root that a writer replaces again and again while it is looked at is in force', async () => {
  const { store, content, database } = await crashedTwice()
  let listings = 0
  const moving = new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        if (property === 'list' && args[0] === 'segments/') {
          if (++listings > 5) throw new Error('it looks for ever')
          apply(database, content, [[`${ALONE}/0/9`, `change ${listings}`]])
          await database.checkpoint(HOOKS)
        }
        return member.apply(target, args) as unknown
      }
    },
  })
  const { root, damage } = await recovered(moving)
  expect(damage).toBe(null)
  expect(root.number).toBe((await rootIn(store)).number)
  await database.close('abandon')
})

test('with no trace of a root anywhere it says so', async () => {
  const store = createMemoryStore()
  await expect(recoverRoot({ store, volumeUuid: null })).rejects.toThrow('nothing to recover')
})

test('a volume that somebody holds is left alone', async () => {
  const { store } = await crashedTwice()
  await store.delete(['root'])
  const { options, writer } = parts(store, 9)
  const before = (await readSlot(store, 0)).state.epoch
  await expect(restoreRoot(options, { ...writer, judge: async () => 'alive' })).rejects.toThrow('mounted elsewhere')
  expect((await readSlot(store, 0)).state.epoch).toBe(before)
  expect(await keysIn(store, 'root')).toEqual([])
})
