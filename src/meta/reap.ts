// Dropping inodes that have no name and no user: their extents, then their large xattrs and their row in ORPHANS.
import type { Database, Transaction } from '../tables/index.ts'
import { dropExtents } from './file-extents.ts'
import { decodeInode, encodeInode, type Inode } from './inode-record.ts'
import { ORPHANS } from './table-kinds.ts'
import { UsageChanges } from './usage.ts'
import { dropXattrTable } from './xattrs.ts'

/** Extents dropped in one turn: some milliseconds of work. */
const EXTENTS_PER_TURN = 4096

export interface ReapHooks {
  /** The transaction takes this one away. */
  gone: (inode: Inode) => void
  apply: (transaction: Transaction) => void
}

/** Drops as much of these orphans as one turn may; returns those not yet gone. A synchronous operation for `run`. */
export function reapTurn(database: Database, inos: readonly number[], { gone, apply }: ReapHooks): number[] {
  const transaction = database.transaction()
  const usage = new UsageChanges()
  const orphans = database.table(ORPHANS)
  let budget = EXTENTS_PER_TURN
  let done = 0
  const left: number[] = []
  for (const ino of inos) {
    if (budget <= 0) break
    const record = orphans.get(ino)
    if (record !== null) {
      const inode = decodeInode(record, 0)
      const before = inode.allocatedBytes
      const isGone = dropExtents(database, transaction, usage, inode, budget)
      budget -= before === 0 ? 1 : 8 + (inode.extents === null ? EXTENTS_PER_TURN : 0)
      if (isGone) {
        dropXattrTable(transaction, inode)
        transaction.delete(ORPHANS, 0, ino)
        gone(inode)
      } else {
        transaction.put(ORPHANS, 0, ino, encodeInode(inode))
        left.push(ino)
      }
    }
    done++
  }
  usage.putInto(database, transaction)
  if (done > 0) apply(transaction)
  return [...left, ...inos.slice(done)]
}

/** The inos in ORPHANS, from `from` on, at most `limit`. */
export function orphanInos(database: Database, from: number, limit: number): number[] {
  const inos: number[] = []
  database.table(ORPHANS).scan(from, Number.MAX_SAFE_INTEGER, (ino) => {
    inos.push(ino)
    return inos.length < limit
  })
  return inos
}
