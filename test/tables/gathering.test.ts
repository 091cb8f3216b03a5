// Leaves of one table are kept in few segments, at little cost.
import { expect, test } from 'vitest'
import { leavesToGather, type StayingLeaf } from '../../src/tables/gathering.ts'
import { growAndList } from './grown.ts'

const MIB = 1 << 20
const leaf = (index: number, segment: number, storedBytes = 30_000): StayingLeaf => ({ index, segment, storedBytes })
const budget = { segmentSizeBytes: 8 * MIB, bytes: 32 * MIB }

test('a table of which few leaves change at each of 80 checkpoints is listed with at most 20 GETs', async () => {
  const grown = await growAndList(80, 5, 100_000)
  expect(grown.entries).toBe(grown.expected)
  expect(grown.gets).toBeLessThanOrEqual(20)
  // Without gathering 38 GETs, and 4.9 times.
  expect(grown.writeAmplification).toBeLessThan(6.5)
})

test('a table written at once is listed with at most 12 GETs, in at most 4 rounds', async () => {
  const fresh = await growAndList(1, 100_000)
  expect(fresh.entries).toBe(fresh.expected)
  expect(fresh.gets).toBeLessThanOrEqual(12)
  expect(fresh.rounds).toBeLessThanOrEqual(4)
})

test('leaves in few segments are left where they are', () => {
  const leaves = Array.from({ length: 200 }, (_, index) => leaf(index, index % 7))
  expect(leavesToGather(leaves, 30_000, budget)).toEqual({ indexes: new Set(), bytes: 0 })
})

test('of leaves in many segments those go that lie in the segments with least of them, until half as many are left', () => {
  const leaves = Array.from({ length: 200 }, (_, index) => leaf(index, index < 180 ? index % 5 : index))
  const { indexes, bytes } = leavesToGather(leaves, 30_000, budget)
  // Five segments have 36 leaves each, twenty have one: with the new one 26, of which eight may be left.
  expect(indexes.size).toBe(18)
  expect(Math.min(...indexes)).toBeGreaterThanOrEqual(180)
  expect(bytes).toBe(18 * 30_000)
})

test('a small table in many segments is written together', () => {
  const leaves = Array.from({ length: 8 }, (_, index) => leaf(index, index))
  expect(leavesToGather(leaves, 30_000, budget).indexes.size).toBe(8)
})

test('no more is gathered than the budget of a checkpoint', () => {
  const leaves = Array.from({ length: 1000 }, (_, index) => leaf(index, index))
  expect(leavesToGather(leaves, 30_000, { ...budget, bytes: MIB }).bytes).toBeLessThanOrEqual(MIB)
})
