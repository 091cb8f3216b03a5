// Mending: transactions on a volume that may be inconsistent anywhere. What a fix wants to change it reads again in the
// turn of the change, and leaves alone when it is no longer as the check found it.
//
// Must stay true:
// - Each fix is one transaction: a crash between any two leaves a volume that a next run mends.
// - Nothing that can be read is dropped: what cannot stay where it is goes to lost+found.
import {
  DIRECTORY,
  DOT_KEY,
  decodeInode,
  dentryIno,
  dentryName,
  dentryType,
  encodeDentry,
  isDirectory,
  Metadata,
  parentOf,
  ROOT_INO,
} from '../../meta/index.ts'
import { type Clock, FsError } from '../../platform/index.ts'
import type { SegmentStore } from '../../segments/index.ts'
import type { CheckpointHooks, Transaction, WritableDatabase } from '../../tables/index.ts'
import type { CheckContext } from './context.ts'
import { FileRepair } from './file-repair.ts'
import type { Found } from './findings.ts'
import { NameRepair } from './name-repair.ts'
import type { Survey } from './survey.ts'

/** An open commit of this size is closed. */
const COMMIT_BYTES = 4 << 20

export class Repair {
  readonly names: NameRepair
  readonly files: FileRepair
  readonly metadata: Metadata
  readonly database: WritableDatabase
  readonly segments: SegmentStore
  readonly clock: Clock
  readonly survey: Survey

  constructor(context: CheckContext, database: WritableDatabase) {
    this.database = database
    this.segments = context.segments
    this.clock = context.clock
    this.survey = context.survey
    this.metadata = new Metadata({ database, nameKeys: context.nameKeys })
    this.names = new NameRepair(this)
    this.files = new FileRepair(this)
  }

  /** Builds a transaction, as often as pages must be loaded for it, and applies it. */
  async change(build: (transaction: Transaction) => void): Promise<void> {
    const { database } = this
    await database.run(() => {
      const transaction = database.transaction()
      build(transaction)
      database.apply(transaction)
    })
  }

  /** Applies fixes, one after the other. What meets a page that cannot be read waits for the next round. */
  async apply(found: readonly Found[]): Promise<void> {
    for (const { fix } of found) await this.#try(() => fix?.(this))
    for (const mark of this.files.takeLost()) await this.#try(mark)
  }

  async #try(fix: () => Promise<void> | void): Promise<void> {
    try {
      await fix()
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'EIO' || this.database.failure !== null) throw error
    }
    if (this.database.openCommitBytes > COMMIT_BYTES) await this.database.commit()
  }

  readonly hooks: CheckpointHooks = {
    repoint: (data) => this.files.moveData(data.map(({ id }) => id)),
    derive: (view, changed, out) => {
      for (const { kind, owner } of changed) {
        if (kind !== DIRECTORY || owner === ROOT_INO) continue
        const own = view.table(DIRECTORY, owner).getChanged(DOT_KEY)
        const parent = own === undefined || own === null ? null : parentOf(view, owner)
        if (own === undefined || own === null || parent === null) continue
        const dentry = view.table(DIRECTORY, parent.directory).get(parent.key)
        // Where the tables do not agree, the next round says so.
        if (dentry === null || dentryIno(dentry, 0) !== owner || !isDirectory(dentryType(dentry, 0))) continue
        const copy = encodeDentry(dentryName(dentry, 0), decodeInode(own, 0))
        if (!copy.equals(dentry)) out.put(DIRECTORY, parent.directory, parent.key, copy)
      }
    },
  }
}
