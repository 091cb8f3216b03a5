// A page: about 64 KiB of sorted keys with their records, immutable, read in place.
//
// Raw form, little-endian:
//   0  u8   format version (1)
//   1  u8   level: 0 is a leaf, above it inner pages
//   2  u8   table kind
//   3  u8   0
//   4  u32  count n
//   8  u64  owner of the table
//   16 u64  keys[n], strictly increasing
//   .. u32  offsets[n + 1]: record i is bytes [offsets[i], offsets[i+1]) of the page; offsets[n] is the page's length
//   .. records
// The records of an inner page are pointers to the pages one level below: u64 segment, u32 offset, u32 stored bytes, u32
// crc32c of the stored bytes; their key is at most the first key below them.
//
// Stored form: u8 codec (0 none, 1 raw deflate), 3 zero bytes, u32 raw length, then the raw form, so coded. Its crc32c
// stands in the pointer to it.
//
// Must stay true: a page is never empty; it never splits between two keys that differ only in their low `groupBits` bits
// (so all names of one hash lie in one page); a page read back is checked before it is used.
import { ok as assert } from 'node:assert'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { FsError, readU64, writeU64 } from '../platform/index.ts'
import type { PagePointer, SegmentId } from '../segments/index.ts'
import type { PackedEntries } from './page-builder.ts'

export const PAGE_TARGET_BYTES = 64 * 1024
export const RECORD_MAX_BYTES = 16 * 1024
/** No page gets larger: of one group of keys alone, 256 of the largest records. */
const RAW_BYTES_MAX = 8 * 1024 * 1024
const HEADER_BYTES = 16
const STORED_HEADER_BYTES = 8
export const POINTER_BYTES = 20
const TWO_32 = 0x1_0000_0000

/** A whole page, but not one of the table that points to it. */
export class MisplacedPage extends FsError {
  constructor(message: string) {
    super('EIO', message)
  }
}

/** The stored bytes are what the pointer says, but no page. */
export class DamagedPage extends FsError {
  constructor(message: string, options: { cause?: unknown }) {
    super('EIO', message, options)
  }
}

export class Page {
  readonly bytes: Buffer
  readonly count: number
  readonly level: number
  readonly kind: number
  readonly owner: number
  /** Pairs of low and high halves. */
  readonly #keys: Uint32Array
  readonly #offsets: Uint32Array

  constructor(raw: Buffer) {
    // Views of 32-bit words need an aligned start.
    const bytes = raw.byteOffset % 4 === 0 ? raw : Buffer.from(new Uint8Array(raw).buffer)
    this.bytes = bytes
    this.level = bytes[1]!
    this.kind = bytes[2]!
    this.count = bytes.readUInt32LE(4)
    this.owner = readU64(bytes, 8)
    this.#keys = new Uint32Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES, this.count * 2)
    this.#offsets = new Uint32Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES + this.count * 8, this.count + 1)
  }

  key(index: number): number {
    return this.#keys[index * 2]! + this.#keys[index * 2 + 1]! * TWO_32
  }

  start(index: number): number {
    return this.#offsets[index]!
  }

  end(index: number): number {
    return this.#offsets[index + 1]!
  }

  /** Whether keys increase strictly, and offsets never decrease. */
  isOrderly(): boolean {
    const keys = this.#keys
    const offsets = this.#offsets
    let low = 0
    let high = -1
    for (let index = 0; index < this.count; index++) {
      const nextLow = keys[index * 2]!
      const nextHigh = keys[index * 2 + 1]!
      const isKeyGreater = nextHigh > high || (nextHigh === high && nextLow > low)
      if (!isKeyGreater || offsets[index + 1]! < offsets[index]!) return false
      low = nextLow
      high = nextHigh
    }
    return true
  }

  record(index: number): Buffer {
    return this.bytes.subarray(this.start(index), this.end(index))
  }

  /** Index of the first key >= `key`, from `from` on; `count` when there is none. */
  lowerBound(key: number, from = 0): number {
    let low = from
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.key(middle) < key) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Inner pages: the child whose range holds `key`. */
  childIndex(key: number): number {
    const at = this.lowerBound(key)
    return at < this.count && this.key(at) === key ? at : Math.max(0, at - 1)
  }

  pointer(index: number): PagePointer {
    return decodePointer(this.bytes, this.start(index))
  }

  /** Of the child alone: how many bytes it has as stored. */
  storedBytes(index: number): number {
    return this.bytes.readUInt32LE(this.start(index) + 12)
  }
}

export function encodePointer(pointer: PagePointer, into = Buffer.alloc(POINTER_BYTES), at = 0): Buffer {
  writeU64(into, at, pointer.segment)
  into.writeUInt32LE(pointer.offset, at + 8)
  into.writeUInt32LE(pointer.storedBytes, at + 12)
  into.writeUInt32LE(pointer.crc, at + 16)
  return into
}

