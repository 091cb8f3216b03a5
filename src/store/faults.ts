// Makes chosen requests fail, before or after they took effect. For tests and the simulation.
//
// Must stay true: a fault `after` lets the request take effect and then loses its answer, which is what a network does;
// faults are tried in the order they were set, and one request meets at most one.
import {
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
import type { Operation } from './request-operation.ts'

export interface Fault {
  /** Any unless told. */
  operation?: Operation
  /** A key (of a delete the first of a batch, of a list the prefix), or what it must match; any unless told. */
  key?: string | RegExp
  when: 'before' | 'after'
  /** What the caller gets; `retryable` unless told. */
  error?: StoreError
  /** How many requests fail; 1 unless told. */
  times?: number
  /** How many matching requests pass first; 0 unless told. */
  skip?: number
}

export interface FaultyStore extends ObjectStore {
  /** Sets a fault. The function returned removes it, and tells how many requests it made fail. */
  fail(fault: Fault): () => number
}

/** Passes everything on until faults are set. */
export function withFaults(store: ObjectStore): FaultyStore {
  return new FaultInjectingStore(store)
}

interface ActiveFault extends Fault {
  seen: number
  failed: number
}

class FaultInjectingStore implements FaultyStore {
  readonly name: string
  readonly #store: ObjectStore
  readonly #faults = new Set<ActiveFault>()

  constructor(store: ObjectStore) {
    this.name = store.name
    this.#store = store
  }

  fail(fault: Fault): () => number {
    const active = { ...fault, seen: 0, failed: 0 }
    this.#faults.add(active)
    return () => {
      this.#faults.delete(active)
      return active.failed
    }
  }

  get(key: string, options?: GetOptions): Promise<StoredObject> {
    return this.#run('get', key, () => this.#store.get(key, options))
  }

  put(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    return this.#run('put', key, () => this.#store.put(key, body, options))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    return this.#run('put', key, () => this.#store.putIfAbsent(key, body, options))
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options?: PutOptions): Promise<Etag> {
    return this.#run('put', key, () => this.#store.putIfMatch(key, body, etag, options))
  }

  async delete(keys: readonly string[], options?: PutOptions): Promise<void> {
    for (const batch of deleteBatches(keys))
      await this.#run('delete', batch[0]!, () => this.#store.delete(batch, options))
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#run('list', prefix, () => this.#store.list(prefix, options))
  }

  head(key: string, options?: PutOptions): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#run('head', key, () => this.#store.head(key, options))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #run<T>(operation: Operation, key: string, request: () => Promise<T>): Promise<T> {
    const fault = this.#meet(operation, key)
    if (fault === undefined) return request()
    if (fault.when === 'after') await request()
    throw (
      fault.error ?? new StoreError('retryable', `${this.name}: ${operation} ${key}: injected, ${fault.when} effect`)
    )
  }

  #meet(operation: Operation, key: string): ActiveFault | undefined {
    for (const fault of this.#faults) {
      if (!matches(fault, operation, key) || fault.seen++ < (fault.skip ?? 0)) continue
      if (fault.failed < (fault.times ?? 1)) {
        fault.failed++
        return fault
      }
    }
    return undefined
  }
}

function matches(fault: Fault, operation: Operation, key: string): boolean {
  if (fault.operation !== undefined && fault.operation !== operation) return false
  if (fault.key === undefined) return true
  return typeof fault.key === 'string' ? fault.key === key : fault.key.test(key)
}
