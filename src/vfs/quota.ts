// Quotas, as the operations see them: limits on what a volume, a directory tree, an owner or a group may use (DESIGN section
// 8; what counts: meta/quota-record.ts; the accounts: quota-ledger.ts).
//
// The model: whoever changes what is used collects that in `changes()` while he builds his transaction, and applies both by
// `applyWith`, in one turn: all limits above the change are checked first. A stream's size is no record yet: whoever makes a file
// longer calls `checkSize` in the turn before, and `streamChanged` tells afterwards what the stream holds more or less than is
// recorded, which counts too. Write-back then moves that from the one to the other, in the commit that records the size.
//
// Must stay true:
// - What is refused leaves nothing behind: every check of an operation comes before its first change.
// - Where no limit is set and nobody counts, a change costs one look at `isActive`.
// - `#files` has each file with a stream, and those that lost their names, while `isActive`.
// - A file without a name counts as long as somebody has it open. Its row goes later, in the background: what it still takes
//   until then is in no way of anybody.
import { ok as assert } from 'node:assert'
import type { Stream } from '../data/index.ts'
import {
  type DirectoryRecord,
  decodeQuota,
  encodeQuotaWalk,
  type Ino,
  type Inode,
  isDirectory,
  type Node,
  QUOTA_GID,
  QUOTA_RECORD_BYTES,
  QUOTA_TREE,
  QUOTA_UID,
  QUOTA_WALK,
  type Quota,
} from '../meta/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Transaction } from '../tables/index.ts'
import type { Context } from './context.ts'
import { type Amount, assertRoom, BYTES_MOST, type ChangesHost, UseChanges } from './quota-changes.ts'
import { type Account, binds, type Owner, QuotaLedger, VOLUME_REALM } from './quota-ledger.ts'
import { warnOf } from './quota-warnings.ts'

/** What is known of a file that has a stream, or no name. */
interface FileUse {
  owner: Owner
  recordedBytes: number
  visibleBytes: number
  isOrphan: boolean
  /** Nobody can get at it any more: it does not count, but in its row. */
  isDoomed: boolean
}

/** Where in a tree that is being counted the walk is: files of `directory` under keys from `nextKey` on count around it. */
export interface WalkCursor {
  directory: Ino
  nextKey: number
}

export interface Space {
  total: number
  free: number
}

export class Quotas {
  readonly ledger = new QuotaLedger()
  /** Whether anything is limited or counted: else there is nothing to ask. */
  isActive = false
  /** Set while a directory is counted in part. */
  cursor: WalkCursor | null = null
  /** The tree that is being counted. */
  counted: Account | null = null
  readonly #context: () => Context
  readonly #files = new Map<number, FileUse>()
  readonly #host: ChangesHost

