// The folder of the disk cache, its files by segment, and what is done to all of them: looking through them, making room.
//
//   epoch         the newest epoch of the volume that this cache has seen
//   tmp/          files that are being written
//   SHARD/        files of segments (disk-cache-files.ts), 256 shards as in the store
//
// Several mounts may use it at a time. Must stay true:
// - A file is written under a name in tmp/ and renamed; it is never changed afterwards. Any may vanish at any time.
// - Nothing is made outside the folder, and nothing in it once another one (of another disk) lies at its path.
// - Until all shards were looked through for the first time nothing is written, for it is not known what room there is.
import PQueue from 'p-queue'
import type { Clock } from '../platform/index.ts'
import type { Disk } from '../store/index.ts'
import {
  fileBytesOf,
  fileNameOf,
  parseFileName,
  type Run,
  type RunContent,
  shardOf,
  writeRun,
} from './disk-cache-files.ts'
import { DiskCacheIndex, type Entry, type Part } from './disk-cache-index.ts'
import type { SegmentId } from './segment-store.ts'

/** Files ever held: what is known of one takes some 300 bytes. */
const FILES_MAX = 128 * 1024
/** Files looked at together. */
const STATS_AT_A_TIME = 2
/** Of a disk that others use too, so much stays free unless the user said how much may be taken. */
const FREE_SHARE = 0.1
/** What is given back when the disk is full. */
const FULL_SHARE = 7 / 8
/** A scan follows when so much of the cache was written: other mounts may have written as well. */
const SCAN_SHARE = 1 / 8
const SHARDS = Array.from({ length: 256 }, (_, shard) => shardOf(shard as SegmentId))

export interface DiskSpace {
  freeBytes: number
  totalBytes: number
}

export interface CacheFolderOptions {
  disk: Disk
  /** An existing folder that is the cache's alone. */
  path: string
  /** Most bytes of files. */
  sizeBytes: number
  /** Given where a tenth of the disk is to stay free. */
  space?: (() => Promise<DiskSpace>) | undefined
  clock: Clock
  /** In names of temporary files; another one for each mount. */
  session: string
  /** Called when something failed that nobody waits for. */
  onError: (error: unknown) => void
}

export class CacheFolder {
  readonly index = new DiskCacheIndex()
  readonly #options: CacheFolderOptions
  /** Segments of which no file that is found may be used: what could not be deleted, and what was forgotten since the look into a
   *  folder began that is under way. */
  readonly #unwanted = new Set<SegmentId>()
  readonly #forgotten = new Set<SegmentId>()
  #isLooking = false
  /** Segments whose files are being looked for, to be taken away; how many times. */
  readonly #forgetting = new Map<SegmentId, number>()
  readonly #shards = new Map<string, Promise<void>>()
  /** One folder at a time. */
  readonly #looks = new PQueue({ concurrency: 1 })
  #ino: bigint | null = null
  #opened: Promise<void> | null = null
  #complete: Promise<void> | null = null
  /** A look at what other mounts did. Never rejects. */
  scanning: Promise<void> | null = null
  /** Of the disk's room, as the last scan found it; of a full disk's. */
  #roomBytes = Number.POSITIVE_INFINITY
  #fullBytes = Number.POSITIVE_INFINITY
  #writtenSinceScan = 0
  #serial = 0

  constructor(options: CacheFolderOptions) {
    this.#options = options
  }