export function decodePointer(bytes: Buffer, at: number): PagePointer {
  return {
    segment: readU64(bytes, at) as SegmentId,
    offset: bytes.readUInt32LE(at + 8),
    storedBytes: bytes.readUInt32LE(at + 12),
    crc: bytes.readUInt32LE(at + 16),
  }
}

/** What a raw page of so many entries takes, with `recordBytes` of records. */
export function rawPageBytes(count: number, recordBytes: number): number {
  return HEADER_BYTES + 4 + 12 * count + recordBytes
}

/** Builds the raw form of a page from the first `count` entries. */
export function buildPage(
  table: { kind: number; owner: number; level: number },
  entries: Readonly<PackedEntries>,
  count: number,
): Page {
  assert(count > 0, 'a page is never empty')
  const recordBytes = entries.ends[count - 1]!
  const raw = Buffer.allocUnsafeSlow(rawPageBytes(count, recordBytes))
  raw[0] = 1
  raw[1] = table.level
  raw[2] = table.kind
  raw[3] = 0
  raw.writeUInt32LE(count, 4)
  writeU64(raw, 8, table.owner)
  const keys = new Uint32Array(raw.buffer, raw.byteOffset + HEADER_BYTES, count * 2)
  const offsets = new Uint32Array(raw.buffer, raw.byteOffset + HEADER_BYTES + count * 8, count + 1)
  const recordsAt = raw.length - recordBytes
  let previous = -1
  offsets[0] = recordsAt
  for (let index = 0; index < count; index++) {
    const key = entries.keys[index]!
    assert(key > previous, 'keys of a page are strictly increasing')
    previous = key
    keys[index * 2] = key % TWO_32
    keys[index * 2 + 1] = Math.floor(key / TWO_32)
    offsets[index + 1] = recordsAt + entries.ends[index]!
  }
  raw.set(entries.bytes.subarray(0, recordBytes), recordsAt)
  return new Page(raw)
}

export function encodeStored(page: Page): Buffer {
  const deflated = deflateRawSync(page.bytes, { level: 1 })
  const coded = deflated.length < page.bytes.length ? deflated : page.bytes
  const stored = Buffer.allocUnsafe(STORED_HEADER_BYTES + coded.length)
  stored.fill(0, 0, STORED_HEADER_BYTES)
  stored[0] = coded === deflated ? 1 : 0
  stored.writeUInt32LE(page.bytes.length, 4)
  stored.set(coded, STORED_HEADER_BYTES)
  return stored
}

/** Decodes and checks the stored form. Throws DamagedPage or MisplacedPage (FsError EIO) naming `where` when
 *  it is not a page of this table. */
export function decodeStored(stored: Uint8Array, where: string, table: { kind: number; owner: number }): Page {
  const bad = (what: string, cause?: unknown) => new DamagedPage(`${where}: ${what}`, { cause })
  const buffer = Buffer.from(stored.buffer, stored.byteOffset, stored.length)
  if (buffer.length < STORED_HEADER_BYTES + HEADER_BYTES) throw bad('page cut short')
  const rawBytes = buffer.readUInt32LE(4)
  const coded = buffer.subarray(STORED_HEADER_BYTES)
  let raw: Buffer
  try {
    // In one chunk, which is then the page: by default it would be put together of pieces of 16 KiB.
    const chunkSize = Math.max(64, Math.min(rawBytes, RAW_BYTES_MAX))
    if (buffer[0] === 1) raw = inflateRawSync(coded, { maxOutputLength: Math.max(1, rawBytes), chunkSize })
    else if (buffer[0] === 0) raw = Buffer.from(coded)
    else throw bad(`unknown page codec ${buffer[0]}`)
  } catch (error) {
    throw error instanceof FsError ? error : bad('page does not inflate', error)
  }
  if (raw.length !== rawBytes || raw.length < HEADER_BYTES + 16) throw bad('page has the wrong length')
  if (raw[0] !== 1) throw bad(`unknown page format ${raw[0]}`)
  const count = raw.readUInt32LE(4)
  if (count === 0 || HEADER_BYTES + count * 12 + 4 > raw.length) throw bad('page has a bad count')
  const page = new Page(raw)
  if (page.kind !== table.kind || page.owner !== table.owner) {
    throw new MisplacedPage(
      `${where}: page belongs to table ${page.kind}/${page.owner}, not ${table.kind}/${table.owner}`,
    )
  }
  if (page.start(0) !== HEADER_BYTES + count * 12 + 4 || page.start(count) !== raw.length)
    throw bad('page is inconsistent')
  if (!page.isOrderly()) throw bad('page is inconsistent')
  return page
}
