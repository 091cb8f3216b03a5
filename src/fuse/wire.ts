// The kernel's FUSE protocol 7.x: opcodes, flags, and where the fields of its structs lie. Source:
// include/uapi/linux/fuse.h of the Linux kernel; the names are its names in camel case.
//
// Must stay true: offsets are in bytes from the start of the struct. Every struct of a request begins at a multiple of
// 8, so that each u32 and u64 is aligned. The protocol is in the host's byte order, as typed arrays are; halves of a
// u64 are taken as little-endian, so big-endian machines are refused (session.ts).

export const KERNEL_MAJOR = 7
/** The newest minor whose structs are described here, but for single ones that newer kernels send whatever we say. */
export const KERNEL_MINOR = 38
/** Older kernels have other sizes of init_out (Linux 3.15 has 23). */
export const KERNEL_MINOR_MIN = 23

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  /** A fuse_create_in and a name that means nothing. */
  TMPFILE: 51,
  /** Asked where a program wants to know when a file was made. */
  STATX: 52,
  /** From protocol 7.45 on; a kernel that gets ENOSYS falls back to the one before. */
  COPY_FILE_RANGE_64: 53,
} as const

/** fuse_init_in.flags and fuse_init_out.flags. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  DO_READDIRPLUS: 1 << 13,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const

/** The second word of flags, where INIT_EXT was offered. */
export const InitFlag2 = {
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
} as const

/** fuse_open_out.open_flags. */
export const OpenOutFlag = { DIRECT_IO: 1 << 0, KEEP_CACHE: 1 << 1 } as const

/** fuse_setattr_in.valid. */
export const SetattrValid = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const

export const GETATTR_FH = 1 << 0
/** fuse_open_in.open_flags and fuse_create_in.open_flags; fuse_write_in.write_flags. */
export const OPEN_KILL_SUIDGID = 1 << 0
/** From the page cache: of a mapping, or, with WRITEBACK_CACHE, written some time ago. */
export const WRITE_CACHE = 1 << 0
export const WRITE_KILL_SUIDGID = 1 << 2
export const FSYNC_FDATASYNC = 1 << 0

/** INC_EPOCH since protocol 7.44 (Linux 6.16). */
export const NotifyCode = { INVAL_INODE: 2, INVAL_ENTRY: 3, STORE: 4, INC_EPOCH: 8 } as const

// What the kernel sends. Each request is an InHeader, then the struct of its opcode, then names or data.
export const InHeader = { len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32, sizeof: 40 } as const
export const InitIn = { major: 0, minor: 4, maxReadahead: 8, flags: 12, flags2: 16, sizeof: 16 } as const
export const ForgetIn = { nlookup: 0, sizeof: 8 } as const
export const BatchForgetIn = { count: 0, sizeof: 8 } as const
export const ForgetOne = { nodeid: 0, nlookup: 8, sizeof: 16 } as const
export const GetattrIn = { getattrFlags: 0, fh: 8, sizeof: 16 } as const
export const StatxIn = { getattrFlags: 0, fh: 8, sizeof: 24 } as const
export const SetattrIn = {
  valid: 0,
  fh: 8,
  size: 16,
  atime: 32,
  mtime: 40,
  ctime: 48,
  atimensec: 56,
  mtimensec: 60,
  ctimensec: 64,
  mode: 68,
  uid: 76,
  gid: 80,
  sizeof: 88,
} as const
export const MknodIn = { mode: 0, rdev: 4, umask: 8, sizeof: 16 } as const
export const MkdirIn = { mode: 0, umask: 4, sizeof: 8 } as const
export const RenameIn = { newdir: 0, sizeof: 8 } as const
export const Rename2In = { newdir: 0, flags: 8, sizeof: 16 } as const
export const LinkIn = { oldnodeid: 0, sizeof: 8 } as const
export const OpenIn = { flags: 0, openFlags: 4, sizeof: 8 } as const
export const CreateIn = { flags: 0, mode: 4, umask: 8, openFlags: 12, sizeof: 16 } as const
export const ReleaseIn = { fh: 0, sizeof: 24 } as const
/** READ, READDIR and READDIRPLUS. */
export const ReadIn = { fh: 0, offset: 8, size: 16, flags: 32, sizeof: 40 } as const
/** `flags`: as open(2) got them, and with O_DSYNC where this write is to be durable (RWF_DSYNC). */
export const WriteIn = { fh: 0, offset: 8, size: 16, writeFlags: 20, flags: 32, sizeof: 40 } as const
export const CopyFileRangeIn = {
  fhIn: 0,
  offIn: 8,
  nodeidOut: 16,
  fhOut: 24,
  offOut: 32,
  len: 40,
  flags: 48,
  sizeof: 56,
} as const
export const FallocateIn = { fh: 0, offset: 8, length: 16, mode: 24, sizeof: 32 } as const
export const LseekIn = { fh: 0, offset: 8, whence: 16, sizeof: 24 } as const
export const SEEK_DATA = 3
export const SEEK_HOLE = 4
export const FsyncIn = { fh: 0, fsyncFlags: 8, sizeof: 16 } as const
/** _IOC numbers of <linux/fs.h>. */
export const Ioctl = {
  GETFLAGS: 0x8008_6601,
  SETFLAGS: 0x4008_6602,
  FSGETXATTR: 0x801c_581f,
  FSSETXATTR: 0x401c_5820,
} as const
/** What the ioctl was given follows. */
export const IoctlIn = { fh: 0, flags: 8, cmd: 12, arg: 16, inSize: 24, outSize: 28, sizeof: 32 } as const
/** What it gives back follows. */
export const IoctlOut = { result: 0, flags: 4, inIovs: 8, outIovs: 12, sizeof: 16 } as const
/** Without SETXATTR_EXT it ends before `setxattrFlags`. */
export const SetxattrIn = { size: 0, flags: 4, compatSizeof: 8, setxattrFlags: 8, sizeof: 16 } as const
/** GETXATTR and LISTXATTR. */
export const GetxattrIn = { size: 0, sizeof: 8 } as const

