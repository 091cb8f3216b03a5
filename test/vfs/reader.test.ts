// Readers: what they begin to fetch, and give up, with extents that may have to be loaded first.
import { expect, test } from 'vitest'
import type { Extent } from '../../src/data/index.ts'
import { FsError } from '../../src/platform/index.ts'
import type { DataRange, SegmentId } from '../../src/segments/index.ts'
import { Reader, type Reading } from '../../src/vfs/reader.ts'

const MIB = 1 << 20
const FILE_BYTES = 40 * MIB

/** A file of 8 MiB pieces, each in a segment of its own, but for a hole in the third. */
const extents: Extent[] = [0, 1, 3, 4].map((piece) => ({
  fileOffset: piece * 8 * MIB,
  range: {
    ...{ segment: (piece + 1) as SegmentId, offset: 64, pieceBytes: 8 * MIB },
    ...{ skipBytes: 0, lengthBytes: 8 * MIB },
  },
}))

/** What was begun: segment and bytes; and whether it was given up. */
interface Begun {
  segment: number
  lengthBytes: number
  isGivenUp: boolean
}

function makeReader(options: { begunMax?: number; loads?: boolean } = {}) {
  const begun: Begun[] = []
  const reader = new Reader({ maxReadAheadBytes: 64 * MIB })
  const found = (from: number, to: number) =>
    extents.filter(({ fileOffset, range }) => fileOffset < to && fileOffset + range.lengthBytes > from)
  const read = (offset: number, lengthBytes: number, waits = false) => {
    const reading: Reading = {
      ...{ offset, end: Math.min(FILE_BYTES, offset + lengthBytes), waits, fileBytes: FILE_BYTES },
      extents: (from, to) => (options.loads ? Promise.resolve(found(from, to)) : found(from, to)),
      prefetch: ({ segment, lengthBytes: bytes }: DataRange) => {
        if (begun.length === options.begunMax) return null
        const one: Begun = { segment, lengthBytes: bytes, isGivenUp: false }
        begun.push(one)
        return {
          giveUp: () => {
            one.isGivenUp = true
          },
        }
      },
    }
    reader.onRead(reading)
  }
  return { reader, begun, read }
}

test('what lies ahead is begun, cut to the file, without its holes', () => {
  const { begun, read } = makeReader()
  read(0, MIB)
  for (let at = 1; at < 40; at++) read(at * MIB, MIB, true)
  const bytes = new Map<number, number>()
  for (const { segment, lengthBytes } of begun) bytes.set(segment, (bytes.get(segment) ?? 0) + lengthBytes)
  expect([...bytes]).toEqual([
    [1, 6 * MIB],
    [2, 8 * MIB],
    [4, 8 * MIB],
    [5, 8 * MIB],
  ])
})

test('when it closes, what it has not come to is given up, and nothing more is begun', async () => {
  for (const loads of [false, true]) {
    const { reader, begun, read } = makeReader({ loads })
    for (let at = 0; at < 12; at++) {
      read(at * MIB, MIB, true)
      await Promise.resolve()
    }
    const [first] = begun
    expect(begun.length).toBeGreaterThan(2)
    read(12 * MIB, MIB, true)
    reader.close()
    await Promise.resolve()
    expect(first!.isGivenUp).toBe(false)
    expect(begun.at(-1)!.isGivenUp).toBe(true)
  }
})

test('a reader that goes elsewhere for good gives up what it wanted before', () => {
  const { begun, read } = makeReader()
  read(0, MIB)
  read(MIB, MIB)
  expect(begun).toEqual([
    { segment: 1, lengthBytes: 6 * MIB, isGivenUp: false },
    { segment: 2, lengthBytes: 2 * MIB, isGivenUp: false },
  ])
  for (let i = 1; i <= 8; i++) read((39 - (i % 2) * 18) * MIB + i * 4096 * 3, 4096)
  expect(begun.every(({ isGivenUp }) => isGivenUp)).toBe(true)
})

test('several places of one file that are read in order know nothing of each other', async () => {
  for (const loads of [false, true]) {
    const { reader, begun, read } = makeReader({ loads })
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    for (const at of [0, 1]) read(at * MIB, MIB)
    await turn()
    for (let at = 24; at < 31; at++) {
      read(at * MIB, MIB, true)
      await turn()
    }
    const [low, ...high] = begun
    expect([low!.segment, ...new Set(high.map(({ segment }) => segment))]).toEqual([1, 2, 4, 5])
    reader.close()
    expect(low!.isGivenUp).toBe(true)
    expect(high.at(-1)!.isGivenUp).toBe(true)
  }
})

test('what was still being looked for when its place was given up is not begun', async () => {
  const { begun, read } = makeReader({ loads: true })
  read(0, MIB)
  read(MIB, MIB)
  // Eight more places, none of them read on from.
  for (let i = 1; i <= 8; i++) read((39 - (i % 2) * 18) * MIB + i * 4096 * 3, 4096)
  await new Promise((resolve) => setImmediate(resolve))
  expect(begun).toEqual([])
})

test('what is refused is asked for again later', () => {
  const { begun, read } = makeReader({ begunMax: 1 })
  for (let at = 0; at < 10; at++) read(at * MIB, MIB, true)
  expect(begun.length).toBe(1)
  const { begun: all, read: readAll } = makeReader()
  for (let at = 0; at < 10; at++) readAll(at * MIB, MIB, true)
  expect(all[0]).toEqual(begun[0])
})

const fail = () => {
  throw new FsError('EIO', 'damaged')
}

test.each([
  ['cannot be loaded', { extents: () => Promise.reject(new Error('no page')) }],
  ['are damaged', { extents: fail }],
  ['lie where nothing can', { extents: () => extents, prefetch: fail }],
  ['prove to lie where nothing can', { extents: () => Promise.resolve(extents), prefetch: fail }],
])('extents that %s are left to the read that needs them', async (_, flawed) => {
  const reader = new Reader({ maxReadAheadBytes: MIB })
  const reading: Reading = {
    ...{ offset: 0, end: MIB, waits: false, fileBytes: FILE_BYTES, prefetch: () => null },
    ...flawed,
  }
  reader.onRead(reading)
  reader.onRead({ ...reading, offset: MIB, end: 2 * MIB })
  await new Promise((resolve) => setImmediate(resolve))
  reader.close()
})
