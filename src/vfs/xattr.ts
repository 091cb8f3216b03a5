// Extended attributes: the few by which a directory tells, or is told, how it treats names. None is kept yet.
import { CASEFOLD_FLAG, dentryName, type Ino, type Inode, isDirectory } from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { Caller } from './filesystem.ts'
import { setFlags } from './flags.ts'

/** Of directories: '1' where names that fold alike are one, else '0'. To remove it is to set '0'. */
const CASEFOLD = Buffer.from('user.cairnfs.casefold')
/** Of directories that fold, a name behind it: how that name is spelled there. Asked by Samba's vfs_glusterfs_fuse. */
const REAL_NAME = Buffer.from('glusterfs.get_real_filename:')
const OFF = Buffer.from('0')
const ON = Buffer.from('1')

const XATTR_CREATE = 1

/** getxattr(2). EOPNOTSUPP for what is not built, as a filesystem without extended attributes answers; ENODATA. */
export function getxattr(context: Context, ino: Ino, name: Uint8Array): MaybePromise<Uint8Array> {
  if (CASEFOLD.equals(name)) {
    return context.database.run(() => {
      const { mode, flags } = context.metadata.nodeOf(ino).inode
      if (!isDirectory(mode)) throw errnoError('ENODATA')
      return (flags & CASEFOLD_FLAG) === 0 ? OFF : ON
    })
  }
  if (REAL_NAME.equals(name.subarray(0, REAL_NAME.length))) {
    return context.database.run(() => realName(context, ino, name.subarray(REAL_NAME.length)))
  }
  throw errnoError('EOPNOTSUPP')
}

/** The stored spelling and a NUL. ENODATA where there is no such name: Samba believes it. EOPNOTSUPP where names do not
 *  fold: Samba then looks through the directory itself. */
function realName({ metadata }: Context, directory: Ino, name: Uint8Array): Buffer {
  if (!metadata.folds(directory)) throw errnoError('EOPNOTSUPP')
  const found = name.length === 0 ? null : metadata.find(directory, name)
  if (found === null) throw errnoError('ENODATA')
  const stored = dentryName(found.bytes, found.start)
  const answer = Buffer.alloc(stored.length + 1)
  answer.set(stored)
  return answer
}

/** setxattr(2). EINVAL for a value that is neither; EEXIST for XATTR_CREATE, as a directory always has it; EPERM for whoever
 *  may not change a directory's flags; the rest as setFlags. */
export function setxattr(
  context: Context,
  caller: Caller,
  ino: Ino,
  name: Uint8Array,
  value: Uint8Array,
  flags: number,
): MaybePromise<void> {
  if (!CASEFOLD.equals(name)) throw errnoError('EOPNOTSUPP')
  const isOn = ON.equals(value)
  if (!isOn && !OFF.equals(value)) throw errnoError('EINVAL')
  return setCasefold(context, caller, ino, (inode) => {
    if (!isDirectory(inode.mode)) throw errnoError('ENOTDIR')
    if ((flags & XATTR_CREATE) !== 0) throw errnoError('EEXIST')
    return isOn
  })
}

/** removexattr(2). */
export function removexattr(context: Context, caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<void> {
  if (!CASEFOLD.equals(name)) throw errnoError('EOPNOTSUPP')
  return setCasefold(context, caller, ino, (inode) => {
    if (!isDirectory(inode.mode)) throw errnoError('ENODATA')
    return false
  })
}

function setCasefold(
  context: Context,
  caller: Caller,
  ino: Ino,
  isWanted: (inode: Inode) => boolean,
): MaybePromise<void> {
  return setFlags(context, caller, ino, (inode) => {
    const isOn = isWanted(inode)
    // The kernel asks for the owner before an ioctl, but only for write permission before an attribute of user.*.
    if (caller.uid !== 0 && caller.uid !== inode.uid) throw errnoError('EPERM')
    return isOn ? inode.flags | CASEFOLD_FLAG : inode.flags & ~CASEFOLD_FLAG
  })
}
