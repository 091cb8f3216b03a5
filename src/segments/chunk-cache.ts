// What was read of segments: chunks (chunk.ts), least recently used first out, and the GETs under way. Knows nothing of
// blocks and pages but which spots a reader has verified.
//
// Windows and rent-or-buy: a first miss in a segment fetches an aligned window around it. The next one (for data: when
// it is near, or the rent is paid: rent.ts) fetches all that is missing of the segment in one GET, or as much as its share of
// the cache is (breadth.ts). So a cold walk costs two GETs per segment, and one where those before were used up: then the
// first miss buys. Readers in no order get what they ask for (`rent`), and the rest in the background when that has cost as
// much. Who knows what he will read rents it all (`never`), in fetches of their own.
//
// Must stay true:
// - Chunks of a segment never contain each other; they may overlap. Their bytes never change.
// - A byte that is cached or on its way is not asked for again, but for a window cut off a larger fetch.
// - A fetch that has not begun may grow; one that has begun is fixed. Reads joining it in the same turn so become one GET.
// - What a reader keeps himself is spent once he has all of it, and goes before everything else.
// - `cachedBytes` counts the memory of whole chunks: what readers hold are views into them.
// - Whoever is given chunks holds them from the turn in which they were found, or came: none is used again under him.
import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import { type Clock, FsError } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { Breadth } from './breadth.ts'
import { type CachedSegment, chunkAt, Fetch, inOrder, type ReadWish, share, unheld, window } from './cached-segment.ts'
import { Chunk, ChunkMemory } from './chunk.ts'
import { segmentKey } from './format.ts'
import { RentOrBuy } from './rent.ts'
import type { ReadPriority, SegmentId } from './segment-store.ts'

/** Misses closer than this to each other are fetched together. */
const MERGE_GAP_BYTES = 128 * 1024
/** A miss this near to what a segment already has is a neighbour: the rest is bought. */
const NEAR_BYTES = 1024 * 1024
/** Of memory for whole segments that is free: a few GETs' worth. */
const KEPT_SLABS_MAX = 4
/** How much is kept of what is spent, but for large segments, of which it is as many as slabs are kept: the kernel may yet
 *  drop what it was given, and ask again. */
const SPENT_BYTES_MAX = 32 << 20
/** A chunk is spent when so much of it was given away: the rest is checksums, and the segment's contents. */
const SPENT_SHARE = 0.99
/** What was bought for its reader to go on was in vain when he took less of it, and was not when he took more. */
const WASTED_SHARE = 0.5
const USED_SHARE = 0.9
/** Most chunks ever held. */
const CHUNKS_MAX = 32 * 1024

/** What is fetched ahead of its reader. */
export interface Prefetch {
  /** He will not come: what is not there yet is given up, unless somebody else wants it. */
  giveUp(): void
}

/** Chunks that a reader holds until `release`. */
export interface HeldChunks {
  /** Together all that was wanted, in order. */
  readonly chunks: readonly Chunk[]
  release(): void
}

export interface ChunkCacheOptions {
  store: ObjectStore
  cacheBytes: number
  /** How much more it may hold now, of what others do not use; asked at each insertion. Whoever needs it back calls `giveWay`. */
  spareBytes?: (() => number) | undefined
  /** It has begun to use what others leave. */
  onBorrowed?: (() => void) | undefined
  /** GETs at a time. */
  fetches: number
  segmentSizeBytes: number
  clock: Pick<Clock, 'monotonicMs'>
}

export class ChunkCache {
  readonly #store: ObjectStore
  readonly #segmentSizeBytes: number
  readonly #segments = new Map<SegmentId, CachedSegment>()
  readonly #queue: PQueue
  /** All fetches, of all segments. */
  readonly #fetching = new Set<Fetch>()
  readonly #lru: LRUCache<number, Chunk>
  /** Those that are spent, in the order in which they go. */
  readonly #spent = new Map<number, Chunk>()
  #spentBytes = 0
  readonly #memory: ChunkMemory
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #rent = new RentOrBuy()
  readonly #breadth = new Breadth()
  #budgetBytes: number
  readonly #spareBytes: () => number
  readonly #onBorrowed: () => void
  #bytes = 0
  #serial = 0

