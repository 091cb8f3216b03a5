// The records of inodes and dentries, the keys of names, and recorded extents, against plain expectations.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Extent } from '../../src/data/index.ts'
import {
  DirectoryRecord,
  DOT_KEY,
  decodeInode,
  decodeQuota,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  dropExtents,
  EXTENTS,
  encodeDentry,
  encodeInode,
  encodeQuota,
  encodeSharedDentry,
  extentsOf,
  FIRST_NAME_KEY,
  type Ino,
  type Inode,
  liveBytes,
  Metadata,
  nameKeys,
  newInode,
  ROOT_INO,
  recordStream,
  recordTail,
  UsageChanges,
} from '../../src/meta/index.ts'
import { DIRECTORY } from '../../src/meta/table-kinds.ts'
import type { SegmentId } from '../../src/segments/index.ts'
import { mount } from '../vfs/world.ts'

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u53 = fc.oneof(fc.nat(1000), fc.maxSafeNat())
const time = fc.record({
  sec: fc.oneof(fc.integer({ min: -5, max: 5 }), fc.maxSafeInteger()),
  nsec: fc.nat(999_999_999),
})
const extent = fc
  .record({ segment: u53, offset: u32, skipBytes: fc.nat(32767), lengthBytes: fc.integer({ min: 1, max: 1 << 23 }) })
  .map((range) => ({
    ...range,
    segment: range.segment as SegmentId,
    pieceBytes: range.skipBytes + range.lengthBytes,
  }))
const some = (max: number) => fc.uint8Array({ minLength: 0, maxLength: max }).map((array) => Buffer.from(array))
const inode: fc.Arbitrary<Inode> = fc
  .record({
    ino: u53.map((ino) => ino as Ino),
    generation: u32,
    mode: fc.nat(0xffff),
    uid: u32,
    gid: u32,
    nlink: u32,
    rdev: u32,
    sizeBytes: u53,
    allocatedBytes: u53,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    flags: u32,
    realm: u53,
    extents: fc.option(fc.array(fc.record({ fileOffset: u53, range: extent }), { maxLength: 4 }), { nil: null }),
    target: some(100),
    xattrs: some(100),
    // One without the other is none.
    tableNamesBytes: fc.oneof(fc.constant(0), u32),
    tableValuesBytes: u32,
  })
  .map((one) => (one.tableNamesBytes === 0 ? { ...one, tableValuesBytes: 0 } : one))

test('a quota comes back as it was put, whatever of it there is', () => {
  const limit = fc.option(u53, { nil: null })
  const quota = fc.record({
    isCounting: fc.boolean(),
    isRemoved: fc.boolean(),
    bytesLimit: limit,
    inodesLimit: limit,
    bytesUsed: u53,
    inodesUsed: u53,
    parentRealm: u53,
    directory: u53,
    countedBelow: u53,
  })
  fc.assert(
    fc.property(quota, (value) => {
      expect(decodeQuota(encodeQuota(value), 0)).toEqual(value)
    }),
  )
})

test('an inode record says what the inode was', () => {
  fc.assert(
    fc.property(inode, (one) => {
      expect(decodeInode(encodeInode(one), 0)).toEqual(one)
    }),
  )
})

test('what is as usual takes no room', () => {
  const at = { sec: 1_700_000_000, nsec: 5 }
  const later = { sec: at.sec + 1, nsec: 0 }
  const made = newInode({ ino: 7 as Ino, mode: 0o100644, uid: 1, gid: 2, now: at })
  expect(encodeInode(made)).toHaveLength(32)
  const written = { ...made, mtime: later, ctime: later, sizeBytes: 9, allocatedBytes: 9 }
  expect(encodeInode(written)).toHaveLength(32 + 12 + 8 + 8)
  expect(encodeInode({ ...made, nlink: 2, flags: 1, realm: 1 })).toHaveLength(32 + 4 + 4 + 8)
})

test('what cannot be a record is told from one before it is read', () => {
  fc.assert(
    fc.property(inode, fc.nat(), (one, cut) => {
      const record = encodeInode(one)
      expect(recordTail(record, 0)?.end).toBe(record.length)
      expect(recordTail(record, 0, cut % record.length)).toBeNull()
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const tail = recordTail(Buffer.from(bytes), 0)
      expect(tail === null || (tail.extentsAt >= 32 && tail.end <= bytes.length)).toBe(true)
    }),
  )
  const unknown = encodeInode(newInode({ ino: 7 as Ino, mode: 0o100644, uid: 1, gid: 2, now: { sec: 1, nsec: 0 } }))
  unknown.writeUInt16LE(1 << 12, 10)
  expect(recordTail(Buffer.concat([unknown, Buffer.alloc(200)]), 0)).toBeNull()
})

