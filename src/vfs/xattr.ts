// getxattr, setxattr, listxattr, removexattr: extended attributes (xattr(7)). Where they lie is meta/xattrs.ts.
//
// Setting and removing are names operations: they change ctime, stand in the order of names, and happen in one turn.
import {
  ACL_ACCESS_XATTR,
  ACL_DEFAULT_XATTR,
  CAPABILITY_XATTR,
  decodeAcl,
  type Ino,
  type Inode,
  isDirectory,
  isRegular,
  type Node,
  XATTR_INLINE_VALUE_MAX,
  XATTR_VALUE_MAX,
  XattrEdit,
  xattrNames,
  xattrOf,
} from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import { type AclKind, editAcl } from './acl.ts'
import { assertWritable, type Context, makeOrphan } from './context.ts'
import type { Caller, SetXattr } from './filesystem.ts'
import { assertUnprotected } from './protection.ts'
import { applyWith } from './quota.ts'
import { virtualXattrsOf } from './virtual-xattrs.ts'

const XATTR_CREATE = 1
const XATTR_REPLACE = 2
const XATTR_NAME_MAX = 255

const USER = Buffer.from('user.')
const TRUSTED = Buffer.from('trusted.')
const SECURITY = Buffer.from('security.')
/** Our own: each is virtual, or there is none. */
const RESERVED = Buffer.from('user.cairnfs.')

type Sort = 'user' | 'trusted' | 'security' | AclKind

/** EOPNOTSUPP for what is none of those that are kept, EINVAL for a prefix without a name, ERANGE. */
function sortOf(name: Uint8Array): Sort {
  if (name.length > XATTR_NAME_MAX) throw errnoError('ERANGE')
  const startsWith = (prefix: Buffer) => prefix.equals(name.subarray(0, prefix.length))
  const sort = startsWith(USER)
    ? 'user'
    : startsWith(TRUSTED)
      ? 'trusted'
      : startsWith(SECURITY)
        ? 'security'
        : ACL_ACCESS_XATTR.equals(name)
          ? 'access'
          : ACL_DEFAULT_XATTR.equals(name)
            ? 'default'
            : null
  if (sort === null || startsWith(RESERVED)) throw errnoError('EOPNOTSUPP')
  if (name.at(-1) === USER.at(-1) && name.length === sort.length + 1) throw errnoError('EINVAL')
  return sort
}

/** As the kernel's xattr_permission, for those who come by another way: user.* is for files and directories, trusted.* for
 *  uid 0. */
function isDenied(sort: Sort, { uid }: Caller, { mode }: Inode): boolean {
  if (sort === 'trusted') return uid !== 0
  return sort === 'user' && !isRegular(mode) && !isDirectory(mode)
}

