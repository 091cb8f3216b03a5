// Mount options sync and dirsync (mount(8)): a change of names is durable when the call returns; with sync also one of attributes.
// Of bytes the kernel sees to that by itself, by FSYNC after each write; of names it leaves it to the filesystem.
import { isPromise, type MaybePromise } from '../platform/index.ts'
import type { Filesystem, Handle, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { Opcode } from './wire.ts'

/** Of these the nodeid is a directory in which a name came or went. */
const CHANGES_NAMES: ReadonlySet<number> = new Set([
  Opcode.CREATE,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.SYMLINK,
  Opcode.LINK,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.RENAME2,
])
/** And of these any inode. */
const CHANGES_ATTRIBUTES: ReadonlySet<number> = new Set([Opcode.SETATTR, Opcode.SETXATTR, Opcode.REMOVEXATTR])
const NO_HANDLE = 0 as Handle

export type SyncedChanges = 'none' | 'names' | 'all'

/** The answer to a request, once what it changed is durable, if it is to be. Where that fails the caller hears of it, though what he
 *  asked for is done. */
export function synced<T>(
  fs: Filesystem,
  r: RequestBuffer,
  changes: SyncedChanges,
  answer: MaybePromise<T>,
): MaybePromise<T> {
  if (changes === 'none') return answer
  const isOfNames = CHANGES_NAMES.has(r.opcode)
  if (!isOfNames && (changes === 'names' || !CHANGES_ATTRIBUTES.has(r.opcode))) return answer
  const ino = r.nodeid as Ino
  const then = async (value: T) => {
    await (isOfNames ? fs.fsyncdir(ino) : fs.fsync(NO_HANDLE, ino, false))
    return value
  }
  return isPromise(answer) ? answer.then(then) : then(answer)
}
