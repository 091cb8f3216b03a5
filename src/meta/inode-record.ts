// The record of an inode. It stands in the dentry that names it (dentry-record.ts), in a directory's table under key 0
// ("."), or in the tables SHARED and ORPHANS. Most inodes have little to say beyond what every inode has, and there are very
// many: what is as usual takes no room. Little-endian:
//
//   0    u64  ino
//   8    u16  mode: type and permissions, as st_mode
//   10   u16  which fields follow, in the order of their bits
//   12   u32  uid
//   16   u32  gid
//   20   i64  mtime, seconds     28  u32  mtime, nanoseconds
//   32   ..   bit 0   i64, u32   ctime; else it is mtime
//        ..   bit 1   i64, u32   atime; else it is mtime
//        ..   bit 2   i64, u32   btime; else it is atime
//        ..   bit 3   u32        nlink; else 1
//        ..   bit 4   u64        size in bytes; else 0, as for all that follow
//        ..   bit 5   u64        allocated bytes: the sum of the extents' lengths
//        ..   bit 6   u32        generation (inos are never used again: 0)
//        ..   bit 7   u32        rdev, as makedev(3) encodes it in 32 bits
//        ..   bit 8   u32        flags, as FS_IOC_GETFLAGS has them; attributes.ts has those that are built
//        ..   bit 9   u64        realm (directories)
//        ..   bit 10  u16        extents that follow, at most INLINE_EXTENTS_MAX; 0xffff: they lie in the table EXTENTS
//                     u16        bytes of the symlink's target, at most 4,095
//                     u16        bytes of inline xattrs
//        ..   bit 11  u32, u32   what lies in the table XATTRS: bytes of names, a NUL each, and bytes of values
//   ..   extents: 32 bytes each (u64 file offset, then 24 as data/extents.ts has them); sorted, without overlaps
//   ..   target
//   ..   xattrs (xattrs.ts)
//
// The *names half* (mode, owner, nlink, xattrs, flags) changes with operations on names; the *stream half* (size,
// allocated, extents, mtime) is what was last recorded of the file's stream. ctime and atime belong to both: the later
// ctime counts.
//
// Must stay true: decode(encode(x)) is x; a field that is as usual is left out, so that equal inodes have equal records; a
// record fits RECORD_MAX_BYTES of tables/ together with a name of 255 bytes.
import { ok as assert } from 'node:assert'
import { decodeInlineExtent, type Extent, encodeInlineExtent, INLINE_EXTENT_BYTES } from '../data/index.ts'
import { readI64, readU64, type Timespec, writeI64, writeU64 } from '../platform/index.ts'
import { type Attributes, DIRECTORY_SIZE_BYTES, type Ino, isDirectory } from './attributes.ts'

const HEAD_BYTES = 32
const MODE_AT = 8
const PRESENT_AT = 10
const UID_AT = 12
const GID_AT = 16
const MTIME_AT = 20
const NSEC_AT = 8

const CTIME = 1 << 0
const ATIME = 1 << 1
const BTIME = 1 << 2
const NLINK = 1 << 3
const SIZE = 1 << 4
const ALLOCATED = 1 << 5
const GENERATION = 1 << 6
const RDEV = 1 << 7
const FLAGS = 1 << 8
const REALM = 1 << 9
const LENGTHS = 1 << 10
const XATTR_TABLE = 1 << 11
/** Bytes of each optional field, in the order of their bits. */
const FIELD_BYTES = [12, 12, 12, 4, 8, 8, 4, 4, 4, 8, 6, 8]
const PRESENT_END = 1 << FIELD_BYTES.length
/** How many bytes the fields take that a set of bits names. So a field begins behind those of the lower bits. */
const OPTIONAL_BYTES = Uint8Array.from({ length: PRESENT_END }, (_, present) =>
  FIELD_BYTES.reduce((sum, bytes, bit) => sum + (((present >>> bit) & 1) === 1 ? bytes : 0), 0),
)
const USUAL_NLINK = 1
export const INLINE_EXTENTS_MAX = 4
export const SYMLINK_TARGET_MAX = 4095
export const EXTENTS_IN_TABLE = 0xffff
const NOTHING = Buffer.alloc(0)

