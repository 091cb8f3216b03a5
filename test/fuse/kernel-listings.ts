// The kernel's cache of a directory's listing as fs/fuse/readdir.c has it, in little: what entries of a READDIR go into it,
// who reads from it, and when it is begun anew. Pages are never dropped here.
export interface Dirent {
  name: string
  /** With its generation. */
  position: number
}

/** READDIR: entries after a position; none at the end. A quiet end does not make the cache whole. */
export type Ask = (position: number) => { entries: Dirent[]; isQuiet: boolean }

/** Entries of a page. */
const PAGE = 4

export class KernelDirectory {
  /** i_version. */
  version = 0
  isCached = false
  #cachedVersion = 0
  #cache: Dirent[] = []
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
  }

  /** Null where the stream's position is not in the cache. */
  #fromCache(stream: { position: number }, room: number): Dirent[] | null {
    const at = stream.position === 0 ? 0 : this.#cache.findIndex(({ position }) => position === stream.position) + 1
    // Behind a page that is full it looks like the end.
    if (stream.position !== 0 && at === 0) return this.#cache.length % PAGE === 0 ? [] : null
    const found = this.#cache.slice(at, at + room)
    stream.position = found.at(-1)?.position ?? stream.position
    return found
  }

  #fromDaemon(stream: { position: number }, room: number): Dirent[] {
    if (stream.position === 0 && this.#cache.length === 0) this.#cachedVersion = this.version
    const { entries, isQuiet } = this.#ask(stream.position)
    const found = entries.slice(0, room)
    if (found.length === 0 && !isQuiet && this.#end === stream.position) this.isCached = true
    for (const dirent of found) {
      if (!this.isCached && this.#end === stream.position) this.#cache.push(dirent)
      stream.position = dirent.position
    }
    return found
  }
}
