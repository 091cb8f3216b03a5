// INIT: what the kernel offers, what of it we take, and the answer that says so.
//
// Must stay true: nothing but what the kernel offered is granted, and nothing claimed that is not implemented. WRITEBACK_CACHE
// only where it is asked for (the kernel then acknowledges writes that we have not seen), no POSIX_LOCKS or FLOCK_LOCKS (its own
// locks are complete for one writer), no READDIRPLUS_AUTO (a cold `ls -l` would take 2.6 times as long).
import { FsError } from '../platform/index.ts'
import type { ReplyBuffer, RequestBuffer } from './codec.ts'
import {
  InHeader,
  InitFlag,
  InitFlag2,
  InitIn,
  InitOut,
  KERNEL_MAJOR,
  KERNEL_MINOR,
  KERNEL_MINOR_MIN,
  OutHeader,
} from './wire.ts'

const PAGE_BYTES = 4096
/** Pages of the largest READ or WRITE we ask for: 1 MiB. */
const MAX_PAGES = 256
/** What the kernel allows where it does not grant MAX_PAGES. */
const DEFAULT_MAX_PAGES = 32
/** Requests of read-ahead and asynchronous direct I/O that the kernel may have under way at once. */
const MAX_BACKGROUND = 64
const CONGESTION_THRESHOLD = 48

const WANTED =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.EXPORT_SUPPORT |
  InitFlag.BIG_WRITES |
  InitFlag.DO_READDIRPLUS |
  InitFlag.ASYNC_DIO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.ABORT_ERROR |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.INIT_EXT
/** Where the mount has ACLs on. With DONT_MASK the umask comes with what makes a file: a default ACL stands in for it. */
const WANTED_FOR_ACLS = InitFlag.POSIX_ACL | InitFlag.DONT_MASK | InitFlag.SETXATTR_EXT
const WANTED2 = InitFlag2.DIRECT_IO_ALLOW_MMAP

/** The most data one READ, WRITE or listing moves. */
export const TRANSFER_MAX_BYTES = MAX_PAGES * PAGE_BYTES

/** The largest request, with its headers: the kernel refuses to be read with less room. */
export const REQUEST_CAPACITY_BYTES = TRANSFER_MAX_BYTES + PAGE_BYTES

/** What the kernel granted. */
export interface Negotiated {
  kernelMinor: number
  flags: number
  flags2: number
  maxWriteBytes: number
  maxPages: number
  maxReadaheadBytes: number
}

/** Encodes the answer to an INIT behind the header of `out`; `lengthBytes` counts both. `negotiated` is undefined where
 *  the kernel will ask again with our major. Throws FsError EPROTO for a kernel that is too old. */
export function negotiate(
  r: RequestBuffer,
  out: ReplyBuffer,
  { acls, writeback }: { acls: boolean; writeback: boolean },
): { lengthBytes: number; negotiated?: Negotiated } {
  r.need(InitIn.sizeof)
  const at = InHeader.sizeof
  const major = r.u32(at + InitIn.major)
  const minor = r.u32(at + InitIn.minor)
  const put = OutHeader.sizeof
  const lengthBytes = put + InitOut.sizeof
  out.zero(put, lengthBytes)
  out.putU32(put + InitOut.major, KERNEL_MAJOR)
  out.putU32(put + InitOut.minor, KERNEL_MINOR)
  if (major > KERNEL_MAJOR) return { lengthBytes }
  if (major < KERNEL_MAJOR || minor < KERNEL_MINOR_MIN) {
    throw new FsError('EPROTO', `the kernel speaks FUSE ${major}.${minor}; 7.${KERNEL_MINOR_MIN} is the oldest known`)
  }
  const offered = r.u32(at + InitIn.flags)
  const hasSecondWord = (offered & InitFlag.INIT_EXT) !== 0 && r.length >= at + InitIn.flags2 + 4
  const wanted = WANTED | (acls ? WANTED_FOR_ACLS : 0) | (writeback ? InitFlag.WRITEBACK_CACHE : 0)
  const flags = offered & wanted
  const flags2 = hasSecondWord ? r.u32(at + InitIn.flags2) & WANTED2 : 0
  const maxPages = flags & InitFlag.MAX_PAGES ? MAX_PAGES : DEFAULT_MAX_PAGES
  const negotiated: Negotiated = {
    kernelMinor: minor,
    flags,
    flags2,
    maxPages,
    maxWriteBytes: maxPages * PAGE_BYTES,
    maxReadaheadBytes: r.u32(at + InitIn.maxReadahead),
  }
  out.putU32(put + InitOut.maxReadahead, negotiated.maxReadaheadBytes)
  out.putU32(put + InitOut.flags, flags)
  out.putU16(put + InitOut.maxBackground, MAX_BACKGROUND)
  out.putU16(put + InitOut.congestionThreshold, CONGESTION_THRESHOLD)
  out.putU32(put + InitOut.maxWrite, negotiated.maxWriteBytes)
  out.putU32(put + InitOut.timeGran, 1)
  out.putU16(put + InitOut.maxPages, maxPages)
  out.putU32(put + InitOut.flags2, flags2)
  return { lengthBytes, negotiated }
}

/** The names of granted flags, for the log. */
export function grantedNames({ flags, flags2 }: Negotiated): string {
  const named = (flag: object, word: number) =>
    Object.entries(flag)
      .filter(([, bit]) => (word & bit) !== 0)
      .map(([name]) => name)
  return [...named(InitFlag, flags), ...named(InitFlag2, flags2)].join(' ')
}