test('a directory whose names change is the same, with other times and links', () => {
  fc.assert(
    fc.property(inode, time, fc.integer({ min: -1, max: 1 }), (one, now, moreLinks) => {
      const before = { ...one, nlink: 1 + (one.nlink % 1000) }
      const record = Buffer.concat([encodeInode(before), Buffer.from('and what follows')])
      const put: unknown[] = []
      const transaction = { put: (...what: unknown[]) => put.push(what), delete() {}, clear() {} }
      const directory = new DirectoryRecord(before.ino, record)
      expect([directory.mode, directory.gid, directory.realm, directory.flags, directory.isRemoved]).toEqual([
        ...[before.mode, before.gid, before.realm, before.flags, false],
      ])
      directory.touch(transaction, now, moreLinks)
      const after = { ...before, mtime: now, ctime: now, nlink: before.nlink + moreLinks }
      expect(put).toEqual([[DIRECTORY, before.ino, DOT_KEY, encodeInode(after)]])
      expect(decodeInode(record, 0)).toEqual(before)
    }),
  )
})

test('a dentry record says its name, its type and its inode', () => {
  fc.assert(
    fc.property(inode, fc.uint8Array({ minLength: 1, maxLength: 255 }), (one, name) => {
      const record = Buffer.concat([Buffer.from('before'), encodeDentry(name, one)])
      expect(dentryName(record, 6).equals(name)).toBe(true)
      expect([dentryIno(record, 6), dentryType(record, 6), dentryIsShared(record, 6)]).toEqual([
        one.ino,
        one.mode & 0o170000,
        false,
      ])
      expect(decodeInode(record, dentryInodeAt(record, 6))).toEqual(one)
      const shared = encodeSharedDentry(name, one.ino, one.mode)
      expect([dentryIno(shared, 0), dentryType(shared, 0), dentryIsShared(shared, 0)]).toEqual([
        one.ino,
        one.mode & 0o170000,
        true,
      ])
    }),
  )
})

test('names are hashed by SipHash-2-4: the vector of its paper', () => {
  const key = Buffer.from(Array.from({ length: 16 }, (_, at) => at))
  const message = Buffer.from(Array.from({ length: 15 }, (_, at) => at))
  // 0xa129ca6149be45e5: its top 45 bits, then an ordinal of 0.
  expect(nameKeys(key)(message)).toBe(Number(0xa129ca6149be45e5n >> 19n) * 256)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 255 }), (name) => {
      const found = nameKeys(key)(name)
      expect(Number.isSafeInteger(found + 255) && found >= FIRST_NAME_KEY && found % 256 === 0).toBe(true)
    }),
  )
})

test('a name has one key, whatever was asked for before it and in whatever buffer', () => {
  const hashKey = Buffer.alloc(16, 7)
  const keys = nameKeys(hashKey)
  const buffer = Buffer.alloc(300)
  const someName = fc.oneof(fc.constantFrom('a', 'b', 'ab', 'aa', 'a'.repeat(255), 'a'.repeat(256)), fc.string())
  fc.assert(
    fc.property(fc.array(someName, { maxLength: 20 }), (names) => {
      for (const text of names) {
        const length = buffer.write(text, 0, 'latin1')
        expect(keys(buffer.subarray(0, length))).toBe(nameKeys(hashKey)(Buffer.from(text, 'latin1')))
      }
    }),
  )
})

