// The disk cache: an ObjectStore over another one that keeps what it reads and writes of segments in a local folder, for
// later mounts too. Segments never change, so nothing in it ever gets old but by a key that is used anew: see `trust`.
//
// A GET is answered from files that cover all of it, else it goes to the store as it is, and what came is kept. What was put
// is kept as well. Everything that is not a segment passes through.
//
// Must stay true:
// - It only helps: whatever goes wrong with the disk, the store is asked. Nobody waits for a write, nor longer than READ_MS
//   for the disk.
// - What waits to be written takes at most `pendingBytes`; what comes beyond that is not kept.
// - What is read from disk has verified (disk-cache-files.ts). Whoever finds it damaged all the same, because it came so from
//   the store, says so (`forget`), and the next GET goes to the store.
// - A GET that begins after `forget`, a put or a delete of its key never gets what was kept before. (At a later mount it may,
//   of a file that could not be deleted. Keys of segments are never used again.)
import PQueue from 'p-queue'
import type { Clock } from '../platform/index.ts'
import {
  bodyLengthBytes,
  type Disk,
  type Etag,
  type GetOptions,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
} from '../store/index.ts'
import { ChunkMemory } from './chunk.ts'
import { DamagedFileError, isFitEtag, type Run, readRun } from './disk-cache-files.ts'
import { CacheFolder, codeOf, type DiskSpace, nowMs } from './disk-cache-folder.ts'
import type { Entry, Part } from './disk-cache-index.ts'
import { parseSegmentKey } from './format.ts'
import type { SegmentLog } from './packer.ts'
import { PatientReads } from './patient-reads.ts'
import type { SegmentId } from './segment-store.ts'

/** Threads that files are read and written by are few, and others need them. */
const READS_AT_A_TIME = 3
const WRITES_AT_A_TIME = 1
/** A disk that does not answer for this long is worse than any store. */
const READ_MS = 2_000
/** For what lies there in the first moments of a mount, and how long after that the disk is left to itself. */
const LOOK_MS = 1_000
const LOOK_PAUSE_MS = 5_000
/** After the disk failed. */
const PAUSE_MS = 60_000
/** At the end, for what is still to be written. */
const CLOSE_MS = 2_000
/** Less of an object is not worth a file, unless it is all of it. */
const RUN_BYTES_MIN = 4096
/** A file's time is set anew when it is older than this. */
const MARK_MS = 600_000

export interface DiskCacheOptions {
  store: ObjectStore
  disk: Disk
  /** An existing folder, the cache's alone. */
  folder: string
  /** What lies in one belongs to this volume in this store, and no file of another passes for it. */
  scope: string
  sizeBytes: number
  /** Given where a tenth of the disk is to stay free. */
  space?: (() => Promise<DiskSpace>) | undefined
  /** Most memory of what waits to be written. */
  pendingBytes: number
  segmentSizeBytes: number
  clock: Clock
  session: string
  log: SegmentLog
}

/** Since the mount. */
export interface DiskCacheStatus {
  /** Of files now, and at most. */
  bytes: number
  limitBytes: number
  /** GETs answered from files, and those that went to the store. */
  hits: number
  misses: number
  hitBytes: number
  writtenBytes: number
  /** Runs that were not kept as the disk was slower than the store, or was not used for a while after a failure. */
  skipped: number
  /** Files that did not verify. */
  damaged: number
  /** Failures of the disk. */
  errors: number
}

/** Something on its way into the cache. */
interface Pending {
  readonly id: SegmentId
  isUnwanted: boolean
}

