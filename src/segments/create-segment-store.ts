// The SegmentStore over an ObjectStore: packers write (packer.ts), chunks are read and kept (chunk-cache.ts), and here
// what was read is verified and cut into what was wanted.
//
// Must stay true:
// - Nothing is handed out unverified. A block is verified once per chunk, a page at every read. What does not verify is
//   fetched once more (it may have been damaged on its way), then it is EIO.
// - What is handed out are views of chunks, which the reader's lease holds, or which are lent for good; only what straddles
//   two chunks is copied.
import assert from 'node:assert'
import { type Clock, crc32c, FsError, ruleHolds, systemClock } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { DamagedError, type ReadWish } from './cached-segment.ts'
import { Chunk, type Lease } from './chunk.ts'
import { ChunkCache, type Prefetch } from './chunk-cache.ts'
import {
  CONTENTS_ENTRY_BYTES,
  decodeContentsEntry,
  decodeFooter,
  FOOTER_BYTES,
  parseSegmentKey,
  rawBytesOf,
  STORED_BLOCK_BYTES,
  segmentKey,
  UUID_PREFIX_BYTES,
} from './format.ts'
import { packInMemory, type SegmentLog, Uploader } from './packer.ts'
import { storedSpan } from './range.ts'
import {
  BLOCK_BYTES,
  BLOCK_CRC_BYTES,
  type DataRange,
  type PagePointer,
  type ReadDataOptions,
  type SegmentId,
  type SegmentStore,
  type StoredContentsEntry,
} from './segment-store.ts'

const NOTHING_TO_FETCH: Prefetch = { giveUp: () => {} }
const DATA_WINDOW_BYTES = 256 * 1024
const PAGE_WINDOW_BYTES = 1024 * 1024
/** Of pages ahead of a reader: at 10 MB/s, as `ls -l` takes them, more than a second of a slow store. */
const PAGES_AHEAD_MAX_BYTES = 16 << 20
/** Of the cache, for data ahead of its readers; the rest is what they have read, and what others want. */
const DATA_AHEAD_SHARE = 3 / 4

export interface SegmentStoreOptions {
  store: ObjectStore
  /** 16 bytes; the first 8 stand in every segment. */
  volumeUuid: Buffer
  /** No segment gets larger, but the last page segment by its trailer. */
  segmentSizeBytes: number
  /** Budget of the cache of what was read. */
  cacheBytes: number
  /** How much more the cache may hold at the moment. */
  spareBytes?: () => number
  /** Called with each insertion that uses it. */
  onBorrowed?: () => void
  /** PUTs at a time; 20 unless told. */
  uploads?: number
  /** GETs at a time; 20 unless told. */
  fetches?: number
  /** The system's unless told: how long GETs take says what is fetched together. */
  clock?: Clock
  log?: SegmentLog
  /** Told of each segment of which something proved damaged, before it is read again: who keeps copies forgets them. */
  onDamaged?: (id: SegmentId) => void
}

/** What the store of the layer's users offers, and what only the one who made it needs. */
export interface TunableSegmentStore extends SegmentStore {
  /** Others need what `spareBytes` lent: what does not fit any more goes at once. */
  giveWay(): void
  /** A new budget for the cache; what does not fit goes at once. */
  resizeCache(cacheBytes: number): void
}

export function createSegmentStore(options: SegmentStoreOptions): TunableSegmentStore {
  assert(options.volumeUuid.length >= UUID_PREFIX_BYTES)
  return new PackedSegmentStore(options)
}

class PackedSegmentStore implements TunableSegmentStore {
  readonly maxPieceBytes: number
  readonly #store: ObjectStore
  readonly #log: SegmentLog | undefined
  readonly #onDamaged: (id: SegmentId) => void
  readonly #uploader: Uploader
  readonly #cache: ChunkCache
  /** Data of commits: served from here until a checkpoint has packed it. */
  readonly #memory = new Map<SegmentId, Chunk>()
  readonly #volumeUuid: Buffer
  /** Reads under way, by segment. */
  readonly #reading = new Map<SegmentId, number>()
  /** Of data segments put here or looked into: raw bytes. Of what a listing found: the object's. */
  readonly #sizes = new Map<SegmentId, { bytes: number; isExact: boolean }>()
  #isListed = false

