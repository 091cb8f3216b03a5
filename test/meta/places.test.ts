// Where inodes are that the kernel knows, against a plain Map; and what a place costs in memory and in a turn.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { IN_ORPHANS, IN_SHARED, Places, REMOVED } from '../../src/meta/index.ts'
import { seededRandom } from '../../src/platform/index.ts'

interface ModelPlace {
  directory: number
  key: number
  references: number
}

/** Few enough that they meet again, and of all sizes: ids carry a slot in their upper bits. */
const someIno = fc.oneof(
  fc.integer({ min: 1, max: 60 }),
  fc.integer({ min: 1, max: 60 }).map((n) => n * 2 ** 43 + 1),
  fc.integer({ min: 0, max: 60 }).map((n) => Number.MAX_SAFE_INTEGER - n),
)
const someDirectory = fc.oneof(
  fc.constantFrom(IN_SHARED, IN_ORPHANS, REMOVED),
  fc.integer({ min: 1, max: 2 ** 53 - 1 }),
)
const someKey = fc.nat(2 ** 53 - 1)
const someCount = fc.integer({ min: 1, max: 3 })
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ what: fc.constant('reference'), ino: someIno, directory: someDirectory, key: someKey }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('forget'), ino: someIno, count: someCount }) },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('move'), ino: someIno, directory: someDirectory, key: someKey }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('drop'), ino: someIno }) },
) as fc.Arbitrary<{ what: string; ino: number; directory: number; key: number; count: number }>

function modelForget(model: Map<number, ModelPlace>, ino: number, count: number): boolean {
  const place = model.get(ino)
  if (place === undefined) return true
  place.references -= count
  if (place.references <= 0) model.delete(ino)
  return place.references <= 0
}

function expectSame(places: Places, model: Map<number, ModelPlace>, ino: number): void {
  const place = model.get(ino)
  expect(places.isReferenced(ino)).toBe(place !== undefined)
  expect(places.get(ino)).toEqual(place === undefined ? undefined : { directory: place.directory, key: place.key })
  expect(places.size).toBe(model.size)
}

test('places are what a Map of them would be', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const places = new Places()
      const model = new Map<number, ModelPlace>()
      for (const { what, ino, directory, key, count } of steps) {
        const before = model.get(ino)
        if (what === 'reference') {
          places.reference(ino, directory, key)
          model.set(ino, { directory, key, references: (before?.references ?? 0) + 1 })
        } else if (what === 'move') {
          places.move(ino, directory, key)
          if (before !== undefined) Object.assign(before, { directory, key })
        } else if (what === 'drop') {
          places.drop(ino)
          model.delete(ino)
        } else {
          expect(places.forget(ino, count)).toBe(modelForget(model, ino, count))
        }
        expectSame(places, model, ino)
      }
      expect(places.counts()).toEqual(new Map([...model].map(([ino, { references }]) => [ino, references])))
      for (const ino of model.keys()) expectSame(places, model, ino)
    }),
  )
})

test('thousands come and go in any order, and each is found as long as it is there', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(2 ** 53 - 100_000), (seed, first) => {
      const random = seededRandom(seed)
      const places = new Places()
      const model = new Map<number, ModelPlace>()
      const all: number[] = []
      for (const population of [30_000, 2_000, 20_000, 0]) {
        while (model.size !== population) {
          if (model.size < population) {
            const ino = first + all.length + 1
            const references = 1 + Math.floor(random.next() * 3)
            all.push(ino)
            for (let count = 0; count < references; count++) places.reference(ino, 5, ino)
            model.set(ino, { directory: 5, key: ino, references })
          } else {
            const ino = all[Math.floor(random.next() * all.length)]!
            if (places.forget(ino, 1) !== modelForget(model, ino, 1)) expect.fail(`forget of ${ino}`)
          }
        }
        for (const ino of all) if (places.isReferenced(ino) !== model.has(ino)) expectSame(places, model, ino)
        for (const [ino, { key }] of model) if (places.get(ino)?.key !== key) expectSame(places, model, ino)
        expect(places.counts()).toEqual(new Map([...model].map(([ino, { references }]) => [ino, references])))
      }
    }),
    { numRuns: 3 },
  )
})

test('a million places take at most 45 bytes each, no turn moves many of them, and all is given back', () => {
  const million = 1_000_000
  const places = new Places()
  const before = bytesInUse()
  // A reply to READDIRPLUS holds some thousand entries; a request with forgets may hold 65,000.
  const perTurn = 8_000
  const worst = { one: 0, turn: 0 }
  const inTurns = (step: (ino: number) => unknown) => {
    for (let first = 0; first < million; first += perTurn) {
      const turnBegan = places.moved
      for (let ino = first + 2; ino < Math.min(first + perTurn, million) + 2; ino++) {
        const began = places.moved
        step(ino)
        worst.one = Math.max(worst.one, places.moved - began)
      }
      worst.turn = Math.max(worst.turn, places.moved - turnBegan)
    }
  }
  inTurns((ino) => places.reference(ino, 1, ino * 256))
  const perPlace = (bytesInUse() - before) / million
  expect(perPlace).toBeGreaterThan(28)
  expect(perPlace).toBeLessThan(45)
  inTurns((ino) => ino % 100 === 0 || places.forget(ino, 1))
  expect(bytesInUse() - before).toBeLessThan(million * 3)
  inTurns((ino) => ino % 100 !== 0 || places.forget(ino, 1))
  expect(worst.one).toBeLessThan(1_000)
  expect(worst.turn).toBeLessThan(7 * perTurn)
  expect(places.moved).toBeLessThan(7 * million)
  expect(bytesInUse() - before).toBeLessThan(million)
})

function bytesInUse(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