// What we send. Each reply is an OutHeader, then the struct of its opcode, then data.
export const OutHeader = { len: 0, error: 4, unique: 8, sizeof: 16 } as const
export const InitOut = {
  major: 0,
  minor: 4,
  maxReadahead: 8,
  flags: 12,
  maxBackground: 16,
  congestionThreshold: 18,
  maxWrite: 20,
  timeGran: 24,
  maxPages: 28,
  flags2: 32,
  sizeof: 64,
} as const
export const Attr = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
  sizeof: 88,
} as const
export const EntryOut = {
  nodeid: 0,
  generation: 8,
  entryValid: 16,
  attrValid: 24,
  entryValidNsec: 32,
  attrValidNsec: 36,
  attr: 40,
  sizeof: 128,
} as const
export const AttrOut = { attrValid: 0, attrValidNsec: 8, attr: 16, sizeof: 104 } as const
/** STATX_BASIC_STATS and STATX_BTIME of <linux/stat.h>. */
export const STATX_ANSWERED = 0xfff
export const Statx = {
  mask: 0,
  blksize: 4,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  atime: 64,
  btime: 80,
  ctime: 96,
  mtime: 112,
  rdevMajor: 128,
  rdevMinor: 132,
  sizeof: 256,
} as const
export const StatxOut = { attrValid: 0, attrValidNsec: 8, flags: 12, stat: 32, sizeof: 288 } as const
export const OpenOut = { fh: 0, openFlags: 8, sizeof: 16 } as const
export const WriteOut = { size: 0, sizeof: 8 } as const
/** Answers COPY_FILE_RANGE_64 (the older one has a WriteOut), and has the form of fuse_lseek_out. */
export const CopyFileRangeOut = { bytesCopied: 0, sizeof: 8 } as const
export const StatfsOut = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
  sizeof: 80,
} as const
export const GetxattrOut = { size: 0, sizeof: 8 } as const
/** In READDIRPLUS an EntryOut stands before it; the whole is padded to 8. */
export const Dirent = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const
export const NotifyInvalInodeOut = { ino: 0, off: 8, len: 16, sizeof: 24 } as const
export const NotifyStoreOut = { nodeid: 0, offset: 8, size: 16, sizeof: 24 } as const
export const NotifyInvalEntryOut = { parent: 0, namelen: 8, flags: 12, sizeof: 16 } as const

/** The longest name the kernel sends (FUSE_NAME_MAX is 1024, VFS names end at 255). */
export const NAME_MAX = 255
