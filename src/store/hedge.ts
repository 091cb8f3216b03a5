// Asks again where an answer is late, and takes the first that comes: Dean and Barroso, "The Tail at Scale" (2013). One slow
// disk or one lost packet of the service's then costs a reader a hundredth more requests, not a stall.
//
// Late is a GET in which nothing has moved for longer than in 99 of 100 at their quietest, lately: so neither a long body nor
// a busy line makes it late, as long as bytes come.
//
// Must stay true:
// - Only GETs: to read twice changes nothing. One that is asked again was begun after the call, too.
// - One more request for a call at most, and for all calls so many in a hundred (`SHARE`).
// - A call fails only when all that was asked for it has failed; then it tells the first failure. What is not wanted any more
//   is aborted before the call settles.
import type { Clock, Timer } from '../platform/index.ts'
import type { GetOptions, ObjectStore, RequestProgress, StoredObject } from './object-store.ts'

/** Of calls that may be asked again. */
const SHARE = 0.05
/** Saved up by calls that were not late; a service that becomes slow as a whole is not asked twice for everything. */
const SAVED_MAX = 10
/** Quiet times that tell what is late, and how many are needed to do so. */
const SAMPLES = 512
const SAMPLES_NEEDED = 100
const QUANTILE = 0.99
/** They are sorted anew after so many. */
const SORTED_EVERY = 32
/** Nothing sooner is late: on a fast line the quantile is a matter of who had the processor. */
const LEAST_MS = 25

export interface HedgeOptions {
  clock: Clock
  /** Told of each call that is asked again. */
  onHedge?: (key: string) => void
}

/** A store whose GETs are asked a second time when they are late. */
export function withHedge(store: ObjectStore, options: HedgeOptions): ObjectStore {
  const quietTimes = new QuietTimes()
  let saved = 0
  return {
    name: store.name,
    get(key, getOptions = {}) {
      saved = Math.min(SAVED_MAX, saved + SHARE)
      const mayAskAgain = () => {
        if (saved < 1) return false
        saved -= 1
        options.onHedge?.(key)
        return true
      }
      return new HedgedGet(store, key, getOptions, { clock: options.clock, quietTimes, mayAskAgain }).answer
    },
    put: store.put.bind(store),
    putIfAbsent: store.putIfAbsent.bind(store),
    putIfMatch: store.putIfMatch.bind(store),
    delete: store.delete.bind(store),
    list: store.list.bind(store),
    head: store.head.bind(store),
    close: store.close.bind(store),
  }
}

/** The longest time in which nothing moved, of each of the last GETs. */
class QuietTimes {
  readonly #times: number[] = []
  #next = 0
  #lateMs: number | null = null

  add(quietMs: number): void {
    this.#times[this.#next % SAMPLES] = quietMs
    this.#next += 1
    if (this.#next < SAMPLES_NEEDED || this.#next % SORTED_EVERY !== 0) return
    const sorted = Float64Array.from(this.#times).sort()
    this.#lateMs = Math.max(LEAST_MS, sorted[Math.floor(sorted.length * QUANTILE)]!)
  }

  /** Whoever is quiet for longer is late; null while too little is known. */
  get lateMs(): number | null {
    return this.#lateMs
  }
}

interface HedgedGetParts {
  clock: Clock
  quietTimes: QuietTimes
  /** Asked once, when the call is late. */
  mayAskAgain: () => boolean
}

class HedgedGet {
  readonly answer: Promise<StoredObject>
  readonly #parts: HedgedGetParts
  readonly #tries: Try[] = []
  #resolve!: (found: StoredObject) => void
  #reject!: (error: unknown) => void
  #timer: Timer | null = null
  #failure: { error: unknown } | null = null
  #failed = 0

  constructor(
    readonly store: ObjectStore,
    readonly key: string,
    readonly options: GetOptions,
    parts: HedgedGetParts,
  ) {
    this.#parts = parts
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    const first = this.#ask()
    const { lateMs } = parts.quietTimes
    if (lateMs !== null) this.#watch(first, lateMs)
  }

  #ask(): Try {
    const { store, key, options } = this
    const asked = new Try(this.#parts.clock, options)
    this.#tries.push(asked)
    store.get(key, { ...options, signal: asked.signal, progress: asked }).then(
      (found) => this.#came(asked, found),
      (error) => this.#lost(asked, error),
    )
    return asked
  }

  /** Looks again when the try could be late. */
  #watch(first: Try, lateMs: number): void {
    this.#timer = this.#parts.clock.after(lateMs - first.quietMs + 1, () => {
      if (first.quietMs <= lateMs) this.#watch(first, lateMs)
      else if (this.#parts.mayAskAgain()) this.#ask()
    })
  }

  #came(winner: Try, found: StoredObject): void {
    this.#settle(winner)
    this.#resolve(found)
  }

  #lost(loser: Try, error: unknown): void {
    if (loser.isOver) return
    this.#failure ??= { error }
    this.#failed += 1
    if (this.#failed < this.#tries.length) return
    this.#settle(loser)
    this.#reject(this.#failure.error)
  }

  #settle(last: Try): void {
    this.#timer?.cancel()
    for (const each of this.#tries) {
      if (each.isOver) continue
      this.#parts.quietTimes.add(each.mostQuietMs)
      each.end(each !== last)
    }
  }
}

/** One request of a call, and how long it was quiet. */
class Try implements RequestProgress {
  isOver = false
  readonly #clock: Clock
  readonly #options: GetOptions
  readonly #abort = new AbortController()
  readonly #onAbort: () => void
  #movedMs: number
  #isQueued = false
  #mostQuietMs = 0

  constructor(clock: Clock, options: GetOptions) {
    this.#clock = clock
    this.#options = options
    this.#movedMs = clock.monotonicMs()
    this.#onAbort = () => this.#abort.abort(options.signal?.reason)
    if (options.signal?.aborted) this.#onAbort()
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** For how long nothing has moved; waiting for a connection does not count. */
  get quietMs(): number {
    return this.#isQueued ? 0 : this.#clock.monotonicMs() - this.#movedMs
  }

  get mostQuietMs(): number {
    return Math.max(this.#mostQuietMs, this.quietMs)
  }

  queued(): void {
    this.#isQueued = true
    this.#options.progress?.queued()
  }

  moved(bytes: number): void {
    this.#mostQuietMs = this.mostQuietMs
    this.#isQueued = false
    this.#movedMs = this.#clock.monotonicMs()
    this.#options.progress?.moved(bytes)
  }

  end(isAborted: boolean): void {
    this.isOver = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    if (isAborted) this.#abort.abort(new Error('another answer came first'))
  }
}
