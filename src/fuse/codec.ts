// Decoding requests and encoding replies, in buffers that are used again and again.
//
// Must stay true:
// - Nothing here trusts a length: what lies beyond the bytes the kernel gave is never read, a name is checked for its
//   end, and a bad request throws MalformedRequest, which the session answers and logs.
// - No allocation per request but the views handed to the filesystem (names, data).
// - A u64 is read and written as two u32; above 2^53 the number is rounded. Uniques, which only travel back, are copied
//   as halves.
import type { Slab } from '../data/index.ts'
import { type Address, FsError, libc, type Timespec } from '../platform/index.ts'
import type { Attributes, DirectorySink, Entry, FilesystemStatistics, Ino, SetAttributes } from '../vfs/index.ts'
import {
  AttrOut,
  Dirent,
  EntryOut,
  InHeader,
  NAME_MAX,
  NotifyCode,
  NotifyInvalEntryOut,
  NotifyInvalInodeOut,
  NotifyStoreOut,
  OpenOut,
  OutHeader,
  SetattrIn,
  SetattrValid,
  STATX_ANSWERED,
  StatfsOut,
  Statx,
  StatxOut,
  WriteIn,
} from './wire.ts'

const TWO_32 = 4294967296
/** What stands before a WRITE's data. */
const WRITE_HEAD_BYTES = InHeader.sizeof + WriteIn.sizeof
/** Of a cookie's high half: 2^53 is the largest. Above it stands a listing's generation, of 9 bits; the last is the sign. */
const COOKIE_HIGH_BITS = 22
export const GENERATIONS = 512
const QUIET_END_BYTES = 8
const S_IFMT = 0o170000
const S_IFDIR = 0o040000
/** st_blksize of what is no directory. */
const BLOCK_BYTES = 4096
/** st_blksize of directories: so much does opendir(3) of glibc then have read at a time in place of 32 KiB, and the kernel
 *  asks for so much in one READDIRPLUS. As much as malloc(3) gives without mapping memory for it. */
const DIRECTORY_BLOCK_BYTES = 64 * 1024

/** The kernel sent what the protocol does not allow; answered with EINVAL. */
export class MalformedRequest extends FsError {
  constructor(what: string) {
    super('EINVAL', `malformed FUSE request: ${what}`)
  }
}

/** Two names of one request. */
export interface NamePair {
  first: Uint8Array
  second: Uint8Array
}

/** One request, in memory that the kernel's read filled. The owner sets `length`, then everything else reads it. */
export class RequestBuffer {
  readonly bytes: Buffer
  readonly address: Address
  /** Where a WRITE's data begin: whoever takes them may keep it. */
  readonly slab: Slab | null
  /** Bytes of the request; the rest of `bytes` is left over from earlier ones. */
  length = 0
  /** Set once a reply was sent (or none is due), so that no request is answered twice. */
  answered = false
  readonly #words: Uint32Array
  // LOOKUP's names all begin at the same place: one view for each length, made when first needed.
  readonly #lookupNames: (Uint8Array | undefined)[] = []

  /** `slab`: where it is to lie, instead of in memory of its own. */
  constructor(capacityBytes: number, slab: Slab | null = null) {
    this.slab = slab
    if (slab === null) this.bytes = Buffer.from(new ArrayBuffer((capacityBytes + 7) & ~7))
    else this.bytes = Buffer.from(slab.bytes.buffer, slab.bytes.byteOffset - WRITE_HEAD_BYTES, capacityBytes)
    const { buffer, byteOffset, length } = this.bytes
    this.#words = new Uint32Array(buffer, byteOffset, length >> 2)
    this.address = libc().addressOf(this.bytes)
  }

  /** Whether the header is whole and its length the length received. */
  get isWellFormed(): boolean {
    return this.length >= InHeader.sizeof && this.u32(InHeader.len) === this.length
  }

  get opcode(): number {
    return this.u32(InHeader.opcode)
  }
  get nodeid(): number {
    return this.u64(InHeader.nodeid)
  }
  get uid(): number {
    return this.u32(InHeader.uid)
  }
  get gid(): number {
    return this.u32(InHeader.gid)
  }
  get pid(): number {
    return this.u32(InHeader.pid)
  }

