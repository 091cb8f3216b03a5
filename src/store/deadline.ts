// How long one call of retry.ts may take: what is slow is waited for, what is stuck is cut off.
//
// Must stay true:
// - Time runs only while the call could get on: not while it waits in the store for a connection. Those ahead of it have
//   deadlines of their own, so that its turn comes.
// - A try on which bytes move is not cut off. Past the end, though, no new one begins, and the end moves on only with the
//   furthest that any try came: so a call whose connections always break half-way ends too.
import type { Clock } from '../platform/index.ts'
import type { RequestProgress } from './object-store.ts'

export class Deadline implements RequestProgress {
  readonly #clock: Clock
  readonly #stallMs: number
  readonly #slowestBytesPerMs: number
  readonly #onPassed: () => void
  /** When no new try begins any more. */
  #endMs: number
  /** When something moved last in the present try; before any did, -Infinity. */
  #movedMs = Number.NEGATIVE_INFINITY
  /** Since when the call waits for a connection. */
  #queuedMs: number | undefined
  #mostBytes: number
  #timer: { cancel(): void } | undefined

  /** A call gets `stallMs`, and more for its `lengthBytes`, as far as they are known. `onPassed` cuts its try off. */
  constructor(
    clock: Clock,
    limits: { stallMs: number; lengthBytes: number; slowestBytesPerMs: number },
    onPassed: () => void,
  ) {
    this.#clock = clock
    this.#stallMs = limits.stallMs
    this.#slowestBytesPerMs = limits.slowestBytesPerMs
    this.#onPassed = onPassed
    this.#mostBytes = limits.lengthBytes
    this.#endMs = clock.monotonicMs() + this.#stallMs + limits.lengthBytes / this.#slowestBytesPerMs
    this.#arm()
  }

  queued(): void {
    this.#queuedMs ??= this.#clock.monotonicMs()
    this.#timer?.cancel()
  }

  moved(bytes: number): void {
    this.#unqueue()
    if (bytes === 0) return
    this.#movedMs = this.#clock.monotonicMs()
    if (bytes <= this.#mostBytes) return
    this.#endMs += (bytes - this.#mostBytes) / this.#slowestBytesPerMs
    this.#mostBytes = bytes
  }

  /** A try has ended. Tells whether another may begin after this pause. */
  allowsTryAfter(pauseMs: number): boolean {
    this.#unqueue()
    this.#movedMs = Number.NEGATIVE_INFINITY
    const isAllowed = this.#clock.monotonicMs() + pauseMs < this.#endMs
    this.#timer?.cancel()
    if (isAllowed) this.#arm()
    return isAllowed
  }

  cancel(): void {
    this.#timer?.cancel()
  }

  #unqueue(): void {
    if (this.#queuedMs === undefined) return
    this.#endMs += this.#clock.monotonicMs() - this.#queuedMs
    this.#queuedMs = undefined
    this.#arm()
  }

  /** What moved meanwhile is seen when the timer fires: nothing is done for each chunk. */
  #arm(): void {
    const leftMs = Math.max(this.#endMs, this.#movedMs + this.#stallMs) - this.#clock.monotonicMs()
    if (leftMs <= 0) this.#onPassed()
    else this.#timer = this.#clock.after(leftMs, () => this.#arm())
  }
}
