// Where inodes are that the kernel knows: ino -> directory and key, so that an operation by ino needs no table but its
// directory's. Counts the references the transport holds (lookups not yet forgotten); at none the place is dropped, and
// the table PARENTS answers.
//
// Must stay true: a place is changed in the turn in which the dentry moves; a place that is there is right.
import type { Ino } from './attributes.ts'

/** In place of a directory: the inode stands in the table SHARED, in ORPHANS, or only in memory (a removed directory). */
export const IN_SHARED = -1
export const IN_ORPHANS = -2
export const REMOVED = -3

export interface Place {
  directory: number
  key: number
  references: number
}

export class Places {
  readonly #places = new Map<number, Place>()

  get size(): number {
    return this.#places.size
  }

  get(ino: number): Place | undefined {
    return this.#places.get(ino)
  }

  /** One more reference to `ino`, which lies there. */
  reference(ino: number, directory: number, key: number): void {
    const place = this.#places.get(ino)
    if (place === undefined) this.#places.set(ino, { directory, key, references: 1 })
    else {
      place.directory = directory
      place.key = key
      place.references++
    }
  }

  /** Drops references; true when none is left. */
  forget(ino: number, count: number): boolean {
    const place = this.#places.get(ino)
    if (place === undefined) return true
    place.references -= count
    if (place.references > 0) return false
    this.#places.delete(ino)
    return true
  }

  /** There is no such inode any more, whoever still refers to it. */
  drop(ino: number): void {
    this.#places.delete(ino)
  }

  /** The inode lies elsewhere now. Nothing to do where nobody refers to it. */
  move(ino: number, directory: number, key: number): void {
    const place = this.#places.get(ino)
    if (place === undefined) return
    place.directory = directory
    place.key = key
  }

  /** How many references there are to each. */
  counts(): Map<Ino, number> {
    return new Map([...this.#places].map(([ino, { references }]) => [ino as Ino, references]))
  }

  isReferenced(ino: number): boolean {
    return this.#places.has(ino)
  }
}
