// A store whose answers come in rounds: what was asked for is answered together, once nobody goes on without. So the number
// of rounds is how many times a store's delay something takes, whatever runs beside it. Or one answer at a time, in the
// order of the requests: the store as a narrow road.
import { Registry } from '../../src/observe/index.ts'
import { systemClock } from '../../src/platform/index.ts'
import { type ObjectStore, withMetrics } from '../../src/store/index.ts'
import { type Delayed, delaying } from '../tables/late-store.ts'

/** Turns of the event loop without a new request after which nobody is taken to go on. */
const QUIET_TURNS = 20

export interface Cost {
  gets: number
  getBytes: number
  rounds: number
}

export class RoundStore {
  readonly store: ObjectStore
  readonly #registry = new Registry()
  readonly #delayed: Delayed
  readonly #isNarrow: boolean
  #rounds = 0

  constructor(store: ObjectStore, { isNarrow = false } = {}) {
    const measured = withMetrics(store, { clock: systemClock, registry: this.#registry })
    this.#isNarrow = isNarrow
    this.#delayed = delaying(measured, 'get', '')
    this.store = this.#delayed.delayed
  }

  /** Since the beginning. What is still on its way is not counted. */
  get cost(): Cost {
    const count = (name: string) => this.#registry.counter(name).value
    return { gets: count('store.requests.get'), getBytes: count('store.bytes_in'), rounds: this.#rounds }
  }

  /** Runs something to its end. */
  async run<T>(work: () => T | Promise<T>): Promise<T> {
    let isOver = false
    const promise = Promise.resolve(work())
    const over = () => {
      isOver = true
    }
    promise.then(over, over)
    for (;;) {
      await this.#quiet(() => isOver)
      if (isOver) return promise
      this.#rounds++
      if (this.#isNarrow) await this.#delayed.waiting[0]?.arrive()
      else await this.#delayed.letGo()
    }
  }

  async #quiet(isOver: () => boolean): Promise<void> {
    let before = -1
    for (let turns = 0; turns < QUIET_TURNS && !isOver(); turns++) {
      const { length } = this.#delayed.waiting
      if (length !== before) turns = 0
      before = length
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Lets what is still on its way arrive, in a round of its own. */
  async settle(): Promise<void> {
    if (this.#delayed.waiting.length > 0) this.#rounds++
    await this.#delayed.letGo()
  }
}
