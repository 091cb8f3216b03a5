// The reply to the READDIR that will come next, filled while whoever reads the directory is busy with the last one: the kernel
// asks for a directory piece by piece, and only when it has passed a piece on.
//
// Must stay true:
// - What was filled ahead is handed out only while the filesystem's `version` is what it was: nothing has changed since, nor
//   is about to.
// - It is given up with the first request after which that is not so: what it refers to could not go otherwise.
import { isPromise } from '../platform/index.ts'
import type { Filesystem } from '../vfs/index.ts'
import type { DirectoryReply } from './codec.ts'
import type { DirectoryReplies, ListingPlace } from './directory-replies.ts'
import type { FuseMetrics } from './metrics.ts'

/** Listings for which this is done at a time. */
const LISTINGS_MAX = 4
/** After a change has spoilt what was filled, so many are not: `rm -r` changes what it reads. */
const SKIPPED_AFTER_WASTE = 8

interface Ahead {
  place: ListingPlace
  sizeBytes: number
  version: number
  reply: DirectoryReply
}

export interface ReaddirAheadOptions {
  /** Calls back in a later turn. */
  later: (callback: () => void) => void
  metrics: Pick<FuseMetrics, 'listingsFilledAhead' | 'listingsUsedAhead'>
}

export class ReaddirAhead {
  readonly #fs: Filesystem
  readonly #replies: DirectoryReplies
  readonly #options: ReaddirAheadOptions
  /** Where the last replies ended, oldest first: who asks for what comes behind reads in order. */
  readonly #ends: ListingPlace[] = []
  #ahead: Ahead[] = []
  #skip = 0

  constructor(fs: Filesystem, replies: DirectoryReplies, options: ReaddirAheadOptions) {
    this.#fs = fs
    this.#replies = replies
    this.#options = options
  }

  /** What was filled for this request, if it still holds. */
  take(place: ListingPlace, sizeBytes: number): DirectoryReply | null {
    const index = this.#ahead.findIndex((ahead) => isSame(ahead.place, place))
    if (index < 0) return null
    const [ahead] = this.#ahead.splice(index, 1) as [Ahead]
    if (ahead.version === this.#fs.version && ahead.sizeBytes <= sizeBytes) {
      this.#options.metrics.listingsUsedAhead.value++
      return ahead.reply
    }
    this.#replies.giveUp(ahead.reply)
    return null
  }

  /** A reply with entries was sent: fills the next one if the directory is read in order. */
  sent(place: ListingPlace, lastCookie: number, sizeBytes: number): void {
    const next = { ...place, cookie: lastCookie }
    const index = this.#ends.findIndex((end) => isSame(end, place))
    if (index >= 0) this.#ends.splice(index, 1)
    this.#ends.push(next)
    if (this.#ends.length > LISTINGS_MAX) this.#ends.shift()
    if (index < 0) return
    if (this.#skip > 0) this.#skip--
    else this.#options.later(() => this.#fill(next, sizeBytes))
  }

  /** To be called after every request. */
  requestHandled(): void {
    if (this.#ahead.length === 0) return
    const { version } = this.#fs
    if (this.#ahead.every((ahead) => ahead.version === version)) return
    for (const { reply } of this.#ahead) this.#replies.giveUp(reply)
    this.#ahead = []
    this.#skip = SKIPPED_AFTER_WASTE
  }

  #fill(place: ListingPlace, sizeBytes: number): void {
    // Whoever reads there was faster.
    if (!this.#ends.some((end) => isSame(end, place))) return
    const { version = Number.NaN } = this.#fs
    if (Number.isNaN(version) || this.#ahead.some((ahead) => isSame(ahead.place, place))) return
    const reply = this.#replies.begin(place, sizeBytes)
    const giveUp = () => this.#replies.giveUp(reply)
    try {
      const filled = this.#fs.readdir(place.ino, place.cookie, place.plus, reply.sink)
      if (isPromise(filled)) {
        // Something has to be fetched first: that has begun, and whoever asks will wait for it.
        filled.then(giveUp, giveUp)
        return
      }
    } catch {
      // Whoever asks meets it again, and is told.
      giveUp()
      return
    }
    this.#options.metrics.listingsFilledAhead.value++
    this.#ahead.push({ place, sizeBytes, version, reply })
    if (this.#ahead.length > LISTINGS_MAX) this.#replies.giveUp((this.#ahead.shift() as Ahead).reply)
  }
}

function isSame(a: ListingPlace, b: ListingPlace): boolean {
  return a.cookie === b.cookie && a.ino === b.ino && a.generation === b.generation && a.plus === b.plus
}
