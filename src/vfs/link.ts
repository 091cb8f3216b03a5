// link, unlink, rmdir: names of inodes that stay, and the last ones that go.
//
// Must stay true: an inode moves between its homes (dentry, SHARED, ORPHANS) in one transaction, and its place in memory
// in the same turn. Once shared, always shared.
import {
  DIRECTORY,
  dentryName,
  dropXattrTable,
  encodeInode,
  encodeSharedDentry,
  type FoundName,
  IN_ORPHANS,
  IN_SHARED,
  type Ino,
  type Inode,
  isDirectory,
  type Node,
  ORPHANS,
  PARENTS,
  putParent,
  ROOT_INO,
  SHARED,
} from '../meta/index.ts'
import { errnoError, type MaybePromise, type Timespec } from '../platform/index.ts'
import type { Transaction } from '../tables/index.ts'
import { assertWritable, type Context, entryOf, LINK_MAX, reference } from './context.ts'
import { type FreeName, freeName } from './create.ts'
import type { Caller, Entry } from './filesystem.ts'
import { isDots } from './lookup.ts'
import { assertLosesName, assertUnprotected } from './protection.ts'
import { applyWith } from './quota.ts'
import type { UseChanges } from './quota-changes.ts'
import { nameGone } from './stale-names.ts'

/** link(2). Order of checks as in vfs_link: EEXIST, EPERM for directories, ENOENT for a file without a name (unless it was made
 *  so), EMLINK. */
export function link(
  context: Context,
  _caller: Caller,
  ino: Ino,
  newParent: Ino,
  newName: Uint8Array,
): MaybePromise<Entry> {
  assertWritable(context)
  const { database, metadata, clock, quotas, writeback } = context
  return database.run(() => {
    const { directory, key } = freeName(context, newParent, newName)
    const node = metadata.nodeOf(ino)
    const { inode } = node
    assertUnprotected(inode)
    if (isDirectory(inode.mode)) throw errnoError('EPERM')
    if (node.home === 'orphan' || node.home === 'removed') {
      if (!context.linkable.has(ino)) throw errnoError('ENOENT')
      return firstName(context, node, { directory, key }, newName)
    }
    if (inode.nlink >= LINK_MAX) throw errnoError('EMLINK')
    const use = quotas.changes()
    if (use !== null) inode.realm = quotas.linked(use, node, { directory, key })

    const now = clock.now()
    const transaction = database.transaction()
    if (node.home === 'dentry') {
      transaction.put(DIRECTORY, node.directory, node.key, encodeSharedDentry(node.name, ino, inode.mode))
      transaction.delete(PARENTS, 0, ino)
    }
    inode.nlink++
    inode.ctime = now
    const shared: Node = { ...node, home: 'shared' }
    metadata.put(transaction, shared)
    transaction.put(DIRECTORY, newParent, key, encodeSharedDentry(newName, ino, inode.mode))
    directory.touch(transaction, now)
    applyWith(context, transaction, use)
    metadata.places.move(ino, IN_SHARED, 0)
    writeback.changed()
    reference(context, shared)
    return entryOf(context, shared)
  })
}

/** Names a file that was made without one. */
function firstName(context: Context, node: Node, { directory, key }: FreeName, newName: Uint8Array): Entry {
  const { clock, database, linkable, metadata, quotas, reaper, writeback } = context
  const { inode } = node
  const { ino } = inode
  const now = clock.now()
  const transaction = database.transaction()
  const use = quotas.changes()
  if (use !== null) quotas.named(use, node, quotas.realmAt(directory, key))
  // What is in memory alone is changed in place.
  use?.check()
  if (node.home === 'orphan') transaction.delete(ORPHANS, 0, ino)
  inode.realm = 0
  inode.nlink = 1
  inode.ctime = now
  const named: Node = { inode, home: 'dentry', directory: directory.ino, key, name: Buffer.from(newName) }
  metadata.put(transaction, named)
  putParent(transaction, ino, directory.ino, key)
  directory.touch(transaction, now)
  applyWith(context, transaction, use)
  metadata.removed.delete(ino)
  metadata.places.move(ino, directory.ino, key)
  reaper.named(ino)
  linkable.delete(ino)
  writeback.changed()
  reference(context, named)
  return entryOf(context, named)
}

/** Takes one name from an inode, whose dentry the caller deletes or replaces. Returns what to do once the transaction is
 *  applied, with `use`. */
