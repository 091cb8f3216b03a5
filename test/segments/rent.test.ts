// Rent or buy: small GETs are made until they have cost as much as fetching all would.
import { describe, expect, test } from 'vitest'
import type { SegmentId } from '../../src/segments/index.ts'
import { RentOrBuy } from '../../src/segments/rent.ts'

const MIB = 1 << 20
const SEGMENT_BYTES = 8 * MIB
const BLOCK_BYTES = 32 * 1024
const id = (number: number) => number as SegmentId

interface Net {
  latencyMs: number
  mibPerSec: number
}

/** Rent or buy that has seen such a store. */
function learnt({ latencyMs, mibPerSec }: Net): RentOrBuy {
  const rent = new RentOrBuy()
  for (let at = 0; at < 100; at++) {
    rent.begin(BLOCK_BYTES, at * 1e6)(BLOCK_BYTES, at * 1e6 + latencyMs)
    rent.begin(SEGMENT_BYTES, at * 1e6)(SEGMENT_BYTES, at * 1e6 + latencyMs + (1000 * 8) / mibPerSec)
  }
  return rent
}

/** How many GETs of a block are made in a segment before it is bought. */
function rentsOf(rent: RentOrBuy, segment: SegmentId, { latencyMs }: Pick<Net, 'latencyMs'>): number {
  let rents = 0
  while (!rent.isPaid(segment, SEGMENT_BYTES)) {
    rent.pay(segment, rent.begin(BLOCK_BYTES, 0)(BLOCK_BYTES, latencyMs))
    rents += 1
  }
  return rents
}
const NEAR = { latencyMs: 20, mibPerSec: 110 }

describe('a segment is bought', () => {
  test.each<[string, Net, number]>([
    ['in the same region', { latencyMs: 20, mibPerSec: 110 }, 5],
    ['on the same machine', { latencyMs: 2, mibPerSec: 800 }, 6],
    ['far away', { latencyMs: 150, mibPerSec: 50 }, 3],
    ['far away, over a wide line', { latencyMs: 150, mibPerSec: 1000 }, 2],
    ['over a narrow line', { latencyMs: 30, mibPerSec: 5 }, 55],
  ])('%s: %o', (_where, net, rents) => {
    expect(rentsOf(learnt(net), id(1), net)).toBe(rents)
  })

  test('never for one GET, and before anything is known after a few', () => {
    const rent = new RentOrBuy()
    expect(rent.isPaid(id(1), SEGMENT_BYTES)).toBe(false)
    expect(rentsOf(rent, id(1), NEAR)).toBe(5)
    const distant = { latencyMs: 1000, mibPerSec: 100_000 }
    expect(rentsOf(learnt(distant), id(1), distant)).toBe(2)
  })

  test('sooner where little is missing', () => {
    const rent = learnt(NEAR)
    for (let i = 0; i < 2; i++) rent.pay(id(2), rent.begin(BLOCK_BYTES, 0)(BLOCK_BYTES, 20))
    expect(rent.isPaid(id(2), SEGMENT_BYTES)).toBe(false)
    expect(rent.isPaid(id(2), MIB / 8)).toBe(true)
  })

  test('late or never where small GETs cost nothing, as on a disk, and not by one that was held up', () => {
    const rent = learnt(NEAR)
    for (let i = 0; i < 100; i++) rent.pay(id(1), 0.2)
    expect(rent.isPaid(id(1), SEGMENT_BYTES)).toBe(false)
    rent.pay(id(2), rent.begin(BLOCK_BYTES, 0)(BLOCK_BYTES, 60_000))
    expect(rent.isPaid(id(2), SEGMENT_BYTES)).toBe(false)
    rent.pay(id(3), 60_000)
    expect(rent.isPaid(id(3), SEGMENT_BYTES)).toBe(false)
  })
})

test('what was paid for one segment buys no other, and none twice', () => {
  const rent = learnt(NEAR)
  const rents = rentsOf(rent, id(1), NEAR)
  expect(rent.isPaid(id(2), SEGMENT_BYTES)).toBe(false)
  rent.bought(id(1))
  expect(rent.isPaid(id(1), SEGMENT_BYTES)).toBe(false)
  expect(rentsOf(rent, id(1), NEAR)).toBe(rents)
})

test('the store is taken for as fast as it is with several large GETs at once', () => {
  const [one, eight] = [new RentOrBuy(), new RentOrBuy()]
  for (const rent of [one, eight]) rent.begin(BLOCK_BYTES, 0)(BLOCK_BYTES, 20)
  for (let at = 0; at < 100; at++) {
    one.begin(SEGMENT_BYTES, at * 1e6)(SEGMENT_BYTES, at * 1e6 + 80)
    // They share what one has alone after the first byte.
    const ends = Array.from({ length: 8 }, () => eight.begin(SEGMENT_BYTES, at * 1e6))
    for (const [index, end] of ends.entries()) end(SEGMENT_BYTES, at * 1e6 + 20 + 60 * (index + 1))
  }
  expect(eight.priceMs(SEGMENT_BYTES)).toBeCloseTo(one.priceMs(SEGMENT_BYTES), 1)
})

test('what fails, or was idle, tells nothing', () => {
  const rent = learnt(NEAR)
  const before = rent.priceMs(SEGMENT_BYTES)
  for (let at = 0; at < 20; at++) {
    rent.begin(BLOCK_BYTES, 0)(0, 60_000)
    rent.begin(SEGMENT_BYTES, 0)(0, 60_000)
  }
  expect(rent.priceMs(SEGMENT_BYTES)).toBe(before)
})

test('of segments that are rented for ever, those last paid for are remembered', () => {
  const rent = new RentOrBuy()
  for (let segment = 1; segment <= 20_000; segment++) for (let i = 0; i < 2; i++) rent.pay(id(segment), 1000)
  expect(rent.isPaid(id(1), SEGMENT_BYTES)).toBe(false)
  expect(rent.isPaid(id(20_000), SEGMENT_BYTES)).toBe(true)
})
