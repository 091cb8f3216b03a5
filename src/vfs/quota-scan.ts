// Counting over all inodes, in order of their inos: for limits on a uid, a gid or the volume, and to check all limits.
//
// The model: PARENTS, SHARED and ORPHANS name every inode but the root. They are gone through a batch at a time. Within a batch inodes
// are looked at where they lie, directory by directory, and what counts is tallied in memory (quota-ledger.ts says how changes
// meanwhile find their account). When a batch ends, its tallies go into the rows, which say that all inodes below its end
// count in them from then on: after a crash counting goes on there. A check's tallies stay in memory until all is counted.
//
// Must stay true: an inode below `scan.end` that was not in the tables when its part of them was read is taken to have been
// looked at: it comes to be with all that it counts.
import { ORPHANS, PARENTS, ROOT_INO, SHARED } from '../meta/index.ts'
import { readU64 } from '../platform/index.ts'
import type { Background } from './background.ts'
import type { Context } from './context.ts'
import { applyWith } from './quota.ts'
import { type Account, isTree, type Scan, type Use } from './quota-ledger.ts'

/** Rows of each table are read so many times faster than inodes are looked at. */
const ROWS_PER_STEP = 8
/** What a batch takes of memory is some 100 bytes for each inode; a step is what is looked at in one turn. */
const STEPS_PER_BATCH = 128
const END = Number.MAX_SAFE_INTEGER

/** Where an inode lay when its row was read. */
interface Lying {
  ino: number
  directory: number
  key: number
}

/** The accounts that are to be counted next, together; none when there are none. */
export function accountsToCount(accounts: Iterable<Account>): Account[] {
  const counting = [...accounts].filter((account) => account.quota.isCounting && !isTree(account))
  const from = Math.min(...counting.map(({ quota }) => quota.countedBelow))
  return counting.filter(({ quota }) => quota.countedBelow === from)
}

export interface ScanOptions {
  background: Background
  /** False: it is given up. */
  mayGoOn: () => boolean
}

/** Counts these accounts to the end, unless it is given up. */
export async function countAll(context: Context, accounts: readonly Account[], options: ScanOptions): Promise<void> {
  const scan = newScan(accounts, { isCheck: false, from: accounts[0]!.quota.countedBelow })
  await scanInodes(context, scan, { ...options, batchEnded: () => putTallies(context, scan) })
}

export interface Recount {
  account: Account
  counted: Use
  /** By the row, at the same moment. */
  recorded: Use
}

/** Counts all that there is against all limits. Null where it was given up. */
export async function recountAll(context: Context, options: ScanOptions): Promise<Recount[] | null> {
  const { ledger } = context.quotas
  const scan = newScan([...ledger], { isCheck: true, from: 0 })
  let recounts: Recount[] | null = null
  await scanInodes(context, scan, {
    ...options,
    batchEnded: () => {
      if (scan.end < END) return
      recounts = [...scan.tallies].map(([account, { bytes, inodes }]) => ({
        account,
        counted: { bytes, inodes },
        recorded: { bytes: account.quota.bytesUsed, inodes: account.quota.inodesUsed },
      }))
    },
  })
  return recounts
}

function newScan(accounts: readonly Account[], { isCheck, from }: { isCheck: boolean; from: number }): Scan {
  const tallies = new Map(accounts.map((account) => [account, { bytes: 0, inodes: 0 }]))
  return { isCheck, tallies, end: from, left: new Set() }
}

