// Warnings in the log as use comes near a limit: at 80 % and at 95 %, once each, until it has fallen some way below.
import type { Context } from './context.ts'
import { type Account, binds, type QuotaLedger } from './quota-ledger.ts'
import { logOf } from './quota-names.ts'

const LEVELS = [95, 80]
/** A warning is given again when use was so many per cent of the limit lower meanwhile. */
const REARM_PER_CENT = 5

/** What counts in an account has changed. */
export function warnOf(context: Context, ledger: QuotaLedger, account: Account): void {
  const { bytesLimit, inodesLimit } = account.quota
  if (!binds(account)) return
  const { bytes, inodes } = ledger.visibleUse(account)
  if (bytesLimit !== null) {
    const level = levelOf(bytes, bytesLimit, account.warnedBytes)
    if (level > account.warnedBytes)
      void logOf(context, 'warn', account, `is ${level} % full: ${bytes} of ${bytesLimit} bytes are used`)
    account.warnedBytes = level
  }
  if (inodesLimit !== null) {
    const level = levelOf(inodes, inodesLimit, account.warnedInodes)
    if (level > account.warnedInodes)
      void logOf(context, 'warn', account, `is ${level} % full: ${inodes} of ${inodesLimit} inodes are used`)
    account.warnedInodes = level
  }
}

/** The highest level that is reached, or that was and is not left yet. */
function levelOf(used: number, limit: number, warned: number): number {
  const perCent = limit === 0 ? 100 : (used / limit) * 100
  return LEVELS.find((level) => perCent >= level || (level <= warned && perCent > level - REARM_PER_CENT)) ?? 0
}
