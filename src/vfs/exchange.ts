// RENAME_EXCHANGE of renameat2(2): two names, each of which then leads where the other one led.
//
// The model: names stay where they are, with their keys and their spelling, as in ext4; what stands behind them changes places.
//
// Must stay true: both files take the place of another one, so that the streams of both commit together with it (design,
// section 5.3), as that of one file does when it is renamed over a name.
import {
  DIRECTORY,
  type DirectoryRecord,
  dentryName,
  encodeDentry,
  encodeSharedDentry,
  type FoundName,
  isDirectory,
  isRegular,
  type Node,
  putParent,
} from '../meta/index.ts'
import { errnoError, type Timespec } from '../platform/index.ts'
import type { Transaction } from '../tables/index.ts'
import type { Context } from './context.ts'
import type { Caller } from './filesystem.ts'
import { otherSpellingOf } from './link.ts'
import { assertLosesName } from './protection.ts'
import { applyWith } from './quota.ts'
import type { NamePlace } from './rename.ts'
import { nameGone } from './stale-names.ts'

/** A name that is there. */
interface Side {
  directory: DirectoryRecord
  key: number
  /** As it is stored. */
  name: Buffer
  node: Node
  /** The stored name, where it was asked for by another spelling. */
  stale: Buffer | null
}

/** A turn. What it has to wait for before it is tried again, or null. ENOENT, EINVAL for a directory that would come to lie in
 *  itself. */
export function exchangeTurn(
  context: Context,
  caller: Caller,
  { from, to }: { from: NamePlace; to: NamePlace },
): Promise<void> | null {
  const { clock, database, metadata, quotas, streams, writeback } = context
  const directory = metadata.directoryRecord(from.parent)
  const otherDirectory = from.parent === to.parent ? directory : metadata.directoryRecord(to.parent)
  const found = foundName(context, from)
  const otherFound = foundName(context, to)
  if (from.parent === to.parent && found.key === otherFound.key) return null
  const one = side(context, directory, from, found)
  const other = side(context, otherDirectory, to, otherFound)
  if (directory !== otherDirectory) {
    // What is a file is no directory's ancestor.
    if (metadata.isWithin(to.parent, one.node.inode.ino)) throw errnoError('EINVAL')
    if (metadata.isWithin(from.parent, other.node.inode.ino)) throw errnoError('EINVAL')
  }
  if (one.node.inode.ino === other.node.inode.ino) return null
  for (const { directory, node } of [one, other]) assertLosesName(directory, node.inode)
  if (quotas.isActive) for (const { node } of [one, other]) quotas.assertMayMove(node, directory, otherDirectory)
  const inodes = [one.node.inode, other.node.inode]
  const bringData = inodes.filter(({ ino, mode }) => isRegular(mode) && streams.get(ino) !== undefined)
  if (bringData.length > 0 && writeback.renameGate !== null) return writeback.renameGate

  const now = clock.now()
  const transaction = database.transaction()
  const use = quotas.changes()
  put(context, transaction, one, other.node, now)
  put(context, transaction, other, one.node, now)
  if (directory === otherDirectory) directory.touch(transaction, now)
  else {
    const more = Number(isDirectory(other.node.inode.mode)) - Number(isDirectory(one.node.inode.mode))
    directory.touch(transaction, now, more)
    otherDirectory.touch(transaction, now, -more)
  }
  if (use !== null) {
    quotas.renamed(use, transaction, one.node, other)
    quotas.renamed(use, transaction, other.node, one)
  }
  applyWith(context, transaction, use)

  if (one.node.home !== 'shared') metadata.places.move(one.node.inode.ino, to.parent, other.key)
  if (other.node.home !== 'shared') metadata.places.move(other.node.inode.ino, from.parent, one.key)
  for (const { ino } of bringData) writeback.renamedOver(ino)
  for (const { stale, directory: parent, node } of [one, other])
    if (stale !== null) nameGone(context, caller, { parent: parent.ino, name: stale }, node.inode)
  writeback.changed()
  return null
}

function foundName({ metadata }: Context, { parent, name }: NamePlace): FoundName {
  const found = metadata.find(parent, name)
  if (found === null) throw errnoError('ENOENT')
  return found
}

function side(context: Context, directory: DirectoryRecord, { parent, name }: NamePlace, found: FoundName): Side {
  const stored = Buffer.from(dentryName(found.bytes, found.start))
  const stale = otherSpellingOf(name, found)
  return { directory, key: found.key, name: stored, node: context.metadata.nodeAt(parent, found), stale }
}

/** Has the name of one side lead to the node of the other. */
function put({ metadata }: Context, transaction: Transaction, to: Side, { inode, home }: Node, now: Timespec): void {
  const { ino, mode } = inode
  const { key, name } = to
  const parent = to.directory.ino
  inode.ctime = now
  const moved: Node = { inode, home, directory: parent, key, name }
  if (home === 'shared') {
    transaction.put(DIRECTORY, parent, key, encodeSharedDentry(name, ino, mode))
    metadata.put(transaction, moved)
    return
  }
  transaction.put(DIRECTORY, parent, key, encodeDentry(name, inode))
  if (home === 'directory') metadata.put(transaction, moved)
  putParent(transaction, ino, parent, key)
}
