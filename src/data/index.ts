// data/: dirty buffers, extents, the read planner and read-ahead. Promises upward: Streams (stream.ts) and reads of
// planned ranges. Asks downward: SegmentStore, a clock.
export * from './stream.ts'
