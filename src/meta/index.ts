// meta/: what inodes, dentries, extents and live-byte counts are, in terms of tables. Promises upward: Metadata (reads of
// this turn, and the building of transactions), codecs, what checkpoints need. Asks downward: a Database, the extent
// codec of data/.
export {
  ACL_ACCESS_XATTR,
  ACL_DEFAULT_XATTR,
  type Acl,
  aclAfterChmod,
  decodeAcl,
  encodeAcl,
  inheritedAcl,
  modeOfAcl,
} from './acl.ts'
export * from './attributes.ts'
export { commonRanges } from './common-ranges.ts'
export { filesWithManyExtents, fragmentedRuns, rewriteRuns } from './defragment.ts'
export {
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryNameStart,
  dentryType,
  encodeDentry,
  encodeSharedDentry,
  NAME_MAX,
} from './dentry-record.ts'
export { deriveDirectoryCopies } from './derive.ts'
export { DirectoryRecord } from './directory-record.ts'
export { extentsByTurns } from './extents-by-turns.ts'
export { dropExtents, extentsOf, recordStream } from './file-extents.ts'
export { foldName } from './fold.ts'
export {
  attributesOf,
  blankAttributes,
  decodeInode,
  EXTENTS_IN_TABLE,
  encodeInode,
  INLINE_EXTENTS_MAX,
  type Inode,
  inodeFlags,
  mayHaveXattrs,
  newInode,
  readAttributes,
  recordMode,
  recordNlink,
  recordRealm,
  recordTail,
  recordXattrs,
  SYMLINK_TARGET_MAX,
} from './inode-record.ts'
export {
  type FoundName,
  type Home,
  Metadata,
  type NameKey,
  type Node,
  parentOf,
  putParent,
  putRootDirectory,
} from './metadata.ts'
export { cookieOf, DOT_DOT_KEY, DOT_KEY, FIRST_NAME_KEY, KEY_MAX, type NameKeys, nameKeys } from './name-keys.ts'
export { IN_ORPHANS, IN_SHARED, type Place, Places, REMOVED } from './places.ts'
export {
  decodeQuota,
  decodeQuotaWalk,
  encodeQuota,
  encodeQuotaWalk,
  isAnythingLimited,
  QUOTA_RECORD_BYTES,
  QUOTA_WALK_BYTES,
  type Quota,
  type QuotaWalk,
} from './quota-record.ts'
export { orphanInos, reapTurn } from './reap.ts'
export { deleteUnused, distinctBytes, isReferredTo, type MoveSource, moveExtents, repoint } from './repoint.ts'
export { SHARERS_MAX, sharedSegments, sharersOf } from './sharers.ts'
export * from './table-kinds.ts'
export {
  allLiveBytes,
  allSegmentUse,
  forgetSegments,
  isDeadInRoot,
  isNamedSegment,
  liveBytes,
  UsageChanges,
  type UsageRow,
} from './usage.ts'
export {
  ACL_MARK_XATTR,
  CAPABILITY_XATTR,
  decodeXattrPiece,
  dropXattrTable,
  hasInlineXattr,
  inlineXattrs,
  piecesOf,
  XATTR_INLINE_VALUE_MAX,
  XATTR_NAMES_MAX,
  XATTR_VALUE_MAX,
  XATTR_VALUES_MAX,
  XATTRS_INLINE_MAX,
  XattrEdit,
  type XattrPiece,
  xattrNames,
  xattrOf,
} from './xattrs.ts'
