// A bucket in a folder: a key is a path, an object is a file with exactly its bytes (so that the folder can be copied to
// a bucket and back). Its own files lie in `.cairnfs/`, which is never listed: temporary files and the lock.
//
// Life of a put: a temporary file is written and synced (local-files.ts); then, under the lock, renamed onto the key;
// then the folder is synced, and parents not yet known to be durable (local-folders.ts). putIfAbsent makes a hard link
// instead, which fails where a name exists and needs no lock. putIfMatch compares the etag under the lock.
//
// Must stay true:
// - put, putIfMatch and delete change names under the lock only: between putIfMatch's comparison and its rename nobody
//   of this host comes in. (A folder that several hosts mount needs a filesystem whose flock(2) binds them all, as NFSv4.)
// - A put that another process got before it resolved may still be lost if the host crashes at that moment; one that
//   was listed, or met by a conditional put, is not.
// - A crashed writer leaves a temporary file or, after putIfAbsent, a second name of the object in `.cairnfs/`; both are
//   removed a day later by whoever writes first.
import { dirname, join } from 'node:path'
import { type Clock, type Random, systemClock, systemRandom } from '../platform/index.ts'
import { checkKey, listLimit, RESERVED_COMPONENT } from './keys.ts'
import { type Disk, nodeDisk } from './local-disk.ts'
import { fileEtag, readFileRange, writeDurableFile } from './local-files.ts'
import { createFolders, fsyncFolder, LocalFolders } from './local-folders.ts'
import { listKeys } from './local-list.ts'
import { LocalLock } from './local-lock.ts'
import {
  deleteBatches,
  type Etag,
  type GetOptions,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
  StoreError,
  type StoreErrorKind,
} from './object-store.ts'

const STALE_TEMPORARY_MS = 24 * 3600 * 1000
/** How many stat or unlink calls are handed to the thread pool at once. */
const FILES_AT_ONCE = 32

export interface LocalStoreOptions {
  /** Absolute path of the folder. */
  path: string
  /** The store's name as the user gave it; `file://PATH` unless told. */
  name?: string
  /** Create the folder when it is missing; otherwise that is `no-bucket`. */
  create?: boolean
  clock?: Clock
  /** For names of temporary files, which must differ between all that have the folder open, on every host. */
  random?: Random
  disk?: Disk
}

/** Opens a folder as a store. Throws StoreError `no-bucket` when it is missing or no folder. */
export async function openLocalStore(options: LocalStoreOptions): Promise<ObjectStore> {
  const { path, name = `file://${path}`, create = false, disk = nodeDisk } = options
  try {
    if (create) await createRoot(disk, path)
    const found = await disk.stat(path)
    if (!found.isDirectory()) throw new StoreError('no-bucket', `${name}: ${path} is not a folder`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      if (create) throw new StoreError('fatal', `${name}: no folder can be created at ${path}`, { cause: error })
      throw new StoreError('no-bucket', `${name}: the folder ${path} does not exist; create it first`, { cause: error })
    }
    throw storeError(error, name, path)
  }
  return new LocalStore(name, { ...options, disk })
}

/** Creates the store's folder and makes it durable with all above it: those that were there may have been made a moment ago,
 *  by somebody who did not come to the sync. */
async function createRoot(disk: Disk, path: string): Promise<void> {
  const first = await createFolders(disk, path)
  if (first !== undefined) await new LocalFolders(disk, dirname(first)).makeDurable(path)
  for (let folder = dirname(first ?? path); ; folder = dirname(folder)) {
    await fsyncFolder(disk, folder).catch(ignoreForeignFolder)
    if (folder === dirname(folder)) break
  }
}

/** A folder of others need not let us read it, nor lie on a filesystem that syncs folders. */
function ignoreForeignFolder(error: NodeJS.ErrnoException): void {
  if (error.code === 'EIO') throw error
}

class LocalStore implements ObjectStore {
  readonly name: string
  readonly #root: string
  readonly #own: string
  readonly #clock: Clock
  readonly #lock: LocalLock
  readonly #folders: LocalFolders
  readonly #disk: Disk
  /** Names of temporary files are unique to this store object, on every host that shares the folder. */
  readonly #session: string
  #written = 0
  #prepared: Promise<void> | undefined

