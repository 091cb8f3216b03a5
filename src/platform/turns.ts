// Long work in several turns of the event loop: a generator that yields where others may have their turn.
import type { Clock } from './clock.ts'
import type { MaybePromise } from './maybe-promise.ts'

/** Runs it, a turn for each of its steps; the first in this one. */
export function inTurns<T>(work: Iterator<void, T>, clock: Pick<Clock, 'yield'>): MaybePromise<T> {
  const first = work.next()
  return first.done ? first.value : goOn(work, clock)
}

async function goOn<T>(work: Iterator<void, T>, clock: Pick<Clock, 'yield'>): Promise<T> {
  for (;;) {
    await clock.yield()
    const step = work.next()
    if (step.done) return step.value
  }
}

/** Runs it in this turn. */
export function atOnce<T>(work: Iterator<void, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done) return step.value
  }
}