  /** Throws unless the request's struct of `sizeBytes` was received whole. */
  need(sizeBytes: number): void {
    if (this.length < InHeader.sizeof + sizeBytes) {
      throw new MalformedRequest(`opcode ${this.opcode} with ${this.length} bytes`)
    }
  }

  u32(at: number): number {
    return this.#words[at >> 2]!
  }
  u64(at: number): number {
    return this.#words[at >> 2]! + this.#words[(at >> 2) + 1]! * TWO_32
  }
  /** A cookie of readdir, and the generation above it. */
  cookie(at: number): { cookie: number; generation: number } {
    const high = this.#words[(at >> 2) + 1]!
    const cookie = this.#words[at >> 2]! + (high & (2 ** COOKIE_HIGH_BITS - 1)) * TWO_32
    return { cookie, generation: high >>> COOKIE_HIGH_BITS }
  }
  i64(at: number): number {
    return this.#words[at >> 2]! + (this.#words[(at >> 2) + 1]! | 0) * TWO_32
  }

  /** The single name from `at` to the end; a view, valid as long as the request. */
  name(at: number): Uint8Array {
    const end = this.length - 1
    const bytes = this.bytes
    let nul = at
    while (nul < end && bytes[nul] !== 0) nul++
    if (end <= at || nul !== end || bytes[end] !== 0) {
      throw new MalformedRequest(`opcode ${this.opcode}: not one name`)
    }
    if (at !== InHeader.sizeof || end - at > NAME_MAX) return bytes.subarray(at, end)
    let view = this.#lookupNames[end - at]
    if (view === undefined) {
      view = bytes.subarray(at, end)
      this.#lookupNames[end - at] = view
    }
    return view
  }

  /** The two names, each ended by NUL, from `at` to the end. */
  twoNames(at: number): NamePair {
    const middle = this.bytes.indexOf(0, at)
    const end = this.length - 1
    if (middle <= at || middle + 1 >= end || this.bytes.indexOf(0, middle + 1) !== end) {
      throw new MalformedRequest(`opcode ${this.opcode}: not two names`)
    }
    return { first: this.bytes.subarray(at, middle), second: this.bytes.subarray(middle + 1, end) }
  }

  /** Exactly `sizeBytes` from `at` to the end. */
  data(at: number, sizeBytes: number): Uint8Array {
    if (at + sizeBytes !== this.length) {
      throw new MalformedRequest(`opcode ${this.opcode}: ${sizeBytes} bytes announced, ${this.length - at} sent`)
    }
    return this.bytes.subarray(at, this.length)
  }

  /** SETXATTR's name and value. */
  nameAndValue(at: number, valueSizeBytes: number): { name: Uint8Array; value: Uint8Array } {
    const end = this.bytes.indexOf(0, at)
    if (end <= at || end >= this.length) throw new MalformedRequest(`opcode ${this.opcode}: name without an end`)
    return { name: this.bytes.subarray(at, end), value: this.data(end + 1, valueSizeBytes) }
  }

  /** SETATTR's changes; the handle among them as a plain number, or undefined; whether set-ID bits go. */
  setattr(): { changes: SetAttributes; fh: number | undefined; dropsSetId: boolean } {
    this.need(SetattrIn.sizeof)
    const base = InHeader.sizeof
    const valid = this.u32(base + SetattrIn.valid)
    const changes: SetAttributes = {}
    if (valid & SetattrValid.MODE) changes.mode = this.u32(base + SetattrIn.mode)
    if (valid & SetattrValid.UID) changes.uid = this.u32(base + SetattrIn.uid)
    if (valid & SetattrValid.GID) changes.gid = this.u32(base + SetattrIn.gid)
    if (valid & SetattrValid.SIZE) changes.sizeBytes = this.u64(base + SetattrIn.size)
    if (valid & SetattrValid.ATIME_NOW) changes.atime = 'now'
    else if (valid & SetattrValid.ATIME) changes.atime = this.#time(base + SetattrIn.atime, base + SetattrIn.atimensec)
    if (valid & SetattrValid.MTIME_NOW) changes.mtime = 'now'
    else if (valid & SetattrValid.MTIME) changes.mtime = this.#time(base + SetattrIn.mtime, base + SetattrIn.mtimensec)
    if (valid & SetattrValid.CTIME) changes.ctime = this.#time(base + SetattrIn.ctime, base + SetattrIn.ctimensec)
    return {
      changes,
      fh: valid & SetattrValid.FH ? this.u64(base + SetattrIn.fh) : undefined,
      dropsSetId: (valid & SetattrValid.KILL_SUIDGID) !== 0,
    }
  }

