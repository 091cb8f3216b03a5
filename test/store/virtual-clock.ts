// A clock that runs only when somebody sleeps: a minute of retries takes no time.
import type { Clock } from '../../src/platform/index.ts'

export interface VirtualClock extends Clock {
  /** Moves time on and fires what falls due. */
  advance(ms: number): void
}

export function createVirtualClock(): VirtualClock {
  let nowMs = 0
  const timers = new Set<{ atMs: number; callback: () => void }>()
  const advance = (ms: number) => {
    nowMs += ms
    for (const timer of [...timers].filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs)) {
      timers.delete(timer)
      timer.callback()
    }
  }
  return {
    now: () => ({ sec: Math.floor(nowMs / 1000), nsec: Math.round((nowMs % 1000) * 1e6) }),
    monotonicMs: () => nowMs,
    after(delayMs, callback) {
      const timer = { atMs: nowMs + delayMs, callback }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    async sleep(delayMs, signal) {
      advance(delayMs)
      signal?.throwIfAborted()
    },
    yield: () => new Promise((resolve) => setImmediate(resolve)),
    advance,
  }
}
