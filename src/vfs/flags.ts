// The flags of inodes: what chattr(1) changes and lsattr(1) shows.
import {
  APPEND_FLAG,
  CASEFOLD_FLAG,
  IMMUTABLE_FLAG,
  type Ino,
  type Inode,
  isDirectory,
  KNOWN_FLAGS,
  type Node,
  ROOT_INO,
} from '../meta/index.ts'
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import { assertWritable, type Context } from './context.ts'
import type { Caller } from './filesystem.ts'
import { noteProtected } from './protection.ts'

export function getFlags({ database, metadata }: Context, ino: Ino): MaybePromise<number> {
  return database.run(() => metadata.nodeOf(ino).inode.flags)
}

/** Who is to tell the kernel may wait for somebody who waits for us: then we stop waiting. */
const TELL_MS_MAX = 1000

/** As ext4_ioctl_setflags: EOPNOTSUPP for flags that are not built, EPERM for IMMUTABLE and APPEND where the caller is not uid 0,
 *  ENOTDIR and ENOTEMPTY for CASEFOLD. `flagsOf` says what they are to be, and may throw. */
export function setFlags(
  context: Context,
  caller: Caller,
  ino: Ino,
  flagsOf: (inode: Inode) => number,
): MaybePromise<void> {
  assertWritable(context)
  const { clock, database, metadata, writeback } = context
  const done = database.run(() => {
    const node = metadata.nodeOf(ino)
    const { inode } = node
    const before = inode.flags
    const flags = flagsOf(inode)
    if ((flags & ~KNOWN_FLAGS) !== 0) throw errnoError('EOPNOTSUPP')
    if (flags === before) return null
    const changed = flags ^ before
    if ((changed & (IMMUTABLE_FLAG | APPEND_FLAG)) !== 0 && caller.uid !== 0) throw errnoError('EPERM')
    if ((changed & CASEFOLD_FLAG) !== 0) assertMayFold(context, node)
    inode.flags = flags
    inode.ctime = clock.now()
    const transaction = database.transaction()
    metadata.put(transaction, node)
    database.apply(transaction)
    if (isDirectory(inode.mode)) metadata.noteFolding(ino, (flags & CASEFOLD_FLAG) !== 0)
    noteProtected(context, inode)
    writeback.changed()
    return (flags & ~before & CASEFOLD_FLAG) === 0 ? null : { ...node, name: Buffer.from(node.name) }
  })
  const tell = (node: Node | null) => (node === null ? undefined : absentNamesGone(context, node))
  return isPromise(done) ? done.then(tell) : tell(done)
}

/** Whether names in it may begin to fold, or cease to. */
function assertMayFold({ metadata }: Context, { inode, home }: Node): void {
  if (!isDirectory(inode.mode)) throw errnoError('ENOTDIR')
  if (home === 'removed') throw errnoError('ENOENT')
  // Keys are hashes of folded names, or of exact ones.
  if (!metadata.isEmptyDirectory(inode.ino)) throw errnoError('ENOTEMPTY')
}

/** Before it folded, the kernel was told that names are absent, for an hour: it is to forget that before anybody makes one by
 *  another spelling. It does when it forgets the directory's own name. */
function absentNamesGone({ clock, onNameGone }: Context, { directory, inode, name }: Node): MaybePromise<void> {
  const told = inode.ino === ROOT_INO ? onNameGone(ROOT_INO, null) : onNameGone(directory as Ino, name)
  return isPromise(told) ? Promise.race([told, clock.sleep(TELL_MS_MAX)]) : undefined
}