  #time(secAt: number, nsecAt: number): Timespec {
    const nsec = this.u32(nsecAt)
    if (nsec > 999_999_999) throw new MalformedRequest(`SETATTR with ${nsec} ns`)
    return { sec: this.i64(secAt), nsec }
  }
}

/** One reply under construction: the header's 16 bytes, then the struct. The encoders write from byte 16 on. */
export class ReplyBuffer {
  readonly bytes: Buffer
  readonly address: Address
  readonly #words: Uint32Array

  constructor(capacityBytes: number) {
    this.bytes = Buffer.from(new ArrayBuffer((capacityBytes + 7) & ~7))
    this.#words = new Uint32Array(this.bytes.buffer)
    this.address = libc().addressOf(this.bytes)
  }

  get capacity(): number {
    return this.bytes.length
  }

  putU16(at: number, value: number): void {
    this.bytes.writeUInt16LE(value, at)
  }
  putU32(at: number, value: number): void {
    this.#words[at >> 2] = value
  }
  /** Any integer between -2^53 and 2^64 (rounded above 2^53), negative ones in two's complement. */
  putU64(at: number, value: number): void {
    this.#words[at >> 2] = value
    this.#words[(at >> 2) + 1] = value >= 0 && value < TWO_32 ? 0 : Math.floor(value / TWO_32)
  }
  u32(at: number): number {
    return this.#words[at >> 2]!
  }
  u64(at: number): number {
    return this.#words[at >> 2]! + this.#words[(at >> 2) + 1]! * TWO_32
  }
  /** Of a dirent, without the generation above it. */
  cookie(at: number): number {
    return this.#words[at >> 2]! + (this.#words[(at >> 2) + 1]! & (2 ** COOKIE_HIGH_BITS - 1)) * TWO_32
  }
  zero(at: number, end: number): void {
    this.#words.fill(0, at >> 2, (end + 3) >> 2)
  }

  /** The header; `errno` is 0 or a positive errno. Returns the length, for the send that follows. */
  header(request: RequestBuffer, lengthBytes: number, errno: number): number {
    this.#words[OutHeader.len >> 2] = lengthBytes
    this.#words[OutHeader.error >> 2] = -errno
    this.#words[OutHeader.unique >> 2] = request.u32(InHeader.unique)
    this.#words[(OutHeader.unique >> 2) + 1] = request.u32(InHeader.unique + 4)
    return lengthBytes
  }

  attr(at: number, a: Attributes): void {
    const words = this.#words
    let w = at >> 2
    const high = (value: number) => (value < TWO_32 ? 0 : value / TWO_32)
    words[w++] = a.ino
    words[w++] = high(a.ino)
    words[w++] = a.sizeBytes
    words[w++] = high(a.sizeBytes)
    const blocks = Math.ceil(a.allocatedBytes / 512)
    words[w++] = blocks
    words[w++] = high(blocks)
    words[w++] = a.atime.sec
    words[w++] = Math.floor(a.atime.sec / TWO_32)
    words[w++] = a.mtime.sec
    words[w++] = Math.floor(a.mtime.sec / TWO_32)
    words[w++] = a.ctime.sec
    words[w++] = Math.floor(a.ctime.sec / TWO_32)
    words[w++] = a.atime.nsec
    words[w++] = a.mtime.nsec
    words[w++] = a.ctime.nsec
    words[w++] = a.mode
    words[w++] = a.nlink
    words[w++] = a.uid
    words[w++] = a.gid
    words[w++] = a.rdev
    words[w++] = blksizeOf(a.mode)
    words[w++] = 0
  }

