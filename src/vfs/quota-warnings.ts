// Warnings in the log as use comes near a limit: at 80 % and at 95 %, once each, until it has fallen some way below.
import { QUOTA_UID } from '../meta/index.ts'
import type { Context } from './context.ts'
import { type Account, binds, isTree, isVolume, type QuotaLedger } from './quota-ledger.ts'

const LEVELS = [95, 80]
/** A warning is given again when use was so many per cent of the limit lower meanwhile. */
const REARM_PER_CENT = 5

/** What counts in an account has changed. */
export function warnOf({ log }: Pick<Context, 'log'>, ledger: QuotaLedger, account: Account): void {
  const { bytesLimit, inodesLimit } = account.quota
  if (!binds(account)) return
  const { bytes, inodes } = ledger.visibleUse(account)
  if (bytesLimit !== null) {
    const level = levelOf(bytes, bytesLimit, account.warnedBytes)
    if (level > account.warnedBytes)
      log('warn', `${nameOf(account)} is ${level} % full: ${bytes} of ${bytesLimit} bytes are used`)
    account.warnedBytes = level
  }
  if (inodesLimit !== null) {
    const level = levelOf(inodes, inodesLimit, account.warnedInodes)
    if (level > account.warnedInodes)
      log('warn', `${nameOf(account)} is ${level} % full: ${inodes} of ${inodesLimit} inodes are used`)
    account.warnedInodes = level
  }
}

/** The highest level that is reached, or that was and is not left yet. */
function levelOf(used: number, limit: number, warned: number): number {
  const perCent = limit === 0 ? 100 : (used / limit) * 100
  return LEVELS.find((level) => perCent >= level || (level <= warned && perCent > level - REARM_PER_CENT)) ?? 0
}

/** For people: whose quota it is. */
export function nameOf(account: Account): string {
  if (isVolume(account)) return 'the quota of the volume'
  if (isTree(account)) return `the quota of the directory with inode ${account.quota.directory}`
  return `the quota of ${account.table === QUOTA_UID ? 'uid' : 'gid'} ${account.key}`
}
