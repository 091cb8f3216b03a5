// A commit: the object `journal/<slot>/<epoch>/<seq>` (slot as 3, epoch and seq as 14 lower-case hex digits). Created
// with If-None-Match, never changed.
//
// Little-endian:
//   0   u32  magic "CRNJ"
//   4   u8   kind: 3 commit, 4 seal (a seal has no data, contents or records: it ends its tenure)
//   5   u8   format version (1)
//   6   u8   codec of the records: 0 none
//   7   u8   0
//   8   8    first 8 bytes of the volume's uuid
//   16  u64  epoch          24  u64  seq
//   32  16   session of the writer
//   48  u64  data id: the segment id by which extents name this commit's file data; 0 when it carries none
//   56  u32  data bytes     60  u32  entries in the table of contents
//   64  u32  record bytes   68  u32  slot
//   72  u32  acknowledged: all commits of the epoch up to this one were made before: one of them missing is damage
//   76  u32  crc32c of bytes 0..76, then of everything behind the data
//   80  ..   file data, in blocks as in a segment (each block carries its own crc32c)
//   ..  ..   table of contents of the data, its entries as in a segment (segments/format.ts)
//   ..  ..   records, by table:  u8 table kind, u8 cleared (1: what the table held before is gone), u16 0, u32 count,
//            u64 owner; then `count` times  u64 key, u32 version, u16 length (0xffff: the key is deleted), u16 0, record
//
// A record's version is the number of its transaction within the commit: (epoch, seq, version) orders all changes.
//
// Must stay true: a commit holds one record per key, the last; replaying it twice, or over pages that hold it already,
// changes nothing.
import { ok as assert } from 'node:assert'
import { crc32c, FsError, readU64, ruleHolds, writeU64 } from '../platform/index.ts'
import {
  CONTENTS_ENTRY_BYTES,
  type ContentsEntry,
  decodeContentsEntry,
  encodeContentsEntry,
  type PackedData,
  type SegmentId,
} from '../segments/index.ts'
import type { EncodedRecords } from './open-commit.ts'

export const COMMIT_HEADER_BYTES = 80
const MAGIC = 0x4a4e5243 // "CRNJ"
const KIND_COMMIT = 3
const KIND_SEAL = 4
export const TABLE_HEADER_BYTES = 16
export const RECORD_HEADER_BYTES = 16
const DELETED = 0xffff

export interface CommitIdentity {
  slot: number
  epoch: number
  seq: number
  /** 16 bytes. */
  session: Buffer
}

export interface CommitRecord {
  record: Buffer | null
  version: number
}

/** The changes of one table in one commit. */
export interface CommitTable {
  kind: number
  owner: number
  cleared: boolean
  records: Map<number, CommitRecord>
}

export interface DecodedCommit extends CommitIdentity {
  /** The last commit of the epoch that was acknowledged when this one was closed; 0: none, or nobody says. */
  acknowledgedSeq: number
  isSeal: boolean
  dataId: SegmentId | null
  packed: PackedData
  tables: CommitTable[]
}

export function journalPrefix(slot: number, epoch: number): string {
  return `journal/${slot.toString(16).padStart(3, '0')}/${epoch.toString(16).padStart(14, '0')}/`
}

export function journalKey(slot: number, epoch: number, seq: number): string {
  return `${journalPrefix(slot, epoch)}${seq.toString(16).padStart(14, '0')}`
}

/** How long a commit object is whose records take `recordBytes`. */
export function commitBytes(recordBytes: number, data?: { packed: PackedData }): number {
  const dataBytes =
    data === undefined ? 0 : data.packed.stored.length + data.packed.contents.length * CONTENTS_ENTRY_BYTES
  return COMMIT_HEADER_BYTES + dataBytes + recordBytes
}

/** The parts of a commit object, in order; nothing of them is copied. */
export function encodeCommit(
  volumeUuid: Buffer,
  identity: CommitIdentity,
  records: EncodedRecords,
  data?: { id: SegmentId; packed: PackedData },
  acknowledgedSeq = 0,
): Buffer[] {
  const contents = encodeContents(data?.packed.contents ?? [])
  const header = encodeHeader(volumeUuid, identity, KIND_COMMIT)
  if (data !== undefined) {
    writeU64(header, 48, data.id)
    header.writeUInt32LE(data.packed.stored.length, 56)
    header.writeUInt32LE(data.packed.contents.length, 60)
  }
  header.writeUInt32LE(records.lengthBytes, 64)
  header.writeUInt32LE(acknowledgedSeq, 72)
  let crc = crc32c(contents, crc32c(header.subarray(0, 76)))
  for (const part of records.parts) crc = crc32c(part, crc)
  header.writeUInt32LE(crc, 76)
  return data === undefined ? [header, ...records.parts] : [header, data.packed.stored, contents, ...records.parts]
}

export function encodeSeal(volumeUuid: Buffer, identity: CommitIdentity): Buffer[] {
  const header = encodeHeader(volumeUuid, identity, KIND_SEAL)
  header.writeUInt32LE(crc32c(header.subarray(0, 76)), 76)
  return [header]
}

function encodeHeader(volumeUuid: Buffer, identity: CommitIdentity, kind: number): Buffer {
  assert(identity.session.length === 16)
  const header = Buffer.alloc(COMMIT_HEADER_BYTES)
  header.writeUInt32LE(MAGIC, 0)
  header[4] = kind
  header[5] = 1
  volumeUuid.copy(header, 8, 0, 8)
  writeU64(header, 16, identity.epoch)
  writeU64(header, 24, identity.seq)
  identity.session.copy(header, 32)
  header.writeUInt32LE(identity.slot, 68)
  return header
}