export interface Inode {
  ino: Ino
  generation: number
  mode: number
  uid: number
  gid: number
  nlink: number
  rdev: number
  sizeBytes: number
  allocatedBytes: number
  atime: Timespec
  mtime: Timespec
  ctime: Timespec
  btime: Timespec
  flags: number
  realm: number
  /** Sorted; null when they lie in the table EXTENTS. */
  extents: Extent[] | null
  target: Buffer
  /** Those that fit here (xattrs.ts). */
  xattrs: Buffer
  /** What lies in the table XATTRS: bytes of the names, with a NUL each; 0: there is none. */
  tableNamesBytes: number
  /** And bytes of their values. */
  tableValuesBytes: number
}

export interface NewInode {
  ino: Ino
  mode: number
  uid: number
  gid: number
  now: Timespec
  rdev?: number
  realm?: number
  flags?: number
  target?: Buffer
}

export function newInode({
  ino,
  mode,
  uid,
  gid,
  now,
  rdev = 0,
  realm = 0,
  flags = 0,
  target = NOTHING,
}: NewInode): Inode {
  const directory = isDirectory(mode)
  return {
    ino,
    generation: 0,
    mode,
    uid,
    gid,
    nlink: directory ? 2 : 1,
    rdev,
    sizeBytes: directory ? DIRECTORY_SIZE_BYTES : target.length,
    allocatedBytes: 0,
    atime: now,
    mtime: now,
    ctime: now,
    btime: now,
    flags,
    realm,
    extents: [],
    target,
    xattrs: NOTHING,
    tableNamesBytes: 0,
    tableValuesBytes: 0,
  }
}

export function inodeRecordBytes(inode: Inode): number {
  const extents = inode.extents?.length ?? 0
  const tail = extents * INLINE_EXTENT_BYTES + inode.target.length + inode.xattrs.length
  return HEAD_BYTES + OPTIONAL_BYTES[presentOf(inode)]! + tail
}

function presentOf(inode: Inode): number {
  const { atime, mtime, ctime, btime, extents } = inode
  let present = 0
  if (!isSameTime(ctime, mtime)) present |= CTIME
  if (!isSameTime(atime, mtime)) present |= ATIME
  if (!isSameTime(btime, atime)) present |= BTIME
  if (inode.nlink !== USUAL_NLINK) present |= NLINK
  if (inode.sizeBytes !== 0) present |= SIZE
  if (inode.allocatedBytes !== 0) present |= ALLOCATED
  if (inode.generation !== 0) present |= GENERATION
  if (inode.rdev !== 0) present |= RDEV
  if (inode.flags !== 0) present |= FLAGS
  if (inode.realm !== 0) present |= REALM
  if (extents === null || extents.length + inode.target.length + inode.xattrs.length > 0) present |= LENGTHS
  if (inode.tableNamesBytes !== 0) present |= XATTR_TABLE
  return present
}

function isSameTime(a: Timespec, b: Timespec): boolean {
  return a === b || (a.sec === b.sec && a.nsec === b.nsec)
}

function writeTime(bytes: Buffer, at: number, { sec, nsec }: Timespec): number {
  writeI64(bytes, at, sec)
  return bytes.writeUInt32LE(nsec, at + NSEC_AT)
}

