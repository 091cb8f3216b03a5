// The kernel's cache of a directory's listing as fs/fuse/readdir.c has it, in little: what entries of a READDIR go into it,
// who reads from it, and when it is begun anew. Pages are never dropped here.
export interface Dirent {
  name: string
  /** With its generation. */
  position: number
}

/** READDIR: entries after a position; none at the end. A quiet end does not make the cache whole. */
export type Ask = (position: number) => { entries: Dirent[]; isQuiet: boolean }

const PAGE_BYTES = 4096

export class KernelDirectory {
  /** i_version. */
  version = 0
  isCached = false
  #cachedVersion = 0
  #cache: Dirent[] = []
  #sizeBytes = 0
  readonly #ask: Ask

  constructor(ask: Ask) {
    this.#ask = ask
  }

  get #end(): number {
    return this.#cache.at(-1)?.position ?? 0
  }

  /** getdents64 with room for `room` entries; moves the stream on. */
  read(stream: { position: number }, room: number): Dirent[] {
    if (this.isCached && stream.position === 0 && this.version !== this.#cachedVersion) this.#beginAnew()
    return (this.isCached ? this.#fromCache(stream, room) : null) ?? this.#fromDaemon(stream, room)
  }

  #beginAnew(): void {
    this.isCached = false
    this.#cache = []
    this.#sizeBytes = 0
  }

  #add(dirent: Dirent): void {
    const bytes = (24 + dirent.name.length + 7) & ~7
    const inPage = this.#sizeBytes % PAGE_BYTES
    if (inPage + bytes > PAGE_BYTES) this.#sizeBytes += PAGE_BYTES - inPage
    this.#sizeBytes += bytes
    this.#cache.push(dirent)
  }

  /** Null where the stream's position is not in the cache. */
  #fromCache(stream: { position: number }, room: number): Dirent[] | null {
    const at = stream.position === 0 ? 0 : this.#cache.findIndex(({ position }) => position === stream.position) + 1
    // Behind a page that is full it looks like the end.
    if (stream.position !== 0 && at === 0) return this.#sizeBytes % PAGE_BYTES === 0 ? [] : null
    const found = this.#cache.slice(at, at + room)
    stream.position = found.at(-1)?.position ?? stream.position
    return found
  }

  #fromDaemon(stream: { position: number }, room: number): Dirent[] {
    if (stream.position === 0 && this.#cache.length === 0) this.#cachedVersion = this.version
    const { entries, isQuiet } = this.#ask(stream.position)
    if (entries.length === 0 && !isQuiet && this.#end === stream.position) this.isCached = true
    const found: Dirent[] = []
    for (const dirent of entries) {
      if (!this.isCached && this.#end === stream.position) this.#add(dirent)
      // What has no room any more is in the cache all the same.
      if (found.length === room) break
      found.push(dirent)
      stream.position = dirent.position
    }
    return found
  }
}
