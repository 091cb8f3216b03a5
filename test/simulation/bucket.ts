// A simulated bucket, and the stores through which processes reach it. Each request takes effect at some moment and is
// answered at a later one; by the seed it fails before its effect, or after it, or its answer never comes, or what is
// read arrives cut short or with a bit flipped. A request of a dead process may take effect long after its death.
//
// Must stay true: the bucket itself is what S3 promises: every effect is one turn, reads see all effects before them,
// conditions are exact.
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
} from '../../src/store/index.ts'
import type { Process } from './process.ts'
import type { Scheduler } from './scheduler.ts'

/** How often requests fail, each between 0 and 1. */
export interface FaultRates {
  /** 503 and the like, before the effect. */
  before: number
  /** The effect took place, the answer is an error. */
  after: number
  /** No answer ever comes. */
  silent: number
  /** 409: a conditional request met another one; nothing happened. */
  conflict: number
  /** A body that is read comes short, or with a bit flipped; the next one is right. */
  garbled: number
  /** Slow requests: their effect, or their answer, takes up to `slowMs`. */
  slow: number
  slowMs: number
  /** The same for reads of segments. */
  slowReads: number
}

export const NO_FAULTS: FaultRates = {
  before: 0,
  after: 0,
  silent: 0,
  conflict: 0,
  garbled: 0,
  slow: 0,
  slowMs: 0,
  slowReads: 0,
}

/** Whether every request is answered, and soon. */
export function isClear({ slowMs, ...rates }: FaultRates): boolean {
  return Object.values(rates).every((rate) => rate === 0)
}

export interface StoredEntry {
  body: Buffer
  etag: Etag
}

type Outcome<T> = { value: T } | { error: StoreError }

export class Bucket {
  readonly entries = new Map<string, StoredEntry>()
  rates: FaultRates = NO_FAULTS
  /** Nobody gets through until this time. */
  outageUntilMs = 0
  /** While set, a body is garbled at most once for each process and key: reading it again is always enough. */
  garbledOnce: Set<string> | null = null
  /** Told of the keys that are about to be deleted. */
  onDelete: (keys: readonly string[]) => void = () => {}
  /** Who put an object first. */
  readonly putBy = new Map<string, Process>()
  readonly #scheduler: Scheduler
  #puts = 0

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  /** The bucket as one process reaches it. */
  storeFor(process: Process): ObjectStore {
    return new BucketStore(this, this.#scheduler, process)
  }

  set(key: string, body: Buffer, by: Process): Etag {
    if (!this.putBy.has(key)) this.putBy.set(key, by)
    const etag = `"${++this.#puts}"` as Etag
    this.entries.set(key, { body, etag })
    return etag
  }
}

class BucketStore implements ObjectStore {
  readonly name = 'simulated:'
  readonly #bucket: Bucket
  readonly #scheduler: Scheduler
  readonly #process: Process

  constructor(bucket: Bucket, scheduler: Scheduler, process: Process) {
    this.#bucket = bucket
    this.#scheduler = scheduler
    this.#process = process
  }