  constructor(name: string, options: LocalStoreOptions & { disk: Disk }) {
    const { path, disk, clock = systemClock, random = systemRandom } = options
    this.name = name
    this.#root = path
    this.#own = join(path, RESERVED_COMPONENT)
    this.#clock = clock
    this.#disk = disk
    this.#session = `tmp-${random.bytes(8).toString('hex')}`
    this.#lock = new LocalLock(disk, join(this.#own, 'lock'), clock)
    this.#folders = new LocalFolders(disk, path)
  }

  get(key: string, { offset = 0, lengthBytes, signal }: GetOptions = {}): Promise<StoredObject> {
    return this.#guard(key, signal, async () => {
      const found = await readFileRange(this.#disk, join(this.#root, key), offset, lengthBytes)
      signal?.throwIfAborted()
      return found ?? this.#notFound(key)
    })
  }

  put(key: string, body: readonly Uint8Array[], { signal }: PutOptions = {}): Promise<Etag> {
    return this.#guard(key, signal, () =>
      this.#place(key, body, signal, (temporary, path) => this.#lock.run(() => this.#disk.rename(temporary, path))),
    )
  }

  putIfAbsent(key: string, body: readonly Uint8Array[], { signal }: PutOptions = {}): Promise<Etag> {
    return this.#guard(key, signal, () =>
      this.#place(key, body, signal, async (temporary, path) => {
        await this.#disk.link(temporary, path).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST')
            throw new StoreError('precondition-failed', `${this.name}: ${key} exists`, { cause: error })
          if (error.code === 'EPERM' || error.code === 'ENOTSUP')
            throw new StoreError('fatal', `${this.name}: this filesystem has no hard links; use another folder`, {
              cause: error,
            })
          throw error
        })
        await this.#disk.unlink(temporary)
      }),
    )
  }

  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, { signal }: PutOptions = {}): Promise<Etag> {
    return this.#guard(key, signal, () =>
      this.#place(key, body, signal, (temporary, path) =>
        this.#lock.run(async () => {
          const current = await this.head(key)
          if (current.etag !== etag)
            throw new StoreError('precondition-failed', `${this.name}: ${key} has another etag`)
          await this.#disk.rename(temporary, path)
        }),
      ),
    )
  }

  async delete(keys: readonly string[], { signal }: PutOptions = {}): Promise<void> {
    for (const batch of deleteBatches(keys))
      await this.#guard(batch[0]!, signal, async () => {
        for (const key of batch) checkKey(key)
        await this.#prepare()
        await this.#lock.run(() => mapInGroups(batch, (key) => removeFile(this.#disk, join(this.#root, key))))
        // Also where nothing was: whoever removed it may not have come to the sync.
        const folders = new Set(batch.map((key) => dirname(join(this.#root, key))))
        await Promise.all([...folders].map((folder) => this.#folders.sync(folder).catch(ignoreMissingFolder)))
      })
  }

  list(prefix: string, { startAfter = '', limit, signal }: ListOptions = {}): Promise<ListPage> {
    return this.#guard(undefined, signal, async () => {
      const most = listLimit(limit)
      const keys = await listKeys(this.#walking, { prefix, startAfter, limit: most + 1 })
      const page = keys.slice(0, most)
      const found = await mapInGroups(page, (key) => this.#stat(key).catch(ignoreNotFound))
      signal?.throwIfAborted()
      const objects: ListedObject[] = []
      for (const [i, object] of found.entries()) if (object !== undefined) objects.push({ key: page[i]!, ...object })
      return keys.length > most ? { objects, next: page[most - 1]! } : { objects }
    })
  }

  /** What a listing needs. Another's folder on a filesystem that is read-only, or syncs none, is listed all the same. */
  get #walking() {
    const makeDurable = (folder: string) => this.#folders.makeDurable(folder).catch(ignoreForeignFolder)
    return { disk: this.#disk, root: this.#root, makeDurable }
  }

  head(key: string, { signal }: PutOptions = {}): Promise<{ sizeBytes: number; etag: Etag }> {
    return this.#guard(key, signal, () => this.#stat(key))
  }

  async close(): Promise<void> {}

  /** Checks the key, and turns what the filesystem says into StoreErrors. */
  async #guard<T>(key: string | undefined, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    if (key !== undefined) checkKey(key)
    signal?.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error
      throw storeError(error, this.name, key ?? 'listing')
    }
  }

  /** Writes a temporary file and lets `give` move it to its path; what is left of it is removed when that fails. */
  async #place(
    key: string,
    body: readonly Uint8Array[],
    signal: AbortSignal | undefined,
    give: (temporary: string, path: string) => Promise<void>,
  ): Promise<Etag> {
    await this.#prepare()
    const path = join(this.#root, key)
    const temporary = join(this.#own, `${this.#session}-${++this.#written}`)
    try {
      const etag = await writeDurableFile(this.#disk, temporary, body, this.#clock.now())
      signal?.throwIfAborted()
      await give(temporary, path).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
        await this.#folders.create(dirname(path))
        await give(temporary, path)
      })
      await this.#folders.makeDurable(dirname(path))
      return etag
    } catch (error) {
      await removeFile(this.#disk, temporary)
      // What stands in the way may be our own first try, whose folder could not be synced: the caller reads it back, and
      // counts as durable what it finds.
      if (error instanceof StoreError && error.kind === 'precondition-failed')
        await this.#folders.makeDurable(dirname(path))
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOTDIR' || code === 'EISDIR' || (code === 'EEXIST' && !(error instanceof StoreError)))
        throw new StoreError('fatal', `${this.name}: ${key} cannot lie beside an object that is a part of its path`, {
          cause: error,
        })
      throw error
    }
  }

  async #stat(key: string): Promise<{ sizeBytes: number; etag: Etag }> {
    const found = await this.#disk.stat(join(this.#root, key))
    if (!found.isFile()) return this.#notFound(key)
    return { sizeBytes: Number(found.size), etag: fileEtag(found) }
  }

  #notFound(key: string): never {
    throw new StoreError('not-found', `${this.name}: ${key} does not exist`)
  }

  /** Before the first change: creates `.cairnfs/` and removes what crashed writers left there. */
  #prepare(): Promise<void> {
    this.#prepared ??= this.#prepareOnce().catch((error) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  async #prepareOnce(): Promise<void> {
    await this.#disk.mkdir(this.#own).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT')
        throw new StoreError('no-bucket', `${this.name}: the folder ${this.#root} does not exist any more`)
      if (error.code !== 'EEXIST') throw error
    })
    const left = (await this.#disk.readdir(this.#own)).map(({ name }) => name).filter((name) => name.startsWith('tmp-'))
    const { sec } = this.#clock.now()
    await mapInGroups(left, async (file) => {
      const path = join(this.#own, file)
      const found = await this.#disk.stat(path).catch(() => undefined)
      const ageMs = sec * 1000 - Number((found?.mtimeNs ?? 0n) / 1_000_000n)
      if (found !== undefined && ageMs > STALE_TEMPORARY_MS) await removeFile(this.#disk, path)
    })
  }
}

async function mapInGroups<T, R>(items: readonly T[], map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += FILES_AT_ONCE)
    results.push(...(await Promise.all(items.slice(at, at + FILES_AT_ONCE).map(map))))
  return results
}

/** Removes a file that may be there. */
async function removeFile(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    // A folder has the path of no object (EISDIR on Linux, EPERM by POSIX): nothing to delete.
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error
  }
}

function ignoreMissingFolder(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
}

function ignoreNotFound(error: unknown): undefined {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT' || (error instanceof StoreError && error.kind === 'not-found')) return undefined
  throw error
}

const KINDS: Partial<Record<string, StoreErrorKind>> = {
  ENOENT: 'not-found',
  // A component of the key is a file, so nothing can lie below it (a put says `fatal`).
  ENOTDIR: 'not-found',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  // These pass: somebody makes room, a descriptor is closed, a cable is plugged in again.
  ENOSPC: 'retryable',
  EDQUOT: 'retryable',
  EIO: 'retryable',
  EAGAIN: 'retryable',
  EBUSY: 'retryable',
  EMFILE: 'retryable',
  ENFILE: 'retryable',
  ENOMEM: 'retryable',
  ESTALE: 'retryable',
  ETIMEDOUT: 'retryable',
}

function storeError(error: unknown, name: string, what: string): unknown {
  if (error instanceof StoreError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === undefined) return error
  return new StoreError(KINDS[code] ?? 'fatal', `${name}: ${what}: ${message}`, { cause: error })
}
