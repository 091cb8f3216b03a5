// Notifications to the kernel: "forget what you cache", and "cache this". They are sent one at a time, in order, from a thread of the
// pool, never by the thread that answers requests.
//
// Must stay true: no notification is written by the serving thread. The kernel carries it out within the write, and
// waits there for locks: INVAL_INODE and STORE for pages that a READ of ours is to fill, INVAL_ENTRY for the directory that a
// CREATE or UNLINK holds while it waits for us, even one that we have not read yet. The thread that could answer must
// not be the one that waits. Within a handler the kernel waits for that very handler's reply, which must not wait for the
// notification. It begins at once, mostly before the reply: it is then the first to get the directory that the reply frees.
import { constants } from 'node:os'
import { FsError } from '../platform/index.ts'

interface Queued {
  message: readonly Uint8Array[]
  resolve: (isDone: boolean) => void
  reject: (error: unknown) => void
}

/** Notifications that may wait. Who has more to say than this awaits the promises. */
const QUEUE_MAX = 65_536

const { ENOENT, ENODEV, ENOTCONN } = constants.errno

export class Notifier {
  readonly #write: (message: readonly Uint8Array[]) => Promise<number>
  readonly #queue: Queued[] = []
  /** Ends when nothing waits any more. Never rejects. */
  #sending: Promise<void> | null = null

  /** `write` writes what lies in these parts to the device, in one call, without holding up the event loop, and gives 0 or
   *  more, or a negative errno. */
  constructor(write: (message: readonly Uint8Array[]) => Promise<number>) {
    this.#write = write
  }

  /** Sends a whole notification, in parts that must not change meanwhile; resolves when the kernel has carried it out, or
   *  to false where it had nothing to do. Rejects with ENOBUFS
   *  when too many wait. */
  send(...message: readonly Uint8Array[]): Promise<boolean> {
    if (this.#queue.length >= QUEUE_MAX) {
      return Promise.reject(new FsError('ENOBUFS', `${QUEUE_MAX} notifications wait for the kernel: await some first`))
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ message, resolve, reject })
      this.#sending ??= this.#drain()
    })
  }

  /** Resolves when nothing waits; null when nothing does. */
  get busy(): Promise<void> | null {
    return this.#sending
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        const result = await this.#write(next.message)
        // ENOENT: the kernel knows no such inode or name. ENODEV: the mount is gone, its caches with it.
        const isVain = result === -ENOENT || result === -ENODEV || result === -ENOTCONN
        if (result >= 0 || isVain) next.resolve(!isVain)
        else next.reject(new FsError('EIO', `the kernel refused a notification with errno ${-result}`))
      } catch (error) {
        next.reject(error)
      }
    }
    this.#sending = null
  }
}