async function scanInodes(
  context: Context,
  scan: Scan,
  { background, mayGoOn, batchEnded }: ScanOptions & { batchEnded: () => void },
): Promise<void> {
  const { countingStep, database, quotas } = context
  quotas.ledger.scan = scan
  try {
    while (scan.end < END && mayGoOn()) {
      const batch: Lying[][] = []
      let left = STEPS_PER_BATCH * countingStep
      while (scan.end < END && left > 0 && mayGoOn()) {
        const read = await database.run(() => readTurn(context, scan))
        batch.push(read.sort(byPlace))
        left -= read.length
        await background.turn()
      }
      for (const inos of merged(batch, countingStep)) {
        if (!mayGoOn()) return
        await database.run(() => lookAt(context, scan, inos))
        await background.turn()
      }
      if (!mayGoOn()) return
      batchEnded()
    }
  } finally {
    quotas.ledger.scan = null
    quotas.recountPending()
  }
}

function byPlace(a: Lying, b: Lying): number {
  return a.directory - b.directory || a.key - b.key
}

/** The inos of sorted lists in one order, so many at a time: to sort all of a batch would take a long turn. */
function* merged(lists: readonly Lying[][], size: number): Generator<number[]> {
  const at = lists.map(() => 0)
  for (;;) {
    const inos: number[] = []
    while (inos.length < size) {
      let next = -1
      for (const [list, lying] of lists.entries()) {
        const here = lying[at[list]!]
        if (here !== undefined && (next < 0 || byPlace(here, lists[next]![at[next]!]!) < 0)) next = list
      }
      if (next < 0) break
      inos.push(lists[next]![at[next]!++]!.ino)
    }
    if (inos.length === 0) return
    yield inos
  }
}

/** Reads the next rows of the three tables, as far as all three are known: moves `scan.end`. A synchronous operation for `run`. */
function readTurn({ countingStep, database }: Context, scan: Scan): Lying[] {
  const from = scan.end
  const found: Lying[] = []
  let end = END
  for (const kind of [PARENTS, SHARED, ORPHANS]) {
    let rows = 0
    database.table(kind).scan(from, END, (ino, bytes, start) => {
      if (rows++ === ROWS_PER_STEP * countingStep) {
        end = Math.min(end, ino)
        return false
      }
      const isNamed = kind === PARENTS
      found.push({
        ino,
        directory: isNamed ? readU64(bytes, start) : 0,
        key: isNamed ? readU64(bytes, start + 8) : ino,
      })
      return true
    })
  }
  const known = found.filter(({ ino }) => ino < end)
  if (from <= ROOT_INO) known.push({ ino: ROOT_INO, directory: 0, key: 0 })
  for (const { ino } of known) scan.left.add(ino)
  scan.end = end
  return known
}

/** Adds to the tallies what there is of these inodes. A synchronous operation for `run`. */
function lookAt({ metadata, quotas }: Context, scan: Scan, inos: readonly number[]): void {
  const found = inos.map((ino) => {
    const node = scan.left.has(ino) ? metadata.nodeIfAny(ino) : null
    return node === null || node.home === 'removed'
      ? null
      : { owner: quotas.ownerOf(node), amount: quotas.amountOf(node.inode) }
  })
  for (const ino of inos) scan.left.delete(ino)
  for (const each of found) {
    if (each === null) continue
    const { bytes, inodes, pendingBytes, pendingInodes } = each.amount
    for (const account of quotas.ledger.accountsOf(each.owner)) {
      if (!scan.tallies.has(account)) continue
      quotas.ledger.tally(account, bytes, inodes)
      if (scan.isCheck) continue
      account.pendingBytes += pendingBytes
      account.pendingInodes += pendingInodes
    }
  }
}

/** What was counted goes into the rows. */
function putTallies(context: Context, scan: Scan): void {
  const { database, quotas } = context
  const use = quotas.changes()
  if (use === null) return
  for (const [account, { bytes, inodes }] of scan.tallies) {
    use.count(account, { bytes, inodes, pendingBytes: 0, pendingInodes: 0 })
    use.patch(account, scan.end < END ? { countedBelow: scan.end } : { isCounting: false, countedBelow: 0 })
    use.afterwards(() => scan.tallies.set(account, { bytes: 0, inodes: 0 }))
  }
  applyWith(context, database.transaction(), use)
}
