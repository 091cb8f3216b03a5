// Mending: what cannot be read is taken out of the tables, and nothing else; afterwards the volume is whole, opens as
// strictly as ever, and holds every record that could be read. A crash between any two steps leaves it to be mended again.
import { describe, expect, test } from 'vitest'
import { type Random, seededRandom } from '../../src/platform/index.ts'
import { segmentKey } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import {
  type Inspector,
  inspectDatabase,
  recoverRoot,
  restoreRoot,
  type TableKind,
  type WritableDatabase,
} from '../../src/tables/index.ts'
import { encodeRoot, ROOT_KEY, ROWS } from '../../src/tables/root.ts'
import { seedsToTry } from '../seeds.ts'
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
  type PlacedPage,
  pagesIn,
  pagesOf,
  parts,
  populated,
  rootIn,
  sorted,
} from './damage.ts'
import { ALONE, HOOKS, MANY, REFERENCES, uuid } from './world.ts'

const SEEDS = seedsToTry({ briefly: 15, atLength: 25 })

/** With commits behind the last checkpoint; its writer died. */
async function volume(): Promise<{ store: ObjectStore; content: Content }> {
  const store = createMemoryStore()
  const { database, content } = await populated(store)
  apply(database, content, [
    [`${ALONE}/0/5`, 'behind the checkpoint'],
    [`${MANY}/3/16`, null],
  ])
  await database.commit()
  apply(database, content, [[`${MANY}/8/1`, 'a table without pages']])
  await database.commit()
  await database.close('abandon')
  return { store, content }
}

async function mended(
  store: ObjectStore,
  before?: (database: WritableDatabase, inspector: Inspector) => Promise<void>,
  cacheBytes?: number,
) {
  const database = await open(store, { salvage: true, cacheBytes })
  const { inspector, content } = await inspect(database)
  await before?.(database, inspector)
  await database.mend({ inspector, hooks: HOOKS })
  return { database, content, damages: inspector.damages }
}

/** Nothing is amiss, opened as strictly as ever, and this is all that there is. */
async function expectWhole(store: ObjectStore, content: Content): Promise<void> {
  const database = await open(store)
  const { inspector, content: found } = await inspect(database)
  expect(inspector.damages).toEqual([])
  expect(sorted(found)).toEqual(sorted(content))
  expect(inspector.pageSegments()).toEqual((await rootIn(store)).pageSegments)
  // All of it can be changed, and written again.
  apply(database, found, [[`${ALONE}/0/7`, 'more']])
  for (const name of [...found.keys()].slice(0, 50)) apply(database, found, [[name, 'changed']])
  await database.close(HOOKS)
  expect((await recoverRoot({ store, volumeUuid: uuid })).damage).toBe(null)
}

const newest = async (store: ObjectStore, kind: number, owner: number, level: number) =>
  (await pagesOf(store, kind, owner)).filter((page) => page.level === level).at(-1)!

const DAMAGES: readonly [string, (store: ObjectStore) => Promise<unknown>][] = [
  ['a leaf', async (store) => flipPage(store, await newest(store, ALONE, 0, 0))],
  ['an inner page', async (store) => flipPage(store, await newest(store, ALONE, 0, 1))],
  ['the only page of a table', async (store) => flipPage(store, await newest(store, REFERENCES, 0, 0))],
  ['a pinned table', async (store) => flipPage(store, await newest(store, MANY, 1, 0))],
  ['a table of an owner', async (store) => flipPage(store, await newest(store, MANY, 5, 0))],
  [
    'two leaves swapped',
    async (store) => {
      const [a, b] = (await pagesOf(store, ALONE, 0)).filter(({ level }) => level === 0).slice(-2) as [
        PlacedPage,
        PlacedPage,
      ]
      expect(a.segment).toBe(b.segment)
      const { body } = await store.get(segmentKey(a.segment))
      const bytesOf = ({ offset, storedBytes }: PlacedPage) => Buffer.from(body.subarray(offset, offset + storedBytes))
      const [ofA, ofB] = [bytesOf(a), bytesOf(b)]
      ofB.copy(body, a.offset, 0, a.storedBytes)
      ofA.copy(body, b.offset, 0, b.storedBytes)
      await store.put(segmentKey(a.segment), [body])
    },
  ],
  ['rows', async (store) => flipPage(store, await newest(store, MANY + ROWS, 0, 0))],
  [
    'rows, and a table that they name',
    async (store) => {
      const pages = [await newest(store, MANY + ROWS, 0, 0), await newest(store, MANY, 2, 0)]
      for (const page of pages) await flipPage(store, page)
    },
  ],
  [
    'every page but one',
    async (store) => {
      for (const page of (await pagesIn(store)).slice(1)) await flipPage(store, page)
    },
  ],
  ['a lost segment', async (store) => store.delete([(await keysIn(store, 'segments/'))[0]!])],
  ['all segments lost', async (store) => store.delete(await keysIn(store, 'segments/'))],
  ['a commit', async (store) => flip(store, (await keysIn(store, 'journal/'))[0]!, 100)],
  [
    'wrong counts of page segments',
    async (store) => {
      const root = await rootIn(store)
      for (const use of root.pageSegments.values()) use.liveBytes -= 1
      await store.put(ROOT_KEY, [encodeRoot(uuid, root)])
    },
  ],
]

