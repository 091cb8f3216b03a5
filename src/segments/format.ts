// The bytes of a segment object. Pure: layouts, encoders and one decoder that asserts everything (fsck, cleaner, tests).
//
// Key: `segments/<shard>/<id>`; id as 14 lower-case hex digits, zero-padded; shard = the id's low 8 bits as 2 hex
// digits. All integers are little-endian and unsigned; u64 hold numbers below 2^53. Offsets count from the object's
// first byte.
//
//   header, 40 bytes                                   footer, the last 48 bytes
//    0   4  magic "CSEG"                                0   4  crc32c of the contents
//    4   1  kind: 1 data, 2 pages                       4   4  number of contents entries
//    5   1  format version: 1                           8   4  offset of the contents
//    6   1  codec: 0, pieces are stored as given       12   4  bytes of the trailer, 0: none
//    7   1  0                                          16   4  crc32c of the trailer, 0 when there is none
//    8   8  the volume's uuid, first 8 bytes           20   4  fingerprint: crc32c over the crc32c (u32) of every block
//   16   8  segment id                                         or page, in order
//   24   4  bytes of the whole object                  24   4  bytes of the whole object
//   28   4  offset of the contents                     28   8  the volume's uuid, first 8 bytes
//   32   4  number of contents entries                 36   4  kind, format version, codec, 0
//   36   4  crc32c of bytes 0 to 35                    40   4  magic "CSGF"
//                                                      44   4  crc32c of bytes 0 to 43
//   then, without gaps: pieces, trailer (if any), contents, footer.
//
//   data piece: blocks of 32,768 bytes, the last one 1 to 32,768, each followed by its crc32c (u32)
//   page piece: the bytes as given; their crc32c stands in the pointer and in the contents
//   contents entry, 32 bytes
//    0   8  owner: ino (data) or the table's owner (pages)
//    8   8  key: file offset (data) or the page's first key
//   16   4  offset of the stored bytes
//   20   4  stored bytes (crcs of blocks included)
//   24   4  crc32c of a page; 0 for data
//   28   1  table kind; 0 for data
//   29   3  0
//
// Must stay true: entries lie in order of their offsets and cover the pieces without gaps. Neighbouring runs of one file
// share an entry when the first ends with a full block (they read as one piece). Data of commits (packInMemory) is the
// pieces alone: no header, its offsets count from 0.
import { crc32c, FsError, readU64, writeU64 } from '../platform/index.ts'
import {
  BLOCK_BYTES,
  BLOCK_CRC_BYTES,
  type PackedData,
  type SegmentId,
  type StoredContentsEntry,
} from './segment-store.ts'

export const HEADER_BYTES = 40
export const FOOTER_BYTES = 48
export const CONTENTS_ENTRY_BYTES = 32
export const FORMAT_VERSION = 1
export const UUID_PREFIX_BYTES = 8
export const STORED_BLOCK_BYTES = BLOCK_BYTES + BLOCK_CRC_BYTES

const HEADER_MAGIC = Buffer.from('CSEG')
const FOOTER_MAGIC = Buffer.from('CSGF')
const CODEC_NONE = 0

export type SegmentKind = 'data' | 'pages'
const KIND_CODES: Record<SegmentKind, number> = { data: 1, pages: 2 }

export function segmentKey(id: SegmentId): string {
  const shard = (id % 256).toString(16).padStart(2, '0')
  return `segments/${shard}/${id.toString(16).padStart(14, '0')}`
}

/** The id in a key, or null for a key that is no segment's. */
export function parseSegmentKey(key: string): SegmentId | null {
  const match = /^segments\/([0-9a-f]{2})\/([0-9a-f]{14})$/.exec(key)
  if (match === null) return null
  const id = Number.parseInt(match[2]!, 16)
  return Number.isSafeInteger(id) && segmentKey(id as SegmentId) === key ? (id as SegmentId) : null
}

