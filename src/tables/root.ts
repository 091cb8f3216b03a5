// `root`: the one object that names the current state. Replaced with If-Match, so that a checkpoint takes effect in one
// conditional PUT.
//
// Little-endian:
//   0   u32  magic "CRNR"       4  u8 kind (1)   5  u8 format version (1)   6  u16 0
//   8   8    first 8 bytes of the volume's uuid
//   16  u64  number: grows by one with every root put
//   24  u64  epoch of the writer that put it     32  16  its session
//   48  u32  tenures, 52 u32 id ranges, 56 u32 tables, 60 u32 page segments, 64 u32 slot, 68 u32 0
//   72  ..   tenures not wholly contained, oldest first: u64 epoch, u64 first seq not contained, u64 seq of the seal (0:
//            none is known)
//   ..  ..   id ranges: u32 sort (1 inode, 2 segment), u32 slot, u64 end: ids from `end` on were never given out
//   ..  ..   tables: u8 kind (plus 128 for the rows of a kind: owner -> pointer to the root page of its table), u8 0, u16
//            0, u32 0, u64 owner, 20 bytes pointer to the root page (tables/page.ts), u32 0
//   ..  ..   page segments: u64 id, u32 live bytes, u32 all bytes
//   end u32  crc32c of all before
import { crc32c, FsError, readU64, ruleHolds, writeU64 } from '../platform/index.ts'
import type { PagePointer } from '../segments/index.ts'
import { decodePointer, encodePointer } from './page.ts'

export const ROOT_KEY = 'root'
/** Added to a kind's number: the rows table of that kind. */
export const ROWS = 128
const MAGIC = 0x524e5243 // "CRNR"
const HEADER_BYTES = 72
const TENURE_BYTES = 24
const RANGE_BYTES = 16
const TABLE_BYTES = 40
const SEGMENT_BYTES = 16

export interface Tenure {
  epoch: number
  /** Commits before this one are contained in the pages. */
  firstSeq: number
  /** Where the tenure was sealed; null while it is not known to be. */
  sealSeq: number | null
}

export interface IdRange {
  /** 1 inodes, 2 segments. */
  sort: number
  slot: number
  /** Ids from here on were never given out. */
  end: number
}

export interface RootTable {
  /** Plus ROWS for the table that maps the owners of a kind to the root pages of their tables. */
  kind: number
  owner: number
  pointer: PagePointer
}

export interface PageSegmentUse {
  liveBytes: number
  totalBytes: number
}

export interface Root {
  slot: number
  number: number
  epoch: number
  session: Buffer
  tenures: Tenure[]
  idRanges: IdRange[]
  tables: RootTable[]
  pageSegments: Map<number, PageSegmentUse>
}

/** That of a new volume, which has no tables yet: inode 1 is the root directory, segment 0 means none. */
export const NEW_ROOT: Root = {
  slot: 0,
  number: 1,
  epoch: 0,
  session: Buffer.alloc(16),
  tenures: [],
  idRanges: [
    { sort: 1, slot: 0, end: 2 },
    { sort: 2, slot: 0, end: 1 },
  ],
  tables: [],
  pageSegments: new Map(),
}

