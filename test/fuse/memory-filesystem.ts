// MemoryFilesystem: a small but correct Filesystem in memory, to test transports with. Nothing of it is shipped.
//
// Must stay true: it behaves as POSIX says where a transport's test can see it (nlink, times, errors, files that are
// unlinked while open), and it checks its caller: a forget of more references than were given out, a release of a
// handle that is not open and a view that changed while an operation waited are noted in `violations`.
import { errnoError, type MaybePromise, type Timespec } from '../../src/platform/index.ts'
import type {
  Attributes,
  Caller,
  CopyEnd,
  DirectorySink,
  Entry,
  Filesystem,
  FilesystemStatistics,
  Handle,
  Ino,
  Opened,
  OpenFlags,
  SetAttributes,
  SetXattr,
  WriteOptions,
} from '../../src/vfs/index.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const S_ISGID = 0o2000
const O_TRUNC = 0o1000
const O_EXCL = 0o200
const NAME_MAX = 255
/** All of it is in memory. */
const SIZE_MAX = 2 ** 31
const RENAME_NOREPLACE = 1

interface Child {
  name: Buffer
  ino: Ino
  cookie: number
}

interface Node {
  attributes: Attributes
  parent: Ino
  /** Directories: children in the order of their cookies. */
  children: Map<string, Child>
  nextCookie: number
  /** Files: the first `sizeBytes` are the content; links: the target. */
  data: Buffer
  xattrs: Map<string, Buffer>
  lookups: number
  opens: number
}

export class MemoryFilesystem implements Filesystem {
  negativeSec = 3600
  negativeTtlSec = () => this.negativeSec
  entryTtlSec = 3600
  attributeTtlSec = 3600
  /** Mistakes of the transport. */
  readonly violations: string[] = []
  readonly #nodes = new Map<number, Node>()
  readonly #handles = new Map<number, Ino>()
  #nextIno = 2
  #nextHandle = 1
  readonly #now: () => Timespec

  constructor(now: () => Timespec) {
    this.#now = now
    this.#newNode(1 as Ino, S_IFDIR | 0o755, { uid: 0, gid: 0, pid: 0 }).attributes.nlink = 2
  }

  /** Inodes in memory, the root among them. */
  get inodeCount(): number {
    return this.#nodes.size
  }
  get openCount(): number {
    return this.#handles.size
  }

  lookup(_caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<Entry> {
    const child = this.#directory(parent).children.get(keyOf(name))
    if (child === undefined) throw errnoError('ENOENT')
    return this.#entry(this.#node(child.ino))
  }

  forget(ino: Ino, count: number): void {
    const node = this.#nodes.get(ino)
    if (node === undefined || node.lookups < count) {
      this.violations.push(`forget of ${count} at inode ${ino}, which has ${node?.lookups ?? 'gone'}`)
      return
    }
    node.lookups -= count
    this.#dropIfUnused(node)
  }

  getattr(ino: Ino, _handle?: Handle): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
    return { attributes: this.#node(ino).attributes, ttlSec: this.attributeTtlSec }
  }

  setattr(_caller: Caller, ino: Ino, changes: SetAttributes): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
    const node = this.#node(ino)
    const a = node.attributes
    const now = this.#now()
    if (changes.sizeBytes !== undefined) this.#truncate(node, changes.sizeBytes)
    if (changes.mode !== undefined) a.mode = (a.mode & S_IFMT) | (changes.mode & 0o7777)
    if (changes.uid !== undefined) a.uid = changes.uid
    if (changes.gid !== undefined) a.gid = changes.gid
    if (changes.atime !== undefined) a.atime = changes.atime === 'now' ? now : changes.atime
    if (changes.mtime !== undefined) a.mtime = changes.mtime === 'now' ? now : changes.mtime
    a.ctime = changes.ctime ?? now
    return { attributes: a, ttlSec: this.attributeTtlSec }
  }