  constructor(options: SegmentStoreOptions) {
    const {
      store,
      volumeUuid,
      segmentSizeBytes,
      cacheBytes,
      uploads = 20,
      fetches = 20,
      clock = systemClock,
      log,
    } = options
    this.#store = store
    this.#log = log
    this.#onDamaged = options.onDamaged ?? (() => {})
    this.#volumeUuid = volumeUuid
    const onPut = (id: SegmentId, bytes: number) => this.#sizes.set(id, { bytes, isExact: true })
    this.#uploader = new Uploader({ store, volumeUuid, segmentSizeBytes, uploads, log, onPut })
    const { spareBytes, onBorrowed } = options
    this.#cache = new ChunkCache({ store, cacheBytes, spareBytes, onBorrowed, fetches, segmentSizeBytes, clock })
    this.maxPieceBytes = this.#uploader.maxPieceBytes
  }

  dataPacker(takeId: () => SegmentId) {
    return this.#uploader.dataPacker(takeId)
  }

  pagePacker(takeId: () => SegmentId) {
    return this.#uploader.pagePacker(takeId)
  }

  packInMemory(...args: Parameters<SegmentStore['packInMemory']>) {
    return packInMemory(...args)
  }

  keepInMemory(id: SegmentId, stored: Buffer): void {
    this.#memory.set(id, new Chunk({ serial: 0, segment: id, start: 0, body: stored }, null))
  }

  dropFromMemory(id: SegmentId): void {
    this.#memory.delete(id)
  }