/** Stored bytes of a data piece of `rawBytes`. */
export function storedBytesOf(rawBytes: number): number {
  return rawBytes + Math.ceil(rawBytes / BLOCK_BYTES) * BLOCK_CRC_BYTES
}

/** Raw bytes of a data piece of `storedBytes`. */
export function rawBytesOf(storedBytes: number): number {
  return storedBytes - Math.ceil(storedBytes / STORED_BLOCK_BYTES) * BLOCK_CRC_BYTES
}

/** Largest data piece that fits a segment alone: a multiple of BLOCK_BYTES. */
export function maxPieceBytesOf(segmentSizeBytes: number): number {
  const room = segmentSizeBytes - HEADER_BYTES - CONTENTS_ENTRY_BYTES - FOOTER_BYTES
  return Math.max(0, Math.floor(room / STORED_BLOCK_BYTES)) * BLOCK_BYTES
}

/** What stands around the pieces of one segment. */
export interface SegmentFrame {
  kind: SegmentKind
  id: SegmentId
  volumeUuid: Buffer
  /** Where the pieces end. */
  piecesEnd: number
  contents: readonly StoredContentsEntry[]
  trailer: Uint8Array | null
  fingerprint: number
}

/** The header, and the contents with the footer behind them. The trailer goes between pieces and contents. */
export function encodeFrame(frame: SegmentFrame): { header: Buffer; tail: Buffer } {
  const { kind, contents, trailer } = frame
  const trailerBytes = trailer?.length ?? 0
  const contentsOffset = frame.piecesEnd + trailerBytes
  const contentsBytes = contents.length * CONTENTS_ENTRY_BYTES
  const objectBytes = contentsOffset + contentsBytes + FOOTER_BYTES

  const header = Buffer.alloc(HEADER_BYTES)
  HEADER_MAGIC.copy(header, 0)
  header.set([KIND_CODES[kind], FORMAT_VERSION, CODEC_NONE], 4)
  frame.volumeUuid.copy(header, 8, 0, UUID_PREFIX_BYTES)
  writeU64(header, 16, frame.id)
  header.writeUInt32LE(objectBytes, 24)
  header.writeUInt32LE(contentsOffset, 28)
  header.writeUInt32LE(contents.length, 32)
  header.writeUInt32LE(crc32c(header.subarray(0, 36)), 36)

  const tail = Buffer.alloc(contentsBytes + FOOTER_BYTES)
  contents.forEach((entry, i) => {
    encodeContentsEntry(entry, tail, i * CONTENTS_ENTRY_BYTES)
  })
  const footer = tail.subarray(contentsBytes)
  footer.writeUInt32LE(crc32c(tail.subarray(0, contentsBytes)), 0)
  footer.writeUInt32LE(contents.length, 4)
  footer.writeUInt32LE(contentsOffset, 8)
  footer.writeUInt32LE(trailerBytes, 12)
  footer.writeUInt32LE(trailer === null ? 0 : crc32c(trailer), 16)
  footer.writeUInt32LE(frame.fingerprint, 20)
  footer.writeUInt32LE(objectBytes, 24)
  frame.volumeUuid.copy(footer, 28, 0, UUID_PREFIX_BYTES)
  footer.set([KIND_CODES[kind], FORMAT_VERSION, CODEC_NONE], 36)
  FOOTER_MAGIC.copy(footer, 40)
  footer.writeUInt32LE(crc32c(footer.subarray(0, 44)), 44)
  return { header, tail }
}

/** Writes one line of a table of contents: of a segment, or of a commit's data. */
export function encodeContentsEntry(entry: StoredContentsEntry, buffer: Buffer, at: number): void {
  writeU64(buffer, at, entry.owner)
  writeU64(buffer, at + 8, entry.key)
  buffer.writeUInt32LE(entry.offset, at + 16)
  buffer.writeUInt32LE(entry.lengthBytes, at + 20)
  buffer.writeUInt32LE(entry.crc, at + 24)
  buffer.writeUInt8(entry.tableKind, at + 28)
}