  readlink(ino: Ino): MaybePromise<Uint8Array> {
    return this.#node(ino).data
  }

  mknod(caller: Caller, parent: Ino, name: Uint8Array, mode: number, rdev: number): MaybePromise<Entry> {
    const node = this.#make(caller, parent, name, mode)
    node.attributes.rdev = rdev
    return this.#entry(node)
  }

  mkdir(caller: Caller, parent: Ino, name: Uint8Array, mode: number): MaybePromise<Entry> {
    const node = this.#make(caller, parent, name, S_IFDIR | (mode & 0o7777))
    node.attributes.nlink = 2
    this.#directory(parent).attributes.nlink++
    return this.#entry(node)
  }

  symlink(caller: Caller, parent: Ino, name: Uint8Array, target: Uint8Array): MaybePromise<Entry> {
    const node = this.#make(caller, parent, name, S_IFLNK | 0o777)
    node.data = Buffer.from(target)
    node.attributes.sizeBytes = target.length
    return this.#entry(node)
  }

  link(_caller: Caller, ino: Ino, newParent: Ino, newName: Uint8Array): MaybePromise<Entry> {
    const node = this.#node(ino)
    if (isDirectory(node)) throw errnoError('EPERM')
    this.#insert(newParent, newName, ino)
    node.attributes.nlink++
    node.attributes.ctime = this.#now()
    return this.#entry(node)
  }