function encodeContents(contents: readonly ContentsEntry[]): Buffer {
  const bytes = Buffer.alloc(contents.length * CONTENTS_ENTRY_BYTES)
  for (const [index, entry] of contents.entries()) {
    encodeContentsEntry({ ...entry, crc: 0 }, bytes, index * CONTENTS_ENTRY_BYTES)
  }
  return bytes
}

/** What stands in front of a table's records. */
export function writeTableHeader(
  bytes: Buffer,
  at: number,
  { kind, cleared, count, owner }: { kind: number; cleared: boolean; count: number; owner: number },
): void {
  bytes[at] = kind
  bytes[at + 1] = cleared ? 1 : 0
  bytes.writeUInt16LE(0, at + 2)
  bytes.writeUInt32LE(count, at + 4)
  writeU64(bytes, at + 8, owner)
}

/** A record with its header; null: the key is deleted. */
export function writeRecord(bytes: Buffer, at: number, key: number, record: Uint8Array | null, version: number): void {
  writeU64(bytes, at, key)
  bytes.writeUInt32LE(version, at + 8)
  bytes.writeUInt16LE(record === null ? DELETED : record.length, at + 12)
  bytes.writeUInt16LE(0, at + 14)
  if (record !== null) bytes.set(record, at + RECORD_HEADER_BYTES)
}

/** Bytes of the record behind the header at `at`. */
export function readRecordBytes(bytes: Buffer, at: number): number {
  const lengthBytes = bytes.readUInt16LE(at + 12)
  return lengthBytes === DELETED ? 0 : lengthBytes
}

/** Decodes and checks a journal object. Throws FsError EIO naming `key` when it is damaged, foreign or misplaced. */
export function decodeCommit(object: Buffer, key: string, volumeUuid: Buffer): DecodedCommit {
  const bad = (what: string) => new FsError('EIO', `${key}: ${what}`)
  if (object.length < COMMIT_HEADER_BYTES || object.readUInt32LE(0) !== MAGIC) throw bad('not a journal object')
  if (object[5] !== 1) throw bad(`journal format ${object[5]} is newer than this cairnfs knows: use a newer one`)
  if (!object.subarray(8, 16).equals(volumeUuid.subarray(0, 8))) throw bad('belongs to another volume')
  const kind = object[4]
  if (kind !== KIND_COMMIT && kind !== KIND_SEAL) throw bad(`unknown kind ${kind}`)
  const dataBytes = object.readUInt32LE(56)
  const contentsCount = object.readUInt32LE(60)
  const recordBytes = object.readUInt32LE(64)
  const contentsAt = COMMIT_HEADER_BYTES + dataBytes
  const recordsAt = contentsAt + contentsCount * CONTENTS_ENTRY_BYTES
  if (recordsAt + recordBytes !== object.length) throw bad(`has ${object.length} bytes, not ${recordsAt + recordBytes}`)
  const crc = crc32c(object.subarray(contentsAt), crc32c(object.subarray(0, 76)))
  if (crc !== object.readUInt32LE(76) && ruleHolds('commits are verified')) throw bad('checksum does not match')
  if (object[6] !== 0) throw bad(`unknown codec ${object[6]}`)
  const slot = object.readUInt32LE(68)
  const epoch = readU64(object, 16)
  const seq = readU64(object, 24)
  if (journalKey(slot, epoch, seq) !== key) throw bad('lies at the wrong place')
  const dataId = readU64(object, 48)
  const tables = decodeRecords(object, recordsAt)
  if (tables === null) throw bad('has malformed records')
  return {
    slot,
    epoch,
    seq,
    session: object.subarray(32, 48),
    acknowledgedSeq: object.readUInt32LE(72),
    isSeal: kind === KIND_SEAL,
    dataId: dataId === 0 ? null : (dataId as SegmentId),
    packed: {
      stored: object.subarray(COMMIT_HEADER_BYTES, contentsAt),
      contents: decodeContents(object, contentsAt, contentsCount),
    },
    tables,
  }
}

function decodeContents(object: Buffer, at: number, count: number): ContentsEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const { owner, key, tableKind, offset, lengthBytes } = decodeContentsEntry(
      object,
      at + index * CONTENTS_ENTRY_BYTES,
    )
    return { owner, key, tableKind, offset, lengthBytes }
  })
}

/** Null when they do not fill the rest of the object exactly. */
function decodeRecords(object: Buffer, at: number): CommitTable[] | null {
  const tables: CommitTable[] = []
  while (at + TABLE_HEADER_BYTES <= object.length) {
    const count = object.readUInt32LE(at + 4)
    const records = new Map<number, CommitRecord>()
    tables.push({ kind: object[at]!, cleared: object[at + 1] === 1, owner: readU64(object, at + 8), records })
    at += TABLE_HEADER_BYTES
    for (let index = 0; index < count; index++) {
      if (at + RECORD_HEADER_BYTES > object.length) return null
      const key = readU64(object, at)
      const version = object.readUInt32LE(at + 8)
      const length = object.readUInt16LE(at + 12)
      at += RECORD_HEADER_BYTES
      const record = length === DELETED ? null : object.subarray(at, at + length)
      at += length === DELETED ? 0 : length
      records.set(key, { record, version })
    }
  }
  return at === object.length ? tables : null
}
