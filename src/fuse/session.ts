// One FUSE connection's conversation: INIT, then each request given to the Filesystem and its answer encoded. It knows
// no descriptor: bytes come in by `handle` and leave by a ReplyPort, so that it runs in tests without a kernel.
//
// Must stay true:
// - Every request but FORGET, BATCH_FORGET and INTERRUPT's target gets exactly one reply.
// - A request whose operation returned a promise is retained: its buffer is not touched until the promise settled
//   (names and data handed to the filesystem are views of it). One that was answered at once may be overwritten.
// - Nothing but what the kernel granted is used (negotiation.ts).
// - What a request asks for and does not get is an errno, never an exception out of `handle`: FsErrors by their errno,
//   malformed requests EINVAL with a warning, anything else EIO with its stack in the log.
//
// ENOSYS is an answer the kernel remembers for the life of the mount, and it means: OPENDIR, "directories need no
// opening, cache them"; OPEN, the same for files; FLUSH and ACCESS, "never ask again" (default_permissions checks
// modes); LSEEK, xattrs, FALLOCATE and the rest, "not supported", which it turns into EOPNOTSUPP or emulates.
//
// INTERRUPT gets ENOSYS too: the kernel then stops sending it. An operation under way cannot be taken back (a rename
// may be in the journal already), and answering EINTR to a read of a mapped page would kill its process with SIGBUS,
// on any signal, caught or not. So a process waiting for us is not interrupted, as on a disk filesystem; a fatal signal
// still ends one whose request we have not yet read. Waits are bounded below by the store's deadlines.
import { constants } from 'node:os'
import type { Registry } from '../observe/index.ts'
import { errnoError, FsError, isPromise, type MaybePromise, systemClock } from '../platform/index.ts'
import { Lease } from '../segments/index.ts'
import type { Attributes, Caller, Entry, Filesystem, Handle, Ino, Opened } from '../vfs/index.ts'
import { MalformedRequest, ReplyBuffer, type RequestBuffer, totalLengthBytes } from './codec.ts'
import { DirectoryRequests } from './directory-requests.ts'
import { ErrorLog } from './error-log.ts'
import { copyFileRange, fallocate, lseek, O_DIRECT, write } from './file-requests.ts'
import { forgetBatch } from './forgets.ts'
import { runIoctl } from './ioctl.ts'
import { FuseMetrics } from './metrics.ts'
import { grantedNames, type Negotiated, negotiate } from './negotiation.ts'
import { type SetIdParts, tellKernel, withoutSetId } from './set-id.ts'
import { type SyncedChanges, synced } from './sync-names.ts'
import type { TransportLog } from './transport.ts'
import {
  AttrOut,
  CopyFileRangeOut,
  CreateIn,
  EntryOut,
  ForgetIn,
  FSYNC_FDATASYNC,
  FsyncIn,
  GETATTR_FH,
  GetattrIn,
  GetxattrIn,
  GetxattrOut,
  InHeader,
  InitFlag,
  IoctlOut,
  LinkIn,
  MkdirIn,
  MknodIn,
  OPEN_KILL_SUIDGID,
  Opcode,
  OpenIn,
  OpenOutFlag,
  OutHeader,
  ReadIn,
  ReleaseIn,
  Rename2In,
  RenameIn,
  StatxIn,
  WriteIn,
  WriteOut,
} from './wire.ts'
import { changeXattr, readXattr, type XattrTerms } from './xattr.ts'

const S_IFDIR = 0o040000
const S_IFREG = 0o100000
/** The fixed part of every reply fits; READ data, directories and xattrs leave from where they lie. */
const REPLY_BYTES = 4096
/** A READ answer up to this long is copied behind its header: cheaper than a second address for the kernel. */
const COPY_BYTES = 2048

/** The older answer to COPY_FILE_RANGE has 32 bits: whole pages of them. */
const COPIED_32_MAX = 0xfffff000

/** Where replies go. Each call returns 0 or a negative errno, and has read the buffers when it returns. */
export interface ReplyPort {
  send(reply: ReplyBuffer, lengthBytes: number): number
  /** `headBytes` of `head`, then the parts. */
  sendParts(head: ReplyBuffer, headBytes: number, parts: readonly Uint8Array[]): number
  /** A whole notification, in parts, which the kernel carries out before the promise resolves, to 0 or more or a negative errno. It
   *  must not wait for anybody whom we have not answered. */
  notify(message: readonly Uint8Array[]): Promise<number>
}

