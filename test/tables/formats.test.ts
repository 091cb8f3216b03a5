// The formats of pages, commits and root: what goes in comes out, and damage is noticed.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { atOnce } from '../../src/platform/index.ts'
import type { SegmentId } from '../../src/segments/index.ts'
import { decodeCommit, encodeCommit, encodeSeal, journalKey } from '../../src/tables/commit-format.ts'
import { OpenCommit } from '../../src/tables/open-commit.ts'
import { buildPage, decodeStored, encodeStored } from '../../src/tables/page.ts'
import type { PackedEntries } from '../../src/tables/page-builder.ts'
import { decodeRoot, encodeRoot, type Root } from '../../src/tables/root.ts'

const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const session = Buffer.alloc(16, 7)
const keys = fc
  .uniqueArray(fc.nat(Number.MAX_SAFE_INTEGER), { minLength: 1, maxLength: 300 })
  .map((list) => list.sort((a, b) => a - b))
const recordsOf = (sorted: number[]) => sorted.map((key, index) => Buffer.alloc(1 + ((key + index) % 700), index))
const entriesOf = (sorted: number[]): PackedEntries => {
  let end = 0
  const records = recordsOf(sorted)
  return { keys: sorted, ends: records.map((record) => (end += record.length)), bytes: Buffer.concat(records) }
}

describe('pages', () => {
  test('keep their entries through the stored form', () => {
    fc.assert(
      fc.property(keys, (sorted) => {
        const entries = entriesOf(sorted)
        const records = recordsOf(sorted)
        const table = { kind: 3, owner: 2 ** 52 + 1, level: 0 }
        const page = decodeStored(encodeStored(buildPage(table, entries, sorted.length)), 'here', table)
        expect(page.count).toBe(sorted.length)
        sorted.forEach((key, index) => {
          expect(page.key(index)).toBe(key)
          expect(page.lowerBound(key)).toBe(index)
          expect(page.record(index).equals(records[index]!)).toBe(true)
        })
      }),
      { numRuns: 50 },
    )
  })

  test('of another table, cut short or altered are refused', () => {
    const table = { kind: 3, owner: 9, level: 0 }
    const stored = encodeStored(buildPage(table, entriesOf([1, 5, 9]), 3))
    expect(() => decodeStored(stored, 'seg', { kind: 3, owner: 8 })).toThrow(/seg: page belongs to table 3\/9/)
    expect(() => decodeStored(stored.subarray(0, stored.length - 3), 'seg', table)).toThrow(/seg: /)
    expect(() => decodeStored(Buffer.alloc(4), 'seg', table)).toThrow(/cut short/)
  })
})

describe('commits', () => {
  const identity = { slot: 0, epoch: 3, seq: 17, session }
  const key = journalKey(0, 3, 17)
  const tables = [
    {
      kind: 1,
      owner: 5,
      cleared: true,
      records: new Map([
        [7, { record: Buffer.from('seven'), version: 1 }],
        [2 ** 52, { record: null, version: 2 }],
      ]),
    },
    { kind: 1, owner: 6, cleared: false, records: new Map([[1, { record: null, version: 3 }]]) },
    { kind: 20, owner: 0, cleared: true, records: new Map() },
  ]
  const packed = {
    stored: Buffer.from('data'),
    contents: [{ owner: 5, key: 4096, tableKind: 0, offset: 0, lengthBytes: 4 }],
  }
  const open = new OpenCommit()
  open.clear(1, 5)
  for (const [at, { record, version }] of tables[0]!.records) open.put(1, 5, at, record, version)
  open.put(1, 6, 1, null, 3)
  open.clear(20, 0)
  const object = Buffer.concat(
    encodeCommit(uuid, identity, atOnce(open.close().encode()), { id: 99 as SegmentId, packed }),
  )

  test('keep records and data', () => {
    const commit = decodeCommit(object, key, uuid)
    expect(commit).toMatchObject({ ...identity, isSeal: false, dataId: 99, packed, tables })
    expect(
      decodeCommit(Buffer.concat(encodeCommit(uuid, identity, atOnce(new OpenCommit().close().encode()))), key, uuid)
        .dataId,
    ).toBe(null)
    expect(decodeCommit(Buffer.concat(encodeSeal(uuid, identity)), key, uuid).isSeal).toBe(true)
  })

  test('a flipped byte outside the data is noticed, wherever it is', () => {
    for (let at = 0; at < object.length; at++) {
      if (at >= 80 && at < 84) continue // the data: its blocks carry their own checksums
      const damaged = Buffer.from(object)
      damaged[at]! ^= 0x10
      expect(() => decodeCommit(damaged, key, uuid), `byte ${at}`).toThrow(/^journal/)
    }
  })

  test('of another volume or at another place are refused', () => {
    expect(() => decodeCommit(object, key, Buffer.alloc(16))).toThrow(/another volume/)
    expect(() => decodeCommit(object, journalKey(0, 3, 18), uuid)).toThrow(/wrong place/)
  })
})

test('root keeps what it says, and any flipped byte is noticed', () => {
  const pointer = { segment: 12 as SegmentId, offset: 99, storedBytes: 1234, crc: 0xdeadbeef }
  const root: Root = {
    slot: 0,
    number: 2 ** 40,
    epoch: 4,
    session,
    tenures: [
      { epoch: 3, firstSeq: 9, sealSeq: 12 },
      { epoch: 4, firstSeq: 1, sealSeq: null },
    ],
    idRanges: [{ sort: 1, slot: 0, end: 2 ** 50 }],
    tables: [{ kind: 129, owner: 0, pointer }],
    pageSegments: new Map([[12, { liveBytes: 5, totalBytes: 10 }]]),
  }
  const bytes = encodeRoot(uuid, root)
  expect(decodeRoot(bytes, uuid)).toEqual(root)
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at]! ^= 1
    expect(() => decodeRoot(damaged, uuid), `byte ${at}`).toThrow(/^root: /)
  }
})
