// Foreign functions: the few calls of libc that Node does not offer, through koffi. Loaded at first use, so that a
// program that mounts nothing pays nothing.
//
// Must stay true:
// - A function returns its result, or a negative errno; it throws only for errors of ours.
// - An address is valid while the buffer it was taken from is referenced: the memory of a Buffer lies outside V8's heap
//   and does not move. The caller keeps the buffer alive until the call, or its promise, has ended.
// - What ends in `Async` runs in libuv's thread pool and may block there; nothing else here blocks on a peer.
import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'

/** Where a buffer's first byte lies; below 2^47 on the machines Node runs on. */
export type Address = number & { readonly __brand: 'Address' }

/** Calls back in the event loop while a descriptor is readable or broken, until stopped. */
export interface ReadableWatch {
  start(): void
  stop(): void
  /** Stops for good; the watch must not be used again. The descriptor stays open. */
  close(): void
}

export interface Libc {
  /** read(2) into memory. Does not yield: the descriptor must be non-blocking. */
  read(fd: number, address: Address, lengthBytes: number): number
  /** write(2) from memory. */
  write(fd: number, address: Address, lengthBytes: number): number
  /** writev(2); `vector` holds `count` structs iovec (see putIovec). */
  writev(fd: number, vector: Address, count: number): number
  /** write(2) in the thread pool, for writes that may wait for others. */
  writeAsync(fd: number, bytes: Uint8Array): Promise<number>
  /** writev(2) in the thread pool, of fewer than 1,024 parts. */
  writevAsync(fd: number, parts: readonly Uint8Array[]): Promise<number>
  addressOf(bytes: Uint8Array): Address
  /** mount(2). */
  mount(source: string, target: string, type: string, flags: number, data: string): number
  /** umount2(2) in the thread pool: an unmount may wait for the filesystem, which this very process may serve. */
  umount2Async(target: string, flags: number): Promise<number>
  /** syncfs(2) in the thread pool: it waits for the filesystem. */
  syncfsAsync(fd: number): Promise<number>
  /** socketpair(2) of two connected, close-on-exec stream sockets; or a negative errno. */
  socketpair(): readonly [number, number] | number
  /** recvmsg(2) of one byte with one descriptor (SCM_RIGHTS), not waiting for it. -ENODATA when the peer sent none. */
  receiveDescriptor(socket: number): number
  /** ioctl(2) that reads into, or writes from, a buffer. */
  ioctl(fd: number, request: number, argument: Uint8Array): number
  /** fcntl(F_SETFL, O_NONBLOCK). */
  setNonBlocking(fd: number): number
  /** Watches `fd` in the event loop (epoll). Starts stopped; lives until it is closed, held or not. It makes the
   *  descriptor, and all that were duplicated from it, non-blocking. */
  watchReadable(fd: number, onReadable: () => void): ReadableWatch
  /** fcntl(F_DUPFD_CLOEXEC): another descriptor of the same open file. */
  duplicate(fd: number): number
  /** A descriptor that is readable once `fd` is broken (POLLERR, POLLHUP), and not before; or a negative errno. `fd` stays
   *  as it is, blocking too. Both are to be closed. */
  brokenness(fd: number): number
}

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_CMSG_CLOEXEC = 0x40000000
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000
const F_DUPFD_CLOEXEC = 1030
const EPOLL_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
/** struct epoll_event, packed on x64. Of no event at all: errors and hang-ups are always told. */
const NO_EVENTS = Buffer.alloc(16)
const ENODATA = 61
/** CMSG_DATA of the first control message: struct cmsghdr is a size_t and two ints. */
const CMSG_DATA_OFFSET = 16

type Foreign<Arguments extends unknown[]> = ((...args: Arguments) => number) & {
  async(...args: [...Arguments, (error: Error | null, result: number) => void]): void
}

let loaded: Libc | undefined

/** The functions; loads koffi when first called. */
export function libc(): Libc {
  loaded ??= load()
  return loaded
}