describe.each(DAMAGES)('%s:', (_, damage) => {
  test('what could be read is all there afterwards, and nothing is amiss', async () => {
    const { store } = await volume()
    await damage(store)
    const { content: readable } = await inspect(await look(store))
    const { database, content } = await mended(store)
    expect(sorted(content)).toEqual(sorted(readable))
    const { inspector, content: now } = await inspect(database)
    // What was left out of the journal stays told of by this opening.
    expect(inspector.damages.filter(({ table }) => table !== undefined)).toEqual([])
    expect(sorted(now)).toEqual(sorted(readable))
    await database.close(HOOKS)
    await expectWhole(store, readable)
  })

  test('a crash between any two steps leaves it to be mended again', async () => {
    const { store: damaged } = await volume()
    await damage(damaged)
    const { content: readable } = await inspect(await look(damaged))
    for (let calls = 1, isDone = false; !isDone; calls++) {
      const store = await copyOf(damaged)
      isDone = await mended(dyingAt(store, calls)).then(
        () => true,
        (error: Error) => {
          expect(`${error} ${error.cause}`).toContain('crashed')
          return false
        },
      )
      const { database, content } = await mended(store)
      expect(sorted(content), `dead at call ${calls}`).toEqual(sorted(readable))
      await database.close(HOOKS)
      await expectWhole(store, readable)
      expect(calls).toBeLessThan(40)
    }
  })
})

test('records put into a range that cannot be read are there afterwards: all that was in force, under an inner page', async () => {
  const { store, content } = await volume()
  await flipPage(store, await newest(store, ALONE, 0, 1))
  const { database } = await mended(store, async (damaged, inspector) => {
    const found: Content = new Map()
    for (const { table } of [...inspector.damages])
      await inspector.older(table!, (key, record) => found.set(`${ALONE}/0/${key}`, record.toString()))
    apply(damaged, new Map(), found)
  })
  await database.close(HOOKS)
  await expectWhole(store, content)
})

test('rows are put back for tables that had one, not for those that root itself names', async () => {
  const { store } = await volume()
  await flipPage(store, await newest(store, MANY + ROWS, 0, 0))
  const { database } = await mended(store)
  const owners: number[] = []
  await inspectDatabase(database).scan((MANY + ROWS) as TableKind, 0, (owner) => owners.push(owner))
  expect(owners).toEqual([2, 3, 4, 5, 8])
})

test('a table found again is not, when it was cleared before', async () => {
  const { store, content } = await volume()
  await flipPage(store, await newest(store, MANY + ROWS, 0, 0))
  const { database } = await mended(store, async (damaged) => {
    const transaction = damaged.transaction()
    transaction.clear(MANY, 4)
    damaged.apply(transaction)
  })
  for (const name of [...content.keys()]) if (name.startsWith(`${MANY}/4/`)) content.delete(name)
  await database.close(HOOKS)
  await expectWhole(store, content)
})

