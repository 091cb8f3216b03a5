// What the bench is doing, and how long it may still take, on standard error.
import type { Cell } from './results.ts'
import type { System } from './systems/index.ts'

export class Progress {
  readonly #rounds: number
  readonly #write: (line: string) => void
  readonly #now: () => number
  readonly #started: number
  #expected = 0
  #done = 0

  /** `now` in milliseconds. */
  constructor(rounds: number, write: (line: string) => void, now: () => number = () => performance.now()) {
    this.#rounds = rounds
    this.#write = write
    this.#now = now
    this.#started = now()
  }

  /** How much there is to do, in entries. */
  expect(entries: number): void {
    this.#expected = entries
  }

  done(entries: number): void {
    this.#done += entries
  }

  tell({ id }: System, { entries, latencyMs, round }: Cell, what: string): void {
    const latency = latencyMs === 0 ? '' : `, ${latencyMs} ms added`
    const size = entries.toLocaleString('en-US')
    this.#write(`${size} entries${latency}, round ${round} of ${this.#rounds}: ${id}: ${what}${this.#left()}`)
  }

  say(what: string): void {
    this.#write(what)
  }

  #left(): string {
    if (this.#done === 0) return ''
    const leftMs = ((this.#now() - this.#started) / this.#done) * (this.#expected - this.#done)
    const minutes = Math.ceil(leftMs / 60_000)
    return ` (about ${minutes} min left)`
  }
}
