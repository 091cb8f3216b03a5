// A bucket in memory: for tests and simulations.
//
// Must stay true: every effect happens in one synchronous turn, after one turn of waiting, so that callers see the
// interleavings a real store would show; bodies are copied in and out, so that nobody shares bytes with the store.
import { crc32c } from '../platform/index.ts'
import { checkKey, compareKeys, listLimit } from './keys.ts'
import {
  bodyLengthBytes,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
  StoreError,
} from './object-store.ts'

interface Entry {
  body: Buffer
  etag: Etag
}

/** An empty store. Two stores share nothing, whatever their names. */
export function createMemoryStore(name = 'memory:'): ObjectStore {
  return new MemoryStore(name)
}

class MemoryStore implements ObjectStore {
  readonly #entries = new Map<string, Entry>()
  /** The keys in listing order; rebuilt by the first list after a key came or went. */
  #sorted: string[] | undefined
  #puts = 0

  constructor(readonly name: string) {}

  async get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    await this.#begin(key, options.signal)
    const { body, etag } = this.#find(key)
    const start = Math.min(options.offset ?? 0, body.length)
    const end = Math.min(start + (options.lengthBytes ?? body.length), body.length)
    const copy = (options.allocate ?? Buffer.allocUnsafeSlow)(end - start)
    body.copy(copy, 0, start, end)
    return { body: copy, etag }
  }

  async put(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    await this.#begin(key, options.signal)
    return this.#set(key, body, options)
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    await this.#begin(key, options.signal)
    if (this.#entries.has(key)) throw new StoreError('precondition-failed', `${this.name}: ${key} exists`)
    return this.#set(key, body, options)
  }

  async putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options: PutOptions = {}): Promise<Etag> {
    await this.#begin(key, options.signal)
    if (this.#find(key).etag !== etag)
      throw new StoreError('precondition-failed', `${this.name}: ${key} has another etag`)
    return this.#set(key, body, options)
  }

  async delete(keys: readonly string[], options: PutOptions = {}): Promise<void> {
    for (const key of keys) checkKey(key)
    await this.#turn(options.signal)
    for (const key of keys) if (this.#entries.delete(key)) this.#sorted = undefined
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    await this.#turn(options.signal)
    this.#sorted ??= [...this.#entries.keys()].sort(compareKeys)
    const limit = listLimit(options.limit)
    const objects: ListPage['objects'] = []
    const sorted = this.#sorted
    const from = options.startAfter === undefined ? 0 : firstAfter(sorted, options.startAfter)
    for (let i = Math.max(from, firstNotBefore(sorted, prefix)); i < sorted.length; i++) {
      const key = sorted[i]!
      if (!key.startsWith(prefix)) break
      if (objects.length === limit) return { objects, next: objects[objects.length - 1]!.key }
      const { body, etag } = this.#entries.get(key)!
      objects.push({ key, sizeBytes: body.length, etag })
    }
    return { objects }
  }

  async head(key: string, options: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    await this.#begin(key, options.signal)
    const { body, etag } = this.#find(key)
    return { sizeBytes: body.length, etag }
  }

  async close(): Promise<void> {}

  #begin(key: string, signal: AbortSignal | undefined): Promise<void> {
    checkKey(key)
    return this.#turn(signal)
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    await undefined
    signal?.throwIfAborted()
  }

  #find(key: string): Entry {
    const entry = this.#entries.get(key)
    if (entry === undefined) throw new StoreError('not-found', `${this.name}: ${key} does not exist`)
    return entry
  }

  #set(key: string, parts: readonly Uint8Array[], { bodyCrc32c }: PutOptions): Etag {
    const body = Buffer.allocUnsafeSlow(bodyLengthBytes(parts))
    let at = 0
    for (const part of parts) {
      body.set(part, at)
      at += part.length
    }
    if (bodyCrc32c !== undefined && bodyCrc32c !== crc32c(body))
      throw new StoreError('retryable', `${this.name}: the body of ${key} has another crc32c than was said`)
    if (!this.#entries.has(key)) this.#sorted = undefined
    const etag = `"${++this.#puts}"` as Etag
    this.#entries.set(key, { body, etag })
    return etag
  }
}

/** Index of the first key that `isAfter`; the keys are sorted so that those come last. */
function partition(sorted: readonly string[], isAfter: (key: string) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAfter(sorted[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

const firstAfter = (sorted: readonly string[], key: string) => partition(sorted, (other) => compareKeys(other, key) > 0)
const firstNotBefore = (sorted: readonly string[], key: string) =>
  partition(sorted, (other) => compareKeys(other, key) >= 0)