  get limitBytes(): number {
    return Math.min(this.#options.sizeBytes, this.#roomBytes, this.#fullBytes)
  }

  pathOf(relative: string): string {
    return `${this.#options.path}/${relative}`
  }

  /** Removes what a crash left half-written, and begins to look through the folder. */
  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = null
      throw error
    })
    return this.#opened
  }

  async #open(): Promise<void> {
    const { disk, path } = this.#options
    this.#ino = (await disk.stat(path)).ino
    await this.#makeFolder('tmp')
    // Of another mount that is writing, too: it loses that file, and no more.
    for (const { name } of await disk.readdir(this.pathOf('tmp'))) await this.#unlink(`tmp/${name}`)
  }

  /** Resolves when all that lay in the folder is known. */
  complete(): Promise<void> {
    this.#complete ??= this.#lookThroughAll()
    return this.#complete
  }

  async #lookThroughAll(): Promise<void> {
    // What lies in one that cannot be read does not count.
    for (const shard of SHARDS) await this.knows(shard).catch(this.#options.onError)
    await this.#scanned()
  }

  /** Resolves when what lay in this shard's folder at the mount is known: of one shard that is a matter of milliseconds.
   *  Tries again where it failed. */
  knows(shard: string): Promise<void> {
    const known = this.#shards.get(shard) ?? this.#looks.add(() => this.#lookThrough(shard, null))
    this.#shards.set(shard, known)
    known.catch(() => this.#shards.delete(shard))
    return known
  }

  /** Adds what is new in a folder; what is still there is taken out of `vanished`. */
  async #lookThrough(shard: string, vanished: Map<string, Entry> | null): Promise<void> {
    this.#isLooking = true
    try {
      await this.#lookAtAll(shard, vanished)
    } finally {
      this.#isLooking = false
      this.#forgotten.clear()
    }
  }

  async #lookAtAll(shard: string, vanished: Map<string, Entry> | null): Promise<void> {
    await this.open()
    const found = await this.#options.disk.readdir(this.pathOf(shard)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    for (const { name } of found) vanished?.delete(`${shard}/${name}`)
    const fresh = found.filter(({ name }) => !this.index.has(`${shard}/${name}`))
    for (let first = 0; first < fresh.length; first += STATS_AT_A_TIME) {
      const some = fresh.slice(first, first + STATS_AT_A_TIME)
      // None may come late, when this look is over.
      const looks = await Promise.allSettled(some.map(({ name }) => this.#lookAt(shard, name)))
      for (const look of looks) if (look.status === 'rejected') throw look.reason
    }
  }

  async #lookAt(shard: string, name: string): Promise<void> {
    const run = parseFileName(shard, name)
    if (run === null) return
    const path = `${shard}/${name}`
    const stat = await this.#options.disk.stat(this.pathOf(path)).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null
      throw error
    })
    if (stat === null || !stat.isFile()) return
    if (this.index.has(path)) return
    const isUnwanted = this.#unwanted.has(run.id) || this.#forgotten.has(run.id)
    if (Number(stat.size) < run.end - run.start || isUnwanted) await this.#unlink(path)
    else this.index.add(run, Number(stat.mtimeNs / 1_000_000n))
  }

  async #measure(): Promise<void> {
    const { space } = this.#options
    this.#fullBytes = Number.POSITIVE_INFINITY
    if (space === undefined) return
    const { freeBytes, totalBytes } = await space()
    this.#roomBytes = this.index.bytes + Math.max(0, freeBytes - FREE_SHARE * totalBytes)
  }

  /** Looks again when much was written: what others have added counts too, and what they have taken away does not. */
  #scanAgainWhenDue(): void {
    if (this.scanning !== null || this.#writtenSinceScan < this.#options.sizeBytes * SCAN_SHARE) return
    this.#writtenSinceScan = 0
    this.scanning = this.#scanAgain()
      .catch(this.#options.onError)
      .finally(() => {
        this.scanning = null
      })
  }

  async #scanAgain(): Promise<void> {
    await this.complete()
    const vanished = new Map(this.index.all().map((entry) => [entry.path, entry]))
    for (const shard of SHARDS) {
      await this.#looks
        .add(() => this.#lookThrough(shard, vanished))
        .catch((error: unknown) => {
          this.#options.onError(error)
          for (const path of [...vanished.keys()]) if (path.startsWith(`${shard}/`)) vanished.delete(path)
        })
    }
    for (const entry of vanished.values()) this.index.remove(entry)
    await this.#scanned()
  }

  async #scanned(): Promise<void> {
    this.index.sort()
    await this.#measure()
    await this.#makeRoom(0)
  }

  /** Writes a file; null when it was not wanted any more by then, or is too large. */
  async write(content: RunContent, isWanted: () => boolean): Promise<Entry | null> {
    await this.complete()
    const fileBytes = fileBytesOf(content.run)
    if (fileBytes > this.limitBytes || !isWanted()) return null
    await this.#makeRoom(fileBytes)
    const shard = shardOf(content.run.id)
    const path = `${shard}/${fileNameOf(content.run)}`
    const { disk, clock, session } = this.#options
    const temporary = `tmp/${session}-${++this.#serial}`
    try {
      await this.#inFolders(['tmp'], () => writeRun(disk, this.pathOf(temporary), content, () => clock.yield()))
      if (!isWanted()) {
        await this.#unlink(temporary)
        return null
      }
      await this.#inFolders([shard], () => disk.rename(this.pathOf(temporary), this.pathOf(path)))
    } catch (error) {
      await this.#unlink(temporary)
      // Somebody has emptied the folder just now, or a new mount its tmp/.
      if (codeOf(error) === 'ENOENT') return null
      if (isFull(error)) {
        // At once: others need room as well, and so does the next mount.
        const leftBytes = this.index.bytes * FULL_SHARE
        while (this.index.bytes > leftBytes && this.index.count > 1) await this.remove(this.index.oldest()!)
        this.#fullBytes = Math.max(leftBytes, this.index.bytes)
      }
      throw error
    }
    const entry = this.index.add(content.run, nowMs(this.#options.clock))
    if (!isWanted()) {
      await this.remove(entry)
      return null
    }
    for (const other of this.index.of(content.run.id)) {
      if (other !== entry && isWithin(other.run, content.run)) await this.remove(other)
    }
    this.#writtenSinceScan += fileBytes
    this.#scanAgainWhenDue()
    return entry
  }

  async #makeRoom(fileBytes: number): Promise<void> {
    while (this.index.bytes + fileBytes > this.limitBytes || this.index.count >= FILES_MAX) {
      const oldest = this.index.oldest()
      if (oldest === undefined) return
      await this.remove(oldest)
    }
  }

  async remove(entry: Entry): Promise<void> {
    this.index.remove(entry)
    if (await this.#unlink(entry.path)) return
    const { id } = entry.run
    this.#unwanted.add(id)
    // A look into the folder may have found it meanwhile.
    for (const each of this.index.of(id)) this.index.remove(each)
  }

  /** Where bytes [from, to) of a segment lie, cut short where it ends; null when some are not there. */
  async find(id: SegmentId, from: number, to: number): Promise<Part[] | null> {
    await this.knows(shardOf(id))
    return this.#forgetting.has(id) ? null : this.index.cover(id, from, to)
  }

  /** Takes all files of a segment away. From this turn on none of those that were there is found. */
  async forget(id: SegmentId): Promise<void> {
    if (this.#isLooking) this.#forgotten.add(id)
    this.#forgetting.set(id, (this.#forgetting.get(id) ?? 0) + 1)
    const removeAll = () => Promise.all(this.index.of(id).map((entry) => this.remove(entry)))
    const removed = removeAll()
    const known = this.knows(shardOf(id)).catch((error: unknown) => {
      this.#options.onError(error)
      this.#unwanted.add(id)
    })
    await Promise.all([removed, known.then(removeAll)])
    const others = this.#forgetting.get(id)! - 1
    if (others > 0) this.#forgetting.set(id, others)
    else this.#forgetting.delete(id)
  }

  /** The newest epoch that was noted; null: none, or it cannot be read. */
  async readEpoch(): Promise<number | null> {
    await this.open()
    try {
      const file = await this.#options.disk.open(this.pathOf('epoch'), 'r')
      try {
        const text = Buffer.alloc(32)
        const { bytesRead } = await file.read(text, 0, text.length, 0)
        const match = /^(\d{1,15})\n$/.exec(text.toString('latin1', 0, bytesRead))
        return match === null ? null : Number(match[1])
      } finally {
        await file.close()
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null
      throw error
    }
  }

  async noteEpoch(epoch: number): Promise<void> {
    const { disk, session } = this.#options
    const temporary = `tmp/${session}-epoch`
    try {
      const file = await disk.open(this.pathOf(temporary), 'wx')
      try {
        await file.writev([Buffer.from(`${epoch}\n`)])
      } finally {
        await file.close()
      }
      await disk.rename(this.pathOf(temporary), this.pathOf('epoch'))
    } catch (error) {
      await this.#unlink(temporary)
      throw error
    }
  }

  async clear(): Promise<void> {
    await this.complete()
    for (const entry of this.index.all()) await this.remove(entry)
  }

  /** Does what needs these folders; makes them where somebody has taken them away. */
  async #inFolders(folders: readonly string[], action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      await this.#assertOurs()
      for (const folder of folders) await this.#makeFolder(folder)
      await action()
    }
  }

  /** Nothing is written to the disk below when this one was unmounted. */
  async #assertOurs(): Promise<void> {
    const { disk, path } = this.#options
    const ino = await disk.stat(path).then(
      (stat) => stat.ino,
      () => null,
    )
    if (ino !== this.#ino) throw new Error(`the folder ${path} is gone`)
  }

  async #makeFolder(name: string): Promise<void> {
    try {
      await this.#options.disk.mkdir(this.pathOf(name))
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }

  /** Whether it is gone. Never rejects. */
  async #unlink(relative: string): Promise<boolean> {
    try {
      await this.#options.disk.unlink(this.pathOf(relative))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true
      this.#options.onError(error)
      return false
    }
    return true
  }
}

/** Milliseconds since 1970. */
export function nowMs(clock: Clock): number {
  const { sec, nsec } = clock.now()
  return sec * 1000 + Math.floor(nsec / 1e6)
}

function isWithin(inner: Run, outer: Run): boolean {
  return outer.start <= inner.start && inner.end <= outer.end
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')
}