function load(): Libc {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const library = koffi.load('libc.so.6')
  const foreign = <A extends unknown[]>(name: string, args: string[]) =>
    library.func(name, 'int', args) as unknown as Foreign<A>

  // koffi.errno() is the thread's own: it is read before anything else can run.
  const orErrno = (result: number) => (result >= 0 ? result : -koffi.errno())
  const inThreadPool = <A extends unknown[]>(call: Foreign<A>, ...args: A) =>
    new Promise<number>((resolve, reject) => {
      call.async(...args, (error, result) => (error ? reject(error) : resolve(orErrno(result))))
    })

  const read = foreign<[number, number, number]>('read', ['int', 'uintptr_t', 'size_t'])
  const write = foreign<[number, number, number]>('write', ['int', 'uintptr_t', 'size_t'])
  const writev = foreign<[number, number, number]>('writev', ['int', 'uintptr_t', 'int'])
  const mount = foreign<[string, string, string, number, string]>('mount', ['str', 'str', 'str', 'ulong', 'str'])
  const umount2 = foreign<[string, number]>('umount2', ['str', 'int'])
  const syncfs = foreign<[number]>('syncfs', ['int'])
  const socketpair = foreign<[number, number, number, number]>('socketpair', ['int', 'int', 'int', 'uintptr_t'])
  const recvmsg = foreign<[number, number, number]>('recvmsg', ['int', 'uintptr_t', 'int'])
  const fcntl = foreign<[number, number, number]>('fcntl', ['int', 'int', 'int'])
  const epollCreate = foreign<[number]>('epoll_create1', ['int'])
  const epollCtl = foreign<[number, number, number, number]>('epoll_ctl', ['int', 'int', 'int', 'uintptr_t'])
  const ioctl = foreign<[number, number, number]>('ioctl', ['int', 'ulong', 'uintptr_t'])
  const watched = new Set<object>()
  const addressOf = (bytes: Uint8Array) => Number(koffi.address(bytes)) as Address

  return {
    read(fd, address, lengthBytes) {
      const result = read(fd, address, lengthBytes)
      return result >= 0 ? result : -koffi.errno()
    },
    write(fd, address, lengthBytes) {
      const result = write(fd, address, lengthBytes)
      return result >= 0 ? result : -koffi.errno()
    },
    writev: (fd, vector, count) => orErrno(writev(fd, vector, count)),
    async writeAsync(fd, bytes) {
      const result = await inThreadPool(write, fd, addressOf(bytes), bytes.length)
      keep(bytes)
      return result
    },
    async writevAsync(fd, parts) {
      const vector = new Uint32Array(parts.length * 4)
      for (const [index, part] of parts.entries()) putIovec(vector, index, addressOf(part), part.length)
      const bytes = Buffer.from(vector.buffer)
      const result = await inThreadPool(writev, fd, addressOf(bytes), parts.length)
      keep(bytes, ...parts)
      return result
    },
    addressOf,
    mount: (source, target, type, flags, data) => orErrno(mount(source, target, type, flags, data)),
    umount2Async: (target, flags) => inThreadPool(umount2, target, flags),
    syncfsAsync: (fd) => inThreadPool(syncfs, fd),
    socketpair() {
      const pair = Buffer.alloc(8)
      const result = orErrno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(pair)))
      return result < 0 ? result : [pair.readInt32LE(0), pair.readInt32LE(4)]
    },
    receiveDescriptor(socket) {
      // struct msghdr of 64-bit Linux: name, namelen, iov, iovlen, control, controllen, flags; eight bytes each.
      const data = Buffer.alloc(1)
      const control = Buffer.alloc(64)
      const vector = Buffer.alloc(16)
      const message = Buffer.alloc(56)
      vector.writeBigUInt64LE(BigInt(addressOf(data)), 0)
      vector.writeBigUInt64LE(1n, 8)
      message.writeBigUInt64LE(BigInt(addressOf(vector)), 16)
      message.writeBigUInt64LE(1n, 24)
      message.writeBigUInt64LE(BigInt(addressOf(control)), 32)
      message.writeBigUInt64LE(BigInt(control.length), 40)
      const result = orErrno(recvmsg(socket, addressOf(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC))
      if (result < 0) return result
      const hasDescriptor = result > 0 && message.readBigUInt64LE(40) >= BigInt(CMSG_DATA_OFFSET + 4)
      return hasDescriptor ? control.readInt32LE(CMSG_DATA_OFFSET) : -ENODATA
    },
    ioctl(fd, request, argument) {
      const result = orErrno(ioctl(fd, request, addressOf(argument)))
      keep(argument)
      return result
    },
    setNonBlocking(fd) {
      const flags = orErrno(fcntl(fd, F_GETFL, 0))
      return flags < 0 ? flags : orErrno(fcntl(fd, F_SETFL, flags | O_NONBLOCK))
    },
    duplicate: (fd) => orErrno(fcntl(fd, F_DUPFD_CLOEXEC, 0)),
    brokenness(fd) {
      const epoll = orErrno(epollCreate(EPOLL_CLOEXEC))
      if (epoll < 0) return epoll
      const result = orErrno(epollCtl(epoll, EPOLL_CTL_ADD, fd, addressOf(NO_EVENTS)))
      if (result >= 0) return epoll
      closeSync(epoll)
      return result
    },
    watchReadable(fd, onReadable) {
      // koffi calls back without draining Node's microtasks: whoever is called must go on in a callback of Node's own.
      const callback = () => onReadable()
      const handle = koffi.node.poll(fd, { readable: true }, callback)
      handle.stop()
      // A handle that is collected stops watching.
      watched.add(handle)
      return {
        start: () => handle.start({ readable: true }, callback),
        stop: () => handle.stop(),
        close() {
          handle.close()
          watched.delete(handle)
        },
      }
    },
  }
}

/** Keeps `bytes` reachable up to here: a promise's continuation that names it holds its memory. */
function keep(..._bytes: Uint8Array[]): void {}

/** Writes struct iovec number `index` into `vector`. */
export function putIovec(vector: Uint32Array, index: number, address: Address, lengthBytes: number): void {
  const at = index * 4
  vector[at] = address >>> 0
  vector[at + 1] = address / 4294967296
  vector[at + 2] = lengthBytes
  vector[at + 3] = 0
}
