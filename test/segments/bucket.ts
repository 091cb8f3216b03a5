// A bucket in memory for the tests of segments/ and data/: counts requests, and can hold, fail or damage them.
import {
  type Etag,
  type GetOptions,
  type ListPage,
  type ObjectStore,
  type StoredObject,
  StoreError,
} from '../../src/store/index.ts'

export class Bucket implements ObjectStore {
  readonly name = 'test'
  readonly objects = new Map<string, Buffer>()
  readonly log: string[] = []
  gets = 0
  puts = 0
  deleted: string[] = []
  bytesGot = 0
  inFlight = 0
  mostInFlight = 0
  /** Asked before each put; throws to fail it, or does so after the effect when it returns 'after'. */
  onPut: (key: string, nth: number) => Promise<'after' | undefined> = async () => undefined
  /** May change what a get returns, or throw. */
  onGet: (key: string, body: Buffer, nth: number) => Promise<Buffer> = async (_key, body) => body

  async get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    this.gets += 1
    const nth = this.gets
    const { offset = 0, lengthBytes } = options
    this.log.push(`get ${key} ${offset} ${lengthBytes ?? 'end'}`)
    this.#begin()
    await Promise.resolve()
    try {
      const object = this.objects.get(key)
      if (object === undefined) throw new StoreError('not-found', `no ${key}`)
      const end = lengthBytes === undefined ? object.length : Math.min(object.length, offset + lengthBytes)
      const body = await this.onGet(key, Buffer.from(object.subarray(offset, end)), nth)
      this.bytesGot += body.length
      if (options.allocate !== undefined) {
        const memory = options.allocate(body.length)
        body.copy(memory)
        return { body: memory, etag: 'e' as Etag }
      }
      return { body, etag: 'e' as Etag }
    } finally {
      this.inFlight -= 1
    }
  }

  async put(key: string, body: readonly Uint8Array[]): Promise<Etag> {
    this.puts += 1
    const nth = this.puts
    this.log.push(`put ${key}`)
    this.#begin()
    try {
      const when = await this.onPut(key, nth)
      this.objects.set(key, Buffer.concat(body))
      if (when === 'after') throw new StoreError('retryable', 'the connection broke after the effect')
      return 'e' as Etag
    } finally {
      this.inFlight -= 1
    }
  }

  async putIfAbsent(key: string, body: readonly Uint8Array[]): Promise<Etag> {
    if (this.objects.has(key)) {
      this.puts += 1
      throw new StoreError('precondition-failed', `${key} exists`)
    }
    return this.put(key, body)
  }

  async putIfMatch(): Promise<Etag> {
    throw new StoreError('fatal', 'not used here')
  }

  async delete(keys: readonly string[]): Promise<void> {
    this.deleted.push(...keys)
    for (const key of keys) this.objects.delete(key)
  }

  async list(): Promise<ListPage> {
    throw new StoreError('fatal', 'not used here')
  }

  async head(key: string) {
    const object = this.objects.get(key)
    if (object === undefined) throw new StoreError('not-found', `no ${key}`)
    return { sizeBytes: object.length, etag: 'e' as Etag }
  }

  async close(): Promise<void> {}

  #begin(): void {
    this.inFlight += 1
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
  }
}

/** Bytes that tell where they are from. */
export function pattern(lengthBytes: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(lengthBytes)
  let state = seed >>> 0 || 1
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}
