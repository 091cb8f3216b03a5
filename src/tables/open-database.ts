// Opening a database: taking the slot, replaying what earlier tenures left, putting `root`; and the Database that the
// layers above hold.
//
// Taking the slot, in this order (each step is safe to die after):
//   1. raise the epoch in writers/ by If-Match (writer-slot.ts);
//   2. read `root`; replay from scratch the tenures it lists; seal the one it names (seal.ts), unless its holder released
//      the slot with all contained;
//   3. put `root` with our epoch and our id ranges and the tenures not wholly contained, by If-Match; if that fails, back
//      to 2. Only then serve.
//
// Must stay true: nothing is written but writers/ and seals before step 3 took effect; a `root` whose epoch is not below
// ours means that we were overtaken.
import { ok as assert } from 'node:assert'
import { FsError, ruleHolds } from '../platform/index.ts'
import type { PagePacker, SegmentId } from '../segments/index.ts'
import { type Etag, type ObjectStore, StoreError } from '../store/index.ts'
import { type CheckpointContext, type LeftOver, writeCheckpoint } from './checkpoint.ts'
import { journalKey } from './commit-format.ts'
import type {
  CheckpointHooks,
  CommitData,
  Database,
  DatabaseStatus,
  DeletedPages,
  IdSort,
  Transaction,
} from './database.ts'
import type { EngineTransaction } from './engine.ts'
import { type DatabaseOptions, EngineDatabase, ReadOnlyDatabase, type Replay } from './engine-database.ts'
import { IdRanges } from './id-ranges.ts'
import type { Inspector, TableRepair } from './inspect.ts'
import { TableInspector } from './inspector.ts'
import { JournalWriter } from './journal-writer.ts'
import { mendTables } from './mend.ts'
import { PageCleaner } from './page-cleaner.ts'
import { encodeRoot, NEW_ROOT, ROOT_KEY, type Root, type Tenure } from './root.ts'
import { readRoot, replaceRoot } from './root-object.ts'
import { salvageTenures } from './salvage.ts'
import { type FoundTenures, readTenures, type SealOrder } from './seal.ts'
import {
  describeTaker,
  EMPTY_SLOT,
  encodeSlot,
  type Holder,
  type Judgement,
  type SlotState,
  slotKey,
  WriterSlot,
} from './writer-slot.ts'

const CHECKPOINT_JOURNAL_BYTES = 64 << 20
const CHECKPOINT_JOURNAL_OBJECTS = 1000
const CHECKPOINT_AGE_MS = 60_000
const SLOT = 0
/** Changes wait while this much is in commits not yet acknowledged. */
const UNACKNOWLEDGED_BYTES_MAX = 64 << 20
/** Changes wait while they take this much more than makes a checkpoint due. */
const FULL_FACTOR = 1.5
/** The last checkpoint may itself leave a little (what its hooks changed, a trim that failed). */
const CLOSE_ROUNDS = 5

export interface WriterOptions {
  /** Who we are; the session is made here. */
  holder: Omit<Holder, 'session'>
  leaseMs: number
  judge: (holder: Holder) => Promise<Judgement>
  takeOver: boolean
  /** Called when the journal cannot be written, and when the slot was lost. */
  onFailure: (error: FsError) => void
}

/** Puts `root` and the slot of a new volume, which has no tables yet. Throws FsError EEXIST where there are some
 *  already: of two formats at once one fails. */
export async function formatDatabase(store: ObjectStore, volumeUuid: Buffer): Promise<void> {
  const body = encodeRoot(volumeUuid, NEW_ROOT)
  try {
    await store.putIfAbsent(ROOT_KEY, [body])
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
    const isOurs = (await store.get(ROOT_KEY)).body.equals(body)
    if (!isOurs) throw new FsError('EEXIST', 'the volume is being formatted by somebody else too: try again later')
  }
  await store.put(slotKey(SLOT), [encodeSlot(EMPTY_SLOT)])
}

/** Opens a database for writing: takes the slot, replays, puts `root`. Throws FsError EBUSY when it is held. */
export async function openDatabase(options: DatabaseOptions, writer: WriterOptions): Promise<WritableDatabase> {
  const session = options.random.bytes(16)
  let database: WritableDatabase | null = null
  const { slot, before } = await WriterSlot.take({
    ...writer,
    store: options.store,
    clock: options.clock,
    slot: SLOT,
    holder: { ...writer.holder, session: session.toString('hex') },
    log: options.log,
    onLost: (by) => database?.lost(by),
  })
  // From here on: replaying a long journal may take longer than the lease.
  slot.startHeartbeat()
  try {
    database = await takeRoot(options, writer, { slot, before, session })
    return database
  } catch (error) {
    // We have no commits: whoever comes next replays, and seals, what we found.
    await slot.release(0).catch((cause: Error) => options.log('warn', `the slot is not released: ${cause.message}`))
    throw error
  }
}