  unlink(_caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void> {
    const child = this.#child(parent, name)
    const node = this.#node(child.ino)
    if (isDirectory(node)) throw errnoError('EISDIR')
    this.#remove(parent, name)
    this.#unname(node)
  }

  rmdir(_caller: Caller, parent: Ino, name: Uint8Array): MaybePromise<void> {
    const node = this.#node(this.#child(parent, name).ino)
    if (!isDirectory(node)) throw errnoError('ENOTDIR')
    if (node.children.size > 0) throw errnoError('ENOTEMPTY')
    this.#remove(parent, name)
    this.#directory(parent).attributes.nlink--
    node.attributes.nlink = 0
    this.#dropIfUnused(node)
  }

  rename(
    _caller: Caller,
    from: { parent: Ino; name: Uint8Array },
    to: { parent: Ino; name: Uint8Array },
    flags: number,
  ): MaybePromise<void> {
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw errnoError('EINVAL')
    const node = this.#node(this.#child(from.parent, from.name).ino)
    const over = this.#directory(to.parent).children.get(keyOf(to.name))
    if (over !== undefined && flags & RENAME_NOREPLACE) throw errnoError('EEXIST')
    if (over?.ino === node.attributes.ino) return
    if (isDirectory(node) && this.#isWithin(to.parent, node.attributes.ino)) throw errnoError('EINVAL')
    if (over !== undefined) {
      const victim = this.#node(over.ino)
      if (isDirectory(victim) && !isDirectory(node)) throw errnoError('EISDIR')
      if (!isDirectory(victim) && isDirectory(node)) throw errnoError('ENOTDIR')
      if (isDirectory(victim)) this.rmdir(_caller, to.parent, to.name)
      else this.unlink(_caller, to.parent, to.name)
    }
    this.#remove(from.parent, from.name)
    this.#insert(to.parent, to.name, node.attributes.ino)
    node.attributes.ctime = this.#now()
    if (isDirectory(node) && from.parent !== to.parent) {
      node.parent = to.parent
      this.#directory(from.parent).attributes.nlink--
      this.#directory(to.parent).attributes.nlink++
    }
  }

  open(_caller: Caller, ino: Ino, { flags }: OpenFlags): MaybePromise<Opened> {
    const node = this.#node(ino)
    if (flags & O_TRUNC) this.#truncate(node, 0)
    return this.#open(node)
  }

  create(
    caller: Caller,
    parent: Ino,
    name: Uint8Array,
    mode: number,
    { flags, dropsSetId }: OpenFlags,
  ): MaybePromise<{ entry: Entry; opened: Opened }> {
    const existing = this.#directory(parent).children.get(keyOf(name))
    if (existing !== undefined && flags & O_EXCL) throw errnoError('EEXIST')
    const node =
      existing === undefined ? this.#make(caller, parent, name, S_IFREG | (mode & 0o7777)) : this.#node(existing.ino)
    if (existing !== undefined && flags & O_TRUNC) {
      if (dropsSetId) this.dropSetId(existing.ino)
      this.#truncate(node, 0)
    }
    return { entry: this.#entry(node), opened: this.#open(node) }
  }

  read(_handle: Handle, ino: Ino, offset: number, lengthBytes: number): MaybePromise<readonly Uint8Array[]> {
    const node = this.#node(ino)
    const end = Math.min(offset + lengthBytes, node.attributes.sizeBytes)
    if (offset >= end) return []
    // Two parts, where there is enough, so that transports are seen to join them.
    const middle = offset + ((end - offset) >> 1)
    const parts = [node.data.subarray(offset, middle), node.data.subarray(middle, Math.min(end, node.data.length))]
    const have = Math.max(0, Math.min(end, node.data.length) - offset)
    return have === end - offset ? parts : [...parts, Buffer.alloc(end - offset - have)]
  }

  write(_handle: Handle, ino: Ino, offset: number, data: Uint8Array, _how?: WriteOptions): MaybePromise<number> {
    const node = this.#node(ino)
    if (data.length === 0) return 0
    const end = offset + data.length
    if (end > SIZE_MAX) throw errnoError('EFBIG')
    this.#reserve(node, end)
    node.data.set(data, offset)
    const a = node.attributes
    a.sizeBytes = Math.max(a.sizeBytes, end)
    a.allocatedBytes = Math.ceil(a.sizeBytes / 4096) * 4096
    a.mtime = a.ctime = this.#now()
    return data.length
  }

  copyFileRange(from: CopyEnd, to: CopyEnd, lengthBytes: number, flags: number): MaybePromise<number> {
    if (flags !== 0) throw errnoError('EINVAL')
    const { data, attributes } = this.#node(from.ino)
    const copied = Buffer.from(data.subarray(from.offset, Math.min(from.offset + lengthBytes, attributes.sizeBytes)))
    return copied.length === 0 ? 0 : this.write(to.handle, to.ino, to.offset, copied)
  }

  dropSetId(ino: Ino): MaybePromise<boolean> {
    const { attributes } = this.#node(ino)
    const before = attributes.mode
    attributes.mode &= (before & 0o10) === 0 ? ~0o4000 : ~0o6000
    return attributes.mode !== before
  }

  flush(): MaybePromise<void> {}

  release(handle: Handle, ino: Ino): MaybePromise<void> {
    if (this.#handles.get(handle) !== ino) {
      this.violations.push(`release of handle ${handle} at inode ${ino}, which is not open`)
      return
    }
    this.#handles.delete(handle)
    const node = this.#node(ino)
    node.opens--
    this.#dropIfUnused(node)
  }

  async fsync(_handle: Handle, ino: Ino, _dataOnly: boolean): Promise<void> {
    this.#node(ino)
  }

  readdir(ino: Ino, cookie: number, plus: boolean, sink: DirectorySink): MaybePromise<void> {
    const node = this.#directory(ino)
    if (cookie < 1 && !sink(Buffer.from('.'), ino, node.attributes.mode, 1, null)) return
    if (cookie < 2 && !sink(Buffer.from('..'), node.parent, S_IFDIR, 2, null)) return
    for (const child of this.#childrenAfter(node, cookie)) {
      const found = this.#node(child.ino)
      if (!sink(child.name, child.ino, found.attributes.mode, child.cookie, plus ? found.attributes : null)) return
      if (plus) found.lookups++
    }
  }

  async fsyncdir(ino: Ino): Promise<void> {
    this.#directory(ino)
  }

  flags = new Map<Ino, number>()

  getFlags(ino: Ino): number {
    return this.flags.get(ino) ?? 0
  }

  setFlags(_caller: Caller, ino: Ino, flags: number): void {
    if (!isDirectory(this.#node(ino))) throw errnoError('ENOTDIR')
    this.flags.set(ino, flags)
  }

  statfs(_ino: Ino): MaybePromise<FilesystemStatistics> {
    return {
      blockSizeBytes: 4096,
      totalBytes: 2 ** 50,
      freeBytes: 2 ** 49,
      totalInodes: 2 ** 33,
      freeInodes: 2 ** 33 - this.#nodes.size,
      nameLengthMax: NAME_MAX,
    }
  }

  getxattr(_caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<Uint8Array> {
    const value = this.#node(ino).xattrs.get(keyOf(name))
    if (value === undefined) throw errnoError('ENODATA')
    return value
  }

  setxattr(_caller: Caller, ino: Ino, { name, value, flags }: SetXattr): MaybePromise<void> {
    const { xattrs } = this.#node(ino)
    const exists = xattrs.has(keyOf(name))
    if (flags & 1 && exists) throw errnoError('EEXIST')
    if (flags & 2 && !exists) throw errnoError('ENODATA')
    xattrs.set(keyOf(name), Buffer.from(value))
  }

  listxattr(_caller: Caller, ino: Ino): MaybePromise<readonly Uint8Array[]> {
    return [...this.#node(ino).xattrs.keys()].map((name) => Buffer.from(name, 'latin1'))
  }

  removexattr(_caller: Caller, ino: Ino, name: Uint8Array): MaybePromise<void> {
    if (!this.#node(ino).xattrs.delete(keyOf(name))) throw errnoError('ENODATA')
  }

  // ---- inside ----

  #node(ino: number): Node {
    const node = this.#nodes.get(ino)
    if (node === undefined) throw errnoError('ESTALE')
    return node
  }

  #directory(ino: number): Node {
    const node = this.#node(ino)
    if (!isDirectory(node)) throw errnoError('ENOTDIR')
    return node
  }

  #child(parent: Ino, name: Uint8Array): Child {
    const child = this.#directory(parent).children.get(keyOf(name))
    if (child === undefined) throw errnoError('ENOENT')
    return child
  }

  /** The children behind a cookie. The last place a listing stopped at is remembered, so that it costs no scan. */
  *#childrenAfter(node: Node, cookie: number): Iterable<Child> {
    const resumed = this.#listing
    const isResumed = resumed !== undefined && resumed.node === node && resumed.cookie === cookie
    const iterator = isResumed ? resumed.iterator : node.children.values()
    this.#listing = undefined
    if (isResumed && resumed.refused !== undefined && this.#isCurrent(node, resumed.refused)) yield resumed.refused
    let last = cookie
    for (let next = iterator.next(); !next.done; next = iterator.next()) {
      if (next.value.cookie <= cookie) continue
      this.#listing = { node, cookie: last, iterator, refused: next.value }
      yield next.value
      last = next.value.cookie
    }
    this.#listing = undefined
  }
  #listing: { node: Node; cookie: number; iterator: Iterator<Child>; refused: Child | undefined } | undefined

  #isCurrent(node: Node, child: Child): boolean {
    return node.children.get(keyOf(child.name)) === child
  }

  #newNode(ino: Ino, mode: number, caller: Caller): Node {
    const now = this.#now()
    const attributes: Attributes = {
      ino,
      generation: 0,
      mode,
      uid: caller.uid,
      gid: caller.gid,
      nlink: 1,
      rdev: 0,
      sizeBytes: 0,
      allocatedBytes: 0,
      atime: now,
      mtime: now,
      ctime: now,
      btime: now,
    }
    const node: Node = {
      attributes,
      parent: ino,
      children: new Map(),
      nextCookie: 3,
      data: Buffer.alloc(0),
      xattrs: new Map(),
      lookups: 0,
      opens: 0,
    }
    this.#nodes.set(ino, node)
    return node
  }

  #make(caller: Caller, parent: Ino, name: Uint8Array, mode: number): Node {
    const directory = this.#directory(parent)
    const ino = this.#nextIno as Ino
    this.#insert(parent, name, ino)
    this.#nextIno++
    const node = this.#newNode(ino, mode, caller)
    node.parent = parent
    if (directory.attributes.mode & S_ISGID) {
      node.attributes.gid = directory.attributes.gid
      if (isDirectory(node)) node.attributes.mode |= S_ISGID
    }
    return node
  }

  #insert(parent: Ino, name: Uint8Array, ino: Ino): void {
    const directory = this.#directory(parent)
    if (name.length > NAME_MAX) throw errnoError('ENAMETOOLONG')
    if (directory.attributes.nlink === 0) throw errnoError('ENOENT')
    const key = keyOf(name)
    if (directory.children.has(key)) throw errnoError('EEXIST')
    directory.children.set(key, { name: Buffer.from(name), ino, cookie: directory.nextCookie++ })
    directory.attributes.mtime = directory.attributes.ctime = this.#now()
  }

  #remove(parent: Ino, name: Uint8Array): void {
    const directory = this.#directory(parent)
    directory.children.delete(keyOf(name))
    directory.attributes.mtime = directory.attributes.ctime = this.#now()
  }

