// Whether a record says something that can be: lengths add up, numbers are in range. Pure; nothing is decoded that was not
// looked at first, as a damaged record must not throw.
import {
  blankAttributes,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  EXTENTS_IN_TABLE,
  INLINE_EXTENTS_MAX,
  isSymlink,
  readAttributes,
  recordMode,
  recordRealm,
  recordTail,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../../meta/index.ts'
import { readU64, type Timespec } from '../../platform/index.ts'

const INLINE_EXTENT_BYTES = 32
const TYPES = new Set([S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK])
const SLASH = 0x2f
const DOT = 0x2e

/** What is wrong with the inode in `bytes[at, end)`; null: nothing. */
export function inodeProblem(bytes: Buffer, at: number, end: number): string | null {
  const tail = recordTail(bytes, at, end)
  if (tail === null || tail.end !== end) return `an inode of ${end - at} bytes whose lengths do not add up`
  const { extents, extentsAt, targetAt, targetBytes } = tail
  if (extents !== EXTENTS_IN_TABLE && extents > INLINE_EXTENTS_MAX) return `an inode with ${extents} inline extents`
  const inode = blankAttributes()
  readAttributes(bytes, at, inode)
  const { ino, mode, sizeBytes, allocatedBytes } = inode
  if (!Number.isSafeInteger(ino) || ino === 0) return 'an inode without a number'
  if (!TYPES.has(mode & S_IFMT)) return `an inode of no known type (mode ${mode.toString(8)})`
  if (![sizeBytes, allocatedBytes, recordRealm(bytes, at)].every(Number.isSafeInteger))
    return 'an inode with sizes out of range'
  if (![inode.atime, inode.mtime, inode.ctime, inode.btime].every(isTime)) return 'an inode with times out of range'
  if (isSymlink(mode) !== targetBytes > 0) return 'a symlink without a target, or a target without a symlink'
  if (isSymlink(mode) && sizeBytes !== targetBytes) return 'a symlink whose size is not its target’s'
  for (let extentAt = extentsAt; extentAt < targetAt; extentAt += INLINE_EXTENT_BYTES)
    if (!Number.isSafeInteger(readU64(bytes, extentAt)) || !Number.isSafeInteger(readU64(bytes, extentAt + 8)))
      return 'an inode with an extent out of range'
  return null
}

function isTime({ sec, nsec }: Timespec): boolean {
  return Number.isSafeInteger(sec) && nsec <= 999_999_999
}

/** What is wrong with the dentry in `bytes[start, end)` besides its name; null: nothing. */
export function dentryProblem(bytes: Buffer, start: number, end: number): string | null {
  const length = end - start
  if (length < 3 || bytes[start] === 0 || 2 + bytes[start]! >= length) return `an entry of ${length} bytes`
  const at = dentryInodeAt(bytes, start)
  if (dentryIsShared(bytes, start)) {
    if (end - at !== 8) return 'an entry of a shared inode with a wrong length'
    const ino = readU64(bytes, at)
    if (!Number.isSafeInteger(ino) || ino === 0) return 'an entry without an inode number'
    return TYPES.has(dentryType(bytes, start)) ? null : 'an entry of no known type'
  }
  const problem = inodeProblem(bytes, at, end)
  if (problem !== null) return problem
  return (recordMode(bytes, at) & S_IFMT) === dentryType(bytes, start)
    ? null
    : 'an entry of another type than its inode'
}

/** Whether a name may stand in a directory. */
export function isNameAllowed(bytes: Buffer, start: number): boolean {
  const name = dentryName(bytes, start)
  if (name.includes(SLASH) || name.includes(0)) return false
  return !(name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)))
}
