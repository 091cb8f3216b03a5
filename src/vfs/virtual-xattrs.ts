// Extended attributes that nobody keeps: what they say is made when it is asked for, and to set one is an operation of
// its own. They are never listed: copying a tree would carry them along.
//
// To add some, write a VirtualXattrs and name it in VIRTUAL.
import { CASEFOLD_FLAG, dentryName, type Ino, type Inode, isDirectory } from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { Caller } from './filesystem.ts'
import { setFlags } from './flags.ts'
import { quotaXattrs } from './quota-xattrs.ts'

export interface VirtualXattrs {
  /** Whether a name is one of these. */
  owns(name: Uint8Array): boolean
  get(context: Context, ino: Ino, name: Uint8Array): MaybePromise<Uint8Array>
  /** As setxattr(2), `flags` its. Without: EOPNOTSUPP. */
  set?(
    context: Context,
    caller: Caller,
    ino: Ino,
    change: { name: Uint8Array; value: Uint8Array; flags: number },
  ): MaybePromise<void>
  remove?(context: Context, caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<void>
}

/** The one that owns a name; null where none does. */
export function virtualXattrsOf(name: Uint8Array): VirtualXattrs | null {
  for (const virtual of VIRTUAL) if (virtual.owns(name)) return virtual
  return null
}

const OFF = Buffer.from('0')
const ON = Buffer.from('1')
const XATTR_CREATE = 1

/** Of directories: '1' where names that fold alike are one, else '0'. To remove it is to set '0'. */
const CASEFOLD = Buffer.from('user.cairnfs.casefold')

const casefold: VirtualXattrs = {
  owns: (name) => CASEFOLD.equals(name),
  get: ({ database, metadata }, ino) =>
    database.run(() => {
      const { mode, flags } = metadata.nodeOf(ino).inode
      if (!isDirectory(mode)) throw errnoError('ENODATA')
      return (flags & CASEFOLD_FLAG) === 0 ? OFF : ON
    }),
  /** EINVAL for a value that is neither; EEXIST for XATTR_CREATE, as a directory always has it; EPERM for whoever may not
   *  change a directory's flags; the rest as setFlags. */
  set(context, caller, ino, { value, flags }) {
    const isOn = ON.equals(value)
    if (!isOn && !OFF.equals(value)) throw errnoError('EINVAL')
    return setCasefold(context, caller, ino, (inode) => {
      if (!isDirectory(inode.mode)) throw errnoError('ENOTDIR')
      if ((flags & XATTR_CREATE) !== 0) throw errnoError('EEXIST')
      return isOn
    })
  },
  remove: (context, caller, ino) =>
    setCasefold(context, caller, ino, (inode) => {
      if (!isDirectory(inode.mode)) throw errnoError('ENODATA')
      return false
    }),
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

/** Of directories that fold, a name behind it: how that name is spelled there. Asked by Samba's vfs_glusterfs_fuse. */
const REAL_NAME = Buffer.from('glusterfs.get_real_filename:')

const realName: VirtualXattrs = {
  owns: (name) => REAL_NAME.equals(name.subarray(0, REAL_NAME.length)),
  get: (context, ino, name) => context.database.run(() => spelled(context, ino, name.subarray(REAL_NAME.length))),
}

/** The stored spelling and a NUL. ENODATA where there is no such name: Samba believes it. EOPNOTSUPP where names do not
 *  fold: Samba then looks through the directory itself. */
function spelled({ metadata }: Context, directory: Ino, name: Uint8Array): Buffer {
  if (!metadata.folds(directory)) throw errnoError('EOPNOTSUPP')
  const found = name.length === 0 ? null : metadata.find(directory, name)
  if (found === null) throw errnoError('ENODATA')
  const stored = dentryName(found.bytes, found.start)
  const answer = Buffer.alloc(stored.length + 1)
  answer.set(stored)
  return answer
}

const VIRTUAL: readonly VirtualXattrs[] = [casefold, realName, quotaXattrs]
