// READDIR and READDIRPLUS: a listing from a cookie on, in one reply.
//
// Must stay true: entries that the filesystem gave are sent, whatever came after them: each carries a reference that the
// kernel must learn of. An error comes back with the next request.
import assert from 'node:assert'
import { type Clock, errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'
import { DirectoryReply, type ReplyBuffer, type RequestBuffer } from './codec.ts'
import { Listings } from './listings.ts'
import { TRANSFER_MAX_BYTES } from './negotiation.ts'
import { InHeader, Opcode, OutHeader, ReadIn, Rename2In, RenameIn } from './wire.ts'

/** Buffers for listings that are kept for the next one. */
const SPARE_REPLIES = 8

type Send = (r: RequestBuffer, reply: ReplyBuffer, lengthBytes: number) => void

export class DirectoryRequests {
  readonly #fs: Filesystem
  readonly #send: Send
  readonly #spare: DirectoryReply[] = []
  readonly #listings: Listings

  constructor(fs: Filesystem, send: Send, clock: Clock) {
    this.#fs = fs
    this.#send = send
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

  readdir(r: RequestBuffer, plus: boolean): MaybePromise<void> {
    r.need(ReadIn.sizeof)
    const ino = r.nodeid as Ino
    const { cookie, generation: before } = r.cookie(InHeader.sizeof + ReadIn.offset)
    const generation = cookie === 0 ? this.#listings.begin(ino) : before
    if (cookie !== 0) this.#listings.goOn(ino, generation)
    const listing = this.#spare.pop() ?? new DirectoryReply(OutHeader.sizeof + TRANSFER_MAX_BYTES)
    listing.begin({
      sizeBytes: r.u32(InHeader.sizeof + ReadIn.size),
      plus,
      generation,
      entryTtlSec: this.#fs.entryTtlSec,
      attributeTtlSec: this.#fs.attributeTtlSec,
    })
    const answer = (error: unknown) => {
      assert(!this.#spare.includes(listing), 'a listing is sent once')
      if (this.#spare.length < SPARE_REPLIES) this.#spare.push(listing)
      const isEmpty = listing.at === OutHeader.sizeof
      if (isEmpty && error !== undefined) throw error
      if (isEmpty && listing.isFull) throw errnoError('EINVAL')
      if (isEmpty && this.#listings.end(ino, generation)) listing.addQuietEnd()
      this.#send(r, listing.reply, listing.at)
    }
    let filled: MaybePromise<void>
    try {
      filled = this.#fs.readdir(ino, cookie, plus, listing.sink)
    } catch (error) {
      return answer(error)
    }
    if (!isPromise(filled)) return answer(undefined)
    return filled.then(() => answer(undefined), answer)
  }
}
