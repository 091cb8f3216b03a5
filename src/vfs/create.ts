// mknod, mkdir, symlink, create: new inodes under new names.
//
// Must stay true: the reads and checks of an operation end before an ino is taken; then everything happens in this turn.
import {
  CASEFOLD_FLAG,
  DIRECTORY,
  type DirectoryRecord,
  DOT_KEY,
  dentryName,
  encodeDentry,
  encodeInode,
  type FoundName,
  type Ino,
  type Inode,
  isDirectory,
  isRegular,
  isSymlink,
  NOATIME_FLAG,
  NODUMP_FLAG,
  type Node,
  newInode,
  putParent,
  ROOT_INO,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  SYMLINK_TARGET_MAX,
  XattrEdit,
} from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import type { Transaction } from '../tables/index.ts'
import { inherit } from './acl.ts'
import { dropSetIdOf } from './attributes.ts'
import { assertWritable, type Context, entryOf, entryTtlOf, makeOrphan, reference } from './context.ts'
import type { Caller, Entry, Opened, OpenFlags } from './filesystem.ts'
import { mayChange, openNode } from './io.ts'
import { isDots } from './lookup.ts'
import { assertOpens, assertTakesNames } from './protection.ts'
import { applyWith } from './quota.ts'

const O_EXCL = 0o200
const O_TRUNC = 0o1000
const NOTHING = Buffer.alloc(0)
/** As in ext4. */
const INHERITED_FLAGS = CASEFOLD_FLAG | NODUMP_FLAG | NOATIME_FLAG
const SLASH = 0x2f

interface NewFile {
  caller: Caller
  parent: Ino
  name: Uint8Array
  /** Type and permissions. */
  mode: number
  umask?: number | undefined
  rdev?: number
  target?: Buffer
}

/** The directory that a name goes into, and the key it gets there. */
export interface FreeName {
  directory: DirectoryRecord
  key: number
}

/** Looks for the place of a new name. ENOTDIR, ENOENT, EEXIST, EPERM. */
export function freeName(context: Context, parent: Ino, name: Uint8Array): FreeName {
  const place = freeOrFound(context, parent, name)
  if (place.found !== null) throw errnoError('EEXIST')
  assertTakesNames(place.directory)
  return place
}

function freeOrFound({ metadata }: Context, parent: Ino, name: Uint8Array): FreeName & { found: FoundName | null } {
  const directory = metadata.directoryRecord(parent)
  if (directory.isRemoved) throw errnoError('ENOENT')
  checkNewName(name)
  const { found, key } = metadata.findOrFree(parent, name)
  return { directory, found, key }
}

/** Kernels do not ask for such names; exports may. */
export function checkNewName(name: Uint8Array): void {
  if (isDots(name)) throw errnoError('EEXIST')
  if (name.includes(SLASH) || name.includes(0)) throw errnoError('EINVAL')
}

/** An inode as it begins in that directory; takes an ino. May fault before that. What of its attributes has no room in it goes
 *  into the transaction. */
export function beginInode(
  context: Context,
  transaction: Transaction,
  { caller, mode: wanted, umask = 0, rdev = 0, target = NOTHING }: Omit<NewFile, 'parent' | 'name'>,
  directory: DirectoryRecord,
): Inode {
  const { clock, database, metadata } = context
  const inherited = inherit(context, directory, wanted, umask)
  const now = clock.now()
  let { mode } = inherited
  let { gid } = caller
  // inode_init_owner: the group of a set-group-ID directory is inherited, and by directories the bit too.
  if ((directory.mode & S_ISGID) !== 0) {
    gid = directory.gid
    if (isDirectory(mode)) mode |= S_ISGID
  }
  const realm = isDirectory(mode) ? directory.realm : 0
  const flags = directory.flags & (isDirectory(mode) ? INHERITED_FLAGS : INHERITED_FLAGS & ~CASEFOLD_FLAG)
  const inode = newInode({ ino: takeIno(context), mode, uid: caller.uid, gid, now, rdev, realm, flags, target })
  if (inherited.xattrs.length > 0) {
    const edit = new XattrEdit(database, metadata.nameKeys, inode)
    for (const { name, value } of inherited.xattrs) edit.set(name, value)
    edit.putInto(transaction)
  }
  return inode
}

/** Makes the inode and its dentry; the turn's only change. */
function make(context: Context, file: NewFile, { directory, key }: FreeName): Node {
  const { database, metadata, quotas, writeback } = context
  const { parent } = file
  const transaction = database.transaction()
  const inode = beginInode(context, transaction, file, directory)
  const { mode, flags, btime: now } = inode
  const name = Buffer.from(file.name)
  transaction.put(DIRECTORY, parent, key, encodeDentry(name, inode))
  putParent(transaction, inode.ino, parent, key)
  if (isDirectory(mode)) {
    transaction.clear(DIRECTORY, inode.ino)
    transaction.put(DIRECTORY, inode.ino, DOT_KEY, encodeInode(inode))
  }
  directory.touch(transaction, now, isDirectory(mode) ? 1 : 0)
  const use = quotas.changes()
  if (use !== null) quotas.made(use, inode, isDirectory(mode) ? inode.realm : quotas.realmAt(directory, key))
  applyWith(context, transaction, use)
  if (isDirectory(mode)) metadata.noteFolding(inode.ino, (flags & CASEFOLD_FLAG) !== 0)
  writeback.changed()
  return { inode, home: isDirectory(mode) ? 'directory' : 'dentry', directory: parent, key, name }
}

