// A model of the kernel's page cache over a filesystem, for one file: pages with locks, the inode's lock, reads and writes as
// fs/fuse/file.c does them, and what fs/fuse/dev.c does with a notification to store (fuse_notify_store). Each page of the
// file holds the number of the write that made it, all over.
//
// Must stay true, as in the kernel: a write puts its bytes into the cache before it asks the filesystem, with the lock of the
// page held only where the page is not in the cache; what is stored goes over what is cached, page by page, waiting for each
// page's lock; a file becomes longer by what is stored past its end.
import { isPromise, type Random } from '../../src/platform/index.ts'
import { Lease } from '../../src/segments/index.ts'
import { type Handle, type Ino, type MountedFilesystem, type PageCache, ROOT_INO } from '../../src/vfs/index.ts'
import { CALLER } from './world.ts'

export const PAGE_BYTES = 4096
const O_WRONLY = 1
const O_TRUNC = 0o1000

/** What a page may hold: the number of a write; 0 where nothing was written; null where the file does not reach. */
type Content = number | null

class Mutex {
  #last: Promise<void> = Promise.resolve()

  async lock(): Promise<() => void> {
    const before = this.#last
    let unlock = () => {}
    this.#last = new Promise((resolve) => {
      unlock = resolve
    })
    await before
    return unlock
  }
}

export class KernelModel implements PageCache {
  readonly #random: Random
  readonly #pages = new Map<number, Content>()
  readonly #locks = new Map<number, Mutex>()
  readonly #inodeLock = new Mutex()
  /** All that each page was ever to hold, and how many of these are certain by now. */
  readonly #history = new Map<number, { contents: Content[]; certain: number }>()
  #sizePages = 0
  #writes = 0
  readonly violations: string[] = []
  /** READs that the filesystem got, and pages that were stored. */
  readonly counts = { reads: 0, stored: 0, refused: 0 }
  fs!: MountedFilesystem
  ino!: Ino
  /** In the root directory. */
  readonly name = Buffer.from('f')

  constructor(random: Random) {
    this.#random = random
  }

  // ---- what programs do ----

  async open(flags = 0): Promise<Handle> {
    if ((flags & O_TRUNC) === 0) return await this.#open(flags)
    const unlock = await this.#inodeLock.lock()
    const note = this.#begin(0, Number.POSITIVE_INFINITY, null)
    const handle = await this.#open(flags)
    await this.#turns()
    this.#truncated(0)
    note()
    unlock()
    return handle
  }

  /** By the inode or, as where the name is not known, by CREATE. */
  async #open(flags: number): Promise<Handle> {
    if (flags === 0 || this.#random.next() < 0.5) return (await this.fs.open(CALLER, this.ino, { flags })).handle
    const { entry, opened } = await this.fs.create(CALLER, ROOT_INO, this.name, 0o644, { flags })
    this.fs.forget(entry.attributes.ino, 1)
    return opened.handle
  }

  async close(handle: Handle): Promise<void> {
    await this.fs.release(handle, this.ino)
  }

  async read(handle: Handle, page: number): Promise<void> {
    const { certain } = this.#historyOf(page)
    const content = await this.#readPage(handle, page)
    const { contents } = this.#historyOf(page)
    if (!contents.slice(certain).includes(content)) {
      this.violations.push(`page ${page} is read as ${content}, when it was ${contents.slice(certain).join(' or ')}`)
    }
  }

  async #readPage(handle: Handle, page: number): Promise<Content> {
    if (page >= this.#sizePages) return null
    const cached = this.#pages.get(page)
    if (cached !== undefined) return cached
    const unlock = await this.#lock(page)
    try {
      const meanwhile = this.#pages.get(page)
      if (meanwhile !== undefined) return meanwhile
      this.counts.reads += 1
      const lease = new Lease({ isKept: true })
      const answer = this.fs.read(handle, this.ino, page * PAGE_BYTES, PAGE_BYTES, lease)
      const parts = isPromise(answer) ? await answer : answer
      const bytes = Buffer.concat(parts)
      lease.release()
      const content = bytes.length === 0 ? null : contentOf(bytes)
      if (content !== null && page < this.#sizePages) this.#pages.set(page, content)
      return content
    } finally {
      unlock()
    }
  }

  async write(handle: Handle, page: number): Promise<void> {
    const unlockInode = await this.#inodeLock.lock()
    this.#writes += 1
    const number = this.#writes
    const before = this.#sizePages
    const note = this.#begin(page, page + 1, number)
    const holes = page > before ? this.#begin(before, page, 0) : () => {}
    const unlock = await this.#lock(page)
    const isCached = this.#pages.has(page)
    if (isCached) {
      this.#pages.set(page, number)
      unlock()
    }
    await this.#turns()
    await this.fs.write(handle, this.ino, page * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, numbered(number)))
    this.#sizePages = Math.max(this.#sizePages, page + 1)
    if (!isCached) unlock()
    holes()
    note()
    unlockInode()
  }

