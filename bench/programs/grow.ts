// Makes a directory that grew: through the filesystem of a volume that is not mounted, a checkpoint after every so many
// files, as a mount writes one a minute. Through a mount it would take a day.
//
//   grow.js STORE ENDPOINT ENTRIES EACH
//
// Formats the volume.

import { systemClock, systemRandom } from '../../src/platform/index.ts'
import { openStore, withRetry } from '../../src/store/index.ts'
import { growDirectory } from '../grow-directory.ts'
import { REGION } from '../minio.ts'

const REQUEST_MS = 60_000
const PARALLEL = 8

const [storeName, endpoint, entries, each] = process.argv.slice(2) as [string, string, string, string]
// Of Node and the SDK.
process.removeAllListeners('warning')
const bare = await openStore(storeName, {
  ...{ endpoint, region: REGION, pathStyle: true, unsignedPayload: false, parallelism: PARALLEL, createBucket: false },
  clock: systemClock,
})
const retrying = { clock: systemClock, random: systemRandom, deadlineMs: () => REQUEST_MS, onRetry: () => {} }
const store = withRetry(bare, retrying)
await growDirectory(store, { entries: Number(entries), each: Number(each) })
await store.close()
