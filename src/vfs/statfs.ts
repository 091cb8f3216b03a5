// statfs: a bucket has no size. What is shown as total is large enough for every program, and small enough for those that
// count blocks in 32 bits of 1 MiB. Used is what files hold; inodes are not counted. Below a directory with a quota its limits
// are shown, and what is left of them and of those around it.
import { allLiveBytes, type Ino, NAME_MAX } from '../meta/index.ts'
import type { MaybePromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { FilesystemStatistics } from './filesystem.ts'

const BLOCK_SIZE_BYTES = 4096
const TOTAL_BYTES = 2 ** 50
const TOTAL_INODES = 2 ** 40
const NOTHING_LIMITED = { bytes: null, inodes: null }

export function statfs({ database, quotas, streams }: Context, ino: Ino): MaybePromise<FilesystemStatistics> {
  return database.run(() => {
    const { bytes, inodes } = quotas.isActive ? quotas.spaceAt(ino) : NOTHING_LIMITED
    return {
      blockSizeBytes: BLOCK_SIZE_BYTES,
      totalBytes: bytes?.total ?? TOTAL_BYTES,
      freeBytes: bytes?.free ?? TOTAL_BYTES - allLiveBytes(database) - streams.dirtyBytes,
      totalInodes: inodes?.total ?? TOTAL_INODES,
      freeInodes: inodes?.free ?? TOTAL_INODES,
      nameLengthMax: NAME_MAX,
    }
  })
}
