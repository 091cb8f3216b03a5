// Watches every deletion in the bucket: what is deleted must not be named by the state that a mount would find in this very
// moment, by `root` and the journal. So a rule that guards the order of deletions need not wait for a crash to be missed.
import { PINNED_TABLES, TABLE_KINDS, USAGE } from '../../src/meta/index.ts'
import { FsError, type Random, readU64 } from '../../src/platform/index.ts'
import { createSegmentStore, parseSegmentKey, type SegmentStore } from '../../src/segments/index.ts'
import { type GetOptions, type ListOptions, type ObjectStore, StoreError } from '../../src/store/index.ts'
import { type Database, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { decodeRoot, type Root } from '../../src/tables/root.ts'
import type { VolumeIdentity } from '../../src/volume/index.ts'
import { type Bucket, listed, type StoredEntry } from './bucket.ts'
import type { Process } from './process.ts'

const JOURNAL_KEY = /^journal\/([0-9a-f]+)\/([0-9a-f]+)\/([0-9a-f]+)$/

export interface WatchOptions {
  bucket: Bucket
  identity: VolumeIdentity
  /** Whose clock the reading goes by. */
  process: Process
  random: Random
  fail: (error: Error) => void
}

export class Watch {
  readonly #options: WatchOptions
  readonly #snapshot = new Snapshot()
  /** Making one takes long; what it keeps of segments never changes. */
  readonly #segments: SegmentStore
  /** One look after the other. */
  #looking: Promise<void> = Promise.resolve()

  constructor(options: WatchOptions) {
    this.#options = options
    this.#segments = createSegmentStore({
      store: this.#snapshot,
      volumeUuid: options.identity.uuid,
      segmentSizeBytes: options.identity.json.segmentSize,
      cacheBytes: 64 << 20,
      clock: options.process.clock,
    })
    options.bucket.onDelete = (keys) => this.#deleting(keys)
  }

  /** Resolves when all deletions so far have been looked at. */
  settled(): Promise<void> {
    return this.#looking
  }

  #deleting(keys: readonly string[]): void {
    const { bucket, identity, fail } = this.#options
    const body = bucket.entries.get('root')?.body
    if (body === undefined) return
    const root = decodeRoot(body, identity.uuid)
    for (const key of keys) if (isNeeded(root, key)) fail(new Error(`${key} is deleted, but root does not contain it`))
    const segments = keys.filter((key) => key.startsWith('segments/'))
    if (segments.length === 0) return
    const entries = new Map(bucket.entries)
    this.#looking = this.#looking.then(() => this.#look(segments, entries))
  }

  async #look(keys: readonly string[], entries: ReadonlyMap<string, StoredEntry>): Promise<void> {
    try {
      this.#snapshot.entries = entries
      const database = await this.#open()
      for (const key of keys) {
        const id = parseSegmentKey(key) as number
        const pages = database.rootInForce.pageSegments.get(id)?.liveBytes ?? 0
        const row = await database.run(() => database.table(USAGE).get(id))
        const live = pages + (row === null ? 0 : readU64(row, 0))
        if (live > 0) this.#options.fail(new Error(`${key} is deleted, but the durable state has ${live} bytes there`))
      }
    } catch (error) {
      // A state that cannot be read is for the next mount to meet.
      if (!(error instanceof FsError)) this.#options.fail(error as Error)
    }
  }

  /** The database as a mount would find it. */
  #open(): Promise<Database> {
    const { identity, process, random } = this.#options
    return openDatabaseReadOnly({
      store: this.#snapshot,
      segments: this.#segments,
      kinds: TABLE_KINDS,
      pinned: PINNED_TABLES,
      volumeUuid: identity.uuid,
      volumeJson: identity.bytes,
      clock: process.clock,
      random,
      log: () => {},
      pageCacheBytes: 64 << 20,
      changeBytesMax: 64 << 20,
    })
  }
}

/** Whether a journal object is one that `root` asks for. */
function isNeeded(root: Root, key: string): boolean {
  const match = JOURNAL_KEY.exec(key)
  if (match === null) return false
  const [, slot, epoch, seq] = match.map((part) => Number.parseInt(part, 16))
  return root.slot === slot && root.tenures.some((tenure) => tenure.epoch === epoch && (seq ?? 0) >= tenure.firstSeq)
}

/** The bucket as it was, to be read without faults and at once. */
class Snapshot implements ObjectStore {
  readonly name = 'snapshot:'
  entries: ReadonlyMap<string, StoredEntry> = new Map()

  async get(key: string, { offset = 0, lengthBytes }: GetOptions = {}) {
    const { body, etag } = this.#find(key)
    return { body: body.subarray(offset, lengthBytes === undefined ? body.length : offset + lengthBytes), etag }
  }

  async head(key: string) {
    const { body, etag } = this.#find(key)
    return { sizeBytes: body.length, etag }
  }

  async list(prefix: string, options: ListOptions = {}) {
    return listed(this.entries, prefix, options)
  }

  put = () => this.#refused()
  putIfAbsent = () => this.#refused()
  putIfMatch = () => this.#refused()
  delete = () => this.#refused()

  async close(): Promise<void> {}

  #find(key: string): StoredEntry {
    const entry = this.entries.get(key)
    if (entry === undefined) throw new StoreError('not-found', `${key} does not exist`)
    return entry
  }

  async #refused(): Promise<never> {
    throw new StoreError('fatal', 'a snapshot is only read')
  }
}