/** Writes the record at `at`; returns where it ends. */
export function encodeInodeInto(inode: Inode, bytes: Buffer, at: number): number {
  const present = presentOf(inode)
  const { extents, target, xattrs } = inode
  assert(extents === null || extents.length <= INLINE_EXTENTS_MAX, 'more extents than fit an inode')
  assert(target.length <= SYMLINK_TARGET_MAX)
  writeU64(bytes, at, inode.ino)
  bytes.writeUInt16LE(inode.mode, at + MODE_AT)
  bytes.writeUInt16LE(present, at + PRESENT_AT)
  bytes.writeUInt32LE(inode.uid, at + UID_AT)
  bytes.writeUInt32LE(inode.gid, at + GID_AT)
  let end = writeTime(bytes, at + MTIME_AT, inode.mtime)
  if (present & CTIME) end = writeTime(bytes, end, inode.ctime)
  if (present & ATIME) end = writeTime(bytes, end, inode.atime)
  if (present & BTIME) end = writeTime(bytes, end, inode.btime)
  if (present & NLINK) end = bytes.writeUInt32LE(inode.nlink, end)
  if (present & SIZE) end = putU64(bytes, end, inode.sizeBytes)
  if (present & ALLOCATED) end = putU64(bytes, end, inode.allocatedBytes)
  if (present & GENERATION) end = bytes.writeUInt32LE(inode.generation, end)
  if (present & RDEV) end = bytes.writeUInt32LE(inode.rdev, end)
  if (present & FLAGS) end = bytes.writeUInt32LE(inode.flags, end)
  if (present & REALM) end = putU64(bytes, end, inode.realm)
  if (present & LENGTHS) {
    end = bytes.writeUInt16LE(extents === null ? EXTENTS_IN_TABLE : extents.length, end)
    end = bytes.writeUInt16LE(target.length, end)
    end = bytes.writeUInt16LE(xattrs.length, end)
  }
  if (present & XATTR_TABLE) {
    end = bytes.writeUInt32LE(inode.tableNamesBytes, end)
    end = bytes.writeUInt32LE(inode.tableValuesBytes, end)
  }
  if ((present & LENGTHS) === 0) return end
  if (extents !== null) {
    for (const extent of extents) end = encodeInlineExtent(extent, bytes, end)
  }
  bytes.set(target, end)
  end += target.length
  bytes.set(xattrs, end)
  return end + xattrs.length
}

function putU64(bytes: Buffer, at: number, value: number): number {
  writeU64(bytes, at, value)
  return at + 8
}

export function encodeInode(inode: Inode): Buffer {
  const bytes = Buffer.allocUnsafe(inodeRecordBytes(inode))
  encodeInodeInto(inode, bytes, 0)
  return bytes
}

/** The flags alone. */
export function inodeFlags(bytes: Buffer, at: number): number {
  const fieldAt = fieldOf(bytes, at, FLAGS)
  return fieldAt < 0 ? 0 : bytes.readUInt32LE(fieldAt)
}

/** False only where there are no extended attributes. */
export function mayHaveXattrs(bytes: Buffer, at: number): boolean {
  const lengthsAt = fieldOf(bytes, at, LENGTHS)
  return (lengthsAt >= 0 && bytes.readUInt16LE(lengthsAt + 4) !== 0) || fieldOf(bytes, at, XATTR_TABLE) >= 0
}

/** The attributes in the record, undecoded, and what it says of those in its table; null where there are none. */
export function recordXattrs(
  bytes: Buffer,
  at: number,
): { area: Buffer; tableNamesBytes: number; tableValuesBytes: number } | null {
  if (!mayHaveXattrs(bytes, at)) return null
  const { xattrs, tableNamesBytes, tableValuesBytes } = decodeInode(bytes, at)
  return { area: xattrs, tableNamesBytes, tableValuesBytes }
}

/** Where an optional field begins; -1 when it is not there. */
function fieldOf(bytes: Buffer, at: number, field: number): number {
  const present = bytes.readUInt16LE(at + PRESENT_AT)
  return (present & field) === 0 ? -1 : at + HEAD_BYTES + OPTIONAL_BYTES[present & (field - 1)]!
}

/** What lies behind the fields of a record. */
export interface RecordTail {
  /** EXTENTS_IN_TABLE when they lie elsewhere. */
  extents: number
  extentsAt: number
  targetBytes: number
  targetAt: number
  xattrBytes: number
  /** Where the record ends. */
  end: number
}

