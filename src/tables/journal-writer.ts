// The journal of one tenure: closes commits in order, uploads them, and acknowledges them in order.
//
// Must stay true:
// - Commit n is acknowledged only when it and all before it are durable: what lies behind a gap is void after a crash.
// - A place already taken is our own first try (same session) or the end of our tenure: a seal, or somebody else's.
// - Once a commit cannot be made, every later one fails too, until the volume is opened again.
import { FsError, ruleHolds } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { type CommitIdentity, type CommitTable, decodeCommit, encodeCommit, journalKey } from './commit-format.ts'
import type { CommitData } from './database.ts'
import { readDecoded } from './read-object.ts'

export class JournalWriter {
  readonly #store: ObjectStore
  readonly #volumeUuid: Buffer
  readonly #tenure: Omit<CommitIdentity, 'seq'>
  readonly #onFailure: (error: FsError) => void
  #tail: Promise<void> = Promise.resolve()
  #failure: FsError | null = null
  #isLost = false
  closedSeq = 0
  acknowledgedSeq = 0
  /** Of all commits closed, since the counters were last taken back by a checkpoint. */
  objects = 0
  bytes = 0
  /** Bytes of commits closed and not yet acknowledged. */
  bytesUnderWay = 0

  constructor(options: {
    store: ObjectStore
    volumeUuid: Buffer
    tenure: Omit<CommitIdentity, 'seq'>
    onFailure: (error: FsError) => void
  }) {
    this.#store = options.store
    this.#volumeUuid = options.volumeUuid
    this.#tenure = options.tenure
    this.#onFailure = options.onFailure
  }

  get failure(): FsError | null {
    return this.#failure
  }

  /** Somebody else has the slot. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** Ends the tenure: the slot was lost. */
  lose(error: FsError): void {
    this.#isLost = true
    this.#fail(error)
  }

  #fail(error: FsError): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.#onFailure(error)
  }

  /** Closes a commit in this turn. Resolves when it and all before it are durable. */
  close(tables: readonly CommitTable[], data: CommitData | undefined): Promise<void> {
    const identity = { ...this.#tenure, seq: ++this.closedSeq }
    const parts = encodeCommit(this.#volumeUuid, identity, tables, data)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    this.objects++
    this.bytes += bytes
    this.bytesUnderWay += bytes
    const upload = this.#failure === null ? this.#upload(identity, parts) : Promise.reject(this.#failure)
    const before = this.#tail
    const acknowledged = (async () => {
      const inOrder = ruleHolds('commits are acknowledged in order')
      const isAwaited = ruleHolds('a commit is made before it is acknowledged')
      const outcomes = await Promise.allSettled([inOrder ? before : null, isAwaited ? upload : null])
      this.bytesUnderWay -= bytes
      const failed = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failed !== undefined) {
        const cause = failed.reason as Error
        const error =
          cause instanceof FsError
            ? cause
            : new FsError('EIO', `the journal cannot be written: ${cause.message}`, { cause })
        this.#fail(error)
      }
      if (this.#failure !== null) throw this.#failure
      this.acknowledgedSeq = identity.seq
    })()
    // Whoever waits sees the rejection; with nobody waiting it is already reported by `fail`.
    acknowledged.catch(() => undefined)
    this.#tail = acknowledged
    return acknowledged
  }

  /** Resolves when everything closed so far is durable. */
  settled(): Promise<void> {
    return this.#failure === null ? this.#tail : Promise.reject(this.#failure)
  }

  async #upload(identity: CommitIdentity, parts: readonly Buffer[]): Promise<void> {
    const key = journalKey(identity.slot, identity.epoch, identity.seq)
    try {
      await this.#store.putIfAbsent(key, parts)
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
      const { decoded: there } = await readDecoded(this.#store, key, (body) =>
        decodeCommit(body, key, this.#volumeUuid),
      )
      const isOurs = there.session.equals(identity.session) && !there.isSeal
      if (isOurs || !ruleHolds('an occupied place is read back before deciding')) return
      const how = there.isSeal ? 'sealed' : 'written by somebody else'
      const lost = new FsError('EIO', `the volume was taken over: ${key} is ${how}`)
      this.lose(lost)
      throw lost
    }
  }
}