export interface SessionOptions {
  /** The mount is read-only: opening files is then left to the kernel (reads come with handle 0). */
  readOnly: boolean
  /** Permissions are checked by ACLs: POSIX_ACL is asked for. */
  acls?: boolean
  /** What is durable when a call returns: mount options sync and dirsync. */
  synced?: SyncedChanges
  /** The kernel may hold back what is written; off unless told. */
  writeback?: boolean
  log: TransportLog
  /** Where requests are counted (metrics.ts). */
  registry: Registry
}

export class Session {
  readonly #fs: Filesystem
  readonly #port: ReplyPort
  readonly #options: SessionOptions
  readonly #log: TransportLog
  readonly #synced: SyncedChanges
  readonly #parts: SetIdParts
  readonly #errors: ErrorLog
  readonly #reply = new ReplyBuffer(REPLY_BYTES)
  readonly #directories: DirectoryRequests
  readonly #metrics: FuseMetrics
  #caller: Caller = { uid: 0, gid: 0, pid: 0 }
  #negotiated: Negotiated | undefined
  #xattrTerms: XattrTerms = { hasAcls: false, isExtended: false }
  #flushing: Promise<unknown> = Promise.resolve()
  #onInitialized: ((negotiated: Negotiated) => void) | undefined

  /** Resolves when the kernel and we have agreed; never, when the connection ends before. */
  readonly initialized = new Promise<Negotiated>((resolve) => {
    this.#onInitialized = resolve
  })

