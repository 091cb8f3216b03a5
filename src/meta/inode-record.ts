// The record of an inode. It stands in the dentry that names it (dentry-record.ts), in a directory's table under key 0
// ("."), or in the tables SHARED and ORPHANS. Little-endian:
//
//   0    u64  ino
//   8    u32  generation (0: inos are never used again)
//   12   u32  mode: type and permissions, as st_mode
//   16   u32  uid
//   20   u32  gid
//   24   u32  nlink
//   28   u32  rdev, as makedev(3) encodes it in 32 bits
//   32   u64  size in bytes
//   40   u64  allocated bytes: the sum of the extents' lengths
//   48   i64  atime, seconds          80  u32  atime, nanoseconds
//   56   i64  mtime, seconds          84  u32  mtime, nanoseconds
//   64   i64  ctime, seconds          88  u32  ctime, nanoseconds
//   72   i64  btime, seconds          92  u32  btime, nanoseconds
//   96   u32  flags, as FS_IOC_GETFLAGS has them; only CASEFOLD (attributes.ts) is built
//   100  u64  realm (directories; 0: none)
//   108  u16  extents that follow, at most INLINE_EXTENTS_MAX; 0xffff: they lie in the table EXTENTS
//   110  u16  bytes of the symlink's target, at most 4,095
//   112  u16  bytes of inline xattrs
//   114  u16  0
//   116  extents: 32 bytes each (u64 file offset, then 24 as data/extents.ts has them); sorted, without overlaps
//   ..   target
//   ..   xattrs
//
// The *names half* (mode, owner, nlink, xattrs, flags) changes with operations on names; the *stream half* (size,
// allocated, extents, mtime) is what was last recorded of the file's stream. ctime and atime belong to both: the later
// ctime counts.
//
// Must stay true: decode(encode(x)) is x; a record fits RECORD_MAX_BYTES of tables/ together with a name of 255 bytes.
import { ok as assert } from 'node:assert'
import { decodeInlineExtent, type Extent, encodeInlineExtent, INLINE_EXTENT_BYTES } from '../data/index.ts'
import { readI64, readU64, type Timespec, writeI64, writeU64 } from '../platform/index.ts'
import { type Attributes, DIRECTORY_SIZE_BYTES, type Ino, isDirectory } from './attributes.ts'

export const INODE_FIXED_BYTES = 116
const NLINK_AT = 24
const FLAGS_AT = 96
/** Where the seconds are, and the nanoseconds. */
const MTIME_AT = [56, 84] as const
const CTIME_AT = [64, 88] as const
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
  xattrs: Buffer
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
  }
}

export function inodeRecordBytes(inode: Inode): number {
  const extents = inode.extents?.length ?? 0
  return INODE_FIXED_BYTES + extents * INLINE_EXTENT_BYTES + inode.target.length + inode.xattrs.length
}

/** Writes the record at `at`; returns where it ends. */
export function encodeInodeInto(inode: Inode, bytes: Buffer, at: number): number {
  writeU64(bytes, at, inode.ino)
  bytes.writeUInt32LE(inode.generation, at + 8)
  bytes.writeUInt32LE(inode.mode, at + 12)
  bytes.writeUInt32LE(inode.uid, at + 16)
  bytes.writeUInt32LE(inode.gid, at + 20)
  bytes.writeUInt32LE(inode.nlink, at + 24)
  bytes.writeUInt32LE(inode.rdev, at + 28)
  writeU64(bytes, at + 32, inode.sizeBytes)
  writeU64(bytes, at + 40, inode.allocatedBytes)
  writeI64(bytes, at + 48, inode.atime.sec)
  writeI64(bytes, at + 56, inode.mtime.sec)
  writeI64(bytes, at + 64, inode.ctime.sec)
  writeI64(bytes, at + 72, inode.btime.sec)
  bytes.writeUInt32LE(inode.atime.nsec, at + 80)
  bytes.writeUInt32LE(inode.mtime.nsec, at + 84)
  bytes.writeUInt32LE(inode.ctime.nsec, at + 88)
  bytes.writeUInt32LE(inode.btime.nsec, at + 92)
  bytes.writeUInt32LE(inode.flags, at + FLAGS_AT)
  writeU64(bytes, at + 100, inode.realm)
  const { extents, target, xattrs } = inode
  assert(extents === null || extents.length <= INLINE_EXTENTS_MAX, 'more extents than fit an inode')
  assert(target.length <= SYMLINK_TARGET_MAX)
  bytes.writeUInt16LE(extents === null ? EXTENTS_IN_TABLE : extents.length, at + 108)
  bytes.writeUInt16LE(target.length, at + 110)
  bytes.writeUInt16LE(xattrs.length, at + 112)
  bytes.writeUInt16LE(0, at + 114)
  let end = at + INODE_FIXED_BYTES
  if (extents !== null) {
    for (const extent of extents) end = encodeInlineExtent(extent, bytes, end)
  }
  bytes.set(target, end)
  end += target.length
  bytes.set(xattrs, end)
  return end + xattrs.length
}

export function encodeInode(inode: Inode): Buffer {
  const bytes = Buffer.allocUnsafe(inodeRecordBytes(inode))
  encodeInodeInto(inode, bytes, 0)
  return bytes
}