  #unname(node: Node): void {
    node.attributes.nlink--
    node.attributes.ctime = this.#now()
    this.#dropIfUnused(node)
  }

  #dropIfUnused(node: Node): void {
    const { nlink, ino } = node.attributes
    if (nlink === 0 && node.lookups === 0 && node.opens === 0) this.#nodes.delete(ino)
  }

  #isWithin(ino: Ino, ancestor: Ino): boolean {
    for (let at = ino; ; at = this.#node(at).parent) {
      if (at === ancestor) return true
      if (at === 1) return false
    }
  }

  #entry(node: Node): Entry {
    node.lookups++
    return {
      attributes: node.attributes,
      entryTtlSec: this.entryTtlSec,
      attributeTtlSec: this.attributeTtlSec,
    }
  }

  #open(node: Node): Opened {
    const handle = this.#nextHandle++ as Handle
    this.#handles.set(handle, node.attributes.ino)
    node.opens++
    return { handle, directIo: false }
  }

  #truncate(node: Node, sizeBytes: number): void {
    if (isDirectory(node)) throw errnoError('EISDIR')
    if (sizeBytes > SIZE_MAX) throw errnoError('EFBIG')
    const a = node.attributes
    if (sizeBytes < a.sizeBytes) node.data.fill(0, sizeBytes)
    a.sizeBytes = sizeBytes
    a.allocatedBytes = Math.min(a.allocatedBytes, Math.ceil(sizeBytes / 4096) * 4096)
    a.mtime = a.ctime = this.#now()
  }

  #reserve(node: Node, sizeBytes: number): void {
    if (sizeBytes <= node.data.length) return
    const grown = Buffer.alloc(Math.max(sizeBytes, node.data.length * 2, 4096))
    grown.set(node.data)
    node.data = grown
  }
}

/** The same filesystem, each of whose operations first waits for `delay`: names and data are read only afterwards, so
 *  that a transport which reuses their memory too early is found out. */
export function delayed(filesystem: Filesystem, delay: () => Promise<void>): Filesystem {
  return new Proxy(filesystem, {
    get(target, property) {
      const value = Reflect.get(target, property, target) as unknown
      if (typeof value !== 'function') return value
      if (property === 'forget' || property === 'negativeTtlSec') return value.bind(target)
      return async (...args: unknown[]) => {
        await delay()
        return value.apply(target, args)
      }
    },
  })
}

function isDirectory(node: Node): boolean {
  return (node.attributes.mode & S_IFMT) === S_IFDIR
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1')
}
