// Read-ahead as a table: reads, and what each of them makes it ask for and give up.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Advice, createReadAhead, newCounters, ReadAheadRoom } from '../../src/data/read-ahead.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A read: where, how long, whether it waits. */
type Read = [offset: number, lengthBytes: number, waits?: 'waits']
/** [from, to) to fetch, and what to give up. */
type Expected = { fetch?: [number, number]; giveUp?: [number, number][] }

const CASES: { name: string; maxReadAheadBytes?: number; reads: [Read, Expected][] }[] = [
  {
    name: 'two reads in order begin with 8 MiB; while nobody waits that is kept up, half of it at a time',
    reads: [
      [[0, 128 * KIB], {}],
      [[128 * KIB, 128 * KIB], { fetch: [256 * KIB, 8 * MIB + 256 * KIB] }],
      [[256 * KIB, 128 * KIB], {}],
      [[384 * KIB, 3968 * KIB], {}],
      [[4352 * KIB, 128 * KIB], { fetch: [8 * MIB + 256 * KIB, 12 * MIB + 384 * KIB] }],
    ],
  },
  {
    name: 'whoever stops after his first megabytes has cost no more than the first window, however often he waited',
    reads: [
      [[0, MIB, 'waits'], {}],
      [[MIB, MIB, 'waits'], { fetch: [2 * MIB, 10 * MIB] }],
      [[2 * MIB, MIB, 'waits'], {}],
      [[3 * MIB, 128 * KIB, 'waits'], {}],
    ],
  },
  {
    name: 'each read that waits makes the window four times as large, up to twice what was read',
    reads: [
      [[0, 4 * MIB, 'waits'], {}],
      [[4 * MIB, 4 * MIB, 'waits'], { fetch: [8 * MIB, 16 * MIB] }],
      [[8 * MIB, 4 * MIB, 'waits'], { fetch: [16 * MIB, 36 * MIB] }],
      [[12 * MIB, 4 * MIB], { fetch: [36 * MIB, 48 * MIB] }],
      [[16 * MIB, 4 * MIB], {}],
      [[20 * MIB, 4 * MIB + 1], { fetch: [48 * MIB, 56 * MIB + 1] }],
      [[24 * MIB + 1, 8 * MIB - 1, 'waits'], { fetch: [56 * MIB + 1, 96 * MIB] }],
    ],
  },
  {
    name: 'a large window is filled up whenever a segment of it is free',
    reads: [
      [[0, 32 * MIB, 'waits'], {}],
      [[32 * MIB, 32 * MIB, 'waits'], { fetch: [64 * MIB, 72 * MIB] }],
      [[64 * MIB, MIB, 'waits'], { fetch: [72 * MIB, 97 * MIB] }],
      [[65 * MIB, MIB, 'waits'], { fetch: [97 * MIB, 130 * MIB] }],
      [[66 * MIB, 7 * MIB], {}],
      [[73 * MIB, 2 * MIB], { fetch: [130 * MIB, 139 * MIB] }],
    ],
  },
  {
    name: 'one that waits behind what was read says nothing new',
    reads: [
      [[0, 16 * MIB], {}],
      [[16 * MIB, MIB], { fetch: [17 * MIB, 25 * MIB] }],
      [[16 * MIB, 128 * KIB, 'waits'], {}],
      [[17 * MIB, 4 * MIB + 1], { fetch: [25 * MIB, 29 * MIB + 1] }],
    ],
  },
  {
    name: 'two that swapped places are in order',
    reads: [
      [[128 * KIB, 128 * KIB], {}],
      [[0, 128 * KIB], { fetch: [256 * KIB, 8 * MIB + 256 * KIB] }],
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
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 8 * MIB + 128 * KIB] }],
      [[0, 64 * KIB], {}],
      [[5 * MIB, 64 * KIB], { fetch: [8 * MIB + 128 * KIB, 13 * MIB + 64 * KIB] }],
      [[100 * MIB, 64 * KIB], {}],
      [[5 * MIB + 64 * KIB, 4 * MIB + 1], { fetch: [13 * MIB + 64 * KIB, 17 * MIB + 64 * KIB + 1] }],
    ],
  },
  {
    name: 'several runs in one file are told apart',
    reads: [
      [[0, 64 * KIB], {}],
      [[500 * MIB, 64 * KIB], {}],
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 8 * MIB + 128 * KIB] }],
      [[500 * MIB + 64 * KIB, 64 * KIB], { fetch: [500 * MIB + 128 * KIB, 508 * MIB + 128 * KIB] }],
      [[128 * KIB, 8 * MIB, 'waits'], { fetch: [8 * MIB + 128 * KIB, 24 * MIB + 384 * KIB] }],
      [[500 * MIB + 128 * KIB, 64 * KIB], {}],
    ],
  },
  {
    name: 'the ninth run takes the place of the one that was read longest ago, and what that wanted is given up',
    reads: [
      [[0, 64 * KIB], {}],
      [[64 * KIB, 64 * KIB], { fetch: [128 * KIB, 8 * MIB + 128 * KIB] }],
      ...[1, 2, 3, 4, 5, 6, 7].map((n): [Read, Expected] => [[n * 100 * MIB, 4 * KIB], {}]),
      [[800 * MIB, 4 * KIB], { giveUp: [[128 * KIB, 8 * MIB + 128 * KIB]] }],
    ],
  },
  {
    name: 'leaving out more than the kernel itself does halves the window, and what was read before says nothing',
    reads: [
      [[0, 8 * MIB], {}],
      [[8 * MIB, 8 * MIB], { fetch: [16 * MIB, 24 * MIB] }],
      [[16 * MIB, MIB, 'waits'], { fetch: [24 * MIB, 49 * MIB] }],
      // 13 MiB left out: the window is 16 MiB, and 8 MiB until as much was read again.
      [[30 * MIB, 12 * MIB], { fetch: [49 * MIB, 58 * MIB] }],
      [[42 * MIB, 8 * MIB + 1], { fetch: [58 * MIB, 66 * MIB + 1] }],
    ],
  },
  {
    name: 'no window is larger than was allowed',
    maxReadAheadBytes: 3 * MIB,
    reads: [
      [[0, MIB, 'waits'], {}],
      [[MIB, MIB, 'waits'], { fetch: [2 * MIB, 5 * MIB] }],
      [[2 * MIB, MIB, 'waits'], {}],
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
          expect(fetch.to).toBeLessThanOrEqual(at + Math.min(most, Math.max(8 * MIB, 2 * at)))
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
  expect(told(readAhead.onRead(64 * KIB, 64 * KIB, false))).toEqual({ fetch: [128 * KIB, 8 * MIB + 128 * KIB] })
  readAhead.refused(1, 192 * KIB)
  expect(counters.askedBytes).toBe(64 * KIB)
  expect(told(readAhead.onRead(128 * KIB, 64 * KIB, false))).toEqual({ fetch: [192 * KIB, 8 * MIB + 192 * KIB] })
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
  expect(told(readAhead.onRead(128 * KIB, 64 * KIB, false))).toEqual({ fetch: [192 * KIB, 8 * MIB + 192 * KIB] })
  expect([readAhead.isOn(1), readAhead.isOn(2), readAhead.isOn(3)]).toEqual([true, true, false])
})

