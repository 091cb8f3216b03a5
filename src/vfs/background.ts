// How work in the background takes turns with operations: while any come, they get as much time as it does. A turn of the event
// loop between two of its own would not do: whoever makes one system call after another has one of them served in each.
//
// Must stay true: nobody waits longer for the work than twice as long as it takes, and no longer at all when nothing is asked.
// Where writers wait for the room that it makes, the others get a fifth of the time.
import type { Context } from './context.ts'

/** Below this no timer is worth its while. */
const LEAST_MS = 1
/** Of the time of a turn, while writers wait. */
const SHARE_WHEN_FULL = 0.25

export class Background {
  readonly #context: () => Context
  #begunMs: number
  #seen: number

  /** A turn of the work begins now. */
  constructor(context: () => Context) {
    this.#context = context
    const { clock, served } = context()
    this.#begunMs = clock.monotonicMs()
    this.#seen = served.operations
  }

  /** Ends a turn; the next begins when this resolves. */
  async turn(): Promise<void> {
    const { clock, served, streams } = this.#context()
    const tookMs = clock.monotonicMs() - this.#begunMs
    await clock.yield()
    const dueMs = tookMs * (streams.isFull ? SHARE_WHEN_FULL : 1)
    if (dueMs >= LEAST_MS && served.operations > this.#seen) await clock.sleep(dueMs)
    this.#seen = served.operations
    this.#begunMs = clock.monotonicMs()
  }
}
