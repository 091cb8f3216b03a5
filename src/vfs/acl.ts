// POSIX ACLs: what they do to modes, and modes to them. The kernel checks permissions by them, where the mount has them on;
// here they are kept, inherited, and kept in step with the mode.
//
// A volume that has an ACL says so at its root directory (ACL_MARK_XATTR), from the turn on in which it gets its first: mounts of
// it then have them on, as nobody would see that they are not observed.
import {
  ACL_ACCESS_XATTR,
  ACL_DEFAULT_XATTR,
  ACL_MARK_XATTR,
  type Acl,
  aclAfterChmod,
  type DirectoryRecord,
  decodeAcl,
  encodeAcl,
  hasInlineXattr,
  type Inode,
  inheritedAcl,
  isDirectory,
  isSymlink,
  modeOfAcl,
  type Node,
  ROOT_INO,
  S_ISGID,
  XattrEdit,
  xattrOf,
} from '../meta/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Context } from './context.ts'

const PERMISSIONS = 0o777
const NOTHING = Buffer.alloc(0)

export type AclKind = 'access' | 'default'

const nameOf = (kind: AclKind): Buffer => (kind === 'access' ? ACL_ACCESS_XATTR : ACL_DEFAULT_XATTR)

/** Null where there is none. May fault. */
function aclOf({ database, metadata }: Context, inode: Inode, kind: AclKind): Acl | null {
  const value = xattrOf(database, metadata.nameKeys, inode, nameOf(kind))
  return value === null ? null : decodeAcl(value)
}

/** Whether the volume has, or has had, any ACL. May fault. */
export function hasAcls({ metadata }: Context): boolean {
  return hasInlineXattr(metadata.nodeOf(ROOT_INO).inode, ACL_MARK_XATTR)
}

/** As set_posix_acl: what becomes of an inode, in place (its mode), and of its attributes, and of the root directory's where it
 *  is to say that there are ACLs. EACCES for a default ACL of what is no directory, EOPNOTSUPP for symlinks. */
export function editAcl(
  context: Context,
  node: Node,
  { kind, acl, dropsSetgid }: { kind: AclKind; acl: Acl | null; dropsSetgid: boolean },
): { edit: XattrEdit; mode: number; marked: { node: Node; edit: XattrEdit } | null } {
  const { database, metadata } = context
  const { inode } = node
  if (isSymlink(inode.mode)) throw errnoError('EOPNOTSUPP')
  if (kind === 'default' && acl !== null && !isDirectory(inode.mode)) throw errnoError('EACCES')
  const edit = new XattrEdit(database, metadata.nameKeys, inode)
  let { mode } = inode
  let isStored = acl !== null
  if (kind === 'access' && acl !== null) {
    const { permissions, saysMore } = modeOfAcl(acl)
    mode = (mode & ~PERMISSIONS) | permissions
    if (dropsSetgid) mode &= ~S_ISGID
    isStored = saysMore
  }
  if (isStored) edit.set(nameOf(kind), encodeAcl(acl!))
  else edit.delete(nameOf(kind))
  return { edit, mode, marked: isStored ? markRoot(context, node, edit) : null }
}

/** The root directory says that there are ACLs: by `edit` where it is what that changes. Null where it is, or says so. */
function markRoot(
  { database, metadata }: Context,
  node: Node,
  edit: XattrEdit,
): { node: Node; edit: XattrEdit } | null {
  const isRoot = node.inode.ino === ROOT_INO
  const root = isRoot ? node : metadata.nodeOf(ROOT_INO)
  if (hasInlineXattr(root.inode, ACL_MARK_XATTR)) return null
  const rootEdit = isRoot ? edit : new XattrEdit(database, metadata.nameKeys, root.inode)
  rootEdit.set(ACL_MARK_XATTR, NOTHING)
  return isRoot ? null : { node: root, edit: rootEdit }
}

/** chmod(2) of an inode with an access ACL changes that too. May fault. */
export function editByChmod(context: Context, edit: XattrEdit, inode: Inode, mode: number): void {
  const acl = aclOf(context, inode, 'access')
  if (acl !== null) edit.set(ACL_ACCESS_XATTR, encodeAcl(aclAfterChmod(acl, mode)))
}

/** What a new inode gets of its directory: of a default ACL, or else of the umask. */
export interface Inherited {
  mode: number
  xattrs: readonly { name: Buffer; value: Buffer }[]
}

/** As posix_acl_create. Symlinks have no ACL. May fault. */
export function inherit(context: Context, directory: DirectoryRecord, mode: number, umask: number): Inherited {
  if (isSymlink(mode)) return { mode, xattrs: [] }
  const acl = directory.mayHaveXattrs ? aclOf(context, directory.inode(), 'default') : null
  if (acl === null) return { mode: mode & ~(umask & PERMISSIONS), xattrs: [] }
  const { acl: access, mode: inheritedMode, saysMore } = inheritedAcl(acl, mode)
  const xattrs: { name: Buffer; value: Buffer }[] = []
  if (saysMore) xattrs.push({ name: ACL_ACCESS_XATTR, value: encodeAcl(access) })
  if (isDirectory(mode)) xattrs.push({ name: ACL_DEFAULT_XATTR, value: encodeAcl(acl) })
  return { mode: inheritedMode, xattrs }
}
