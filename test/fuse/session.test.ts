// The session without a kernel: requests as bytes in, replies as bytes out, a MemoryFilesystem behind.
import { constants } from 'node:os'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ReplyBuffer, RequestBuffer } from '../../src/fuse/codec.ts'
import { type ReplyPort, Session } from '../../src/fuse/session.ts'
import type { TransportLog } from '../../src/fuse/transport.ts'
import { Registry } from '../../src/observe/index.ts'
import { FsError } from '../../src/platform/index.ts'
import type { Filesystem } from '../../src/vfs/index.ts'
import { delayed, MemoryFilesystem } from './memory-filesystem.ts'
import {
  init,
  name,
  parseAttr,
  parseDirents,
  parseEntry,
  parseReply,
  type Reply,
  request,
  u32,
  u64,
} from './requests.ts'

const { ENOENT, EINVAL, EIO, ENOSYS, ENOTTY, ERANGE, EOPNOTSUPP, EPROTO } = constants.errno
const S_IFREG = 0o100000

class Harness implements ReplyPort, TransportLog {
  readonly replies: Reply[] = []
  readonly logged: string[] = []
  readonly notified: Buffer[] = []
  readonly registry = new Registry()
  /** What sending a reply gives. */
  result = 0
  readonly #session: Session
  readonly #spare: RequestBuffer[] = []

  constructor(filesystem: Filesystem, readOnly = false) {
    this.#session = new Session(filesystem, this, { readOnly, log: this, registry: this.registry })
  }

  get initialized() {
    return this.#session.initialized
  }

  /** As the device loop does: the buffer is used again as soon as the session allows, and overwritten first. */
  feed(bytes: Uint8Array): Promise<void> | undefined {
    const buffer = this.#spare.pop() ?? new RequestBuffer(2 << 20)
    buffer.bytes.set(bytes)
    buffer.length = bytes.length
    const recycle = () => {
      buffer.bytes.fill(0xaa, 0, Math.max(bytes.length, 4096))
      this.#spare.push(buffer)
    }
    const pending = this.#session.handle(buffer)
    if (pending === undefined) recycle()
    return pending?.then(recycle)
  }

  /** The one reply to one request. */
  async ask(bytes: Uint8Array): Promise<Reply> {
    const before = this.replies.length
    await this.feed(bytes)
    expect(this.replies.length).toBe(before + 1)
    const reply = this.replies[before]!
    expect(reply.unique).toBe(Buffer.from(bytes).readBigUInt64LE(8))
    return reply
  }

  send(reply: ReplyBuffer, lengthBytes: number): number {
    return this.sendParts(reply, lengthBytes, [])
  }
  sendParts(head: ReplyBuffer, headBytes: number, parts: readonly Uint8Array[]): number {
    this.replies.push(parseReply(Buffer.concat([head.bytes.subarray(0, headBytes), ...parts])))
    return this.result
  }
  async notify(message: readonly Uint8Array[]): Promise<number> {
    this.notified.push(Buffer.concat(message))
    return 0
  }

  debug() {}
  info(_fields: object, message: string) {
    this.logged.push(`info ${message}`)
  }
  warn(_fields: object, message: string) {
    this.logged.push(`warn ${message}`)
  }
  error(_fields: object, message: string) {
    this.logged.push(`error ${message}`)
  }
}

const Op = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
} as const
const Op2 = { LINK: 13, OPEN: 14, READ: 15, WRITE: 16, STATFS: 17, RELEASE: 18, FSYNC: 20, SETXATTR: 21 } as const
const Op3 = { GETXATTR: 22, LISTXATTR: 23, FLUSH: 25, OPENDIR: 27, READDIR: 28, ACCESS: 34, CREATE: 35 } as const
const Op5 = { COPY_FILE_RANGE: 47, COPY_FILE_RANGE_64: 53 } as const
const Op4 = { INTERRUPT: 36, IOCTL: 39, BATCH_FORGET: 42, READDIRPLUS: 44, RENAME2: 45, LSEEK: 46 } as const

let memory: MemoryFilesystem
let h: Harness

