// What the families of operations share: the layers below, the visible attributes of inodes, and the checks that open
// every change. One per filesystem.

import type { Stream, StreamAttributes, Streams } from '../data/index.ts'
import {
  CAPABILITY_XATTR,
  encodeInode,
  hasInlineXattr,
  IN_ORPHANS,
  type Ino,
  type Inode,
  type Metadata,
  type NameKeys,
  type Node,
  ORPHANS,
} from '../meta/index.ts'
import { type Clock, errnoError, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { SegmentStore } from '../segments/index.ts'
import type { Database, Transaction } from '../tables/index.ts'
import type { Defragmenter } from './defragmenter.ts'
import type { Entry } from './filesystem.ts'
import type { Served } from './guards.ts'
import type { HandOver, PageCache } from './hand-over.ts'
import type { Handles } from './handles.ts'
import { placeOf } from './place.ts'
import { applyWith, type Quotas } from './quota.ts'
import type { UseChanges } from './quota-changes.ts'
import type { QuotaCounter } from './quota-counter.ts'
import type { Reaper } from './reaper.ts'
import type { StaleNames } from './stale-names.ts'
import { visibleAttributes } from './visible.ts'
import type { Walks } from './walks.ts'
import type { Writeback } from './writeback.ts'

export type Log = (level: 'info' | 'warn' | 'error', message: string) => void

export interface FilesystemOptions {
  database: Database
  streams: Streams
  segments: SegmentStore
  clock: Clock
  /** From names to their keys in directories: by the hash key of volume.json. */
  nameKeys: NameKeys
  log: Log
  readOnly?: boolean
  /** A commit begins this long after the first change: mount option `commit`; 5 s unless told. */
  commitIntervalMs?: number
  /** How long an O_TRUNC truncation is held at most; 30 s unless told. */
  truncateHoldMs?: number
  /** How long segments are kept after nothing uses them any more; an hour unless told. */
  graceMs?: number
  /** How much file data a commit carries at most; 1 MiB unless told. */
  inlineBytesMax?: number
  /** Extents from this length on are shared by copies; 64 KiB unless told. */
  shareMinBytes?: number
  /** How much memory directories may take that are loaded ahead of who walks through a tree; 16 MiB unless told, 0: none is. */
  walkAheadBytes?: number
  /** How many entries are looked at in one turn when use is counted for quotas; 500 unless told. */
  countingStep?: number
  /** Most that is fetched ahead of one reader of a file; 64 MiB unless told, 0: nothing is. */
  maxReadAheadBytes?: number
  /** A name went by another spelling than the stored one: whoever cached it is to forget it, and has when the promise resolves
   *  (it never rejects). Called in the turn of the change; `name` is the callee's. Also where names in a directory begin to
   *  fold: with the directory's own name, or null for the root directory, in place of which all names may be forgotten. */
  onNameGone?: (parent: Ino, name: Buffer | null) => Promise<void> | void
  /** Takes bytes of files, for readers in no order; nobody does unless told. */
  pageCache?: PageCache
  /** Whether the root directory of a volume that has none yet folds names. */
  casefold?: boolean
  /** Who calls holds back what programs write: no limit could then be kept, and a volume that has any does not start. */
  kernelWritesBack?: boolean
}

export interface Context {
  readonly database: Database
  readonly metadata: Metadata
  readonly streams: Streams
  readonly segments: SegmentStore
  readonly clock: Clock
  readonly log: Log
  readonly readOnly: boolean
  readonly kernelWritesBack: boolean
  readonly handles: Handles
  readonly handOver: HandOver
  readonly writeback: Writeback
  readonly reaper: Reaper
  readonly quotas: Quotas
  readonly quotaCounter: QuotaCounter
  readonly defragmenter: Defragmenter
  readonly walks: Walks
  readonly shareMinBytes: number
  readonly countingStep: number
  readonly onNameGone: (parent: Ino, name: Buffer | null) => Promise<void> | void
  readonly staleNames: StaleNames
  /** Files that were made without a name, and may get one. */
  readonly linkable: Set<number>
  /** Of immutable and append-only files that somebody has open for writing: which of these they are. */
  readonly protectedWritten: Map<number, number>
  readonly served: Served
  /** Files with file capabilities whose stream is there: a write looks at their inode again. */
  readonly capable: Set<number>
}

/** The sole writer's kernel may believe what it was told: nobody else changes it. */
export const TTL_SEC = 3600
/** How long the kernel may believe that a name leads where it does. `stored` is the name's spelling in the directory, null
 *  where it was just made so: any other spelling is asked for again each time, so that at most one name is to be taken back
 *  when the entry goes. */
export function entryTtlOf(asked: Uint8Array, stored: Uint8Array | null): number {
  return stored === null || Buffer.compare(asked, stored) === 0 ? TTL_SEC : 0
}

/** Offsets and sizes end here: numbers stay exact. */
export const FILE_SIZE_MAX = Number.MAX_SAFE_INTEGER
/** Names of one file, as ext4 limits them. */
export const LINK_MAX = 65_000

export function run<T>(context: Context, operation: () => T): MaybePromise<T> {
  return context.database.run(operation)
}

/** EROFS on a read-only mount, and after a write that could not be made. */
export function assertWritable(context: Context): void {
  const { database, readOnly, writeback } = context
  const hasFailed = writeback.failure !== null || database.failure !== null
  if (readOnly || (hasFailed && ruleHolds('a journal that failed takes no changes'))) throw errnoError('EROFS')
}

export function entryOf(context: Context, node: Node, entryTtlSec = TTL_SEC): Entry {
  return { attributes: visibleAttributes(context, node), entryTtlSec, attributeTtlSec: TTL_SEC }
}

/** The stream of a file, begun with what is recorded when there is none. In a turn in which nothing more is read. What changes bytes
 *  has taken away the file's capabilities before; what sets times leaves them, and the next write must look for them. */
export function openStream(context: Context, node: Node): Stream {
  const { ino, sizeBytes, mtime, ctime } = node.inode
  const { quotas, streams } = context
  const recorded: StreamAttributes = { sizeBytes, mtime, ctime, atime: null }
  if (node.home === 'removed') {
    const transaction = context.database.transaction()
    const use = quotas.changes()
    makeOrphan(context, transaction, use, node.inode)
    applyWith(context, transaction, use)
  }
  const stream = streams.get(ino) ?? streams.open(ino, recorded)
  if (hasInlineXattr(node.inode, CAPABILITY_XATTR)) context.capable.add(ino)
  if (quotas.isActive) quotas.streamOpened(node, stream)
  return stream
}

/** A file that is in memory alone gets bytes, or a table: from now on there is something to be dropped when nobody uses it. The
 *  transaction is applied in this turn, with `use`. EDQUOT, ENOSPC, with nothing changed. */
export function makeOrphan(context: Context, transaction: Transaction, use: UseChanges | null, inode: Inode): void {
  const { metadata, quotas, reaper, writeback } = context
  if (use !== null) quotas.made(use, inode, quotas.ledger.effective(inode.realm))
  use?.check()
  transaction.put(ORPHANS, 0, inode.ino, encodeInode(inode))
  metadata.removed.delete(inode.ino)
  metadata.places.move(inode.ino, IN_ORPHANS, 0)
  reaper.orphaned(inode.ino)
  writeback.changed()
}

/** Counts a reference for an entry given out. */
export function reference(context: Context, node: Node): void {
  const { ino } = node.inode
  const { directory, key } = placeOf(node)
  context.metadata.places.reference(ino, directory, key)
}
