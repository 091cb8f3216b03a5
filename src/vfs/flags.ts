// The flags of inodes: what chattr(1) changes and lsattr(1) shows.
import { CASEFOLD_FLAG, type Ino, type Inode, isDirectory, KNOWN_FLAGS } from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import { assertWritable, type Context } from './context.ts'

export function getFlags({ database, metadata }: Context, ino: Ino): MaybePromise<number> {
  return database.run(() => metadata.nodeOf(ino).inode.flags)
}

/** As ext4_ioctl_setflags: EOPNOTSUPP for flags that are not built, ENOTDIR and ENOTEMPTY for CASEFOLD. `flagsOf` says what they
 *  are to be, and may throw. */
export function setFlags(context: Context, ino: Ino, flagsOf: (inode: Inode) => number): MaybePromise<void> {
  assertWritable(context)
  const { clock, database, metadata, writeback } = context
  return database.run(() => {
    const node = metadata.nodeOf(ino)
    const { inode } = node
    const flags = flagsOf(inode)
    if ((flags & ~KNOWN_FLAGS) !== 0) throw errnoError('EOPNOTSUPP')
    if (flags === inode.flags) return
    if (!isDirectory(inode.mode)) throw errnoError('ENOTDIR')
    if (node.home === 'removed') throw errnoError('ENOENT')
    // Keys are hashes of folded names, or of exact ones.
    if (!metadata.isEmptyDirectory(ino)) throw errnoError('ENOTEMPTY')
    inode.flags = flags
    inode.ctime = clock.now()
    const transaction = database.transaction()
    metadata.put(transaction, node)
    database.apply(transaction)
    metadata.noteFolding(ino, (flags & CASEFOLD_FLAG) !== 0)
    writeback.changed()
  })
}