beforeEach(() => {
  memory = new MemoryFilesystem(() => ({ sec: 1_700_000_000, nsec: 123 }))
})

async function initialized(filesystem: Filesystem, readOnly = false): Promise<Harness> {
  const harness = new Harness(filesystem, readOnly)
  await harness.ask(init())
  return harness
}

async function create(text: string): Promise<{ ino: number; fh: bigint }> {
  const { error, payload } = await h.ask(request(Op3.CREATE, 1, u32(0o102, 0o644, 0, 0), name(text)))
  expect(error).toBe(0)
  return { ino: parseEntry(payload).nodeid, fh: payload.readBigUInt64LE(128) }
}

describe('INIT', () => {
  test('claims what is wanted and offered, nothing more', async () => {
    h = new Harness(memory)
    const { payload } = await h.ask(init())
    const granted = await h.initialized
    expect(payload.length).toBe(64)
    expect(payload.readUInt32LE(0)).toBe(7)
    // ASYNC_READ ATOMIC_O_TRUNC EXPORT_SUPPORT BIG_WRITES DO_READDIRPLUS ASYNC_DIO PARALLEL_DIROPS ABORT_ERROR MAX_PAGES
    // CACHE_SYMLINKS HANDLE_KILLPRIV_V2 INIT_EXT; not POSIX_LOCKS 1, FLOCK_LOCKS 10, READDIRPLUS_AUTO 14, WRITEBACK_CACHE 16.
    const bits = [0, 3, 4, 5, 13, 15, 18, 21, 22, 23, 28, 30]
    expect(payload.readUInt32LE(12)).toBe(bits.reduce((word, bit) => word + 2 ** bit, 0))
    expect(payload.readUInt16LE(16)).toBe(64)
    expect(payload.readUInt32LE(20)).toBe(1 << 20)
    expect(payload.readUInt32LE(24)).toBe(1)
    expect(payload.readUInt16LE(28)).toBe(256)
    expect(payload.readUInt32LE(32)).toBe(1 << 4)
    expect(granted).toMatchObject({ maxPages: 256, maxWriteBytes: 1 << 20 })
  })

  test('takes what an old kernel offers', async () => {
    h = new Harness(memory)
    const { payload } = await h.ask(request(26, 0, u32(7, 27, 65536, 0b1001)))
    expect(payload.readUInt32LE(12)).toBe(0b1001)
    expect(payload.readUInt32LE(20)).toBe(128 << 10)
    expect(payload.readUInt32LE(32)).toBe(0)
  })

  test('answers a newer major with its own, and refuses what is too old', async () => {
    h = new Harness(memory)
    const newer = await h.ask(request(26, 0, u32(8, 0, 0, 0)))
    expect(newer.payload.readUInt32LE(0)).toBe(7)
    expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(-EINVAL)
    expect((await h.ask(request(26, 0, u32(7, 8, 0, 0)))).error).toBe(-EPROTO)
    expect((await h.ask(init())).error).toBe(0)
  })
})

