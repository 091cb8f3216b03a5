// A whole filesystem in memory, without a kernel: a volume in a memory store, mounted as often as a test likes, and a
// clock that the test drives.
import { createStreams, type OwnedStreams } from '../../src/data/index.ts'
import { nameKeys as keysByHash, PINNED_TABLES, TABLE_KINDS } from '../../src/meta/index.ts'
import { type Clock, FsError, seededRandom, type Timer, type Timespec } from '../../src/platform/index.ts'
import { createSegmentStore, type SegmentId, type SegmentStore } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { type Database, formatDatabase, openDatabase } from '../../src/tables/index.ts'
import {
  type Attributes,
  type Caller,
  createFilesystem,
  type Entry,
  type FilesystemOptions,
  type Ino,
  type MountedFilesystem,
  ROOT_INO,
} from '../../src/vfs/index.ts'

export const CALLER: Caller = { uid: 1000, gid: 1000, pid: 1 }
const UUID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const HASH_KEY = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')

/** Wall time ticks a millisecond each time it is asked for; timers fire when the test says so. */
export class TestClock implements Clock {
  /** When set, the wall clock stands at this second. */
  fixedSec: number | null = null
  #ms = 1_700_000_000_000
  #monotonicMs = 0
  readonly #timers = new Set<{ atMs: number; callback: () => void }>()