  /** fuse_entry_out of something found. Returns the end. */
  entry(at: number, attributes: Attributes, entryTtlSec: number, attributeTtlSec: number): number {
    this.putU64(at + EntryOut.nodeid, attributes.ino)
    this.putU64(at + EntryOut.generation, attributes.generation)
    this.#ttl(at + EntryOut.entryValid, at + EntryOut.entryValidNsec, entryTtlSec)
    this.#ttl(at + EntryOut.attrValid, at + EntryOut.attrValidNsec, attributeTtlSec)
    this.attr(at + EntryOut.attr, attributes)
    return at + EntryOut.sizeof
  }

  /** fuse_entry_out that says for `ttlSec` that there is no such name. Returns the end. */
  negativeEntry(at: number, ttlSec: number): number {
    this.zero(at, at + EntryOut.sizeof)
    this.#ttl(at + EntryOut.entryValid, at + EntryOut.entryValidNsec, ttlSec)
    return at + EntryOut.sizeof
  }

  foundEntry(at: number, entry: Entry): number {
    return this.entry(at, entry.attributes, entry.entryTtlSec, entry.attributeTtlSec)
  }

  attrOut(at: number, attributes: Attributes, ttlSec: number): number {
    this.#ttl(at + AttrOut.attrValid, at + AttrOut.attrValidNsec, ttlSec)
    this.putU32(at + AttrOut.attrValidNsec + 4, 0)
    this.attr(at + AttrOut.attr, attributes)
    return at + AttrOut.sizeof
  }

  statxOut(at: number, a: Attributes, ttlSec: number): number {
    this.zero(at, at + StatxOut.sizeof)
    this.#ttl(at + StatxOut.attrValid, at + StatxOut.attrValidNsec, ttlSec)
    const stat = at + StatxOut.stat
    this.putU32(stat + Statx.mask, STATX_ANSWERED)
    this.putU32(stat + Statx.blksize, blksizeOf(a.mode))
    this.putU32(stat + Statx.nlink, a.nlink)
    this.putU32(stat + Statx.uid, a.uid)
    this.putU32(stat + Statx.gid, a.gid)
    this.putU16(stat + Statx.mode, a.mode)
    this.putU64(stat + Statx.ino, a.ino)
    this.putU64(stat + Statx.size, a.sizeBytes)
    this.putU64(stat + Statx.blocks, Math.ceil(a.allocatedBytes / 512))
    for (const name of ['atime', 'btime', 'ctime', 'mtime'] as const) {
      this.putU64(stat + Statx[name], a[name].sec)
      this.putU32(stat + Statx[name] + 8, a[name].nsec)
    }
    // As new_decode_dev of <linux/kdev_t.h>.
    this.putU32(stat + Statx.rdevMajor, (a.rdev >>> 8) & 0xfff)
    this.putU32(stat + Statx.rdevMinor, (a.rdev & 0xff) | ((a.rdev >>> 12) & 0xfff00))
    return at + StatxOut.sizeof
  }

  openOut(at: number, handle: number, openFlags: number): number {
    this.putU64(at + OpenOut.fh, handle)
    this.putU32(at + OpenOut.openFlags, openFlags)
    this.putU32(at + OpenOut.openFlags + 4, 0)
    return at + OpenOut.sizeof
  }

  statfs(at: number, s: FilesystemStatistics): number {
    const blocksOf = (bytes: number) => Math.floor(bytes / s.blockSizeBytes)
    this.zero(at, at + StatfsOut.sizeof)
    this.putU64(at + StatfsOut.blocks, blocksOf(s.totalBytes))
    this.putU64(at + StatfsOut.bfree, blocksOf(s.freeBytes))
    this.putU64(at + StatfsOut.bavail, blocksOf(s.freeBytes))
    this.putU64(at + StatfsOut.files, s.totalInodes)
    this.putU64(at + StatfsOut.ffree, s.freeInodes)
    this.putU32(at + StatfsOut.bsize, s.blockSizeBytes)
    this.putU32(at + StatfsOut.namelen, s.nameLengthMax)
    this.putU32(at + StatfsOut.frsize, s.blockSizeBytes)
    return at + StatfsOut.sizeof
  }

