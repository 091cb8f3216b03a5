// What stat(2) shows of an inode, and the numbers that <sys/stat.h> gives to types and modes.
import type { Timespec } from '../platform/index.ts'

/** A number below 2^53, never used again after its file is gone. The root directory is 1. */
export type Ino = number & { readonly __brand: 'Ino' }
export const ROOT_INO = 1 as Ino

/** What stat(2) shows. */
export interface Attributes {
  ino: Ino
  generation: number
  /** Type and permission bits, as st_mode. */
  mode: number
  uid: number
  gid: number
  nlink: number
  rdev: number
  sizeBytes: number
  /** Allocated bytes; st_blocks is this divided by 512, rounded up. */
  allocatedBytes: number
  atime: Timespec
  mtime: Timespec
  ctime: Timespec
  btime: Timespec
}

export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFDIR = 0o040000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000
export const S_ISUID = 0o4000
export const S_ISGID = 0o2000

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK

// The flags of an inode that are built, as FS_IOC_GETFLAGS gives them (<linux/fs.h>).
/** Nothing of it changes. */
export const IMMUTABLE_FLAG = 0x10
/** Of a file: it grows at its end alone. Of a directory: it loses no names. */
export const APPEND_FLAG = 0x20
/** dump(8) leaves it out; and its access time does not change, which it never does here. Kept for who sets them. */
export const NODUMP_FLAG = 0x40
export const NOATIME_FLAG = 0x80
/** Of a directory: names in it that fold alike are one (fold.ts). */
export const CASEFOLD_FLAG = 0x4000_0000
export const KNOWN_FLAGS = IMMUTABLE_FLAG | APPEND_FLAG | NODUMP_FLAG | NOATIME_FLAG | CASEFOLD_FLAG

/** What a directory shows as st_size: entries are not counted, so that a create rewrites no more than times. */
export const DIRECTORY_SIZE_BYTES = 4096

export function laterOf(a: Timespec, b: Timespec): Timespec {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec >= b.nsec) ? a : b
}