/** Steps 2 and 3. */
async function takeRoot(
  options: DatabaseOptions,
  writer: WriterOptions,
  { slot, before, session }: { slot: WriterSlot; before: SlotState; session: Buffer },
): Promise<WritableDatabase> {
  const { epoch } = slot
  for (;;) {
    const { root, etag } = await readRoot(options)
    if (root.epoch >= epoch && ruleHolds('a root of a higher epoch ends the taking'))
      throw new FsError('EBUSY', `another mount took the volume at the same time: try again`)
    const isClean =
      before.released !== null &&
      before.epoch === root.epoch &&
      root.tenures.every((tenure) => tenure.epoch === before.epoch && tenure.firstSeq > (before.released?.lastSeq ?? 0))
    const listed = ruleHolds('all tenures that root lists are replayed') ? root.tenures : root.tenures.slice(-1)
    const tenures = isClean ? [] : listed
    const sealed = ruleHolds('the seal goes where root says') ? root.epoch : before.epoch
    const seal = ruleHolds('the old tenure is sealed') ? { epoch: sealed, sealAs: { epoch, session } } : null
    const found = await readJournal(options, tenures, seal).catch(async (error: unknown) => {
      // Whoever had the slot may have made a checkpoint meanwhile, and trimmed: then root has moved on.
      if ((await readRoot(options)).etag === etag) throw inWords(error)
      return null
    })
    if (found === null) continue
    const ids = new IdRanges(SLOT, root.idRanges)
    const next: Root = {
      ...root,
      number: root.number + 1,
      epoch,
      session,
      tenures: [
        ...found.tenures.filter(
          ({ firstSeq, sealSeq }) => sealSeq !== firstSeq && ruleHolds('root lists tenures until they are contained'),
        ),
        { epoch, firstSeq: 1, sealSeq: null },
      ],
      idRanges: ids.plan('extend'),
    }
    const isNamed = ruleHolds('an epoch stands in root before it has commits')
    const put = isNamed ? await replaceRoot(options, next, etag) : { root: next, etag }
    if (put === null) continue
    ids.reserved(next.idRanges)
    if (found.commits.length > 0) {
      options.log(
        'info',
        `replayed ${found.commits.length} journal objects of epochs ${[...new Set(tenures.map((tenure) => tenure.epoch))].join(', ')}`,
      )
    }
    return new WritableDatabase(options, writer, {
      ...put,
      slot,
      ids,
      session,
      replay: found,
      oldKeys: found.commitKeys,
    })
  }
}

/** Opens a database as it is now, writing nothing: replays the journal in memory. `instead` is taken for `root` when that
 *  is lost or cannot be read (recover-root.ts). */
export async function openDatabaseReadOnly(options: DatabaseOptions, instead?: Root): Promise<Database> {
  if (instead !== undefined)
    return new ReadOnlyDatabase(options, instead, await readJournal(options, instead.tenures, null))
  for (;;) {
    const before = await readRoot(options)
    let found: FoundTenures | null = null
    let failure: unknown = null
    try {
      found = await readJournal(options, before.root.tenures, null)
    } catch (error) {
      // The writer may have trimmed meanwhile: then root has moved on.
      failure = error
    }
    const after = await readRoot(options)
    if (before.etag !== after.etag && ruleHolds('a read-only mount reads root again')) continue
    if (found !== null) return new ReadOnlyDatabase(options, before.root, found)
    throw inWords(failure)
  }
}

function inWords(failure: unknown): unknown {
  if (!(failure instanceof StoreError) || failure.kind !== 'not-found') return failure
  return new FsError('EIO', `an object of the journal is gone, acknowledged changes with it: ${failure.message}`)
}

function readJournal(
  options: DatabaseOptions,
  tenures: readonly Tenure[],
  seal: SealOrder | null,
): Promise<FoundTenures> {
  return (options.salvage ? salvageTenures : readTenures)(options, SLOT, tenures, seal)
}

interface Opened {
  slot: WriterSlot
  root: Root
  etag: Etag
  ids: IdRanges
  session: Buffer
  replay: Replay
  /** Commits of earlier tenures: trimmed once contained. */
  oldKeys: readonly string[]
}

