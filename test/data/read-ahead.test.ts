// Read-ahead as a table: reads, and what each of them makes it ask for and give up.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Advice, createReadAhead, newCounters } from '../../src/data/read-ahead.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A read: where, how long, whether it waits. */
type Read = [offset: number, lengthBytes: number, waits?: 'waits']
/** [from, to) to fetch, and what to give up. */
type Expected = { fetch?: [number, number]; giveUp?: [number, number][] }

const CASES: { name: string; maxReadAheadBytes?: number; reads: [Read, Expected][] }[] = [
  {
    name: 'two reads in order begin with 1 MiB; while nobody waits that is kept up',
    reads: [
      [[0, 128 * KIB], {}],
      [[128 * KIB, 128 * KIB], { fetch: [256 * KIB, 1280 * KIB] }],
      [[256 * KIB, 128 * KIB], {}],
      [[384 * KIB, 384 * KIB], {}],
      [[768 * KIB, 64 * KIB], { fetch: [1280 * KIB, 1856 * KIB] }],
    ],
  },
  {
    name: 'each read that waits doubles the window',
    reads: [
      [[0, 128 * KIB, 'waits'], {}],
      [[128 * KIB, 128 * KIB, 'waits'], { fetch: [256 * KIB, 1280 * KIB] }],
      [[256 * KIB, 128 * KIB, 'waits'], { fetch: [1280 * KIB, 2432 * KIB] }],
      [[384 * KIB, 128 * KIB], {}],
      [[512 * KIB, 128 * KIB, 'waits'], { fetch: [2432 * KIB, 4736 * KIB] }],
    ],
  },
  {
    name: 'one that waits behind what was read says nothing new',
    reads: [
      [[0, 128 * KIB], {}],
      [[128 * KIB, 128 * KIB], { fetch: [256 * KIB, 1280 * KIB] }],
      [[0, 128 * KIB, 'waits'], {}],
      [[512 * KIB, 512 * KIB], { fetch: [1280 * KIB, 2 * MIB] }],
    ],
  },
  {
    name: 'two that swapped places are in order',
    reads: [
      [[128 * KIB, 128 * KIB], {}],
      [[0, 128 * KIB], { fetch: [256 * KIB, 1280 * KIB] }],
    ],
  },
  {
    name: 'reads in no order ask for nothing',
    reads: [
      [[0, 4 * KIB, 'waits'], {}],
      [[9 * MIB, 4 * KIB, 'waits'], {}],
      [[2 * MIB, 4 * KIB, 'waits'], {}],
      [[5 * MIB, 4 * KIB, 'waits'], {}],
      [[9 * MIB, 4 * KIB], {}],
    ],
  },
  {
    name: 'a run bears reads a little behind and ahead; one far off is another',
    reads: [
      [[0, 64 * KIB], {}],
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 1152 * KIB] }],
      [[0, 64 * KIB], {}],
      [[3 * MIB, 64 * KIB], { fetch: [3 * MIB + 64 * KIB, 4 * MIB + 64 * KIB] }],
      [[100 * MIB, 64 * KIB], {}],
      [[3 * MIB + 64 * KIB, 576 * KIB], { fetch: [4 * MIB + 64 * KIB, 4 * MIB + 640 * KIB] }],
    ],
  },
  {
    name: 'several runs in one file are told apart',
    reads: [
      [[0, 64 * KIB], {}],
      [[500 * MIB, 64 * KIB], {}],
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 1152 * KIB] }],
      [[500 * MIB + 64 * KIB, 64 * KIB], { fetch: [500 * MIB + 128 * KIB, 501 * MIB + 128 * KIB] }],
      [[128 * KIB, MIB, 'waits'], { fetch: [1152 * KIB, 1152 * KIB + 2 * MIB] }],
      [[500 * MIB + 128 * KIB, 64 * KIB], {}],
    ],
  },
  {
    name: 'the ninth run takes the place of the one that was read longest ago, and what that wanted is given up',
    reads: [
      [[0, 64 * KIB], {}],
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 1152 * KIB] }],
      ...[1, 2, 3, 4, 5, 6, 7].map((n): [Read, Expected] => [[n * 100 * MIB, 4 * KIB], {}]),
      [[800 * MIB, 4 * KIB], { giveUp: [[128 * KIB, 1152 * KIB]] }],
    ],
  },
  {
    name: 'leaving out more than the kernel itself does halves the window',
    reads: [
      [[0, MIB], {}],
      [[MIB, MIB], { fetch: [2 * MIB, 3 * MIB] }],
      [[2 * MIB, MIB, 'waits'], { fetch: [3 * MIB, 5 * MIB] }],
      [[3 * MIB, MIB, 'waits'], { fetch: [5 * MIB, 8 * MIB] }],
      // 5 MiB left out: the window is 2 MiB again.
      [[9 * MIB, MIB], { fetch: [10 * MIB, 12 * MIB] }],
    ],
  },
  {
    name: 'no window is larger than was allowed',
    maxReadAheadBytes: 3 * MIB,
    reads: [
      [[0, MIB, 'waits'], {}],
      [[MIB, MIB, 'waits'], { fetch: [2 * MIB, 3 * MIB] }],
      [[2 * MIB, MIB, 'waits'], { fetch: [3 * MIB, 5 * MIB] }],
      [[3 * MIB, MIB, 'waits'], { fetch: [5 * MIB, 7 * MIB] }],
    ],
  },
  {
    name: '0 turns it off',
    maxReadAheadBytes: 0,
    reads: [0, 1, 2, 3, 4].map((n): [Read, Expected] => [[n * MIB, MIB, 'waits'], {}]),
  },
]

