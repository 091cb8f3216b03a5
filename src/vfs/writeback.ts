// Write-back: makes names and streams durable. The heart of the promises in section 5 of the design.
//
// The model: operations on names are in the database's open commit as soon as they are applied. Streams are not: their
// bytes must be durable first, or ride in the commit itself. A *round* brings the streams it needs into the tables
// (stream-recorder.ts) and closes the open commit. What is much is uploaded to segments and then recorded, as often as it
// takes; when what is left fits into the commit, one synchronous turn records it and closes the commit. So a little data
// costs exactly one PUT.
//
// A round needs: the streams that were asked for, as they were when it began; and every stream whose file a rename put
// over another one in the open commit, as it was at the rename (or later). After ROUNDS_MAX uploads new renames of that
// sort wait, so that the round ends.
//
// Must stay true:
// - One round at a time, though the commit of one may be under way while the next begins. Commits are closed here or by a
//   checkpoint while `#rounds` is held and no such rename is pending. Requests that come during a round share the next one.
// - When a round fails nothing is lost: streams stay dirty or frozen, and the next round tries again. Changes are
//   refused (EROFS), and waiting writers told, until one succeeds.
import type { Stream } from '../data/index.ts'
import { FsError, isPromise, ruleHolds, type Timer } from '../platform/index.ts'
import { CommitPace } from './commit-pace.ts'
import type { Context } from './context.ts'
import { Gate, Mutex } from './mutex.ts'
import { StreamRecorder, type Wanted } from './stream-recorder.ts'

const ROUNDS_MAX = 4
const OPEN_COMMIT_BYTES_MAX = 8 << 20

export interface WritebackOptions {
  commitIntervalMs: number
  truncateHoldMs: number
  inlineBytesMax: number
}

export interface CommitRequest {
  /** These streams; `all` that are dirty. Names are always committed. */
  streams: 'all' | readonly number[]
  /** Also streams that an O_TRUNC holds back. */
  includeHeld?: boolean
  /** Also streams of files that have lost their name: only to get their bytes out of memory. */
  includeOrphans?: boolean
}

/** Requests that one round answers. */
class Batch {
  all = false
  includeHeld = false
  includeOrphans = false
  readonly inos = new Set<number>()
  readonly promise: Promise<void>
  resolve: () => void = () => {}
  reject: (error: unknown) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  add(request: CommitRequest): void {
    if (request.streams === 'all') this.all = true
    else for (const ino of request.streams) this.inos.add(ino)
    this.includeHeld ||= request.includeHeld === true
    this.includeOrphans ||= request.includeOrphans === true
  }
}

export class Writeback {
  readonly #context: () => Context
  readonly #options: WritebackOptions
  readonly #recorder: StreamRecorder
  readonly #rounds = new Mutex()
  #next: Batch | null = null
  #running = false
  readonly #pace = new CommitPace(() => this.#context().clock)
  #timer: Timer | null = null
  #stopped = false
  /** Streams that an O_TRUNC holds back, since when (monotonic ms). */
  readonly #held = new Map<number, number>()
  /** What the round under way still has to record, and which streams of that were asked for. */
  #round: { wanted: Wanted; isAsked: (ino: number) => boolean } | null = null
  #renameGate: Gate | null = null
  /** Why changes are refused; null while all is well. */
  failure: FsError | null = null
  /** Streams that rounds which failed were to bring, and that are not yet recorded. */
  readonly #undone = new Set<number>()
  /** Writers that wait for room. */
  readonly #waiting = new Set<() => void>()
  /** Called after each round that succeeded. */
  onCommitted: () => void = () => {}

  constructor(context: () => Context, options: WritebackOptions) {
    this.#context = context
    this.#options = options
    this.#recorder = new StreamRecorder(context, options.inlineBytesMax)
  }

  // What operations tell. All of it synchronous, in the turn of the change.