/** Null when the record at `at` cannot be one: it has fields that nobody knows, or more than fit before `limit`. */
export function recordTail(bytes: Buffer, at: number, limit = bytes.length): RecordTail | null {
  if (limit - at < HEAD_BYTES) return null
  const present = bytes.readUInt16LE(at + PRESENT_AT)
  if (present >= PRESENT_END) return null
  const extentsAt = at + HEAD_BYTES + OPTIONAL_BYTES[present]!
  if (extentsAt > limit) return null
  const lengthsAt = at + HEAD_BYTES + OPTIONAL_BYTES[present & (LENGTHS - 1)]!
  const hasLengths = (present & LENGTHS) !== 0
  const extents = hasLengths ? bytes.readUInt16LE(lengthsAt) : 0
  const targetBytes = hasLengths ? bytes.readUInt16LE(lengthsAt + 2) : 0
  const xattrBytes = hasLengths ? bytes.readUInt16LE(lengthsAt + 4) : 0
  const targetAt = extentsAt + (extents === EXTENTS_IN_TABLE ? 0 : extents * INLINE_EXTENT_BYTES)
  const end = targetAt + targetBytes + xattrBytes
  return end > limit ? null : { extents, extentsAt, targetBytes, targetAt, xattrBytes, end }
}

/** Target and xattrs of the result are views into `bytes`. */
export function decodeInode(bytes: Buffer, at: number): Inode {
  const tail = recordTail(bytes, at)
  assert(tail !== null, 'an inode record is whole')
  const { targetAt, targetBytes, xattrBytes, end } = tail
  const extents: Extent[] = []
  for (let extentAt = tail.extentsAt; extentAt < targetAt; extentAt += INLINE_EXTENT_BYTES) {
    extents.push(decodeInlineExtent(bytes, extentAt))
  }
  // All fields at once: an object that is put together of others costs several times as much.
  const inode: Inode = {
    ino: 0 as Ino,
    generation: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    nlink: 0,
    rdev: 0,
    sizeBytes: 0,
    allocatedBytes: 0,
    atime: { sec: 0, nsec: 0 },
    mtime: { sec: 0, nsec: 0 },
    ctime: { sec: 0, nsec: 0 },
    btime: { sec: 0, nsec: 0 },
    flags: inodeFlags(bytes, at),
    realm: recordRealm(bytes, at),
    extents: tail.extents === EXTENTS_IN_TABLE ? null : extents,
    target: targetBytes === 0 ? NOTHING : bytes.subarray(targetAt, targetAt + targetBytes),
    xattrs: xattrBytes === 0 ? NOTHING : bytes.subarray(end - xattrBytes, end),
    tableNamesBytes: 0,
    tableValuesBytes: 0,
  }
  const tableAt = fieldOf(bytes, at, XATTR_TABLE)
  if (tableAt >= 0) {
    inode.tableNamesBytes = bytes.readUInt32LE(tableAt)
    inode.tableValuesBytes = bytes.readUInt32LE(tableAt + 4)
  }
  readAttributes(bytes, at, inode)
  return inode
}

export function blankAttributes(): Attributes {
  const zero = () => ({ sec: 0, nsec: 0 })
  return {
    ino: 0 as Ino,
    generation: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    nlink: 0,
    rdev: 0,
    sizeBytes: 0,
    allocatedBytes: 0,
    atime: zero(),
    mtime: zero(),
    ctime: zero(),
    btime: zero(),
  }
}

/** Reads attributes straight from a record, making no object: for listings. The times of `into` are written to, so they
 *  must be its own. */
export function readAttributes(bytes: Buffer, start: number, into: Attributes): void {
  // In a listing the same page serves hundreds of entries; records changed lately lie in the same slab.
  if (bytes.buffer !== viewed) {
    viewed = bytes.buffer
    view = new DataView(viewed)
  }
  const words = view
  const at = bytes.byteOffset + start
  into.ino = (words.getUint32(at, true) + words.getUint32(at + 4, true) * TWO_32) as Ino
  into.mode = words.getUint16(at + MODE_AT, true)
  const present = words.getUint16(at + PRESENT_AT, true)
  into.uid = words.getUint32(at + UID_AT, true)
  into.gid = words.getUint32(at + GID_AT, true)
  readTime(words, at + MTIME_AT, into.mtime)
  into.nlink = USUAL_NLINK
  into.sizeBytes = 0
  into.allocatedBytes = 0
  into.generation = 0
  into.rdev = 0
  let next = at + HEAD_BYTES
  if (present & CTIME) next = readTime(words, next, into.ctime)
  else copyTime(into.mtime, into.ctime)
  if (present & ATIME) next = readTime(words, next, into.atime)
  else copyTime(into.mtime, into.atime)
  if (present & BTIME) next = readTime(words, next, into.btime)
  else copyTime(into.atime, into.btime)
  if (present & NLINK) {
    into.nlink = words.getUint32(next, true)
    next += 4
  }
  if (present & SIZE) {
    into.sizeBytes = words.getUint32(next, true) + words.getUint32(next + 4, true) * TWO_32
    next += 8
  }
  if (present & ALLOCATED) {
    into.allocatedBytes = words.getUint32(next, true) + words.getUint32(next + 4, true) * TWO_32
    next += 8
  }
  if (present & GENERATION) {
    into.generation = words.getUint32(next, true)
    next += 4
  }
  if (present & RDEV) into.rdev = words.getUint32(next, true)
}

