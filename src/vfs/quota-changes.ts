// What one transaction changes of use: collected while it is built, checked against the limits, and put into it and into the
// ledger as it is applied.
//
// Must stay true: nothing is changed before `apply` has checked all of it; what it throws leaves everything as it was.
import { encodeQuota, type Quota } from '../meta/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Database, Transaction } from '../tables/index.ts'
import { type Account, binds, isVolume, type Owner, type QuotaLedger } from './quota-ledger.ts'

/** Sizes add up exactly to here. More may be found by counting, of sparse files: it is not kept. */
export const BYTES_MOST = Number.MAX_SAFE_INTEGER

interface Delta extends Amount {
  tallyBytes: number
  tallyInodes: number
}

/** Of one file: what counts of it. */
export interface Amount {
  /** Recorded. */
  bytes: number
  inodes: number
  /** Visible, more or less than is recorded. */
  pendingBytes: number
  pendingInodes: number
}

export interface ChangesHost {
  readonly database: Database
  readonly ledger: QuotaLedger
  /** Something was applied that changes these accounts. */
  onApplied(accounts: Iterable<Account>): void
  onWrong(account: Account): void
}

export class UseChanges {
  readonly #host: ChangesHost
  readonly #deltas = new Map<Account, Delta>()
  readonly #patches = new Map<Account, Partial<Quota>>()
  readonly #actions: (() => void)[] = []

  constructor(host: ChangesHost) {
    this.#host = host
  }

  /** More of an inode of this owner; `sign` -1: less. */
  add(owner: Owner, ino: number, { bytes, inodes, pendingBytes, pendingInodes }: Amount, sign: 1 | -1 = 1): void {
    const { ledger } = this.#host
    for (const account of ledger.accountsOf(owner)) {
      const place = ledger.placeOf(account, ino)
      const isChecked = ledger.isChecked(account, ino)
      if (place === 'nowhere' && !isChecked) continue
      const delta = this.#delta(account)
      if (place === 'row') {
        delta.bytes += sign * bytes
        delta.inodes += sign * inodes
      }
      if (place === 'tally' || isChecked) {
        delta.tallyBytes += sign * bytes
        delta.tallyInodes += sign * inodes
      }
      if (place === 'nowhere') continue
      delta.pendingBytes += sign * pendingBytes
      delta.pendingInodes += sign * pendingInodes
    }
  }

  /** An inode comes to count in one account alone. */
  count(account: Account, { bytes, inodes, pendingBytes, pendingInodes }: Amount): void {
    const delta = this.#delta(account)
    delta.bytes += bytes
    delta.inodes += inodes
    delta.pendingBytes += pendingBytes
    delta.pendingInodes += pendingInodes
  }

  #delta(account: Account): Delta {
    let delta = this.#deltas.get(account)
    if (delta === undefined) {
      delta = { bytes: 0, inodes: 0, pendingBytes: 0, pendingInodes: 0, tallyBytes: 0, tallyInodes: 0 }
      this.#deltas.set(account, delta)
    }
    return delta
  }

  /** The row says something else. A tree whose row comes to say that it is removed, when nothing counts in it any more, has
   *  none from then on. */
  patch(account: Account, patch: Partial<Quota>): void {
    this.#delta(account)
    this.#patches.set(account, { ...this.#patches.get(account), ...patch })
  }

  /** To be done once it is applied. */
  afterwards(action: () => void): void {
    this.#actions.push(action)
  }

  /** Throws EDQUOT, or ENOSPC for the volume, where a limit is in the way: what became less never is. */
  check(): void {
    for (const [account, { bytes, inodes, pendingBytes, pendingInodes }] of this.#deltas) {
      assertRoom(this.#host.ledger, account, bytes + pendingBytes, inodes + pendingInodes)
    }
  }

  /** Checks, and applies the transaction with the rows that say so, in this turn. */
  apply(transaction: Transaction): void {
    const { database, ledger } = this.#host
    this.check()
    const rows: [Account, Quota | null][] = []
    for (const [account, { bytes, inodes }] of this.#deltas) {
      if (bytes === 0 && inodes === 0 && !this.#patches.has(account)) continue
      const quota = this.#rowOf(account, bytes, inodes)
      if (quota === null) transaction.delete(account.table, 0, account.key)
      else transaction.put(account.table, 0, account.key, encodeQuota(quota))
      rows.push([account, quota])
    }
    database.apply(transaction)
    for (const [account, quota] of rows) {
      if (quota === null) ledger.remove(account)
      else ledger.put(account.table, account.key, quota)
    }
    for (const [account, delta] of this.#deltas) {
      const { pendingBytes, pendingInodes, tallyBytes, tallyInodes } = delta
      account.pendingBytes += pendingBytes
      account.pendingInodes += pendingInodes
      if (tallyBytes !== 0 || tallyInodes !== 0) ledger.tally(account, tallyBytes, tallyInodes)
    }
    for (const action of this.#actions) action()
    this.#host.onApplied(this.#deltas.keys())
  }

  /** Null: the row goes. */
  #rowOf(account: Account, bytes: number, inodes: number): Quota | null {
    const { quota } = account
    const patch = this.#patches.get(account)
    const bytesUsed = quota.bytesUsed + bytes
    const inodesUsed = quota.inodesUsed + inodes
    const isWrong = bytesUsed < 0 || inodesUsed < 0
    if (isWrong) this.#host.onWrong(account)
    if (patch?.isRemoved && !quota.isCounting && inodesUsed === 0) return null
    const bytesKept = Math.min(Math.max(0, bytesUsed), BYTES_MOST)
    return { ...quota, bytesUsed: bytesKept, inodesUsed: Math.max(0, inodesUsed), ...patch }
  }
}

/** Throws where an account has no room for so much more. Where bytes are not limited, numbers end all the same. */
export function assertRoom(ledger: QuotaLedger, account: Account, moreBytes: number, moreInodes: number): void {
  if ((moreBytes <= 0 && moreInodes <= 0) || !binds(account)) return
  const { bytesLimit, inodesLimit } = account.quota
  const { bytes, inodes } = ledger.visibleUse(account)
  const isOver =
    (moreBytes > 0 && bytes + moreBytes > (bytesLimit ?? BYTES_MOST)) ||
    (moreInodes > 0 && inodesLimit !== null && inodes + moreInodes > inodesLimit)
  if (isOver) throw errnoError(isVolume(account) ? 'ENOSPC' : 'EDQUOT')
}
