// Requests about extended attributes.
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Caller, Filesystem, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { GetxattrIn, InHeader, Opcode, SetxattrIn } from './wire.ts'

// Attributes that nobody would enforce here: SELinux labels (the kernel gives FUSE mounts one label), and ACLs where POSIX_ACL
// is not granted. `ls -l` asks for both of every file, a request each, unless the first gets EOPNOTSUPP; ENODATA makes listing
// 100,000 files take 4.5 s instead of 0.3.
const LABEL = Buffer.from('security.selinux')
const ACLS = ['system.posix_acl_access', 'system.posix_acl_default'].map((name) => Buffer.from(name))

/** FUSE_SETXATTR_ACL_KILL_SGID. */
const ACL_KILL_SGID = 1

/** What was granted of what is said about attributes. */
export interface XattrTerms {
  /** The kernel checks permissions by ACLs (POSIX_ACL). */
  hasAcls: boolean
  /** SETXATTR says more (SETXATTR_EXT). */
  isExtended: boolean
}

/** EOPNOTSUPP for what nobody enforces, before the filesystem is asked. */
export function refuseForeign(name: Uint8Array, { hasAcls }: Pick<XattrTerms, 'hasAcls'>): void {
  if (LABEL.equals(name) || (!hasAcls && ACLS.some((acl) => acl.equals(name)))) throw errnoError('EOPNOTSUPP')
}

/** GETXATTR and LISTXATTR: the value, or all names, each ended by NUL. ENOSYS where that is not built. */
export function readXattr(
  fs: Filesystem,
  caller: Caller,
  r: RequestBuffer,
  terms: XattrTerms,
): MaybePromise<Uint8Array> {
  const ino = r.nodeid as Ino
  r.need(GetxattrIn.sizeof)
  if (r.opcode === Opcode.LISTXATTR) {
    if (fs.listxattr === undefined) throw errnoError('ENOSYS')
    const names = fs.listxattr(caller, ino)
    return isPromise(names) ? names.then(joined) : joined(names)
  }
  if (fs.getxattr === undefined) throw errnoError('ENOSYS')
  const name = r.name(InHeader.sizeof + GetxattrIn.sizeof)
  refuseForeign(name, terms)
  return fs.getxattr(caller, ino, name)
}

function joined(names: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(names.flatMap((name) => [name, Buffer.alloc(1)]))
}

/** SETXATTR and REMOVEXATTR. ENOSYS where that is not built. */
export function changeXattr(fs: Filesystem, caller: Caller, r: RequestBuffer, terms: XattrTerms): MaybePromise<void> {
  const ino = r.nodeid as Ino
  if (r.opcode === Opcode.REMOVEXATTR) {
    if (fs.removexattr === undefined) throw errnoError('ENOSYS')
    const name = r.name(InHeader.sizeof)
    refuseForeign(name, terms)
    return fs.removexattr(caller, ino, name)
  }
  if (fs.setxattr === undefined) throw errnoError('ENOSYS')
  const at = InHeader.sizeof
  const headBytes = terms.isExtended ? SetxattrIn.sizeof : SetxattrIn.compatSizeof
  r.need(headBytes)
  const { name, value } = r.nameAndValue(at + headBytes, r.u32(at + SetxattrIn.size))
  refuseForeign(name, terms)
  const flags = r.u32(at + SetxattrIn.flags)
  if (!terms.isExtended) return fs.setxattr(caller, ino, { name, value, flags })
  const dropsSetgid = (r.u32(at + SetxattrIn.setxattrFlags) & ACL_KILL_SGID) !== 0
  return fs.setxattr(caller, ino, { name, value, flags, dropsSetgid })
}