  async truncate(pages: number): Promise<void> {
    const unlock = await this.#inodeLock.lock()
    const before = this.#sizePages
    const cut = this.#begin(pages, Number.POSITIVE_INFINITY, null)
    const grown = pages > before ? this.#begin(before, pages, 0) : () => {}
    await this.fs.setattr(CALLER, this.ino, { sizeBytes: pages * PAGE_BYTES })
    await this.#turns()
    this.#truncated(pages)
    cut()
    grown()
    unlock()
  }

  /** The kernel needs memory. */
  drop(page: number): void {
    this.#pages.delete(page)
  }

  get sizePages(): number {
    return this.#sizePages
  }

  // ---- what the filesystem does ----

  /** Now and then it is told something else first. */
  get busy(): Promise<void> | null {
    return this.#random.next() < 0.2 ? this.#turns() : null
  }

  async store(ino: Ino, offset: number, parts: readonly Uint8Array[]): Promise<boolean> {
    await this.#turns()
    if (ino !== this.ino || this.#random.next() < 0.05) {
      this.counts.refused += 1
      return false
    }
    const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0)
    if (offset % PAGE_BYTES !== 0 || lengthBytes % PAGE_BYTES !== 0) this.violations.push('a part of a page is stored')
    const first = offset / PAGE_BYTES
    const pages = lengthBytes / PAGE_BYTES
    const grown = first + pages - this.#sizePages
    if (grown > 0) {
      this.violations.push(`the file has ${this.#sizePages} pages, and is made ${grown} longer by what is stored`)
      return false
    }
    for (let index = 0; index < pages; index++) {
      if (this.#random.next() < 0.3) await this.#turns()
      const unlock = await this.#lock(first + index)
      // As late as it may be: the memory must not have been used again.
      const bytes = Buffer.concat(parts).subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)
      this.#pages.set(first + index, contentOf(bytes))
      this.counts.stored += 1
      unlock()
    }
    return true
  }

  // ---- state ----

  /** Something will change pages to `content`, whenever what this returns is called, or before. */
  #begin(from: number, to: number, content: Content): () => void {
    const last = Math.min(to, Math.max(this.#sizePages, from, ...this.#history.keys()) + 1)
    const places: { history: { certain: number }; at: number }[] = []
    for (let page = from; page < last; page++) {
      const history = this.#historyOf(page)
      places.push({ history, at: history.contents.push(content) - 1 })
    }
    return () => {
      for (const { history, at } of places) history.certain = Math.max(history.certain, at)
    }
  }

  #historyOf(page: number): { contents: Content[]; certain: number } {
    let history = this.#history.get(page)
    if (history === undefined) {
      history = { contents: [null], certain: 0 }
      this.#history.set(page, history)
    }
    return history
  }

  #truncated(pages: number): void {
    this.#sizePages = pages
    this.#pages.clear()
  }

  #lock(page: number): Promise<() => void> {
    const lock = this.#locks.get(page) ?? new Mutex()
    this.#locks.set(page, lock)
    return lock.lock()
  }

  async #turns(): Promise<void> {
    for (let turns = Math.floor(this.#random.next() * 4); turns > 0; turns--) await new Promise(setImmediate)
  }
}

export const FLAGS = { write: O_WRONLY, truncate: O_WRONLY | O_TRUNC } as const

function numbered(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(number)
  return bytes
}

/** The number all over a page; NaN for anything else. */
function contentOf(bytes: Buffer): number {
  const number = bytes.readUInt32LE(0)
  return bytes.length === PAGE_BYTES && bytes.equals(Buffer.alloc(PAGE_BYTES, numbered(number))) ? number : Number.NaN
}