/** The flags alone. */
export function inodeFlags(bytes: Buffer, start: number): number {
  return bytes.readUInt32LE(start + FLAGS_AT)
}

/** Target and xattrs of the result are views into `bytes`. */
export function decodeInode(bytes: Buffer, at: number): Inode {
  const count = bytes.readUInt16LE(at + 108)
  const extents: Extent[] = []
  let end = at + INODE_FIXED_BYTES
  if (count !== EXTENTS_IN_TABLE) {
    for (let index = 0; index < count; index++) {
      extents.push(decodeInlineExtent(bytes, end))
      end += INLINE_EXTENT_BYTES
    }
  }
  const targetBytes = bytes.readUInt16LE(at + 110)
  const xattrBytes = bytes.readUInt16LE(at + 112)
  return {
    ino: readU64(bytes, at) as Ino,
    generation: bytes.readUInt32LE(at + 8),
    mode: bytes.readUInt32LE(at + 12),
    uid: bytes.readUInt32LE(at + 16),
    gid: bytes.readUInt32LE(at + 20),
    nlink: bytes.readUInt32LE(at + 24),
    rdev: bytes.readUInt32LE(at + 28),
    sizeBytes: readU64(bytes, at + 32),
    allocatedBytes: readU64(bytes, at + 40),
    atime: { sec: readI64(bytes, at + 48), nsec: bytes.readUInt32LE(at + 80) },
    mtime: { sec: readI64(bytes, at + 56), nsec: bytes.readUInt32LE(at + 84) },
    ctime: { sec: readI64(bytes, at + 64), nsec: bytes.readUInt32LE(at + 88) },
    btime: { sec: readI64(bytes, at + 72), nsec: bytes.readUInt32LE(at + 92) },
    flags: bytes.readUInt32LE(at + FLAGS_AT),
    realm: readU64(bytes, at + 100),
    extents: count === EXTENTS_IN_TABLE ? null : extents,
    target: targetBytes === 0 ? NOTHING : bytes.subarray(end, end + targetBytes),
    xattrs: xattrBytes === 0 ? NOTHING : bytes.subarray(end + targetBytes, end + targetBytes + xattrBytes),
  }
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
export function readAttributes(bytes: Buffer, at: number, into: Attributes): void {
  // In a listing the same page serves hundreds of entries.
  if (bytes !== viewed) {
    viewed = bytes
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }
  const words = view
  into.ino = (words.getUint32(at, true) + words.getUint32(at + 4, true) * TWO_32) as Ino
  into.generation = words.getUint32(at + 8, true)
  into.mode = words.getUint32(at + 12, true)
  into.uid = words.getUint32(at + 16, true)
  into.gid = words.getUint32(at + 20, true)
  into.nlink = words.getUint32(at + 24, true)
  into.rdev = words.getUint32(at + 28, true)
  into.sizeBytes = words.getUint32(at + 32, true) + words.getUint32(at + 36, true) * TWO_32
  into.allocatedBytes = words.getUint32(at + 40, true) + words.getUint32(at + 44, true) * TWO_32
  into.atime.sec = words.getUint32(at + 48, true) + words.getInt32(at + 52, true) * TWO_32
  into.mtime.sec = words.getUint32(at + 56, true) + words.getInt32(at + 60, true) * TWO_32
  into.ctime.sec = words.getUint32(at + 64, true) + words.getInt32(at + 68, true) * TWO_32
  into.btime.sec = words.getUint32(at + 72, true) + words.getInt32(at + 76, true) * TWO_32
  into.atime.nsec = words.getUint32(at + 80, true)
  into.mtime.nsec = words.getUint32(at + 84, true)
  into.ctime.nsec = words.getUint32(at + 88, true)
  into.btime.nsec = words.getUint32(at + 92, true)
}

const TWO_32 = 0x1_0000_0000
/** The last buffer that attributes were read from. */
let viewed: Buffer = NOTHING
let view: DataView = new DataView(NOTHING.buffer, NOTHING.byteOffset, 0)

/** A copy of the record at `at`, with mtime and ctime `now` and `moreLinks` links more: what becomes of a directory as names in
 *  it come and go. Cheaper than to decode it and encode it again. */
export function touchedRecord(bytes: Buffer, at: number, now: Timespec, moreLinks: number): Buffer {
  const copy = Buffer.from(bytes.subarray(at, at + recordBytes(bytes, at)))
  copy.writeUInt32LE(copy.readUInt32LE(NLINK_AT) + moreLinks, NLINK_AT)
  for (const [secAt, nsecAt] of [MTIME_AT, CTIME_AT] as const) {
    writeI64(copy, secAt, now.sec)
    copy.writeUInt32LE(now.nsec, nsecAt)
  }
  return copy
}

/** The length of the record at `at`. */
function recordBytes(bytes: Buffer, at: number): number {
  const count = bytes.readUInt16LE(at + 108)
  const extents = count === EXTENTS_IN_TABLE ? 0 : count
  return INODE_FIXED_BYTES + extents * INLINE_EXTENT_BYTES + bytes.readUInt16LE(at + 110) + bytes.readUInt16LE(at + 112)
}

export function recordMode(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 12)
}

export function recordGid(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 20)
}

export function recordRealm(bytes: Buffer, at: number): number {
  return readU64(bytes, at + 100)
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
