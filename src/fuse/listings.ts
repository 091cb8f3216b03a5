// Which listings may meet in the kernel's cache of a directory, and when that cache may become whole.
//
// The kernel (fs/fuse/readdir.c) keeps one cache per directory, since OPENDIR gets ENOSYS. Whoever lists adds to its end what
// continues there. Once somebody has been told at its end that there is no more it is whole, and everybody reads from it who
// finds his cookie in it. Only a listing at its very beginning looks whether names have changed since the cache was begun;
// if so a whole cache is begun anew, one that is not whole stays. Left alone, that shows listings what is wrong:
// - Who began after a change, while the cache was half full, finds his cookie in it when another has filled it, and goes on
//   with names as they were before he began. So listings with a change between their beginnings differ in *generation*,
//   which stands in the high bits of their cookies. The filesystem never sees it; a cookie goes on whatever it has.
// - Who does not find his cookie in a whole cache asks us, but where the cache ends with a full page he is told that there is
//   no more. We cannot know that nobody will: who began from a whole cache never asked us. So where the cache ends is
//   followed (cache-end.ts), and those that would make it whole with a full page end *quietly*: with an answer that has no
//   entry but is not empty, after which the kernel does not call the cache whole.
//
// Must stay true:
// - Two listings with a change between their beginnings have one generation only if the earlier one seems to be over.
// - A cache that ends with a full page, as far as we know, never becomes whole. Where its end is not known, it does so only
//   when listings of other generations seem to be over.
// - Any other cache that was begun is filled some time, by a listing of its generation, however old its beginning is: the
//   kernel has no other way to be rid of it, and caches nothing of the directory until then. (Nor can it be filled when the
//   entry where it ends has gone; the kernel then asks us until it forgets the directory.)
import { LRUCache } from 'lru-cache'
import { CacheEnd, type Entries } from './cache-end.ts'
import { GENERATIONS } from './codec.ts'

/** Directories whose listings are remembered. In any other the next listing has a new generation. */
const DIRECTORIES_MAX = 4096
/** A listing of which nobody asked for so long was given up before its end. */
const GIVEN_UP_MS = 30_000
/** One that was told of its end may still go back: within this time. */
const GOES_BACK_MS = 200

interface Directory {
  /** Of listings that begin. */
  generation: number
  /** Names have changed since a listing began. */
  isChanged: boolean
  /** The generation of which the kernel's cache is, as far as we know, where that ends, and whether it is whole. */
  filling: number
  end: CacheEnd
  isWhole: boolean
  /** Listings of that generation: how many were not told of their end. */
  underWay: number
  askedMs: number
  /** When a listing of another generation asked last. */
  othersAskedMs: number
}

export class Listings {
  readonly #directories = new LRUCache<number, Directory>({ max: DIRECTORIES_MAX })
  readonly #nowMs: () => number
  #last = -1

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** The generation of a listing that begins. */
  begin(ino: number): number {
    let directory = this.#directories.get(ino)
    if (directory === undefined) {
      directory = newDirectory(this.#newGeneration(null), new CacheEnd(this.#nowMs()))
      this.#directories.set(ino, directory)
    } else if (directory.isWhole) {
      // That we are asked shows that the kernel begins anew.
      if (directory.isChanged || directory.generation !== directory.filling) {
        directory.generation = directory.filling = this.#newGeneration(directory.filling)
        directory.underWay = 0
      }
      directory.end = new CacheEnd(this.#nowMs())
      directory.isWhole = false
    } else if (!this.#mayAsk(directory)) {
      directory.generation = directory.filling
      directory.underWay = 0
    } else if (directory.isChanged) directory.generation = this.#newGeneration(directory.filling)
    directory.isChanged = false
    if (directory.generation === directory.filling) directory.underWay++
    this.#asked(directory, directory.generation)
    return directory.generation
  }

  /** A listing goes on. */
  goOn(ino: number, generation: number): void {
    let directory = this.#directories.get(ino)
    if (directory === undefined) {
      // Not remembered any more: the kernel's cache is most likely that of this listing, and somewhere.
      directory = newDirectory(generation, new CacheEnd(this.#nowMs(), { isKnown: false }))
      directory.isChanged = true
      directory.underWay = 1
      this.#directories.set(ino, directory)
    }
    this.#asked(directory, generation)
  }

  /** A listing is answered with what follows the cookie `from`, if anything does. */
  answer(ino: number, generation: number, from: number, entries: Entries): void {
    const directory = this.#directories.get(ino)
    if (directory === undefined || directory.isWhole || generation !== directory.filling) return
    directory.end.add(from, entries)
  }

  /** That was nothing: there is no more to list. Returns whether to say so quietly: not to those of whom we think that the cache is not
   *  theirs, for should we be wrong it becomes whole now or never. */
  end(ino: number, generation: number): boolean {
    const directory = this.#directories.get(ino)
    if (directory === undefined || generation !== directory.filling) return false
    directory.underWay = Math.max(0, directory.underWay - 1)
    directory.askedMs = this.#nowMs()
    const { end, othersAskedMs } = directory
    if (end.isKnown ? end.isFullPage : this.#nowMs() - Math.max(end.beganMs, othersAskedMs) < GIVEN_UP_MS) return true
    directory.isWhole = true
    return false
  }

  /** A name in a directory comes, goes or leads elsewhere. */
  change(ino: number): void {
    const directory = this.#directories.peek(ino)
    if (directory === undefined) return
    directory.isChanged = true
    directory.end.change()
  }

  #asked(directory: Directory, generation: number): void {
    if (generation === directory.filling) directory.askedMs = this.#nowMs()
    else directory.othersAskedMs = this.#nowMs()
  }

  #newGeneration(but: number | null): number {
    do this.#last = (this.#last + 1) % GENERATIONS
    while (this.#last === but)
    return this.#last
  }

  /** Whether one of those that fill the cache is under way, or may go back. */
  #mayAsk({ underWay, askedMs }: Directory): boolean {
    return this.#nowMs() - askedMs < (underWay > 0 ? GIVEN_UP_MS : GOES_BACK_MS)
  }
}

function newDirectory(generation: number, end: CacheEnd): Directory {
  const never = Number.NEGATIVE_INFINITY
  return {
    generation,
    isChanged: false,
    filling: generation,
    end,
    isWhole: false,
    underWay: 0,
    askedMs: never,
    othersAskedMs: never,
  }
}
