// Makes a store as slow as a distant one: every request waits first. For tests and benchmarks.
//
// Must stay true: requests wait side by side, as they would on a wire; a delete waits once per batch.
import type { Clock } from '../platform/index.ts'
import {
  deleteBatches,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
} from './object-store.ts'

export interface LatencyOptions {
  clock: Clock
  /** Added to every request. */
  latencyMs: number
}

export function withLatency(store: ObjectStore, options: LatencyOptions): ObjectStore {
  return new LatentStore(store, options)
}

class LatentStore implements ObjectStore {
  readonly name: string
  readonly #store: ObjectStore
  readonly #options: LatencyOptions

  constructor(store: ObjectStore, options: LatencyOptions) {
    this.name = store.name
    this.#store = store
    this.#options = options
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    await this.#wait(options.signal)
    return this.#store.get(key, options)
  }

  async put(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    await this.#wait(options.signal)
    return this.#store.put(key, body, options)
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    await this.#wait(options.signal)
    return this.#store.putIfAbsent(key, body, options)
  }

  async putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options: PutOptions = {}): Promise<Etag> {
    await this.#wait(options.signal)
    return this.#store.putIfMatch(key, body, etag, options)
  }

  async delete(keys: readonly string[], options: PutOptions = {}): Promise<void> {
    for (const batch of deleteBatches(keys)) {
      await this.#wait(options.signal)
      await this.#store.delete(batch, options)
    }
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    await this.#wait(options.signal)
    return this.#store.list(prefix, options)
  }

  async head(key: string, options: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    await this.#wait(options.signal)
    return this.#store.head(key, options)
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return this.#options.clock.sleep(this.#options.latencyMs, signal)
  }
}
