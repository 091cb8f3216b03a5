// Quotas: what counts against each limit, recounted over all inodes (meta/quota-record.ts says what counts).
import {
  blankAttributes,
  decodeQuota,
  encodeQuota,
  isDirectory,
  QUOTA_GID,
  QUOTA_RECORD_BYTES,
  QUOTA_TREE,
  QUOTA_UID,
  QUOTA_WALK,
  QUOTA_WALK_BYTES,
  type Quota,
  readAttributes,
} from '../../meta/index.ts'
import type { TableKind } from '../../tables/index.ts'
import { type CheckContext, hasUnreadable } from './context.ts'

/** The number of the volume's row among those of realms. */
const VOLUME_REALM = 0

interface Use {
  bytes: number
  inodes: number
}

const KINDS: readonly { kind: TableKind; what: string }[] = [
  { kind: QUOTA_TREE, what: 'tree' },
  { kind: QUOTA_UID, what: 'uid' },
  { kind: QUOTA_GID, what: 'gid' },
]

/** The rows of all limits, and what was counted for each. */
export class QuotaCount {
  readonly #rows = new Map<TableKind, Map<number, Quota>>()
  readonly #uses = new Map<TableKind, Map<number, Use>>()

  /** Reads the rows: only where there is one anything is counted. */
  async read({ findings, inspector }: CheckContext): Promise<void> {
    for (const { kind, what } of KINDS) {
      const rows = new Map<number, Quota>()
      await inspector.scan(kind, 0, (key, record) => {
        if (record.length === QUOTA_RECORD_BYTES) rows.set(key, decodeQuota(record, 0))
        else
          findings.damage('damaged-record', {
            message: `the quota of ${what} ${key} is damaged`,
            remedy: 'it is taken out: set it again',
            fix: (repair) => repair.change((transaction) => transaction.delete(kind, 0, key)),
          })
      })
      this.#rows.set(kind, rows)
      this.#uses.set(kind, new Map([...rows.keys()].map((key) => [key, { bytes: 0, inodes: 0 }])))
    }
    await inspector.scan(QUOTA_WALK, 0, (key, record) => {
      if (record.length === QUOTA_WALK_BYTES) return
      findings.damage('damaged-record', {
        inode: key,
        message: `what is yet to be counted of directory ${key} for a quota is damaged`,
        remedy: 'it is taken out: remove the quotas around it and set them again',
        fix: (repair) => repair.change((transaction) => transaction.delete(QUOTA_WALK, 0, key)),
      })
    })
  }

  /** Counts the inode at `at`, which lies in `realm`. */
  add(bytes: Buffer, at: number, realm: number): void {
    const inode = blankAttributes()
    readAttributes(bytes, at, inode)
    const sizeBytes = isDirectory(inode.mode) ? 0 : inode.sizeBytes
    this.#count(QUOTA_UID, inode.uid, sizeBytes)
    this.#count(QUOTA_GID, inode.gid, sizeBytes)
    const trees = this.#rows.get(QUOTA_TREE)!
    this.#count(QUOTA_TREE, VOLUME_REALM, sizeBytes)
    // A chain of realms is as deep as there are realms, at most.
    for (let at = realm, depth = 0; at !== 0 && depth <= trees.size; depth++) {
      this.#count(QUOTA_TREE, at, sizeBytes)
      at = trees.get(at)?.parentRealm ?? 0
    }
  }

  #count(kind: TableKind, key: number, sizeBytes: number): void {
    const use = this.#uses.get(kind)!.get(key)
    if (use === undefined) return
    use.bytes += sizeBytes
    use.inodes++
  }

  judge(context: CheckContext): void {
    const { findings } = context
    for (const { kind, what } of KINDS) {
      if (hasUnreadable(context, kind, 0)) continue
      for (const [key, quota] of this.#rows.get(kind)!) {
        const { bytes, inodes } = this.#uses.get(kind)!.get(key)!
        if (quota.isCounting || quota.isRemoved || (quota.bytesUsed === bytes && quota.inodesUsed === inodes)) continue
        findings.damage('wrong-quota', {
          ...(quota.directory === 0 ? {} : { inode: quota.directory }),
          message: `the quota of ${nameOf(what, key, quota)} counts ${quota.bytesUsed} bytes and ${quota.inodesUsed} inodes, there are ${bytes} and ${inodes}`,
          remedy: 'it counts what there is',
          phase: 'counts',
          fix: (repair) =>
            repair.change((transaction) =>
              transaction.put(kind, 0, key, encodeQuota({ ...quota, bytesUsed: bytes, inodesUsed: inodes })),
            ),
        })
      }
    }
  }
}

function nameOf(what: string, key: number, { directory }: Quota): string {
  if (what !== 'tree') return `${what} ${key}`
  return key === VOLUME_REALM ? 'the volume' : `directory ${directory}`
}