test('names of one hash get the lowest free ordinal each, and are told apart', async () => {
  const { database } = await mount()
  const metadata = new Metadata({ database, nameKeys: () => 512 })
  const put = (text: string, ino: number) => {
    const name = Buffer.from(text)
    const { key } = metadata.findOrFree(ROOT_INO, name)
    const transaction = database.transaction()
    const now = { sec: 0, nsec: 0 }
    transaction.put(
      DIRECTORY,
      ROOT_INO,
      key,
      encodeDentry(name, newInode({ ino: ino as Ino, mode: 0o100644, uid: 0, gid: 0, now })),
    )
    database.apply(transaction)
    return key
  }
  expect(['a', 'b', 'c'].map((name, at) => put(name, at + 10))).toEqual([512, 513, 514])
  const found = metadata.find(ROOT_INO, Buffer.from('b'))!
  expect(dentryIno(found.bytes, found.start)).toBe(11)
  expect(metadata.find(ROOT_INO, Buffer.from('d'))).toBeNull()
  const transaction = database.transaction()
  transaction.delete(DIRECTORY, ROOT_INO, 513)
  database.apply(transaction)
  expect(put('e', 13)).toBe(513)
  for (let at = 3; at < 256; at++) put(`more ${at}`, at + 20)
  expect(() => put('one too many', 9)).toThrow('ENOSPC')
})

const FILE_BYTES = 400
const change = fc.record({
  truncateTo: fc.option(fc.nat(FILE_BYTES), { nil: null }),
  runs: fc.array(fc.record({ gap: fc.nat(30), length: fc.integer({ min: 1, max: 40 }), isHole: fc.nat(3) }), {
    maxLength: 8,
  }),
})

test('recorded extents hold of each byte where it was written last, and usage counts them', async () => {
  const { database } = await mount()
  let ino = 1000
  let segment = 1
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      const file = newInode({ ino: ++ino as Ino, mode: 0o100644, uid: 0, gid: 0, now: { sec: 0, nsec: 0 } })
      /** Of each byte: its segment and its place there. */
      const expected: (string | null)[] = Array(FILE_BYTES).fill(null)
      const used = new Set<number>()
      for (const { truncateTo, runs } of changes) {
        if (truncateTo !== null) expected.fill(null, truncateTo)
        const extents: Extent[] = []
        let at = 0
        const holes: { fileOffset: number; lengthBytes: number }[] = []
        for (const { gap, length, isHole } of runs) {
          const fileOffset = at + gap
          at = fileOffset + length
          if (at > FILE_BYTES) break
          if (isHole === 0) {
            holes.push({ fileOffset, lengthBytes: length })
            expected.fill(null, fileOffset, at)
            continue
          }
          const range = {
            segment: ++segment as SegmentId,
            offset: 0,
            pieceBytes: length,
            skipBytes: 0,
            lengthBytes: length,
          }
          used.add(segment)
          extents.push({ fileOffset, range })
          for (let byte = 0; byte < length; byte++) expected[fileOffset + byte] = `${segment}+${byte}`
        }
        const transaction = database.transaction()
        const usage = new UsageChanges()
        const attributes = { sizeBytes: FILE_BYTES, mtime: file.mtime, ctime: file.ctime, atime: null }
        recordStream(database, transaction, usage, file, { truncateTo, extents, holes, attributes })
        usage.putInto(database, transaction)
        database.apply(transaction)
        checkBytes(extentsOf(database, file, 0, FILE_BYTES), expected)
        const middle = extentsOf(database, file, 100, 200)
        checkBytes(
          middle,
          expected.map((byte, place) => (place >= 100 && place < 200 ? byte : null)),
          100,
          200,
        )
        for (const id of used) {
          const live = expected.filter((byte) => byte?.startsWith(`${id}+`)).length
          expect(liveBytes(database, id as SegmentId) ?? 0).toBe(live)
        }
      }
      for (let gone = false; !gone; ) {
        const transaction = database.transaction()
        const usage = new UsageChanges()
        gone = dropExtents(database, transaction, usage, file, 3)
        usage.putInto(database, transaction)
        database.apply(transaction)
      }
      expect(file.allocatedBytes).toBe(0)
      expect(database.table(EXTENTS, file.ino).isEmpty()).toBe(true)
      for (const id of used) expect(liveBytes(database, id as SegmentId)).toBe(0)
    }),
    { numRuns: 100 },
  )
})

function checkBytes(extents: readonly Extent[], expected: readonly (string | null)[], from = 0, to = FILE_BYTES): void {
  const found: (string | null)[] = Array(expected.length).fill(null)
  for (const { fileOffset, range } of extents) {
    for (let at = 0; at < range.lengthBytes; at++) {
      const place = fileOffset + at
      if (place >= from && place < to) found[place] = `${range.segment}+${range.offset + range.skipBytes + at}`
    }
  }
  expect(found).toEqual(expected)
}
