// What the kernel asks for, counted in a registry: `fuse.requests.OPCODE` as fuse.h names them, `fuse.lookups_found`,
// `fuse.lookups_missing`, `fuse.read_bytes`, `fuse.written_bytes`, `fuse.stored_bytes` (put into its cache, unasked),
// `fuse.listings_filled_ahead` and `fuse.listings_used_ahead`.
//
// Must stay true: a request is counted once, whatever comes of it; counting costs an addition.
import type { Counter, Registry } from '../observe/index.ts'
import { Opcode } from './wire.ts'

const REQUESTS = 'fuse.requests.'

export class FuseMetrics {
  readonly lookupsFound: Counter
  readonly lookupsMissing: Counter
  readonly readBytes: Counter
  readonly writtenBytes: Counter
  readonly storedBytes: Counter
  readonly listingsFilledAhead: Counter
  readonly listingsUsedAhead: Counter
  readonly #requests: readonly (Counter | undefined)[]
  readonly #others: Counter

  constructor(registry: Registry) {
    this.lookupsFound = registry.counter('fuse.lookups_found')
    this.lookupsMissing = registry.counter('fuse.lookups_missing')
    this.readBytes = registry.counter('fuse.read_bytes')
    this.writtenBytes = registry.counter('fuse.written_bytes')
    this.storedBytes = registry.counter('fuse.stored_bytes')
    this.listingsFilledAhead = registry.counter('fuse.listings_filled_ahead')
    this.listingsUsedAhead = registry.counter('fuse.listings_used_ahead')
    const requests: (Counter | undefined)[] = []
    for (const [name, opcode] of Object.entries(Opcode)) requests[opcode] = registry.counter(`${REQUESTS}${name}`)
    this.#requests = requests
    this.#others = registry.counter(`${REQUESTS}OTHER`)
  }

  request(opcode: number): void {
    const counter = this.#requests[opcode] ?? this.#others
    counter.value++
  }
}

/** A function that tells how many requests have come in all; it costs a microsecond. */
export function fuseRequestCount(registry: Registry): () => number {
  const counters = [...Object.keys(Opcode), 'OTHER'].map((name) => registry.counter(`${REQUESTS}${name}`))
  return () => counters.reduce((sum, { value }) => sum + value, 0)
}

/** How many requests of each opcode came, of those that did. */
export function fuseRequests(registry: Registry): Record<string, number> {
  const { counters } = registry.snapshot()
  const asked = Object.entries(counters).filter(([name, count]) => name.startsWith(REQUESTS) && count > 0)
  return Object.fromEntries(asked.map(([name, count]) => [name.slice(REQUESTS.length), count]))
}