describe.each([
  { how: 'at once', wrap: (fs: Filesystem) => fs },
  { how: 'late', wrap: (fs: Filesystem) => delayed(fs, () => new Promise((resolve) => setImmediate(resolve))) },
])('operations answered $how', ({ wrap }) => {
  beforeEach(async () => {
    h = await initialized(wrap(memory))
  })

  test('create, write, read, getattr, release', async () => {
    const { ino, fh } = await create('file')
    const data = Buffer.from('x'.repeat(5000))
    const written = await h.ask(request(Op2.WRITE, ino, u64(fh, 3), u32(data.length, 0), u64(0), u32(0, 0), data))
    expect(written.payload.readUInt32LE(0)).toBe(5000)
    for (const [offset, size] of [
      [0, 10],
      [0, 5003],
      [2, 3000],
      [5000, 100],
      [9000, 5],
    ] as const) {
      const read = await h.ask(request(Op2.READ, ino, u64(fh, offset), u32(size, 0), u64(0), u32(0, 0)))
      const whole = Buffer.concat([Buffer.alloc(3), data])
      expect(read.payload.equals(whole.subarray(offset, offset + size))).toBe(true)
    }
    const { payload } = await h.ask(request(Op.GETATTR, ino, u32(1, 0), u64(fh)))
    expect(payload.length).toBe(104)
    expect(parseAttr(payload.subarray(16))).toMatchObject({
      ino,
      size: 5003,
      blocks: 16,
      mode: S_IFREG | 0o644,
      uid: 1000,
    })
    expect((await h.ask(request(Op2.FSYNC, ino, u64(fh), u32(0, 0)))).error).toBe(0)
    expect((await h.ask(request(Op2.RELEASE, ino, u64(fh), u32(0, 0), u64(0)))).error).toBe(0)
    expect(memory.openCount).toBe(0)
  })

  test('copy_file_range by either opcode, the older one with 32 bits of answer', async () => {
    const from = await create('from')
    const to = await create('to')
    const data = Buffer.from('0123456789'.repeat(300))
    await h.ask(request(Op2.WRITE, from.ino, u64(from.fh, 0), u32(data.length, 0), u64(0), u32(0, 0), data))
    const copy = (opcode: number, at: number, into: number, length: number | bigint, flags = 0) =>
      h.ask(request(opcode, from.ino, u64(from.fh, at, to.ino, to.fh, into, length, flags)))
    const newer = await copy(Op5.COPY_FILE_RANGE_64, 1, 0, 2n ** 63n - 1n)
    expect([newer.error, newer.payload.length]).toEqual([0, 8])
    expect(newer.payload.readBigUInt64LE(0)).toBe(2999n)
    const older = await copy(Op5.COPY_FILE_RANGE, 5, 5000, 7)
    expect([older.error, older.payload.length]).toEqual([0, 8])
    expect([older.payload.readUInt32LE(0), older.payload.readUInt32LE(4)]).toEqual([7, 0])
    expect((await copy(Op5.COPY_FILE_RANGE_64, 0, 0, 1, 1)).error).toBe(-constants.errno.EINVAL)
    const { payload } = await h.ask(request(Op2.READ, to.ino, u64(to.fh, 0), u32(9000, 0), u64(0), u32(0, 0)))
    const wanted = Buffer.alloc(5007)
    data.copy(wanted, 0, 1)
    data.copy(wanted, 5000, 5, 12)
    expect(payload.equals(wanted)).toBe(true)
  })

  test('set-ID bits go where the kernel says so, before the bytes change, and it is told', async () => {
    const { ino, fh } = await create('file')
    const modeOf = async () =>
      parseAttr((await h.ask(request(Op.GETATTR, ino, u32(0, 0), u64(0)))).payload.subarray(16)).mode & 0o7777
    /** The mode that it leaves of `before`, and the mode that the kernel was to forget. */
    const modeAfter = async (before: number, bytes: Buffer) => {
      await h.ask(request(Op.SETATTR, ino, u32(1, 0), Buffer.alloc(60), u32(before, 0, 0, 0, 0)))
      h.notified.length = 0
      expect((await h.ask(bytes)).error).toBe(0)
      for (const told of h.notified)
        expect([told.readUInt32LE(4), told.readBigUInt64LE(16), told.readBigInt64LE(24)]).toEqual([2, BigInt(ino), -1n])
      return [await modeOf(), h.notified.length]
    }
    const write = (flags: number) => request(Op2.WRITE, ino, u64(fh, 0), u32(1, flags), u64(0), u32(0, 0), name(''))
    expect(await modeAfter(0o6775, write(0))).toEqual([0o6775, 0])
    expect(await modeAfter(0o6775, write(4))).toEqual([0o775, 1])
    expect(await modeAfter(0o6765, write(4))).toEqual([0o2765, 1])
    expect(await modeAfter(0o755, write(4))).toEqual([0o755, 0])
    expect(await modeAfter(0o6775, request(Op2.OPEN, ino, u32(0o1001, 0)))).toEqual([0o6775, 0])
    expect(await modeAfter(0o6775, request(Op2.OPEN, ino, u32(0o1001, 1)))).toEqual([0o775, 1])
    const truncate = (valid: number) => request(Op.SETATTR, ino, u32(valid, 0), Buffer.alloc(80))
    expect(await modeAfter(0o6775, truncate(8))).toEqual([0o6775, 0])
    expect(await modeAfter(0o6775, truncate(8 | (1 << 11)))).toEqual([0o775, 1])
    // The answer to CREATE tells the mode itself.
    const again = (flags: number) => request(Op3.CREATE, 1, u32(0o1001, 0o644, 0, flags), name('file'))
    expect(await modeAfter(0o6775, again(0))).toEqual([0o6775, 0])
    expect(await modeAfter(0o6775, again(1))).toEqual([0o775, 0])
    // Nothing says who may keep them when a range is copied: root may. These requests are of another user.
    const other = await create('other')
    await h.ask(request(Op2.WRITE, other.ino, u64(other.fh, 0), u32(1, 0), u64(0), u32(0, 0), name('')))
    const copy = request(Op5.COPY_FILE_RANGE_64, other.ino, u64(other.fh, 0, ino, fh, 0, 1, 0))
    expect(await modeAfter(0o6775, copy)).toEqual([0o775, 1])
    copy.writeUInt32LE(0, 24)
    expect(await modeAfter(0o6775, copy)).toEqual([0o6775, 0])
  })

  test('open keeps the cache, and goes past it with O_DIRECT', async () => {
    const { ino } = await create('file')
    const flagsOf = async (flags: number) =>
      (await h.ask(request(Op2.OPEN, ino, u32(flags, 0)))).payload.readUInt32LE(8)
    expect(await flagsOf(0)).toBe(2)
    expect(await flagsOf(0o40000)).toBe(1)
  })

  test('names: lookup, missing with a TTL, mkdir, mknod, symlink, link, rename, unlink', async () => {
    const missing = await h.ask(request(Op.LOOKUP, 1, name('none')))
    expect(missing.error).toBe(0)
    expect(parseEntry(missing.payload)).toMatchObject({ nodeid: 0, entryTtlSec: 3600 })
    const directory = parseEntry((await h.ask(request(Op.MKDIR, 1, u32(0o755, 0), name('dir')))).payload)
    expect(directory.attr).toMatchObject({ mode: 0o040755, nlink: 2 })
    const node = parseEntry(
      (await h.ask(request(Op.MKNOD, directory.nodeid, u32(0o020600, 0x0503, 0, 0), name('n')))).payload,
    )
    expect(node.attr).toMatchObject({ mode: 0o020600, rdev: 0x0503 })
    const link = parseEntry((await h.ask(request(Op.SYMLINK, 1, name('ln'), name('tar/get')))).payload)
    expect((await h.ask(request(Op.READLINK, link.nodeid))).payload.toString()).toBe('tar/get')
    expect((await h.ask(request(Op2.LINK, 1, u64(node.nodeid), name('again')))).error).toBe(0)
    expect((await h.ask(request(12, 1, u64(directory.nodeid), name('again'), name('moved')))).error).toBe(0)
    expect((await h.ask(request(Op4.RENAME2, 1, u64(directory.nodeid), u32(1, 0), name('ln'), name('n')))).error).toBe(
      -constants.errno.EEXIST,
    )
    expect((await h.ask(request(Op.LOOKUP, directory.nodeid, name('moved')))).error).toBe(0)
    expect((await h.ask(request(Op.UNLINK, directory.nodeid, name('moved')))).error).toBe(0)
    memory.negativeSec = 0
    expect((await h.ask(request(Op.LOOKUP, directory.nodeid, name('moved')))).error).toBe(-ENOENT)
  })

  test('ioctl: the flags of inodes as chattr asks for them, and nothing else', async () => {
    const ioctl = (ino: number, cmd: number, ...words: number[]) =>
      h.ask(request(Op4.IOCTL, ino, u64(0), u32(0, cmd), u64(0), u32(words.length * 4, 64), u32(...words)))
    const casefold = 0x4000_0000
    expect((await ioctl(1, 0x8008_6601)).payload.subarray(16)).toEqual(Buffer.from(u32(0)))
    expect((await ioctl(1, 0x801c_581f)).payload.subarray(16)).toHaveLength(28)
    expect((await ioctl(1, 0x4008_6602, casefold)).error).toBe(0)
    // The kernel still has the old ctime.
    expect(h.notified.map((told) => [told.readInt32LE(4), told.readBigUInt64LE(16)])).toEqual([[2, 1n]])
    expect((await ioctl(1, 0x8008_6601)).payload.subarray(16)).toEqual(Buffer.from(u32(casefold)))
    const { ino } = await create('file')
    expect((await ioctl(ino, 0x4008_6602, casefold)).error).toBe(-constants.errno.ENOTDIR)
    // The other form of them: IMMUTABLE and APPEND; nothing else of it is built, and what has no such form stays.
    expect((await ioctl(1, 0x401c_5820, 0x18, 0, 0, 0, 0, 0, 0)).error).toBe(0)
    expect((await ioctl(1, 0x8008_6601)).payload.readUInt32LE(16)).toBe(casefold | 0x30)
    expect((await ioctl(1, 0x801c_581f)).payload.readUInt32LE(16)).toBe(0x18)
    const others = [0, 0, 0, 0, 0]
    expect((await ioctl(1, 0x401c_5820, 0, 4096, ...others)).error).toBe(-constants.errno.EOPNOTSUPP)
    expect((await ioctl(1, 0x401c_5820, 0x20, 0, ...others)).error).toBe(-constants.errno.EOPNOTSUPP)
    expect((await ioctl(1, 0x5401)).error).toBe(-constants.errno.ENOTTY)
  })

  test('setattr hands on exactly what changed', async () => {
    const { ino } = await create('file')
    const set = (valid: number) =>
      h.ask(request(Op.SETATTR, ino, ...[u32(valid, 0), u64(0, 4096, 0, -5, 7, 9), u32(1, 2, 3, 0o600, 0, 11, 12, 0)]))
    const { payload } = await set(8 | 16 | 32 | 1 | 2 | 4)
    expect(parseAttr(payload.subarray(16))).toMatchObject({
      size: 4096,
      mode: S_IFREG | 0o600,
      uid: 11,
      gid: 12,
      atime: { sec: -5, nsec: 1 },
      mtime: { sec: 7, nsec: 2 },
    })
    const now = await set(16 | 128)
    expect(parseAttr(now.payload.subarray(16)).atime).toEqual({ sec: 1_700_000_000, nsec: 123 })
  })

  test('directories list whole through replies of any size, each entry a reference', async () => {
    for (let i = 0; i < 300; i++) await h.ask(request(Op.MKNOD, 1, u32(0o100644, 0, 0, 0), name(`file-${i}`)))
    for (const plus of [false, true]) {
      const seen: string[] = []
      for (let cookie = 0; ; ) {
        const opcode = plus ? Op4.READDIRPLUS : Op3.READDIR
        const { payload } = await h.ask(request(opcode, 1, u64(0, cookie), u32(1000, 0), u64(0), u32(0, 0)))
        if (payload.length === 0) break
        expect(payload.length).toBeLessThanOrEqual(1000)
        const entries = parseDirents(payload, plus)
        for (const { name, entry, ino } of entries) {
          seen.push(name)
          if (entry !== undefined) expect(entry.nodeid).toBe(name.startsWith('.') ? 0 : ino)
        }
        cookie = entries.at(-1)!.cookie
      }
      expect(seen).toEqual(['.', '..', ...Array.from({ length: 300 }, (_, i) => `file-${i}`)])
    }
    // Each inode was made (1) and listed with attributes once (1).
    const forgets = Array.from({ length: 300 }, (_, i) => u64(i + 2, 2))
    h.feed(request(Op4.BATCH_FORGET, 0, u32(300, 0), ...forgets))
    expect(memory.violations).toEqual([])
    h.feed(request(Op.FORGET, 2, u64(1)))
    expect(memory.violations.length).toBe(1)
  })

  test('a listing that begins after a change has another generation, which goes back and forth with its cookies', async () => {
    const list = async (ino: number, position: bigint) => {
      const { payload } = await h.ask(request(Op3.READDIR, ino, u64(0, position), u32(80, 0), u64(0), u32(0, 0)))
      return parseDirents(payload, false)
    }
    const begin = async (ino = 1) => (await list(ino, 0n))[0]!.generation
    const sub = parseEntry((await h.ask(request(Op.MKDIR, 1, u32(0o755, 0), name('sub')))).payload).nodeid
    const first = await begin()
    expect(await begin()).toBe(first)
    const changes = [
      request(Op.MKNOD, 1, u32(0o100644, 0, 0, 0), name('a')),
      request(Op3.CREATE, 1, u32(2, 0o644, 0, 0), name('b')),
      request(Op.SYMLINK, 1, name('c'), name('target')),
      request(Op.MKDIR, 1, u32(0o755, 0), name('d')),
      request(Op4.RENAME2, sub, u64(1), u32(0, 0), name('none'), name('x')),
      request(Op.RENAME, 1, u64(sub), name('a'), name('a')),
      request(Op.UNLINK, 1, name('b')),
      request(Op.RMDIR, 1, name('d')),
      request(Op2.LINK, 1, u64(sub), name('e')),
    ]
    const generations = new Set([first])
    for (const change of changes) {
      await h.ask(change)
      generations.add(await begin())
    }
    expect(generations.size).toBe(1 + changes.length)
    const inSub = await begin(sub)
    await h.ask(request(Op.MKNOD, 1, u32(0o100644, 0, 0, 0), name('f')))
    expect(await begin(sub), 'of another directory').toBe(inSub)

    // A listing keeps the generation with which it began.
    const last = (await list(1, 0n)).at(-1)!
    const next = await list(1, (BigInt(first) << 54n) | BigInt(last.cookie))
    expect(next.length).toBeGreaterThan(0)
    expect(next.every(({ generation, cookie }) => generation === first && cookie > last.cookie)).toBe(true)
  })

  test('a listing with no room for one entry is an error, not an end', async () => {
    const { error } = await h.ask(request(Op3.READDIR, 1, u64(0, 0), u32(16, 0), u64(0), u32(0, 0)))
    expect(error).toBe(-EINVAL)
    // Two listings at once have each their own memory afterwards.
    await create('file')
    const listings = [0, 2].map((cookie) =>
      h.feed(request(Op3.READDIR, 1, u64(0, cookie), u32(4096, 0), u64(0), u32(0, 0))),
    )
    await Promise.all(listings)
    const names = h.replies.slice(-2).map(({ payload }) => parseDirents(payload, false).map(({ name }) => name))
    expect(names).toEqual([['.', '..', 'file'], ['file']])
  })

  test('extended attributes: sizes asked first, too small refused, foreign ones never asked for', async () => {
    const { ino } = await create('file')
    const value = Buffer.from('value')
    expect((await h.ask(request(Op2.SETXATTR, ino, u32(5, 0), name('user.a'), value))).error).toBe(0)
    const get = (size: number, text: string) => h.ask(request(Op3.GETXATTR, ino, u32(size, 0), name(text)))
    expect((await get(0, 'user.a')).payload.readUInt32LE(0)).toBe(5)
    expect((await get(100, 'user.a')).payload.toString()).toBe('value')
    expect((await get(4, 'user.a')).error).toBe(-ERANGE)
    expect((await get(0, 'security.selinux')).error).toBe(-EOPNOTSUPP)
    expect((await get(0, 'system.posix_acl_access')).error).toBe(-EOPNOTSUPP)
    expect((await h.ask(request(Op3.LISTXATTR, ino, u32(100, 0)))).payload.toString()).toBe('user.a\0')
  })

  test('statfs answers in 80 bytes', async () => {
    const { payload } = await h.ask(request(Op2.STATFS, 1))
    expect(payload.length).toBe(80)
    expect(Number(payload.readBigUInt64LE(0))).toBe(2 ** 38)
    expect(payload.readUInt32LE(40)).toBe(4096)
    expect(payload.readUInt32LE(44)).toBe(255)
  })

  test('what is left to the kernel gets ENOSYS, ioctl ENOTTY', async () => {
    for (const opcode of [
      Op3.OPENDIR,
      Op3.FLUSH,
      Op3.ACCESS,
      Op4.LSEEK,
      Op4.INTERRUPT,
      31,
      37,
      40,
      43,
      48,
      50,
      51,
      9999,
    ]) {
      expect((await h.ask(request(opcode, 1, Buffer.alloc(64)))).error).toBe(-ENOSYS)
    }
    expect((await h.ask(request(Op4.IOCTL, 1, Buffer.alloc(64)))).error).toBe(-ENOTTY)
  })

  test('a file opened for nobody is released, a name looked up for nobody is forgotten', async () => {
    await create('file')
    h.result = -ENOENT
    await h.ask(request(Op2.OPEN, 2, u32(0, 0)))
    await h.ask(request(Op.LOOKUP, 1, name('file')))
    await h.ask(request(Op3.CREATE, 1, u32(0, 0o644, 0, 0), name('other')))
    h.result = 0
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(memory.openCount).toBe(1)
    await h.feed(request(Op.FORGET, 2, u64(1)))
    expect(memory.violations).toEqual([])
    for (const ino of [2, 3]) await h.feed(request(Op.FORGET, ino, u64(1)))
    expect(memory.violations).toHaveLength(2)
  })
})

