// What stands before every operation, whatever it is: nothing is served once the slot is lost, changes wait while those before
// them take more than their share of memory, and they are counted.
//
// Must stay true:
// - An operation that waited finds the filesystem as it is then: it has checked nothing before.
// - While `version` stays the same number, every answer does.
import { type Clock, errnoError, isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import type { Database } from '../tables/index.ts'

/** How often it is looked whether a change may go on. */
const ROOM_POLL_MS = 10

export interface Guards {
  /** An operation that only reads. EIO when what is in memory may be stale (DESIGN section 5, promise 4). */
  reading<A extends unknown[], R>(operation: (...args: A) => R): (...args: A) => R
  /** An operation that changes something. */
  changing<A extends unknown[], R>(operation: (...args: A) => MaybePromise<R>): (...args: A) => MaybePromise<R>
  /** Counts an operation as a change; `changing` does. */
  counted<R>(operation: () => MaybePromise<R>): MaybePromise<R>
  /** How many changes there were; NaN while one is under way, or when nothing is served. */
  readonly version: number
}

/** How many operations there were, of all sorts. */
export interface Served {
  operations: number
}

export function createGuards(database: Database, clock: Clock, served: Served): Guards {
  const assertHeld = () => {
    if (database.isLost && ruleHolds('a lost slot serves nothing')) throw errnoError('EIO')
  }
  let changes = 0
  let underWay = 0
  const counted = <R>(operation: () => MaybePromise<R>): MaybePromise<R> => {
    served.operations++
    changes++
    underWay++
    let result: MaybePromise<R>
    try {
      result = operation()
    } catch (error) {
      underWay--
      throw error
    }
    if (!isPromise(result)) {
      underWay--
      return result
    }
    return result.finally(() => {
      underWay--
    })
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
        served.operations++
        return operation(...args)
      },
    changing:
      (operation) =>
      (...args) => {
        assertHeld()
        return counted(() => {
          if (!database.isFull || database.failure !== null) return operation(...args)
          return room().then(() => {
            assertHeld()
            return operation(...args)
          })
        })
      },
    counted,
    get version() {
      return underWay > 0 || database.isLost ? Number.NaN : changes
    },
  }
}
