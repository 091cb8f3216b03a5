// A store that tells of every request that failed for good; and how such failures are told apart.
import { type ObjectStore, StoreError, type StoreErrorKind } from '../../src/store/index.ts'

/** Failures that are an answer. */
const ANSWERS: readonly StoreErrorKind[] = ['not-found', 'precondition-failed']

export function counted(store: ObjectStore, onGivenUp: () => void): ObjectStore {
  const told = <T>(answer: Promise<T>): Promise<T> => {
    answer.catch((error: unknown) => {
      const isAnswer = error instanceof StoreError && ANSWERS.includes(error.kind)
      if (!isAnswer) onGivenUp()
    })
    return answer
  }
  return {
    name: store.name,
    get: (...args) => told(store.get(...args)),
    put: (...args) => told(store.put(...args)),
    putIfAbsent: (...args) => told(store.putIfAbsent(...args)),
    putIfMatch: (...args) => told(store.putIfMatch(...args)),
    delete: (...args) => told(store.delete(...args)),
    list: (...args) => told(store.list(...args)),
    head: (...args) => told(store.head(...args)),
    close: () => store.close(),
  }
}

/** Whether an error comes from a request that got no answer. */
export function isGivenUp(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof StoreError) return !ANSWERS.includes(cause.kind)
  return false
}

/** Whether an error comes from an object that is not there. */
export function isMissing(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof StoreError && cause.kind === 'not-found') return true
  return false
}
