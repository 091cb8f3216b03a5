// The journal of one tenure: closes commits in order, uploads them, and acknowledges them in order.
//
// Must stay true:
// - Commit n is acknowledged only when it and all before it are durable: what lies behind a gap is void after a crash.
// - A place already taken is our own first try (same session) or the end of our tenure: a seal, or somebody else's.
// - What a commit says is settled in the turn that closes it. Its records may be encoded in later turns, and commits closed
//   meanwhile may be durable before it: that, too, is a gap.
// - Once a commit cannot be made, every later one fails too, and all are kept, until `resume` has made them in order.
import { ok as assert } from 'node:assert'
import { type Clock, FsError, inTurns, isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { type CommitIdentity, commitBytes, decodeCommit, encodeCommit, journalKey } from './commit-format.ts'
import type { CommitData } from './database.ts'
import type { ClosedRecords } from './open-commit.ts'
import { readDecoded } from './read-object.ts'
import { describeTaker } from './writer-slot.ts'

interface ClosedCommit {
  identity: CommitIdentity
  parts: MaybePromise<readonly Buffer[]>
  bytes: number
}

export class JournalWriter {
  readonly #store: ObjectStore
  readonly #clock: Pick<Clock, 'yield'>
  readonly #volumeUuid: Buffer
  readonly #tenure: Omit<CommitIdentity, 'seq'>
  readonly #onFailure: (error: FsError) => void
  #tail: Promise<void> = Promise.resolve()
  #failure: FsError | null = null
  /** In order of their places. */
  readonly #unacknowledged: ClosedCommit[] = []
  #resuming: Promise<void> | null = null
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
    clock: Pick<Clock, 'yield'>
    volumeUuid: Buffer
    tenure: Omit<CommitIdentity, 'seq'>
    onFailure: (error: FsError) => void
  }) {
    this.#store = options.store
    this.#clock = options.clock
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

  /** Ends the tenure: the slot was lost. That outweighs a failure that could be resumed. */
  lose(error: FsError): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#failure = error
    this.#onFailure(error)
  }

  #fail(error: FsError): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.#onFailure(error)
  }

  /** Closes a commit in this turn. Resolves when it and all before it are durable. Rejects with FsError EIO when that
   *  cannot be: then it is kept, for `resume`. */
  close(records: ClosedRecords, data: CommitData | undefined): Promise<void> {
    assert(this.#failure === null, 'nothing is closed behind a commit that failed')
    const identity = { ...this.#tenure, seq: ++this.closedSeq }
    const bytes = commitBytes(records.lengthBytes, data)
    const commit: ClosedCommit = { identity, parts: this.#encode(identity, records, data), bytes }
    this.objects++
    this.bytes += bytes
    this.bytesUnderWay += bytes
    this.#unacknowledged.push(commit)
    const upload = this.#upload(commit)
    const before = this.#tail
    const acknowledged = (async () => {
      const inOrder = ruleHolds('commits are acknowledged in order')
      const isAwaited = ruleHolds('a commit is made before it is acknowledged')
      const outcomes = await Promise.allSettled([inOrder ? before : null, isAwaited ? upload : null])
      // It was made by `resume` meanwhile.
      if (this.acknowledgedSeq >= identity.seq) return
      const failed = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failed !== undefined) this.#fail(inWords(failed.reason as Error))
      if (this.#failure !== null) throw this.#failure
      this.#acknowledge(commit)
    })()
    // Whoever waits sees the rejection; with nobody waiting it is already reported by `fail`.
    upload.catch(() => undefined)
    acknowledged.catch(() => undefined)
    this.#tail = acknowledged
    return acknowledged
  }

  #encode(
    identity: CommitIdentity,
    records: ClosedRecords,
    data: CommitData | undefined,
  ): MaybePromise<readonly Buffer[]> {
    const { acknowledgedSeq } = this
    const encoded = inTurns(records.encode(), this.#clock)
    return isPromise(encoded)
      ? encoded.then((all) => encodeCommit(this.#volumeUuid, identity, all, data, acknowledgedSeq))
      : encodeCommit(this.#volumeUuid, identity, encoded, data, acknowledgedSeq)
  }

  #acknowledge(commit: ClosedCommit): void {
    // All but the first only where a test has switched off their order.
    this.#unacknowledged.splice(this.#unacknowledged.indexOf(commit), 1)
    this.bytesUnderWay -= commit.bytes
    this.acknowledgedSeq = commit.identity.seq
  }

  /** Tries again the commits that could not be made, with the same bytes at the same places, in order; what became of the
   *  first tries does not matter. Resolves when all are durable and new ones can be made; rejects with FsError EIO when
   *  that still cannot be, and for good when the slot was lost. */
  resume(): Promise<void> {
    this.#resuming ??= this.#makeKept().finally(() => {
      this.#resuming = null
    })
    return this.#resuming
  }

  async #makeKept(): Promise<void> {
    if (this.#failure === null) return this.#tail
    for (;;) {
      if (this.#isLost) throw this.#failure
      const commit = this.#unacknowledged[0]
      if (commit === undefined) break
      try {
        if (ruleHolds('what is resumed is made')) await this.#upload(commit)
      } catch (error) {
        throw inWords(error as Error)
      }
      this.#acknowledge(commit)
    }
    this.#tail = Promise.resolve()
    this.#failure = null
  }

  /** Resolves when everything closed so far is durable. */
  settled(): Promise<void> {
    return this.#failure === null ? this.#tail : Promise.reject(this.#failure)
  }

  async #upload({ identity, parts }: ClosedCommit): Promise<void> {
    const key = journalKey(identity.slot, identity.epoch, identity.seq)
    try {
      await this.#store.putIfAbsent(key, isPromise(parts) ? await parts : parts)
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
      const { decoded: there } = await readDecoded(this.#store, key, (body) =>
        decodeCommit(body, key, this.#volumeUuid),
      )
      const isOurs =
        there.session.equals(identity.session) && !there.isSeal && ruleHolds('a 412 of a commit may be our own')
      if (isOurs || !ruleHolds('an occupied place is read back before deciding')) return
      const how = there.isSeal ? 'sealed' : 'written by somebody else'
      const by = await describeTaker(this.#store, identity.slot, identity.epoch)
      const lost = new FsError('EIO', `the volume was taken over${by}: ${key} is ${how}`)
      this.lose(lost)
      throw lost
    }
  }
}

function inWords(cause: Error): FsError {
  if (cause instanceof FsError && cause.code === 'EIO') return cause
  return new FsError('EIO', `the journal cannot be written: ${cause.message}`, { cause })
}
