// Segments: immutable objects of up to `segmentSizeBytes` in which pieces lie packed. A piece is a run of file data (in
// blocks of 32 KiB, each followed by its crc32c, so that every block-aligned range verifies alone) or a table page (its
// crc32c stands in the pointer to it). A segment holds pieces of one sort only, and ends with a table of contents.
//
// Must stay true:
// - A location given out by a packer may be recorded only after the promise of `upload` resolved.
// - What a read returns was verified; a mismatch or a missing object is FsError EIO that names the object.
// - Commits carry file data too (tables/journal.ts): such data has a SegmentId of its own, is laid out as in a segment,
//   and is served from memory (`keepInMemory`) until a checkpoint has packed it into a real segment.
import type { Lease } from './chunk.ts'
import type { Prefetch } from './chunk-cache.ts'

/** 10 bits of slot, then a counter: below 2^53. */
export type SegmentId = number & { readonly __brand: 'SegmentId' }

export const BLOCK_BYTES = 32 * 1024
export const BLOCK_CRC_BYTES = 4

/** A run of file bytes inside a segment: what an extent points at. All but `segment` fit 32 bits; `skipBytes` is below
 *  BLOCK_BYTES. The stored bytes begin at `offset` (always a block's start) and hold `pieceBytes` raw bytes in blocks of
 *  BLOCK_BYTES (the last may be shorter); wanted are `lengthBytes` of them after the first `skipBytes`. */
export interface DataRange {
  segment: SegmentId
  offset: number
  pieceBytes: number
  skipBytes: number
  lengthBytes: number
}

/** Where a table page lies: its stored (compressed) bytes and their crc32c. */
export interface PagePointer {
  segment: SegmentId
  offset: number
  storedBytes: number
  crc: number
}

/** One line of a segment's table of contents: for the cleaner and fsck. `owner` is the inode (data) or the table's owner
 *  (pages); `key` the file offset, or the page's first key; `tableKind` 0 for data. `offset` and `lengthBytes` are of the
 *  stored bytes. */
export interface ContentsEntry {
  owner: number
  key: number
  tableKind: number
  offset: number
  lengthBytes: number
}

/** A contents entry as stored: pages carry their crc32c; 0 for data. */
export interface StoredContentsEntry extends ContentsEntry {
  crc: number
}

/** Packs pieces into segments. Locations are known at once; the objects go out as they fill, several in parallel. */
export interface DataPacker {
  /** Takes a run of one file, at most `maxPieceBytes`. `parts` must not change until `upload` has resolved. */
  add(owner: number, fileOffset: number, parts: readonly Uint8Array[]): DataRange
  /** Uploads what is not yet on its way and waits for all. When it rejects, none of the locations may be used; segments
   *  that did get there are deleted by the store (best effort). */
  upload(): Promise<void>
}

export interface PagePacker {
  /** Takes the stored form of a page and its place in the tree; the pointer's crc is of `stored`. */
  add(tableKind: number, owner: number, firstKey: number, stored: Uint8Array): PagePointer
  /** `trailer` (a copy of what `root` will say and of volume.json) is put behind the pages of the last segment, when
   *  given and when there is one. */
  upload(trailer?: Uint8Array): Promise<void>
  /** Set while a few full segments wait for the store: whoever adds pages should wait until it resolves. Never rejects. */
  readonly backlog: Promise<void> | null
}

/** File data laid out as in a segment but in memory, to be put in front of a commit's records. */
export interface PackedData {
  stored: Buffer
  contents: ContentsEntry[]
}

/** What reads are for: demand before read-ahead. */
export type ReadPriority = 'demand' | 'read-ahead'

export interface ReadDataOptions {
  /** `demand` unless told. */
  priority?: ReadPriority
  /** Holds the memory of what was read until it is released; without one it is the reader's for good. */
  lease?: Lease | undefined
  /** He reads in no order: of the segment just these blocks are fetched, until that has cost as much as fetching the rest
   *  would; then the rest is too, in the background. Unless told, neighbours are fetched along. */
  isRandom?: boolean
  /** Called when a whole segment has come that this read helped to pay for, or waited for. */
  onBought?: (() => void) | undefined
}

export interface SegmentStore {
  /** Largest raw run that one piece may hold: what fits a segment alone. A multiple of BLOCK_BYTES. */
  readonly maxPieceBytes: number
  /** `takeId` is called once per segment begun. */
  dataPacker(takeId: () => SegmentId): DataPacker
  pagePacker(takeId: () => SegmentId): PagePacker
  /** Lays runs out for a commit, as if in a segment `id`; nothing is uploaded. */
  packInMemory(
    id: SegmentId,
    runs: readonly { owner: number; fileOffset: number; parts: readonly Uint8Array[] }[],
  ): { packed: PackedData; ranges: DataRange[] }

  /** From now on ranges of `id` are served from these bytes, until `dropFromMemory`. */
  keepInMemory(id: SegmentId, stored: Buffer): void
  dropFromMemory(id: SegmentId): void

  /** The wanted bytes, in parts that must not be written to; at once when cached, else a promise. */
  readData(range: DataRange, options?: ReadDataOptions): Uint8Array[] | Promise<Uint8Array[]>
  /** The same, at once, when they are in memory and whole; else null. Not for a range of no length. */
  cachedData(range: DataRange, lease?: Lease): Uint8Array[] | null
  /** Begins fetching a range that will be wanted, with the rest of its segment; errors are kept for the read that comes.
   *  Does nothing and returns null while as much is on its way as half the cache holds. */
  prefetchData(range: DataRange): Prefetch | null
  /** The stored bytes of a page. Fetches its neighbours too (about 1 MiB around it) and keeps them in the cache; when more
   *  of its segment was missing before, all of it, unless the reader sees to that itself (`isScan`, prefetchPages). */
  readPage(pointer: PagePointer, options?: { isScan?: boolean }): Promise<Uint8Array>
  /** The same, at once, when they are in the cache and whole; else null. */
  cachedPage(pointer: PagePointer): Uint8Array | null
  /** Begins fetching stored pages that will be wanted, bytes of one segment; errors are kept for the read that comes. Does
   *  nothing and returns false while as much is on its way as half the cache holds. */
  prefetchPages(span: { segment: SegmentId; start: number; end: number }): boolean
  /** How far ahead of one reader pages may be prefetched, in stored bytes, and still be there when he comes. */
  readonly pagesAheadBytes: number
  /** How far ahead of all readers together file data may be prefetched, and still be there when they come. It changes with
   *  what others leave to the cache. */
  readonly dataAheadBytes: number
  /** Deletes segments, in batches. Ids that are not there are no error. */
  delete(ids: readonly SegmentId[]): Promise<void>
  /** A segment's table of contents, by two or three small requests. FsError EIO when it is missing or damaged. */
  readTable(id: SegmentId): Promise<StoredContentsEntry[]>
  /** How many bytes of file data were packed into each, missing ones left out: exact where it was put, or its table read,
   *  through this store; else the object's size, which is a little more, learnt by one listing of all segments. */
  sizes(ids: readonly SegmentId[]): Promise<ReadonlyMap<SegmentId, { bytes: number; isExact: boolean }>>
  /** Whether a read that has begun still wants something of the segment. */
  isBeingRead(id: SegmentId): boolean
  /** Whether reads that somebody waits for are under way: what runs in the background should wait. */
  readonly isBusy: boolean
  /** Bytes held in caches; the cache gives way when its budget shrinks. */
  readonly cachedBytes: number
}
