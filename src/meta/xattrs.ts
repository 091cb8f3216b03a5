// Extended attributes: where an inode's names and values lie. Small ones stand in the inode's record, one behind the
// other; what has no room there lies in the table XATTRS of that inode. An inode without any says so by its length alone.
//
//   In the inode, each:
//   0    u8   bytes of the name
//   1    u16  bytes of the value
//   3    name, value
//
//   In the table, under the key of the name (name-keys.ts) with any ordinals, each piece of a value:
//   0    u8   bytes of the name
//   1    u8   number of the piece
//   2    u32  bytes of the whole value
//   6    name, then the piece: PIECE_BYTES, the last what is left; an empty value is one piece of none
//
// Must stay true:
// - A name stands in one place, once. Names are whole, with their prefix ("user.x").
// - `tableNamesBytes` and `tableValuesBytes` of the inode are the sums of what its table holds; both 0: it has no table, and
//   no page need be read to know that.
// - What ALWAYS_INLINE names never lies in the table: it is looked at where nothing may be loaded.
import { ok as assert } from 'node:assert'
import { errnoError, FsError } from '../platform/index.ts'
import type { TableReader, Transaction } from '../tables/index.ts'
import type { Inode } from './inode-record.ts'
import { type NameKeys, ORDINALS } from './name-keys.ts'
import { XATTRS } from './table-kinds.ts'

/** In an inode's record. */
export const XATTRS_INLINE_MAX = 1024
/** XATTR_SIZE_MAX of <linux/limits.h>. */
export const XATTR_VALUE_MAX = 65_536
/** All names of an inode with a NUL each, as XATTR_LIST_MAX: what listxattr(2) can say. */
export const XATTR_NAMES_MAX = 65_536
/** All values of an inode. */
export const XATTR_VALUES_MAX = 1 << 20
/** Of a value, in one record. */
const PIECE_BYTES = 16_000
const ENTRY_HEAD_BYTES = 3
const PIECE_HEAD_BYTES = 6

export const CAPABILITY_XATTR = Buffer.from('security.capability')
/** Of the root directory: there are, or have been, ACLs in the volume. Shown to nobody. */
export const ACL_MARK_XATTR = Buffer.from('cairnfs.acl')
const ALWAYS_INLINE: readonly Buffer[] = [CAPABILITY_XATTR, ACL_MARK_XATTR]
/** Of a value that is always inline: file capabilities have 24 bytes at most. */
export const XATTR_INLINE_VALUE_MAX = 64

/** An attribute in an inode's record; views. */
interface Entry {
  name: Buffer
  value: Buffer
  /** Where it stands. */
  start: number
  end: number
}

/** A piece of a value; views. */
export interface XattrPiece {
  name: Buffer
  piece: number
  valueBytes: number
  bytes: Buffer
}

/** The attributes in an inode's record. Null where they do not add up. */
export function inlineXattrs(area: Buffer): Entry[] | null {
  const entries: Entry[] = []
  let at = 0
  while (at < area.length) {
    const entry = entryAt(area, at)
    if (entry === null) return null
    entries.push(entry)
    at = entry.end
  }
  return entries
}

function entryAt(area: Buffer, start: number): Entry | null {
  if (start + ENTRY_HEAD_BYTES > area.length) return null
  const nameEnd = start + ENTRY_HEAD_BYTES + area[start]!
  const end = nameEnd + area.readUInt16LE(start + 1)
  if (nameEnd === start + ENTRY_HEAD_BYTES || end > area.length) return null
  return { name: area.subarray(start + ENTRY_HEAD_BYTES, nameEnd), value: area.subarray(nameEnd, end), start, end }
}

function findInline(area: Buffer, name: Uint8Array): Entry | null {
  for (let at = 0; at < area.length; ) {
    const entry = entryAt(area, at)
    assert(entry !== null, 'the xattrs of an inode add up')
    if (entry.name.equals(name)) return entry
    at = entry.end
  }
  return null
}

function encodeEntry(name: Uint8Array, value: Uint8Array): Buffer {
  const entry = Buffer.allocUnsafe(ENTRY_HEAD_BYTES + name.length + value.length)
  entry[0] = name.length
  entry.writeUInt16LE(value.length, 1)
  entry.set(name, ENTRY_HEAD_BYTES)
  entry.set(value, ENTRY_HEAD_BYTES + name.length)
  return entry
}

