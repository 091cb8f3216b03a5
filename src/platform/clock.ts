// Time, timers and chance, as arguments: everything from vfs/ down takes them, so that a whole filesystem can run in a
// simulation without a real clock.

/** Seconds since 1970 and the nanoseconds within the second (0 to 999,999,999), as struct timespec. */
export interface Timespec {
  sec: number
  nsec: number
}

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, for timestamps of files. May jump. */
  now(): Timespec
  /** Milliseconds that only ever grow; the origin is arbitrary. For leases, intervals and deadlines. */
  monotonicMs(): number
  /** Calls `callback` once after `delayMs`, unless cancelled. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** Resolves in a later turn of the event loop, after pending I/O had a chance. */
  yield(): Promise<void>
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** `length` random bytes; cryptographic in the system implementation. */
  bytes(length: number): Buffer
}

export const systemClock: Clock = {
  now() {
    const ms = performance.timeOrigin + performance.now()
    const sec = Math.floor(ms / 1000)
    return { sec, nsec: Math.min(999_999_999, Math.floor((ms - sec * 1000) * 1e6)) }
  },
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
  yield: () => new Promise((resolve) => setImmediate(resolve)),
}