function told({ fetch, giveUp }: Advice): Expected {
  return {
    ...(fetch === null ? {} : { fetch: [fetch.from, fetch.to] as [number, number] }),
    ...(giveUp.length === 0 ? {} : { giveUp: giveUp.map(({ from, to }) => [from, to] as [number, number]) }),
  }
}

describe.each(CASES)('$name', ({ reads, maxReadAheadBytes = 64 * MIB }) => {
  test('', () => {
    const readAhead = createReadAhead({ maxReadAheadBytes })
    const seen = reads.map(([[offset, lengthBytes, waits]]) =>
      told(readAhead.onRead(offset, lengthBytes, waits === 'waits')),
    )
    expect(seen).toEqual(reads.map(([, expected]) => expected))
  })
})

test('whatever waits, one who reads in order overtakes nothing that was asked for, nothing is asked for twice, and never more than the window', () => {
  const read = fc.record({ length: fc.constantFrom(4 * KIB, 128 * KIB, MIB), waits: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(read, { minLength: 3, maxLength: 200 }),
      fc.constantFrom(MIB, 3 * MIB, 64 * MIB),
      (reads, most) => {
        const counters = newCounters()
        const readAhead = createReadAhead({ maxReadAheadBytes: most, counters })
        let at = 0
        let askedTo: number | null = null
        let askedBytes = 0
        for (const { length, waits } of reads) {
          const { fetch, giveUp } = readAhead.onRead(at, length, waits)
          at += length
          expect(giveUp).toEqual([])
          if (fetch === null) continue
          expect(fetch.from).toBe(Math.max(askedTo ?? at, at))
          expect(fetch.to).toBeLessThanOrEqual(at + most)
          askedTo = fetch.to
          askedBytes += fetch.to - fetch.from
        }
        expect(askedTo).toBeGreaterThanOrEqual(at)
        expect(readAhead.end()).toEqual(askedTo! > at ? [{ run: 1, from: at, to: askedTo }] : [])
        expect(counters).toEqual({
          hits: reads.slice(2).filter(({ waits }) => !waits).length,
          waits: reads.slice(2).filter(({ waits }) => waits).length,
          askedBytes,
          wastedBytes: Math.max(0, askedTo! - at),
        })
      },
    ),
  )
})

test('what could not be begun is asked for again', () => {
  const counters = newCounters()
  const readAhead = createReadAhead({ maxReadAheadBytes: 64 * MIB, counters })
  readAhead.onRead(0, 64 * KIB, false)
  expect(told(readAhead.onRead(64 * KIB, 64 * KIB, false))).toEqual({ fetch: [128 * KIB, 1152 * KIB] })
  readAhead.refused(1, 192 * KIB)
  expect(counters.askedBytes).toBe(64 * KIB)
  expect(told(readAhead.onRead(128 * KIB, 64 * KIB, false))).toEqual({ fetch: [192 * KIB, 1216 * KIB] })
  readAhead.refused(1, 0)
  expect(readAhead.end()).toEqual([])
})

test('what one run could not begin is not asked for again by another, which was read since', () => {
  const readAhead = createReadAhead({ maxReadAheadBytes: 64 * MIB })
  for (const offset of [0, 100 * MIB]) {
    readAhead.onRead(offset, 64 * KIB, false)
    readAhead.onRead(offset + 64 * KIB, 64 * KIB, false)
  }
  readAhead.refused(1, 128 * KIB)
  expect(readAhead.onRead(100 * MIB + 128 * KIB, 64 * KIB, false).fetch).toBeNull()
  expect(told(readAhead.onRead(128 * KIB, 64 * KIB, false))).toEqual({ fetch: [192 * KIB, 1216 * KIB] })
  expect([readAhead.isOn(1), readAhead.isOn(2), readAhead.isOn(3)]).toEqual([true, true, false])
})
