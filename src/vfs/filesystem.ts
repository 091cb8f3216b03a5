// Filesystem: the operations of a POSIX filesystem by inode number, as a transport (FUSE now; NFS, SMB, block later)
// calls them. No FUSE types, no S3 types. vfs/ implements it over meta/ and data/; test/fuse has a small one in memory.
//
// Must stay true:
// - An operation answers at once where it can (a value) and returns a promise only when it must wait. It fails with
//   FsError, thrown or rejected; its errno is what the caller of the system call sees.
// - Buffers given in (names, data) belong to the transport: valid until the call returns, and, when it returned a
//   promise, until that settles. Implementations copy what they keep.
// - Names are bytes, not text: any but "/" and NUL, 1 to 255 of them.
// - The kernel checks modes (default_permissions); the implementation does what the kernel cannot: existence, types,
//   emptiness, setgid inheritance, names' lengths, limits.
import type { Slab, Streams } from '../data/index.ts'
import type { Attributes, Ino } from '../meta/index.ts'
import type { MaybePromise, Timespec } from '../platform/index.ts'
import type { Lease } from '../segments/index.ts'

export { type Attributes, type Ino, ROOT_INO } from '../meta/index.ts'

/** Who asks: the caller's fsuid, fsgid and pid as the kernel gives them. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

/** An answer to lookup and to the operations that make a name. TTLs in seconds: how long the kernel may believe it. */
export interface Entry {
  attributes: Attributes
  entryTtlSec: number
  attributeTtlSec: number
}

/** `'now'` sets the server's time, as UTIME_NOW. */
export interface SetAttributes {
  mode?: number
  uid?: number
  gid?: number
  sizeBytes?: number
  atime?: Timespec | 'now'
  mtime?: Timespec | 'now'
  ctime?: Timespec
  /** The open file, when the change came through one (ftruncate, futimens). */
  handle?: Handle
}

/** An open file; chosen by the filesystem, handed back by the transport. */
export type Handle = number & { readonly __brand: 'Handle' }

export interface OpenFlags {
  /** O_RDONLY, O_WRONLY or O_RDWR and the rest, as open(2) got them (Linux x86-64 values). */
  readonly flags: number
  /** Of `create`: where it finds a file and O_TRUNC empties it, that loses its set-ID bits. */
  readonly dropsSetId?: boolean
  /** Of `create` and `tmpfile`: taken off the mode, unless the directory has a default ACL. 0: it is off already. */
  readonly umask?: number
}

export interface Opened {
  handle: Handle
  /** Reads and writes go past the page cache (O_DIRECT). */
  directIo: boolean
}

/** One side of a copy: an open file, and where in it. */
export interface CopyEnd {
  handle: Handle
  ino: Ino
  offset: number
}

/** Receives directory entries. Returns false when there is no room for this one: it will be asked for again. `name` is
 *  valid during the call only. `cookie` goes on after this entry. `entry` is null where only name, ino and type are
 *  wanted or known ("." and ".." among them). */
export interface DirectorySink {
  (name: Uint8Array, ino: Ino, mode: number, cookie: number, attributes: Attributes | null): boolean
  /** The same, the name being `bytes[nameStart, nameEnd)`: where a sink has it, no view is made for each name. */
  inPlace?(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    ino: Ino,
    mode: number,
    cookie: number,
    attributes: Attributes | null,
  ): boolean
}

export interface WriteOptions {
  /** The program wrote some time ago, and was let. When that was comes by setattr: the times stay. */
  readonly isLate?: boolean
  /** The data lies in it, from its beginning on, and nothing else: it may be kept, and has one holder more then. */
  readonly slab?: Slab | undefined
}

/** A change of a file's bytes that is to come. */
export interface BytesChange {
  /** The new size, or where what is written ends. */
  readonly endBytes?: number | undefined
  /** By truncate(2) or open(2), of a name, and not by a handle. */
  readonly isByName?: boolean
}