test('a read-only mount leaves opening to the kernel', async () => {
  h = await initialized(memory, true)
  expect((await h.ask(request(Op2.OPEN, 1, u32(0, 0)))).error).toBe(-ENOSYS)
})

test('xattrs that are not built are ENOSYS', async () => {
  for (const method of ['getxattr', 'setxattr', 'listxattr', 'removexattr']) {
    Object.defineProperty(memory, method, { value: undefined })
  }
  h = await initialized(memory)
  for (const opcode of [21, 22, 23, 24])
    expect((await h.ask(request(opcode, 1, u32(0, 0), name('a')))).error).toBe(-ENOSYS)
})

test('errors: an FsError is its errno, anything else EIO with a log line', async () => {
  h = await initialized(memory)
  const failing = (error: Error) => () => {
    throw error
  }
  memory.getattr = failing(new FsError('EDQUOT', 'too much'))
  expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(-constants.errno.EDQUOT)
  expect(h.logged.filter((line) => !line.startsWith('info'))).toEqual([])
  memory.getattr = failing(new TypeError('a mistake'))
  expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(-EIO)
  memory.getattr = () => Promise.reject(new TypeError('a mistake'))
  expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(-EIO)
  expect(h.logged.filter((line) => line.startsWith('error'))).toHaveLength(2)
})

