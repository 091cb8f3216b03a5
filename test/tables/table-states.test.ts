// What is remembered of tables that are only read: nothing of those nobody opened, and not for ever of the others.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import type { ReadOnlyDatabase } from '../../src/tables/engine-database.ts'
import { openDatabaseReadOnly } from '../../src/tables/index.ts'
import { formatted, HOOKS, MANY, opened, setUp } from './world.ts'

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
