// Quotas of directory trees as extended attributes, under names of ours and those of CephFS, so that what sets quotas there
// (Kubernetes drivers, Samba, scripts with setfattr(1)) sets them here. Values are decimal numbers; a limit of 0 is none, as on
// CephFS.
//
//   user.cairnfs.quota.max_bytes  ceph.quota.max_bytes   limit of bytes; may be set by root
//   user.cairnfs.quota.max_files  ceph.quota.max_files   limit of inodes; may be set by root
//   user.cairnfs.quota.rbytes     ceph.dir.rbytes        bytes in use
//   user.cairnfs.quota.rfiles     ceph.dir.rfiles, ceph.dir.rentries   inodes in use, the directory among them
//
// What is in use is known where there is a limit: elsewhere ENODATA.
import type { Ino } from '../meta/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Context } from './context.ts'
import { type QuotaLimits, type QuotaReport, quotaAdmin } from './quota-admin.ts'
import type { VirtualXattrs } from './virtual-xattrs.ts'

type Shown = (report: QuotaReport) => number

const LIMITS = new Map<string, keyof QuotaLimits>([
  ['user.cairnfs.quota.max_bytes', 'bytes'],
  ['ceph.quota.max_bytes', 'bytes'],
  ['user.cairnfs.quota.max_files', 'inodes'],
  ['ceph.quota.max_files', 'inodes'],
])
const USES = new Map<string, Shown>([
  ['user.cairnfs.quota.rbytes', ({ bytesUsed }) => bytesUsed],
  ['ceph.dir.rbytes', ({ bytesUsed }) => bytesUsed],
  ['user.cairnfs.quota.rfiles', ({ inodesUsed }) => inodesUsed],
  ['ceph.dir.rfiles', ({ inodesUsed }) => inodesUsed],
  ['ceph.dir.rentries', ({ inodesUsed }) => inodesUsed],
])
const USER_BEGINS = 0x75
const CEPH_BEGINS = 0x63
const XATTR_CREATE = 1
const XATTR_REPLACE = 2

export const quotaXattrs: VirtualXattrs = {
  owns(name) {
    // Most that are asked for are of another sort.
    if (name[0] !== USER_BEGINS && name[0] !== CEPH_BEGINS) return false
    const text = textOf(name)
    return LIMITS.has(text) || USES.has(text)
  },
  async get(context, ino, name) {
    const report = await quotaAdmin(context).get({ kind: 'tree', ino })
    if (report === null) throw errnoError('ENODATA')
    const limit = LIMITS.get(textOf(name))
    return Buffer.from(String(limit === undefined ? USES.get(textOf(name))!(report) : (report[limit] ?? 0)))
  },
  async set(context, caller, ino, { name, value, flags }) {
    if (caller.uid !== 0) throw errnoError('EPERM')
    const limit = LIMITS.get(textOf(name))
    if (limit === undefined) throw errnoError('EOPNOTSUPP')
    const text = textOf(value)
    if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text))) throw errnoError('EINVAL')
    const before = (await quotaAdmin(context).get({ kind: 'tree', ino }))?.[limit] ?? null
    if (before !== null && (flags & XATTR_CREATE) !== 0) throw errnoError('EEXIST')
    if (before === null && (flags & XATTR_REPLACE) !== 0) throw errnoError('ENODATA')
    await setLimit(context, ino, limit, Number(text) === 0 ? null : Number(text))
  },
  async remove(context, caller, ino, name) {
    if (caller.uid !== 0) throw errnoError('EPERM')
    const limit = LIMITS.get(textOf(name))
    if (limit === undefined) throw errnoError('EOPNOTSUPP')
    if (((await quotaAdmin(context).get({ kind: 'tree', ino }))?.[limit] ?? null) === null) throw errnoError('ENODATA')
    await setLimit(context, ino, limit, null)
  },
}

/** Where nothing is limited any more, the quota goes. */
async function setLimit(context: Context, ino: Ino, limit: keyof QuotaLimits, value: number | null): Promise<void> {
  const admin = quotaAdmin(context)
  const subject = { kind: 'tree', ino } as const
  if (value === null) {
    const report = await admin.get(subject)
    if (report === null) return
    const other = limit === 'bytes' ? report.inodes : report.bytes
    if (other === null) {
      await admin.remove(subject)
      return
    }
  }
  await admin.set(subject, { [limit]: value })
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
