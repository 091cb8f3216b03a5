// What fuse-native takes and gives as numbers: stat, statvfs, times, and 64 bits in two halves.
//
// Must stay true: what it cannot say is said as nearly as it can be, and never as something else: times have
// milliseconds and begin in 1970, inode numbers and the numbers of statvfs have 32 bits.
import type { Timespec } from '../platform/index.ts'
import type { Attributes, FilesystemStatistics } from '../vfs/index.ts'
import type { NativeRequest } from './native-addon.ts'

const STAT_WORDS = 18
const STATVFS_WORDS = 11
const TWO_32 = 2 ** 32
const BLOCK_BYTES = 4096

export const NO_STAT = new Uint32Array(STAT_WORDS)
export const NO_STATVFS = new Uint32Array(STATVFS_WORDS)

/** struct stat, as its populate_stat reads it. */
export function statOf(attributes: Attributes): Uint32Array {
  const words = new Uint32Array(STAT_WORDS)
  words[0] = attributes.mode
  words[1] = attributes.uid
  words[2] = attributes.gid
  put64(words, 3, attributes.sizeBytes)
  words[6] = attributes.nlink
  words[7] = attributes.ino % TWO_32
  words[8] = attributes.rdev
  words[9] = BLOCK_BYTES
  put64(words, 10, Math.ceil(attributes.allocatedBytes / 512))
  put64(words, 12, millisecondsOf(attributes.atime))
  put64(words, 14, millisecondsOf(attributes.mtime))
  put64(words, 16, millisecondsOf(attributes.ctime))
  return words
}

/** One struct stat after the other, of which a listing needs the type and the inode number. */
export function entryStats(entries: readonly { ino: number; mode: number }[]): Uint32Array[] {
  const words = new Uint32Array(STAT_WORDS * entries.length)
  return entries.map(({ ino, mode }, index) => {
    const stat = words.subarray(index * STAT_WORDS, (index + 1) * STAT_WORDS)
    stat[0] = mode
    stat[7] = ino % TWO_32
    return stat
  })
}

/** struct statvfs, in blocks so large that their number fits. */
export function statvfsOf(statistics: FilesystemStatistics): Uint32Array {
  let blockBytes = statistics.blockSizeBytes
  while (statistics.totalBytes / blockBytes >= TWO_32) blockBytes *= 2
  const count = (value: number) => Math.min(Math.floor(value), TWO_32 - 1)
  const free = count(statistics.freeBytes / blockBytes)
  const freeInodes = count(statistics.freeInodes)
  const words = new Uint32Array(STATVFS_WORDS)
  words.set([blockBytes, blockBytes, count(statistics.totalBytes / blockBytes), free, free])
  words.set([count(statistics.totalInodes), freeInodes, freeInodes, 0, 0, statistics.nameLengthMax], 5)
  return words
}

export function join64(low: number, high: number): number {
  return low + high * TWO_32
}

function put64(words: Uint32Array, at: number, value: number): void {
  words[at] = value % TWO_32
  words[at + 1] = value / TWO_32
}

function millisecondsOf({ sec, nsec }: Timespec): number {
  return sec < 0 ? 0 : sec * 1000 + Math.floor(nsec / 1e6)
}

/** Of struct fuse_thread_locals_t, where pointers have 64 bits. */
const ATIME_AT = 104
const MTIME_AT = 112

/** The times that utimens is to set. It hands out the first one twice: the second is read from where it lies. */
export function timesOf(request: NativeRequest, low: number, high: number): { atime: Timespec; mtime: Timespec } {
  const atimeMs = BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low))
  // A binary that keeps it elsewhere gives what it has given.
  const mtimeMs = request.readBigInt64LE(ATIME_AT) === atimeMs ? request.readBigInt64LE(MTIME_AT) : atimeMs
  return { atime: timespecOf(Number(atimeMs)), mtime: timespecOf(Number(mtimeMs)) }
}

function timespecOf(milliseconds: number): Timespec {
  const sec = Math.floor(milliseconds / 1000)
  return { sec, nsec: (milliseconds - sec * 1000) * 1e6 }
}
