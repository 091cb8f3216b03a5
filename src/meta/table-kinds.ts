// The sorts of tables a volume has. Their numbers stand in pages and in the journal: never change one, never use one
// again for something else.
//
// Must stay true: directories and xattrs are keyed by hash * 256 + ordinal, so their pages never split inside one hash
// (groupBits 8), and reading all ordinals of a name meets one page.
import { ROWS, type TableKind, type TableKindSpec } from '../tables/index.ts'

/** Owner: a directory. Key: of a name (name-keys.ts); 0 is its own inode ("."). Record: dentry-record.ts. */
export const DIRECTORY = 1 as TableKind
/** Owner: a file. Key: file offset. Record: data/'s extent codec. */
export const EXTENTS = 2 as TableKind
/** The files that have a table of extents, as of the last checkpoint. */
export const EXTENTS_ROWS = (EXTENTS + ROWS) as TableKind
/** Owner: a file or directory whose xattrs do not fit its inode. */
export const XATTRS = 3 as TableKind
/** Key: ino. Record: u64 directory, u64 key of the dentry that names it. Not for shared inodes, nor for orphans. */
export const PARENTS = 4 as TableKind
/** Key: ino. Record: the inode of a file that has, or once had, several names. */
export const SHARED = 5 as TableKind
/** Key: ino. Record: an inode without a name that is still in use, or whose extents are not dropped yet. */
export const ORPHANS = 6 as TableKind
/** Key: data segment or commit-data id. Record: usage.ts. */
export const USAGE = 7 as TableKind
/** Key: data segment. Record: inos that refer to it besides those in its table of contents. */
export const SHARERS = 8 as TableKind
/** Key: realm, uid, gid. Record: quota-record.ts. */
export const QUOTA_TREE = 9 as TableKind
export const QUOTA_UID = 10 as TableKind
export const QUOTA_GID = 11 as TableKind
/** Key: ino of a directory that is yet to be counted for a realm. Record: quota-record.ts. */
export const QUOTA_WALK = 12 as TableKind

/** What tables/ must know of them. */
export const TABLE_KINDS: readonly TableKindSpec[] = [
  { kind: DIRECTORY, groupBits: 8, perOwner: true },
  { kind: EXTENTS, groupBits: 0, perOwner: true },
  { kind: XATTRS, groupBits: 8, perOwner: true },
  { kind: PARENTS, groupBits: 0, perOwner: false },
  { kind: SHARED, groupBits: 0, perOwner: false },
  { kind: ORPHANS, groupBits: 0, perOwner: false },
  { kind: USAGE, groupBits: 0, perOwner: false },
  { kind: SHARERS, groupBits: 0, perOwner: false },
  { kind: QUOTA_TREE, groupBits: 0, perOwner: false },
  { kind: QUOTA_UID, groupBits: 0, perOwner: false },
  { kind: QUOTA_GID, groupBits: 0, perOwner: false },
  { kind: QUOTA_WALK, groupBits: 0, perOwner: false },
]

/** Tables whose root page `root` names itself: the root directory, so that a mount shows it with one request less. */
export const PINNED_TABLES: readonly { kind: TableKind; owner: number }[] = [{ kind: DIRECTORY, owner: 1 }]
