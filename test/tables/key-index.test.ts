// The index of the open commit is a map, also while it grows; and grows a little at a time.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeyIndex } from '../../src/tables/key-index.ts'

test('it is a map, whenever it is asked as it grows and after it was cleared', () => {
  const key = fc.oneof(fc.nat(3000), fc.nat(Number.MAX_SAFE_INTEGER))
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), key), { maxLength: 4000, size: 'max' }), {
        minLength: 1,
        maxLength: 3,
      }),
      (rounds) => {
        const index = new KeyIndex()
        for (const sets of rounds) {
          const model = new Map<string, number>()
          for (const [place, [table, at]] of sets.entries()) {
            if (index.get(table, at) !== model.get(`${table}/${at}`)) expect.fail(`${table}/${at} before it is set`)
            index.set(table, at, place)
            model.set(`${table}/${at}`, place)
            // One set before, which may be about to be moved.
            const [earlierTable, earlier] = sets[place >>> 1]!
            if (index.get(earlierTable, earlier) !== model.get(`${earlierTable}/${earlier}`))
              expect.fail(`${earlierTable}/${earlier} after ${place + 1} sets`)
          }
          for (const [table, at] of sets) expect(index.get(table, at)).toBe(model.get(`${table}/${at}`))
          index.clear()
          for (const [table, at] of sets.slice(0, 100)) expect(index.get(table, at)).toBeUndefined()
        }
      },
    ),
    { numRuns: 8 },
  )
})

test('no set moves more than a few entries, and a million are all found', () => {
  const index = new KeyIndex()
  const MILLION = 1_000_000
  let most = 0
  for (let key = 0; key < MILLION; key++) {
    const before = index.moved
    index.set(1 + (key % 7), key * 256, key)
    most = Math.max(most, index.moved - before)
  }
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(8)
  let missing = 0
  for (let key = 0; key < MILLION; key++) if (index.get(1 + (key % 7), key * 256) !== key) missing++
  expect(missing).toBe(0)
})
