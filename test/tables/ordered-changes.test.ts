// OrderedChanges behaves as a sorted map: against a model, with random keys.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OrderedChanges } from '../../src/tables/ordered-changes.ts'
import { RecordArena } from '../../src/tables/record-arena.ts'

test('changes behave as a sorted map, whatever the order of insertion', () => {
  const key = fc.oneof(fc.nat(50), fc.nat(2000), fc.nat(Number.MAX_SAFE_INTEGER))
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 1500 }), key, (operations, from) => {
      const changes = new OrderedChanges(new RecordArena())
      const model = new Map<number, Buffer | null>()
      for (const [at, isDeletion] of operations) {
        const record = isDeletion ? null : Buffer.from(`${at}`.repeat(1 + (model.size % 5)))
        expect(changes.set(at, record)).toBe(!model.has(at))
        model.set(at, record)
      }
      const sorted = [...model].filter(([at]) => at >= from).sort((a, b) => a[0] - b[0])
      const seen: [number, Buffer | null][] = []
      changes.scan(from, Number.POSITIVE_INFINITY, (at, record) => {
        seen.push([at, record === null ? null : Buffer.from(record)])
        return true
      })
      expect(seen).toEqual(sorted)
      expect(changes.size).toBe(model.size)
      for (const [at, record] of model) expect(changes.get(at)).toEqual(record)
    }),
    { numRuns: 60 },
  )
})

test('a scan stops where its visitor says and at its bound', () => {
  const changes = new OrderedChanges(new RecordArena())
  for (let key = 0; key < 1000; key++) changes.set(key, Buffer.from([1]))
  let visited = 0
  changes.scan(10, 20, () => ++visited < 5)
  expect(visited).toBe(5)
  visited = 0
  changes.scan(10, 20, () => ++visited > 0)
  expect(visited).toBe(11)
})
