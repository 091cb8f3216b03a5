// segments/: packing pieces into immutable objects and reading them back, with a cache of what was read. Promises
// upward: locations at once, durability when `upload` resolves, verified bytes. Asks downward: an ObjectStore.
export { Lease } from './chunk.ts'
export type { Prefetch } from './chunk-cache.ts'
export { createSegmentStore, type SegmentStoreOptions, type TunableSegmentStore } from './create-segment-store.ts'
export { DiskCache, type DiskCacheOptions, type DiskCacheStatus } from './disk-cache.ts'
export type { DiskSpace } from './disk-cache-folder.ts'
export {
  CONTENTS_ENTRY_BYTES,
  damagedPieceIn,
  decodeContentsEntry,
  decodeFooter,
  encodeContentsEntry,
  FOOTER_BYTES,
  maxPieceBytesOf,
  parseSegmentKey,
  type ReadContentsOptions,
  rawBytesOf,
  readContents,
  type SegmentContents,
  type SegmentKind,
  STORED_BLOCK_BYTES,
  segmentKey,
  storedBytesOf,
} from './format.ts'
export type { SegmentLog } from './packer.ts'
export { joinRanges, liveBytesOf, sliceRange, uniteRanges } from './range.ts'
export * from './segment-store.ts'
export { chooseSparse, NEVER_SPARSE_FROM, type SegmentUse } from './sparse.ts'
export { readTrailer, type Trailer } from './trailer.ts'