export function dropName(
  context: Context,
  transaction: Transaction,
  node: Node,
  now: Timespec,
  use: UseChanges | null,
): () => void {
  const { metadata, quotas, reaper, writeback } = context
  const { inode, home } = node
  const { ino } = inode
  if (home === 'shared' && inode.nlink > 1) {
    inode.nlink--
    inode.ctime = now
    metadata.put(transaction, node)
    return () => {}
  }
  if (use !== null) inode.realm = quotas.realmOf(node)
  if (home === 'shared') transaction.delete(SHARED, 0, ino)
  else transaction.delete(PARENTS, 0, ino)
  if (hasNoBytes(context, inode)) {
    if (use !== null) quotas.gone(use, inode, inode.realm)
    const keep = metadata.keepRemoved(inode, now)
    return () => {
      writeback.lostName(ino)
      keep()
    }
  }
  inode.nlink = 0
  inode.ctime = now
  if (use !== null) quotas.orphaned(use, inode, inode.realm)
  transaction.put(ORPHANS, 0, ino, encodeInode(inode))
  return () => {
    writeback.lostName(ino)
    metadata.places.move(ino, IN_ORPHANS, 0)
    reaper.orphaned(ino)
  }
}

/** Whether a file has no bytes anywhere, nor a table of xattrs, and nobody has it open: then nothing of it has to be dropped
 *  later. */
function hasNoBytes({ handles, streams }: Context, { ino, extents, tableNamesBytes }: Inode): boolean {
  return extents?.length === 0 && tableNamesBytes === 0 && !handles.isOpen(ino) && streams.get(ino) === undefined
}

/** Removes an empty directory's tables: who still has it open sees what xattrs stand in its inode. Returns what to do once the
 *  transaction is applied, with `use`. */
export function dropDirectory(
  context: Context,
  transaction: Transaction,
  node: Node,
  now: Timespec,
  use: UseChanges | null,
): () => void {
  const { metadata, quotas } = context
  const { ino } = node.inode
  transaction.clear(DIRECTORY, ino)
  dropXattrTable(transaction, node.inode)
  transaction.delete(PARENTS, 0, ino)
  if (use !== null) quotas.gone(use, node.inode, quotas.realmOf(node))
  return metadata.keepRemoved(node.inode, now)
}

/** unlink(2): ENOENT, EPERM, EISDIR. */
export function unlink(context: Context, caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void> {
  assertWritable(context)
  const { database, metadata, clock, quotas, writeback } = context
  return database.run(() => {
    const directory = metadata.directoryRecord(parent)
    if (isDots(name)) throw errnoError('EISDIR')
    const found = metadata.find(parent, name)
    if (found === null) throw errnoError('ENOENT')
    const otherSpelling = otherSpellingOf(name, found)
    const node = metadata.nodeAt(parent, found)
    assertLosesName(directory, node.inode)
    if (isDirectory(node.inode.mode)) throw errnoError('EISDIR')
    const now = clock.now()
    const transaction = database.transaction()
    transaction.delete(DIRECTORY, parent, found.key)
    const use = quotas.changes()
    const applied = dropName(context, transaction, node, now, use)
    directory.touch(transaction, now)
    applyWith(context, transaction, use)
    applied()
    if (otherSpelling !== null) nameGone(context, caller, { parent, name: otherSpelling }, node.inode)
    writeback.changed()
  })
}

/** The stored name, copied, where `asked` is another spelling of it; null where it is the same. */
export function otherSpellingOf(asked: Uint8Array, { bytes, start }: FoundName): Buffer | null {
  const stored = dentryName(bytes, start)
  return Buffer.compare(asked, stored) === 0 ? null : Buffer.from(stored)
}

/** rmdir(2): EINVAL for ".", ENOTEMPTY for "..", ENOENT, EPERM, ENOTDIR, EBUSY for the root, ENOTEMPTY. */
export function rmdir(context: Context, caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void> {
  assertWritable(context)
  const { database, metadata, clock, quotas, writeback } = context
  return database.run(() => {
    const directory = metadata.directoryRecord(parent)
    if (isDots(name)) throw errnoError(name.length === 1 ? 'EINVAL' : 'ENOTEMPTY')
    const found = metadata.find(parent, name)
    if (found === null) throw errnoError('ENOENT')
    const otherSpelling = otherSpellingOf(name, found)
    const node = metadata.nodeAt(parent, found)
    const { ino, mode } = node.inode
    assertLosesName(directory, node.inode)
    if (!isDirectory(mode)) throw errnoError('ENOTDIR')
    if (ino === ROOT_INO) throw errnoError('EBUSY')
    if (!metadata.isEmptyDirectory(ino)) throw errnoError('ENOTEMPTY')
    const now = clock.now()
    const transaction = database.transaction()
    transaction.delete(DIRECTORY, parent, found.key)
    const use = quotas.changes()
    const applied = dropDirectory(context, transaction, node, now, use)
    directory.touch(transaction, now, -1)
    applyWith(context, transaction, use)
    applied()
    if (otherSpelling !== null) nameGone(context, caller, { parent, name: otherSpelling }, node.inode)
    writeback.changed()
  })
}
