// setattr: chmod(2), chown(2), truncate(2), utimensat(2), in whatever combination one request brings; and what changes of
// bytes do to the mode.
//
// Modes and owners are names operations; the size and the times of regular files are operations of the file's stream.
import {
  CAPABILITY_XATTR,
  hasInlineXattr,
  type Ino,
  type Inode,
  isDirectory,
  isRegular,
  type Node,
  S_IFMT,
  S_ISGID,
  S_ISUID,
  XattrEdit,
} from '../meta/index.ts'
import { errnoError, type MaybePromise, type Timespec } from '../platform/index.ts'
import { editByChmod } from './acl.ts'
import { assertWritable, type Context, FILE_SIZE_MAX, openStream, TTL_SEC } from './context.ts'
import type { Attributes, BytesChange, Caller, SetAttributes } from './filesystem.ts'
import { assertSettable, assertUnprotected, assertWrites } from './protection.ts'
import { applyWith } from './quota.ts'
import { staleGate } from './stale-names.ts'
import { visibleAttributes } from './visible.ts'

const S_IXGRP = 0o010

export function setattr(
  context: Context,
  caller: Caller,
  ino: Ino,
  changes: SetAttributes,
): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
  assertWritable(context)
  const { database, metadata, clock, quotas, writeback, handOver } = context
  // truncate(2) of a name; ftruncate(2) comes with a handle.
  if (changes.sizeBytes !== undefined && changes.handle === undefined) {
    const stale = staleGate(context, ino)
    if (stale !== null) return stale
  }
  const turn = () => {
    const node = metadata.nodeOf(ino)
    const { inode } = node
    const regular = isRegular(inode.mode)
    assertSettable(inode, changes)
    if (changes.sizeBytes !== undefined) {
      checkSize(inode, changes.sizeBytes)
      handOver.assertQuiet(ino)
      if (quotas.isActive) quotas.checkSize(node, changes.sizeBytes)
    }
    // What is in memory alone counts nowhere.
    const owner = quotas.isActive && node.home !== 'removed' ? quotas.ownerOf(node) : null

    const now = clock.now()
    const ctime = changes.ctime ?? now
    const times = timesOf(changes, now)
    const setsTimes = times.atime !== undefined || times.mtime !== undefined
    const setsOwner = changes.uid !== undefined || changes.gid !== undefined
    // chown(2) that leaves both as they are: ctime is now, and set-ID bits go. Of those the kernel has asked nobody's leave, and
    // before somebody writes to such a file it asks just the same: by himself he changes nothing, and nothing is refused.
    const setsNothing = changes.mode === undefined && !setsOwner && !setsTimes && changes.sizeBytes === undefined
    const isCapable = !isDirectory(inode.mode) && hasInlineXattr(inode, CAPABILITY_XATTR)
    const isOwner = caller.uid === 0 || caller.uid === inode.uid
    if (setsNothing && (isCapable || keptMode(inode) !== inode.mode) && !isOwner)
      return { attributes: visibleAttributes(context, node), ttlSec: TTL_SEC }
    const dropsCapability = isCapable && (setsOwner || setsNothing || changes.sizeBytes !== undefined)
    if (changes.mode !== undefined || setsOwner || setsNothing || dropsCapability || (setsTimes && !regular)) {
      const edit = new XattrEdit(database, metadata.nameKeys, inode)
      if (changes.mode !== undefined) editByChmod(context, edit, inode, changes.mode)
      if (dropsCapability) edit.delete(CAPABILITY_XATTR)
      changeNamesHalf(inode, changes, ctime)
      if (!regular) Object.assign(inode, times)
      const transaction = database.transaction()
      edit.putInto(transaction)
      metadata.put(transaction, node)
      const use = quotas.changes()
      if (use !== null && owner !== null) quotas.moved(use, inode, owner, { ...owner, uid: inode.uid, gid: inode.gid })
      applyWith(context, transaction, use)
    }
    if (regular && (changes.sizeBytes !== undefined || setsTimes)) {
      const stream = openStream(context, node)
      if (changes.sizeBytes !== undefined) stream.truncate(changes.sizeBytes, now)
      if (setsTimes) stream.setTimes({ ...times, ctime })
      writeback.streamChanged(stream)
    }
    writeback.changed()
    return { attributes: visibleAttributes(context, node), ttlSec: TTL_SEC }
  }
  return handOver.whenQuiet(() => database.run(turn))
}

/** truncate(2): EISDIR, EINVAL for what has no size, EFBIG. */
function checkSize(inode: Inode, sizeBytes: number): void {
  if (isDirectory(inode.mode)) throw errnoError('EISDIR')
  if (!isRegular(inode.mode) || sizeBytes < 0) throw errnoError('EINVAL')
  if (sizeBytes > FILE_SIZE_MAX) throw errnoError('EFBIG')
}

function timesOf(changes: SetAttributes, now: Timespec): { atime?: Timespec; mtime?: Timespec } {
  const times: { atime?: Timespec; mtime?: Timespec } = {}
  if (changes.atime !== undefined) times.atime = changes.atime === 'now' ? now : changes.atime
  if (changes.mtime !== undefined) times.mtime = changes.mtime === 'now' ? now : changes.mtime
  return times
}

/** `changes` may be none at all: chown(2) that leaves both as they are. */
function changeNamesHalf(inode: Inode, changes: SetAttributes, ctime: Timespec): void {
  const { mode, uid, gid, atime, mtime } = changes
  if (mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (mode & 0o7777)
  else if (uid !== undefined || gid !== undefined || (atime === undefined && mtime === undefined)) {
    inode.mode = keptMode(inode)
  }
  if (uid !== undefined) inode.uid = uid
  if (gid !== undefined) inode.gid = gid
  inode.ctime = ctime
}

/** What chown(2) leaves of the mode. */
function keptMode({ mode }: Inode): number {
  return isDirectory(mode) ? mode : withoutSetId(mode)
}

/** What the transport calls before bytes change: see Filesystem. */
export function dropSetId(context: Context, ino: Ino, { endBytes, isByName }: BytesChange): MaybePromise<boolean> {
  assertWritable(context)
  const stale = isByName ? staleGate(context, ino) : null
  if (stale !== null) return stale
  return context.database.run(() => {
    const node = context.metadata.nodeOf(ino)
    if (isByName) assertUnprotected(node.inode)
    else assertWrites(context, ino)
    if (endBytes !== undefined) checkSize(node.inode, endBytes)
    return dropSetIdOf(context, node)
  })
}

/** Takes set-ID bits away in this turn. Whether there were any. */
export function dropSetIdOf({ database, metadata, clock, writeback }: Context, node: Node): boolean {
  const { inode } = node
  const mode = withoutSetId(inode.mode)
  if (!isRegular(mode) || mode === inode.mode) return false
  inode.mode = mode
  inode.ctime = clock.now()
  const transaction = database.transaction()
  metadata.put(transaction, node)
  database.apply(transaction)
  writeback.changed()
  return true
}

/** As the kernel's setattr_should_drop_suidgid: set-user-ID goes, and set-group-ID where the group may execute (where it may
 *  not, the bit once meant mandatory locking). */
function withoutSetId(mode: number): number {
  return mode & ~S_ISUID & ((mode & S_IXGRP) !== 0 ? ~S_ISGID : ~0)
}
