// Volumes in a memory store for the tests of fsck: mounted, filled, damaged, checked, mended, and looked at again.
import { createHash } from 'node:crypto'
import { PINNED_TABLES, TABLE_KINDS } from '../../src/meta/index.ts'
import { type Clock, seededRandom, systemClock } from '../../src/platform/index.ts'
import { createSegmentStore } from '../../src/segments/index.ts'
import { createMemoryStore, type ObjectStore } from '../../src/store/index.ts'
import { type Database, type Judgement, openDatabase, type Transaction } from '../../src/tables/index.ts'
import type { Ino, MountedFilesystem } from '../../src/vfs/index.ts'
import {
  checkVolume,
  type Finding,
  type FsckReport,
  formatVolume,
  gcVolume,
  openVolume,
  readVolumeJson,
  repairVolume,
  type Volume,
} from '../../src/volume/index.ts'
import { CALLER, Paths } from '../vfs/world.ts'

const self = { host: 'here', bootId: 'boot', pid: 1, since: '2026-01-01T00:00:00Z', lock: null }
/** Timers never fire, sleeps pass at once: what is written is what a test asks for. */
export const clock: Clock = { ...systemClock, after: () => ({ cancel() {} }), sleep: async () => {} }

export interface Mounted {
  volume: Volume
  paths: Paths
  fs: MountedFilesystem
}

export class FsckWorld {
  store: ObjectStore = createMemoryStore()
  judgement: Judgement = 'dead'
  #runs = 0

  #common() {
    return {
      store: this.store,
      clock,
      random: seededRandom(++this.#runs),
      log: () => {},
      rootOwner: { uid: 0, gid: 0 },
      parallelism: 4,
      memoryBytes: 256 << 20,
    }
  }

  async format(segmentSizeBytes = 1 << 20): Promise<void> {
    await formatVolume({
      ...this.#common(),
      name: 'vol',
      segmentSizeBytes,
      force: false,
      self,
      leaseMs: 30_000,
      judge: async () => this.judgement,
      probe: null,
    })
  }

  async mount({ inlineBytesMax }: { inlineBytesMax?: number } = {}): Promise<Mounted> {
    const volume = await openVolume({
      ...this.#common(),
      identity: await readVolumeJson(this.store),
      writer: { self, leaseMs: 30_000, judge: async () => this.judgement, probe: null, onFailure: () => {} },
      commitMs: 5000,
      ...(inlineBytesMax === undefined ? {} : { inlineBytesMax }),
    })
    const fs = volume.filesystem as MountedFilesystem
    return { volume, fs, paths: new Paths(fs) }
  }

  /** Mounts, does it, unmounts. */
  async during(work: (paths: Paths, mounted: Mounted) => Promise<void>): Promise<void> {
    const mounted = await this.mount()
    await work(mounted.paths, mounted)
    await mounted.volume.close()
  }

  check(options: { data?: boolean } = {}): Promise<FsckReport> {
    return checkVolume({
      ...this.#common(),
      readsData: options.data ?? true,
      judge: async () => this.judgement,
      onProgress: () => {},
    })
  }

  repair(options: { data?: boolean } = {}): Promise<FsckReport> {
    return repairVolume({
      ...this.#common(),
      readsData: options.data ?? true,
      judge: async () => this.judgement,
      onProgress: () => {},
      writer: { self, leaseMs: 30_000, onFailure: () => {} },
    })
  }

  async gc(): Promise<void> {
    const identity = await readVolumeJson(this.store)
    await gcVolume({
      ...this.#common(),
      identity,
      writer: { self, leaseMs: 30_000, judge: async () => this.judgement, probe: null, onFailure: () => {} },
      graceMs: 0,
      onProgress: () => {},
    })
  }

  /** Writes records as no filesystem would. The volume must be unmounted. */
  async plant(build: (transaction: Transaction, database: Database) => void): Promise<void> {
    const identity = await readVolumeJson(this.store)
    const segments = createSegmentStore({
      store: this.store,
      volumeUuid: identity.uuid,
      segmentSizeBytes: identity.json.segmentSize,
      cacheBytes: 16 << 20,
      clock,
    })
    const database = await openDatabase(
      {
        ...this.#common(),
        segments,
        kinds: TABLE_KINDS,
        pinned: PINNED_TABLES,
        volumeUuid: identity.uuid,
        volumeJson: identity.bytes,
        pageCacheBytes: 16 << 20,
        changeBytesMax: 64 << 20,
      },
      { holder: self, leaseMs: 30_000, judge: async () => this.judgement, takeOver: false, onFailure: () => {} },
    )
    await database.run(() => {
      const transaction = database.transaction()
      build(transaction, database)
      database.apply(transaction)
    })
    await database.close({ repoint: async () => {}, derive: () => {} })
  }

  async keys(prefix = ''): Promise<string[]> {
    const keys: string[] = []
    for (let startAfter: string | undefined; ; ) {
      const page = await this.store.list(prefix, startAfter === undefined ? {} : { startAfter })
      keys.push(...page.objects.map(({ key }) => key))
      if (page.next === undefined) return keys
      startAfter = page.next
    }
  }

