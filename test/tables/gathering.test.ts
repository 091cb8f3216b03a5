// Leaves of one table are kept in few segments, at little cost.
import { expect, test } from 'vitest'
import { leavesToGather, type StayingLeaf } from '../../src/tables/gathering.ts'
import { growAndList } from './grown.ts'

const MIB = 1 << 20
const leaf = (index: number, segment: number, storedBytes = 30_000): StayingLeaf => ({ index, segment, storedBytes })
const budget = { segmentSizeBytes: 8 * MIB, bytes: 32 * MIB }

test('a table that grew over 300 checkpoints is listed with at most 40 GETs', async () => {
  const grown = await growAndList(300, 100)
  expect(grown.entries).toBe(grown.expected)
  expect(grown.gets).toBeLessThanOrEqual(40)
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

test('of leaves in many segments those go that lie in the segments with least of them', () => {
  const leaves = Array.from({ length: 200 }, (_, index) => leaf(index, index < 190 ? index % 5 : index))
  const { indexes, bytes } = leavesToGather(leaves, 30_000, budget)
  // Five segments have 38 leaves each, ten have one: 15 and the new one are eight too many.
  expect(indexes.size).toBe(8)
  expect(Math.min(...indexes)).toBeGreaterThanOrEqual(190)
  expect(bytes).toBe(8 * 30_000)
})

test('a small table lies in few segments, not in eight', () => {
  const leaves = Array.from({ length: 8 }, (_, index) => leaf(index, index))
  expect(leavesToGather(leaves, 30_000, budget).indexes.size).toBe(7)
})

test('no more is gathered than the budget of a checkpoint', () => {
  const leaves = Array.from({ length: 1000 }, (_, index) => leaf(index, index))
  expect(leavesToGather(leaves, 30_000, { ...budget, bytes: MIB }).bytes).toBeLessThanOrEqual(MIB)
})
