// Loads directories ahead of who walks through a tree (find, ls -lR, tar): a walk lists a directory and then its child
// directories, one after another, and without this waits for the store at each of them.
//
// A walk is recognised when a directory has been listed and then three of its child directories, in whatever order, each
// from its beginning. Whoever lists one again and again does not walk. From then on all that is listed below it is part of the walk. Where pages were not in memory,
// what comes next is loaded, until so much of it was there that the rest will be. Nearest in listing order comes first: what
// lies below a directory before its next sibling, as far as it is known.
//
// Must stay true:
// - While no walk is on, and while all is in memory, it costs a look into a map for each listing that begins, and nothing for
//   entries.
// - What was loaded ahead and not yet listed is bounded, by bytes and by how much the walk has listed: so it ends when the
//   walk does, and a walk that goes another way is left alone.
// - Errors are nobody's here: the listing that needs what is missing meets them.
import { LRUCache } from 'lru-cache'
import { dentryIno, dentryType, FIRST_NAME_KEY, type Ino, KEY_MAX, type Metadata, S_IFDIR } from '../meta/index.ts'
import { type Clock, isPromise } from '../platform/index.ts'
import type { Database } from '../tables/index.ts'

/** Child directories that were listed after which a walk is on. */
const RECOGNISED_AT = 3
/** Directories of which it is remembered that they were listed. */
const LISTED_MAX = 8192
/** A walk is over when nothing was listed for so long. */
const OVER_MS = 5_000
/** Loads under way: fewer than the store layer has GETs at a time, so that those who wait get theirs. */
const LOADS_MAX = 16
/** Directories ahead: this many, and as many times what the walk has listed. */
const AHEAD_MIN = 16
const AHEAD_PER_LISTED = 4
/** After so many in a row that were in memory nothing is loaded, until a listing meets a page that is not. */
const IN_MEMORY_MAX = 1024
/** Entries that are looked at in one turn; how often, of one directory: of one that is not listed yet, once. */
const ENTRIES_A_TURN = 500
const TURNS_MAX = 64
/** Directories whose children are known or to be found. */
const BRANCHES_MAX = 4096
/** What a directory costs in memory besides its entries. */
const DIRECTORY_BYTES = 1_000

export interface WalksOptions {
  database: Database
  metadata: Metadata
  clock: Clock
  /** What is ahead may take this much memory; 0: nothing is loaded ahead. */
  aheadBytesMax: number
}

/** What is known of a listed directory. */
interface Listed {
  /** Child directories that were listed since, each once. */
  children: number
  /** The listing of its parent that it counts for. */
  readonly countedIn: Listed | undefined
  isWalked: boolean
}

/** A directory whose child directories are to be loaded: in listing order from a key on, and then those before it. */
interface Branch {
  readonly ino: number
  isListed: boolean
  /** Found, not yet loaded, in order. */
  children: number[]
  from: number
  to: number
  /** Where to go on after `to`: those before the key at which it began. */
  wrapTo: number
  turns: number
  /** Its entries are being looked at. */
  isSearched: boolean
  /** Children that are being loaded. */
  loading: number
}

export class Walks {
  readonly #database: Database
  readonly #metadata: Metadata
  readonly #clock: Clock
  readonly #aheadBytesMax: number
  readonly #listed = new LRUCache<number, Listed>({ max: LISTED_MAX })
  /** The last is the nearest. */
  #branches: Branch[] = []
  readonly #byIno = new Map<number, Branch>()
  /** Loaded and not listed: what each takes. */
  readonly #ahead = new Map<number, number>()
  #aheadBytes = 0
  #loads = 0
  /** Listed since the walk began. */
  #walked = 0
  #inMemory = IN_MEMORY_MAX
  #lastMs = 0
  #isAwake = false
  #isStopped = false
  /** Directories that were loaded ahead, and those of them that were listed. */
  readonly counters = { loaded: 0, used: 0 }

  constructor(options: WalksOptions) {
    this.#database = options.database
    this.#metadata = options.metadata
    this.#clock = options.clock
    this.#aheadBytesMax = options.aheadBytesMax
  }

  /** A directory is listed from its beginning. `wasMissing`: it was not in memory, whether the store was asked or not. */
  listed(ino: Ino, parent: Ino, wasMissing: boolean): void {
    if (this.#aheadBytesMax === 0 || this.#isStopped) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#lastMs > OVER_MS) this.#forget()
    this.#lastMs = nowMs
    if (wasMissing) this.#inMemory = 0
    this.#takeFromAhead(ino)
    const above = this.#listed.get(parent)
    const before = this.#listed.get(ino)
    if (above !== undefined && before?.countedIn !== above && ++above.children === RECOGNISED_AT) above.isWalked = true
    const isWalked = above?.isWalked ?? false
    this.#listed.set(ino, { children: 0, countedIn: above, isWalked })
    if (!isWalked || before?.isWalked) return
    this.#walked++
    if (this.#inMemory >= IN_MEMORY_MAX) return
    this.#branchOut(ino, parent)
    this.#wake()
  }

  /** The directory that is listed is the nearest, then those above it. */
  #branchOut(ino: Ino, parent: Ino): void {
    const path: { ino: number; from: number }[] = [{ ino, from: FIRST_NAME_KEY }]
    let below = ino
    for (let at = parent; this.#listed.get(at)?.isWalked && !this.#byIno.has(at); ) {
      const place = this.#metadata.places.get(below)
      path.push({ ino: at, from: place?.directory === at ? place.key + 1 : FIRST_NAME_KEY })
      const above = this.#metadata.places.get(at)
      if (above === undefined || above.directory <= 0) break
      below = at
      at = above.directory as Ino
    }
    for (const { ino, from } of path.reverse()) this.#branch(ino, from).isListed = true
  }

  /** Nothing is loaded any more. */
  stop(): void {
    this.#isStopped = true
    this.#forget()
  }

  #forget(): void {
    this.#branches = []
    this.#byIno.clear()
    this.#ahead.clear()
    this.#aheadBytes = 0
    this.#walked = 0
    this.#inMemory = IN_MEMORY_MAX
    this.#listed.clear()
  }