  constructor(options: ChunkCacheOptions) {
    this.#store = options.store
    this.#clock = options.clock
    this.#segmentSizeBytes = options.segmentSizeBytes
    this.#budgetBytes = options.cacheBytes
    this.#spareBytes = options.spareBytes ?? (() => 0)
    this.#onBorrowed = options.onBorrowed ?? (() => {})
    this.#memory = new ChunkMemory({ slabBytes: options.segmentSizeBytes, keptMax: KEPT_SLABS_MAX })
    this.#queue = new PQueue({ concurrency: options.fetches })
    // Not `max`, which would set room for all of them aside at once.
    const dispose = (chunk: Chunk, _serial: number, reason: LRUCache.DisposeReason) => {
      if (this.#spent.has(chunk.serial)) return
      if (reason === 'evict') this.#evicted(chunk)
      this.#detach(chunk)
    }
    this.#lru = new LRUCache({ maxSize: CHUNKS_MAX, sizeCalculation: () => 1, dispose })
  }

  get cachedBytes(): number {
    return this.#bytes
  }

  /** Its own, whatever others leave: what is on its way keeps to this. */
  get budgetBytes(): number {
    return this.#budgetBytes
  }

  /** Whether one more whole segment may be fetched. */
  get canBuy(): boolean {
    return this.#segmentSizeBytes * 4 <= this.#budgetBytes && this.hasRoomFor(this.#segmentSizeBytes)
  }

  /** Whether so much more may be fetched: what is on its way is not counted as cached yet, but takes memory. */
  hasRoomFor(lengthBytes: number): boolean {
    let bytes = lengthBytes
    for (const { start, end } of this.#fetching) bytes += Math.min(end - start, this.#segmentSizeBytes)
    return bytes <= this.#budgetBytes / 2
  }

  /** Whether somebody waits for a fetch. */
  get isBusy(): boolean {
    for (const { priority } of this.#fetching) if (priority === 'demand') return true
    return false
  }

  /** How much of [start, end) is neither held nor on its way. */
  missingBytes(segment: SegmentId, start: number, end: number): number {
    const held = this.#segments.get(segment)
    const parts = held === undefined ? [] : [...held.chunks, ...held.fetches].sort((a, b) => a.start - b.start)
    let missing = 0
    let at = start
    for (const part of parts) {
      if (part.start >= end) break
      missing += Math.max(0, part.start - at)
      at = Math.max(at, part.end)
    }
    return missing + Math.max(0, end - at)
  }

  /** Drops what there is no room for any more. */
  giveWay(): void {
    if (this.#bytes > this.limitBytes) this.#shrink()
  }

  /** With what others leave to it now. */
  get limitBytes(): number {
    return this.#budgetBytes + this.#spareBytes()
  }

  /** A new budget; what does not fit any more goes. */
  resize(cacheBytes: number): void {
    this.#budgetBytes = cacheBytes
    this.#shrink()
  }

  /** Chunks that together hold [start, end), in order; null when something is missing. Never waits; they are to be used in
   *  this turn. */
  cached(segment: SegmentId, start: number, end: number): Chunk[] | null {
    const held = this.#segments.get(segment)
    if (held === undefined) return null
    const found: Chunk[] = []
    for (let at = start; at < end; ) {
      const chunk = chunkAt(held, at)
      if (chunk === undefined) return null
      found.push(chunk)
      at = chunk.end
    }
    for (const chunk of found) this.#use(chunk)
    this.#breadth.used(segment)
    return found
  }

  /** As `cached`, fetching what is missing. The chunks are held. Rejects with FsError EIO. */
  async read(segment: SegmentId, wish: ReadWish): Promise<HeldChunks> {
    const sources: (Chunk | Promise<Chunk>)[] = []
    this.#cover(segment, wish, {
      there: (chunk) => {
        chunk.hold()
        sources.push(chunk)
      },
      underWay: (fetch) => {
        fetch.waiting += 1
        if (wish.onBought !== undefined) fetch.onBought.add(wish.onBought)
        sources.push(fetch.promise)
      },
    })
    try {
      const all = await Promise.all(sources)
      return { chunks: inOrder(segment, wish, all), release: () => all.forEach(releaseChunk) }
    } catch (error) {
      // Some may come yet. One that fails is nobody's, and the failure that is told may be another one's.
      for (const source of sources) Promise.resolve(source).then(releaseChunk, () => {})
      throw error
    }
  }

  /** Begins fetching what is missing. */
  prefetch(segment: SegmentId, wish: ReadWish): Prefetch {
    const fetches = new Set<Fetch>()
    this.#cover(segment, wish, {
      there: () => undefined,
      underWay: (fetch) => {
        fetches.add(fetch)
        fetch.prefetches += 1
      },
    })
    const giveUp = () => {
      for (const fetch of fetches) {
        fetch.prefetches -= 1
        if (fetch.prefetches === 0 && fetch.waiting === 0) this.#giveUp(fetch)
      }
      fetches.clear()
    }
    return { giveUp }
  }