  /** fuse_dirent with its name, `from[nameStart, nameEnd)`, and padding. `generation` stands above the cookie's bits. Returns
   *  the end. */
  dirent(
    at: number,
    from: Uint8Array,
    nameStart: number,
    nameEnd: number,
    ino: number,
    mode: number,
    cookie: number,
    generation: number,
  ): number {
    const nameBytes = nameEnd - nameStart
    this.putU64(at + Dirent.ino, ino)
    this.putU64(at + Dirent.off, cookie)
    this.#words[((at + Dirent.off) >> 2) + 1]! |= generation << COOKIE_HIGH_BITS
    this.putU32(at + Dirent.namelen, nameBytes)
    this.putU32(at + Dirent.type, (mode >> 12) & 15)
    const end = (at + Dirent.name + nameBytes + 7) & ~7
    // The padding is within the last two words; the name then covers its part of them.
    this.#words[(end >> 2) - 2] = 0
    this.#words[(end >> 2) - 1] = 0
    const bytes = this.bytes
    const to = at + Dirent.name
    for (let i = 0; i < nameBytes; i++) bytes[to + i] = from[nameStart + i]!
    return end
  }

  #ttl(secAt: number, nsecAt: number, ttlSec: number): void {
    const sec = ttlSec < TWO_32 ? Math.floor(ttlSec) : TWO_32
    this.putU64(secAt, sec)
    this.putU32(nsecAt, ttlSec < TWO_32 ? (ttlSec - sec) * 1e9 : 0)
  }
}

/** The entries of one READDIR or READDIRPLUS reply. `sink` is what the filesystem fills it through. */
export class DirectoryReply {
  readonly reply: ReplyBuffer
  /** Where the next entry goes; 16 when there is none yet. */
  at: number = OutHeader.sizeof
  /** Whether an entry was refused for want of room. */
  isFull = false
  /** Of the last entry; 0 when there is none. */
  lastCookie = 0
  #generation = 0
  #end = 0
  #plus = false
  #entryTtlSec = 0
  #attributeTtlSec = 0

  constructor(capacityBytes: number) {
    this.reply = new ReplyBuffer(capacityBytes)
  }

  begin(options: {
    sizeBytes: number
    plus: boolean
    generation: number
    entryTtlSec: number
    attributeTtlSec: number
  }): void {
    this.at = OutHeader.sizeof
    this.isFull = false
    this.lastCookie = 0
    this.#generation = options.generation
    this.#end = Math.min(OutHeader.sizeof + options.sizeBytes, this.reply.capacity)
    this.#plus = options.plus
    this.#entryTtlSec = options.entryTtlSec
    this.#attributeTtlSec = options.attributeTtlSec
  }

  /** An end that leaves the kernel's cache of the directory as it is: less than an entry, but not nothing. */
  addQuietEnd(): void {
    this.reply.zero(this.at, this.at + QUIET_END_BYTES)
    this.at += QUIET_END_BYTES
  }

  get isEmpty(): boolean {
    return this.at === OutHeader.sizeof
  }