  now(): Timespec {
    if (this.fixedSec !== null) return { sec: this.fixedSec, nsec: 0 }
    this.#ms++
    return { sec: Math.floor(this.#ms / 1000), nsec: (this.#ms % 1000) * 1e6 }
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#monotonicMs + delayMs, callback }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  async sleep(): Promise<void> {
    await this.yield()
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets time pass and fires what falls due. */
  async advance(ms: number): Promise<void> {
    this.#monotonicMs += ms
    for (const timer of [...this.#timers].sort((a, b) => a.atMs - b.atMs)) {
      if (timer.atMs > this.#monotonicMs || !this.#timers.delete(timer)) continue
      timer.callback()
      await this.yield()
    }
  }
}

export interface MountOptions
  extends Partial<
    Pick<
      FilesystemOptions,
      | 'casefold'
      | 'countingStep'
      | 'graceMs'
      | 'inlineBytesMax'
      | 'kernelWritesBack'
      | 'nameKeys'
      | 'onNameGone'
      | 'pageCache'
      | 'readOnly'
      | 'shareMinBytes'
      | 'truncateHoldMs'
      | 'walkAheadBytes'
    >
  > {
  store?: ObjectStore
  clock?: TestClock
  segmentSizeBytes?: number
  dirtyLimitBytes?: number
  pageCacheBytes?: number
  cacheBytes?: number
  /** Puts something between the filesystem and its database. */
  wrap?: (database: Database, clock: Clock) => Database
  log?: FilesystemOptions['log']
}

export interface World {
  readonly store: ObjectStore
  readonly clock: TestClock
  readonly fs: MountedFilesystem
  readonly database: Database
  readonly segments: SegmentStore
  readonly streams: OwnedStreams
  /** As umount does. */
  unmount(): Promise<void>
  /** As a crash does: nothing more is written. */
  abandon(): Promise<void>
}

export async function formatVolume(store: ObjectStore = createMemoryStore()): Promise<ObjectStore> {
  await formatDatabase(store, UUID)
  return store
}

export async function mount(options: MountOptions = {}): Promise<World> {
  const store = options.store ?? (await formatVolume())
  const clock = options.clock ?? new TestClock()
  const log =
    options.log ?? ((level, message) => level === 'error' && process.env.CAIRNFS_TEST_LOG && console.log(message))
  const segments = createSegmentStore({
    store,
    volumeUuid: UUID,
    segmentSizeBytes: options.segmentSizeBytes ?? 8 << 20,
    cacheBytes: options.cacheBytes ?? 64 << 20,
    clock,
  })
  const opened = await open({ segments, clock, store }, options)
  const database = options.wrap?.(opened, clock) ?? opened
  const streams: OwnedStreams = createStreams({
    maxPieceBytes: segments.maxPieceBytes,
    dirtyLimitBytes: options.dirtyLimitBytes ?? 256 << 20,
    clock,
    segments,
    takeSegmentId: () => database.takeId('segment') as SegmentId,
    onPressure: () => fs.writeBackUnderPressure(),
  })
  const {
    readOnly = false,
    kernelWritesBack = false,
    casefold,
    countingStep,
    nameKeys,
    onNameGone,
    pageCache,
  } = options
  const { inlineBytesMax, truncateHoldMs, graceMs, shareMinBytes, walkAheadBytes } = options
  const fs = createFilesystem({
    database,
    streams,
    segments,
    clock,
    nameKeys: nameKeys ?? keysByHash(HASH_KEY),
    log,
    readOnly,
    kernelWritesBack,
    ...(inlineBytesMax === undefined ? {} : { inlineBytesMax }),
    ...(truncateHoldMs === undefined ? {} : { truncateHoldMs }),
    ...(graceMs === undefined ? {} : { graceMs }),
    ...(casefold === undefined ? {} : { casefold }),
    ...(countingStep === undefined ? {} : { countingStep }),
    ...(onNameGone === undefined ? {} : { onNameGone }),
    ...(pageCache === undefined ? {} : { pageCache }),
    ...(shareMinBytes === undefined ? {} : { shareMinBytes }),
    ...(walkAheadBytes === undefined ? {} : { walkAheadBytes }),
  })
  await fs.start()
  return {
    store,
    clock,
    fs,
    database,
    segments,
    streams,
    async unmount() {
      await fs.close()
      await database.close(fs.checkpointHooks)
      await streams.deleteUnnamed()
    },
    abandon() {
      fs.abandon()
      return database.close('abandon')
    },
  }
}

function open(
  { segments, clock, store }: { segments: SegmentStore; clock: Clock; store: ObjectStore },
  mountOptions: MountOptions,
): Promise<Database> {
  return openDatabase(
    {
      store,
      segments,
      kinds: TABLE_KINDS,
      pinned: PINNED_TABLES,
      volumeUuid: UUID,
      volumeJson: Buffer.from('{}'),
      clock,
      random: seededRandom(1),
      log: () => {},
      pageCacheBytes: mountOptions.pageCacheBytes ?? 64 << 20,
      changeBytesMax: 64 << 20,
    },
    {
      holder: { host: 'h', bootId: 'b', pid: 1, since: 'now', lock: null },
      leaseMs: 30_000,
      judge: async () => 'dead' as const,
      takeOver: false,
      onFailure: () => {},
    },
  )
}

export const bytes = (text: string): Buffer => Buffer.from(text)

/** A filesystem by paths, as a program sees it. Each step is a lookup, and is forgotten as the kernel would. */
export class Paths {
  readonly fs: MountedFilesystem

  constructor(fs: MountedFilesystem) {
    this.fs = fs
  }

  /** Calls `use` with the inode of a path, referenced meanwhile. */
  async at<T>(path: string, use: (ino: Ino, attributes: Attributes) => Promise<T> | T): Promise<T> {
    const held: Ino[] = []
    try {
      let ino: Ino = ROOT_INO
      let { attributes } = await this.fs.getattr(ino)
      for (const name of path.split('/').filter((part) => part !== '')) {
        const entry: Entry = await this.fs.lookup(CALLER, ino, bytes(name))
        ino = entry.attributes.ino
        attributes = entry.attributes
        held.push(ino)
      }
      return await use(ino, attributes)
    } finally {
      for (const ino of held) this.fs.forget(ino, 1)
    }
  }

  /** Calls `use` with the parent's inode and the last name. */
  in<T>(path: string, use: (parent: Ino, name: Buffer) => Promise<T> | T): Promise<T> {
    const cut = path.lastIndexOf('/')
    return this.at(path.slice(0, Math.max(0, cut)), (parent) => use(parent, bytes(path.slice(cut + 1))))
  }

  async #made(entry: Entry | Promise<Entry>): Promise<Attributes> {
    const { attributes } = await entry
    this.fs.forget(attributes.ino, 1)
    return attributes
  }

  mkdir(path: string, mode = 0o755): Promise<Attributes> {
    return this.in(path, (parent, name) => this.#made(this.fs.mkdir(CALLER, parent, name, mode)))
  }

  mknod(path: string, mode: number, rdev = 0): Promise<Attributes> {
    return this.in(path, (parent, name) => this.#made(this.fs.mknod(CALLER, parent, name, mode, rdev)))
  }

  symlink(path: string, target: string): Promise<Attributes> {
    return this.in(path, (parent, name) => this.#made(this.fs.symlink(CALLER, parent, name, bytes(target))))
  }

  link(from: string, to: string): Promise<Attributes> {
    return this.at(from, (ino) => this.in(to, (parent, name) => this.#made(this.fs.link(CALLER, ino, parent, name))))
  }

  async unlink(path: string): Promise<void> {
    await this.in(path, (parent, name) => this.fs.unlink(CALLER, parent, name))
  }

  async rmdir(path: string): Promise<void> {
    await this.in(path, (parent, name) => this.fs.rmdir(CALLER, parent, name))
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    await this.in(from, (parent, name) =>
      this.in(to, (newParent, newName) =>
        this.fs.rename(CALLER, { parent, name }, { parent: newParent, name: newName }, flags),
      ),
    )
  }

  stat(path: string): Promise<Attributes> {
    return this.at(path, (_ino, attributes) => attributes)
  }

  /** Creates or empties the file, and writes. */
  async write(path: string, data: Uint8Array | string, { at = 0, flags = 0o1001, fsync = false } = {}): Promise<void> {
    await this.in(path, async (parent, name) => {
      const { entry, opened } = await this.fs.create(CALLER, parent, name, 0o644, { flags })
      const { ino } = entry.attributes
      const body = typeof data === 'string' ? bytes(data) : data
      if (body.length > 0) await this.fs.write(opened.handle, ino, at, body)
      if (fsync) await this.fs.fsync(opened.handle, ino, false)
      await this.fs.release(opened.handle, ino)
      this.fs.forget(ino, 1)
    })
  }

  /** Copies a range of one file over another, which is there, by copy_file_range alone. */
  copy(
    source: string,
    target: string,
    { at = 0, to = 0, lengthBytes = Number.MAX_SAFE_INTEGER }: { at?: number; to?: number; lengthBytes?: number } = {},
  ): Promise<number> {
    const { fs } = this
    return this.at(source, (from) =>
      this.at(target, async (ino) => {
        const reader = (await fs.open(CALLER, from, { flags: 0 })).handle
        const writer = (await fs.open(CALLER, ino, { flags: 1 })).handle
        try {
          const end = { handle: writer, ino, offset: to }
          return await fs.copyFileRange({ handle: reader, ino: from, offset: at }, end, lengthBytes, 0)
        } finally {
          await fs.release(reader, from)
          await fs.release(writer, ino)
        }
      }),
    )
  }

  read(path: string, offset = 0, lengthBytes = 1 << 26): Promise<Buffer> {
    return this.at(path, async (ino) => {
      const { handle } = await this.fs.open(CALLER, ino, { flags: 0 })
      const parts = await this.fs.read(handle, ino, offset, lengthBytes)
      const whole = Buffer.concat(parts)
      await this.fs.release(handle, ino)
      return whole
    })
  }

  async text(path: string): Promise<string> {
    return (await this.read(path)).toString()
  }

  setXattr(path: string, name: string, value: Uint8Array, flags = 0): Promise<void> {
    return this.at(path, async (ino) => this.fs.setxattr!(CALLER, ino, { name: bytes(name), value, flags }))
  }

  truncate(path: string, sizeBytes: number): Promise<Attributes> {
    return this.at(path, async (ino) => (await this.fs.setattr(CALLER, ino, { sizeBytes })).attributes)
  }

  /** Names in order of cookies, without "." and "..", read `perCall` at a time. */
  list(path: string, perCall = 100, plus = false): Promise<string[]> {
    return this.at(path, async (ino) => {
      const names: string[] = []
      const referenced: Ino[] = []
      let cookie = 0
      for (;;) {
        let room = perCall
        await this.fs.readdir(ino, cookie, plus, (name, child, _mode, next, attributes) => {
          if (room-- === 0) return false
          cookie = next
          const text = Buffer.from(name).toString()
          if (text !== '.' && text !== '..') {
            names.push(text)
            if (attributes !== null) referenced.push(child)
          }
          return true
        })
        if (room === perCall) break
      }
      for (const child of referenced) this.fs.forget(child, 1)
      return names
    })
  }
}

/** The errno name that an operation fails with; 'none' when it succeeds. */
export async function errnoOf(operation: () => unknown): Promise<string> {
  try {
    await operation()
    return 'none'
  } catch (error) {
    if (error instanceof FsError) return error.code
    throw error
  }
}
