// Virtual time. One queue of events, run one at a time in order of their time; what falls on the same time, or nearly so,
// is ordered by the seed. Between two events all promises that can settle do.
//
// Must stay true: nothing in a world waits for anything but these events, so that a seed always plays the same way. A
// hash over the labels of all events tells two runs apart.
import { createHash } from 'node:crypto'
import type { Random } from '../../src/platform/index.ts'

export interface Event {
  cancel(): void
}

interface Entry {
  atMs: number
  serial: number
  run: (() => void) | null
  label: string
}

/** Lets every promise that can settle do so. */
function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export class Scheduler {
  readonly random: Random
  nowMs = 0
  events = 0
  /** The last labels, for a failure's message. */
  readonly recent: string[] = []
  readonly #heap: Entry[] = []
  readonly #trace = createHash('sha256')
  #serial = 0
  #failure: unknown = null

  constructor(random: Random) {
    this.random = random
  }

  /** What a clock that is right shows. */
  get wallClockNs(): bigint {
    return 1_700_000_000_000_000_000n + BigInt(Math.floor(this.nowMs * 1e6))
  }

  /** Ends the world: `run` rejects with this. */
  fail(error: unknown): void {
    this.#failure ??= error
  }

  /** Tells two plays of one seed apart. */
  digest(): string {
    return this.#trace.copy().digest('hex')
  }

  note(label: string): void {
    const line = `${this.nowMs.toFixed(3)} ${label}`
    this.#trace.update(`${line}\n`)
    this.recent.push(line)
    if (this.recent.length > 20_000) this.recent.splice(0, 10_000)
  }

  /** Runs `run` after `delayMs`, unless cancelled. */
  after(delayMs: number, label: string, run: () => void): Event {
    const entry: Entry = { atMs: this.nowMs + Math.max(0, delayMs), serial: this.#serial++, run, label }
    this.#push(entry)
    return {
      cancel: () => {
        entry.run = null
      },
    }
  }

  /** Plays until `promise` settles. Rejects when that takes longer than `limitMs` of virtual time, or nothing is left. */
  async until<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
    let outcome: { value: T } | { error: unknown } | null = null
    promise.then(
      (value) => {
        outcome = { value }
      },
      (error: unknown) => {
        outcome = { error }
      },
    )
    const endMs = this.nowMs + limitMs
    for (;;) {
      await drain()
      if (this.#failure !== null) throw this.#failure
      if (outcome !== null) break
      const next = this.#pop()
      if (next === null) throw new Error(`${what} hangs: nothing is left to happen`)
      if (next.atMs > endMs) throw new Error(`${what} hangs: not done after ${limitMs / 1000} s`)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      this.events++
      this.note(next.label)
      next.run?.()
    }
    const settled = outcome as { value: T } | { error: unknown }
    if ('error' in settled) throw settled.error
    return settled.value
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    heap.push(entry)
    let at = heap.length - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent] as Entry)) break
      heap[at] = heap[parent] as Entry
      at = parent
    }
    heap[at] = entry
  }

  #pop(): Entry | null {
    for (;;) {
      const { length } = this.#heap
      if (length === 0) return null
      const top = this.#heap[0] as Entry
      const last = this.#heap.pop() as Entry
      if (length > 1) this.#sink(last)
      if (top.run !== null) return top
    }
  }

  #sink(entry: Entry): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++
      if (!isBefore(heap[child] as Entry, entry)) break
      heap[at] = heap[child] as Entry
      at = child
    }
    heap[at] = entry
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.serial < b.serial)
}
