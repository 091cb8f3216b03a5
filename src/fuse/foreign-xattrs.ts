// Extended attributes that are refused before the filesystem is asked.
import { errnoError } from '../platform/index.ts'

// Attributes that nobody would enforce here: ACLs (POSIX_ACL is not claimed) and SELinux labels (the kernel gives FUSE
// mounts one label). `ls -l` asks for both of every file, a request each, unless the first gets EOPNOTSUPP; ENODATA
// makes listing 100,000 files take 4.5 s instead of 0.3.
const FOREIGN_XATTRS = ['system.posix_acl_access', 'system.posix_acl_default', 'security.selinux'].map((name) =>
  Buffer.from(name),
)

/** EOPNOTSUPP for these. */
export function refuseForeignXattr(name: Uint8Array): void {
  for (const foreign of FOREIGN_XATTRS) if (foreign.equals(name)) throw errnoError('EOPNOTSUPP')
}