export function encodeRoot(volumeUuid: Buffer, root: Root): Buffer {
  const { tenures, idRanges, tables, pageSegments } = root
  const bytes = Buffer.alloc(
    HEADER_BYTES +
      tenures.length * TENURE_BYTES +
      idRanges.length * RANGE_BYTES +
      tables.length * TABLE_BYTES +
      pageSegments.size * SEGMENT_BYTES +
      4,
  )
  bytes.writeUInt32LE(MAGIC, 0)
  bytes[4] = 1
  bytes[5] = 1
  volumeUuid.copy(bytes, 8, 0, 8)
  writeU64(bytes, 16, root.number)
  writeU64(bytes, 24, root.epoch)
  root.session.copy(bytes, 32)
  for (const [index, count] of [tenures.length, idRanges.length, tables.length, pageSegments.size, root.slot].entries())
    bytes.writeUInt32LE(count, 48 + index * 4)
  let at = HEADER_BYTES
  for (const tenure of tenures) {
    writeU64(bytes, at, tenure.epoch)
    writeU64(bytes, at + 8, tenure.firstSeq)
    writeU64(bytes, at + 16, tenure.sealSeq ?? 0)
    at += TENURE_BYTES
  }
  for (const range of idRanges) {
    bytes.writeUInt32LE(range.sort, at)
    bytes.writeUInt32LE(range.slot, at + 4)
    writeU64(bytes, at + 8, range.end)
    at += RANGE_BYTES
  }
  for (const table of tables) {
    bytes[at] = table.kind
    writeU64(bytes, at + 8, table.owner)
    encodePointer(table.pointer, bytes, at + 16)
    at += TABLE_BYTES
  }
  for (const [id, use] of pageSegments) {
    writeU64(bytes, at, id)
    bytes.writeUInt32LE(use.liveBytes, at + 8)
    bytes.writeUInt32LE(use.totalBytes, at + 12)
    at += SEGMENT_BYTES
  }
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, at)), at)
  return bytes
}

/** Decodes and checks `root`. Throws FsError EIO saying what is wrong with it. */
export function decodeRoot(bytes: Buffer, volumeUuid: Buffer): Root {
  const bad = (what: string) => new FsError('EIO', `root: ${what}`)
  if (bytes.length < HEADER_BYTES + 4 || bytes.readUInt32LE(0) !== MAGIC || bytes[4] !== 1)
    throw bad('not a root object')
  if (bytes[5] !== 1) throw bad(`format ${bytes[5]} is newer than this cairnfs knows: use a newer one`)
  if (!bytes.subarray(8, 16).equals(volumeUuid.subarray(0, 8))) throw bad('belongs to another volume')
  const [tenures, ranges, tables, segments, slot] = [48, 52, 56, 60, 64].map((at) => bytes.readUInt32LE(at))
  const tenuresAt = HEADER_BYTES
  const rangesAt = tenuresAt + tenures! * TENURE_BYTES
  const tablesAt = rangesAt + ranges! * RANGE_BYTES
  const segmentsAt = tablesAt + tables! * TABLE_BYTES
  const crcAt = segmentsAt + segments! * SEGMENT_BYTES
  if (crcAt + 4 !== bytes.length) throw bad(`has ${bytes.length} bytes, not ${crcAt + 4}`)
  if (crc32c(bytes.subarray(0, crcAt)) !== bytes.readUInt32LE(crcAt) && ruleHolds('root is verified'))
    throw bad('checksum does not match')
  const list = <T>(count: number, from: number, size: number, decode: (at: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => decode(from + index * size))
  return {
    slot: slot!,
    number: readU64(bytes, 16),
    epoch: readU64(bytes, 24),
    session: bytes.subarray(32, 48),
    tenures: list(tenures!, tenuresAt, TENURE_BYTES, (at) => ({
      epoch: readU64(bytes, at),
      firstSeq: readU64(bytes, at + 8),
      sealSeq: readU64(bytes, at + 16) || null,
    })),
    idRanges: list(ranges!, rangesAt, RANGE_BYTES, (at) => ({
      sort: bytes.readUInt32LE(at),
      slot: bytes.readUInt32LE(at + 4),
      end: readU64(bytes, at + 8),
    })),
    tables: list(tables!, tablesAt, TABLE_BYTES, (at) => ({
      kind: bytes[at]!,
      owner: readU64(bytes, at + 8),
      pointer: decodePointer(bytes, at + 16),
    })),
    pageSegments: new Map(
      list(segments!, segmentsAt, SEGMENT_BYTES, (at) => [
        readU64(bytes, at),
        { liveBytes: bytes.readUInt32LE(at + 8), totalBytes: bytes.readUInt32LE(at + 12) },
      ]),
    ),
  }
}