function takeIno(context: Context): Ino {
  let ino = context.database.takeId('ino')
  while (ino <= ROOT_INO) ino = context.database.takeId('ino')
  return ino as Ino
}

function makeEntry(context: Context, file: NewFile): MaybePromise<Entry> {
  assertWritable(context)
  return context.database.run(() => {
    const node = make(context, file, freeName(context, file.parent, file.name))
    reference(context, node)
    return entryOf(context, node)
  })
}

/** mknod(2): EINVAL for types it does not make. */
export function mknod(
  context: Context,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  { mode, rdev, umask }: { mode: number; rdev: number; umask?: number | undefined },
): MaybePromise<Entry> {
  const type = mode & S_IFMT
  if (type === 0) mode |= S_IFREG
  else if (type === S_IFDIR || type === S_IFLNK || !KNOWN_TYPES.has(type)) throw errnoError('EINVAL')
  const isDevice = type === S_IFCHR || type === S_IFBLK
  return makeEntry(context, { caller, parent, name, mode, umask, rdev: isDevice ? rdev : 0 })
}
const KNOWN_TYPES = new Set([S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK])

export function mkdir(
  context: Context,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  { mode, umask }: { mode: number; umask?: number | undefined },
): MaybePromise<Entry> {
  return makeEntry(context, { caller, parent, name, mode: S_IFDIR | (mode & 0o7777), umask })
}

/** symlink(2): ENOENT for an empty target, ENAMETOOLONG for one longer than a path. */
export function symlink(
  context: Context,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  target: Uint8Array,
): MaybePromise<Entry> {
  if (target.length === 0) throw errnoError('ENOENT')
  if (target.length > SYMLINK_TARGET_MAX) throw errnoError('ENAMETOOLONG')
  const mode = S_IFLNK | 0o777
  return makeEntry(context, { caller, parent, name, mode, target: Buffer.from(target) })
}

/** open(2) with O_CREAT: makes a regular file, or opens what is there unless O_EXCL. */
export function create(
  context: Context,
  caller: Caller,
  parent: Ino,
  name: Uint8Array,
  mode: number,
  { flags, dropsSetId = false, umask }: OpenFlags,
): MaybePromise<{ entry: Entry; opened: Opened }> {
  assertWritable(context)
  const { database, handOver } = context
  const turn = () => {
    const place = freeOrFound(context, parent, name)
    if (place.found !== null && (flags & O_EXCL) !== 0) throw errnoError('EEXIST')
    if (place.found === null) assertTakesNames(place.directory)
    const node =
      place.found === null
        ? make(context, { caller, parent, name, mode: S_IFREG | (mode & 0o7777), umask }, place)
        : regularNode(context, parent, place.found)
    if (place.found !== null && mayChange({ flags })) handOver.assertQuiet(node.inode.ino)
    assertOpens(node.inode, flags)
    if (place.found !== null && dropsSetId && (flags & O_TRUNC) !== 0) dropSetIdOf(context, node)
    const opened = openNode(context, node, place.found === null ? flags & ~O_TRUNC : flags)
    reference(context, node)
    const spelling = place.found === null ? null : dentryName(place.found.bytes, place.found.start)
    return { entry: entryOf(context, node, entryTtlOf(name, spelling)), opened }
  }
  return handOver.whenQuiet(() => database.run(turn))
}

/** open(2) with O_TMPFILE. Until it has bytes or a name it is in memory alone. */
export function tmpfile(
  context: Context,
  caller: Caller,
  parent: Ino,
  mode: number,
  { flags, umask }: OpenFlags,
): MaybePromise<{ entry: Entry; opened: Opened }> {
  assertWritable(context)
  const { database, metadata, linkable, quotas } = context
  return database.run(() => {
    const directory = metadata.directoryRecord(parent)
    if (directory.isRemoved) throw errnoError('ENOENT')
    assertTakesNames(directory)
    const transaction = database.transaction()
    const inode = beginInode(context, transaction, { caller, mode: S_IFREG | (mode & 0o7777), umask }, directory)
    const { ino } = inode
    inode.nlink = 0
    if (quotas.isActive) inode.realm = quotas.ledger.effective(directory.realm)
    const node: Node = { inode, home: 'removed', directory: 0, key: 0, name: NOTHING }
    if (inode.tableNamesBytes > 0) {
      const use = quotas.changes()
      if (use !== null) quotas.made(use, inode, inode.realm)
      use?.check()
    }
    metadata.removed.set(ino, inode)
    reference(context, node)
    if (inode.tableNamesBytes > 0) {
      const use = quotas.changes()
      makeOrphan(context, transaction, use, inode)
      applyWith(context, transaction, use)
      node.home = 'orphan'
    }
    if ((flags & O_EXCL) === 0) linkable.add(ino)
    return { entry: entryOf(context, node), opened: openNode(context, node, flags & ~O_TRUNC) }
  })
}

/** What a name that is there already leads to, if open(2) with O_CREAT may open it. */
function regularNode(context: Context, parent: Ino, found: FoundName): Node {
  const node = context.metadata.nodeAt(parent, found)
  const { mode } = node.inode
  if (isDirectory(mode)) throw errnoError('EISDIR')
  if (isSymlink(mode)) throw errnoError('ELOOP')
  if (!isRegular(mode)) throw errnoError('EINVAL')
  return node
}