export class DiskCache implements ObjectStore {
  readonly name: string
  readonly #options: DiskCacheOptions
  readonly #store: ObjectStore
  readonly #folder: CacheFolder
  readonly #memory: ChunkMemory
  readonly #reads: PatientReads
  readonly #writes = new PQueue({ concurrency: WRITES_AT_A_TIME })
  readonly #pending = new Map<SegmentId, Set<Pending>>()
  /** Removals under way. */
  readonly #removing = new Set<Promise<void>>()
  #pendingBytes = 0
  #noReadsBeforeMs = Number.NEGATIVE_INFINITY
  #noWritesBeforeMs = Number.NEGATIVE_INFINITY
  readonly #told = new Set<string>()
  readonly #counts = { hits: 0, misses: 0, hitBytes: 0, writtenBytes: 0, skipped: 0, damaged: 0, errors: 0 }

  constructor(options: DiskCacheOptions) {
    const { store, disk, folder, sizeBytes, space, clock, session, segmentSizeBytes, pendingBytes } = options
    this.name = store.name
    this.#options = options
    this.#store = store
    this.#reads = new PatientReads({ clock, atATime: READS_AT_A_TIME, patienceMs: READ_MS })
    const onError = (error: unknown) => this.#failed(error)
    this.#folder = new CacheFolder({ disk, path: folder, sizeBytes, space, clock, session, onError })
    this.#memory = new ChunkMemory({
      slabBytes: segmentSizeBytes,
      keptMax: Math.floor(pendingBytes / segmentSizeBytes),
    })
  }

  /** Begins to look through the folder. Nobody waits for it. */
  start(): void {
    this.#folder.complete().catch((error: unknown) => this.#failed(error))
  }

  get status(): DiskCacheStatus {
    const { index, limitBytes } = this.#folder
    return { bytes: index.bytes, limitBytes, ...this.#counts }
  }

  /** To be called when the volume was opened, before data is read: a bucket that was put back to an older state, from a backup,
   *  gives out ids that were used since, for other bytes. Its epoch then is none that could follow what this cache has
   *  seen, and all is thrown away. (Until then pages alone are read, whose crc stands in the pointers to them.) */
  async trust({ epoch, isWriter }: { epoch: number; isWriter: boolean }): Promise<void> {
    try {
      const seen = await this.#folder.readEpoch()
      const follows = seen !== null && (isWriter ? epoch > seen : epoch >= seen)
      if (!follows) {
        if (seen !== null)
          this.#options.log.warn({ seen, epoch }, 'the volume is older than the disk cache: emptying it')
        await this.#folder.clear()
      }
    } catch (error) {
      this.#failed(error)
      this.#noReadsBeforeMs = Number.POSITIVE_INFINITY
      this.#noWritesBeforeMs = Number.POSITIVE_INFINITY
      return
    }
    try {
      await this.#folder.noteEpoch(epoch)
    } catch (error) {
      // What is there can be used. What came to it now would seem to be of an older epoch.
      this.#failed(error)
      this.#noWritesBeforeMs = Number.POSITIVE_INFINITY
    }
  }

  /** What was kept of a segment is not to be used any more. */
  forget(id: SegmentId): void {
    for (const pending of this.#pending.get(id) ?? []) pending.isUnwanted = true
    this.#background(this.#folder.forget(id))
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredObject> {
    const id = parseSegmentKey(key)
    if (id === null || options.lengthBytes === 0) return this.#store.get(key, options)
    options.signal?.throwIfAborted()
    const pending = this.#begin(id)
    const found = await this.#find(id, options)
    if (found !== null && !pending.isUnwanted) {
      this.#end(pending)
      options.signal?.throwIfAborted()
      return found
    }
    this.#counts.misses++
    try {
      const { offset = 0, lengthBytes = Number.POSITIVE_INFINITY } = options
      const got = await this.#store.get(key, options)
      const { body, etag } = got
      const run = { id, start: offset, end: offset + body.length, isEnd: body.length < lengthBytes }
      this.#keep(pending, run, [body], etag)
      return got
    } catch (error) {
      this.#end(pending)
      throw error
    }
  }

  put(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    return this.#keepPut(key, body, () => this.#store.put(key, body, options))
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag> {
    return this.#keepPut(key, body, () => this.#store.putIfAbsent(key, body, options))
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options?: PutOptions): Promise<Etag> {
    return this.#keepPut(key, body, () => this.#store.putIfMatch(key, body, etag, options))
  }

  async delete(keys: readonly string[], options?: PutOptions): Promise<void> {
    const ids = keys.map(parseSegmentKey).filter((id) => id !== null)
    for (const id of ids) this.forget(id)
    await this.#store.delete(keys, options)
    // What was read meanwhile.
    for (const id of ids) this.forget(id)
  }

  list(prefix: string, options?: ListOptions): Promise<ListPage> {
    return this.#store.list(prefix, options)
  }

  head(key: string, options?: PutOptions): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#store.head(key, options)
  }

  async close(): Promise<void> {
    await this.settled()
    await this.#store.close()
  }

  /** Waits until all is written, or the disk had its time for that. */
  async settled(): Promise<void> {
    const { clock } = this.#options
    const idle = this.#writes.onIdle().then(() => Promise.all([...this.#removing, this.#folder.scanning]))
    await new Promise<void>((resolve) => {
      const timer = clock.after(CLOSE_MS, resolve)
      void idle.then(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  async #keepPut(key: string, body: readonly Uint8Array[], put: () => Promise<Etag>): Promise<Etag> {
    const id = parseSegmentKey(key)
    if (id === null) return put()
    this.forget(id)
    const pending = this.#begin(id)
    try {
      const etag = await put()
      // Its parts are the caller's again once he is told: they are copied in this turn.
      this.#keep(pending, { id, start: 0, end: bodyLengthBytes(body), isEnd: true }, body, etag)
      return etag
    } catch (error) {
      this.#end(pending)
      throw error
    }
  }

  /** Reads from files; null when something of it is not there, or cannot be read. */
  async #find(id: SegmentId, { offset = 0, lengthBytes, allocate }: GetOptions): Promise<StoredObject | null> {
    const { clock } = this.#options
    if (clock.monotonicMs() < this.#noReadsBeforeMs) return null
    const to = lengthBytes === undefined ? Number.POSITIVE_INFINITY : offset + lengthBytes
    try {
      const parts = await this.#soon(this.#folder.find(id, offset, to))
      if (parts === null || parts.length === 0) return null
      const bytes = parts.at(-1)!.to - offset
      // Where the disk takes too long the store is given other memory, and what the disk writes to is nobody's.
      const body = allocate?.(bytes) ?? Buffer.allocUnsafeSlow(bytes)
      const etag = await this.#reads.add(() => this.#readParts(parts, body))
      if (etag === null) return null
      this.#counts.hits++
      this.#counts.hitBytes += bytes
      return { body, etag }
    } catch (error) {
      this.#noReadsBeforeMs = Math.max(this.#noReadsBeforeMs, clock.monotonicMs() + PAUSE_MS)
      this.#failed(error)
      return null
    }
  }

  /** Their etag; null when they are not what they should be. */
  async #readParts(parts: readonly Part[], body: Buffer): Promise<Etag | null> {
    const { disk, scope, clock } = this.#options
    const first = parts[0]!.from
    let etag: Etag | null = null
    for (const { entry, from, to } of parts) {
      const usedMs = nowMs(clock)
      const isOld = usedMs - entry.markedMs > MARK_MS
      try {
        const part = { scope, run: entry.run, from, to, into: body.subarray(from - first, to - first) }
        const path = this.#folder.pathOf(entry.path)
        const own = await readRun(disk, path, { ...part, usedMs: isOld ? usedMs : null }, () => clock.yield())
        // Of two objects, one after the other under one key: neither is trusted.
        if (etag !== null && own !== etag) throw new DamagedFileError(`${entry.path} is of another object`)
        etag = own
      } catch (error) {
        if (codeOf(error) === 'ENOENT') this.#folder.index.remove(entry)
        else this.#unreadable(entry, error)
        return null
      }
      if (isOld) entry.markedMs = usedMs
      this.#folder.index.use(entry, usedMs)
    }
    return etag
  }

  #unreadable(entry: Entry, error: unknown): void {
    this.#background(this.#folder.forget(entry.run.id))
    if (error instanceof DamagedFileError) {
      this.#counts.damaged++
      this.#tellOnce('damaged', error, 'the disk cache is damaged: what it held is read from the store')
    } else this.#failed(error)
  }

  #keep(pending: Pending, run: Run, body: readonly Uint8Array[], etag: Etag): void {
    const bytes = run.end - run.start
    const isWorthIt = bytes >= RUN_BYTES_MIN || (run.start === 0 && run.isEnd && bytes > 0)
    const isThere = isWorthIt && this.#folder.index.cover(run.id, run.start, run.end) !== null
    if (!isWorthIt || isThere || !isFitEtag(etag) || !this.#mayKeep(bytes)) {
      this.#end(pending)
      return
    }
    const copy = this.#memory.allocate(bytes)
    let at = 0
    for (const part of body) {
      copy.set(part, at)
      at += part.length
    }
    this.#pendingBytes += bytes
    void this.#writes.add(() => this.#write(pending, run, copy, etag))
  }

  #mayKeep(bytes: number): boolean {
    const { clock, pendingBytes } = this.#options
    const may = clock.monotonicMs() >= this.#noWritesBeforeMs && this.#pendingBytes + bytes <= pendingBytes
    if (!may) this.#counts.skipped++
    return may
  }

  /** Never rejects. */
  async #write(pending: Pending, run: Run, copy: Buffer, etag: Etag): Promise<void> {
    const { clock, scope } = this.#options
    const isWanted = () => !pending.isUnwanted && clock.monotonicMs() >= this.#noWritesBeforeMs
    try {
      const entry = await this.#folder.write({ scope, run, body: copy, etag }, isWanted)
      if (entry !== null) this.#counts.writtenBytes += copy.length
    } catch (error) {
      this.#noWritesBeforeMs = Math.max(this.#noWritesBeforeMs, clock.monotonicMs() + PAUSE_MS)
      this.#failed(error)
    } finally {
      this.#pendingBytes -= copy.length
      this.#memory.free(copy)
      this.#end(pending)
    }
  }

  #begin(id: SegmentId): Pending {
    const pending = { id, isUnwanted: false }
    const others = this.#pending.get(id)
    if (others === undefined) this.#pending.set(id, new Set([pending]))
    else others.add(pending)
    return pending
  }

  #end(pending: Pending): void {
    const all = this.#pending.get(pending.id)
    all?.delete(pending)
    if (all?.size === 0) this.#pending.delete(pending.id)
  }

  #background(work: Promise<void>): void {
    const ended = work.catch((error: unknown) => this.#failed(error))
    this.#removing.add(ended)
    void ended.finally(() => this.#removing.delete(ended))
  }

  /** What is found; null when that takes long, as where a large cache was just mounted from a slow disk. */
  #soon<T>(finding: Promise<T | null>): Promise<T | null> {
    const { clock } = this.#options
    return new Promise((resolve, reject) => {
      const timer = clock.after(LOOK_MS, () => {
        this.#noReadsBeforeMs = Math.max(this.#noReadsBeforeMs, clock.monotonicMs() + LOOK_PAUSE_MS)
        resolve(null)
      })
      void finding.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  #failed(error: unknown): void {
    this.#counts.errors++
    this.#tellOnce(codeOf(error) ?? String(error), error, 'the disk cache cannot be used for a while')
  }

  /** Each sort of failure is told once in the life of a mount. */
  #tellOnce(what: string, error: unknown, message: string): void {
    if (this.#told.has(what)) return
    this.#told.add(what)
    this.#options.log.warn({ folder: this.#options.folder, error }, message)
  }
}