  /** Something was changed: a commit is due within the interval. */
  changed(): void {
    if (this.#stopped) return
    if (this.#timer === null && ruleHolds('a commit begins every interval')) this.#arm(this.#options.commitIntervalMs)
    if (this.#context().database.openCommitBytes > OPEN_COMMIT_BYTES_MAX && !this.#running) {
      this.commit({ streams: [] }).catch(() => {})
    }
  }

  streamChanged(stream: Stream): void {
    const { quotas } = this.#context()
    if (quotas.isActive) quotas.streamChanged(stream)
    this.#recorder.streamChanged(stream)
    this.changed()
  }

  /** An open with O_TRUNC is about to empty the file, in this turn: the truncation, and what follows it, wait for `unhold`.
   *  What was done to the file before is kept apart, for the round under way and for renames that brought it. */
  hold(stream: Stream): void {
    const { ino } = stream
    if (!ruleHolds('a truncation is held')) return
    // What is held already stays together, but for what a rename over a name needs of it.
    if (this.#isHeldYet(ino) && !this.#recorder.isRenamed(ino)) return
    this.#held.set(ino, this.#context().clock.monotonicMs())
    const isSplit = !ruleHolds('what was written before an O_TRUNC is kept apart') || this.#recorder.split(stream)
    const round = this.#round
    if (round === null || !round.wanted.has(ino)) return
    if (stream.frozen === null) round.wanted.delete(ino)
    else if (isSplit || !round.isAsked(ino)) round.wanted.set(ino, 'frozen')
    // Where it could not be kept apart, a sync that asked for it takes the truncation along, and holds back nothing more.
    else this.#held.delete(ino)
  }

  /** What an O_TRUNC must wait for: a rename over a name that brought the file waits for bytes that the truncation would
   *  take away. Null mostly. */
  truncationGate(ino: number): Promise<void> | null {
    const stream = this.#context().streams.get(ino)
    if (stream === undefined || !stream.isTouched || !this.#recorder.isAwaited(stream)) return null
    if (!ruleHolds('what was written before an O_TRUNC is kept apart')) return null
    // Whether it succeeds or not: then it is tried again.
    return this.commit({ streams: [ino] }).catch(() => {})
  }

  /** The last writer closed it, or somebody wants it durable. */
  unhold(ino: number): void {
    this.#held.delete(ino)
  }

  /** A rename put this file over another: its stream so far goes into the commit that carries the rename. */
  renamedOver(ino: number): void {
    if (!ruleHolds('a rename over a name brings its data')) return
    this.#recorder.renamedOver(ino)
    // A truncation goes along with it, so that holding back what comes after would only show the file empty for longer.
    this.#held.delete(ino)
  }

  /** Set while such renames must wait. */
  get renameGate(): Promise<void> | null {
    return this.#renameGate?.opened ?? null
  }

  /** The file has no name any more: no commit needs its stream. */
  lostName(ino: number): void {
    this.#held.delete(ino)
    this.#recorder.lostName(ino)
  }

  /** Whether it is held, and that for less than it may be. */
  #isHeldYet(ino: number): boolean {
    const sinceMs = this.#held.get(ino)
    if (sinceMs === undefined || !ruleHolds('a truncation is held for 30 s at most')) return sinceMs !== undefined
    return sinceMs > this.#context().clock.monotonicMs() - this.#options.truncateHoldMs
  }

  /** Whether an O_TRUNC holds the file's stream back. */
  isHeld(ino: number): boolean {
    return this.#held.has(ino)
  }

  /** Streams with more than this are never carried by a commit. */
  get inlineBytesMax(): number {
    return this.#options.inlineBytesMax
  }

  get heldStreams(): number {
    return this.#held.size
  }

  /** Resolves when a writer may try again: there is room, or write-back failed and it is to be told. */
  waitForRoom(): Promise<void> {
    const { streams } = this.#context()
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        resolve()
      }
      this.#waiting.add(done)
      streams.roomForWrite().then(done, done)
    })
  }

  // Asking for commits.

