// Whether a record says something that can be: lengths add up, numbers are in range. Pure; nothing is decoded that was not
// looked at first, as a damaged record must not throw.
import {
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  isSymlink,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../../meta/index.ts'
import { readI64, readU64 } from '../../platform/index.ts'

const INODE_FIXED_BYTES = 116
const INLINE_EXTENT_BYTES = 32
const INLINE_EXTENTS_MAX = 4
const IN_TABLE = 0xffff
const TYPES = new Set([S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK])
const SLASH = 0x2f
const DOT = 0x2e
const BACKSLASH = 0x5c

/** What is wrong with the inode in `bytes[at, end)`; null: nothing. */
export function inodeProblem(bytes: Buffer, at: number, end: number): string | null {
  if (end - at < INODE_FIXED_BYTES) return `an inode of ${end - at} bytes`
  const count = bytes.readUInt16LE(at + 108)
  if (count !== IN_TABLE && count > INLINE_EXTENTS_MAX) return `an inode with ${count} inline extents`
  const targetBytes = bytes.readUInt16LE(at + 110)
  const lengths = (count === IN_TABLE ? 0 : count * INLINE_EXTENT_BYTES) + targetBytes + bytes.readUInt16LE(at + 112)
  if (INODE_FIXED_BYTES + lengths !== end - at) return 'an inode whose lengths do not add up'
  const ino = readU64(bytes, at)
  if (!Number.isSafeInteger(ino) || ino === 0) return 'an inode without a number'
  const mode = bytes.readUInt32LE(at + 12)
  if (!TYPES.has(mode & S_IFMT)) return `an inode of no known type (mode ${mode.toString(8)})`
  for (const offset of [32, 40, 100])
    if (!Number.isSafeInteger(readU64(bytes, at + offset))) return 'an inode with sizes out of range'
  for (const offset of [48, 56, 64, 72])
    if (!Number.isSafeInteger(readI64(bytes, at + offset))) return 'an inode with times out of range'
  for (const offset of [80, 84, 88, 92])
    if (bytes.readUInt32LE(at + offset) > 999_999_999) return 'an inode with times out of range'
  if (isSymlink(mode) !== targetBytes > 0) return 'a symlink without a target, or a target without a symlink'
  if (isSymlink(mode) && readU64(bytes, at + 32) !== targetBytes) return 'a symlink whose size is not its target’s'
  if (count !== IN_TABLE)
    for (let index = 0; index < count; index++) {
      const extentAt = at + INODE_FIXED_BYTES + index * INLINE_EXTENT_BYTES
      if (!Number.isSafeInteger(readU64(bytes, extentAt)) || !Number.isSafeInteger(readU64(bytes, extentAt + 8)))
        return 'an inode with an extent out of range'
    }
  return null
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
  return (bytes.readUInt32LE(at + 12) & S_IFMT) === dentryType(bytes, start)
    ? null
    : 'an entry of another type than its inode'
}

/** Whether a name may stand in a directory. */
export function isNameAllowed(bytes: Buffer, start: number): boolean {
  const name = dentryName(bytes, start)
  if (name.includes(SLASH) || name.includes(0)) return false
  return !(name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)))
}

/** A name for messages: what is no printable text as \x and two digits. */
export function printable(name: Buffer): string {
  const text = name.toString()
  const isText = Array.from(text, (character) => character.codePointAt(0)!).every(
    (point) => point > 0x1f && point !== 0x7f && point !== 0xfffd && point !== BACKSLASH,
  )
  if (isText) return text
  const isPlain = (byte: number) => byte > 0x1f && byte < 0x7f && byte !== BACKSLASH
  const escaped = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`
  return Array.from(name, (byte) => (isPlain(byte) ? String.fromCharCode(byte) : escaped(byte))).join('')
}
