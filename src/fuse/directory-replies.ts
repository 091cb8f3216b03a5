// Buffers for replies to READDIR and READDIRPLUS, used again and again.
//
// Must stay true: a reply that was begun is either sent and released, or given up: each entry with attributes counts one
// reference to its inode, which the kernel must learn of, or which is dropped.
import assert from 'node:assert'
import type { Filesystem, Ino } from '../vfs/index.ts'
import { DirectoryReply } from './codec.ts'
import { TRANSFER_MAX_BYTES } from './negotiation.ts'
import { OutHeader } from './wire.ts'

/** Buffers that are kept for the next listing. */
const SPARE_REPLIES = 8

/** Where in which listing a reply begins. */
export interface ListingPlace {
  ino: Ino
  plus: boolean
  generation: number
  cookie: number
}

export class DirectoryReplies {
  readonly #fs: Filesystem
  readonly #spare: DirectoryReply[] = []

  constructor(fs: Filesystem) {
    this.#fs = fs
  }

  begin({ plus, generation }: ListingPlace, sizeBytes: number): DirectoryReply {
    const reply = this.#spare.pop() ?? new DirectoryReply(OutHeader.sizeof + TRANSFER_MAX_BYTES)
    const { entryTtlSec, attributeTtlSec } = this.#fs
    reply.begin({ sizeBytes, plus, generation, entryTtlSec, attributeTtlSec })
    return reply
  }

  release(reply: DirectoryReply): void {
    assert(!this.#spare.includes(reply), 'a listing is sent once')
    if (this.#spare.length < SPARE_REPLIES) this.#spare.push(reply)
  }

  giveUp(reply: DirectoryReply): void {
    reply.forEachReference((ino) => this.#fs.forget(ino as Ino, 1))
    this.release(reply)
  }
}
