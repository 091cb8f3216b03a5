// data/: dirty buffers, extents, the read planner and read-ahead. Promises upward: Streams (stream.ts) and reads of
// planned ranges. Asks downward: SegmentStore, a clock.
export { joinRanges, liveBytesOf, sliceRange } from '../segments/index.ts'
export { createStreams, type OwnedStreams, type StreamsOptions } from './create-streams.ts'
export * from './extents.ts'
export {
  createReadAhead,
  newCounters,
  type ReadAhead,
  type ReadAheadCounters,
  type ReadAheadOptions,
  ReadAheadRoom,
  type RunSpan,
} from './read-ahead.ts'
export type { Slab } from './slab.ts'
export * from './stream.ts'
