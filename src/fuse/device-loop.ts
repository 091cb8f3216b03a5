// The loop that reads requests from /dev/fuse, has them handled and writes the replies.
//
// A turn reads until the device is empty (EAGAIN), at most 256 requests or 4 ms; then sockets and timers get theirs.
// Where it is empty, the turn goes on asking for 30 us after the last request: a program that does one system call
// after another then waits 20 us for each instead of 65 (measured: 45,000 lookups a second against 15,000). While
// operations wait for something the asking goes through the event loop, so that what they wait for can come. After
// that the event loop's own epoll watches the device, which costs nothing while it is idle, holds no thread of the
// pool and needs nothing to wake it at the end.
//
// Must stay true:
// - A request buffer belongs to its operation until the operation's promise settles; the loop then reads into another. Where the
//   operation has kept the slab that it lies in, it is not read into again.
//   At most 1,024 operations and 64 MiB of their requests are held: beyond that the device is left unread until one
//   settles. None of them may therefore wait for another request.
// - The loop runs in callbacks of Node's own (setImmediate), so that microtasks run after it; koffi's poll callback
//   only schedules it.
// - `ended` settles once, after every operation and notification has settled; the descriptor is closed then, by
//   the loop and nobody else.
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { type Address, FsError, libc, putIovec, type ReadableWatch } from '../platform/index.ts'
import type { Filesystem } from '../vfs/index.ts'
import { type ReplyBuffer, RequestBuffer } from './codec.ts'
import { REQUEST_CAPACITY_BYTES, TRANSFER_MAX_BYTES } from './negotiation.ts'
import type { ReplyPort } from './session.ts'
import type { EndReason } from './transport.ts'

const TURN_REQUESTS = 256
const TURN_MS = 4
const SPIN_MS = 0.03
const OUTSTANDING_MAX = 1024
const OUTSTANDING_MAX_BYTES = 64 << 20
/** Request buffers kept for the next operation that waits; of each 1 MiB only what was written is resident. */
const SPARE_BUFFERS = 8
/** Most requests that lie in slabs: what waits for long would keep whole ones from others. */
const SLABS_MAX = SPARE_BUFFERS + 1
/** Reads that fail in a way we do not know: so many in a row end the loop. */
const STRANGE_ERRORS_MAX = 100
const IOV_MAX = 1024
/** For what a request has besides its data. */
const ROOM_BYTES = REQUEST_CAPACITY_BYTES - TRANSFER_MAX_BYTES

const { EAGAIN, EINTR, ENOENT, ENODEV, ECONNABORTED } = constants.errno

/** Handles one request; a promise means that it is kept until then. Never throws. */
export type RequestHandler = (request: RequestBuffer) => Promise<void> | undefined

export class DeviceLoop implements ReplyPort {
  readonly #libc = libc()
  readonly #fd: number
  #handle: RequestHandler | undefined
  readonly #watch: ReadableWatch
  readonly #slabs: Filesystem['slabs']
  #takenSlabs = 0
  #request: RequestBuffer
  readonly #spare: RequestBuffer[] = []
  readonly #vector = Buffer.from(new ArrayBuffer(IOV_MAX * 16))
  readonly #vectorWords = new Uint32Array(this.#vector.buffer)
  readonly #vectorAddress: Address = this.#libc.addressOf(this.#vector)
  #outstanding = 0
  #outstandingBytes = 0
  #notifying = 0
  /** Whether a turn is due by setImmediate. */
  #scheduled = false
  /** Whether the device is left unread because too much is under way. */
  #paused = false
  /** When the device was first found empty since the last request; 0 when it was not. */
  #emptySinceMs = 0
  #strangeErrors = 0
  #end: { reason: EndReason } | { error: unknown } | undefined
  #resolveEnded!: (reason: EndReason) => void
  #rejectEnded!: (error: unknown) => void

  readonly ended = new Promise<EndReason>((resolve, reject) => {
    this.#resolveEnded = resolve
    this.#rejectEnded = reject
  })

  /** Takes over `fd`, an open /dev/fuse that is mounted. `slabs`: memory for requests, which a WRITE may keep. */
  constructor(fd: number, slabs?: Filesystem['slabs']) {
    this.#fd = fd
    this.#slabs = slabs
    this.#request = this.#newRequest()
    this.#libc.setNonBlocking(fd)
    this.#watch = this.#libc.watchReadable(fd, () => this.#schedule())
  }

  get outstanding(): number {
    return this.#outstanding
  }

  start(handle: RequestHandler): void {
    this.#handle = handle
    this.#watch.start()
  }

  /** Stops serving: the kernel fails what it still asks. For when a mount could not be completed. */
  stop(): void {
    this.#finish({ reason: 'aborted' })
  }

  send(reply: ReplyBuffer, lengthBytes: number): number {
    return this.#libc.write(this.#fd, reply.address, lengthBytes)
  }

