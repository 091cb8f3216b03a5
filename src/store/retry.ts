// Tries again what may pass: the one place of cairnfs that does (the SDK's own retries are off).
//
// Only `retryable` failures are repeated, after a pause drawn evenly from 0 to a bound that doubles ("full jitter", as in
// the AWS Architecture Blog's "Exponential Backoff and Jitter", 2015: clients that failed together do not come back
// together), until the call's deadline. It cuts a running try off too, unless bytes move (deadline.ts): no call hangs.
//
// Must stay true:
// - A failure of kind `retryable` may have taken effect. When a conditional put is repeated and then meets a failed
//   precondition, the object in the way may be our own first try: that is thrown with `ambiguous: true`, never decided
//   here. The caller reads the object back and compares. (A putIfMatch that meets `not-found` was not overtaken by
//   itself: a put never deletes.)
// - A try that timed out may still arrive at the store later. A plain put is therefore only for keys whose content does
//   not depend on the order of puts; everything with an order uses the conditional ones.
// - Requests are repeated one batch of keys at a time (delete), so that the store below sees single requests.
import type { Clock, Random } from '../platform/index.ts'
import { Deadline } from './deadline.ts'
import {
  bodyLengthBytes,
  deleteBatches,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type RequestProgress,
  type StoredObject,
  StoreError,
} from './object-store.ts'
import type { Operation } from './request-operation.ts'

export interface RetryOptions {
  clock: Clock
  random: Random
  /** How long a call may take with all its tries, without the time its bytes need or it waits for a connection, and how
   *  long nothing may move; 60 s unless told. A function is asked at each call: shorter deadlines while mounting, or by
   *  kind of request and key. */
  deadlineMs?: number | ((operation: Operation, key: string) => number)
  /** A call that moves a body gets this much more: its length, or what came of it, at this rate. 64 KiB/s unless told. */
  slowestBytesPerSecond?: number
  /** Bound of the first pause; it doubles from try to try. 50 ms unless told. */
  firstPauseMs?: number
  /** Bound of every pause; 5 s unless told. */
  longestPauseMs?: number
  /** Told of every failure that is going to be tried again. */
  onRetry?: (retry: { operation: Operation; key: string; tries: number; error: StoreError }) => void
}

/** A store whose calls are repeated until they succeed, fail for good or reach their deadline. */
export function withRetry(store: ObjectStore, options: RetryOptions): ObjectStore {
  return new RetryingStore(store, options)
}

interface Call {
  operation: Operation
  key: string
  /** Bytes to be moved, as far as they are known. */
  lengthBytes: number
  /** A failed precondition after an unanswered try may be our own doing. */
  conditional: boolean
  signal: AbortSignal | undefined
}

/** What the store below is given with each try. */
interface Run {
  signal: AbortSignal
  progress: RequestProgress
}

class RetryingStore implements ObjectStore {
  readonly name: string
  readonly #store: ObjectStore
  readonly #options: RetryOptions
  readonly #slowestBytesPerMs: number

  constructor(store: ObjectStore, options: RetryOptions) {
    this.name = store.name
    this.#store = store
    this.#options = options
    this.#slowestBytesPerMs = (options.slowestBytesPerSecond ?? 65_536) / 1000
  }

  get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    const call = { operation: 'get' as const, key, lengthBytes: options.lengthBytes ?? 0 }
    return this.#run({ ...call, conditional: false, signal: options.signal }, (run) =>
      this.#store.get(key, { ...options, ...run }),
    )
  }

  put(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    return this.#run(putCall(key, body, options, false), (run) => this.#store.put(key, body, { ...options, ...run }))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    return this.#run(putCall(key, body, options, true), (run) =>
      this.#store.putIfAbsent(key, body, { ...options, ...run }),
    )
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options: PutOptions = {}): Promise<Etag> {
    return this.#run(putCall(key, body, options, true), (run) =>
      this.#store.putIfMatch(key, body, etag, { ...options, ...run }),
    )
  }

  async delete(keys: readonly string[], options: PutOptions = {}): Promise<void> {
    for (const batch of deleteBatches(keys)) {
      const call = { operation: 'delete' as const, key: batch[0]!, lengthBytes: 0 }
      await this.#run({ ...call, conditional: false, signal: options.signal }, (run) => this.#store.delete(batch, run))
    }
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    const call = { operation: 'list' as const, key: prefix, lengthBytes: 0 }
    return this.#run({ ...call, conditional: false, signal: options.signal }, (run) =>
      this.#store.list(prefix, { ...options, ...run }),
    )
  }

  head(key: string, options: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    const call = { operation: 'head' as const, key, lengthBytes: 0 }
    return this.#run({ ...call, conditional: false, signal: options.signal }, (run) => this.#store.head(key, run))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #run<T>(call: Call, attempt: (run: Run) => Promise<T>): Promise<T> {
    call.signal?.throwIfAborted()
    const { clock, random, onRetry, firstPauseMs = 50, longestPauseMs = 5000 } = this.#options
    const stallMs = this.#stallMs(call)
    const abort = new AbortController()
    const onAbort = () => abort.abort(call.signal?.reason)
    call.signal?.addEventListener('abort', onAbort, { once: true })
    const limits = { stallMs, lengthBytes: call.lengthBytes, slowestBytesPerMs: this.#slowestBytesPerMs }
    const deadline = new Deadline(clock, limits, () =>
      abort.abort(new StoreError('retryable', `no answer within ${stallMs} ms`)),
    )
    let unanswered = false
    let tries = 0
    let last: StoreError | undefined
    try {
      for (let boundMs = firstPauseMs; ; boundMs = Math.min(boundMs * 2, longestPauseMs)) {
        tries++
        try {
          return await attempt({ signal: abort.signal, progress: deadline })
        } catch (error) {
          if (call.signal?.aborted || abort.signal.aborted || !(error instanceof StoreError)) throw error
          if (error.kind === 'precondition-failed' && unanswered && call.conditional)
            throw new StoreError(error.kind, `${error.message} (an earlier try may be what stands there)`, {
              cause: error,
              ambiguous: true,
            })
          if (error.kind !== 'retryable') throw error
          last = error
        }
        unanswered = true
        const pauseMs = random.next() * boundMs
        if (!deadline.allowsTryAfter(pauseMs)) throw last
        onRetry?.({ operation: call.operation, key: call.key, tries, error: last })
        await clock.sleep(pauseMs, abort.signal)
      }
    } catch (error) {
      if (call.signal?.aborted) throw call.signal.reason
      if (error instanceof StoreError && error.kind === 'retryable') throw this.#givenUp(call, tries, error, last)
      throw error
    } finally {
      deadline.cancel()
      call.signal?.removeEventListener('abort', onAbort)
    }
  }

  #givenUp(call: Call, tries: number, error: StoreError, last: StoreError | undefined): StoreError {
    const failures = error === last || last === undefined ? error.message : `${error.message}; before: ${last.message}`
    const message = `${this.name}: gave up ${call.operation} ${call.key} after ${tries} tries: ${failures}`
    return new StoreError('retryable', message, { cause: error })
  }

  #stallMs({ operation, key }: Call): number {
    const { deadlineMs = 60_000 } = this.#options
    return typeof deadlineMs === 'number' ? deadlineMs : deadlineMs(operation, key)
  }
}

function putCall(key: string, body: readonly Uint8Array[], { signal }: PutOptions, conditional: boolean): Call {
  return { operation: 'put', key, lengthBytes: bodyLengthBytes(body), conditional, signal }
}