test('the cause of an I/O error is logged, once', async () => {
  h = await initialized(memory)
  const told = () => h.logged.filter((line) => line.startsWith('error'))
  const ask = async (error: FsError) => {
    memory.getattr = () => Promise.reject(error)
    expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(-EIO)
  }
  await ask(new FsError('EIO'))
  expect(told()).toEqual([])
  for (const what of ['segments/01 is missing', 'segments/01 is missing', 'segments/02 is missing'])
    await ask(new FsError('EIO', what))
  expect(told()).toEqual(['error I/O error: segments/01 is missing', 'error I/O error: segments/02 is missing'])
})

test('more data than was asked for is EIO, not a longer reply', async () => {
  memory.read = () => [Buffer.alloc(11)]
  h = await initialized(memory)
  expect((await h.ask(request(Op2.READ, 1, u64(0, 0), u32(10, 0), u64(0), u32(0, 0)))).error).toBe(-EIO)
})

test('an error after some entries comes with the next call', async () => {
  memory.readdir = (ino, cookie, _plus, sink) => {
    if (cookie === 0) sink(Buffer.from('one'), ino, S_IFREG, 1, null)
    throw new FsError('EIO')
  }
  h = await initialized(memory)
  const readdir = (cookie: number) => h.ask(request(Op3.READDIR, 1, u64(0, cookie), u32(4096, 0), u64(0), u32(0, 0)))
  expect(parseDirents((await readdir(0)).payload, false)).toHaveLength(1)
  expect((await readdir(1)).error).toBe(-EIO)
})