  /** The chunk's reader keeps what he is given. Once that is all of it, it is spent. */
  spendIfWhole(chunk: Chunk): void {
    if (chunk.isWantedAgain || chunk.givenBytes < chunk.body.length * SPENT_SHARE) return
    if (!this.#lru.has(chunk.serial)) return
    if (chunk.isForNeighbours) this.#breadth.usedUp()
    this.#spent.set(chunk.serial, chunk)
    this.#spentBytes += chunk.memoryBytes
    this.#lru.delete(chunk.serial)
    this.#shrink()
  }

  /** Forgets chunks that proved damaged, or a whole segment. */
  forget(segment: SegmentId, chunks?: readonly Chunk[]): void {
    const held = this.#segments.get(segment)
    if (held === undefined) return
    held.sizeBytes = Number.POSITIVE_INFINITY
    for (const chunk of [...(chunks ?? held.chunks)]) this.#drop(chunk)
  }

  /** Tells of what there is and what is on its way of [start, end), in order; begins fetching the rest. */
  #cover(
    id: SegmentId,
    wish: ReadWish,
    tell: { there: (chunk: Chunk) => void; underWay: (fetch: Fetch) => void },
  ): void {
    let held = this.#segments.get(id)
    if (held === undefined) {
      held = { id, chunks: [], fetches: [], fetchCount: 0, sizeBytes: Number.POSITIVE_INFINITY }
      this.#segments.set(id, held)
    }
    // Past the object's end there is nothing to ask for: `read` will find it missing.
    for (let at = wish.start; at < Math.min(wish.end, held.sizeBytes); ) {
      const chunk = chunkAt(held, at)
      if (chunk !== undefined) {
        this.#use(chunk)
        tell.there(chunk)
        at = chunk.end
        continue
      }
      const fetch = held.fetches.find((candidate) => candidate.start <= at && at < candidate.end)
      if (fetch === undefined) {
        this.#fetchMissing(held, at, wish)
        continue
      }
      if (wish.priority === 'demand') this.#hurry(fetch)
      tell.underWay(fetch)
      at = fetch.end
    }
    this.#breadth.used(id)
  }

