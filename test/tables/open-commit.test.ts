// The commit that is open is, once closed, what a plain map of its records says.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { atOnce } from '../../src/platform/index.ts'
import { decodeCommit, encodeCommit, journalKey } from '../../src/tables/commit-format.ts'
import { type EncodedRecords, OpenCommit } from '../../src/tables/open-commit.ts'

const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const identity = { slot: 0, epoch: 3, seq: 17, session: Buffer.alloc(16, 7) }

type Model = Map<string, { cleared: boolean; records: Map<number, { record: string | null; version: number }> }>

function decoded(records: EncodedRecords): Model {
  const parts = encodeCommit(uuid, identity, records)
  const { tables } = decodeCommit(Buffer.concat(parts), journalKey(0, 3, 17), uuid)
  return new Map(
    tables.map(({ kind, owner, cleared, records }) => [
      `${kind}/${owner}`,
      {
        cleared,
        records: new Map(
          [...records].map(([key, { record, version }]) => [key, { record: record?.toString('hex') ?? null, version }]),
        ),
      },
    ]),
  )
}

const operation = fc.record({
  table: fc.constantFrom([1, 5] as const, [1, 6] as const, [20, 0] as const),
  key: fc.oneof(fc.nat(20), fc.nat(Number.MAX_SAFE_INTEGER)),
  lengthBytes: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(null, 16, 140, 141) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 16_384 }) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
  ),
})

test('a commit holds the last record of each key, and what was cleared nothing from before', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(operation, { maxLength: 400, size: 'max' }), { minLength: 1, maxLength: 3 }),
      (commits) => {
        const open = new OpenCommit()
        for (const operations of commits) {
          const model: Model = new Map()
          for (const [
            version,
            {
              table: [kind, owner],
              key,
              lengthBytes,
            },
          ] of operations.entries()) {
            const name = `${kind}/${owner}`
            const table = model.get(name) ?? { cleared: false, records: new Map() }
            model.set(name, table)
            if (lengthBytes === 'clear') {
              open.clear(kind, owner)
              model.set(name, { cleared: true, records: new Map() })
            } else {
              const record = lengthBytes === null ? null : Buffer.alloc(lengthBytes, version)
              open.put(kind, owner, key, record, version)
              table.records.set(key, { record: record?.toString('hex') ?? null, version })
            }
          }
          expect(open.isEmpty).toBe(operations.length === 0)
          const { bytes } = open
          const closed = atOnce(open.close().encode())
          expect(closed.lengthBytes).toBe(bytes)
          expect(closed.parts.reduce((sum, part) => sum + part.length, 0)).toBe(bytes)
          expect(decoded(closed)).toEqual(model)
          expect([open.isEmpty, open.bytes]).toEqual([true, 0])
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('a commit of many records is closed without a look at each: it takes few parts, and keeps what it gave out', () => {
  const open = new OpenCommit()
  const record = Buffer.alloc(140, 1)
  for (let key = 0; key < 100_000; key++) {
    open.put(1, 5, key * 7919 * 256, record, key)
    open.put(4, 0, key, record.subarray(0, 16), key)
  }
  // The record of one key again and again, as a directory's own: it stays where it is.
  for (let version = 0; version < 1000; version++) open.put(1, 5, 0, record, version)
  const closed = atOnce(open.close().encode())
  expect(closed.lengthBytes).toBe(2 * 16 + 100_000 * (2 * 16 + 140 + 16))
  expect(closed.parts.length).toBeLessThan(150)
  const before = Buffer.concat(closed.parts)
  for (let key = 0; key < 1000; key++) open.put(1, 5, key * 7919 * 256, Buffer.alloc(140, 9), key)
  expect(Buffer.concat(closed.parts).equals(before)).toBe(true)
})

test('a commit of many tables is few parts', () => {
  const open = new OpenCommit()
  for (let owner = 1; owner <= 20_000; owner++) open.put(1, owner, 0, Buffer.alloc(116, 1), owner)
  const closed = atOnce(open.close().encode())
  expect(closed.parts.length).toBeLessThan(20)
  expect(decoded(closed).size).toBe(20_000)
})

test('a table of one record takes little more than it', () => {
  const open = new OpenCommit()
  const record = Buffer.alloc(32, 1)
  const before = process.memoryUsage().arrayBuffers
  for (let owner = 1; owner <= 20_000; owner++) open.put(1, owner, 0, record, owner)
  expect((process.memoryUsage().arrayBuffers - before) / 20_000).toBeLessThan(400)
  expect(open.heldBytes).toBeGreaterThan(open.bytes + 20_000 * 300)
  open.close()
  expect(open.heldBytes).toBe(0)
})

test('a commit of few records takes little more than they', () => {
  const open = new OpenCommit()
  const before = process.memoryUsage().arrayBuffers
  for (let commits = 0; commits < 100; commits++) {
    for (const kind of [1, 4, 20]) open.put(kind, 5, commits, Buffer.alloc(100, commits), 1)
    atOnce(open.close().encode())
  }
  // What is used again, and 400 bytes twice.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan((1 << 18) + 100 * 2000)
})

test('records that were replaced by others of another length take memory until the commit is closed', () => {
  const open = new OpenCommit()
  const record = Buffer.alloc(16_001, 1)
  const before = process.memoryUsage().arrayBuffers
  for (let version = 0; version < 2000; version++) {
    open.put(1, 5, 7, record.subarray(version % 2), version)
    open.put(1, 6, version % 3, record.subarray(0, 10 + version), version)
  }
  expect(open.heldBytes).toBeGreaterThan(0.9 * (process.memoryUsage().arrayBuffers - before))
  const { heldBytes } = open
  // A table's go with it.
  open.clear(1, 5)
  expect(open.heldBytes).toBeLessThan(heldBytes - 2000 * 16_000)
  open.close()
  expect(open.heldBytes).toBe(0)
})

test('what changes while a commit is being closed is in the next: the commit says what was when it was closed', () => {
  const open = new OpenCommit()
  const TABLES = 10_000
  for (let owner = 1; owner <= TABLES; owner++) {
    open.put(1, owner, 0, Buffer.from('first'), owner)
    open.put(1, owner, 0, Buffer.from('before'), owner)
  }
  const closing = open.close().encode()
  let turns = 1
  let step = closing.next()
  for (; !step.done; step = closing.next(), turns++) {
    expect(open.isEmpty).toBe(turns === 1)
    for (const owner of [1, TABLES / 2, TABLES]) {
      open.put(1, owner, 0, Buffer.from('after!'), turns)
      open.put(1, owner, turns, null, turns)
    }
    open.clear(1, 2)
  }
  expect(turns).toBeGreaterThan(4)
  const before = decoded(step.value as EncodedRecords)
  expect(before.size).toBe(TABLES)
  const wanted = Buffer.from('before').toString('hex')
  for (const { cleared, records } of before.values())
    if (cleared || records.size !== 1 || records.get(0)?.record !== wanted) expect.fail('a change came into the commit')
  const after = decoded(atOnce(open.close().encode()))
  expect([...after.keys()].sort()).toEqual(['1/1', '1/10000', '1/2', '1/5000'])
  expect(after.get('1/1')?.records.get(0)?.record).toBe(Buffer.from('after!').toString('hex'))
})