/** Null where a record cannot be one. */
export function decodeXattrPiece(bytes: Buffer, start: number, end: number): XattrPiece | null {
  const nameAt = start + PIECE_HEAD_BYTES
  if (nameAt > end || bytes[start] === 0 || nameAt + bytes[start]! > end) return null
  const bytesAt = nameAt + bytes[start]!
  const piece = bytes[start + 1]!
  const valueBytes = bytes.readUInt32LE(start + 2)
  const isWhole = end - bytesAt === Math.max(0, Math.min(PIECE_BYTES, valueBytes - piece * PIECE_BYTES))
  if (valueBytes > XATTR_VALUE_MAX || piece >= piecesOf(valueBytes) || !isWhole) return null
  return { name: bytes.subarray(nameAt, bytesAt), piece, valueBytes, bytes: bytes.subarray(bytesAt, end) }
}

function encodePiece(name: Uint8Array, piece: number, value: Uint8Array): Buffer {
  const bytes = value.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES)
  const record = Buffer.allocUnsafe(PIECE_HEAD_BYTES + name.length + bytes.length)
  record[0] = name.length
  record[1] = piece
  record.writeUInt32LE(value.length, 2)
  record.set(name, PIECE_HEAD_BYTES)
  record.set(bytes, PIECE_HEAD_BYTES + name.length)
  return record
}

/** How many pieces a value has. */
export function piecesOf(valueBytes: number): number {
  return Math.max(1, Math.ceil(valueBytes / PIECE_BYTES))
}

/** The value of an attribute, copied; null where there is none. May fault where the inode has a table. */
export function xattrOf(reader: TableReader, keys: NameKeys, inode: Inode, name: Uint8Array): Buffer | null {
  const inline = findInline(inode.xattrs, name)
  if (inline !== null) return Buffer.from(inline.value)
  if (inode.tableNamesBytes === 0) return null
  const found: XattrPiece[] = []
  const base = keys(name)
  reader.table(XATTRS, inode.ino).scan(base, base + ORDINALS - 1, (_key, bytes, start, end) => {
    const piece = decodeXattrPiece(bytes, start, end)
    if (piece?.name.equals(name)) found.push(piece)
    return true
  })
  if (found.length === 0) return null
  found.sort((a, b) => a.piece - b.piece)
  const value = Buffer.concat(found.map(({ bytes }) => bytes))
  if (value.length !== found[0]!.valueBytes)
    throw new FsError(
      'EIO',
      `the attribute ${Buffer.from(name)} of inode ${inode.ino} is not whole: cairnfs fsck mends it`,
    )
  return value
}

/** Whether an inode has an attribute that is always inline. Never faults. */
export function hasInlineXattr(inode: Inode, name: Uint8Array): boolean {
  return inode.xattrs.length > 0 && findInline(inode.xattrs, name) !== null
}

/** The names of all attributes, copied. May fault where the inode has a table. */
export function xattrNames(reader: TableReader, inode: Inode): Buffer[] {
  const names: Buffer[] = []
  for (let at = 0; at < inode.xattrs.length; ) {
    const entry = entryAt(inode.xattrs, at)
    assert(entry !== null, 'the xattrs of an inode add up')
    names.push(Buffer.from(entry.name))
    at = entry.end
  }
  if (inode.tableNamesBytes === 0) return names
  reader.table(XATTRS, inode.ino).scan(0, Number.MAX_SAFE_INTEGER, (_key, bytes, start, end) => {
    const found = decodeXattrPiece(bytes, start, end)
    if (found?.piece === 0) names.push(Buffer.from(found.name))
    return true
  })
  return names
}

/** Changes of an inode's attributes in one turn. `set` and `delete` may fault, and change nothing but themselves; `putInto`
 *  changes the inode in place, and puts what becomes of its table; the inode is then put by the caller. */
export class XattrEdit {
  readonly #reader: TableReader
  readonly #keys: NameKeys
  readonly #inode: Inode
  readonly #hadTable: boolean
  /** Records of the table as they are to be; null: deleted. */
  readonly #changed = new Map<number, Buffer | null>()
  #area: Buffer
  #tableNamesBytes: number
  #tableValuesBytes: number

  constructor(reader: TableReader, keys: NameKeys, inode: Inode) {
    this.#reader = reader
    this.#keys = keys
    this.#inode = inode
    this.#hadTable = inode.tableNamesBytes > 0
    this.#area = inode.xattrs
    this.#tableNamesBytes = inode.tableNamesBytes
    this.#tableValuesBytes = inode.tableValuesBytes
  }