  get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    return this.#request(`get ${key}`, options.signal, false, () => {
      const entry = this.#find(key)
      const start = Math.min(options.offset ?? 0, entry.body.length)
      const end = Math.min(start + (options.lengthBytes ?? entry.body.length), entry.body.length)
      return { body: this.#garbled(key, Buffer.from(entry.body.subarray(start, end))), etag: entry.etag }
    })
  }

  put(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    const copy = joined(body)
    return this.#request(`put ${key}`, options.signal, false, () => this.#bucket.set(key, copy, this.#process))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options: PutOptions = {}): Promise<Etag> {
    const copy = joined(body)
    return this.#request(`create ${key}`, options.signal, true, () => {
      if (this.#bucket.entries.has(key)) throw new StoreError('precondition-failed', `${key} exists`)
      return this.#bucket.set(key, copy, this.#process)
    })
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options: PutOptions = {}): Promise<Etag> {
    const copy = joined(body)
    return this.#request(`replace ${key}`, options.signal, true, () => {
      if (this.#find(key).etag !== etag) throw new StoreError('precondition-failed', `${key} has another etag`)
      return this.#bucket.set(key, copy, this.#process)
    })
  }

  delete(keys: readonly string[], options: PutOptions = {}): Promise<void> {
    const named = [...keys]
    return this.#request(`delete ${named.length} ${named[0]}`, options.signal, false, () => {
      const { entries } = this.#bucket
      this.#bucket.onDelete(named.filter((key) => entries.has(key)))
      for (const key of named) entries.delete(key)
    })
  }

  list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    return this.#request(`list ${prefix}`, options.signal, false, () => listed(this.#bucket.entries, prefix, options))
  }

  head(key: string, options: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#request(`head ${key}`, options.signal, false, () => {
      const { body, etag } = this.#find(key)
      return { sizeBytes: body.length, etag }
    })
  }

  async close(): Promise<void> {}

  #find(key: string): StoredEntry {
    const entry = this.#bucket.entries.get(key)
    if (entry === undefined) throw new StoreError('not-found', `${key} does not exist`)
    return entry
  }

  /** What arrives of a body. */
  #garbled(key: string, body: Buffer): Buffer {
    const { random } = this.#scheduler
    const { garbledOnce } = this.#bucket
    if (this.#process.isSpared || body.length === 0 || random.next() >= this.#bucket.rates.garbled) return body
    const whose = `${this.#process.name} ${key}`
    if (garbledOnce?.has(whose)) return body
    garbledOnce?.add(whose)
    this.#process.garbled++
    if (random.next() < 0.5) return body.subarray(0, Math.floor(random.next() * body.length))
    const at = Math.floor(random.next() * body.length)
    body[at]! ^= 1 << Math.floor(random.next() * 8)
    return body
  }

  #request<T>(what: string, signal: AbortSignal | undefined, conditional: boolean, effect: () => T): Promise<T> {
    const scheduler = this.#scheduler
    const { random } = scheduler
    const process = this.#process
    const rates = process.isSpared ? NO_FAULTS : this.#bucket.rates
    const label = `${process.name} ${what}`
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => reject(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      const answer = (outcome: Outcome<T>, delayMs: number) => {
        scheduler.after(delayMs, `${label} answered`, () =>
          process.deliver(() => {
            signal?.removeEventListener('abort', onAbort)
            if ('value' in outcome) resolve(outcome.value)
            else reject(outcome.error)
          }),
        )
      }
      const fail = (message: string) => ({ error: new StoreError('retryable', `${what}: ${message}`) })
      const slow = what.startsWith('get segments/') ? Math.max(rates.slow, rates.slowReads) : rates.slow
      const latency = () => 1 + random.next() * 20 + (random.next() < slow ? random.next() * rates.slowMs : 0)
      const sent = latency() + random.next() * process.lagMs
      if (!process.isSpared && (process.isPartitioned || scheduler.nowMs < this.#bucket.outageUntilMs)) {
        // Refused at once, or nothing comes back.
        if (random.next() < 0.5) answer(fail('connection refused'), 1)
        return
      }
      if (random.next() < rates.before) return answer(fail('503 SlowDown'), sent)
      if (conditional && random.next() < rates.conflict) return answer(fail('409 ConditionalRequestConflict'), sent)
      // What a process had sent before it died may still arrive, or not.
      const arrivesAnyway = random.next() < 0.6
      scheduler.after(sent, `${label} arrives`, () => {
        if (!process.isAlive && !arrivesAnyway) return
        let outcome: Outcome<T>
        try {
          outcome = { value: effect() }
        } catch (error) {
          if (!(error instanceof StoreError)) throw error
          outcome = { error }
        }
        if (random.next() < rates.silent) return
        if (random.next() < rates.after) outcome = fail('connection reset')
        answer(outcome, latency())
      })
    })
  }
}

/** One page of a listing. */
export function listed(entries: ReadonlyMap<string, StoredEntry>, prefix: string, options: ListOptions): ListPage {
  const { startAfter = '', limit = 1000 } = options
  const keys = [...entries.keys()].filter((key) => key.startsWith(prefix) && key > startAfter).sort()
  const objects = keys.slice(0, limit).map((key) => {
    const { body, etag } = entries.get(key) as StoredEntry
    return { key, sizeBytes: body.length, etag }
  })
  return keys.length > limit ? { objects, next: objects[limit - 1]!.key } : { objects }
}

function joined(body: readonly Uint8Array[]): Buffer {
  const copy = Buffer.allocUnsafeSlow(bodyLengthBytes(body))
  let at = 0
  for (const part of body) {
    copy.set(part, at)
    at += part.length
  }
  return copy
}
