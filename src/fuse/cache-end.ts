// Where the kernel's cache of a directory ends in its last page, followed by the replies that the cache is filled from.
//
// The kernel (fs/fuse/readdir.c) puts an entry at the end of its cache if it continues there, and into the next page if it
// would cross a page's end. What it has taken of a reply is not told: it may stop within. But while no name changes every
// listing has the same entries, so it does not matter whose replies they come from. Cookies grow in listing order.
//
// Must stay true: the kernel's cache ends nowhere behind `#cookie`. So entries behind that are all that can be new to it; and
// it may lack entries before it only if somebody asks from there. If names have changed by then, what it is given now may
// differ from what was counted: where it ends is no longer known.

/** Of the machines that Linux runs on. Whichever ours has, its cache ends with a page only if one of these says so. */
const PAGE_SIZES = [4096, 16_384, 65_536]
/** fuse_dirent up to its name; what it takes is a multiple of eight. */
const DIRENT_BYTES = 24

/** The entries of a reply, in order. */
export interface Entries {
  forEachEntry(visit: (cookie: number, nameBytes: number) => void): void
}

export class CacheEnd {
  /** When the kernel began this cache. */
  readonly beganMs: number
  #isKnown: boolean
  #cookie = 0
  /** How full the last page is, for each size of pages. */
  readonly #filled = PAGE_SIZES.map(() => 0)
  #hasChanged = false

  constructor(beganMs: number, { isKnown = true } = {}) {
    this.beganMs = beganMs
    this.#isKnown = isKnown
  }

  get isKnown(): boolean {
    return this.#isKnown
  }

  get isFullPage(): boolean {
    return this.#filled.some((filled, at) => filled === PAGE_SIZES[at])
  }

  /** A name comes or goes. */
  change(): void {
    this.#hasChanged = true
  }

  /** A reply that lists what follows the cookie `from`; without entries, that nothing does. */
  add(from: number, entries: Entries): void {
    if (from < this.#cookie && this.#hasChanged) this.#isKnown = false
    if (!this.#isKnown || from > this.#cookie) return
    entries.forEachEntry((cookie, nameBytes) => {
      if (cookie <= this.#cookie) return
      this.#cookie = cookie
      const bytes = (DIRENT_BYTES + nameBytes + 7) & ~7
      for (let at = 0; at < PAGE_SIZES.length; at++) {
        const filled = this.#filled[at]! + bytes
        this.#filled[at] = filled > PAGE_SIZES[at]! ? bytes : filled
      }
    })
  }
}
