// Counting for quotas in the background, one job at a time: trees whose limits were set (quota-walk.ts), then uids, gids and the
// volume (quota-scan.ts), then checks.
//
// Must stay true: a job that cannot go on, as the store fails, is taken up again when a commit has succeeded; what it had put
// into rows stays.
import { errnoError, FsError, isPromise } from '../platform/index.ts'
import { Background } from './background.ts'
import type { Context } from './context.ts'
import { type Account, isTree } from './quota-ledger.ts'
import { logOf } from './quota-names.ts'
import { accountsToCount, countAll, type Recount, recountAll } from './quota-scan.ts'
import { beginWalk, walkTurn } from './quota-walk.ts'

const ROOM_POLL_MS = 10
const NO_CHANGES = 'the volume takes no changes now, or is being unmounted'

interface CheckRequest {
  resolve: (recounts: Recount[]) => void
  reject: (error: unknown) => void
}

export class QuotaCounter {
  readonly #context: () => Context
  readonly #checks: CheckRequest[] = []
  #working: Promise<void> | null = null
  #stopped = false

  constructor(context: () => Context) {
    this.#context = context
  }

  /** There may be something to count. */
  begin(): void {
    if (this.#working !== null || this.#stopped || !this.#hasWork()) return
    this.#working = this.#work()
  }

  /** A round of write-back succeeded. */
  goOn(): void {
    this.begin()
  }

  /** Counts all there is against all limits. */
  check(): Promise<Recount[]> {
    if (!this.#mayGoOn()) return Promise.reject(errnoError('EROFS'))
    return new Promise((resolve, reject) => {
      this.#checks.push({ resolve, reject })
      this.begin()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#refuseChecks(new FsError('EIO', 'the volume is being unmounted'))
  }

  /** Whoever waits for a check is not kept waiting by what comes before it. */
  #refuseChecks(error: unknown): void {
    for (const { reject } of this.#checks.splice(0)) reject(error)
  }

  /** Resolves when nothing is being counted. */
  async idle(): Promise<void> {
    while (this.#working !== null) await this.#working
  }

  #hasWork(): boolean {
    const { quotas, readOnly } = this.#context()
    if (this.#checks.length > 0) return true
    // A read-only mount shows what was counted, and checks.
    if (readOnly) return false
    for (const account of quotas.ledger) if (account.quota.isCounting) return true
    return false
  }

  #mayGoOn(): boolean {
    const { database, writeback } = this.#context()
    return !this.#stopped && writeback.failure === null && database.failure === null
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#context()
    await clock.yield()
    const background = new Background(this.#context)
    const options = { background, mayGoOn: () => this.#mayGoOn() }
    try {
      while (this.#mayGoOn() && this.#hasWork()) {
        const context = this.#context()
        const { quotas, readOnly } = context
        const { ledger } = quotas
        const tree = quotas.counted ?? [...ledger].find((account) => isTree(account) && account.quota.isCounting)
        const accounts = accountsToCount(ledger)
        if (readOnly) await this.#check(options)
        else if (tree !== undefined) await this.#countTree(tree, background)
        else if (accounts.length > 0) await this.#countAccounts(accounts, options)
        else await this.#check(options)
      }
      if (!this.#mayGoOn()) this.#refuseChecks(new FsError('EIO', NO_CHANGES))
    } catch (error) {
      this.#refuseChecks(error)
      log('error', `quotas are not counted now (it goes on after a later commit): ${(error as Error).message}`)
    } finally {
      // In the turn in which there was nothing more to do: what comes after it begins anew.
      this.#working = null
    }
  }

  async #countTree(account: Account, background: Background): Promise<void> {
    const context = this.#context()
    const { clock, database, quotas, writeback } = context
    while (account.quota.isCounting && this.#mayGoOn()) {
      while (database.isFull && this.#mayGoOn()) await clock.sleep(ROOM_POLL_MS)
      if (!this.#mayGoOn()) return
      const turn = database.run(() => {
        // It may have been taken away while a page was loaded.
        if (quotas.ledger.get(account.table, account.key) !== account || !account.quota.isCounting) return
        if (quotas.counted === account) walkTurn(context)
        else beginWalk(context, account)
      })
      if (isPromise(turn)) await turn
      writeback.changed()
      await background.turn()
    }
    this.#counted(account)
  }

  async #countAccounts(accounts: readonly Account[], options: Parameters<typeof countAll>[2]): Promise<void> {
    const context = this.#context()
    await countAll(context, accounts, options)
    context.writeback.changed()
    for (const account of accounts) this.#counted(account)
  }

  #counted(account: Account): void {
    const { quotas } = this.#context()
    const { isCounting, isRemoved } = account.quota
    if (isCounting || isRemoved || quotas.ledger.get(account.table, account.key) !== account) return
    const { bytes, inodes } = quotas.ledger.visibleUse(account)
    void logOf(this.#context(), 'info', account, `is counted, and binds: ${inodes} inodes, ${bytes} bytes`)
  }

  async #check(options: Parameters<typeof recountAll>[1]): Promise<void> {
    const requests = this.#checks.splice(0)
    try {
      const recounts = await recountAll(this.#context(), options)
      if (recounts === null) throw new FsError('EIO', NO_CHANGES)
      for (const { resolve } of requests) resolve(recounts)
    } catch (error) {
      for (const { reject } of requests) reject(error)
    }
  }
}
