// What tests of the disk cache share: a bucket, a folder and a disk of its own for each test, and the caches over them, as mounts
// make them. Hooks of the importing file: what is exported is new for each test.
import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { seededRandom, systemClock } from '../../src/platform/index.ts'
import { segmentKey } from '../../src/segments/format.ts'
import { DiskCache, type DiskCacheOptions, type SegmentId } from '../../src/segments/index.ts'
import { type TemporaryFolder, temporaryFolder } from '../store/temporary-folder.ts'
import { createVirtualClock } from '../store/virtual-clock.ts'
import { Bucket } from './bucket.ts'
import { FaultyDisk } from './faulty-disk.ts'

export const SEGMENT = 256 * 1024
export const id = (n: number) => n as SegmentId
export const key = (n: number) => segmentKey(id(n))

export let temporary: TemporaryFolder
export let folder: string
export let bucket: Bucket
export let disk: FaultyDisk
export let warnings: string[]
export const clock = { ...createVirtualClock(), now: () => systemClock.now() }
export const caches: DiskCache[] = []

beforeEach(async () => {
  temporary = await temporaryFolder()
  folder = join(temporary.path, 'cache')
  mkdirSync(folder)
  bucket = new Bucket()
  disk = new FaultyDisk()
  warnings = []
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.settled()))
  await temporary.remove()
})

let sessions = 0
/** As a mount makes it. */
export function mount(options: Partial<DiskCacheOptions> = {}): DiskCache {
  const cache = new DiskCache({
    ...{ store: bucket, disk, folder, scope: 'volume', sizeBytes: 64 << 20, pendingBytes: 16 << 20 },
    ...{ segmentSizeBytes: SEGMENT, clock, session: `s${++sessions}` },
    log: { warn: (_, message) => warnings.push(message) },
    ...options,
  })
  caches.push(cache)
  cache.start()
  return cache
}

/** Another mount, after the last one has ended; knows all that is there. */
export async function remount(options: Partial<DiskCacheOptions> = {}): Promise<DiskCache> {
  await Promise.all(caches.splice(0).map((cache) => cache.settled()))
  return mount(options)
}

/** No two blocks of it are alike, nor any of two numbers. */
export function bytesOf(n: number, lengthBytes = SEGMENT): Buffer {
  return Buffer.alloc(lengthBytes, seededRandom(n).bytes(1021))
}

/** A segment in the bucket. */
export function stored(n: number, lengthBytes = SEGMENT): Buffer {
  const bytes = bytesOf(n, lengthBytes)
  bucket.objects.set(key(n), bytes)
  return bytes
}

/** Files below the folder, without the epoch. */
export function files(below = folder): string[] {
  return readdirSync(below, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(below, name)).isFile() && name !== 'epoch')
    .sort()
}

export const fileOf = (n: number) => {
  const found = files().filter((name) => name.includes(key(n).split('/')[2]!))
  expect(found).toHaveLength(1)
  return join(folder, found[0]!)
}
