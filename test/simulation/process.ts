// A process of a world: its clock, and its life. What it waits for (timers, answers of the store) reaches it only while
// it lives; while it is stopped, as by SIGSTOP or a machine that sleeps, all of that comes when it goes on.
//
// Must stay true: after `kill` no callback of the process runs any more.
import type { Clock, Timer, Timespec } from '../../src/platform/index.ts'
import type { Scheduler } from './scheduler.ts'

export class Process {
  readonly name: string
  readonly clock: Clock
  /** Whether the store can be reached: a partition of the network. */
  isPartitioned = false
  /** Requests sent from now on take up to this much longer to arrive. */
  lagMs = 0
  /** Its requests never fail. */
  isSpared = false
  /** Requests given up, and bodies that arrived damaged: without any, nothing may fail. */
  troubles = 0
  garbled = 0
  #alive = true
  #stopped = false
  readonly #missed: (() => void)[] = []
  readonly #scheduler: Scheduler
  /** The wall clock is off by this much, and jumps. */
  #skewMs: number
  readonly #originMs: number
  #lastNs = 0

  constructor(name: string, scheduler: Scheduler) {
    this.name = name
    this.#scheduler = scheduler
    this.#skewMs = (scheduler.random.next() - 0.5) * 120_000
    this.#originMs = scheduler.random.next() * 1e6
    this.clock = {
      now: () => this.#now(),
      monotonicMs: () => this.#originMs + scheduler.nowMs,
      after: (delayMs, callback) => this.#after(delayMs, 'timer', callback),
      sleep: (delayMs, signal) => this.#sleep(delayMs, signal),
      yield: () =>
        new Promise((resolve) => {
          this.#after(scheduler.random.next() * 0.02, 'yield', resolve)
        }),
    }
  }

  get isAlive(): boolean {
    return this.#alive
  }

  kill(): void {
    this.#scheduler.note(`${this.name} is killed`)
    this.#alive = false
    this.#missed.length = 0
  }

  stop(): void {
    this.#stopped = true
  }

  goOn(): void {
    this.#stopped = false
    for (const missed of this.#missed.splice(0)) missed()
  }

  /** The wall clock jumps. */
  jump(byMs: number): void {
    this.#skewMs += byMs
  }

  /** Something reaches the process: runs now, or when it goes on, or never. */
  deliver(run: () => void): void {
    if (!this.#alive) return
    if (this.#stopped) this.#missed.push(run)
    else run()
  }

  #now(): Timespec {
    // Never twice the same, as long as it does not jump back.
    const ns = Math.max(this.#lastNs + 1, Math.floor(this.#scheduler.nowMs * 1000))
    this.#lastNs = ns
    const us = 1.7e15 + this.#skewMs * 1000 + ns
    const sec = Math.floor(us / 1e6)
    return { sec, nsec: Math.floor(us - sec * 1e6) * 1000 }
  }

  #after(delayMs: number, what: string, callback: () => void): Timer {
    let cancelled = false
    const event = this.#scheduler.after(delayMs, `${this.name} ${what}`, () =>
      this.deliver(() => {
        if (!cancelled) callback()
      }),
    )
    return {
      cancel: () => {
        cancelled = true
        event.cancel()
      },
    }
  }

  #sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason)
      }
      const timer = this.#after(delayMs, 'sleep', () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