  #takeFromAhead(ino: number): void {
    const bytes = this.#ahead.get(ino)
    if (bytes === undefined) return
    this.#ahead.delete(ino)
    this.#aheadBytes -= bytes
    this.counters.used++
  }

  /** The branch of a directory, which is the nearest now. */
  #branch(ino: number, from: number): Branch {
    const branch = this.#byIno.get(ino) ?? newBranch(ino, from)
    this.#drop(branch)
    this.#insert(branch, this.#branches.length)
    return branch
  }

  #insert(branch: Branch, at: number): void {
    this.#branches.splice(at, 0, branch)
    this.#byIno.set(branch.ino, branch)
    if (this.#branches.length > BRANCHES_MAX) this.#drop(this.#branches[0]!)
  }

  #drop(branch: Branch): void {
    const at = this.#branches.lastIndexOf(branch)
    if (at < 0) return
    this.#branches.splice(at, 1)
    this.#byIno.delete(branch.ino)
  }

  /** Goes on in a later turn: what is listed now is answered first. */
  #wake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    void this.#clock.yield().then(() => {
      this.#isAwake = false
      this.#loadMore()
    })
  }

  #loadMore(): void {
    while (this.#loads < LOADS_MAX && this.#hasRoom()) {
      const branch = this.#nearest()
      if (branch === undefined) return
      const child = branch.children.shift()
      if (child === undefined) void this.#search(branch)
      else if (!this.#listed.has(child) && !this.#ahead.has(child)) void this.#load(child, branch)
    }
  }

  #hasRoom(): boolean {
    return (
      this.#inMemory < IN_MEMORY_MAX &&
      this.#aheadBytes < this.#aheadBytesMax &&
      this.#ahead.size + this.#loads < AHEAD_MIN + AHEAD_PER_LISTED * this.#walked
    )
  }

  /** The nearest branch that has children to load, or to find. */
  #nearest(): Branch | undefined {
    for (let at = this.#branches.length - 1; at >= 0; at--) {
      const branch = this.#branches[at]!
      if (branch.children.length > 0 || (!branch.isSearched && mayFindMore(branch))) return branch
      if (!branch.isSearched && branch.loading === 0 && !mayFindMore(branch)) this.#drop(branch)
    }
    return undefined
  }

  /** Loads a directory, and looks for child directories in it. */
  async #load(ino: number, parent: Branch): Promise<void> {
    const branch = newBranch(ino, FIRST_NAME_KEY)
    parent.loading++
    const foundBytes = await this.#search(branch)
    parent.loading--
    if (foundBytes === null || this.#listed.has(ino) || this.#byIno.has(ino)) return
    this.#ahead.set(ino, foundBytes + DIRECTORY_BYTES)
    this.#aheadBytes += foundBytes + DIRECTORY_BYTES
    this.counters.loaded++
    const above = this.#branches.lastIndexOf(parent)
    // Behind those of its siblings that come earlier, which are nearer.
    if (above >= 0 && (branch.children.length > 0 || mayFindMore(branch))) this.#insert(branch, above + 1)
  }

  /** Looks at entries of a directory; loads what is missing for that. Returns their bytes; null when it failed. */
  async #search(branch: Branch): Promise<number | null> {
    branch.isSearched = true
    branch.turns++
    this.#loads++
    try {
      const loadedBefore = this.#database.pagesLoaded
      const searching = this.#database.run(() => this.#entriesOf(branch))
      if (isPromise(searching) || this.#database.pagesLoaded !== loadedBefore) this.#inMemory = 0
      else this.#inMemory++
      const found = await searching
      for (const child of found.children) branch.children.push(child)
      branch.from = found.next
      if (branch.from > branch.to && branch.wrapTo > 0) {
        branch.from = FIRST_NAME_KEY
        branch.to = branch.wrapTo
        branch.wrapTo = 0
      }
      return found.bytes
    } catch {
      // The listing that comes will report it. Others may fail like it: what is left of this branch waits for one.
      this.#drop(branch)
      branch.from = KEY_MAX + 1
      branch.wrapTo = 0
      return null
    } finally {
      branch.isSearched = false
      this.#loads--
      this.#wake()
    }
  }

  #entriesOf({ ino, from, to }: Branch): { children: number[]; bytes: number; next: number } {
    const children: number[] = []
    let entries = 0
    let bytes = 0
    let next = to + 1
    this.#metadata.directory(ino).scan(from, to, (key, record, start, end) => {
      if (entries++ === ENTRIES_A_TURN) {
        next = key
        return false
      }
      bytes += end - start
      if (dentryType(record, start) === S_IFDIR) children.push(dentryIno(record, start))
      return true
    })
    return { children, bytes, next }
  }
}

function newBranch(ino: number, from: number): Branch {
  const wrapTo = from > FIRST_NAME_KEY ? from - 1 : 0
  return { ino, isListed: false, children: [], from, to: KEY_MAX, wrapTo, turns: 0, isSearched: false, loading: 0 }
}

function mayFindMore(branch: Branch): boolean {
  return branch.from <= branch.to && branch.turns < (branch.isListed ? TURNS_MAX : 1)
}
