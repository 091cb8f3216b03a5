// What the bench is doing, and how long it may still take, on standard error.
import { estimateSec, formatMinutes } from './estimate.ts'
import type { Part, Task } from './plan.ts'
import type { Cell } from './results.ts'
import type { System } from './systems/index.ts'

export class Progress {
  readonly #onceOverSec: number
  readonly #write: (line: string) => void
  readonly #now: () => number
  readonly #started: number
  #rounds = new Map<string, number>()
  /** By the estimate; the time left is in proportion to what was needed so far. */
  #expectedSec = 0
  #doneSec = 0
  /** Of what is under way: its estimate, and since when. */
  #current: { sec: number; since: number } | null = null

  /** `now` in milliseconds. */
  constructor(onceOverSec: number, write: (line: string) => void, now: () => number = () => performance.now()) {
    this.#onceOverSec = onceOverSec
    this.#write = write
    this.#now = now
    this.#started = now()
  }

  /** What there is to do. */
  expect(parts: readonly Part[]): void {
    for (const part of parts) {
      this.#rounds.set(keyOf(part), part.rounds)
      for (const task of part.tasks) {
        for (let round = 1; round <= part.rounds; round++) this.#expectedSec += this.#estimate(task, { ...part, round })
      }
    }
  }

  begin(task: Task, cell: Cell): void {
    this.#current = { sec: this.#estimate(task, cell), since: this.#now() }
  }

  done(task: Task, cell: Cell): void {
    this.#current = null
    this.#doneSec += this.#estimate(task, cell)
  }

  tell({ id }: System, { entries, latencyMs, round }: Cell, what: string): void {
    const latency = latencyMs === 0 ? '' : `, ${latencyMs} ms added`
    const size = entries.toLocaleString('en-US')
    const rounds = this.#rounds.get(keyOf({ entries, latencyMs }))
    const of = rounds === undefined ? '' : ` of ${rounds}`
    this.#write(`${size} entries${latency}, round ${round}${of}: ${id}: ${what}${this.#left()}`)
  }

  #estimate(task: Task, cell: Cell): number {
    return estimateSec(task, cell, this.#onceOverSec)
  }

  #left(): string {
    const leftSec = this.#expectedSec - this.#doneSec
    if (leftSec <= 0) return ''
    const { sec, since } = this.#current ?? { sec: 0, since: this.#now() }
    const pace = this.#doneSec === 0 ? 1 : (since - this.#started) / 1000 / this.#doneSec
    // What takes longer than it should is about to end, for all that is known.
    const current = Math.min((this.#now() - since) / 1000, sec * pace)
    return ` (about ${formatMinutes(leftSec * pace - current)} left)`
  }
}

const keyOf = ({ entries, latencyMs }: Omit<Cell, 'round'>): string => `${entries} ${latencyMs}`