  readData(
    range: DataRange,
    { priority = 'demand', lease, isRandom = false, onBought }: ReadDataOptions = {},
  ): Uint8Array[] | Promise<Uint8Array[]> {
    if (range.lengthBytes === 0) return []
    const cached = this.cachedData(range, lease)
    if (cached !== null) return cached
    const { start, end } = storedSpan(range)
    const wish: ReadWish = {
      ...{ start, end, windowBytes: isRandom ? 1 : DATA_WINDOW_BYTES },
      ...{ priority, kind: 'data', buy: isRandom ? 'rent' : 'near', onBought },
    }
    return this.#readVerified(range.segment, wish, (chunks) =>
      wantedParts(range, chunks, { lease, cache: this.#cache }),
    )
  }

  cachedData(range: DataRange, lease?: Lease): Uint8Array[] | null {
    const { segment } = range
    const { start, end } = storedSpan(range)
    const kept = this.#memory.get(segment)
    if (kept !== undefined) return wantedParts(range, [kept], { lease })
    const cached = this.#cache.cached(segment, start, end)
    if (cached === null) return null
    try {
      return wantedParts(range, cached, { lease, cache: this.#cache })
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      this.#giveUp(segment, cached, error)
      return null
    }
  }

  prefetchData(range: DataRange): Prefetch | null {
    if (range.lengthBytes === 0 || this.#memory.has(range.segment)) return NOTHING_TO_FETCH
    const { start, end } = storedSpan(range)
    if (!this.#cache.canBuy && this.#cache.missingBytes(range.segment, start, end) > 0) return null
    const wish: ReadWish = {
      ...{ start, end, windowBytes: DATA_WINDOW_BYTES },
      ...{ priority: 'read-ahead', kind: 'data', buy: 'now' },
    }
    // The read that comes will try again and report.
    return this.#cache.prefetch(range.segment, wish)
  }

  async readPage(pointer: PagePointer, { isScan = false } = {}): Promise<Uint8Array> {
    const { segment, offset, storedBytes } = pointer
    const wish: ReadWish = {
      start: offset,
      end: offset + storedBytes,
      windowBytes: PAGE_WINDOW_BYTES,
      priority: 'demand',
      kind: 'pages',
      buy: isScan ? 'never' : 'always',
    }
    return await this.#readVerified(segment, wish, (chunks) => wantedPage(pointer, chunks))
  }

  cachedPage(pointer: PagePointer): Uint8Array | null {
    const { segment, offset, storedBytes } = pointer
    const chunks = this.#cache.cached(segment, offset, offset + storedBytes)
    if (chunks === null) return null
    try {
      return wantedPage(pointer, chunks)
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      this.#giveUp(segment, chunks, error)
      return null
    }
  }

  prefetchPages({ segment, start, end }: { segment: SegmentId; start: number; end: number }): boolean {
    const missingBytes = this.#cache.missingBytes(segment, start, end)
    if (missingBytes === 0) return true
    if (!this.#cache.hasRoomFor(missingBytes)) return false
    const wish: ReadWish = {
      ...{ start, end, windowBytes: PAGE_WINDOW_BYTES },
      ...{ priority: 'read-ahead', kind: 'pages', buy: 'never' },
    }
    // The read that comes will try again and report.
    this.#cache.prefetch(segment, wish)
    return true
  }

  get pagesAheadBytes(): number {
    return Math.min(PAGES_AHEAD_MAX_BYTES, this.#cache.budgetBytes / 4)
  }

  get dataAheadBytes(): number {
    return this.#cache.limitBytes * DATA_AHEAD_SHARE
  }

  async delete(ids: readonly SegmentId[]): Promise<void> {
    for (const id of ids) this.#cache.forget(id)
    if (ids.length === 0) return
    try {
      await this.#store.delete(ids.map(segmentKey))
    } catch (cause) {
      throw new FsError('EIO', `cannot delete ${ids.length} segments, ${segmentKey(ids[0]!)} first`, { cause })
    }
    for (const id of ids) this.#sizes.delete(id)
  }

  async readTable(id: SegmentId): Promise<StoredContentsEntry[]> {
    for (let retry = false; ; retry = true) {
      try {
        return await this.#tableOf(id)
      } catch (cause) {
        if (!(cause instanceof FsError) && !(cause instanceof StoreError)) throw cause
        const isDamaged = cause instanceof FsError
        if (isDamaged && !retry) {
          this.#onDamaged(id)
          continue
        }
        if (isDamaged) throw cause
        throw new FsError('EIO', `the contents of ${segmentKey(id)} cannot be read: ${cause.message}`, { cause })
      }
    }
  }

  async #tableOf(id: SegmentId): Promise<StoredContentsEntry[]> {
    const key = segmentKey(id)
    const { sizeBytes: objectBytes } = await this.#store.head(key)
    const footerAt = Math.max(0, objectBytes - FOOTER_BYTES)
    const footer = (await this.#store.get(key, { offset: footerAt })).body
    const { contentsOffset, contentsCrc, count } = decodeFooter(footer, {
      id,
      objectBytes,
      volumeUuid: this.#volumeUuid,
    })
    const lengthBytes = count * CONTENTS_ENTRY_BYTES
    const { body } = await this.#store.get(key, { offset: contentsOffset, lengthBytes })
    if (body.length !== lengthBytes || crc32c(body) !== contentsCrc)
      throw new FsError('EIO', `${key} has damaged contents`)
    const entries = Array.from({ length: count }, (_, index) => decodeContentsEntry(body, index * CONTENTS_ENTRY_BYTES))
    const bytes = entries.reduce((sum, entry) => sum + (entry.tableKind === 0 ? rawBytesOf(entry.lengthBytes) : 0), 0)
    if (bytes > 0) this.#sizes.set(id, { bytes, isExact: true })
    return entries
  }

  async sizes(ids: readonly SegmentId[]): Promise<ReadonlyMap<SegmentId, { bytes: number; isExact: boolean }>> {
    if (!this.#isListed && ids.some((id) => !this.#sizes.has(id))) {
      let startAfter: string | undefined
      do {
        const page = await this.#store.list('segments/', startAfter === undefined ? {} : { startAfter })
        for (const { key, sizeBytes } of page.objects) {
          const id = parseSegmentKey(key)
          if (id !== null && !this.#sizes.has(id)) this.#sizes.set(id, { bytes: sizeBytes, isExact: false })
        }
        startAfter = page.next
      } while (startAfter !== undefined)
      this.#isListed = true
    }
    const found = new Map<SegmentId, { bytes: number; isExact: boolean }>()
    for (const id of ids) {
      const size = this.#sizes.get(id)
      if (size !== undefined) found.set(id, size)
    }
    return found
  }

  isBeingRead(id: SegmentId): boolean {
    return this.#reading.has(id)
  }

  get isBusy(): boolean {
    return this.#cache.isBusy
  }

  get cachedBytes(): number {
    return this.#cache.cachedBytes
  }

  giveWay(): void {
    this.#cache.giveWay()
  }

  resizeCache(cacheBytes: number): void {
    this.#cache.resize(cacheBytes)
  }

  /** Reads chunks and takes from them what `take` verifies; once more when that fails. */
  async #readVerified<T>(segment: SegmentId, wish: ReadWish, take: (chunks: readonly Chunk[]) => T): Promise<T> {
    this.#reading.set(segment, (this.#reading.get(segment) ?? 0) + 1)
    try {
      return await this.#readTwice(segment, wish, take)
    } finally {
      const left = this.#reading.get(segment)! - 1
      if (left === 0) this.#reading.delete(segment)
      else this.#reading.set(segment, left)
    }
  }

  async #readTwice<T>(segment: SegmentId, wish: ReadWish, take: (chunks: readonly Chunk[]) => T): Promise<T> {
    for (let retry = false; ; retry = true) {
      let chunks: readonly Chunk[] | undefined
      try {
        const held = await this.#cache.read(segment, wish)
        chunks = held.chunks
        try {
          return take(chunks)
        } finally {
          held.release()
        }
      } catch (error) {
        // A body that ended early leaves no chunks to blame: forget all that was learnt of the object.
        if (!(error instanceof DamagedError) || retry || !ruleHolds('damage on the way is read again')) throw error
        this.#giveUp(segment, chunks, error)
      }
    }
  }

  #giveUp(segment: SegmentId, chunks: readonly Chunk[] | undefined, error: FsError): void {
    this.#log?.warn({ key: segmentKey(segment), error }, 'what was read of a segment is damaged: reading it once more')
    this.#cache.forget(segment, chunks)
    this.#onDamaged(segment)
  }
}

/** The bytes [start, end) of a segment out of chunks that hold them; a view unless they straddle. */
function bytesAt(chunks: readonly Chunk[], start: number, end: number): Uint8Array {
  const parts: Uint8Array[] = []
  let at = start
  for (const chunk of chunks) {
    if (at < chunk.start || at >= chunk.end || at >= end) continue
    const to = Math.min(end, chunk.end)
    parts.push(chunk.body.subarray(at - chunk.start, to - chunk.start))
    at = to
  }
  if (at < end) throw new DamagedError(`${segmentKey(chunks[0]!.segment)} ends at ${at}, wanted were bytes to ${end}`)
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

/** The stored bytes of a page, verified. */
function wantedPage({ segment, offset, storedBytes, crc }: PagePointer, chunks: readonly Chunk[]): Uint8Array {
  const stored = bytesAt(chunks, offset, offset + storedBytes)
  for (const chunk of chunks) chunk.lend()
  if (crc32c(stored) !== crc && ruleHolds('pages are verified')) {
    throw new DamagedError(`${segmentKey(segment)} has a damaged page at ${offset}`)
  }
  return stored
}

/** The wanted bytes of a range, block by block, each verified once per chunk. The lease holds the chunks; without one they
 *  are lent. */
function wantedParts(
  range: DataRange,
  chunks: readonly Chunk[],
  { lease, cache }: { lease: Lease | undefined; cache?: ChunkCache },
): Uint8Array[] {
  const { offset, pieceBytes, skipBytes, lengthBytes } = range
  // First: what is spent may go at once, and must not be used again under its reader.
  for (const chunk of chunks) {
    if (lease === undefined) chunk.lend()
    else lease.add(chunk)
    if (!lease?.isKept) chunk.isWantedAgain = true
  }
  const wantedEnd = skipBytes + lengthBytes
  const parts: Uint8Array[] = []
  let c = 0
  for (let block = Math.floor(skipBytes / BLOCK_BYTES); block * BLOCK_BYTES < wantedEnd; block++) {
    const rawStart = block * BLOCK_BYTES
    const rawBytes = Math.min(BLOCK_BYTES, pieceBytes - rawStart)
    const start = offset + block * STORED_BLOCK_BYTES
    const end = start + rawBytes + BLOCK_CRC_BYTES
    const from = Math.max(0, skipBytes - rawStart)
    const to = Math.min(rawBytes, wantedEnd - rawStart)
    while (c < chunks.length - 1 && chunks[c]!.end <= start) c++
    const chunk = chunks[c]!
    if (chunk.start <= start && end <= chunk.end) {
      const at = start - chunk.start
      const spot = start * 65536 + rawBytes
      if (!chunk.verified.has(spot)) {
        verifyBlock(chunk.body.subarray(at, end - chunk.start), chunk, start)
        chunk.verified.set(spot, 0)
      }
      parts.push(chunk.body.subarray(at + from, at + to))
      if (lease?.isKept) chunk.give(spot, from, to)
    } else {
      const stored = bytesAt(chunks, start, end)
      verifyBlock(stored, chunk, start)
      parts.push(stored.subarray(from, to))
    }
  }
  if (lease?.isKept) for (const held of chunks) cache?.spendIfWhole(held)
  return parts
}

function verifyBlock(stored: Uint8Array, chunk: Chunk, offset: number): void {
  const end = stored.length - BLOCK_CRC_BYTES
  const crc = (stored[end]! | (stored[end + 1]! << 8) | (stored[end + 2]! << 16) | (stored[end + 3]! << 24)) >>> 0
  if (crc32c(stored.subarray(0, end)) !== crc && ruleHolds('blocks are verified')) {
    throw new DamagedError(`${segmentKey(chunk.segment)} has a damaged block at ${offset}`)
  }
}
