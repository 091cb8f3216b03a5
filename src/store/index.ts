// store/: a bucket as cairnfs needs it. Promises upward: the ObjectStore contract of object-store.ts, held by S3, a
// local folder and memory alike, and decorators that keep it. Asks downward: a clock, a random source, metrics,
// and the local folder a disk (local-disk.ts).
//
// Decorators are stacked in this order, outermost first: withRetry, withHedge, withMetrics, (withLatency, withFaults,) the store.
// The S3 store is loaded only when a name asks for it: its SDK takes 70 ms.
export { type Fault, type FaultyStore, withFaults } from './faults.ts'
export { type HedgeOptions, withHedge } from './hedge.ts'
export { compareKeys } from './keys.ts'
export { type LatencyOptions, withLatency } from './latency.ts'
export { type LocalStoreOptions, openLocalStore } from './local.ts'
export { type Disk, type DiskEntry, type DiskFile, type DiskLock, type DiskStat, nodeDisk } from './local-disk.ts'
export { createMemoryStore } from './memory.ts'
export { type MetricsOptions, storeRequests, withMetrics } from './metrics.ts'
export * from './object-store.ts'
export { type OpenStoreOptions, openStore, parseStoreName, type StoreName } from './open-store.ts'
export { type ProbeFailure, probeStore } from './probe.ts'
export { OPERATIONS, type Operation } from './request-operation.ts'
export { type RetryOptions, withRetry } from './retry.ts'
