// What a daemon says of its mount: `status` of the control protocol, put together from all layers.
//
// Must stay true: nothing here waits, or touches the mount.
import { fuseRequests, type Mounted } from '../fuse/index.ts'
import type { Registry } from '../observe/index.ts'
import type { DiskCache } from '../segments/index.ts'
import type { Volume, VolumeIdentity } from '../volume/index.ts'
import type { MountStatus } from './control-protocol.ts'
import type { OpenedStore } from './open-store.ts'
import type { MountSettings } from './options.ts'
import { VERSION } from './version.ts'

export interface MountParts {
  order: { storeName: string; settings: MountSettings }
  identity: VolumeIdentity
  volume: Volume
  mounted: Mounted
  opened: OpenedStore
  diskCache: { cache: DiskCache; folder: string } | null
  /** Of the store's requests and the kernel's. */
  registry: Registry
  /** By performance.now. */
  startedMs: number
  /** Null: standard error. */
  logFile: string | null
}

export function describeMount({
  order,
  identity,
  volume,
  mounted,
  opened,
  diskCache,
  registry,
  startedMs,
  logFile,
}: MountParts): MountStatus {
  const { status } = volume
  const { json } = identity
  return {
    version: VERSION,
    volume: { name: json.name, uuid: json.uuid },
    store: order.storeName,
    mountpoint: mounted.mountpoint,
    pid: process.pid,
    log: logFile,
    readOnly: status.readOnly,
    binding: order.settings.binding,
    writeback: order.settings.writeback,
    uptimeSec: Math.round(performance.now() - startedMs) / 1000,
    dirtyBytes: status.dirtyBytes,
    journal: {
      objects: status.journalObjects,
      bytes: status.journalBytes,
      unacknowledgedBytes: status.unacknowledgedBytes,
      replayedCommits: status.replayedCommits,
    },
    checkpoint: { number: status.checkpointNumber, epoch: status.epoch, changeBytes: status.changeBytes },
    cache: {
      blockBytes: status.cachedBlockBytes,
      pageBytes: status.cachedPageBytes,
      memoryBytes: order.settings.memoryBytes,
    },
    pages: { ...status.pages, heldBytes: status.cachedPageBytes },
    walks: status.walks,
    readAhead: status.readAhead,
    diskCache: diskCache === null ? null : { folder: diskCache.folder, ...diskCache.cache.status },
    kernel: describeKernel(registry),
    clean: status.cleaner,
    requests: opened.requests(),
    transfer: {
      receivedBytes: registry.counter('store.bytes_in').value,
      sentBytes: registry.counter('store.bytes_out').value,
    },
    process: describeProcess(),
    failure: status.failure?.message ?? null,
  }
}

function describeKernel(registry: Registry): MountStatus['kernel'] {
  const count = (name: string) => registry.counter(`fuse.${name}`).value
  return {
    requests: fuseRequests(registry),
    lookupsFound: count('lookups_found'),
    lookupsMissing: count('lookups_missing'),
    readBytes: count('read_bytes'),
    writtenBytes: count('written_bytes'),
    storedBytes: count('stored_bytes'),
    listingsFilledAhead: count('listings_filled_ahead'),
    listingsUsedAhead: count('listings_used_ahead'),
  }
}

function describeProcess(): MountStatus['process'] {
  const { user, system } = process.cpuUsage()
  return { cpuSec: Math.round((user + system) / 1e3) / 1e3, residentBytes: process.memoryUsage.rss() }
}
