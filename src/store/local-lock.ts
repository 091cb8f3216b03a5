// One lock per local store, among all its processes on this host: a file locked with flock(2).
//
// Why flock and no lock file with an owner's name in it: the kernel drops the lock when the holder dies, however it
// dies, so there is no stale lock to recognise and no two processes that both break it. A descriptor opened for the
// lock is closed to release it and is never inherited (Node opens with O_CLOEXEC).
//
// Must stay true: the lock is held for a check and one rename, never while data is written or synced.
import type { Clock } from '../platform/index.ts'
import type { Disk } from './local-disk.ts'
import { StoreError } from './object-store.ts'

/** Only a stopped process or a hanging filesystem holds the lock for so long. */
const GIVE_UP_MS = 10_000
const LONGEST_PAUSE_MS = 16

export class LocalLock {
  /** Settles when the last of this process's holders is done: they queue here, and only the first asks the kernel. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #disk: Disk
  readonly #path: string
  readonly #clock: Clock

  constructor(disk: Disk, path: string, clock: Clock) {
    this.#disk = disk
    this.#path = path
    this.#clock = clock
  }

  /** Runs `work` while no other process or caller runs theirs. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => this.#locked(work))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = this.#disk.openLock(this.#path)
    try {
      const giveUpAt = this.#clock.monotonicMs() + GIVE_UP_MS
      for (let pauseMs = 1; !lock.tryLock(); pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
        if (this.#clock.monotonicMs() > giveUpAt)
          throw new StoreError('retryable', `${this.#path} has been locked by another process for ${GIVE_UP_MS} ms`)
        await this.#clock.sleep(pauseMs)
      }
      return await work()
    } finally {
      lock.close()
    }
  }
}
