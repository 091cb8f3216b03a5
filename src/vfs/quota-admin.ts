// Setting, removing and showing limits.
//
// Must stay true: a limit on what is in use already does not bind before it is counted; what is shown of its use is what limits
// are compared with.
import { encodeQuota, type Ino, QUOTA_GID, QUOTA_TREE, QUOTA_UID, type Quota, ROOT_INO } from '../meta/index.ts'
import { errnoError, FsError } from '../platform/index.ts'
import type { TableKind } from '../tables/index.ts'
import { assertWritable, type Context } from './context.ts'
import { type Account, isTree, isVolume, type Use, VOLUME_REALM } from './quota-ledger.ts'
import { pathOf } from './quota-names.ts'

/** What is limited: `tree` by the ino of its topmost directory, `uid` and `gid` by number. */
export type QuotaSubject =
  | { kind: 'volume' }
  | { kind: 'tree'; ino: Ino }
  | { kind: 'uid'; id: number }
  | { kind: 'gid'; id: number }

export interface QuotaLimits {
  /** Null: none. */
  bytes: number | null
  inodes: number | null
}

export interface QuotaReport extends QuotaLimits {
  subject: QuotaSubject
  /** Of trees: names from the root directory on. */
  path: Buffer[] | null
  bytesUsed: number
  inodesUsed: number
  /** Its use is not known yet: what is shown is what was counted so far. Its limits bind when that is done. */
  isCounting: boolean
}

/** What was counted against a limit, and what its row says. */
export interface QuotaCheck extends QuotaReport {
  counted: Use
  recorded: Use
}

/** What the volume and the command line may do with quotas. All but `list` and `get` fail with EROFS on a read-only mount. */
export interface QuotaAdmin {
  /** Sets limits, durably; what is undefined stays as it is. Where both are null afterwards use is counted and nothing limited. ENOTDIR,
   *  ESTALE, EINVAL. Counting what is there goes on in the background. */
  set(subject: QuotaSubject, limits: Partial<QuotaLimits>): Promise<QuotaReport>
  /** Of this very subject; null: there is none. */
  get(subject: QuotaSubject): Promise<QuotaReport | null>
  list(): Promise<QuotaReport[]>
  /** False: there was none. Durable, too. */
  remove(subject: QuotaSubject): Promise<boolean>
  /** Counts everything, and compares: what differs is damage. Waits until nothing else is being counted. */
  check(): Promise<QuotaCheck[]>
  /** Resolves when nothing is being counted any more, or it cannot go on. */
  counted(): Promise<void>
}

const NONE: Omit<Quota, 'directory'> = {
  isCounting: true,
  isRemoved: false,
  bytesLimit: null,
  inodesLimit: null,
  bytesUsed: 0,
  inodesUsed: 0,
  parentRealm: 0,
  countedBelow: 0,
}

export function quotaAdmin(context: Context): QuotaAdmin {
  const { database, quotas, quotaCounter, writeback } = context
  const { ledger } = quotas
  const report = async (account: Account): Promise<QuotaReport> => {
    const path = isTree(account) ? await database.run(() => pathOf(context, account.quota.directory as Ino)) : null
    const { bytes, inodes } = ledger.visibleUse(account)
    const { bytesLimit, inodesLimit, isCounting } = account.quota
    const subject = subjectOf(account)
    return { subject, path, bytes: bytesLimit, inodes: inodesLimit, bytesUsed: bytes, inodesUsed: inodes, isCounting }
  }
  return {
    async set(subject, limits) {
      assertWritable(context)
      if (context.kernelWritesBack) {
        const remedy = 'mount it without -o writeback'
        throw new FsError(
          'EOPNOTSUPP',
          `quotas hold for what is written at once, which here the kernel keeps back: ${remedy}`,
        )
      }
      const account = await database.run(() => setTurn(context, subject, limits))
      quotaCounter.begin()
      await writeback.commit({ streams: [] })
      return report(account)
    },
    async get(subject) {
      const account = accountOf(context, subject)
      return account === undefined ? null : report(account)
    },
    async list() {
      const reports: QuotaReport[] = []
      for (const account of [...ledger]) if (!account.quota.isRemoved) reports.push(await report(account))
      return reports
    },
    async remove(subject) {
      assertWritable(context)
      const account = accountOf(context, subject)
      if (account === undefined) return false
      const transaction = database.transaction()
      const { table, key, quota } = account
      // Directories carry the realm of a tree: its row says what that stands for from now on.
      const removed = isTree(account) ? { ...quota, isRemoved: true, isCounting: false } : null
      if (removed === null) transaction.delete(table, 0, key)
      else transaction.put(table, 0, key, encodeQuota(removed))
      database.apply(transaction)
      if (removed === null) ledger.remove(account)
      else ledger.put(table, key, removed)
      ledger.scan?.tallies.delete(account)
      quotas.rowsChanged()
      await writeback.commit({ streams: [] })
      return true
    },
    async check() {
      const recounts = await quotaCounter.check()
      const checks: QuotaCheck[] = []
      for (const { account, counted, recorded } of recounts) {
        if (ledger.get(account.table, account.key) !== account || account.quota.isRemoved || account.quota.isCounting)
          continue
        checks.push({ ...(await report(account)), counted, recorded })
      }
      return checks
    },
    counted: () => quotaCounter.idle(),
  }
}

function tableOf(kind: QuotaSubject['kind']): TableKind {
  return kind === 'uid' ? QUOTA_UID : kind === 'gid' ? QUOTA_GID : QUOTA_TREE
}

function accountOf({ quotas }: Context, subject: QuotaSubject): Account | undefined {
  if (subject.kind === 'tree') return quotas.ledger.treeAt(subject.ino)
  return quotas.ledger.get(tableOf(subject.kind), subject.kind === 'volume' ? VOLUME_REALM : subject.id)
}

function subjectOf(account: Account): QuotaSubject {
  if (isVolume(account)) return { kind: 'volume' }
  if (isTree(account)) return { kind: 'tree', ino: account.quota.directory as Ino }
  return { kind: account.table === QUOTA_UID ? 'uid' : 'gid', id: account.key }
}

/** A synchronous operation for `run`. */
function setTurn(context: Context, subject: QuotaSubject, { bytes, inodes }: Partial<QuotaLimits>): Account {
  const { database, metadata, quotas } = context
  const { ledger } = quotas
  if (subject.kind === 'tree' && metadata.directoryNode(subject.ino).home === 'removed') throw errnoError('ENOENT')
  const known = accountOf(context, subject)
  // An ino is no realm of another tree's, nor is a realm an ino.
  const key = known?.key ?? keyOf(context, subject)
  const before = known?.quota ?? { ...NONE, directory: subject.kind === 'tree' ? subject.ino : 0 }
  const quota: Quota = {
    ...before,
    bytesLimit: bytes === undefined ? before.bytesLimit : bytes,
    inodesLimit: inodes === undefined ? before.inodesLimit : inodes,
  }
  quotas.begin()
  const table = tableOf(subject.kind)
  const transaction = database.transaction()
  transaction.put(table, 0, key, encodeQuota(quota))
  database.apply(transaction)
  return ledger.put(table, key, quota)
}

function keyOf({ database }: Context, subject: QuotaSubject): number {
  if (subject.kind === 'volume') return VOLUME_REALM
  if (subject.kind !== 'tree') return subject.id
  let realm = database.takeId('ino')
  while (realm <= ROOT_INO) realm = database.takeId('ino')
  return realm
}