  /** Gives an attribute a value. ENOSPC where all of them would take more than they may. */
  set(name: Uint8Array, value: Uint8Array): void {
    assert(name.length > 0 && name.length <= 255 && value.length <= XATTR_VALUE_MAX, 'an attribute is in bounds')
    this.delete(name)
    const entryBytes = ENTRY_HEAD_BYTES + name.length + value.length
    if (ALWAYS_INLINE.some((each) => each.equals(name))) this.#makeRoom(entryBytes)
    if (this.#area.length + entryBytes <= XATTRS_INLINE_MAX)
      this.#area = Buffer.concat([this.#area, encodeEntry(name, value)])
    else this.#putIntoTable(name, value)
    this.#checkBounds()
  }

  /** Takes an attribute away; whether there was one. */
  delete(name: Uint8Array): boolean {
    const inline = findInline(this.#area, name)
    if (inline !== null) {
      this.#area = Buffer.concat([this.#area.subarray(0, inline.start), this.#area.subarray(inline.end)])
      return true
    }
    if (this.#tableNamesBytes === 0) return false
    let valueBytes = -1
    this.#scan(name, (key, found) => {
      if (!found.name.equals(name)) return
      valueBytes = found.valueBytes
      this.#changed.set(key, null)
    })
    if (valueBytes < 0) return false
    this.#tableNamesBytes -= name.length + 1
    this.#tableValuesBytes -= valueBytes
    return true
  }

  putInto(transaction: Transaction): void {
    const inode = this.#inode
    if (this.#tableNamesBytes === 0 ? this.#hadTable : !this.#hadTable) transaction.clear(XATTRS, inode.ino)
    if (this.#tableNamesBytes > 0) {
      for (const [key, record] of this.#changed) {
        if (record !== null) transaction.put(XATTRS, inode.ino, key, record)
        else if (this.#hadTable) transaction.delete(XATTRS, inode.ino, key)
      }
    }
    inode.xattrs = this.#area
    inode.tableNamesBytes = this.#tableNamesBytes
    inode.tableValuesBytes = this.#tableValuesBytes
  }

  /** Whether some lie in the table now. */
  get usesTable(): boolean {
    return this.#tableNamesBytes > 0
  }

  /** Moves the largest others into the table, until so much fits in. */
  #makeRoom(entryBytes: number): void {
    assert(entryBytes <= XATTRS_INLINE_MAX / ALWAYS_INLINE.length, 'what is always inline has room there')
    while (this.#area.length + entryBytes > XATTRS_INLINE_MAX) {
      const movable = inlineXattrs(this.#area)!.filter(({ name }) => !ALWAYS_INLINE.some((each) => each.equals(name)))
      const largest = movable.reduce((a, b) => (b.end - b.start > a.end - a.start ? b : a))
      const [name, value] = [Buffer.from(largest.name), Buffer.from(largest.value)]
      this.delete(name)
      this.#putIntoTable(name, value)
    }
  }

  #putIntoTable(name: Uint8Array, value: Uint8Array): void {
    const taken = new Set<number>()
    this.#scan(name, (key) => taken.add(key))
    const base = this.#keys(name)
    let key = base
    for (let piece = 0; piece < piecesOf(value.length); piece++) {
      while (taken.has(key)) key++
      if (key >= base + ORDINALS) throw errnoError('ENOSPC')
      this.#changed.set(key++, encodePiece(name, piece, value))
    }
    this.#tableNamesBytes += name.length + 1
    this.#tableValuesBytes += value.length
  }

  /** The pieces under the hash of a name, with the changes so far. */
  #scan(name: Uint8Array, visit: (key: number, piece: XattrPiece) => void): void {
    const base = this.#keys(name)
    const last = base + ORDINALS - 1
    if (this.#hadTable) {
      this.#reader.table(XATTRS, this.#inode.ino).scan(base, last, (key, bytes, start, end) => {
        const found = this.#changed.has(key) ? null : decodeXattrPiece(bytes, start, end)
        if (found !== null) visit(key, found)
        return true
      })
    }
    for (const [key, record] of [...this.#changed]) {
      if (record !== null && key >= base && key <= last) visit(key, decodeXattrPiece(record, 0, record.length)!)
    }
  }

  #checkBounds(): void {
    let namesBytes = this.#tableNamesBytes
    let valuesBytes = this.#tableValuesBytes
    for (const { name, value } of inlineXattrs(this.#area)!) {
      namesBytes += name.length + 1
      valuesBytes += value.length
    }
    if (namesBytes > XATTR_NAMES_MAX || valuesBytes > XATTR_VALUES_MAX) throw errnoError('ENOSPC')
  }
}

/** Empties the table of an inode that goes. Changes it in place. */
export function dropXattrTable(transaction: Transaction, inode: Inode): void {
  if (inode.tableNamesBytes === 0) return
  transaction.clear(XATTRS, inode.ino)
  inode.tableNamesBytes = 0
  inode.tableValuesBytes = 0
}
