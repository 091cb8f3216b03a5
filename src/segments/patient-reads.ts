// Reads of a disk that may not answer at all, a few at a time: each occupies a thread, of which there are few.
//
// Must stay true:
// - A read that hangs keeps its place until the disk lets go of it: however long that is, no more threads are lost.
// - Whoever waits is told when one has taken too long, those behind it as well: from then on nobody waits for the disk.
import PQueue from 'p-queue'
import type { Clock } from '../platform/index.ts'

export class PatientReads {
  readonly #clock: Clock
  readonly #patienceMs: number
  readonly #queue: PQueue
  readonly #waiting = new Set<(error: Error) => void>()

  constructor({ clock, atATime, patienceMs }: { clock: Clock; atATime: number; patienceMs: number }) {
    this.#clock = clock
    this.#patienceMs = patienceMs
    this.#queue = new PQueue({ concurrency: atATime })
  }

  /** Runs `read` when its turn comes. Rejects as it does, and when it, or another one, has taken too long. */
  add<T>(read: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = (error: Error) => {
        this.#waiting.delete(giveUp)
        reject(error)
      }
      this.#waiting.add(giveUp)
      void this.#queue.add(async () => {
        // Its turn came too late.
        if (!this.#waiting.has(giveUp)) return
        const timer = this.#clock.after(this.#patienceMs, () => this.#giveAllUp())
        await read().then(resolve, reject)
        timer.cancel()
        this.#waiting.delete(giveUp)
      })
    })
  }

  #giveAllUp(): void {
    const error = new Error(`the disk did not answer for ${this.#patienceMs / 1000} s`)
    for (const giveUp of [...this.#waiting]) giveUp(error)
  }
}
