// READDIR and READDIRPLUS: a listing from a cookie on, in one reply.
//
// Must stay true: entries that the filesystem gave are sent, whatever came after them: each carries a reference that the
// kernel must learn of. An error comes back with the next request.
import { type Clock, errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'
import type { DirectoryReply, ReplyBuffer, RequestBuffer } from './codec.ts'
import { DirectoryReplies, type ListingPlace } from './directory-replies.ts'
import { Listings } from './listings.ts'
import type { FuseMetrics } from './metrics.ts'
import { ReaddirAhead } from './readdir-ahead.ts'
import { InHeader, Opcode, ReadIn, Rename2In, RenameIn } from './wire.ts'

/** False when nobody waited for the reply any more. */
type Send = (r: RequestBuffer, reply: ReplyBuffer, lengthBytes: number) => boolean

export class DirectoryRequests {
  readonly #fs: Filesystem
  readonly #send: Send
  readonly #replies: DirectoryReplies
  readonly #ahead: ReaddirAhead
  readonly #listings: Listings

  constructor(fs: Filesystem, send: Send, clock: Clock, metrics: FuseMetrics) {
    this.#fs = fs
    this.#send = send
    this.#replies = new DirectoryReplies(fs)
    this.#ahead = new ReaddirAhead(fs, this.#replies, {
      later: (callback) => void clock.yield().then(callback),
      metrics,
    })
    this.#listings = new Listings(() => clock.monotonicMs())
  }

  /** Before any request is carried out: names may change by it. The kernel holds the directory's lock until it is
   *  answered, so no listing of it can be under way. */
  note(r: RequestBuffer): void {
    switch (r.opcode) {
      case Opcode.CREATE:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.SYMLINK:
      case Opcode.LINK:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
        this.#listings.change(r.nodeid)
        break
      case Opcode.RENAME:
      case Opcode.RENAME2:
        r.need(r.opcode === Opcode.RENAME ? RenameIn.sizeof : Rename2In.sizeof)
        this.#listings.change(r.nodeid)
        this.#listings.change(r.u64(InHeader.sizeof + RenameIn.newdir))
    }
  }

  namesChange(directory: Ino): void {
    this.#listings.change(directory)
  }

  /** After every request. */
  requestHandled(): void {
    this.#ahead.requestHandled()
  }

  readdir(r: RequestBuffer, plus: boolean): MaybePromise<void> {
    r.need(ReadIn.sizeof)
    const ino = r.nodeid as Ino
    const sizeBytes = r.u32(InHeader.sizeof + ReadIn.size)
    const { cookie, generation: before } = r.cookie(InHeader.sizeof + ReadIn.offset)
    const generation = cookie === 0 ? this.#listings.begin(ino) : before
    if (cookie !== 0) this.#listings.goOn(ino, generation)
    const place = { ino, plus, generation, cookie }
    const ahead = this.#ahead.take(place, sizeBytes)
    if (ahead !== null) return this.#answer(r, place, ahead)
    const reply = this.#replies.begin(place, sizeBytes)
    let filled: MaybePromise<void>
    try {
      filled = this.#fs.readdir(ino, cookie, plus, reply.sink)
    } catch (error) {
      return this.#answer(r, place, reply, error)
    }
    if (!isPromise(filled)) return this.#answer(r, place, reply)
    return filled.then(
      () => this.#answer(r, place, reply),
      (error) => this.#answer(r, place, reply, error),
    )
  }

  #answer(r: RequestBuffer, place: ListingPlace, reply: DirectoryReply, error?: unknown): void {
    const { isEmpty, isFull, lastCookie } = reply
    if (isEmpty && (error !== undefined || isFull)) {
      this.#replies.release(reply)
      throw error ?? errnoError('EINVAL')
    }
    this.#listings.answer(place.ino, place.generation, place.cookie, reply)
    if (isEmpty && this.#listings.end(place.ino, place.generation)) reply.addQuietEnd()
    if (this.#send(r, reply.reply, reply.at)) this.#replies.release(reply)
    else this.#replies.giveUp(reply)
    if (!isEmpty) this.#ahead.sent(place, lastCookie, r.u32(InHeader.sizeof + ReadIn.size))
  }
}
