// Limits on what a volume, a directory tree, an owner or a group may use (DESIGN section 8), as the operations see them.
//
// The model: whoever changes what is used says so in his commit turn, before anything is changed: `charge` checks all limits
// above the change against visible use, throws, or takes note. There is no await between a check and what it allows, so
// nothing overshoots. Visible use is recorded use (the rows of QUOTA_TREE, QUOTA_UID, QUOTA_GID, which change in the commit
// that records a size or an inode) and what streams hold unrecorded.
//
// Must stay true:
// - What is refused leaves nothing behind: every check of an operation comes before its first change.
// - Where no limit is set and nobody counts, a charge costs one look at a flag.
// - Both ends of a change are known: what one file gains, another place does not lose by accident. `quota check` recounts.
import type { Ino, Node } from '../meta/index.ts'
import type { Transaction } from '../tables/index.ts'

/** What is limited: `tree` by the ino of its topmost directory, `uid` and `gid` by number. */
export type QuotaSubject =
  | { kind: 'volume' }
  | { kind: 'tree'; ino: Ino }
  | { kind: 'uid'; id: number }
  | { kind: 'gid'; id: number }

export interface QuotaLimits {
  /** Null: none. */
  bytes: number | null
  inodes: number | null
}

export interface QuotaReport extends QuotaLimits {
  subject: QuotaSubject
  bytesUsed: number
  inodesUsed: number
  /** While it is being counted: how many inodes so far. Its limits bind when that is done. */
  counting: { inodes: number } | null
}

/** Whose use changes. `realm`: of the directory a file is in, or of the directory itself; 0: none. */
export interface Owner {
  realm: number
  uid: number
  gid: number
}

export interface Quotas {
  /** Whether anything is limited or counted: else there is nothing to ask. */
  readonly isActive: boolean
  /** Checks that `owner` may use so much more (less: never refused), and puts the rows that say so into the transaction, which is
   *  to be applied in this turn. ENOSPC for the volume, EDQUOT for all else. Uid 0 is not exempt. */
  charge(transaction: Transaction, owner: Owner, change: { bytes: number; inodes: number }): void
  /** Checks that a stream may hold `bytes` more of a file than it does; nothing is recorded yet. */
  check(owner: Owner, bytes: number): void
  /** Of a node: for files that of the directory that names them, or of their row. */
  realmOf(node: Node): number
}
