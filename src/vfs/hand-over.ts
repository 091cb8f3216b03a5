// What was bought for readers in no order (SegmentStore.readData's `onBought`) is handed to the kernel's page cache, which then
// answers such reads without asking us, whatever memory we have. Files go one after the other, in pieces.
//
// Storing overwrites what the page cache holds, and it may hold what is newer than all we know: a WRITE puts its bytes there
// before it reaches us. So old bytes are kept from going over newer ones before there can be newer ones: who opens a file for
// writing, or truncates it, waits until the piece on its way has arrived, and the rest of the file is not handed over. A WRITE
// itself must not wait for that: it may hold the lock of a page for which the storing waits. The kernel writes through open
// files alone, mapped memory included, and says RELEASE only when all of it is written.
//
// Must stay true:
// - A piece begins in the turn in which nobody has its file open for writing, all of the file's bytes are recorded, and its
//   bytes are what the records say; and it ends before whoever changes the file after that turn goes on (`assertQuiet`).
// - Pieces are whole pages, and end before the end of the file: past it the kernel would take the file for longer, and what it
//   shows behind the end of a last page is not cleared by kernels before 6.11 (CVE-2024-44947).
// - One piece is on its way at a time, and none begins while the kernel is told something else, which may wait for a lock of
//   somebody who would wait for the piece. A piece waits for READs alone, and they wait for nobody.
import { LRUCache } from 'lru-cache'
import type { Extent } from '../data/index.ts'
import { extentsOf, type Ino, isRegular } from '../meta/index.ts'
import { FsError, isPromise, type MaybePromise, ruleHolds } from '../platform/index.ts'
import { Lease, sliceRange } from '../segments/index.ts'
import type { Context } from './context.ts'

/** Who keeps bytes of files and answers reads of them by itself: the kernel. */
export interface PageCache {
  /** While it does something else: it may wait there for somebody who waits for us. */
  readonly busy: Promise<void> | null
  /** Puts bytes of a file into the cache, as they are now in `parts`, over what it has there. Resolves, when the parts are not
   *  read any more, to whether it took them. Never rejects. */
  store(ino: Ino, offset: number, parts: readonly Uint8Array[]): Promise<boolean>
}

/** Pages of the kernel. Where they are larger it fills those that it gets in part when they are read. */
const PAGE_BYTES = 4096
/** Whoever opens the file for writing waits for one (a millisecond or two), and whoever reads it for a page of one. Between two
 *  of them the loop serves requests for up to 4 ms, so that with smaller ones busy readers would hold up what makes them
 *  needless. */
const PIECE_BYTES = 4 << 20
/** Less in one place is not worth it. */
const WORTHWHILE_BYTES = 64 * 1024
/** Parts of files that wait. */
const QUEUE_MAX = 1024
/** Reads of one part that find it in our memory before it is handed over: they cost as much as that. */
const HITS_MAX = 32

/** A part of a file that is to be handed over: what lies in one place, beginning at `offset`. */
interface Parcel {
  readonly key: string
  readonly ino: Ino
  readonly offset: number
  /** Where the next piece begins, and where all ends; null before the first. */
  rest: { from: number; to: number } | null
  isDropped: boolean
}

/** What is thrown where a file's bytes are about to change while some are on their way to the kernel: see `whenQuiet`. */
class OnItsWay extends Error {
  constructor(readonly arrived: Promise<void>) {
    super('bytes of this file are on their way to the kernel')
  }
}

export class HandOver {
  readonly #context: () => Context
  readonly #cache: PageCache | null
  readonly #queue = new Map<string, Parcel>()
  /** Reads by parts, since those were handed over. */
  readonly #hits = new LRUCache<string, number>({ max: QUEUE_MAX })
  #current: Parcel | null = null
  /** The piece of it that is on its way. */
  #arrived: Promise<void> | null = null
  #isStopped = false

  constructor(context: () => Context, cache: PageCache | null) {
    this.#context = context
    this.#cache = cache
  }

  /** Whether anybody takes anything. */
  get isOn(): boolean {
    return this.#cache !== null && !this.#isStopped
  }