  constructor(context: () => Context) {
    this.#context = context
    const { ledger } = this
    this.#host = {
      get database() {
        return context().database
      },
      ledger,
      onApplied: (accounts) => {
        for (const account of accounts) warnOf(context(), ledger, account)
        this.rowsChanged()
      },
      onWrong: (account) =>
        context().log('error', `a quota counts less than nothing (row ${account.key}): cairnfs quota check tells more`),
    }
  }

  /** Reads the rows, before the first operation. */
  async load(): Promise<void> {
    const { database, log } = this.#context()
    for (const table of [QUOTA_TREE, QUOTA_UID, QUOTA_GID]) {
      const rows = await database.run(() => {
        const found: [number, Quota][] = []
        database.table(table).scan(0, Number.MAX_SAFE_INTEGER, (key, bytes, start, end) => {
          if (end - start === QUOTA_RECORD_BYTES) found.push([key, decodeQuota(bytes, start)])
          else
            log(
              'error',
              `a quota is damaged and not kept (kind ${table}, row ${key}): cairnfs fsck --repair takes it out`,
            )
          return true
        })
        return found
      })
      for (const [key, quota] of rows) this.ledger.put(table, key, quota)
    }
    this.isActive = this.ledger.isAny
  }

  /** The first limit is about to be set: what streams hold is known from now on. A synchronous operation for `run`. */
  begin(): void {
    if (this.isActive) return
    const { metadata, streams } = this.#context()
    const files: [number, FileUse][] = []
    for (const stream of streams) {
      const node = metadata.nodeIfAny(stream.ino)
      if (node === null) continue
      files.push([stream.ino, this.#useOf(node, stream)])
    }
    for (const [ino, use] of files) this.#files.set(ino, use)
    this.isActive = true
  }

  /** Limits came or went, in this turn. */
  rowsChanged(): void {
    const { counted, ledger } = this
    if (counted?.quota.isCounting === false || (counted !== null && ledger.get(QUOTA_TREE, counted.key) !== counted)) {
      this.counted = null
      this.cursor = null
    }
    if (!this.isActive || ledger.isAny) return
    this.isActive = false
    this.#files.clear()
  }

  // Whose use it is. All of it may fault.

  ownerOf(node: Node): Owner {
    const { uid, gid } = node.inode
    return { realm: this.realmOf(node), uid, gid }
  }

  /** The realm that an inode counts in; 0: none. */
  realmOf({ inode, home, directory, key }: Node): number {
    if (home !== 'dentry') return this.ledger.effective(inode.realm)
    return this.realmAt(this.#context().metadata.directoryRecord(directory as Ino), key)
  }

  /** The realm of a file under this key of a directory. */
  realmAt({ ino, realm }: DirectoryRecord, key: number): number {
    const { cursor, counted, ledger } = this
    const here = ledger.effective(realm)
    const isAhead = cursor !== null && cursor.directory === ino && key >= cursor.nextKey
    return isAhead && here === counted?.key ? ledger.around(here) : here
  }

  // Changes of names and owners.

  /** Null where nothing is limited. */
  changes(): UseChanges | null {
    return this.isActive ? new UseChanges(this.#host) : null
  }

  /** What there is of an inode. */
  amountOf({ ino, mode, sizeBytes }: Pick<Inode, 'ino' | 'mode' | 'sizeBytes'>): Amount {
    const file = this.#files.get(ino)
    const pending = file === undefined ? NOTHING_PENDING : pendingOf(file)
    return { bytes: isDirectory(mode) ? 0 : sizeBytes, inodes: 1, ...pending }
  }

  /** An inode comes to be. */
  made(use: UseChanges, inode: Inode, realm: number): void {
    use.add({ realm, uid: inode.uid, gid: inode.gid }, inode.ino, this.amountOf(inode))
  }

  /** An inode goes, and its stream. */
  gone(use: UseChanges, inode: Inode, realm: number): void {
    const { ino, uid, gid, mode } = inode
    use.add({ realm, uid, gid }, ino, this.amountOf(inode), -1)
    use.afterwards(() => this.#files.delete(ino))
    const tree = isDirectory(mode) ? this.ledger.treeAt(ino) : undefined
    if (tree !== undefined) use.patch(tree, { isRemoved: true, isCounting: false })
  }

  /** An inode has another owner, or a file lies in another realm. */
  moved(use: UseChanges, inode: Inode, from: Owner, to: Owner): void {
    if (from.realm === to.realm && from.uid === to.uid && from.gid === to.gid) return
    const { ino } = inode
    const amount = this.amountOf(inode)
    use.add(from, ino, amount, -1)
    use.add(to, ino, amount)
    use.afterwards(() => {
      const file = this.#files.get(ino)
      if (file !== undefined) file.owner = to
    })
  }

  // Files without a name.

  /** A file that was made without a name gets one. In whatever realm that is: it has no other. */
  named(use: UseChanges, { inode, home }: Node, realm: number): void {
    const { ino, uid, gid } = inode
    const file = this.#files.get(ino)
    const owner = { realm, uid, gid }
    if (home === 'removed') this.made(use, inode, realm)
    else this.moved(use, inode, { realm: this.ledger.effective(inode.realm), uid, gid }, owner)
    // Where nobody has it open, it comes to count again.
    if (file?.isDoomed) use.add(owner, ino, { bytes: 0, inodes: 0, pendingBytes: file.visibleBytes, pendingInodes: 1 })
    use.afterwards(() => {
      if (file === undefined) return
      file.isOrphan = false
      file.isDoomed = false
      this.streamRecorded(ino)
    })
  }

  /** A file loses its last name, and has bytes or is open. */
  orphaned(use: UseChanges, inode: Inode, realm: number): void {
    const { ino, uid, gid, sizeBytes } = inode
    const isDoomed = !this.#context().handles.isOpen(ino)
    const owner = { realm, uid, gid }
    const file = this.#files.get(ino) ?? {
      owner,
      recordedBytes: sizeBytes,
      visibleBytes: sizeBytes,
      isOrphan: true,
      isDoomed: false,
    }
    if (isDoomed) use.add(owner, ino, { bytes: 0, inodes: 0, pendingBytes: -file.visibleBytes, pendingInodes: -1 })
    use.afterwards(() => {
      this.#files.set(ino, Object.assign(file, { isOrphan: true, isDoomed }))
    })
  }

  /** A file without a name was opened, or nobody has it open any more. */
  orphanUsed(ino: number, isOpen: boolean): void {
    const file = this.#files.get(ino)
    if (file === undefined || file.isDoomed === !isOpen) return
    this.#addPending(ino, file.owner, pendingOf(file), -1)
    file.isDoomed = !isOpen
    this.#addPending(ino, file.owner, pendingOf(file), 1)
  }

  #addPending(ino: number, owner: Owner, pending: ReturnType<typeof pendingOf>, sign: 1 | -1): void {
    for (const account of this.ledger.accountsOf(owner)) {
      if (this.ledger.placeOf(account, ino) === 'nowhere') continue
      account.pendingBytes += sign * pending.pendingBytes
      account.pendingInodes += sign * pending.pendingInodes
    }
  }

  // Sizes.

  /** A file that has a stream is about to be so long. EDQUOT, ENOSPC. */
  checkStreamSize(ino: number, sizeBytes: number): void {
    const file = this.#files.get(ino)
    assert(file !== undefined, `quotas know of the stream of inode ${ino}`)
    this.#checkGrowth(file.owner, sizeBytes - file.visibleBytes)
  }

  /** The same of any file. May fault. */
  checkSize(node: Node, sizeBytes: number): void {
    if (sizeBytes <= this.#visibleBytes(node)) return
    const moreBytes = sizeBytes - this.#countedBytes(node)
    this.#checkGrowth(this.#files.get(node.inode.ino)?.owner ?? this.ownerOf(node), moreBytes)
  }

  /** What is in memory alone counts, with its size, when that is to change. */
  #countedBytes(node: Node): number {
    return node.home === 'removed' ? 0 : this.#visibleBytes(node)
  }

  #visibleBytes({ inode }: Node): number {
    return this.#files.get(inode.ino)?.visibleBytes ?? inode.sizeBytes
  }

  #checkGrowth(owner: Owner, moreBytes: number): void {
    if (moreBytes <= 0) return
    for (const account of this.ledger.accountsOf(owner)) assertRoom(this.ledger, account, moreBytes, 0)
  }

  /** How long a file may become: not below what it is. May fault. */
  mostBytes(node: Node): number {
    const { ledger } = this
    let most = Number.MAX_SAFE_INTEGER
    const visible = this.#visibleBytes(node)
    const counted = this.#countedBytes(node)
    for (const account of ledger.accountsOf(this.#files.get(node.inode.ino)?.owner ?? this.ownerOf(node))) {
      const { bytesLimit } = account.quota
      if (!binds(account)) continue
      const room = (bytesLimit ?? BYTES_MOST) - ledger.visibleUse(account).bytes
      most = Math.min(most, Math.max(visible, counted + room))
    }
    return most
  }

  /** A file gets a stream, in this turn. May fault. */
  streamOpened(node: Node, stream: Stream): void {
    if (!this.#files.has(node.inode.ino)) this.#files.set(node.inode.ino, this.#useOf(node, stream))
  }

  #useOf(node: Node, stream: Stream): FileUse {
    const { sizeBytes } = node.inode
    const visibleBytes = stream.attributes.sizeBytes
    const isOrphan = node.home === 'orphan' || node.home === 'removed'
    return { owner: this.ownerOf(node), recordedBytes: sizeBytes, visibleBytes, isOrphan, isDoomed: false }
  }

  /** A stream was written to, or cut, in this turn. */
  streamChanged(stream: Stream): void {
    const { ino } = stream
    const file = this.#files.get(ino)
    assert(file !== undefined, `quotas know of the stream of inode ${ino}`)
    const { sizeBytes } = stream.attributes
    const moreBytes = sizeBytes - file.visibleBytes
    if (moreBytes === 0) return
    file.visibleBytes = sizeBytes
    if (file.isDoomed) return
    for (const account of this.ledger.accountsOf(file.owner)) {
      if (this.ledger.placeOf(account, ino) === 'nowhere') continue
      account.pendingBytes += moreBytes
      warnOf(this.#context(), this.ledger, account)
    }
  }

  /** Write-back is about to record that a file is so long. */
  recorded(use: UseChanges, ino: number, sizeBytes: number): void {
    const file = this.#files.get(ino)
    assert(file !== undefined, `quotas know of the stream of inode ${ino}`)
    const bytes = sizeBytes - file.recordedBytes
    if (bytes === 0) return
    use.add(file.owner, ino, { bytes, inodes: 0, pendingBytes: -bytes, pendingInodes: 0 })
    use.afterwards(() => {
      file.recordedBytes = sizeBytes
    })
  }

  /** A stream was recorded: where nothing was done to it since, it is no more. */
  streamRecorded(ino: number): void {
    const file = this.#files.get(ino)
    if (file === undefined || file.isOrphan || this.#context().streams.get(ino) !== undefined) return
    assert(file.recordedBytes === file.visibleBytes, `all of inode ${ino} is recorded`)
    this.#files.delete(ino)
  }

  hasStream(ino: number): boolean {
    return this.#files.has(ino)
  }

  /** Of all accounts, what streams hold: where it is not certain that it was kept up to date. */
  recountPending(): void {
    const { ledger } = this
    for (const account of ledger) {
      account.pendingBytes = 0
      account.pendingInodes = 0
    }
    for (const [ino, file] of this.#files) this.#addPending(ino, file.owner, pendingOf(file), 1)
  }

  /** A file comes to count in a tree too: it lay in the realm around it. */
  relocate(ino: number, realm: number): void {
    const file = this.#files.get(ino)
    if (file !== undefined) file.owner = { ...file.owner, realm }
  }

  // Names across realms.

  /** The realm that names in a directory are in, as renames and links go: while a tree is being counted, all of it is one. May
   *  fault. */
  namesRealm({ ino, realm }: DirectoryRecord): number {
    const { counted, ledger } = this
    const here = ledger.effective(realm)
    if (counted === null || here !== ledger.around(counted.key)) return here
    return this.#context().metadata.isWithin(ino, counted.quota.directory) ? counted.key : here
  }

  /** Whether a directory, with what is in it, does not count yet in the tree that is being counted. */
  #isUncounted({ ino, realm }: Inode): boolean {
    const { counted, ledger } = this
    if (counted === null) return false
    const around = ledger.around(counted.key)
    const here = ledger.effective(realm)
    if (here === around) return true
    return here !== counted.key && ledger.treeAt(ino)?.key === here && ledger.around(here) === around
  }

  /** A name goes to a place in another directory, or in its own. */
  renamed(
    use: UseChanges,
    transaction: Transaction,
    source: Node,
    { directory, key }: { directory: DirectoryRecord; key: number },
  ): void {
    const { inode, home } = source
    if (!isDirectory(inode.mode)) {
      const owner = this.ownerOf(source)
      const realm = home === 'shared' ? this.#sharedRealm(owner.realm, directory, key) : this.realmAt(directory, key)
      if (home === 'shared' && realm !== owner.realm) {
        inode.realm = realm
        this.#context().metadata.put(transaction, source)
      }
      this.moved(use, inode, owner, { ...owner, realm })
      return
    }
    // The walk may have passed where it goes to.
    const realm = this.counted?.key
    if (realm !== undefined && this.#isUncounted(inode) && this.namesRealm(directory) === realm)
      transaction.put(QUOTA_WALK, 0, inode.ino, encodeQuotaWalk({ realm, nextKey: 0 }))
  }

  /** A file gets another name, here. Returns the realm it is in then. EXDEV; may fault. */
  linked(use: UseChanges, node: Node, { directory, key }: { directory: DirectoryRecord; key: number }): number {
    const owner = this.ownerOf(node)
    if (node.home === 'dentry')
      this.assertOneRealm(this.#context().metadata.directoryRecord(node.directory as Ino), directory)
    else if (owner.realm !== this.namesRealm(directory)) throw errnoError('EXDEV')
    const realm = this.#sharedRealm(owner.realm, directory, key)
    this.moved(use, node.inode, owner, { ...owner, realm })
    return realm
  }

  /** The realm of a file with several names that gets one here. In a tree that is being counted the walk may meet none of them
   *  any more: where this place is counted, so is the file from then on. */
  #sharedRealm(realm: number, directory: DirectoryRecord, key: number): number {
    const { counted, ledger } = this
    if (counted === null || realm !== ledger.around(counted.key)) return realm
    return this.realmAt(directory, key) === counted.key ? counted.key : realm
  }

  /** What is left where an inode lies, as the nearest limits around it have it; null: nothing is limited. May fault. */
  spaceAt(ino: Ino): { bytes: Space | null; inodes: Space | null } {
    const { ledger } = this
    const node = this.#context().metadata.nodeOf(ino)
    let bytes: Space | null = null
    let inodes: Space | null = null
    const accounts = [...ledger.treesAround(this.realmOf(node))]
    const ofVolume = ledger.get(QUOTA_TREE, VOLUME_REALM)
    if (ofVolume !== undefined) accounts.push(ofVolume)
    for (const account of accounts) {
      if (!binds(account)) continue
      const use = ledger.visibleUse(account)
      bytes = spaceWithin(bytes, account.quota.bytesLimit, use.bytes)
      inodes = spaceWithin(inodes, account.quota.inodesLimit, use.inodes)
    }
    return { bytes, inodes }
  }

  /** EXDEV where a directory, or a file with more names than one, would come to lie in another realm: what else there is of them
   *  would have to move too. May fault. */
  assertMayMove({ inode, home }: Node, from: DirectoryRecord, to: DirectoryRecord): void {
    if (home === 'shared' || isDirectory(inode.mode)) this.assertOneRealm(from, to)
  }

  /** EXDEV where names would lie in different realms. May fault. */
  assertOneRealm(from: DirectoryRecord, to: DirectoryRecord): void {
    if (from.ino !== to.ino && this.namesRealm(from) !== this.namesRealm(to)) throw errnoError('EXDEV')
  }
}

const NOTHING_PENDING = { pendingBytes: 0, pendingInodes: 0 }

/** What counts of a file more than its record says. */
function pendingOf({ isDoomed, recordedBytes, visibleBytes }: FileUse): Pick<Amount, 'pendingBytes' | 'pendingInodes'> {
  return isDoomed
    ? { pendingBytes: -recordedBytes, pendingInodes: -1 }
    : { pendingBytes: visibleBytes - recordedBytes, pendingInodes: 0 }
}

function spaceWithin(inner: Space | null, limit: number | null, used: number): Space | null {
  if (limit === null) return inner
  const free = Math.max(0, limit - used)
  return inner === null ? { total: limit, free } : { total: inner.total, free: Math.min(inner.free, free) }
}

/** Applies a transaction, with what it changes of use: EDQUOT, ENOSPC. */
export function applyWith({ database }: Context, transaction: Transaction, use: UseChanges | null): void {
  if (use === null) database.apply(transaction)
  else use.apply(transaction)
}