  /** Makes a fetch, or lets one that has not begun grow, so that the byte `at` is on its way. */
  #fetchMissing(held: CachedSegment, at: number, wish: ReadWish): void {
    if (wish.buy !== 'rent') this.#breadth.missed(held.id)
    const buys = this.#shouldBuy(held, at, wish)
    const { start, end } = buys ? this.#purchase(held, at, wish) : window(held, at, wish)
    const mayJoin = (fetch: Fetch) => !fetch.begun && (wish.buy !== 'never' || fetch.priority === wish.priority)
    const waiting = held.fetches.find(
      (fetch) => mayJoin(fetch) && start <= fetch.end + MERGE_GAP_BYTES && fetch.start <= end + MERGE_GAP_BYTES,
    )
    const fetch = waiting ?? this.#fetch(held, start, end, wish)
    fetch.start = Math.min(fetch.start, start)
    fetch.end = Math.max(fetch.end, end)
    if (wish.buy === 'rent') fetch.isRent = true
    if (!buys) return
    if (wish.buy === 'near') fetch.isForNeighbours = true
    const rest = unheld(held)
    if (rest.start >= rest.end) this.#bought(fetch)
  }

  /** What is bought: the rest of the segment, or as much as there is room for beside the others that are being read. */
  #purchase(held: CachedSegment, at: number, wish: ReadWish): { start: number; end: number } {
    const rest = unheld(held)
    const end = Math.min(rest.end, this.#segmentSizeBytes)
    const mostBytes = Math.max(wish.windowBytes, this.#breadth.shareOf(this.limitBytes))
    return end - rest.start <= mostBytes ? rest : share(held, at, Math.max(end, wish.end), mostBytes)
  }

  #bought(fetch: Fetch): void {
    fetch.isPurchase = true
    this.#rent.bought(fetch.held.id)
  }

  #shouldBuy(held: CachedSegment, at: number, wish: ReadWish): boolean {
    if (wish.buy === 'never' || !this.canBuy) return false
    // It goes on where somebody else stopped: an order after all.
    if (wish.buy === 'rent') return held.chunks.some(({ end }) => end === at)
    if (wish.buy === 'now') return true
    if (held.fetchCount === 0) return wish.buy === 'near' && this.#breadth.takeCredit()
    if (wish.buy === 'always' || this.#isPaid(held)) return true
    const near = ({ start, end }: { start: number; end: number }) => at < end + NEAR_BYTES && start - NEAR_BYTES < at
    return held.chunks.some(near) || held.fetches.some(near)
  }

  #isPaid(held: CachedSegment): boolean {
    const { start, end } = unheld(held)
    return this.#rent.isPaid(held.id, Math.min(end, this.#segmentSizeBytes) - start)
  }

  /** A part of a segment has come. Where its reader reads in no order and that has cost as much by now as the rest would, the
   *  rest is fetched too. */
  #rented(rent: Fetch, costMs: number): void {
    const { held } = rent
    this.#rent.pay(held.id, costMs)
    if (!rent.isRent) return
    let purchase = held.fetches.find(({ isPurchase }) => isPurchase)
    if (purchase === undefined) {
      if (!this.canBuy || !this.#isPaid(held)) return
      const { start, end } = unheld(held)
      if (start >= end) return
      purchase = this.#fetch(held, start, end, { priority: 'read-ahead', kind: rent.kind })
      // Whoever else wants it ahead does not give it up for us.
      purchase.prefetches += 1
      this.#bought(purchase)
    }
    for (const onBought of rent.onBought) purchase.onBought.add(onBought)
  }

  #fetch(
    held: CachedSegment,
    start: number,
    end: number,
    { priority, kind }: Pick<ReadWish, 'priority' | 'kind'>,
  ): Fetch {
    const queueId = String(++this.#serial)
    held.fetchCount += 1
    const fetch = new Fetch(held, queueId, start, end, priority, kind, (self) =>
      this.#queue.add(() => this.#get(held, self), {
        ...{ id: queueId, priority: priorityNumber(priority), signal: self.abort.signal },
      }),
    )
    held.fetches.push(fetch)
    this.#fetching.add(fetch)
    // Whoever waits sees the failure; a read-ahead that nobody came to want may fail unseen.
    fetch.promise.catch(() => {})
    return fetch
  }

  /** Nobody wants it any more. */
  #giveUp(fetch: Fetch): void {
    if (!this.#fetching.has(fetch)) return
    this.#finish(fetch)
    fetch.abort.abort(new Error('it is not wanted any more'))
    this.#release(fetch.held)
  }

  #hurry(fetch: Fetch): void {
    if (fetch.priority === 'demand' || fetch.dequeued) return
    fetch.priority = 'demand'
    this.#queue.setPriority(fetch.queueId, priorityNumber('demand'))
  }

  async #get(held: CachedSegment, fetch: Fetch): Promise<Chunk> {
    fetch.dequeued = true
    // The rest of this turn's reads may still let it grow.
    await Promise.resolve()
    fetch.begun = true
    const { start, end } = fetch
    const key = segmentKey(held.id)
    const ended = this.#rent.begin(end - start, this.#clock.monotonicMs())
    const given: Buffer[] = []
    const allocate = (lengthBytes: number): Buffer => {
      const memory = this.#memory.allocate(lengthBytes)
      given.push(memory)
      return memory
    }
    try {
      const range = end === Number.POSITIVE_INFINITY ? { offset: start } : { offset: start, lengthBytes: end - start }
      const { body } = await this.#store.get(key, {
        ...range,
        ...(fetch.kind === 'data' ? { allocate } : {}),
        signal: fetch.abort.signal,
      })
      const costMs = ended(body.length, this.#clock.monotonicMs())
      // Where it was tried more than once, somebody may still write to what the others got.
      const isOurs = given.length === 1 && given[0] === body
      if (isOurs) given.pop()
      const chunk = new Chunk({ serial: ++this.#serial, segment: held.id, start, body }, isOurs ? this.#memory : null)
      chunk.isForNeighbours = fetch.isForNeighbours
      for (let i = 0; i < fetch.waiting; i++) chunk.hold()
      if (chunk.end < end && body.length > 0) held.sizeBytes = chunk.end
      if (this.#finish(fetch)) this.#came(fetch, chunk, costMs)
      // Who gave it up may have asked again: then it is held twice.
      else chunk.forget()
      return chunk
    } catch (cause) {
      ended(0, this.#clock.monotonicMs())
      this.#finish(fetch)
      const missing = cause instanceof StoreError && cause.kind === 'not-found'
      const why = missing ? 'is missing' : `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`
      throw new FsError('EIO', `${key} ${why}`, { cause })
    } finally {
      for (const { buffer } of given) this.#memory.drop(buffer)
      this.#release(held)
    }
  }

  #came(fetch: Fetch, chunk: Chunk, costMs: number): void {
    this.#insert(fetch.held, chunk)
    if (fetch.isPurchase) for (const onBought of fetch.onBought) onBought()
    else if (fetch.kind === 'data') this.#rented(fetch, costMs)
  }

  /** Whether it was under way until now: not if it was given up. */
  #finish(fetch: Fetch): boolean {
    const { fetches } = fetch.held
    if (!this.#fetching.delete(fetch)) return false
    fetches.splice(fetches.indexOf(fetch), 1)
    return true
  }

  #insert(held: CachedSegment, chunk: Chunk): void {
    if (chunk.body.length === 0 || chunk.memoryBytes > this.limitBytes) {
      chunk.forget()
      return
    }
    for (const old of [...held.chunks]) {
      if (chunk.start <= old.start && old.end <= chunk.end) this.#drop(old)
    }
    held.chunks.push(chunk)
    this.#segments.set(held.id, held)
    this.#bytes += chunk.memoryBytes
    this.#lru.set(chunk.serial, chunk)
    if (this.#bytes > this.#budgetBytes) this.#onBorrowed()
    this.#shrink()
  }

  #shrink(): void {
    const limitBytes = this.limitBytes
    const spentBytesMax = Math.max(SPENT_BYTES_MAX, KEPT_SLABS_MAX * this.#segmentSizeBytes)
    for (const chunk of this.#spent.values()) {
      const isMuch = this.#bytes > limitBytes || this.#spentBytes > spentBytesMax
      // Of the last one its reader may not have had the end.
      if (!isMuch || this.#spent.size === 1) break
      this.#drop(chunk)
    }
    while (this.#bytes > limitBytes && this.#lru.pop() !== undefined) {
      // pop's dispose has counted it off
    }
    if (this.#bytes > limitBytes) for (const chunk of this.#spent.values()) this.#drop(chunk)
  }

  /** Somebody wants it: it is the last to go. Where he reads on to its end, it will be spent again. */
  #use(chunk: Chunk): void {
    if (!this.#spent.delete(chunk.serial)) {
      this.#lru.get(chunk.serial)
      return
    }
    this.#spentBytes -= chunk.memoryBytes
    this.#lru.set(chunk.serial, chunk)
  }

  #drop(chunk: Chunk): void {
    if (!this.#spent.delete(chunk.serial)) {
      this.#lru.delete(chunk.serial)
      return
    }
    this.#spentBytes -= chunk.memoryBytes
    this.#detach(chunk)
  }

  #evicted({ isForNeighbours, givenBytes, body }: Chunk): void {
    if (!isForNeighbours) return
    if (givenBytes < body.length * WASTED_SHARE) this.#breadth.thrownOut()
    else if (givenBytes > body.length * USED_SHARE) this.#breadth.usedUp()
  }

  #detach(chunk: Chunk): void {
    this.#bytes -= chunk.memoryBytes
    chunk.forget()
    const held = this.#segments.get(chunk.segment)
    if (held === undefined) return
    const index = held.chunks.indexOf(chunk)
    if (index >= 0) held.chunks.splice(index, 1)
    this.#release(held)
  }

  /** A segment of which nothing is held begins anew. */
  #release(held: CachedSegment): void {
    const idle = held.chunks.length === 0 && held.fetches.length === 0
    if (idle && this.#segments.get(held.id) === held) this.#segments.delete(held.id)
  }
}

const releaseChunk = (chunk: Chunk): void => chunk.release()

function priorityNumber(priority: ReadPriority): number {
  return priority === 'demand' ? 1 : 0
}
