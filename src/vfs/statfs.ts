// statfs: a bucket has no size. What is shown as total is large enough for every program, and small enough for those that
// count blocks in 32 bits of 1 MiB.
import { NAME_MAX } from '../meta/index.ts'
import type { FilesystemStatistics } from './filesystem.ts'

const BLOCK_SIZE_BYTES = 4096
const TOTAL_BYTES = 2 ** 50
const TOTAL_INODES = 2 ** 40

export function statfs(): FilesystemStatistics {
  return {
    blockSizeBytes: BLOCK_SIZE_BYTES,
    totalBytes: TOTAL_BYTES,
    freeBytes: TOTAL_BYTES,
    totalInodes: TOTAL_INODES,
    freeInodes: TOTAL_INODES,
    nameLengthMax: NAME_MAX,
  }
}