export function getxattr(context: Context, caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<Uint8Array> {
  const virtual = virtualXattrsOf(name)
  if (virtual !== null) return virtual.get(context, ino, name)
  const { database, metadata } = context
  const sort = sortOf(name)
  return database.run(() => {
    const { inode } = metadata.nodeOf(ino)
    const value = isDenied(sort, caller, inode) ? null : xattrOf(database, metadata.nameKeys, inode, name)
    if (value === null) throw errnoError('ENODATA')
    return value
  })
}

export function listxattr(
  { database, metadata }: Context,
  caller: Caller,
  ino: Ino,
): MaybePromise<readonly Uint8Array[]> {
  return database.run(() => {
    const { inode } = metadata.nodeOf(ino)
    return xattrNames(database, inode).filter((name) => isShown(name, caller))
  })
}

/** Whether a stored name is listed: not what is our own. */
function isShown(name: Buffer, { uid }: Caller): boolean {
  const sort = [USER, TRUSTED, SECURITY].find((prefix) => prefix.equals(name.subarray(0, prefix.length)))
  if (sort === undefined) return ACL_ACCESS_XATTR.equals(name) || ACL_DEFAULT_XATTR.equals(name)
  return sort !== TRUSTED || uid === 0
}

export function setxattr(
  context: Context,
  caller: Caller,
  ino: Ino,
  { name, value, flags, dropsSetgid }: SetXattr,
): MaybePromise<void> {
  const virtual = virtualXattrsOf(name)
  if (virtual !== null) {
    if (virtual.set === undefined) throw errnoError('EOPNOTSUPP')
    return virtual.set(context, caller, ino, { name, value, flags })
  }
  assertWritable(context)
  const sort = sortOf(name)
  if (value.length > XATTR_VALUE_MAX) throw errnoError('E2BIG')
  const isCapability = CAPABILITY_XATTR.equals(name)
  if (isCapability && value.length > XATTR_INLINE_VALUE_MAX) throw errnoError('EINVAL')
  const { database, metadata, streams } = context
  return database.run(() => {
    const node = metadata.nodeOf(ino)
    assertUnprotected(node.inode)
    if (isDenied(sort, caller, node.inode)) throw errnoError('EPERM')
    if (flags !== 0) {
      const exists = xattrOf(database, metadata.nameKeys, node.inode, name) !== null
      if (exists && (flags & XATTR_CREATE) !== 0) throw errnoError('EEXIST')
      if (!exists && (flags & XATTR_REPLACE) !== 0) throw errnoError('ENODATA')
    }
    if (sort === 'access' || sort === 'default') {
      const drops = dropsSetgid ?? (caller.uid !== 0 && caller.gid !== node.inode.gid)
      changeAcl(context, caller, node, { kind: sort, value, dropsSetgid: drops })
      return
    }
    const edit = new XattrEdit(database, metadata.nameKeys, node.inode)
    edit.set(name, value)
    apply(context, node, edit)
    // Writes to a file whose stream is there do not look at its inode.
    if (isCapability && streams.get(ino) !== undefined) context.capable.add(ino)
  })
}

export function removexattr(context: Context, caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<void> {
  const virtual = virtualXattrsOf(name)
  if (virtual !== null) {
    if (virtual.remove === undefined) throw errnoError('EOPNOTSUPP')
    return virtual.remove(context, caller, ino, name)
  }
  assertWritable(context)
  const sort = sortOf(name)
  const { database, metadata } = context
  return database.run(() => {
    const node = metadata.nodeOf(ino)
    assertUnprotected(node.inode)
    if (isDenied(sort, caller, node.inode)) throw errnoError('EPERM')
    const isAcl = sort === 'access' || sort === 'default'
    if (isAcl) checkOwner(caller, node.inode)
    const edit = new XattrEdit(database, metadata.nameKeys, node.inode)
    if (edit.delete(name)) apply(context, node, edit)
    // To have none is what whoever removes an ACL wants (posix_acl(5), ext4_set_acl).
    else if (!isAcl) throw errnoError('ENODATA')
  })
}

/** EPERM. */
function checkOwner({ uid }: Caller, inode: Inode): void {
  if (uid !== 0 && uid !== inode.uid) throw errnoError('EPERM')
}

function changeAcl(
  context: Context,
  caller: Caller,
  node: Node,
  { kind, value, dropsSetgid }: { kind: AclKind; value: Uint8Array; dropsSetgid: boolean },
): void {
  checkOwner(caller, node.inode)
  const { edit, mode, marked } = editAcl(context, node, { kind, acl: decodeAcl(value), dropsSetgid })
  apply(context, node, edit, { mode, marked })
}

/** Ends the turn. ENOSPC for a directory that was removed, and has no table to put them into. */
function apply(
  context: Context,
  node: Node,
  edit: XattrEdit,
  { mode = node.inode.mode, marked = null }: { mode?: number; marked?: { node: Node; edit: XattrEdit } | null } = {},
): void {
  const { clock, database, metadata, quotas, writeback } = context
  const needsHome = node.home === 'removed' && edit.usesTable
  if (needsHome && isDirectory(node.inode.mode)) throw errnoError('ENOSPC')
  const transaction = database.transaction()
  const use = needsHome ? quotas.changes() : null
  if (needsHome) {
    makeOrphan(context, transaction, use, node.inode)
    node.home = 'orphan'
  }
  edit.putInto(transaction)
  node.inode.mode = mode
  node.inode.ctime = clock.now()
  metadata.put(transaction, node)
  marked?.edit.putInto(transaction)
  if (marked !== null) metadata.put(transaction, marked.node)
  applyWith(context, transaction, use)
  writeback.changed()
}