  /** Calls `visit` with the inode of each entry that counts a reference. */
  forEachReference(visit: (ino: number) => void): void {
    if (!this.#plus) return
    this.#forEachDirent((direntAt) => {
      const nodeid = this.reply.u64(direntAt - EntryOut.sizeof + EntryOut.nodeid)
      if (nodeid !== 0) visit(nodeid)
    })
  }

  /** Calls `visit` with the cookie of each entry, without its generation, and the length of its name. */
  forEachEntry(visit: (cookie: number, nameBytes: number) => void): void {
    this.#forEachDirent((at) => visit(this.reply.cookie(at + Dirent.off), this.reply.u32(at + Dirent.namelen)))
  }

  #forEachDirent(visit: (at: number) => void): void {
    // Behind a quiet end there is nothing.
    if (this.lastCookie === 0) return
    const entryBytes = this.#plus ? EntryOut.sizeof : 0
    for (let at: number = OutHeader.sizeof; at < this.at; ) {
      const direntAt = at + entryBytes
      visit(direntAt)
      at = (direntAt + Dirent.name + this.reply.u32(direntAt + Dirent.namelen) + 7) & ~7
    }
  }

  readonly #take: NonNullable<DirectorySink['inPlace']> = (
    bytes,
    nameStart,
    nameEnd,
    ino,
    mode,
    cookie,
    attributes,
  ) => {
    const direntAt = this.#plus ? this.at + EntryOut.sizeof : this.at
    if (((direntAt + Dirent.name + nameEnd - nameStart + 7) & ~7) > this.#end) {
      this.isFull = true
      return false
    }
    // A nodeid of 0 tells the kernel to take the name alone, and no reference.
    if (this.#plus) {
      if (attributes === null) this.reply.zero(this.at, direntAt)
      else this.reply.entry(this.at, attributes, this.#entryTtlSec, this.#attributeTtlSec)
    }
    this.at = this.reply.dirent(direntAt, bytes, nameStart, nameEnd, ino, mode, cookie, this.#generation)
    this.lastCookie = cookie
    return true
  }

  readonly sink: DirectorySink = Object.assign(
    (name: Uint8Array, ino: Ino, mode: number, cookie: number, attributes: Attributes | null) =>
      this.#take(name, 0, name.length, ino, mode, cookie, attributes),
    { inPlace: this.#take },
  )
}

/** A whole notification: the kernel drops what it caches of an inode's data from `offset` for `lengthBytes` (0: to the
 *  end), and its attributes. A negative offset drops the attributes alone. */
export function encodeInvalidateInode(ino: number, offset: number, lengthBytes: number): Buffer {
  const message = notification(NotifyCode.INVAL_INODE, NotifyInvalInodeOut.sizeof)
  const at = OutHeader.sizeof
  message.writeBigUInt64LE(BigInt(ino), at + NotifyInvalInodeOut.ino)
  message.writeBigInt64LE(BigInt(offset), at + NotifyInvalInodeOut.off)
  message.writeBigInt64LE(BigInt(lengthBytes), at + NotifyInvalInodeOut.len)
  return message
}

/** A whole notification: the kernel forgets what it knows of `name` in `parent`. */
export function encodeInvalidateEntry(parent: number, name: Uint8Array): Buffer {
  const message = notification(NotifyCode.INVAL_ENTRY, NotifyInvalEntryOut.sizeof + name.length + 1)
  const at = OutHeader.sizeof
  message.writeBigUInt64LE(BigInt(parent), at + NotifyInvalEntryOut.parent)
  message.writeUInt32LE(name.length, at + NotifyInvalEntryOut.namelen)
  message.set(name, at + NotifyInvalEntryOut.sizeof)
  return message
}

/** The head of a notification that puts bytes of `ino` into the kernel's cache: `lengthBytes` of them follow. */
export function encodeStoreHead(ino: number, offset: number, lengthBytes: number): Buffer {
  const message = notification(NotifyCode.STORE, NotifyStoreOut.sizeof)
  message.writeUInt32LE(message.length + lengthBytes, OutHeader.len)
  const at = OutHeader.sizeof
  message.writeBigUInt64LE(BigInt(ino), at + NotifyStoreOut.nodeid)
  message.writeBigUInt64LE(BigInt(offset), at + NotifyStoreOut.offset)
  message.writeUInt32LE(lengthBytes, at + NotifyStoreOut.size)
  return message
}

/** A whole notification: whatever name the kernel knows is asked for again before it is used. */
export function encodeIncrementEpoch(): Buffer {
  return notification(NotifyCode.INC_EPOCH, 0)
}

/** A notification is a reply to no request (unique 0) whose error field carries its code, as a positive number. */
function notification(code: number, payloadBytes: number): Buffer {
  const message = Buffer.alloc(OutHeader.sizeof + payloadBytes)
  message.writeUInt32LE(message.length, OutHeader.len)
  message.writeInt32LE(code, OutHeader.error)
  return message
}

function blksizeOf(mode: number): number {
  return (mode & S_IFMT) === S_IFDIR ? DIRECTORY_BLOCK_BYTES : BLOCK_BYTES
}

export function totalLengthBytes(parts: readonly Uint8Array[]): number {
  let length = 0
  for (const part of parts) length += part.length
  return length
}