  /** The place in which a part of a file lies, the one that begins at `offset`, has been bought. */
  bought(ino: Ino, offset: number): void {
    const key = `${ino}/${offset}`
    if (!this.isOn || this.#queue.size >= QUEUE_MAX || this.#queue.has(key) || this.#current?.key === key) return
    this.#hits.delete(key)
    this.#queue.set(key, { key, ino, offset, rest: null, isDropped: false })
    if (this.#current === null) void this.#run()
  }

  /** Somebody who reads in no order found there what he wanted. */
  hit(ino: Ino, offset: number): void {
    const key = `${ino}/${offset}`
    const hits = (this.#hits.get(key) ?? 0) + 1
    if (hits < HITS_MAX) this.#hits.set(key, hits)
    else this.bought(ino, offset)
  }

  /** In the turn in which a file's bytes begin to change, before anything of it is changed: nothing more of it is handed over.
   *  Throws what `whenQuiet` waits for while a piece is on its way. */
  assertQuiet(ino: Ino): void {
    if (this.#current === null || !ruleHolds('what is handed over has arrived before it can change')) return
    for (const [key, parcel] of this.#queue) if (parcel.ino === ino) this.#queue.delete(key)
    if (this.#current.ino !== ino) return
    this.#current.isDropped = true
    if (this.#arrived !== null) throw new OnItsWay(this.#arrived)
  }

  /** Does what calls `assertQuiet`, again after waiting where it threw. */
  whenQuiet<T>(operation: () => MaybePromise<T>): MaybePromise<T> {
    const again = async (error: unknown): Promise<T> => {
      if (!(error instanceof OnItsWay)) throw error
      await error.arrived
      return this.whenQuiet(operation)
    }
    try {
      const result = operation()
      return isPromise(result) ? result.catch(again) : result
    } catch (error) {
      return again(error)
    }
  }

  /** Nothing more is begun. */
  stop(): void {
    this.#isStopped = true
    this.#queue.clear()
  }

  async #run(): Promise<void> {
    for (const [key, parcel] of this.#queue) {
      this.#queue.delete(key)
      this.#current = parcel
      try {
        while (await this.#storeNext(parcel)) {
          // Until nothing is left of it.
        }
      } catch (error) {
        // The file is gone, or where it lies cannot be read: whoever reads it will be told.
        if (!(error instanceof FsError)) throw error
      }
    }
    this.#current = null
  }

  /** Hands over the next piece. Whether there may be another. */
  async #storeNext(parcel: Parcel): Promise<boolean> {
    const { database } = this.#context()
    const isTaken = await database.run(() => this.#begin(parcel))
    return isTaken === true
  }

  /** Begins to store a piece, in this turn. Resolves, when it has arrived, to whether it was taken, or when another attempt may
   *  be made. Null: there is none. */
  #begin(parcel: Parcel): Promise<boolean> | null {
    const { segments } = this.#context()
    const extent = this.#extentOf(parcel)
    if (extent === null || this.#cache === null) return null
    const { fileOffset, range, sizeBytes } = extent
    const end = Math.min(fileOffset + range.lengthBytes, sizeBytes)
    parcel.rest ??= wholePages(fileOffset, end)
    const { rest } = parcel
    const { busy } = this.#cache
    if (busy !== null) return busy.then(() => true)
    const to = Math.min(rest.from + PIECE_BYTES, rest.to, wholePages(rest.from, end).to)
    if (to <= rest.from) return null
    // The kernel keeps it: then our memory of it is of no more use.
    const lease = new Lease({ isKept: true })
    const parts = segments.cachedData(sliceRange(range, rest.from - fileOffset, to - rest.from), lease)
    if (parts === null) {
      lease.release()
      return null
    }
    const stored = this.#cache.store(parcel.ino, rest.from, parts)
    const arrived = stored.then((isTaken) => {
      lease.release()
      this.#arrived = null
      rest.from = to
      return isTaken
    })
    this.#arrived = arrived.then(() => {})
    return arrived
  }

  /** Where the next piece lies, and how long the file is; null when it must not be handed over, or is not worth it. */
  #extentOf({ ino, offset, rest, isDropped }: Parcel): (Extent & { sizeBytes: number }) | null {
    const { database, handles, metadata, streams } = this.#context()
    if (this.#isStopped || isDropped) return null
    if (handles.isWritten(ino) && ruleHolds('what may be written is not handed over')) return null
    if (streams.get(ino) !== undefined && ruleHolds('what is handed over is recorded')) return null
    const { inode } = metadata.nodeOf(ino)
    if (!isRegular(inode.mode)) return null
    const at = rest?.from ?? offset
    const [extent] = extentsOf(database, inode, at, at + 1)
    if (extent === undefined || extent.range.lengthBytes < WORTHWHILE_BYTES) return null
    return { ...extent, sizeBytes: inode.sizeBytes }
  }
}

/** What of a range is whole pages. */
function wholePages(from: number, to: number): { from: number; to: number } {
  return { from: Math.ceil(from / PAGE_BYTES) * PAGE_BYTES, to: Math.floor(to / PAGE_BYTES) * PAGE_BYTES }
}
