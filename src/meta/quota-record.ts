// The record of a limit and of what counts against it: a row of QUOTA_TREE (key: the number of the tree's *realm*, which is
// taken as an ino is; 0: the whole volume), QUOTA_UID or QUOTA_GID (key: the uid or gid).
//
//   0    u8   bit 0: being counted, the use is not known yet; bit 1: removed, the limits do not bind; bit 2: bytes are
//             limited; bit 3: inodes are limited
//   1    7    0
//   8    u64  limit of bytes        16  u64  limit of inodes (0 where there is none)
//   24   u64  bytes in use          32  u64  inodes in use
//   40   u64  the realm around this one (trees), 0: none
//   48   u64  ino of the topmost directory (trees), else 0
//   56   u64  while it is being counted, but for trees: inodes below this one are counted; else 0
//
// What counts: every inode, and the size (st_size, holes included) of every inode but directories. A directory counts in
// the realm that its "." names, a file in its directory's, one in SHARED or ORPHANS in that of its record; what counts in
// a realm counts in the realms around it too. A realm that is removed, or has no row, stands for the one around it. While a
// tree is being counted, a directory with a row in QUOTA_WALK that says how far it is counted has files in two realms: those
// from that key on count in the realm around the tree's.
//
// Must stay true: a row that is neither being counted nor removed says what a recount says. A realm's number is never used
// again: directories may carry it that have left the tree since it was removed.
import { readU64, writeU64 } from '../platform/index.ts'
import type { TableReader } from '../tables/index.ts'
import { QUOTA_GID, QUOTA_TREE, QUOTA_UID } from './table-kinds.ts'

export const QUOTA_RECORD_BYTES = 64
export const QUOTA_WALK_BYTES = 16
const COUNTING = 1
const REMOVED = 2
const BYTES_LIMITED = 4
const INODES_LIMITED = 8

export interface Quota {
  isCounting: boolean
  isRemoved: boolean
  /** Null: no limit. */
  bytesLimit: number | null
  inodesLimit: number | null
  bytesUsed: number
  inodesUsed: number
  /** Of trees; 0: none. */
  parentRealm: number
  /** Of trees: the ino of the topmost one; else 0. */
  directory: number
  countedBelow: number
}

export function encodeQuota(quota: Quota): Buffer {
  const record = Buffer.alloc(QUOTA_RECORD_BYTES)
  record[0] =
    (quota.isCounting ? COUNTING : 0) |
    (quota.isRemoved ? REMOVED : 0) |
    (quota.bytesLimit === null ? 0 : BYTES_LIMITED) |
    (quota.inodesLimit === null ? 0 : INODES_LIMITED)
  writeU64(record, 8, quota.bytesLimit ?? 0)
  writeU64(record, 16, quota.inodesLimit ?? 0)
  writeU64(record, 24, quota.bytesUsed)
  writeU64(record, 32, quota.inodesUsed)
  writeU64(record, 40, quota.parentRealm)
  writeU64(record, 48, quota.directory)
  writeU64(record, 56, quota.countedBelow)
  return record
}

export function decodeQuota(bytes: Buffer, at: number): Quota {
  const flags = bytes[at]!
  return {
    isCounting: (flags & COUNTING) !== 0,
    isRemoved: (flags & REMOVED) !== 0,
    bytesLimit: (flags & BYTES_LIMITED) === 0 ? null : readU64(bytes, at + 8),
    inodesLimit: (flags & INODES_LIMITED) === 0 ? null : readU64(bytes, at + 16),
    bytesUsed: readU64(bytes, at + 24),
    inodesUsed: readU64(bytes, at + 32),
    parentRealm: readU64(bytes, at + 40),
    directory: readU64(bytes, at + 48),
    countedBelow: readU64(bytes, at + 56),
  }
}

/** Whether there is any limit. May fault. */
export function isAnythingLimited(reader: TableReader): boolean {
  return [QUOTA_TREE, QUOTA_UID, QUOTA_GID].some((kind) => {
    let isLimited = false
    reader.table(kind).scan(0, Number.MAX_SAFE_INTEGER, (_key, bytes, start) => {
      const { isRemoved, bytesLimit, inodesLimit } = decodeQuota(bytes, start)
      isLimited = !isRemoved && (bytesLimit !== null || inodesLimit !== null)
      return !isLimited
    })
    return isLimited
  })
}

/** A directory of a tree that is being counted, as far as it is known: a row of QUOTA_WALK (key: its ino).
 *
 *    0    u64  the realm that is being counted      8  u64  files under keys from here on are not counted yet; 0: nothing of it is */
export interface QuotaWalk {
  realm: number
  nextKey: number
}

export function encodeQuotaWalk({ realm, nextKey }: QuotaWalk): Buffer {
  const record = Buffer.alloc(QUOTA_WALK_BYTES)
  writeU64(record, 0, realm)
  writeU64(record, 8, nextKey)
  return record
}

export function decodeQuotaWalk(bytes: Buffer, at: number): QuotaWalk {
  return { realm: readU64(bytes, at), nextKey: readU64(bytes, at + 8) }
}