  /** Every object of the store. */
  async objects(): Promise<Map<string, string>> {
    const objects = new Map<string, string>()
    for (const key of await this.keys()) objects.set(key, digest((await this.store.get(key)).body))
    return objects
  }

  async copy(): Promise<FsckWorld> {
    const world = new FsckWorld()
    for (const key of await this.keys()) await world.store.put(key, [(await this.store.get(key)).body])
    world.#runs = this.#runs
    return world
  }

  /** Flips a bit of an object. */
  async flip(key: string, at: number, bit = 1): Promise<void> {
    const { body } = await this.store.get(key)
    body[at]! ^= bit
    await this.store.put(key, [body])
  }

  /** Segments of a kind, in order of their ids; kind 1 file data, 2 pages. */
  async segments(kind: 1 | 2): Promise<string[]> {
    const found: string[] = []
    for (const key of await this.keys('segments/')) if ((await this.store.get(key)).body[4] === kind) found.push(key)
    return found.sort((a, b) => (a.split('/')[2]! < b.split('/')[2]! ? -1 : 1))
  }
}

/** Copies a file as copy_file_range(2) does: what is long enough is shared. */
export async function copyFile({ fs, paths }: Pick<Mounted, 'fs' | 'paths'>, from: string, to: string): Promise<void> {
  await paths.write(to, '')
  await paths.at(from, (source, { sizeBytes }) =>
    paths.at(to, async (target) => {
      const [reading, writing] = [
        await fs.open(CALLER, source, { flags: 0 }),
        await fs.open(CALLER, target, { flags: 1 }),
      ]
      const ends = [
        { handle: reading.handle, ino: source, offset: 0 },
        { handle: writing.handle, ino: target, offset: 0 },
      ] as const
      await fs.copyFileRange(ends[0], ends[1], sizeBytes, 0)
      await fs.release(reading.handle, source)
      await fs.release(writing.handle, target)
    }),
  )
}

/** A store with some of its methods in another way. */
export function storeWith(store: ObjectStore, methods: Partial<ObjectStore>): ObjectStore {
  return {
    name: store.name,
    get: (key, options) => store.get(key, options),
    head: (key, options) => store.head(key, options),
    list: (prefix, options) => store.list(prefix, options),
    put: (key, parts, options) => store.put(key, parts, options),
    putIfAbsent: (key, parts, options) => store.putIfAbsent(key, parts, options),
    putIfMatch: (key, parts, etag, options) => store.putIfMatch(key, parts, etag, options),
    delete: (keys, options) => store.delete(keys, options),
    close: async () => {},
    ...methods,
  }
}

export interface TreeEntry {
  mode: number
  uid: number
  gid: number
  nlink: number
  sizeBytes: number
  mtime: string
  ino: number
  /** Digest of the contents, or the target; what reading failed with. */
  body: string
  /** Names and digests of extended attributes. */
  xattrs: string
}

/** Everything below `path` by name, lost+found left out. */
export async function readTree(
  { fs, paths }: Mounted,
  path = '',
  into = new Map<string, TreeEntry>(),
): Promise<Map<string, TreeEntry>> {
  const { mode, uid, gid, nlink, sizeBytes, mtime, ino } = await paths.stat(path)
  const type = mode & 0o170000
  let body = ''
  if (type === 0o100000) body = await paths.read(path).then(digest, (error: { code?: string }) => `${error.code}`)
  else if (type === 0o120000) body = await paths.at(path, async (target) => (await fs.readlink(target)).toString())
  const xattrs = await paths.at(path, (at) => readXattrs(fs, at).catch((error: { code?: string }) => `${error.code}`))
  into.set(path, { mode, uid, gid, nlink, sizeBytes, mtime: `${mtime.sec}.${mtime.nsec}`, ino, body, xattrs })
  if (type !== 0o040000) return into
  for (const name of await paths.list(path)) {
    const child = `${path}/${name}`
    if (child !== '/lost+found') await readTree({ fs, paths } as Mounted, child, into)
  }
  return into
}

async function readXattrs(fs: MountedFilesystem, ino: Ino): Promise<string> {
  const caller = { ...CALLER, uid: 0 }
  const read = (await fs.listxattr!(caller, ino)).map(async (name) => {
    const value = await fs.getxattr!(caller, ino, name)
    return `${Buffer.from(name)}=${digest(value)}`
  })
  return (await Promise.all(read)).sort().join(' ')
}

export function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}

export const body = (seed: number, lengthBytes: number): Buffer => seededRandom(seed).bytes(lengthBytes)

export function damages(report: FsckReport): Finding[] {
  return report.findings.filter(({ severity }) => severity === 'damage')
}

/** Kinds of damage found, each once. */
export function kinds(report: FsckReport): string[] {
  return [...new Set(damages(report).map(({ kind }) => kind))].sort()
}