describe('malformed requests', () => {
  const opcode = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.nat(0xffffffff))
  const ino = fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat())
  const text = fc.constantFrom('a', 'b', 'user.x', '').map((s) => Buffer.from(`${s}\0`))
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    text,
    fc.array(fc.nat(5), { maxLength: 12 }).map((values) => u32(...values)),
    fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { maxLength: 4 }).map((values) => u64(...values)),
  )
  // The flags of a mount that is served without waiting, and one whose answers come late.
  const waits = fc.boolean()

  test('are answered at most once, never crash, and leave the session working', async () => {
    await fc.assert(
      fc.asyncProperty(
        waits,
        fc.array(fc.tuple(opcode, ino, fc.array(piece, { maxLength: 5 }), fc.option(fc.nat(0xffff))), {
          maxLength: 30,
        }),
        async (late, requests) => {
          memory = new MemoryFilesystem(() => ({ sec: 1, nsec: 2 }))
          h = await initialized(late ? delayed(memory, async () => {}) : memory)
          for (const [opcode, ino, payload, length] of requests) {
            const bytes = request(opcode, ino, ...payload)
            if (length !== null) bytes.writeUInt32LE(length, 0)
            const before = h.replies.length
            await h.feed(bytes)
            const isSilent = length === null && (opcode === Op.FORGET || opcode === Op4.BATCH_FORGET)
            expect(h.replies.length - before).toBeLessThanOrEqual(1)
            if (!isSilent) expect(h.replies.length - before).toBe(1)
          }
          expect((await h.ask(request(Op.GETATTR, 1, u32(0, 0), u64(0)))).error).toBe(0)
          expect(h.logged.filter((line) => line.startsWith('error'))).toEqual([])
        },
      ),
      { numRuns: 400 },
    )
  })

  test('of random bytes are never more than refused', async () => {
    h = await initialized(memory)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const before = h.replies.length
        await h.feed(bytes)
        expect(h.replies.length - before).toBeLessThanOrEqual(1)
        expect(h.replies.slice(before).every(({ error }) => error < 0)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['a name without an end', request(Op.LOOKUP, 1, Buffer.from('abc'))],
    ['an empty name', request(Op.LOOKUP, 1, Buffer.from('\0'))],
    ['a NUL within a name', request(Op.LOOKUP, 1, Buffer.from('a\0b\0'))],
    ['one name of two', request(Op.SYMLINK, 1, Buffer.from('a\0'))],
    ['three names of two', request(Op.SYMLINK, 1, Buffer.from('a\0b\0c\0'))],
    ['less data than announced', request(Op2.WRITE, 1, u64(0, 0), u32(100, 0), u64(0), u32(0, 0), Buffer.alloc(99))],
    ['more data than announced', request(Op2.WRITE, 1, u64(0, 0), u32(1, 0), u64(0), u32(0, 0), Buffer.alloc(99))],
    ['half a copy', request(Op5.COPY_FILE_RANGE_64, 1, u64(0, 0, 1, 0, 0))],
    ['half a struct', request(Op2.READ, 1, u64(0, 0))],
    ['a value that is not there', request(Op2.SETXATTR, 1, u32(5, 0), name('user.a'))],
    ['nanoseconds beyond a second', request(Op.SETATTR, 1, u32(16, 0), Buffer.alloc(48), u32(1e9), Buffer.alloc(28))],
  ])('%s', async (_what, bytes) => {
    h = await initialized(memory)
    // A name left behind by an earlier request must not complete this one.
    await h.ask(request(Op.LOOKUP, 1, name('x'.repeat(200))))
    expect((await h.ask(bytes)).error).toBe(-EINVAL)
    expect(h.logged.filter((line) => line.startsWith('warn'))).toHaveLength(1)
  })
})