test('an inner page among inner pages: changes in its range are there afterwards', async () => {
  const store = createMemoryStore()
  const { database } = await populated(store, 10)
  const record = 'x'.repeat(16_384)
  const all = Array.from({ length: 9000 }, (_, key): [string, string] => [`${REFERENCES}/0/${key * 2}`, record])
  apply(database, new Map(), all)
  await database.checkpoint(HOOKS)
  await database.close(HOOKS)
  const inner = (await pagesOf(store, REFERENCES, 0)).filter(({ level }) => level === 1)[1]!
  await flipPage(store, inner)
  const { content: readable } = await inspect(await look(store))
  expect(readable.size).toBeLessThan(9000)
  const { database: mending } = await mended(store, async (damaged) =>
    apply(damaged, readable, [
      [`${REFERENCES}/0/${inner.firstKey + 1}`, 'put'],
      [`${REFERENCES}/0/${inner.firstKey + 3}`, 'put'],
    ]),
  )
  await mending.close(HOOKS)
  await expectWhole(store, readable)
})

test('a page that turns out damaged after the inspection is not left out: it is to be inspected again', async () => {
  const { store } = await volume()
  const [leaf, inner] = [await newest(store, ALONE, 0, 0), await newest(store, ALONE, 0, 1)]
  await flipPage(store, leaf)
  const mending = mended(
    store,
    async (_, inspector) => {
      expect(inspector.damages.length).toBe(1)
      await flipPage(store, inner)
    },
    1,
  )
  await expect(mending).rejects.toThrow('look again')
})

/** Flips a bit of, cuts short, or deletes an object below one of these prefixes. */
async function damageSomething(store: ObjectStore, random: Random, prefixes: readonly string[]): Promise<void> {
  const pick = (below: number) => Math.floor(random.next() * below)
  const keys = await keysIn(store, prefixes[pick(prefixes.length)]!)
  const key = keys[pick(keys.length)]
  if (key === undefined) return
  const { body } = await store.get(key)
  const what = pick(8)
  if (what === 0) await store.delete([key])
  else if (what === 1) await store.put(key, [body.subarray(0, pick(body.length))])
  else await flip(store, key, pick(body.length))
}

test(`whatever is damaged, all else is kept (${SEEDS} seeds)`, async () => {
  const { store: whole, content } = await volume()
  let damages = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed)
    const store = await copyOf(whole)
    for (let count = 1 + Math.floor(random.next() * 4); count > 0; count--)
      await damageSomething(store, random, ['journal/', 'segments/', 'segments/', 'segments/'])
    const seen = await inspect(await look(store))
    const told = seen.inspector.damages
    damages += told.length
    // Commits of an unsealed tenure that are gone cannot be told of: these two are all that the journal holds.
    const isOfJournal = (name: string) => [`${ALONE}/0/5`, `${MANY}/3/16`, `${MANY}/8/1`].includes(name)
    const isUnder = (name: string) => {
      const [kind, owner, key] = name.split('/').map(Number) as [number, number, number]
      return told.some(({ table }) => {
        // Rows are found again by the contents of segments, unless these are damaged too.
        if (table?.kind === kind + ROWS) return table.from <= owner && owner < table.to
        return table?.kind === kind && table.owner === owner && table.from <= key && key < table.to
      })
    }
    for (const [name, text] of content)
      if (!isOfJournal(name) && !isUnder(name)) expect(seen.content.get(name), `seed ${seed}: ${name}`).toBe(text)
    const { database, content: readable } = await mended(store)
    expect(sorted(readable), `seed ${seed}`).toEqual(sorted(seen.content))
    await database.close(HOOKS)
    await expectWhole(store, readable)
  }
  expect(damages).toBeGreaterThan(SEEDS)
}, 120_000)

test(`with root and writers/ damaged too, what is recovered is kept (${SEEDS} seeds)`, async () => {
  const { store: whole } = await volume()
  let recoveries = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed + 1000)
    const store = await copyOf(whole)
    for (let count = 2 + Math.floor(random.next() * 3); count > 0; count--)
      await damageSomething(store, random, ['journal/', 'segments/', 'segments/', 'root', 'writers/'])
    const { root, damage, slotDamage } = await recoverRoot({ store, volumeUuid: uuid })
    if (damage !== null || slotDamage !== null) recoveries++
    const { content: readable } = await inspect(await look(store, damage === null ? undefined : root))
    const { options, writer } = parts(store)
    await restoreRoot(options, writer)
    const { database, content } = await mended(store)
    expect(sorted(content), `seed ${seed}`).toEqual(sorted(readable))
    await database.close(HOOKS)
    await expectWhole(store, readable)
  }
  expect(recoveries).toBeGreaterThan(SEEDS / 2)
}, 120_000)