  /** Resolves when the names so far and the streams asked for are durable. Rejects with EIO when they cannot be now. */
  commit(request: CommitRequest): Promise<void> {
    this.#next ??= new Batch()
    this.#next.add(request)
    const { promise } = this.#next
    if (!this.#running) void this.#run()
    return promise
  }

  async #run(): Promise<void> {
    this.#running = true
    for (let batch = this.#next; batch !== null; batch = this.#next) {
      try {
        const turn = this.#pace.turn()
        if (turn !== null) await turn
        const acquired = this.#rounds.acquire()
        const release = isPromise(acquired) ? await acquired : acquired
        // Requests that came while it waited belong to this round.
        this.#next = null
        let closed: { durable: Promise<void> }
        try {
          closed = await this.#runRound(batch)
        } finally {
          release()
        }
        this.#answer(batch, closed.durable)
      } catch (error) {
        this.#next = this.#next === batch ? null : this.#next
        batch.reject(this.#failed(error))
      }
    }
    this.#running = false
  }

  /** Tells those who asked, once the commit is durable; the next round does not wait for that. */
  #answer(batch: Batch, durable: Promise<void>): void {
    this.#pace.begun(durable)
    durable.then(
      () => {
        this.#succeeded()
        batch.resolve()
        this.onCommitted()
      },
      (error: unknown) => batch.reject(this.#failed(error)),
    )
  }

  /** A round that succeeded heals what failed before only where it brought that too. */
  #succeeded(): void {
    if (this.failure === null) return
    const { streams } = this.#context()
    for (const ino of this.#undone) if (!streams.get(ino)?.isDirty) this.#undone.delete(ino)
    if (this.#undone.size > 0) return
    this.failure = null
    this.#context().log('info', 'everything is durable again; changes are accepted')
  }

  #failed(cause: unknown): FsError {
    const { database, log } = this.#context()
    const message = cause instanceof Error ? cause.message : String(cause)
    const error = new FsError('EIO', message, { cause })
    if (this.failure === null) {
      log('error', `write-back failed, changes are refused until it succeeds: ${message}`)
    }
    this.failure = error
    for (const letGo of [...this.#waiting]) letGo()
    // What failed for good does not heal by trying again.
    if (this.#timer === null && !this.#stopped && database.status.failure === null)
      this.#arm(this.#options.commitIntervalMs)
    return error
  }

  #arm(delayMs: number): void {
    this.#timer = this.#context().clock.after(delayMs, () => {
      this.#timer = null
      // Whoever waits for it was told; the log has it.
      this.commit({ streams: 'all' }).catch(() => {})
      if (this.#held.size > 0 && this.#timer === null) this.#arm(this.#options.commitIntervalMs)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }

  // Rounds.

  async #runRound(batch: Batch): Promise<{ durable: Promise<void> }> {
    const wanted = this.#wantedBy(batch)
    this.#round = { wanted, isAsked: (ino) => batch.includeHeld || batch.inos.has(ino) }
    try {
      for (let round = 0; ; round++) {
        if (round === ROUNDS_MAX) this.#renameGate ??= new Gate()
        const closing = this.#recorder.closeCommit(wanted)
        const closed = isPromise(closing) ? await closing : closing
        if (closed !== null) {
          this.#openGate()
          return closed
        }
        await this.#recorder.uploadAndRecord(this.#recorder.required(wanted), wanted)
      }
    } catch (error) {
      for (const ino of wanted.keys()) this.#undone.add(ino)
      throw error
    } finally {
      this.#round = null
      this.#openGate()
    }
  }

  #openGate(): void {
    this.#renameGate?.open()
    this.#renameGate = null
  }

  /** The streams that the batch asks for and that have something unrecorded now. */
  #wantedBy(batch: Batch): Wanted {
    const { streams, reaper } = this.#context()
    const wanted: Wanted = new Map()
    const asked = batch.all ? [...batch.inos, ...this.#undone] : batch.inos
    for (const ino of asked) if (streams.get(ino)?.isDirty) wanted.set(ino, 'all')
    if (!batch.all) return wanted
    // What this round takes along is held no more, nor what comes after it.
    for (const ino of this.#held.keys()) if (batch.includeHeld || streams.get(ino) === undefined) this.#held.delete(ino)
    for (const stream of streams) {
      const { ino } = stream
      if (!stream.isDirty || (reaper.isOrphan(ino) && !batch.includeOrphans)) continue
      if (!this.#isHeldYet(ino)) wanted.set(ino, 'all')
      else if (stream.frozen !== null && !wanted.has(ino)) wanted.set(ino, 'frozen')
    }
    return wanted
  }

  // Checkpoints: they close the open commit too.

  /** Records the data of all renames over a name, and keeps new ones (and rounds) out until the function returned is
   *  called. What then closes the commit in this very turn breaks no promise. */
  async sealRenames(): Promise<() => void> {
    const release = await this.#rounds.acquire()
    this.#renameGate ??= new Gate()
    const unseal = () => {
      this.#openGate()
      release()
    }
    try {
      for (;;) {
        const required = this.#recorder.required(new Map())
        if (required.length === 0 || !ruleHolds('a checkpoint brings the data of renames')) return unseal
        await this.#recorder.uploadAndRecord(required, new Map())
      }
    } catch (error) {
      unseal()
      throw error
    }
  }
}
