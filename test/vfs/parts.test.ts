// What a round brings, cut into parts of a segment and into turns: nothing is lost, doubled or out of order.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FrozenGeneration } from '../../src/data/index.ts'
import { BLOCK_BYTES, CONTENTS_ENTRY_BYTES, storedBytesOf } from '../../src/segments/index.ts'
import { partsOf, type Share, turnsOf } from '../../src/vfs/parts.ts'

const MAX_PIECE_BYTES = 8 * BLOCK_BYTES
const CAPACITY_BYTES = storedBytesOf(MAX_PIECE_BYTES) + CONTENTS_ENTRY_BYTES

interface Generation {
  name: number
  places: number
  frozen: FrozenGeneration
}

const lengths = fc.array(fc.oneof(fc.constant(4096), fc.integer({ min: 1, max: MAX_PIECE_BYTES })), { maxLength: 30 })
const generations = fc
  .array(fc.record({ lengths, places: fc.nat(20) }), { maxLength: 8 })
  .map((all) => all.map(({ lengths, places }, name): Generation => ({ name, places, frozen: frozenOf(lengths) })))

function frozenOf(lengths: readonly number[]): FrozenGeneration {
  let end = 0
  const runs = lengths.map((lengthBytes) => {
    const fileOffset = end + 1
    end = fileOffset + lengthBytes
    return { fileOffset, lengthBytes, parts: [] }
  })
  return { runs } as unknown as FrozenGeneration
}

/** The shares put together again, with where each generation is said to end. */
function joined(shares: readonly Share<Generation>[]): { name: number; runs: FrozenGeneration['runs'] }[] {
  const all: { name: number; runs: FrozenGeneration['runs'][number][] }[] = []
  let isOpen = false
  for (const { generation, runs, end } of shares) {
    if (!isOpen) all.push({ name: generation.name, runs: [] })
    const last = all.at(-1)!
    expect(last.name).toBe(generation.name)
    last.runs.push(...runs)
    isOpen = end !== null
    const lastRun = runs.at(-1)
    if (end !== null) expect(end).toBe(lastRun!.fileOffset + lastRun!.lengthBytes)
  }
  expect(isOpen).toBe(false)
  return all
}

const wholeOf = (all: readonly Generation[]) => all.map(({ name, frozen }) => ({ name, runs: frozen.runs }))

test('parts hold every run once, in order, and each fits a segment', () => {
  fc.assert(
    fc.property(generations, (all) => {
      const parts = [...partsOf(all, MAX_PIECE_BYTES)]
      expect(joined(parts.flat())).toEqual(wholeOf(all))
      for (const part of parts) {
        const runs = part.flatMap((share) => share.runs)
        const bytes = runs.reduce((sum, run) => sum + storedBytesOf(run.lengthBytes) + CONTENTS_ENTRY_BYTES, 0)
        expect(bytes).toBeLessThanOrEqual(CAPACITY_BYTES)
      }
    }),
  )
})

test('turns hold every run once, in order, and none more than it may', () => {
  const most = { generations: 3, places: 10, placesIn: ({ places }: Generation) => places }
  fc.assert(
    fc.property(generations, (all) => {
      const turns = [...partsOf(all, MAX_PIECE_BYTES)].map((part) => [...turnsOf(part, most)])
      expect(joined(turns.flat(2))).toEqual(wholeOf(all))
      for (const turn of turns.flat()) {
        expect(turn.length).toBeLessThanOrEqual(most.generations)
        const places = turn.map(({ generation, runs, end }) => runs.length + (end === null ? generation.places : 0))
        const sum = places.reduce((total, each) => total + each, 0)
        if (turn.length > 1) expect(sum).toBeLessThanOrEqual(most.places)
        expect(turn[0]!.runs.length).toBeLessThanOrEqual(most.places)
      }
    }),
  )
})
