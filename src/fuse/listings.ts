// Which listings may meet in the kernel's cache of a directory, and when that cache may become whole.
//
// The kernel (fs/fuse/readdir.c) keeps one cache per directory, since OPENDIR gets ENOSYS. Whoever lists adds to its end what
// continues there. Once somebody has been told at its end that there is no more it is whole, and everybody reads from it who
// finds his cookie in it. Only a listing at its very beginning looks whether names have changed since the cache was begun;
// if so a whole cache is begun anew, one that is not whole stays. Left alone, that shows listings what is wrong:
// - Who began after a change, while the cache was half full, finds his cookie in it when another has filled it, and goes on
//   with names as they were before he began. So listings with a change between their beginnings differ in *generation*,
//   which stands in the high bits of their cookies. The filesystem never sees it; a cookie goes on whatever it has.
// - Who does not find his cookie in a whole cache asks us, but where the cache ends with a page he is told that there is no
//   more. So while listings of other generations are under way, those that fill the cache end *quietly*: with an answer
//   that has no entry but is not empty, after which the kernel does not call the cache whole.
//
// Must stay true:
// - Two listings with a change between their beginnings have one generation only if the earlier one seems to be over.
// - A cache that was begun is filled some time, by a listing of its generation, however old its beginning is: the kernel has
//   no other way to be rid of it, and caches nothing of the directory until then. (Nor can it be filled when the entry where
//   it ends has gone; the kernel then asks us until it forgets the directory.)
import { LRUCache } from 'lru-cache'
import { GENERATIONS } from './codec.ts'

/** Directories whose listings are remembered. In any other the next listing has a new generation. */
const DIRECTORIES_MAX = 4096
/** A listing of which nobody asked for so long was given up before its end. */
const GIVEN_UP_MS = 30_000
/** One that was told of its end may still go back: within this time. */
const GOES_BACK_MS = 200

/** Listings that have something in common. */
interface Group {
  /** How many were not told of their end. */
  underWay: number
  askedMs: number
}

interface Directory {
  /** Of listings that begin. */
  generation: number
  /** Names have changed since a listing began. */
  isChanged: boolean
  /** The generation of which the kernel's cache is, as far as we know, and whether that is whole. */
  filling: number
  isWhole: boolean
  /** Listings of that generation, and all others. */
  fillers: Group
  others: Group
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
      directory = this.#newDirectory()
      this.#directories.set(ino, directory)
    } else if (directory.isWhole) {
      // That we are asked shows that the kernel begins anew.
      if (directory.isChanged) this.#beginAnew(directory)
      directory.isWhole = false
    } else if (!this.#mayAsk(directory.fillers)) {
      directory.generation = directory.filling
      directory.fillers.underWay = 0
    } else if (directory.isChanged) directory.generation = this.#newGeneration(directory.filling)
    directory.isChanged = false
    const group = groupOf(directory, directory.generation)
    group.underWay++
    group.askedMs = this.#nowMs()
    return directory.generation
  }

  /** A listing goes on. */
  goOn(ino: number, generation: number): void {
    const directory = this.#directories.get(ino)
    if (directory !== undefined) groupOf(directory, generation).askedMs = this.#nowMs()
  }

  /** There is nothing more to list. Returns whether to say so quietly: not to those of whom we think that the cache is not
   *  theirs, for should we be wrong it becomes whole now or never. */
  end(ino: number, generation: number): boolean {
    const directory = this.#directories.get(ino)
    if (directory === undefined) return false
    const group = groupOf(directory, generation)
    group.underWay = Math.max(0, group.underWay - 1)
    group.askedMs = this.#nowMs()
    if (group === directory.others) return false
    if (this.#mayAsk(directory.others)) return true
    directory.others.underWay = 0
    directory.isWhole = true
    return false
  }

  /** A name in a directory comes, goes or leads elsewhere. */
  change(ino: number): void {
    const directory = this.#directories.peek(ino)
    if (directory !== undefined) directory.isChanged = true
  }

  #newDirectory(): Directory {
    const generation = this.#newGeneration(null)
    const [fillers, others] = [nobody(), nobody()]
    return { generation, isChanged: false, filling: generation, isWhole: false, fillers, others }
  }

  /** The kernel fills its cache with the next listing, and those that filled it before are others. */
  #beginAnew(directory: Directory): void {
    const { fillers, others } = directory
    directory.generation = directory.filling = this.#newGeneration(directory.filling)
    directory.others = {
      underWay: others.underWay + fillers.underWay,
      askedMs: Math.max(others.askedMs, fillers.askedMs),
    }
    directory.fillers = nobody()
  }

  #newGeneration(but: number | null): number {
    do this.#last = (this.#last + 1) % GENERATIONS
    while (this.#last === but)
    return this.#last
  }

  /** Whether one of a group is under way, or may go back. */
  #mayAsk({ underWay, askedMs }: Group): boolean {
    return this.#nowMs() - askedMs < (underWay > 0 ? GIVEN_UP_MS : GOES_BACK_MS)
  }
}

const nobody = (): Group => ({ underWay: 0, askedMs: Number.NEGATIVE_INFINITY })

function groupOf(directory: Directory, generation: number): Group {
  return generation === directory.filling ? directory.fillers : directory.others
}
