// ioctl(2): the flags of inodes alone, in both forms that <linux/fs.h> has of them. The kernel reads the flags by FSGETXATTR
// before it sets any, to see whether IMMUTABLE or APPEND change, which not everybody may do. Having set them it still shows the
// ctime that it knew: it is told.
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Caller, Filesystem, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { InHeader, Ioctl, IoctlIn } from './wire.ts'

/** struct fsxattr: xflags, extsize, nextents, projid, cowextsize, 8 bytes of padding. */
const FSXATTR_WORDS = 7
/** Flags, as FS_XFLAG_ and as FS_ name them: IMMUTABLE, APPEND, NOATIME, NODUMP. */
const XFLAGS: readonly (readonly [xflag: number, flag: number])[] = [
  [0x08, 0x10],
  [0x10, 0x20],
  [0x40, 0x80],
  [0x80, 0x40],
]

/** Carries a request out; gives what it answers, as 32-bit words. ENOTTY for what is not known. `forgetAttributes`: has the kernel
 *  ask for them anew. */
export function runIoctl(
  fs: Filesystem,
  caller: Caller,
  r: RequestBuffer,
  forgetAttributes: (ino: Ino) => Promise<void>,
): MaybePromise<readonly number[]> {
  r.need(IoctlIn.sizeof)
  if (fs.getFlags === undefined || fs.setFlags === undefined) throw errnoError('ENOTTY')
  const ino = r.nodeid as Ino
  const changed = async (done: MaybePromise<void>) => {
    await done
    await forgetAttributes(ino)
    return []
  }
  switch (r.u32(InHeader.sizeof + IoctlIn.cmd)) {
    case Ioctl.GETFLAGS: {
      const flags = fs.getFlags(ino)
      return isPromise(flags) ? flags.then((word) => [word]) : [flags]
    }
    case Ioctl.FSGETXATTR: {
      const flags = fs.getFlags(ino)
      return isPromise(flags) ? flags.then(fsxattrOf) : fsxattrOf(flags)
    }
    case Ioctl.SETFLAGS: {
      r.need(IoctlIn.sizeof + 4)
      return changed(fs.setFlags(caller, ino, r.u32(InHeader.sizeof + IoctlIn.sizeof)))
    }
    case Ioctl.FSSETXATTR: {
      r.need(IoctlIn.sizeof + 4 * FSXATTR_WORDS)
      const [xflags = 0, ...others] = Array.from({ length: FSXATTR_WORDS }, (_, word) =>
        r.u32(InHeader.sizeof + IoctlIn.sizeof + 4 * word),
      )
      // Nothing but flags is built: neither sizes of extents nor projects.
      if (others.some((word) => word !== 0)) throw errnoError('EOPNOTSUPP')
      const before = fs.getFlags(ino)
      const set = (flags: number) => fs.setFlags!(caller, ino, withXflags(flags, xflags))
      return changed(isPromise(before) ? before.then(set) : set(before))
    }
    default:
      throw errnoError('ENOTTY')
  }
}

function fsxattrOf(flags: number): number[] {
  const words = new Array<number>(FSXATTR_WORDS).fill(0)
  for (const [xflag, flag] of XFLAGS) if ((flags & flag) !== 0) words[0]! |= xflag
  return words
}

/** The flags that `xflags` asks for; those that have no such form stay. EOPNOTSUPP for what is not built. */
function withXflags(flags: number, xflags: number): number {
  let left = xflags
  for (const [xflag, flag] of XFLAGS) {
    flags = (xflags & xflag) === 0 ? flags & ~flag : flags | flag
    left &= ~xflag
  }
  if (left !== 0) throw errnoError('EOPNOTSUPP')
  return flags
}
