// The byte tables of docs/FORMAT.md as data, and what reads fields by them; crc32c and SipHash-2-4. Written from that page
// alone, like decoder.ts; format.test.ts compares the layouts with the page's tables, both ways.
//
// Must stay true: imports nothing of cairnfs.

export class FormatError extends Error {}

export function check(ok: boolean, what: string): asserts ok {
  if (!ok) throw new FormatError(what)
}

// Section 1: crc32c and SipHash-2-4.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before >>> 0
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

const MASK_64 = (1n << 64n) - 1n
const rotate = (word: bigint, by: bigint): bigint => ((word << by) | (word >> (64n - by))) & MASK_64

export function siphash24(key: Buffer, message: Uint8Array): bigint {
  const k0 = key.readBigUInt64LE(0)
  const k1 = key.readBigUInt64LE(8)
  let v0 = k0 ^ 0x736f6d6570736575n
  let v1 = k1 ^ 0x646f72616e646f6dn
  let v2 = k0 ^ 0x6c7967656e657261n
  let v3 = k1 ^ 0x7465646279746573n
  const round = () => {
    v0 = (v0 + v1) & MASK_64
    v1 = rotate(v1, 13n) ^ v0
    v0 = rotate(v0, 32n)
    v2 = (v2 + v3) & MASK_64
    v3 = rotate(v3, 16n) ^ v2
    v0 = (v0 + v3) & MASK_64
    v3 = rotate(v3, 21n) ^ v0
    v2 = (v2 + v1) & MASK_64
    v1 = rotate(v1, 17n) ^ v2
    v2 = rotate(v2, 32n)
  }
  const padded = Buffer.alloc(Math.floor(message.length / 8) * 8 + 8)
  padded.set(message)
  padded[padded.length - 1] = message.length & 0xff
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at)
    v3 ^= word
    round()
    round()
    v0 ^= word
  }
  v2 ^= 0xffn
  for (let i = 0; i < 4; i++) round()
  return v0 ^ v1 ^ v2 ^ v3
}

/** The key of a name with ordinal 0 (section 8). */
export function nameKey(hashKey: Buffer, name: Uint8Array): number {
  const hash = siphash24(hashKey, name) >> 19n
  return Number(hash === 0n ? 1n : hash) * 256
}

// Layouts.

export interface Field {
  name: string
  /** A number, or ".." behind a part whose size is not fixed. */
  offset: number | '..'
  /** A number of bytes, or the words of the page. */
  size: number | string
  isSigned: boolean
}

export interface Layout {
  title: string
  fields: Field[]
  /** Bytes of the fixed part. */
  bytes: number
}

export const LAYOUTS: Layout[] = []

/** `text`: the fields with their sizes, divided by commas; an s before a size marks a signed number. */
function layout(title: string, text: string): Layout {
  let at: number | '..' = 0
  let bytes = 0
  const fields = text.split(',').map((part): Field => {
    const [, name = '', signed = '', sizeText = ''] = /^\s*(\S+) (s?)(.+?)\s*$/.exec(part) ?? []
    const size = /^\d+$/.test(sizeText) ? Number(sizeText) : sizeText
    const field: Field = { name, offset: at, size, isSigned: signed !== '' }
    at = typeof size === 'number' && at !== '..' ? at + size : '..'
    if (at !== '..') bytes = at
    return field
  })
  const made = { title, fields, bytes }
  LAYOUTS.push(made)
  return made
}