export function decodeContentsEntry(buffer: Buffer, at: number): StoredContentsEntry {
  return {
    owner: readU64(buffer, at),
    key: readU64(buffer, at + 8),
    offset: buffer.readUInt32LE(at + 16),
    lengthBytes: buffer.readUInt32LE(at + 20),
    crc: buffer.readUInt32LE(at + 24),
    tableKind: buffer.readUInt8(at + 28),
  }
}

/** A segment object, taken apart. */
export interface SegmentContents {
  kind: SegmentKind
  id: SegmentId
  entries: StoredContentsEntry[]
  trailer: Buffer | null
}

export interface ReadContentsOptions {
  /** Refuse an object of another volume. */
  volumeUuid?: Buffer
  /** Refuse an object with another id. */
  id?: SegmentId
  /** Check every block's and page's crc too; true unless told. */
  verifyPieces?: boolean
}

/** Takes a whole segment object apart and checks all of it. Throws FsError EIO that says what is wrong. */
export function readContents(object: Buffer, options: ReadContentsOptions = {}): SegmentContents {
  const check = (ok: boolean, what: string): void => {
    if (!ok) throw new FsError('EIO', `segment ${options.id === undefined ? '' : `${segmentKey(options.id)} `}${what}`)
  }
  check(object.length >= HEADER_BYTES + FOOTER_BYTES, `has only ${object.length} bytes`)
  const header = object.subarray(0, HEADER_BYTES)
  const footer = object.subarray(object.length - FOOTER_BYTES)
  check(header.subarray(0, 4).equals(HEADER_MAGIC), 'does not begin with "CSEG"')
  check(header.readUInt32LE(36) === crc32c(header.subarray(0, 36)), 'has a damaged header')
  check(footer.subarray(40, 44).equals(FOOTER_MAGIC), 'has no footer')
  check(footer.readUInt32LE(44) === crc32c(footer.subarray(0, 44)), 'has a damaged footer')
  check(header[5] === FORMAT_VERSION, `has format version ${header[5]}, known is ${FORMAT_VERSION}`)
  check(header[6] === CODEC_NONE, `has the unknown codec ${header[6]}`)
  check(header[7] === 0, 'has a reserved byte set')
  check(footer.subarray(36, 40).equals(header.subarray(4, 8)), 'has a header and a footer that differ')
  const kind = header[4] === KIND_CODES.data ? 'data' : 'pages'
  check(header[4] === KIND_CODES[kind], `has the unknown kind ${header[4]}`)
  const uuid = header.subarray(8, 16)
  check(footer.subarray(28, 36).equals(uuid), 'has a header and a footer of different volumes')
  if (options.volumeUuid !== undefined) {
    check(uuid.equals(options.volumeUuid.subarray(0, UUID_PREFIX_BYTES)), 'belongs to another volume')
  }
  const id = readU64(header, 16) as SegmentId
  check(Number.isSafeInteger(id) && (options.id === undefined || id === options.id), `calls itself ${id}`)
  check(header.readUInt32LE(24) === object.length, `has ${object.length} bytes, wrote ${header.readUInt32LE(24)}`)
  check(footer.readUInt32LE(24) === object.length, 'has a footer of another length')

  const count = footer.readUInt32LE(4)
  const contentsOffset = footer.readUInt32LE(8)
  const contentsEnd = object.length - FOOTER_BYTES
  check(header.readUInt32LE(32) === count && header.readUInt32LE(28) === contentsOffset, 'has two sizes of contents')
  check(contentsOffset + count * CONTENTS_ENTRY_BYTES === contentsEnd, 'has contents of a wrong length')
  const contents = object.subarray(contentsOffset, contentsEnd)
  check(crc32c(contents) === footer.readUInt32LE(0), 'has damaged contents')
  const trailerBytes = footer.readUInt32LE(12)
  const piecesEnd = contentsOffset - trailerBytes
  check(piecesEnd >= HEADER_BYTES, 'has a trailer of a wrong length')
  const trailer = trailerBytes === 0 ? null : object.subarray(piecesEnd, contentsOffset)
  check((trailer === null ? 0 : crc32c(trailer)) === footer.readUInt32LE(16), 'has a damaged trailer')

  const entries: StoredContentsEntry[] = []
  let offset = HEADER_BYTES
  let fingerprint = 0
  const word = Buffer.alloc(4)
  for (let i = 0; i < count; i++) {
    const entry = decodeContentsEntry(contents, i * CONTENTS_ENTRY_BYTES)
    check(entry.offset === offset && entry.lengthBytes > 0, `has a gap before its piece at ${entry.offset}`)
    check(Number.isSafeInteger(entry.owner) && Number.isSafeInteger(entry.key), `has a bad owner or key (entry ${i})`)
    check((entry.tableKind === 0) === (kind === 'data'), `holds data and pages (entry ${i})`)
    offset += entry.lengthBytes
    check(offset <= piecesEnd, `has a piece at ${entry.offset} that reaches into its contents`)
    entries.push(entry)
    if (options.verifyPieces === false) continue
    const stored = object.subarray(entry.offset, offset)
    for (const crc of kind === 'data' ? blockCrcs(stored) : [crc32c(stored) === entry.crc ? entry.crc : null]) {
      if (crc === null) throw new FsError('EIO', `segment ${segmentKey(id)} has a damaged piece at ${entry.offset}`)
      word.writeUInt32LE(crc)
      fingerprint = crc32c(word, fingerprint)
    }
  }
  check(offset === piecesEnd, `has ${piecesEnd - offset} bytes that no entry names`)
  if (options.verifyPieces !== false) check(fingerprint === footer.readUInt32LE(20), 'has another fingerprint')
  return { kind, id, entries, trailer }
}

