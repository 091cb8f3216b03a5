// ioctl(2): the flags of inodes alone. chattr(1) reads them by GETFLAGS and FSGETXATTR before it sets them.
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Caller, Filesystem, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { InHeader, Ioctl, IoctlIn } from './wire.ts'

/** struct fsxattr: xflags, extsize, nextents, projid, cowextsize, 8 bytes of padding. No such flag is built. */
const NO_FSXATTR = [0, 0, 0, 0, 0, 0, 0]

/** Carries a request out; gives what it answers, as 32-bit words. ENOTTY for what is not known. */
export function runIoctl(fs: Filesystem, caller: Caller, r: RequestBuffer): MaybePromise<readonly number[]> {
  r.need(IoctlIn.sizeof)
  if (fs.getFlags === undefined || fs.setFlags === undefined) throw errnoError('ENOTTY')
  const ino = r.nodeid as Ino
  switch (r.u32(InHeader.sizeof + IoctlIn.cmd)) {
    case Ioctl.GETFLAGS: {
      const flags = fs.getFlags(ino)
      return isPromise(flags) ? flags.then((word) => [word]) : [flags]
    }
    case Ioctl.FSGETXATTR:
      return NO_FSXATTR
    case Ioctl.SETFLAGS: {
      r.need(IoctlIn.sizeof + 4)
      const done = fs.setFlags(caller, ino, r.u32(InHeader.sizeof + IoctlIn.sizeof))
      return isPromise(done) ? done.then(() => []) : []
    }
    case Ioctl.FSSETXATTR:
      throw errnoError('EOPNOTSUPP')
    default:
      throw errnoError('ENOTTY')
  }
}