export const ROOT_HEADER = layout(
  'root header',
  `magic 4, kind 1, version 1, reserved 2, uuid 8, number 8, epoch 8, session 16, tenures 4, idRanges 4, tables 4,
   pageSegments 4, slot 4, reserved 4`,
)
export const ROOT_TENURE = layout('root tenure', 'epoch 8, firstSeq 8, sealSeq 8')
export const ROOT_ID_RANGE = layout('root id range', 'sort 4, slot 4, end 8')
export const ROOT_TABLE = layout('root table', 'kind 1, reserved 7, owner 8, pointer 20, reserved 4')
export const ROOT_PAGE_SEGMENT = layout('root page segment', 'segment 8, liveBytes 4, totalBytes 4')
export const SEGMENT_HEADER = layout(
  'segment header',
  `magic 4, kind 1, version 1, codec 1, reserved 1, uuid 8, segment 8, objectBytes 4, contentsOffset 4,
   contentsCount 4, crc 4`,
)
export const SEGMENT_ENTRY = layout(
  'segment contents entry',
  'owner 8, key 8, offset 4, storedBytes 4, crc 4, tableKind 1, reserved 3',
)
export const SEGMENT_FOOTER = layout(
  'segment footer',
  `contentsCrc 4, contentsCount 4, contentsOffset 4, trailerBytes 4, trailerCrc 4, fingerprint 4, objectBytes 4, uuid 8,
   kind 1, version 1, codec 1, reserved 1, magic 4, crc 4`,
)
export const TRAILER = layout(
  'checkpoint trailer',
  'rootBytes 4, volumeJsonBytes 4, root rootBytes, volumeJson volumeJsonBytes',
)
export const POINTER = layout('page pointer', 'segment 8, offset 4, storedBytes 4, crc 4')
export const STORED_PAGE = layout('stored page', 'codec 1, reserved 3, rawBytes 4, page ..')
export const PAGE = layout(
  'page',
  'version 1, level 1, kind 1, reserved 1, count 4, owner 8, keys 8 x n, offsets 4 x (n + 1), records ..',
)
export const INODE = layout(
  'inode',
  `ino 8, mode 2, present 2, uid 4, gid 4, mtimeSec s8, mtimeNsec 4, fields .., inline 32 x extents, target targetBytes,
   xattrs xattrBytes`,
)
export const INLINE_XATTR = layout('inline xattr', 'nameBytes 1, valueBytes 2, name nameBytes, value valueBytes')
export const XATTR_PIECE = layout('xattr piece', 'nameBytes 1, piece 1, valueBytes 4, name nameBytes, bytes ..')
export const DENTRY = layout('dentry', 'nameBytes 1, type 1, name nameBytes, inode ..')
export const EXTENT = layout('extent', 'segment 8, offset 4, pieceBytes 4, skipBytes 2, reserved 2, length 4')
export const INLINE_EXTENT = layout('inline extent', 'fileOffset 8, extent 24')
export const PARENT = layout('parent', 'directory 8, key 8')
export const USAGE_ROW = layout('usage', 'liveBytes 8, flags 1')
export const QUOTA_ROW = layout(
  'quota',
  'flags 1, reserved 7, bytesLimit 8, inodesLimit 8, bytesUsed 8, inodesUsed 8, parentRealm 8, directory 8, countedBelow 8',
)
export const QUOTA_WALK_ROW = layout('quota walk', 'realm 8, nextKey 8')
export const COMMIT_HEADER = layout(
  'commit header',
  `magic 4, kind 1, version 1, codec 1, reserved 1, uuid 8, epoch 8, seq 8, session 16, dataId 8, dataBytes 4,
   contentsCount 4, recordBytes 4, slot 4, acknowledged 4, crc 4`,
)
export const COMMIT_ENTRY = layout(
  'commit contents entry',
  'owner 8, key 8, offset 4, storedBytes 4, crc 4, tableKind 1, reserved 3',
)
export const COMMIT_TABLE = layout('commit table', 'kind 1, cleared 1, reserved 2, count 4, owner 8')
export const COMMIT_RECORD = layout('commit record', 'key 8, version 4, recordBytes 2, reserved 2, record recordBytes')

function fieldOf({ title, fields }: Layout, name: string): Field & { offset: number; size: number } {
  const field = fields.find((each) => each.name === name)
  check(typeof field?.offset === 'number' && typeof field.size === 'number', `${title} has no fixed field ${name}`)
  return field as Field & { offset: number; size: number }
}

export function number(of: Layout, name: string, bytes: Buffer, at = 0): number {
  const { offset, size, isSigned } = fieldOf(of, name)
  check(at + offset + size <= bytes.length, `${of.title} is cut short at ${name}`)
  if (size < 8) return bytes.readUIntLE(at + offset, size)
  const value = Number(isSigned ? bytes.readBigInt64LE(at + offset) : bytes.readBigUInt64LE(at + offset))
  check(Number.isSafeInteger(value), `${of.title}.${name} is 2^53 or more`)
  return value
}

export function bytesOf(of: Layout, name: string, bytes: Buffer, at = 0): Buffer {
  const { offset, size } = fieldOf(of, name)
  check(at + offset + size <= bytes.length, `${of.title} is cut short at ${name}`)
  return bytes.subarray(at + offset, at + offset + size)
}

export const magicOf = (of: Layout, bytes: Buffer, at = 0): string => bytesOf(of, 'magic', bytes, at).toString('latin1')
