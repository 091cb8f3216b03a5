// Requests about extended attributes.
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Caller, Filesystem, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { GetxattrIn, InHeader, Opcode, SetxattrIn } from './wire.ts'

// Attributes that nobody would enforce here: ACLs (POSIX_ACL is not claimed) and SELinux labels (the kernel gives FUSE
// mounts one label). `ls -l` asks for both of every file, a request each, unless the first gets EOPNOTSUPP; ENODATA
// makes listing 100,000 files take 4.5 s instead of 0.3.
const FOREIGN = ['system.posix_acl_access', 'system.posix_acl_default', 'security.selinux'].map((name) =>
  Buffer.from(name),
)

/** EOPNOTSUPP for these, before the filesystem is asked. */
function refuseForeign(name: Uint8Array): void {
  for (const foreign of FOREIGN) if (foreign.equals(name)) throw errnoError('EOPNOTSUPP')
}

/** GETXATTR and LISTXATTR: the value, or all names, each ended by NUL. ENOSYS where that is not built. */
export function readXattr(fs: Filesystem, r: RequestBuffer): MaybePromise<Uint8Array> {
  const ino = r.nodeid as Ino
  r.need(GetxattrIn.sizeof)
  if (r.opcode === Opcode.LISTXATTR) {
    if (fs.listxattr === undefined) throw errnoError('ENOSYS')
    const names = fs.listxattr(ino)
    return isPromise(names) ? names.then(joined) : joined(names)
  }
  if (fs.getxattr === undefined) throw errnoError('ENOSYS')
  const name = r.name(InHeader.sizeof + GetxattrIn.sizeof)
  refuseForeign(name)
  return fs.getxattr(ino, name)
}

function joined(names: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(names.flatMap((name) => [name, Buffer.alloc(1)]))
}

/** SETXATTR and REMOVEXATTR. ENOSYS where that is not built. */
export function changeXattr(fs: Filesystem, caller: Caller, r: RequestBuffer): MaybePromise<void> {
  const ino = r.nodeid as Ino
  if (r.opcode === Opcode.REMOVEXATTR) {
    if (fs.removexattr === undefined) throw errnoError('ENOSYS')
    return fs.removexattr(caller, ino, r.name(InHeader.sizeof))
  }
  if (fs.setxattr === undefined) throw errnoError('ENOSYS')
  r.need(SetxattrIn.sizeof)
  const valueBytes = r.u32(InHeader.sizeof + SetxattrIn.size)
  const { name, value } = r.nameAndValue(InHeader.sizeof + SetxattrIn.sizeof, valueBytes)
  refuseForeign(name)
  return fs.setxattr(caller, ino, name, value, r.u32(InHeader.sizeof + SetxattrIn.flags))
}
