// What is remembered of tables: nothing of those nobody opened, and of others not for ever; and what checkpoints do to many.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { inOrder } from '../../src/tables/checkpoint.ts'
import type { ReadOnlyDatabase } from '../../src/tables/engine-database.ts'
import { openDatabase, openDatabaseReadOnly, type TableKind } from '../../src/tables/index.ts'
import { ROWS } from '../../src/tables/root.ts'
import { TableState } from '../../src/tables/table-state.ts'
import { clock, formatted, HOOKS, MANY, opened, setUp } from './world.ts'

test('asking what changed of a table that nobody opened keeps nothing of it', async () => {
  const database = await opened(await formatted())
  for (let owner = 10; owner < 1000; owner++) expect(database.table(MANY, owner).getChanged(0)).toBeUndefined()
  expect(database.engine.knownState(MANY, 10)).toBeUndefined()
  expect(database.table(MANY, 10).get(0)).toBeNull()
  expect(database.engine.knownState(MANY, 10)).toBeDefined()
  await database.close('abandon')
})

test('a table held since before its first change shows it', async () => {
  const database = await opened(await formatted())
  const table = database.table(MANY, 10)
  expect(table.getChanged(7)).toBeUndefined()
  const transaction = database.transaction()
  transaction.clear(MANY, 10)
  transaction.put(MANY, 10, 7, Buffer.from('seven'))
  database.apply(transaction)
  expect(table.getChanged(7)?.toString()).toBe('seven')
  expect(table.getChanged(8)).toBeNull()
  expect(table.isEmpty()).toBe(false)
  await database.close('abandon')
})

test('who only reads forgets tables that were read long ago, and reads them again', async () => {
  const { options } = setUp({ random: seededRandom(1) }, await formatted())
  const database = (await openDatabaseReadOnly(options)) as ReadOnlyDatabase
  for (let owner = 10; owner < 250_000; owner++) expect(database.table(MANY, owner).get(0)).toBeNull()
  expect(database.engine.knownState(MANY, 10)).toBeUndefined()
  expect(database.engine.knownState(MANY, 249_999)).toBeDefined()
  expect(database.table(MANY, 10).get(0)).toBeNull()
})

test('many small tables count for what is remembered of each, not for their few bytes alone', async () => {
  const database = await opened(await formatted())
  const TABLES = 3000
  for (let owner = 10; owner < 10 + TABLES; owner++) {
    const transaction = database.transaction()
    transaction.put(MANY, owner, 0, Buffer.from('.'))
    database.apply(transaction)
  }
  const { changeBytes, unacknowledgedBytes } = database.status
  expect(changeBytes).toBeGreaterThan(TABLES * 450)
  expect(unacknowledgedBytes).toBeGreaterThan(TABLES * 400)
  expect(database.checkpointDue).toBe(true)
  await database.checkpoint(HOOKS)
  expect([database.status.changeBytes, database.status.unacknowledgedBytes]).toEqual([0, 0])
  await database.close(HOOKS)
})

test('tables may be read and changed between the turns of a checkpoint of many', async () => {
  const TABLES = 20_000
  const FIRST = 10
  const owners = Array.from({ length: TABLES }, (_, index) => FIRST + index)
  const store = await formatted()
  const expected = new Map<number, string>()
  const sampled = [FIRST, FIRST + 9_000, FIRST + TABLES - 1]
  let turns = 0
  let betweenTurns = async () => {}
  const yieldTurn = async () => {
    await clock.yield()
    await betweenTurns()
  }
  const { options, writer } = setUp({ random: seededRandom(1) }, store)
  const database = await openDatabase({ ...options, clock: { ...clock, yield: yieldTurn } }, writer)
  const change = (owner: number, text: string) => {
    const transaction = database.transaction()
    transaction.put(MANY, owner, 7, Buffer.from(text))
    database.apply(transaction)
    expected.set(owner, text)
  }
  const textIn = async (owner: number) =>
    (await database.run(() => database.table(MANY, owner).get(7)))?.toString() ?? null

  for (const owner of owners) change(owner, 'first')
  let isHalfway = false
  let isListed = true
  betweenTurns = async () => {
    const { engine } = database
    turns++
    // One round at a time: what it reads may have to wait for pages.
    for (const owner of sampled) if ((await textIn(owner)) !== expected.get(owner)) expect.fail(`table ${owner}`)
    for (const owner of sampled) change(owner, `in turn ${turns}`)
    const frozen = owners.filter((owner) => engine.knownState(MANY, owner)?.frozen)
    if (engine.frozenStates.size === 0 || frozen.length === TABLES) return
    isHalfway = true
    const rows = new Set<number>()
    await database.run(() =>
      engine.table((MANY + ROWS) as TableKind, 0).scan(0, Number.MAX_SAFE_INTEGER, (owner) => rows.add(owner).size > 0),
    )
    const inMemory = new Set(engine.ownersInMemory(MANY))
    isListed &&= owners.every((owner) => rows.has(owner) || inMemory.has(owner))
  }
  await database.checkpoint(HOOKS)
  expect([isHalfway, isListed]).toEqual([true, true])
  expect(turns).toBeGreaterThan(6)
  betweenTurns = async () => {}
  for (const owner of owners) if ((await textIn(owner)) !== expected.get(owner)) expect.fail(`table ${owner}`)
  await database.close(HOOKS)

  const again = await opened(store, 2)
  for (const owner of owners) {
    const text = await again.run(() => again.table(MANY, owner).get(7))
    if (text?.toString() !== expected.get(owner)) expect.fail(`table ${owner} after it was opened again`)
  }
  await again.close('abandon')
})

test('a checkpoint takes each table once, in order of kind and owner, and not the rows', () => {
  const states = Array.from({ length: 30_000 }, (_, index) => {
    const kind = [5, 2, 2 + ROWS][index % 3] as TableKind
    return new TableState(kind, (index * 7919) % 30_011, null)
  })
  let turns = 1
  const work = inOrder(states, states.slice(100, 300))
  let step = work.next()
  for (; !step.done; step = work.next()) turns++
  expect(turns).toBeGreaterThan(4)
  const wanted = states
    .filter(({ kind }) => kind < ROWS)
    .sort((a, b) => a.kind - b.kind || a.owner - b.owner)
    .map(({ kind, owner }) => `${kind}/${owner}`)
  expect(step.value?.map(({ kind, owner }) => `${kind}/${owner}`)).toEqual(wanted)
})
