// Counting a tree on which a limit was set: directory by directory, a bounded number of entries a turn.
//
// The model: QUOTA_WALK holds the directories that are known and not yet counted. To count one is to have it carry the tree's
// realm ("." says so from then on), to add to the tree's use what it and the files in it take, and to put its child directories
// into QUOTA_WALK: one transaction. Of a large one that takes several, and its row says how far it is: files in it under
// keys below that count in the tree, the others in the realm around it (Quotas.cursor). Trees within, which have
// rows, come to lie in this one whole, with their use. So after each turn, and after a crash, the row of the tree says what
// counts in it as far as it has been counted.
//
// Must stay true:
// - One tree is counted at a time, and one directory of it in part.
// - While it is counted no directory, and no name of a file with others, crosses its border (Quotas.namesRealm).
import {
  blankAttributes,
  DOT_KEY,
  decodeInode,
  decodeQuotaWalk,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryType,
  encodeInode,
  encodeQuotaWalk,
  FIRST_NAME_KEY,
  type Ino,
  isDirectory,
  KEY_MAX,
  QUOTA_WALK,
  QUOTA_WALK_BYTES,
  ROOT_INO,
  readAttributes,
  recordRealm,
  S_IFDIR,
  SHARED,
} from '../meta/index.ts'
import type { Transaction } from '../tables/index.ts'
import type { Context } from './context.ts'
import { applyWith, type Quotas, type WalkCursor } from './quota.ts'
import type { UseChanges } from './quota-changes.ts'
import type { Account } from './quota-ledger.ts'

const DIRECTORIES_A_TURN = 64
/** What a directory costs besides its entries. */
const ENTRIES_PER_DIRECTORY = 4

/** What an earlier mount had begun to count: called before the first operation. */
export async function resumeWalk({ database, quotas }: Context): Promise<void> {
  const { ledger } = quotas
  for (let from = 0; from <= KEY_MAX; ) {
    const at = from
    const rows = await database.run(() => walkRows(database, at, 1000))
    for (const { ino, realm, nextKey } of rows) {
      const account = [...ledger.treesAround(realm)][0]
      if (account?.key !== realm || !account.quota.isCounting) continue
      quotas.counted = account
      if (nextKey > 0) quotas.cursor = { directory: ino, nextKey }
    }
    const last = rows.at(-1)
    if (last === undefined) return
    from = last.ino + 1
  }
}

interface WalkRow {
  ino: Ino
  realm: number
  nextKey: number
}

function walkRows(database: Context['database'], from: number, limit: number): WalkRow[] {
  const rows: WalkRow[] = []
  database.table(QUOTA_WALK).scan(from, Number.MAX_SAFE_INTEGER, (ino, bytes, start, end) => {
    // One that is damaged is of no realm, and goes.
    const walk = end - start === QUOTA_WALK_BYTES ? decodeQuotaWalk(bytes, start) : { realm: 0, nextKey: 0 }
    rows.push({ ino: ino as Ino, ...walk })
    return rows.length < limit
  })
  return rows
}

/** Begins to count a tree; from then on the rules for names across its border hold. A synchronous operation for `run`. */
export function beginWalk(context: Context, account: Account): void {
  const { database, metadata, quotas } = context
  const { key: realm, quota } = account
  const use = quotas.changes()!
  const transaction = database.transaction()
  const directory = metadata.nodeIfAny(quota.directory)
  if (directory === null || directory.home === 'removed') use.patch(account, { isCounting: false, isRemoved: true })
  else {
    const around = quotas.ledger.effective(directory.inode.realm)
    if (around !== realm) use.patch(account, { parentRealm: around })
    transaction.put(QUOTA_WALK, 0, quota.directory, encodeQuotaWalk({ realm, nextKey: 0 }))
    use.afterwards(() => {
      quotas.counted = account
    })
  }
  applyWith(context, transaction, use)
}

/** Counts some of the tree that `quotas.counted` is. A synchronous operation for `run`. */
export function walkTurn(context: Context): void {
  const { database, quotas } = context
  const account = quotas.counted!
  const turn = new WalkTurn(context, account)
  const { cursor } = quotas
  if (cursor !== null) turn.visit(cursor.directory, cursor.nextKey)
  else {
    const rows = walkRows(database, 0, DIRECTORIES_A_TURN)
    if (rows.length === 0) turn.use.patch(account, { isCounting: false })
    // What is left of a tree whose limit was taken away again. It goes first: the same directories may be put there anew.
    for (const { ino, realm } of rows) if (realm !== account.key) turn.transaction.delete(QUOTA_WALK, 0, ino)
    for (const { ino, realm, nextKey } of rows) {
      if (turn.isOver) break
      if (realm === account.key) turn.visit(ino, nextKey)
    }
  }
  turn.use.afterwards(() => {
    quotas.cursor = turn.cursor
  })
  applyWith(context, turn.transaction, turn.use)
}

