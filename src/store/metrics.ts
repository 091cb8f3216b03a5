// Counts the requests of a store: how many of each operation, how many failed, bytes each way, how long they took.
//
// Must stay true:
// - It sits under retry.ts and directly on the store, where one call is one request (a delete: one per batch), so that
//   its counts equal what the service itself counts. Two exceptions, both rare: a get of no bytes takes a HEAD more on
//   S3, and a request whose connection failed may never have been seen by the service.
// - A request is counted when it is sent, whatever comes of it; an aborted one has been sent too.
import { type Counter, type Gauge, type Histogram, observe, type Registry } from '../observe/index.ts'
import type { Clock } from '../platform/index.ts'
import {
  bodyLengthBytes,
  deleteBatches,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
  StoreError,
} from './object-store.ts'
import { OPERATIONS, type Operation } from './request-operation.ts'

export interface MetricsOptions {
  clock: Clock
  /** Takes `store.requests.OPERATION`, `store.failures.OPERATION`, `store.latency_ms.OPERATION`, `store.bytes_in`,
   *  `store.bytes_out` and `store.in_flight`. */
  registry: Registry
}

/** A store whose requests are counted in the registry. */
export function withMetrics(store: ObjectStore, options: MetricsOptions): ObjectStore {
  return new MeteredStore(store, options)
}

/** How many requests of each operation were sent so far. */
export function storeRequests(registry: Registry): Record<Operation, number> {
  const count = (operation: Operation) => registry.counter(`store.requests.${operation}`).value
  return { get: count('get'), put: count('put'), delete: count('delete'), list: count('list'), head: count('head') }
}

interface OperationMetrics {
  requests: Counter
  failures: Counter
  latencyMs: Histogram
}

class MeteredStore implements ObjectStore {
  readonly name: string
  readonly #store: ObjectStore
  readonly #clock: Clock
  readonly #operations: Record<Operation, OperationMetrics>
  readonly #bytesIn: Counter
  readonly #bytesOut: Counter
  readonly #inFlight: Gauge

  constructor(store: ObjectStore, { clock, registry }: MetricsOptions) {
    this.name = store.name
    this.#store = store
    this.#clock = clock
    this.#operations = Object.fromEntries(
      OPERATIONS.map((operation) => [
        operation,
        {
          requests: registry.counter(`store.requests.${operation}`),
          failures: registry.counter(`store.failures.${operation}`),
          latencyMs: registry.histogram(`store.latency_ms.${operation}`),
        },
      ]),
    ) as Record<Operation, OperationMetrics>
    this.#bytesIn = registry.counter('store.bytes_in')
    this.#bytesOut = registry.counter('store.bytes_out')
    this.#inFlight = registry.gauge('store.in_flight')
  }

  async get(key: string, options?: GetOptions): Promise<StoredObject> {
    const found = await this.#count('get', this.#store.get(key, options))
    this.#bytesIn.value += found.body.length
    return found
  }

  put(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    this.#bytesOut.value += bodyLengthBytes(body)
    return this.#count('put', this.#store.put(key, body, options))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    this.#bytesOut.value += bodyLengthBytes(body)
    return this.#count('put', this.#store.putIfAbsent(key, body, options))
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options?: PutOptions): Promise<Etag> {
    this.#bytesOut.value += bodyLengthBytes(body)
    return this.#count('put', this.#store.putIfMatch(key, body, etag, options))
  }

  async delete(keys: readonly string[], options?: PutOptions): Promise<void> {
    for (const batch of deleteBatches(keys)) await this.#count('delete', this.#store.delete(batch, options))
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#count('list', this.#store.list(prefix, options))
  }

  head(key: string, options?: PutOptions): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#count('head', this.#store.head(key, options))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #count<T>(operation: Operation, request: Promise<T>): Promise<T> {
    const { requests, failures, latencyMs } = this.#operations[operation]
    const startedMs = this.#clock.monotonicMs()
    requests.value++
    this.#inFlight.value++
    try {
      return await request
    } catch (error) {
      if (isFailure(error)) failures.value++
      throw error
    } finally {
      this.#inFlight.value--
      observe(latencyMs, this.#clock.monotonicMs() - startedMs)
    }
  }
}

/** "No such key" and a failed precondition are answers, not failures. */
function isFailure(error: unknown): boolean {
  return !(error instanceof StoreError && (error.kind === 'not-found' || error.kind === 'precondition-failed'))
}
