// Requests as the kernel sends them, with nobody who waits for the answers: V8 compiles what has run often, so that what is
// rehearsed is fast when somebody asks in earnest (cli/warm-up.ts).
//
// Must stay true: every reference that an answer gives out is given back.
import type { Clock } from '../platform/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'
import { type ReplyBuffer, RequestBuffer } from './codec.ts'
import { type ReplyPort, Session, type SessionOptions } from './session.ts'
import { Dirent, EntryOut, InHeader, InitIn, Opcode, OutHeader, ReadIn } from './wire.ts'

const LISTING_BYTES = 128 * 1024
const REQUEST_BYTES = 512
const COOKIE_BYTES = 8
/** The kernel's, with all that it offers. */
const INIT = { major: 7, minor: 40, maxReadahead: LISTING_BYTES, flags: 0x7fffffff, flags2: 0xffffffff }
/** Of an INIT request since minor version 36. */
const INIT_BYTES = 64

export class Rehearsal {
  readonly #fs: Filesystem
  readonly #session: Session
  readonly #clock: Pick<Clock, 'yield'>
  readonly #request = new RequestBuffer(REQUEST_BYTES)
  #answer: ReplyBuffer | null = null
  #answerBytes = 0
  #unique = 0

  constructor(filesystem: Filesystem, options: Pick<SessionOptions, 'log' | 'registry'>, clock: Pick<Clock, 'yield'>) {
    const port: ReplyPort = {
      send: (reply, lengthBytes) => {
        this.#answer = reply
        this.#answerBytes = lengthBytes
        return 0
      },
      sendParts: () => 0,
      notify: async () => 0,
    }
    this.#fs = filesystem
    this.#clock = clock
    this.#session = new Session(filesystem, port, { ...options, readOnly: true })
  }

  async begin(): Promise<void> {
    for (const [field, at] of Object.entries(InitIn)) {
      if (field in INIT) this.#put(InHeader.sizeof + at, INIT[field as keyof typeof INIT])
    }
    await this.#send(Opcode.INIT, 0, INIT_BYTES)
  }

  /** Lists a directory with attributes, from its beginning to its end. Returns how many entries it has. */
  async list(directory: Ino): Promise<number> {
    let entries = 0
    const cookie = Buffer.alloc(COOKIE_BYTES)
    for (;;) {
      const at = InHeader.sizeof
      this.#request.bytes.fill(0, at, at + ReadIn.sizeof)
      cookie.copy(this.#request.bytes, at + ReadIn.offset)
      this.#put(at + ReadIn.size, LISTING_BYTES)
      await this.#send(Opcode.READDIRPLUS, directory, ReadIn.sizeof)
      const before = entries
      entries += this.#takeEntries(cookie)
      if (entries === before) return entries
      await this.#clock.yield()
    }
  }

  async lookup(directory: Ino, name: string): Promise<void> {
    const lengthBytes = this.#request.bytes.write(`${name}\0`, InHeader.sizeof)
    await this.#send(Opcode.LOOKUP, directory, lengthBytes)
    const ino = this.#answer === null ? 0 : this.#answer.u64(OutHeader.sizeof + EntryOut.nodeid)
    if (ino !== 0 && this.#answerBytes > OutHeader.sizeof) this.#fs.forget(ino as Ino, 1)
  }

  /** The last entry's cookie goes where the next request takes it from. */
  #takeEntries(cookie: Buffer): number {
    const answer = this.#answer
    // An end may have some bytes, but has no entry (listings.ts).
    if (answer === null || this.#answerBytes < OutHeader.sizeof + EntryOut.sizeof) return 0
    let entries = 0
    for (let at: number = OutHeader.sizeof; at < this.#answerBytes; entries++) {
      const direntAt = at + EntryOut.sizeof
      const ino = answer.u64(at + EntryOut.nodeid)
      answer.bytes.copy(cookie, 0, direntAt + Dirent.off, direntAt + Dirent.off + COOKIE_BYTES)
      at = (direntAt + Dirent.name + answer.u32(direntAt + Dirent.namelen) + 7) & ~7
      if (ino !== 0) this.#fs.forget(ino as Ino, 1)
    }
    return entries
  }

  async #send(opcode: number, nodeid: number, payloadBytes: number): Promise<void> {
    const { bytes } = this.#request
    bytes.fill(0, 0, InHeader.sizeof)
    this.#request.length = InHeader.sizeof + payloadBytes
    this.#put(InHeader.len, this.#request.length)
    this.#put(InHeader.opcode, opcode)
    this.#put(InHeader.unique, ++this.#unique)
    this.#put(InHeader.nodeid, nodeid)
    this.#answer = null
    this.#answerBytes = 0
    await this.#session.handle(this.#request)
  }

  #put(at: number, value: number): void {
    this.#request.bytes.writeUInt32LE(value, at)
  }
}