/** Where the first piece with a damaged block lies in what a commit carries; null when all are whole. */
export function damagedPieceIn(packed: PackedData): number | null {
  for (const { offset, lengthBytes } of packed.contents) {
    for (const crc of blockCrcs(packed.stored.subarray(offset, offset + lengthBytes))) if (crc === null) return offset
  }
  return null
}

/** Where the contents of a segment lie, by its footer: the last FOOTER_BYTES of the object `id`, which has `objectBytes`.
 *  Throws FsError EIO. */
export function decodeFooter(
  footer: Buffer,
  { id, objectBytes, volumeUuid }: { id: SegmentId; objectBytes: number; volumeUuid: Buffer },
): { contentsOffset: number; contentsCrc: number; count: number } {
  const check = (ok: boolean, what: string): void => {
    if (!ok) throw new FsError('EIO', `segment ${segmentKey(id)} ${what}`)
  }
  check(footer.length === FOOTER_BYTES && footer.subarray(40, 44).equals(FOOTER_MAGIC), 'has no footer')
  check(footer.readUInt32LE(44) === crc32c(footer.subarray(0, 44)), 'has a damaged footer')
  check(footer.readUInt32LE(24) === objectBytes, 'has a footer of another length')
  check(footer.subarray(28, 36).equals(volumeUuid.subarray(0, UUID_PREFIX_BYTES)), 'belongs to another volume')
  const count = footer.readUInt32LE(4)
  const contentsOffset = footer.readUInt32LE(8)
  const isPlausible = contentsOffset + count * CONTENTS_ENTRY_BYTES + FOOTER_BYTES === objectBytes
  check(isPlausible, 'has contents of a wrong length')
  return { contentsOffset, contentsCrc: footer.readUInt32LE(0), count }
}

/** The crcs of a stored data piece's blocks; null for one that is damaged. */
function* blockCrcs(stored: Buffer): Generator<number | null> {
  for (let at = 0; at < stored.length; at += STORED_BLOCK_BYTES) {
    const end = Math.min(at + STORED_BLOCK_BYTES, stored.length) - BLOCK_CRC_BYTES
    if (end <= at) return yield null
    const crc = stored.readUInt32LE(end)
    yield crc32c(stored.subarray(at, end)) === crc ? crc : null
  }
}