  constructor(fs: Filesystem, port: ReplyPort, options: SessionOptions) {
    if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
      throw new FsError('ENOSYS', 'the FUSE transport supports little-endian machines only')
    }
    this.#fs = fs
    this.#port = port
    this.#options = options
    this.#log = options.log
    this.#synced = options.synced ?? 'none'
    this.#errors = new ErrorLog(options.log)
    this.#parts = { fs, log: options.log, notify: (message) => port.notify([message]) }
    this.#metrics = new FuseMetrics(options.registry)
    this.#directories = new DirectoryRequests(fs, (...answer) => this.#sendFrom(...answer), systemClock, this.#metrics)
  }

  /** So much was put into the kernel's cache without its asking. */
  stored(lengthBytes: number): void {
    this.#metrics.storedBytes.value += lengthBytes
  }

  /** After a change that the kernel takes note of only when it hears of it. Who asked for attributes meanwhile may have been answered
   *  before, and be heard after us: it would keep the old times. */
  async #withNewTimes<T>(r: RequestBuffer, change: MaybePromise<T>): Promise<T> {
    const value = await change
    await this.#forgetAttributes(r.nodeid as Ino)
    return value
  }

  /** One at a time: each may keep a thread of the pool until a WRITE is answered, and that may wait for others of them. */
  readonly #flush = (message: Uint8Array): Promise<number> => {
    const sent = this.#flushing.then(() => this.#port.notify([message]))
    this.#flushing = sent.catch(() => 0)
    return sent
  }

  readonly #forgetAttributes = (ino: Ino): Promise<void> =>
    tellKernel(this.#parts, ino, 'the kernel may show old times')

  /** Names in a directory change, or have changed, without a request of the kernel's. */
  namesChange(directory: Ino): void {
    this.#directories.namesChange(directory)
  }

  /** Whether the kernel keeps size and times of files that are written, and says by SETATTR when they were. */
  get #keepsTimes(): boolean {
    return ((this.#negotiated?.flags ?? 0) & InitFlag.WRITEBACK_CACHE) !== 0
  }

  /** Answers one request, or starts it; a promise says when its buffer is free again. Never throws or rejects. */
  handle(request: RequestBuffer): Promise<void> | undefined {
    request.answered = false
    try {
      if (!request.isWellFormed) {
        throw new MalformedRequest(`${request.length} bytes, ${request.length >= 4 ? request.u32(0) : 0} announced`)
      }
      if (this.#negotiated === undefined && request.opcode !== Opcode.INIT) {
        throw new MalformedRequest(`opcode ${request.opcode} before INIT`)
      }
      this.#metrics.request(request.opcode)
      this.#directories.note(request)
      const pending = this.#dispatch(request)
      if (pending !== undefined) return this.#settle(request, pending)
    } catch (error) {
      this.#fail(request, error)
    }
    this.#directories.requestHandled()
    return undefined
  }

  async #settle(request: RequestBuffer, pending: Promise<void>): Promise<void> {
    try {
      await pending
    } catch (error) {
      this.#fail(request, error)
    }
    this.#directories.requestHandled()
  }

  // Each operation decodes, calls the filesystem and encodes; it returns a promise if the filesystem did.
  #dispatch(r: RequestBuffer): MaybePromise<void> {
    switch (r.opcode) {
      case Opcode.LOOKUP:
        return this.#lookup(r)
      case Opcode.FORGET:
        r.answered = true
        r.need(ForgetIn.sizeof)
        return this.#fs.forget(r.nodeid as Ino, r.u64(InHeader.sizeof))
      case Opcode.BATCH_FORGET:
        r.answered = true
        return forgetBatch(this.#fs, r, systemClock)
      case Opcode.GETATTR:
        return this.#then(r, this.#getattr(r, GetattrIn.sizeof), this.#sendAttr)
      case Opcode.STATX:
        return this.#then(r, this.#getattr(r, StatxIn.sizeof), this.#sendStatx)
      case Opcode.SETATTR: {
        const { changes, fh, dropsSetId } = r.setattr()
        if (fh !== undefined) changes.handle = fh as Handle
        const [ino, caller] = [r.nodeid as Ino, this.#callerOf(r)]
        const ahead = dropsSetId ? { endBytes: changes.sizeBytes, isByName: fh === undefined } : null
        const set = withoutSetId(this.#parts, ino, ahead, () => this.#fs.setattr(caller, ino, changes))
        return this.#then(r, set, this.#sendAttr)
      }
      case Opcode.READLINK:
        return this.#then(r, this.#fs.readlink(r.nodeid as Ino), this.#sendBytes)
      case Opcode.SYMLINK: {
        const { first: name, second: target } = r.twoNames(InHeader.sizeof)
        return this.#then(r, this.#fs.symlink(this.#callerOf(r), r.nodeid as Ino, name, target), this.#sendEntry)
      }
      case Opcode.MKNOD: {
        r.need(MknodIn.sizeof)
        const mode = r.u32(InHeader.sizeof + MknodIn.mode)
        const rdev = r.u32(InHeader.sizeof + MknodIn.rdev)
        const name = r.name(InHeader.sizeof + MknodIn.sizeof)
        const umask = r.u32(InHeader.sizeof + MknodIn.umask)
        const made = this.#fs.mknod(this.#callerOf(r), r.nodeid as Ino, name, mode, rdev, umask)
        return this.#then(r, made, this.#sendEntry)
      }
      case Opcode.MKDIR: {
        r.need(MkdirIn.sizeof)
        const mode = S_IFDIR | (r.u32(InHeader.sizeof + MkdirIn.mode) & 0o7777)
        const name = r.name(InHeader.sizeof + MkdirIn.sizeof)
        const umask = r.u32(InHeader.sizeof + MkdirIn.umask)
        return this.#then(r, this.#fs.mkdir(this.#callerOf(r), r.nodeid as Ino, name, mode, umask), this.#sendEntry)
      }
      case Opcode.UNLINK:
        return this.#then(
          r,
          this.#fs.unlink(this.#callerOf(r), r.nodeid as Ino, r.name(InHeader.sizeof)),
          this.#sendEmpty,
        )
      case Opcode.RMDIR:
        return this.#then(
          r,
          this.#fs.rmdir(this.#callerOf(r), r.nodeid as Ino, r.name(InHeader.sizeof)),
          this.#sendEmpty,
        )
      case Opcode.RENAME:
        r.need(RenameIn.sizeof)
        return this.#rename(r, InHeader.sizeof + RenameIn.sizeof, 0)
      case Opcode.RENAME2:
        r.need(Rename2In.sizeof)
        return this.#rename(r, InHeader.sizeof + Rename2In.sizeof, r.u32(InHeader.sizeof + Rename2In.flags))
      case Opcode.LINK: {
        r.need(LinkIn.sizeof)
        const ino = r.u64(InHeader.sizeof + LinkIn.oldnodeid) as Ino
        const name = r.name(InHeader.sizeof + LinkIn.sizeof)
        return this.#then(r, this.#fs.link(this.#callerOf(r), ino, r.nodeid as Ino, name), this.#sendEntry)
      }
      case Opcode.OPEN:
        return this.#open(r)
      case Opcode.CREATE:
      case Opcode.TMPFILE:
        return this.#create(r)
      case Opcode.READ:
        return this.#read(r)
      case Opcode.WRITE:
        return this.#write(r)
      case Opcode.RELEASE: {
        r.need(ReleaseIn.sizeof)
        const fh = r.u64(InHeader.sizeof + ReleaseIn.fh) as Handle
        return this.#then(r, this.#fs.release(fh, r.nodeid as Ino), this.#sendEmpty)
      }
      case Opcode.FSYNC: {
        r.need(FsyncIn.sizeof)
        const fh = r.u64(InHeader.sizeof + FsyncIn.fh) as Handle
        const dataOnly = (r.u32(InHeader.sizeof + FsyncIn.fsyncFlags) & FSYNC_FDATASYNC) !== 0
        return this.#then(r, this.#fs.fsync(fh, r.nodeid as Ino, dataOnly), this.#sendEmpty)
      }
      case Opcode.COPY_FILE_RANGE:
        return this.#then(r, copyFileRange(this.#parts, r, COPIED_32_MAX), this.#sendWritten)
      case Opcode.COPY_FILE_RANGE_64:
        return this.#then(r, copyFileRange(this.#parts, r, Number.MAX_SAFE_INTEGER), this.#sendU64)
      case Opcode.FALLOCATE:
        return this.#then(r, this.#withNewTimes(r, fallocate(this.#parts, r)), this.#sendEmpty)
      case Opcode.LSEEK:
        return this.#then(r, lseek({ ...this.#parts, notify: this.#flush }, r, this.#keepsTimes), this.#sendU64)
      case Opcode.READDIR:
        return this.#directories.readdir(r, false)
      case Opcode.READDIRPLUS:
        return this.#directories.readdir(r, true)
      case Opcode.FSYNCDIR:
        return this.#then(r, this.#fs.fsyncdir(r.nodeid as Ino), this.#sendEmpty)
      case Opcode.STATFS:
        return this.#then(r, this.#fs.statfs(r.nodeid as Ino), (request, statistics) =>
          this.#send(request, this.#reply.statfs(OutHeader.sizeof, statistics)),
        )
      case Opcode.GETXATTR:
      case Opcode.LISTXATTR:
        return this.#then(r, readXattr(this.#fs, this.#callerOf(r), r, this.#xattrTerms), this.#sendXattr)
      case Opcode.SETXATTR:
      case Opcode.REMOVEXATTR:
        return this.#then(
          r,
          this.#withNewTimes(r, changeXattr(this.#fs, this.#callerOf(r), r, this.#xattrTerms)),
          this.#sendEmpty,
        )
      case Opcode.INIT:
        return this.#init(r)
      case Opcode.DESTROY:
      case Opcode.RELEASEDIR:
        return this.#sendEmpty(r)
      case Opcode.IOCTL:
        return this.#then(r, runIoctl(this.#fs, this.#callerOf(r), r, this.#forgetAttributes), this.#sendIoctl)
      default:
        // OPENDIR, FLUSH, ACCESS and INTERRUPT among them: see the head of this file.
        throw errnoError('ENOSYS')
    }
  }

  #init(r: RequestBuffer): void {
    const { acls = false, writeback = false } = this.#options
    const { lengthBytes, negotiated } = negotiate(r, this.#reply, { acls, writeback })
    this.#negotiated = negotiated ?? this.#negotiated
    const flags = this.#negotiated?.flags ?? 0
    this.#xattrTerms = {
      hasAcls: (flags & InitFlag.POSIX_ACL) !== 0,
      isExtended: (flags & InitFlag.SETXATTR_EXT) !== 0,
    }
    this.#send(r, lengthBytes)
    if (negotiated === undefined) return
    this.#log.info({ ...negotiated, granted: grantedNames(negotiated) }, 'the kernel and we agreed on FUSE')
    this.#onInitialized?.(negotiated)
  }

  #lookup(r: RequestBuffer): MaybePromise<void> {
    const parent = r.nodeid as Ino
    const name = r.name(InHeader.sizeof)
    try {
      const found = this.#fs.lookup(this.#callerOf(r), parent, name)
      if (!isPromise(found)) return this.#sendFound(r, found)
      return found.then(
        (entry) => this.#sendFound(r, entry),
        (error) => this.#sendMissing(r, error),
      )
    } catch (error) {
      return this.#sendMissing(r, error)
    }
  }

  #sendFound(r: RequestBuffer, entry: Entry): void {
    this.#metrics.lookupsFound.value++
    this.#sendEntry(r, entry)
  }

  /** ENOENT with how long it will stay true; other errors go on. */
  #sendMissing(r: RequestBuffer, error: unknown): void {
    const ttlSec = this.#fs.negativeTtlSec(r.nodeid as Ino)
    const isMissing = error instanceof FsError && error.code === 'ENOENT'
    if (isMissing) this.#metrics.lookupsMissing.value++
    if (!isMissing || ttlSec <= 0) throw error
    this.#send(r, this.#reply.negativeEntry(OutHeader.sizeof, ttlSec))
  }

  /** A fuse_statx_in begins as a fuse_getattr_in. */
  #getattr(r: RequestBuffer, sizeBytes: number): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
    r.need(sizeBytes)
    const ino = r.nodeid as Ino
    const hasHandle = (r.u32(InHeader.sizeof + GetattrIn.getattrFlags) & GETATTR_FH) !== 0
    const handle = hasHandle ? (r.u64(InHeader.sizeof + GetattrIn.fh) as Handle) : undefined
    return this.#fs.getattr(ino, handle, this.#callerOf(r))
  }

  #rename(r: RequestBuffer, namesAt: number, flags: number): MaybePromise<void> {
    const { first, second } = r.twoNames(namesAt)
    const newParent = r.u64(InHeader.sizeof + RenameIn.newdir) as Ino
    const from = { parent: r.nodeid as Ino, name: first }
    const to = { parent: newParent, name: second }
    return this.#then(r, this.#fs.rename(this.#callerOf(r), from, to, flags), this.#sendEmpty)
  }

  #open(r: RequestBuffer): MaybePromise<void> {
    if (this.#options.readOnly) throw errnoError('ENOSYS')
    r.need(OpenIn.sizeof)
    const ino = r.nodeid as Ino
    const flags = r.u32(InHeader.sizeof + OpenIn.flags)
    const dropsSetId = (r.u32(InHeader.sizeof + OpenIn.openFlags) & OPEN_KILL_SUIDGID) !== 0
    const caller = this.#callerOf(r)
    const ahead = dropsSetId ? { isByName: true } : null
    const opening = withoutSetId(this.#parts, ino, ahead, () => this.#fs.open(caller, ino, { flags }))
    return this.#then(r, opening, (request, opened) => {
      const end = this.#reply.openOut(OutHeader.sizeof, opened.handle, openOutFlags(opened, flags))
      // Nobody waits any more (the connection is being aborted): nobody will release it either.
      if (!this.#send(request, end)) this.#drop(this.#fs.release(opened.handle, ino))
    })
  }

  #create(r: RequestBuffer): MaybePromise<void> {
    const isNameless = r.opcode === Opcode.TMPFILE
    if (isNameless && this.#fs.tmpfile === undefined) throw errnoError('ENOSYS')
    r.need(CreateIn.sizeof)
    const flags = r.u32(InHeader.sizeof + CreateIn.flags)
    const mode = S_IFREG | (r.u32(InHeader.sizeof + CreateIn.mode) & 0o7777)
    const name = r.name(InHeader.sizeof + CreateIn.sizeof)
    const dropsSetId = (r.u32(InHeader.sizeof + CreateIn.openFlags) & OPEN_KILL_SUIDGID) !== 0
    const umask = r.u32(InHeader.sizeof + CreateIn.umask)
    const [parent, caller] = [r.nodeid as Ino, this.#callerOf(r)]
    const created = isNameless
      ? this.#fs.tmpfile!(caller, parent, mode, { flags, umask })
      : this.#fs.create(caller, parent, name, mode, { flags, dropsSetId, umask })
    return this.#then(r, created, (request, { entry, opened }) => {
      const middle = this.#reply.foundEntry(OutHeader.sizeof, entry)
      const end = this.#reply.openOut(middle, opened.handle, openOutFlags(opened, flags))
      if (this.#send(request, end)) return
      this.#drop(this.#fs.release(opened.handle, entry.attributes.ino))
      this.#fs.forget(entry.attributes.ino, 1)
    })
  }

  #read(r: RequestBuffer): MaybePromise<void> {
    r.need(ReadIn.sizeof)
    const at = InHeader.sizeof
    const offset = r.u64(at + ReadIn.offset)
    const [handle, ino, sizeBytes] = [r.u64(at + ReadIn.fh) as Handle, r.nodeid as Ino, r.u32(at + ReadIn.size)]
    // The kernel keeps what it reads, but for O_DIRECT.
    const lease = new Lease({ isKept: (r.u32(at + ReadIn.flags) & O_DIRECT) === 0 })
    let isUnderWay = false
    try {
      const parts = this.#fs.read(handle, ino, offset, sizeBytes, lease)
      isUnderWay = isPromise(parts)
      const sent = this.#then(r, parts, this.#sendRead)
      return isPromise(sent) ? sent.finally(() => lease.release()) : sent
    } finally {
      if (!isUnderWay) lease.release()
    }
  }

  #write(r: RequestBuffer): MaybePromise<void> {
    const written = write(this.#parts, r, this.#keepsTimes)
    this.#metrics.writtenBytes.value += r.u32(InHeader.sizeof + WriteIn.size)
    return this.#then(r, written, this.#sendWritten)
  }

  // ---- answers ----

  /** Encodes `value` now, or when it has come. The filesystem's errors pass through to `handle`. */
  #then<T>(r: RequestBuffer, value: MaybePromise<T>, send: (r: RequestBuffer, value: T) => void): MaybePromise<void> {
    if (this.#synced !== 'none') value = synced(this.#fs, r, this.#synced, value)
    if (isPromise(value)) return value.then((result) => send(r, result))
    return send(r, value)
  }

  readonly #sendEmpty = (r: RequestBuffer): void => {
    this.#send(r, OutHeader.sizeof)
  }

  readonly #sendIoctl = (r: RequestBuffer, words: readonly number[]): void => {
    let at = OutHeader.sizeof + IoctlOut.sizeof
    this.#reply.zero(OutHeader.sizeof, at)
    for (const word of words) {
      this.#reply.putU32(at, word)
      at += 4
    }
    this.#send(r, at)
  }

  readonly #sendEntry = (r: RequestBuffer, entry: Entry): void => {
    this.#reply.foundEntry(OutHeader.sizeof, entry)
    if (!this.#send(r, OutHeader.sizeof + EntryOut.sizeof)) this.#fs.forget(entry.attributes.ino, 1)
  }

  readonly #sendAttr = (r: RequestBuffer, answer: { attributes: Attributes; ttlSec: number }): void => {
    this.#reply.attrOut(OutHeader.sizeof, answer.attributes, answer.ttlSec)
    this.#send(r, OutHeader.sizeof + AttrOut.sizeof)
  }

  readonly #sendStatx = (r: RequestBuffer, answer: { attributes: Attributes; ttlSec: number }): void => {
    this.#send(r, this.#reply.statxOut(OutHeader.sizeof, answer.attributes, answer.ttlSec))
  }

  readonly #sendWritten = (r: RequestBuffer, written: number): void => {
    this.#reply.putU32(OutHeader.sizeof + WriteOut.size, written)
    this.#reply.putU32(OutHeader.sizeof + WriteOut.size + 4, 0)
    this.#send(r, OutHeader.sizeof + WriteOut.sizeof)
  }

  /** A fuse_copy_file_range_out, or a fuse_lseek_out. */
  readonly #sendU64 = (r: RequestBuffer, value: number): void => {
    this.#reply.putU64(OutHeader.sizeof + CopyFileRangeOut.bytesCopied, value)
    this.#send(r, OutHeader.sizeof + CopyFileRangeOut.sizeof)
  }

  readonly #sendBytes = (r: RequestBuffer, bytes: Uint8Array): void => {
    this.#sendParts(r, [bytes], bytes.length)
  }

  /** getxattr(2): a size of 0 asks how long the value is; one too small is ERANGE. */
  readonly #sendXattr = (r: RequestBuffer, value: Uint8Array): void => {
    const room = r.u32(InHeader.sizeof + GetxattrIn.size)
    if (room === 0) {
      this.#reply.zero(OutHeader.sizeof, OutHeader.sizeof + GetxattrOut.sizeof)
      this.#reply.putU32(OutHeader.sizeof + GetxattrOut.size, value.length)
      this.#send(r, OutHeader.sizeof + GetxattrOut.sizeof)
    } else {
      if (value.length > room) throw errnoError('ERANGE')
      this.#sendBytes(r, value)
    }
  }

  readonly #sendRead = (r: RequestBuffer, parts: readonly Uint8Array[]): void => {
    const lengthBytes = totalLengthBytes(parts)
    const asked = r.u32(InHeader.sizeof + ReadIn.size)
    if (lengthBytes > asked) throw new Error(`read of ${asked} bytes was given ${lengthBytes}`)
    this.#metrics.readBytes.value += lengthBytes
    this.#sendParts(r, parts, lengthBytes)
  }

  #sendParts(r: RequestBuffer, parts: readonly Uint8Array[], lengthBytes: number): void {
    if (lengthBytes > COPY_BYTES) {
      this.#reply.header(r, OutHeader.sizeof + lengthBytes, 0)
      this.#sent(r, this.#port.sendParts(this.#reply, OutHeader.sizeof, parts))
      return
    }
    let at: number = OutHeader.sizeof
    for (const part of parts) {
      this.#reply.bytes.set(part, at)
      at += part.length
    }
    this.#send(r, at)
  }

  /** Sends the first bytes of the reply buffer. False when nobody waited for it any more. */
  #send(r: RequestBuffer, lengthBytes: number): boolean {
    return this.#sendFrom(r, this.#reply, lengthBytes)
  }

  #sendFrom(r: RequestBuffer, reply: ReplyBuffer, lengthBytes: number): boolean {
    reply.header(r, lengthBytes, 0)
    return this.#sent(r, this.#port.send(reply, lengthBytes))
  }

  /** Notes that `r` is answered. The kernel refuses a reply with ENOENT when the request was given up, with ENODEV when
   *  the connection ended; anything else is our mistake, and the caller of the system call has got EIO. */
  #sent(r: RequestBuffer, result: number): boolean {
    r.answered = true
    if (result >= 0) return true
    if (result !== -constants.errno.ENOENT && result !== -constants.errno.ENODEV) {
      this.#log.error({ opcode: r.opcode, errno: -result }, 'the kernel refused a FUSE reply')
    }
    return false
  }

  #fail(r: RequestBuffer, error: unknown): void {
    const errno = this.#errnoOf(r, error)
    // An error of a reply that was sent, or of a request that gets none, has nobody to go to.
    const hasUnique = r.length >= OutHeader.sizeof && (r.u32(InHeader.unique) !== 0 || r.u32(InHeader.unique + 4) !== 0)
    if (r.answered || !hasUnique) return
    this.#reply.header(r, OutHeader.sizeof, errno)
    this.#sent(r, this.#port.send(this.#reply, OutHeader.sizeof))
  }

  #errnoOf(r: RequestBuffer, error: unknown): number {
    if (!(error instanceof MalformedRequest)) return this.#errors.errnoOf(error, { opcode: r.opcode, ino: r.nodeid })
    this.#log.warn({ opcode: r.length >= InHeader.sizeof ? r.opcode : undefined }, error.message)
    return error.errno
  }

  /** Lets an operation end that nobody waits for; what goes wrong is logged. */
  #drop(operation: MaybePromise<void>): void {
    if (!isPromise(operation)) return
    operation.catch((error: unknown) => this.#log.warn({ err: error }, 'releasing an abandoned file failed'))
  }

  /** The caller; requests of one process mostly come in a row and share the object, which nobody changes. */
  #callerOf(r: RequestBuffer): Caller {
    const last = this.#caller
    if (last.uid === r.uid && last.gid === r.gid && last.pid === r.pid) return last
    this.#caller = { uid: r.uid, gid: r.gid, pid: r.pid }
    return this.#caller
  }
}

function openOutFlags(opened: Opened, flags: number): number {
  const isDirect = opened.directIo || (flags & O_DIRECT) !== 0
  return isDirect ? OpenOutFlag.DIRECT_IO : OpenOutFlag.KEEP_CACHE
}
