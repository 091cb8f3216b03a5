// How close commits follow each other while others are on their way.
//
// An answer of the store takes long, and whoever asks alone should not wait for two of them: so a commit may begin before
// the one ahead of it is answered. But if each of a hundred that ask within one answer's time began its own, they would
// cost a hundred PUTs. So commits begin half an answer's time apart: who comes meanwhile shares the next.
//
// Must stay true: nobody waits for a commit to begin when none is under way, however slow the last ones were.
import type { Clock } from '../platform/index.ts'

const UNDER_WAY_MAX = 4
/** Weight of the last answer in what the next is expected to take. */
const LAST_WEIGHT = 0.25

export class CommitPace {
  readonly #clock: () => Clock
  readonly #underWay = new Set<Promise<void>>()
  #begunMs = 0
  /** What an answer is expected to take; 0 before the first. */
  #answerMs = 0

  constructor(clock: () => Clock) {
    this.#clock = clock
  }

  /** A commit was sent; `durable` tells what became of it. */
  begun(durable: Promise<void>): void {
    const clock = this.#clock()
    const begunMs = clock.monotonicMs()
    this.#begunMs = begunMs
    const ended = durable.then(
      () => {
        const tookMs = clock.monotonicMs() - begunMs
        this.#answerMs = this.#answerMs === 0 ? tookMs : this.#answerMs + LAST_WEIGHT * (tookMs - this.#answerMs)
      },
      () => {}, // Whoever asked for it is told; how long a failure takes says nothing.
    )
    const noted = ended.then(() => {
      this.#underWay.delete(noted)
    })
    this.#underWay.add(noted)
  }

  /** Null when the next commit may begin now; otherwise resolves when it may. Never rejects. */
  turn(): Promise<void> | null {
    return this.#mayBegin() ? null : this.#waited()
  }

  async #waited(): Promise<void> {
    while (!this.#mayBegin()) {
      const leftMs = this.#leftMs()
      let timer: { cancel(): void } | undefined
      const passed = new Promise<void>((resolve) => {
        if (leftMs > 0) timer = this.#clock().after(leftMs, resolve)
      })
      await Promise.race([passed, ...this.#underWay])
      timer?.cancel()
    }
  }

  #mayBegin(): boolean {
    const count = this.#underWay.size
    return count === 0 || (count < UNDER_WAY_MAX && this.#leftMs() <= 0)
  }

  /** Until half an answer's time has passed since the last commit. */
  #leftMs(): number {
    return this.#begunMs + this.#answerMs / 2 - this.#clock().monotonicMs()
  }
}