export class WritableDatabase extends EngineDatabase implements Database, TableRepair {
  readonly #journal: JournalWriter
  readonly #slot: WriterSlot
  readonly #ids: IdRanges
  #root: Root
  #etag: Etag
  #oldKeys: readonly string[]
  #trimmedSeq = 0
  /** Journal objects and bytes that the last root contains. */
  #contained = { objects: 0, bytes: 0 }
  readonly #leftOver: LeftOver = new Map()
  readonly #cleaner: PageCleaner
  #checkpoint: Promise<void> | null = null
  #closed = false
  readonly firstOwnSegment: number
  /** Whether ids were taken since `root` last said exactly how far. */
  #idsTaken = false

  constructor(options: DatabaseOptions, writer: WriterOptions, opened: Opened) {
    super(options, opened.root, opened.replay)
    this.#slot = opened.slot
    this.#root = opened.root
    this.#etag = opened.etag
    this.#ids = opened.ids
    this.#oldKeys = opened.oldKeys
    this.#journal = new JournalWriter({
      store: options.store,
      clock: options.clock,
      volumeUuid: options.volumeUuid,
      tenure: { slot: SLOT, epoch: opened.slot.epoch, session: opened.session },
      onFailure: (error) => {
        options.log(
          'error',
          `${error.message}; the mount is read-only now${this.#journal.isLost ? '' : ', and keeps in memory what is not yet durable'}`,
        )
        writer.onFailure(error)
      },
    })
    this.engine.journal = this.#journal
    this.#cleaner = new PageCleaner(options)
    this.#cleaner.rootInForce(this.#root)
    this.firstOwnSegment = this.#ids.next('segment')
  }

  get rootInForce(): Readonly<Root> {
    return this.#root
  }

  deleteDeadPages(graceMs: number): Promise<DeletedPages> {
    return this.#cleaner.deleteDead(this.#root, graceMs)
  }

  /** Somebody else has the slot. */
  lost(by: string): void {
    this.#journal.lose(new FsError('EIO', `the volume was taken over (${by})`))
  }

  get status(): DatabaseStatus {
    const journal = this.#journal
    return {
      ...this.baseStatus(this.#root),
      journalObjects: journal.objects - this.#contained.objects + this.#oldKeys.length,
      journalBytes: journal.bytes - this.#contained.bytes,
      unacknowledgedBytes: this.engine.openCommitBytes + journal.bytesUnderWay,
      failure: journal.failure,
      readOnly: false,
    }
  }

  get failure(): FsError | null {
    return this.#journal.failure
  }

  get isLost(): boolean {
    return this.#journal.isLost
  }

  get isFull(): boolean {
    const { engine } = this
    return (
      engine.openCommitBytes + this.#journal.bytesUnderWay > UNACKNOWLEDGED_BYTES_MAX ||
      engine.changeBytes > FULL_FACTOR * this.options.changeBytesMax
    )
  }

  get probed(): readonly string[] {
    return this.#slot.probed
  }

  noteProbed(endpoint: string): Promise<void> {
    return this.#slot.noteProbed(endpoint)
  }

  takeId(sort: IdSort): number {
    assert(!this.#closed, 'an open database')
    this.#idsTaken = true
    return this.#ids.take(sort)
  }

  apply(transaction: Transaction): void {
    assert(!this.#closed, 'an open database')
    if (ruleHolds('check and append are one turn')) this.engine.apply(transaction as EngineTransaction)
    else void this.options.clock.yield().then(() => this.engine.apply(transaction as EngineTransaction))
  }

  get openCommitBytes(): number {
    return this.engine.openCommitBytes
  }

  commit(data?: CommitData): Promise<void> {
    return this.engine.commit(data)
  }

  resume(): Promise<void> {
    return this.#journal.resume()
  }

  get closedSeq(): number {
    return this.#journal.closedSeq
  }

  get acknowledgedSeq(): number {
    return this.#journal.acknowledgedSeq
  }

  get checkpointDue(): boolean {
    if (this.#journal.failure !== null || this.#checkpoint !== null) return false
    const { engine, options } = this
    const { journalBytes, journalObjects } = this.status
    const sinceMs = engine.frozenSinceMs ?? engine.firstChangeMs
    const ageMs = sinceMs === null ? 0 : options.clock.monotonicMs() - sinceMs
    return (
      journalBytes >= CHECKPOINT_JOURNAL_BYTES ||
      journalObjects >= CHECKPOINT_JOURNAL_OBJECTS ||
      ageMs >= CHECKPOINT_AGE_MS ||
      engine.changeBytes >= options.changeBytesMax ||
      this.#ids.isLow
    )
  }

  checkpoint(hooks: CheckpointHooks, cleansPages = true): Promise<void> {
    this.#checkpoint ??= this.#writeCheckpoint(hooks, cleansPages).finally(() => {
      this.#checkpoint = null
    })
    return this.#checkpoint
  }

  async mend({ inspector, hooks }: { inspector: Inspector; hooks: CheckpointHooks }): Promise<void> {
    assert(inspector instanceof TableInspector, 'an inspector of this layer')
    await this.#checkpoint
    this.#checkpoint = mendTables(this.#checkpointContext(false), inspector, this.#leftOver).finally(() => {
      this.#checkpoint = null
    })
    await this.#checkpoint
    await this.checkpoint(hooks, false)
  }

  async #writeCheckpoint(hooks: CheckpointHooks, cleansPages: boolean): Promise<void> {
    const counted = { objects: this.#journal.objects, bytes: this.#journal.bytes }
    await writeCheckpoint(this.#checkpointContext(cleansPages), hooks, this.#leftOver)
    this.#contained = counted
  }

  #checkpointContext(cleansPages: boolean): CheckpointContext {
    const { engine, options } = this
    return {
      engine,
      journal: this.#journal,
      root: this.#root,
      packer: (onId) =>
        options.segments.pagePacker(() => {
          const id = this.takeId('segment') as SegmentId
          onId(id)
          return id
        }),
      putRoot: (change, packer) =>
        this.#putRoot({ ...this.#root, ...change, idRanges: this.#ids.plan('extend') }, packer),
      trim: (containedSeq) => this.#trim(containedSeq),
      cleaner: this.#cleaner,
      cleansPages,
      deleteSegments: (ids) => options.segments.delete(ids),
    }
  }

  async #putRoot(change: Root, packer?: PagePacker): Promise<Root> {
    const { options } = this
    if (this.#journal.failure !== null) throw this.#journal.failure
    const root = { ...change, number: this.#root.number + 1 }
    if (packer !== undefined) {
      const copy = encodeRoot(options.volumeUuid, root)
      const lengths = Buffer.alloc(8)
      lengths.writeUInt32LE(copy.length, 0)
      lengths.writeUInt32LE(options.volumeJson.length, 4)
      const uploaded = packer.upload(Buffer.concat([lengths, copy, options.volumeJson]))
      if (ruleHolds('pages are durable before root')) await uploaded
      else uploaded.catch(() => {})
    }
    const put = await replaceRoot(options, root, this.#etag)
    if (put === null) {
      const by = await describeTaker(options.store, SLOT, this.#root.epoch)
      const error = new FsError('EIO', `the volume was taken over${by}: root was put by somebody else`)
      this.#journal.lose(error)
      throw error
    }
    this.#root = put.root
    this.#etag = put.etag
    this.#ids.reserved(put.root.idRanges)
    return put.root
  }

  /** Deletes journal objects that `root` no longer needs. */
  async #trim(containedSeq: number): Promise<void> {
    const keys = [...this.#oldKeys]
    for (let seq = this.#trimmedSeq + 1; seq <= containedSeq; seq++) keys.push(journalKey(SLOT, this.#root.epoch, seq))
    try {
      if (keys.length > 0) await this.options.store.delete(keys)
    } catch (error) {
      this.options.log(
        'warn',
        `the journal is not trimmed (the next checkpoint tries again): ${(error as Error).message}`,
      )
      return
    }
    this.#oldKeys = []
    this.#trimmedSeq = containedSeq
  }

  /** Whether `root` does not yet say everything. */
  get #isBehind(): boolean {
    const { engine } = this
    return (
      engine.openCommitBytes > 0 ||
      engine.activeStates.size > 0 ||
      engine.frozenStates.size > 0 ||
      engine.carried.length > 0 ||
      this.#trimmedSeq < this.#journal.closedSeq ||
      this.#oldKeys.length > 0
    )
  }

  async close(hooks: CheckpointHooks | 'abandon'): Promise<void> {
    if (hooks === 'abandon') {
      this.#closed = true
      this.#slot.stop()
      return
    }
    // One that fails is tried again here.
    await this.#checkpoint?.catch((error: Error) => this.options.log('warn', `checkpoint: ${error.message}`))
    for (let round = 0; this.#isBehind && ruleHolds('a release waits for the last checkpoint'); round++) {
      if (round === CLOSE_ROUNDS) throw new FsError('EIO', 'the journal could not be emptied: see the log')
      await this.checkpoint(hooks, false)
    }
    this.#closed = true
    if (this.#idsTaken) await this.#putRoot({ ...this.#root, idRanges: this.#ids.plan('exact') })
    await this.#slot.release(this.#journal.closedSeq)
  }
}