/** Readers of one room, each of whom reads so much and waits for all of it; how far was asked ahead of each at
 *  most, once all had begun. */
function readTogether(room: ReadAheadRoom, count: number, readBytes: number) {
  const readers = Array.from({ length: count }, () => ({
    readAhead: createReadAhead({ maxReadAheadBytes: 64 * MIB, room }),
    aheadBytes: 0,
  }))
  for (let at = 0; at < readBytes; at += MIB) {
    for (const reader of readers) {
      const { fetch } = reader.readAhead.onRead(at, MIB, true)
      if (fetch !== null && at >= readBytes / 2) reader.aheadBytes = Math.max(reader.aheadBytes, fetch.to - at - MIB)
    }
  }
  return readers
}

const most = (readers: { aheadBytes: number }[]) => Math.max(...readers.map(({ aheadBytes }) => aheadBytes))

test('those who read at the same time share the room, less what each of them reads just now', () => {
  expect(most(readTogether(new ReadAheadRoom(() => 96 * MIB), 1, 64 * MIB))).toBe(64 * MIB)
  expect(most(readTogether(new ReadAheadRoom(() => 96 * MIB), 3, 64 * MIB))).toBe(24 * MIB)
  expect(most(readTogether(new ReadAheadRoom(() => 96 * MIB), 24, 64 * MIB))).toBe(MIB)
  expect(most(readTogether(new ReadAheadRoom(() => 100 * MIB), 7, 64 * MIB))).toBe(
    Math.floor((100 * MIB) / 7) - 8 * MIB,
  )
})

test('when what there is room for changes, so does what is fetched ahead', () => {
  let roomBytes = 24 * MIB
  const room = new ReadAheadRoom(() => roomBytes)
  const [reader] = readTogether(room, 1, 64 * MIB)
  expect(reader!.aheadBytes).toBe(16 * MIB)
  roomBytes = 48 * MIB
  const { fetch } = reader!.readAhead.onRead(64 * MIB, MIB, true)
  expect(fetch!.to).toBe(105 * MIB)
})

test('those who have ended, or were not among the last 512 reads, take no room from others', () => {
  const room = new ReadAheadRoom(() => 72 * MIB)
  const left = readTogether(room, 8, 16 * MIB)
  expect(most(readTogether(room, 1, 64 * MIB))).toBe(MIB)
  expect(most(readTogether(room, 1, 600 * MIB))).toBe(64 * MIB)
  for (const { readAhead } of left) readAhead.onRead(16 * MIB, MIB, true)
  for (const { readAhead } of left) readAhead.end()
  expect(most(readTogether(room, 1, 64 * MIB))).toBe(28 * MIB)
})
