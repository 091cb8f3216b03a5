// Immutable and append-only files and directories (chattr +i, +a): what may not be done to them, by anybody, root included.
// The kernel sees to that for filesystems whose inodes it holds; of ours it does not know the flags. The order of checks is
// that of fs/namei.c (may_create, may_delete, may_open) and fs/attr.c.
//
// Must stay true: where no flag is set, a check is one look at flags that are at hand.
import { APPEND_FLAG, type DirectoryRecord, IMMUTABLE_FLAG, type Inode, isDirectory } from '../meta/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { SetAttributes } from './filesystem.ts'

const O_ACCMODE = 3
const O_TRUNC = 0o1000
const O_APPEND = 0o2000
const PROTECTED = IMMUTABLE_FLAG | APPEND_FLAG

type Flags = Pick<Inode, 'flags'>

/** EPERM for a directory that takes no names. */
export function assertTakesNames({ flags }: DirectoryRecord): void {
  if ((flags & IMMUTABLE_FLAG) !== 0) throw errnoError('EPERM')
}

/** EPERM for a directory that loses no names, and for what keeps its own. */
export function assertLosesName(directory: DirectoryRecord, { flags }: Flags): void {
  if (((directory.flags | flags) & PROTECTED) !== 0) throw errnoError('EPERM')
}

/** EPERM for what keeps its names and attributes, extended ones too. */
export function assertUnprotected({ flags }: Flags): void {
  if ((flags & PROTECTED) !== 0) throw errnoError('EPERM')
}

/** setattr: whoever may append may also set the times to now. A kernel that holds back what is written (WRITEBACK_CACHE) says
 *  afterwards when that was, mtime and ctime alone: it was let do so before. */
export function assertSettable(
  { flags }: Flags,
  { mode, uid, gid, sizeBytes, atime, mtime, ctime }: SetAttributes,
): void {
  if ((flags & PROTECTED) === 0) return
  const setsTimes = [atime, mtime].some((time) => time !== undefined && time !== 'now')
  const setsMore = mode !== undefined || uid !== undefined || gid !== undefined || sizeBytes !== undefined
  if (ctime !== undefined && atime === undefined && !setsMore) return
  const sets = setsMore || setsTimes
  if ((flags & IMMUTABLE_FLAG) !== 0 || sets) throw errnoError('EPERM')
}

/** open(2): an append-only file is written with O_APPEND alone. */
export function assertOpens({ flags, mode }: Pick<Inode, 'flags' | 'mode'>, openFlags: number): void {
  if ((flags & PROTECTED) === 0 || isDirectory(mode)) return
  const truncates = (openFlags & O_TRUNC) !== 0
  if (!isWriting(openFlags) && !truncates) return
  if ((flags & IMMUTABLE_FLAG) !== 0 || truncates || (openFlags & O_APPEND) === 0) throw errnoError('EPERM')
}

const isWriting = (openFlags: number): boolean => (openFlags & O_ACCMODE) !== 0

/** In the turn in which a file is opened, or its flags change. */
export function noteProtected(
  { handles, protectedWritten }: Context,
  { ino, flags }: Pick<Inode, 'ino' | 'flags'>,
  openFlags = 0,
): void {
  const held = flags & PROTECTED
  if (held !== 0 && (isWriting(openFlags) || handles.isWritten(ino))) protectedWritten.set(ino, held)
  else if (protectedWritten.size > 0) protectedWritten.delete(ino)
}

/** Whoever had it open for writing when it became immutable writes no more, as in ext4. */
export function assertWrites({ protectedWritten }: Context, ino: number): void {
  if (protectedWritten.size === 0) return
  if (((protectedWritten.get(ino) ?? 0) & IMMUTABLE_FLAG) !== 0) throw errnoError('EPERM')
}

/** Bytes of an append-only file stay, though O_APPEND may have been taken away since it was opened (fcntl), or it was opened before it
 *  was append-only, or is mapped. */
export function assertAppends(
  { protectedWritten }: Context,
  ino: number,
  { offset, sizeBytes }: { offset: number; sizeBytes: number },
): void {
  if (protectedWritten.size === 0 || offset >= sizeBytes) return
  if (((protectedWritten.get(ino) ?? 0) & APPEND_FLAG) !== 0) throw errnoError('EPERM')
}