class WalkTurn {
  readonly transaction: Transaction
  readonly use: UseChanges
  cursor: WalkCursor | null = null
  readonly #context: Context
  readonly #quotas: Quotas
  readonly #account: Account
  readonly #around: number
  readonly #shared = new Set<number>()
  #left: number

  constructor(context: Context, account: Account) {
    const { database, quotas } = context
    this.#context = context
    this.#left = context.countingStep
    this.#quotas = quotas
    this.#account = account
    this.#around = quotas.ledger.around(account.key)
    this.transaction = database.transaction()
    this.use = quotas.changes()!
  }

  get isOver(): boolean {
    return this.#left <= 0
  }

  /** Counts what is in a directory from a key on; 0: and itself. */
  visit(directory: Ino, from: number): void {
    if (from === 0) this.#left -= ENTRIES_PER_DIRECTORY
    const isThere = from > 0 ? this.#isThere(directory) : this.#take(directory)
    const nextKey = isThere ? this.#countEntries(directory, Math.max(from, FIRST_NAME_KEY)) : null
    if (nextKey === null) this.transaction.delete(QUOTA_WALK, 0, directory)
    else {
      this.transaction.put(QUOTA_WALK, 0, directory, encodeQuotaWalk({ realm: this.#account.key, nextKey }))
      this.cursor = { directory, nextKey }
    }
  }

  #isThere(directory: Ino): boolean {
    const node = this.#context.metadata.nodeIfAny(directory)
    return node !== null && isDirectory(node.inode.mode) && node.home === 'directory'
  }

  /** Has a directory carry the realm, or a tree within lie in it. False: nothing in it is to be counted. */
  #take(directory: Ino): boolean {
    const { metadata } = this.#context
    const { ledger } = this.#quotas
    const { key: realm } = this.#account
    const node = metadata.nodeIfAny(directory)
    if (node?.home !== 'directory' || !isDirectory(node.inode.mode)) return false
    const here = ledger.effective(node.inode.realm)
    if (here === realm) return false
    if (here !== this.#around) {
      const within = ledger.treeAt(directory)
      if (within?.key !== here || ledger.around(here) !== this.#around) return false
      const { quota, pendingBytes, pendingInodes } = within
      this.use.patch(within, { parentRealm: realm })
      this.use.count(this.#account, { bytes: quota.bytesUsed, inodes: quota.inodesUsed, pendingBytes, pendingInodes })
      return false
    }
    node.inode.realm = realm
    metadata.put(this.transaction, node)
    this.use.count(this.#account, this.#quotas.amountOf(node.inode))
    return true
  }

  /** Returns the key to go on from; null at the end. */
  #countEntries(directory: Ino, from: number): number | null {
    const { metadata } = this.#context
    const attributes = blankAttributes()
    let nextKey: number | null = null
    metadata.directory(directory).scan(from, KEY_MAX, (key, bytes, start) => {
      if (this.#left <= 0) {
        nextKey = key
        return false
      }
      this.#left--
      const ino = dentryIno(bytes, start)
      if (dentryIsShared(bytes, start)) this.#countShared(ino)
      else if (dentryType(bytes, start) === S_IFDIR) this.#putChild(ino, bytes, dentryInodeAt(bytes, start))
      else {
        readAttributes(bytes, dentryInodeAt(bytes, start), attributes)
        this.#countFile(attributes)
      }
      return true
    })
    return nextKey
  }

  #countFile(inode: Parameters<Quotas['amountOf']>[0]): void {
    const { ino } = inode
    this.use.count(this.#account, this.#quotas.amountOf(inode))
    if (this.#quotas.hasStream(ino)) this.use.afterwards(() => this.#quotas.relocate(ino, this.#account.key))
  }

  /** A file with several names counts where the first of them is met. */
  #countShared(ino: Ino): void {
    if (this.#shared.has(ino)) return
    const record = this.#context.database.table(SHARED).get(ino)
    if (record === null) return
    const inode = decodeInode(record, 0)
    if (this.#quotas.ledger.effective(inode.realm) !== this.#around) return
    this.#shared.add(ino)
    inode.realm = this.#account.key
    this.transaction.put(SHARED, 0, ino, encodeInode(inode))
    this.#countFile(inode)
  }

  #putChild(ino: Ino, bytes: Buffer, inodeAt: number): void {
    if (ino === ROOT_INO) return
    const own = this.#context.metadata.directory(ino).getChanged(DOT_KEY)
    const realm = own === undefined || own === null ? recordRealm(bytes, inodeAt) : recordRealm(own, 0)
    if (this.#quotas.ledger.effective(realm) === this.#account.key) return
    this.transaction.put(QUOTA_WALK, 0, ino, encodeQuotaWalk({ realm: this.#account.key, nextKey: 0 }))
  }
}