/** One extended attribute and what becomes of it. */
export interface SetXattr {
  readonly name: Uint8Array
  readonly value: Uint8Array
  /** 0, XATTR_CREATE (1) or XATTR_REPLACE (2). */
  readonly flags: number
  /** Of an access ACL: whether S_ISGID goes, as the caller is in no such group and may not keep it. Where nobody says so, it is
   *  judged by the caller's ids. */
  readonly dropsSetgid?: boolean
}

export interface FilesystemStatistics {
  blockSizeBytes: number
  totalBytes: number
  freeBytes: number
  totalInodes: number
  freeInodes: number
  nameLengthMax: number
}

export interface Filesystem {
  /** Memory for what is written: WriteOptions.slab. */
  readonly slabs?: Streams['slabs']
  /** Finds `name` in `parent`. ENOENT when there is none: `negativeTtlSec` says how long the kernel may believe that.
   *  Each Entry given out counts one reference, until `forget`. "." is `parent` itself, a file too, and ".." the directory that
   *  holds it: so are file handles found again; `parent` may then be any number, and ESTALE says that there is no such inode. */
  lookup(caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<Entry>
  negativeTtlSec(parent: Ino): number
  /** The kernel drops `count` references to `ino`. */
  forget(ino: Ino, count: number): void

  /** `caller`: who asks, where that is known. */
  getattr(ino: Ino, handle?: Handle, caller?: Caller): MaybePromise<{ attributes: Attributes; ttlSec: number }>
  /** chmod, chown, truncate, utimensat. Returns the new attributes. */
  setattr(caller: Caller, ino: Ino, changes: SetAttributes): MaybePromise<{ attributes: Attributes; ttlSec: number }>
  /** Takes the set-ID bits of a regular file away: S_ISUID, and S_ISGID where the group may execute. To be called before its
   *  bytes change, by write, truncate, O_TRUNC or a copy, on behalf of somebody without CAP_FSETID. Whether there were any.
   *  (chown does so by itself.) Takes none away, and fails as the change will, where that is refused: EROFS, ESTALE, EINVAL,
   *  EFBIG. */
  dropSetId(ino: Ino, ahead: BytesChange): MaybePromise<boolean>
  readlink(ino: Ino): MaybePromise<Uint8Array>

  /** `mode` holds type and permissions. `umask` is taken off, unless the directory has a default ACL; without, it is off
   *  already. */
  mknod(caller: Caller, parent: Ino, name: Uint8Array, mode: number, rdev: number, umask?: number): MaybePromise<Entry>
  mkdir(caller: Caller, parent: Ino, name: Uint8Array, mode: number, umask?: number): MaybePromise<Entry>
  symlink(caller: Caller, parent: Ino, name: Uint8Array, target: Uint8Array): MaybePromise<Entry>
  link(caller: Caller, ino: Ino, newParent: Ino, newName: Uint8Array): MaybePromise<Entry>
  unlink(caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void>
  rmdir(caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void>
  /** renameat2(2). `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4 (leaves a character device 0:0); EINVAL for
   *  others, and for EXCHANGE with any. */
  rename(
    caller: Caller,
    from: { parent: Ino; name: Uint8Array },
    to: { parent: Ino; name: Uint8Array },
    flags: number,
  ): MaybePromise<void>

  open(caller: Caller, ino: Ino, flags: OpenFlags): MaybePromise<Opened>
  create(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    flags: OpenFlags,
  ): MaybePromise<{ entry: Entry; opened: Opened }>
  /** Up to `lengthBytes` from `offset`; shorter only at the end of the file. The parts are the filesystem's own memory:
   *  the transport sends them before anything else runs, and keeps none. With a lease it says by that when it has done so;
   *  without, the memory is not used again. */
  read(
    handle: Handle,
    ino: Ino,
    offset: number,
    lengthBytes: number,
    lease?: Lease,
  ): MaybePromise<readonly Uint8Array[]>
  /** open(2) with O_TMPFILE: a regular file without a name, whose only way to one is `link` (unless `flags` has O_EXCL). It goes
   *  when nobody has it open any more. */
  tmpfile?(caller: Caller, parent: Ino, mode: number, flags: OpenFlags): MaybePromise<{ entry: Entry; opened: Opened }>
  /** Returns the bytes taken: all of `data`, or it fails. */
  write(handle: Handle, ino: Ino, offset: number, data: Uint8Array, how?: WriteOptions): MaybePromise<number>
  /** copy_file_range(2): makes up to `lengthBytes` of the one what they are in the other, sharing where it lies where it
   *  can. Returns how much; less at the end of the source, and where an error came after some. EBADF, EISDIR, EINVAL (no
   *  regular files, `flags` other than 0, ranges of one file that overlap), EFBIG. */
  copyFileRange(from: CopyEnd, to: CopyEnd, lengthBytes: number, flags: number): MaybePromise<number>
  /** fallocate(2): `mode` is 0 or KEEP_SIZE (1), with PUNCH_HOLE (2) or ZERO_RANGE (16) or neither. Nothing is reserved in a
   *  bucket: allocating makes the file longer, or changes nothing. EBADF, EINVAL, EFBIG, EOPNOTSUPP for other modes, ENODEV. */
  fallocate?(handle: Handle, ino: Ino, mode: number, offset: number, lengthBytes: number): MaybePromise<void>
  /** lseek(2) for SEEK_DATA and SEEK_HOLE, from `offset` on. ENXIO at and past the end, and where no data follows. */
  lseek?(handle: Handle, ino: Ino, offset: number, whence: 'data' | 'hole'): MaybePromise<number>
  /** close(2) of one descriptor. */
  flush(handle: Handle, ino: Ino): MaybePromise<void>
  /** The last descriptor is gone. */
  release(handle: Handle, ino: Ino): MaybePromise<void>
  fsync(handle: Handle, ino: Ino, dataOnly: boolean): Promise<void>

  /** Entries of `ino` after `cookie` (0 begins), until the sink is full or the directory ends. With `plus`, each entry
   *  the sink took (but "." and "..") counts one reference, as a lookup. */
  readdir(ino: Ino, cookie: number, plus: boolean, sink: DirectorySink): MaybePromise<void>
  readonly entryTtlSec: number
  readonly attributeTtlSec: number
  /** Differs from what it was when anything may have changed that was answered before; NaN while something is changing.
   *  Where there is none, nothing is prepared before it is asked for. */
  readonly version?: number
  /** fsync of a directory: all names so far; of the root directory: everything. */
  fsyncdir(ino: Ino): Promise<void>

  /** Of the volume, or of the quota nearest above `ino`. */
  statfs(ino: Ino): MaybePromise<FilesystemStatistics>

  /** The flags of an inode, as FS_IOC_GETFLAGS gives them (<linux/fs.h>). Optional: the transport then answers ENOTTY. */
  getFlags?(ino: Ino): MaybePromise<number>
  /** FS_IOC_SETFLAGS, as chattr(1) calls it. FS_CASEFOLD_FL: names that fold alike are one in that directory, and in those made
   *  in it; ENOTDIR, ENOTEMPTY where there are names already. FS_IMMUTABLE_FL, FS_APPEND_FL: EPERM without
   *  CAP_LINUX_IMMUTABLE, which uid 0 is taken to have; they hold for root too, as chattr(1) says. EOPNOTSUPP for others. */
  setFlags?(caller: Caller, ino: Ino, flags: number): MaybePromise<void>

  /** Extended attributes: user.*, trusted.* (uid 0 alone sees and changes them), security.*, and the POSIX ACLs as
   *  system.posix_acl_access and _default, in the kernel's format (<linux/posix_acl_xattr.h>); an access ACL and the mode's group
   *  bits are kept as one. A value is at most 64 KiB, a name 255 bytes. ENODATA, EEXIST (XATTR_CREATE), E2BIG, ENOSPC where all
   *  of an inode's take more than there is room for, EOPNOTSUPP for other prefixes. What is missing of it is not supported. */
  getxattr?(caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<Uint8Array>
  setxattr?(caller: Caller, ino: Ino, change: SetXattr): MaybePromise<void>
  listxattr?(caller: Caller, ino: Ino): MaybePromise<readonly Uint8Array[]>
  removexattr?(caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<void>
}
