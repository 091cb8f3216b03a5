// Nothing is served once the slot is lost; changes wait while those before them take too much memory.
import { expect, test } from 'vitest'
import { systemClock } from '../../src/platform/index.ts'
import type { Database } from '../../src/tables/index.ts'
import { createGuards } from '../../src/vfs/guards.ts'

function world() {
  const database = { isLost: false, isFull: false, failure: null as Error | null }
  const done: string[] = []
  const guards = createGuards(database as unknown as Database, systemClock, { operations: 0 })
  const { reading, changing, counted } = guards
  return {
    database,
    done,
    guards,
    changing,
    counted,
    read: reading((name: string) => done.push(name)),
    change: changing((name: string) => done.push(name)),
  }
}

test('everything fails with EIO once the slot is lost, also what waited for room', async () => {
  const { database, done, read, change } = world()
  database.isFull = true
  const waiting = change('waited')
  database.isLost = true
  database.failure = new Error('taken over')
  expect(() => read('a')).toThrow(expect.objectContaining({ code: 'EIO' }))
  expect(() => change('b')).toThrow(expect.objectContaining({ code: 'EIO' }))
  await expect(waiting).rejects.toMatchObject({ code: 'EIO' })
  expect(done).toEqual([])
})

test('changes wait while too much is not yet durable, reads do not', async () => {
  const { database, done, read, change } = world()
  database.isFull = true
  const waiting = change('change')
  read('read')
  expect(done).toEqual(['read'])
  database.isFull = false
  await waiting
  expect(done).toEqual(['read', 'change'])
})

test('nobody waits for what cannot become durable any more', async () => {
  const { database, done, change } = world()
  database.isFull = true
  const waiting = change('first')
  database.failure = new Error('the journal cannot be written')
  await waiting
  change('second')
  expect(done).toEqual(['first', 'second'])
})

test('the version differs after a change, and is none while one is under way', async () => {
  const { database, guards, read, change, changing, counted } = world()
  const before = guards.version
  read('read')
  expect(guards.version).toBe(before)
  change('change')
  expect(guards.version).not.toBe(before)
  const afterFirst = guards.version
  const failing = changing(() => {
    throw new Error('fails')
  })
  expect(failing).toThrow('fails')
  expect(guards.version).not.toBe(afterFirst)
  const afterSecond = guards.version
  let end = () => {}
  const waiting = counted(
    () =>
      new Promise<void>((resolve) => {
        end = resolve
      }),
  )
  expect(guards.version).toBeNaN()
  change('beside it')
  expect(guards.version).toBeNaN()
  end()
  await waiting
  expect(guards.version).toBeGreaterThan(afterSecond)
  database.isLost = true
  expect(guards.version).toBeNaN()
})
