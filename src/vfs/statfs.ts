// statfs: a bucket has no size. What is shown as total is large enough for every program, and small enough for those that
// count blocks in 32 bits of 1 MiB. Used is what files hold; inodes are not counted.
import { allLiveBytes, NAME_MAX } from '../meta/index.ts'
import type { MaybePromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { FilesystemStatistics } from './filesystem.ts'

const BLOCK_SIZE_BYTES = 4096
const TOTAL_BYTES = 2 ** 50
const TOTAL_INODES = 2 ** 40

export function statfs({ database, streams }: Context): MaybePromise<FilesystemStatistics> {
  return database.run(() => ({
    blockSizeBytes: BLOCK_SIZE_BYTES,
    totalBytes: TOTAL_BYTES,
    freeBytes: TOTAL_BYTES - allLiveBytes(database) - streams.dirtyBytes,
    totalInodes: TOTAL_INODES,
    freeInodes: TOTAL_INODES,
    nameLengthMax: NAME_MAX,
  }))
}