  sendParts(head: ReplyBuffer, headBytes: number, parts: readonly Uint8Array[]): number {
    if (parts.length >= IOV_MAX) parts = [Buffer.concat(parts)]
    putIovec(this.#vectorWords, 0, head.address, headBytes)
    let count = 1
    // Many lie in one piece of memory: a segment, in blocks.
    let memory: ArrayBufferLike | null = null
    let base = 0
    for (const part of parts) {
      if (part.length === 0) continue
      if (part.buffer !== memory) {
        memory = part.buffer
        base = this.#libc.addressOf(part) - part.byteOffset
      }
      putIovec(this.#vectorWords, count++, (base + part.byteOffset) as Address, part.length)
    }
    return this.#libc.writev(this.#fd, this.#vectorAddress, count)
  }

  /** A notification, from a thread of the pool: see notify.ts. */
  async notify(message: readonly Uint8Array[]): Promise<number> {
    if (this.#end !== undefined) return -ENODEV
    this.#notifying++
    try {
      const [first, ...others] = message
      return others.length === 0
        ? await this.#libc.writeAsync(this.#fd, first!)
        : await this.#libc.writevAsync(this.#fd, message)
    } finally {
      this.#notifying--
      if (this.#end !== undefined) this.#conclude()
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#end !== undefined) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#drain()) this.#schedule()
  }

  /** Handles requests until none come. Whether another turn is due although the device may be empty. */
  #drain(): boolean {
    const startedMs = performance.now()
    for (let handled = 0; this.#end === undefined; ) {
      if (this.#isFull()) {
        this.#pause()
        return false
      }
      const result = this.#libc.read(this.#fd, this.#request.address, this.#request.bytes.length)
      if (result > 0) {
        this.#emptySinceMs = 0
        this.#strangeErrors = 0
        this.#take(result)
        handled++
        if (handled === TURN_REQUESTS || performance.now() - startedMs > TURN_MS) return true
      } else if (result === -EAGAIN) {
        const nowMs = performance.now()
        if (this.#emptySinceMs === 0) this.#emptySinceMs = nowMs
        if (nowMs - this.#emptySinceMs > SPIN_MS) return false
        if (this.#outstanding > 0) return true
      } else {
        this.#readFailed(-result)
      }
    }
    return false
  }

  #take(lengthBytes: number): void {
    const request = this.#request
    request.length = lengthBytes
    const pending = this.#handle!(request)
    if (pending === undefined) {
      if (this.#isDone(request)) this.#request = this.#inPlaceOf(request)
      return
    }
    this.#outstanding++
    this.#outstandingBytes += lengthBytes
    this.#request = this.#spare.pop() ?? this.#newRequest()
    pending.then(() => this.#settled(request, lengthBytes))
  }

  #settled(request: RequestBuffer, lengthBytes: number): void {
    this.#outstanding--
    this.#outstandingBytes -= lengthBytes
    if (this.#isDone(request) || this.#spare.length === SPARE_BUFFERS) this.#letGo(request)
    else this.#spare.push(request)
    if (this.#end !== undefined) {
      this.#conclude()
      return
    }
    if (this.#paused && !this.#isFull()) {
      this.#paused = false
      this.#watch.start()
    }
    // Whoever was answered is likely to ask again at once.
    this.#emptySinceMs = 0
    if (!this.#paused) this.#schedule()
  }

  #newRequest(): RequestBuffer {
    if (this.#slabs === undefined || this.#takenSlabs === SLABS_MAX) return new RequestBuffer(REQUEST_CAPACITY_BYTES)
    this.#takenSlabs++
    const slab = this.#slabs.take()
    return new RequestBuffer(slab.bytes.length + ROOM_BYTES, slab)
  }

  /** Not to be read into again: somebody has its slab, or may have; or it has none, and there may be one now. */
  #isDone({ slab }: RequestBuffer): boolean {
    if (slab !== null) return slab.holders > 1 || !slab.reusable
    return this.#slabs !== undefined && (this.#takenSlabs < SLABS_MAX || this.#spare.length > 0)
  }

  #inPlaceOf(request: RequestBuffer): RequestBuffer {
    this.#letGo(request)
    return this.#spare.pop() ?? this.#newRequest()
  }

  #letGo({ slab }: RequestBuffer): void {
    if (slab === null) return
    this.#takenSlabs--
    this.#slabs!.letGo(slab)
  }

  #isFull(): boolean {
    return this.#outstanding >= OUTSTANDING_MAX || this.#outstandingBytes >= OUTSTANDING_MAX_BYTES
  }

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#watch.stop()
  }

  #readFailed(errno: number): void {
    switch (errno) {
      case EINTR:
      case ENOENT: // the request was given up while we read it
        break
      case ENODEV:
        this.#finish({ reason: 'unmounted' })
        break
      case ECONNABORTED:
        this.#finish({ reason: 'aborted' })
        break
      default:
        if (++this.#strangeErrors < STRANGE_ERRORS_MAX) break
        this.#finish({ error: new FsError('EIO', `reading /dev/fuse fails with errno ${errno}: mount again`) })
    }
  }

  #finish(end: { reason: EndReason } | { error: unknown }): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#watch.close()
    this.#conclude()
  }

  /** Closes when the last operation and notification have settled: they would write to whatever has the number then. */
  #conclude(): void {
    if (this.#outstanding > 0 || this.#notifying > 0) return
    closeSync(this.#fd)
    const end = this.#end!
    if ('reason' in end) this.#resolveEnded(end.reason)
    else this.#rejectEnded(end.error)
  }
}