function readTime(words: DataView, at: number, into: { sec: number; nsec: number }): number {
  into.sec = words.getUint32(at, true) + words.getInt32(at + 4, true) * TWO_32
  into.nsec = words.getUint32(at + NSEC_AT, true)
  return at + NSEC_AT + 4
}

function copyTime(from: Timespec, to: { sec: number; nsec: number }): void {
  to.sec = from.sec
  to.nsec = from.nsec
}

const TWO_32 = 0x1_0000_0000
/** The last memory that attributes were read from. */
let viewed: ArrayBufferLike = NOTHING.buffer
let view: DataView = new DataView(viewed)

/** A copy of the record at `at`, with mtime and ctime `now` and `moreLinks` links more: what becomes of a directory as names in
 *  it come and go. Mostly cheaper than to decode it and encode it again. */
export function touchedRecord(bytes: Buffer, at: number, now: Timespec, moreLinks: number): Buffer {
  const present = bytes.readUInt16LE(at + PRESENT_AT)
  // From its first change on a directory has these fields, and no more times but btime.
  if ((present & (CTIME | ATIME | NLINK)) === (ATIME | NLINK)) {
    const atimeAt = HEAD_BYTES
    const nlinkAt = HEAD_BYTES + OPTIONAL_BYTES[present & (NLINK - 1)]!
    const nlink = bytes.readUInt32LE(at + nlinkAt) + moreLinks
    const isAccessed =
      readI64(bytes, at + atimeAt) === now.sec && bytes.readUInt32LE(at + atimeAt + NSEC_AT) === now.nsec
    if (nlink !== USUAL_NLINK && !isAccessed) {
      const copy = Buffer.from(bytes.subarray(at, recordEnd(bytes, at)))
      writeTime(copy, MTIME_AT, now)
      copy.writeUInt32LE(nlink, nlinkAt)
      return copy
    }
  }
  const inode = decodeInode(bytes, at)
  return encodeInode({ ...inode, mtime: now, ctime: now, nlink: inode.nlink + moreLinks })
}

function recordEnd(bytes: Buffer, at: number): number {
  const tail = recordTail(bytes, at)
  assert(tail !== null, 'an inode record is whole')
  return tail.end
}

export function recordMode(bytes: Buffer, at: number): number {
  return bytes.readUInt16LE(at + MODE_AT)
}

export function recordNlink(bytes: Buffer, at: number): number {
  const fieldAt = fieldOf(bytes, at, NLINK)
  return fieldAt < 0 ? USUAL_NLINK : bytes.readUInt32LE(fieldAt)
}

export function recordGid(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + GID_AT)
}

export function recordRealm(bytes: Buffer, at: number): number {
  const fieldAt = fieldOf(bytes, at, REALM)
  return fieldAt < 0 ? 0 : readU64(bytes, fieldAt)
}

/** The recorded attributes; the times are copies. */
export function attributesOf(inode: Inode): Attributes {
  const { ino, generation, mode, uid, gid, nlink, rdev, sizeBytes, allocatedBytes, atime, mtime, ctime, btime } = inode
  return {
    ino,
    generation,
    mode,
    uid,
    gid,
    nlink,
    rdev,
    sizeBytes,
    allocatedBytes,
    atime: { sec: atime.sec, nsec: atime.nsec },
    mtime: { sec: mtime.sec, nsec: mtime.nsec },
    ctime: { sec: ctime.sec, nsec: ctime.nsec },
    btime: { sec: btime.sec, nsec: btime.nsec },
  }
}
