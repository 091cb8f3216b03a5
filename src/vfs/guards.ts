// What stands before every operation, whatever it is: nothing is served once the slot is lost, and changes wait while
// those before them take more than their share of memory.
//
// Must stay true: an operation that waited finds the filesystem as it is then: it has checked nothing before.
import { type Clock, errnoError, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { Database } from '../tables/index.ts'

/** How often it is looked whether a change may go on. */
const ROOM_POLL_MS = 10

export interface Guards {
  /** An operation that only reads. EIO when what is in memory may be stale (DESIGN section 5, promise 4). */
  reading<A extends unknown[], R>(operation: (...args: A) => R): (...args: A) => R
  /** An operation that changes something. */
  changing<A extends unknown[], R>(operation: (...args: A) => MaybePromise<R>): (...args: A) => MaybePromise<R>
}

export function createGuards(database: Database, clock: Clock): Guards {
  const assertHeld = () => {
    if (database.isLost && ruleHolds('a lost slot serves nothing')) throw errnoError('EIO')
  }
  // A commit or a checkpoint is under way or due whenever it is full; one that failed for good ends the wait.
  const room = async () => {
    while (database.isFull && database.failure === null) await clock.sleep(ROOM_POLL_MS)
  }
  return {
    reading:
      (operation) =>
      (...args) => {
        assertHeld()
        return operation(...args)
      },
    changing:
      (operation) =>
      (...args) => {
        assertHeld()
        if (!database.isFull || database.failure !== null) return operation(...args)
        return room().then(() => {
          assertHeld()
          return operation(...args)
        })
      },
  }
}
