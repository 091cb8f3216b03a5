// The ledger of quotas: one account per row of QUOTA_TREE, QUOTA_UID and QUOTA_GID, all in memory, and which of them an
// inode counts in. No I/O; nothing here waits or faults.
//
// The model: an account's `quota` is its row as last applied (recorded use). `pendingBytes` is what streams hold of files that
// count in it and no record says yet, less what files still take that nobody can get at any more, and that go in the background;
// `pendingInodes` are these. The sums are visible use, which limits bind. An inode counts in the account of its realm
// and of those around it, of its uid, of its gid, and of the volume.
//
// While an account other than a tree's is being counted (quota-scan.ts), inodes are gone through in order of their inos, a
// batch at a time: those below `countedBelow` count in the row, those of the batch under way in a *tally* once they have been
// looked at, and those after it not at all. A check is the same over all accounts, in tallies alone, which are then compared.
//
// Must stay true:
// - What an account says changes in the turn in which the transaction is applied that changes its row, and only if it is.
// - Between turns an account's use is that of the inodes that count in it; `quota check` recounts.
import { QUOTA_TREE, QUOTA_UID, type Quota } from '../meta/index.ts'
import type { TableKind } from '../tables/index.ts'

/** The number of the volume's row among those of realms. */
export const VOLUME_REALM = 0

/** Whose use it is. `realm`: of the directory a file is in, or of the directory itself; 0: none. */
export interface Owner {
  realm: number
  uid: number
  gid: number
}

export interface Use {
  bytes: number
  inodes: number
}

export interface Account {
  readonly table: TableKind
  /** Realm, uid or gid. */
  readonly key: number
  quota: Quota
  pendingBytes: number
  pendingInodes: number
  /** The last warning: per cent of the limit. */
  warnedBytes: number
  warnedInodes: number
}

/** A pass over all inodes in order of inos. */
export interface Scan {
  readonly isCheck: boolean
  /** What was counted of the batch under way; of a check: of all batches so far. */
  readonly tallies: Map<Account, Use>
  /** Where the batch under way ends. */
  end: number
  /** Those of the batch that were not looked at yet. */
  readonly left: Set<number>
}

export class QuotaLedger {
  readonly #trees = new Map<number, Account>()
  readonly #uids = new Map<number, Account>()
  readonly #gids = new Map<number, Account>()
  /** Trees by their topmost directory; not the removed ones. */
  readonly #byDirectory = new Map<number, Account>()
  scan: Scan | null = null

  #accountsOf(table: TableKind): Map<number, Account> {
    return table === QUOTA_TREE ? this.#trees : table === QUOTA_UID ? this.#uids : this.#gids
  }

  get(table: TableKind, key: number): Account | undefined {
    return this.#accountsOf(table).get(key)
  }

  /** The tree whose topmost directory this is. */
  treeAt(directory: number): Account | undefined {
    return this.#byDirectory.get(directory)
  }

  *[Symbol.iterator](): Generator<Account> {
    yield* this.#trees.values()
    yield* this.#uids.values()
    yield* this.#gids.values()
  }

  /** Whether anything is limited or counted. */
  get isAny(): boolean {
    return this.#uids.size > 0 || this.#gids.size > 0 || this.#byDirectory.size > 0 || this.#trees.has(VOLUME_REALM)
  }

  /** A row is there, or says something else than before. */
  put(table: TableKind, key: number, quota: Quota): Account {
    const accounts = this.#accountsOf(table)
    let account = accounts.get(key)
    if (account === undefined) {
      account = { table, key, quota, pendingBytes: 0, pendingInodes: 0, warnedBytes: 0, warnedInodes: 0 }
      accounts.set(key, account)
    }
    account.quota = quota
    if (table === QUOTA_TREE && key !== VOLUME_REALM) {
      if (!quota.isRemoved) this.#byDirectory.set(quota.directory, account)
      else if (this.#byDirectory.get(quota.directory) === account) this.#byDirectory.delete(quota.directory)
    }
    return account
  }

  /** The row is gone. */
  remove({ table, key, quota }: Account): void {
    this.#accountsOf(table).delete(key)
    if (this.#byDirectory.get(quota.directory)?.key === key) this.#byDirectory.delete(quota.directory)
  }

  /** The realm that a number stands for: the nearest around it that is not removed; 0: none. */
  effective(realm: number): number {
    let at = realm
    while (at !== 0) {
      const tree = this.#trees.get(at)
      if (tree === undefined) return 0
      if (!tree.quota.isRemoved) return at
      at = tree.quota.parentRealm
    }
    return 0
  }

  /** The realm around one. */
  around(realm: number): number {
    return this.effective(this.#trees.get(realm)?.quota.parentRealm ?? 0)
  }

  /** The trees that a realm is in, the nearest first. */
  *treesAround(realm: number): Generator<Account> {
    for (let at = this.effective(realm); at !== 0; at = this.around(at)) yield this.#trees.get(at)!
  }

  /** The accounts in which an inode of this owner counts, or will; in the order in which their limits are looked at. */
  accountsOf({ realm, uid, gid }: Owner): Account[] {
    const accounts = [...this.treesAround(realm)]
    const ofUid = this.#uids.get(uid)
    const ofGid = this.#gids.get(gid)
    const ofVolume = this.#trees.get(VOLUME_REALM)
    if (ofUid !== undefined) accounts.push(ofUid)
    if (ofGid !== undefined) accounts.push(ofGid)
    if (ofVolume !== undefined) accounts.push(ofVolume)
    return accounts
  }

  /** Where an inode counts that belongs to an account. */
  placeOf(account: Account, ino: number): 'row' | 'tally' | 'nowhere' {
    const { isCounting, countedBelow } = account.quota
    if (!isCounting || isTree(account) || ino < countedBelow) return 'row'
    return !this.scan?.isCheck && this.#isSeen(account, ino) ? 'tally' : 'nowhere'
  }

  /** Whether the check under way has counted an inode that belongs to an account. */
  isChecked(account: Account, ino: number): boolean {
    return this.scan?.isCheck === true && this.#isSeen(account, ino)
  }

  #isSeen(account: Account, ino: number): boolean {
    const { scan } = this
    return scan !== null && ino < scan.end && scan.tallies.has(account) && !scan.left.has(ino)
  }

  tally(account: Account, bytes: number, inodes: number): void {
    const tally = this.scan?.tallies.get(account)
    if (tally === undefined) return
    tally.bytes += bytes
    tally.inodes += inodes
  }

  /** What limits are compared with. Of an account that is being counted: as far as it is. */
  visibleUse(account: Account): Use {
    const { quota, pendingBytes, pendingInodes } = account
    const tally = this.scan?.isCheck ? undefined : this.scan?.tallies.get(account)
    return {
      bytes: quota.bytesUsed + pendingBytes + (tally?.bytes ?? 0),
      inodes: quota.inodesUsed + pendingInodes + (tally?.inodes ?? 0),
    }
  }
}

export function isTree({ table, key }: Account): boolean {
  return table === QUOTA_TREE && key !== VOLUME_REALM
}

export function isVolume({ table, key }: Account): boolean {
  return table === QUOTA_TREE && key === VOLUME_REALM
}

/** Whether its limits bind. */
export function binds({ quota }: Account): boolean {
  return !quota.isCounting && !quota.isRemoved
}
