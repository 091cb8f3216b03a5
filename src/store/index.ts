// store/: a bucket as cairnfs needs it. Promises upward: the ObjectStore contract of object-store.ts, held by S3, a
// local folder and memory alike, and decorators (retry, metrics, latency) that keep it. Asks downward: a clock, a random
// source, metrics.
export * from './object-store.ts'
