// The "." of a directory, read in place: what a change of the names in it asks of it, and does to it. Every create and every
// unlink needs it, so it is neither decoded nor encoded: the record is copied, with other times.
//
// Must stay true: it holds a view of a record, and is valid in its turn only.
import type { Timespec } from '../platform/index.ts'
import type { Transaction } from '../tables/index.ts'
import type { Ino } from './attributes.ts'
import {
  decodeInode,
  type Inode,
  inodeFlags,
  mayHaveXattrs,
  recordGid,
  recordMode,
  recordRealm,
  touchedRecord,
} from './inode-record.ts'
import { DOT_KEY } from './name-keys.ts'
import { DIRECTORY } from './table-kinds.ts'

export class DirectoryRecord {
  readonly ino: Ino
  /** It has no name any more, and no entries: it is there for those who still refer to it. */
  readonly isRemoved: boolean
  readonly #bytes: Buffer

  /** `bytes` begin with the inode's record. */
  constructor(ino: Ino, bytes: Buffer, isRemoved = false) {
    this.ino = ino
    this.#bytes = bytes
    this.isRemoved = isRemoved
  }

  get mode(): number {
    return recordMode(this.#bytes, 0)
  }

  get gid(): number {
    return recordGid(this.#bytes, 0)
  }

  get realm(): number {
    return recordRealm(this.#bytes, 0)
  }

  get flags(): number {
    return inodeFlags(this.#bytes, 0)
  }

  /** False only where it has no extended attributes. */
  get mayHaveXattrs(): boolean {
    return mayHaveXattrs(this.#bytes, 0)
  }

  inode(): Inode {
    return decodeInode(this.#bytes, 0)
  }

  /** Names in it came or went: its times change, and its links by the subdirectories that came. */
  touch(transaction: Transaction, now: Timespec, moreLinks = 0): void {
    transaction.put(DIRECTORY, this.ino, DOT_KEY, touchedRecord(this.#bytes, 0, now, moreLinks))
  }
}
