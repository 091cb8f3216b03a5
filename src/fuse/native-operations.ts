// libfuse's high-level operations, as fuse-native hands them over, given to a Filesystem: each path becomes an inode
// (native-paths.ts), each number an open file, and each answer is signalled.
//
// Must stay true:
// - An operation is signalled once, whatever comes of it, with all that its signal takes: see native-addon.ts.
// - The bytes of a read or write are libfuse's memory, valid until the signal; the signal takes them away from us.
// - Who asks is never told: it is the user who mounted, since the kernel lets nobody else in (native-transport.ts).
import { errnoError, type MaybePromise } from '../platform/index.ts'
import { Lease } from '../segments/index.ts'
import type { Caller, Filesystem, Handle, Ino, OpenFlags, SetAttributes } from '../vfs/index.ts'
import { ErrorLog } from './error-log.ts'
import type { FuseMetrics } from './metrics.ts'
import type { NativeAddon, NativeHandler, NativeOperation, NativeRequest, NativeSignal } from './native-addon.ts'
import { bytesOf, NativePaths } from './native-paths.ts'
import { entryStats, join64, NO_STAT, NO_STATVFS, statOf, statvfsOf, timesOf } from './native-structs.ts'
import type { TransportLog } from './transport.ts'
import { Opcode } from './wire.ts'
import { refuseForeign } from './xattr.ts'

const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const MODE_BITS = 0o7777
const O_RDWR = 2
const O_CREAT = 0o100
/** (uid_t) -1: chown leaves it as it is. */
const UNCHANGED = 0xffffffff
const FD_MAX = 0x7fffffff
/** What listxattr asks a length with. */
const NO_ROOM = 0

/** An answer: the result, and what else its signal takes. */
type Answer = readonly [result: number, ...given: unknown[]]
const DONE: Answer = [0]

interface OpenFile {
  readonly ino: Ino
  readonly handle: Handle
  /** With a reference of its own. */
  readonly isHeld: boolean
}

interface Operation {
  opcode: number
  /** Each takes its own: fuse-native.c says what. */
  run: (request: NativeRequest, ...taken: never[]) => Promise<Answer>
  /** What the signal takes besides an error. */
  onError?: (...taken: never[]) => readonly unknown[]
}

export interface NativeOptions {
  log: TransportLog
  metrics: FuseMetrics
  /** Who mounted. */
  caller: Caller
  /** The kernel and libfuse have agreed. */
  onInitialized: () => void
}

export class NativeOperations {
  readonly #addon: NativeAddon
  readonly #fs: Filesystem
  readonly #caller: Caller
  readonly #metrics: FuseMetrics
  readonly #errors: ErrorLog
  readonly #onInitialized: () => void
  readonly #files = new Map<number, OpenFile>()
  /** How many of them an inode has. */
  readonly #opens = new Map<Ino, number>()
  #lastFd = 0
  #outstanding = 0
  readonly paths: NativePaths

  constructor(addon: NativeAddon, fs: Filesystem, { log, metrics, caller, onInitialized }: NativeOptions) {
    this.#addon = addon
    this.#fs = fs
    this.#caller = caller
    this.#metrics = metrics
    this.#errors = new ErrorLog(log)
    this.#onInitialized = onInitialized
    this.paths = new NativePaths(fs, caller)
  }

  /** Operations that have not been signalled. */
  get outstanding(): number {
    return this.#outstanding
  }

  get openFiles(): number {
    return this.#files.size
  }

  handlers(): ReadonlyMap<NativeOperation, NativeHandler> {
    return new Map(
      Object.entries(this.#operations()).map(([name, operation]) => {
        const signal = this.#addon[`fuse_native_signal_${name as NativeOperation}`]
        return [name as NativeOperation, this.#handler(name, operation, signal)]
      }),
    )
  }

  #handler(name: string, { opcode, run, onError }: Operation, signal: NativeSignal): NativeHandler {
    return async (request, _operation, ...taken) => {
      this.#outstanding++
      this.#metrics.request(opcode)
      let answer: Answer
      try {
        answer = await run(request, ...taken)
      } catch (error) {
        answer = [-this.#errors.errnoOf(error, { operation: name }), ...(onError?.(...taken) ?? [])]
      }
      this.#outstanding--
      signal(request, ...answer)
    }
  }

  #operations(): { readonly [Name in NativeOperation]?: Operation } {
    const { paths } = this
    const fs = this.#fs
    const caller = this.#caller
    return {
      init: {
        opcode: Opcode.INIT,
        run: async () => {
          this.#onInitialized()
          return DONE
        },
      },
      ...this.#attributeOperations(),
      ...this.#fileOperations(),
      ...(fs.getxattr === undefined ? {} : this.#xattrOperations()),
      readdir: {
        opcode: Opcode.READDIR,
        run: (_, path: string) => paths.at(path, ({ ino }) => this.#list(ino)),
        onError: () => [[], []],
      },
      fsyncdir: {
        opcode: Opcode.FSYNCDIR,
        run: (_, path: string) => paths.at(path, ({ ino }) => done(fs.fsyncdir(ino))),
      },
      mknod: {
        opcode: Opcode.MKNOD,
        run: (_, path: string, mode: number, rdev: number) =>
          this.#make(path, (parent, name) => fs.mknod(caller, parent, name, mode, rdev)),
      },
      mkdir: {
        opcode: Opcode.MKDIR,
        run: (_, path: string, mode: number) =>
          this.#make(path, (parent, name) => fs.mkdir(caller, parent, name, S_IFDIR | (mode & MODE_BITS))),
      },
      symlink: {
        opcode: Opcode.SYMLINK,
        run: (_, target: string, path: string) =>
          this.#make(path, (parent, name) => fs.symlink(caller, parent, name, bytesOf(target))),
      },
      link: {
        opcode: Opcode.LINK,
        run: (_, path: string, newPath: string) =>
          paths.at(path, ({ ino }) => this.#make(newPath, (parent, name) => fs.link(caller, ino, parent, name))),
      },
      unlink: { opcode: Opcode.UNLINK, run: (_, path: string) => done(paths.unlink(path)) },
      rmdir: { opcode: Opcode.RMDIR, run: (_, path: string) => done(paths.rmdir(path)) },
      rename: {
        opcode: Opcode.RENAME,
        run: (_, path: string, newPath: string) => done(paths.rename(path, newPath, (ino) => this.#opens.has(ino))),
      },
      readlink: {
        opcode: Opcode.READLINK,
        run: (_, path: string) => paths.at(path, async ({ ino }) => [0, textOf(await fs.readlink(ino))]),
        onError: () => [''],
      },
    }
  }

  #attributeOperations(): { readonly [Name in NativeOperation]?: Operation } {
    const { paths } = this
    const fs = this.#fs
    const set = (path: string, changes: SetAttributes) =>
      paths.at(path, ({ ino }) => done(fs.setattr(this.#caller, ino, changes)))
    return {
      getattr: {
        opcode: Opcode.GETATTR,
        run: (_, path: string) => paths.at(path, (attributes) => [0, statOf(attributes)]),
        onError: () => [NO_STAT],
      },
      fgetattr: {
        opcode: Opcode.GETATTR,
        run: async (_, _path: string, fd: number) => {
          const { ino, handle } = this.#file(fd)
          return [0, statOf((await fs.getattr(ino, handle, this.#caller)).attributes)]
        },
        onError: () => [NO_STAT],
      },
      statfs: {
        opcode: Opcode.STATFS,
        run: (_, path: string) => paths.at(path, async ({ ino }) => [0, statvfsOf(await fs.statfs(ino))]),
        onError: () => [NO_STATVFS],
      },
      chmod: {
        opcode: Opcode.SETATTR,
        run: (_, path: string, mode: number) => set(path, { mode: mode & MODE_BITS }),
      },
      chown: {
        opcode: Opcode.SETATTR,
        run: (_, path: string, uid: number, gid: number) =>
          set(path, { ...(uid === UNCHANGED ? {} : { uid }), ...(gid === UNCHANGED ? {} : { gid }) }),
      },
      utimens: {
        opcode: Opcode.SETATTR,
        run: async (request, path: string, low: number, high: number) => set(path, timesOf(request, low, high)),
      },
      truncate: {
        opcode: Opcode.SETATTR,
        run: (_, path: string, low: number, high: number) => set(path, { sizeBytes: join64(low, high) }),
      },
      ftruncate: {
        opcode: Opcode.SETATTR,
        run: async (_, _path: string, fd: number, low: number, high: number) => {
          const { ino, handle } = this.#file(fd)
          return done(fs.setattr(this.#caller, ino, { sizeBytes: join64(low, high), handle }))
        },
      },
    }
  }

  #fileOperations(): { readonly [Name in NativeOperation]?: Operation } {
    const { paths } = this
    const fs = this.#fs
    return {
      open: {
        opcode: Opcode.OPEN,
        run: async (_, path: string, flags: number) => [0, await this.#open(path, { flags })],
        onError: () => [0],
      },
      create: {
        opcode: Opcode.CREATE,
        run: (_, path: string, mode: number) =>
          paths.inParent(path, async (parent, name) => {
            // With which flags is not said; the kernel checks who reads and who writes.
            const flags = { flags: O_CREAT | O_RDWR }
            const created = await fs.create(this.#caller, parent, name, S_IFREG | (mode & MODE_BITS), flags)
            const { ino } = created.entry.attributes
            return [0, this.#opened({ ino, handle: created.opened.handle, isHeld: true })]
          }),
        onError: () => [0],
      },
      read: {
        opcode: Opcode.READ,
        run: async (_, _path: string, fd: number, into: Buffer, lengthBytes: number, low: number, high: number) => {
          const lease = new Lease()
          try {
            const { ino, handle } = this.#file(fd)
            let at = 0
            for (const part of await fs.read(handle, ino, join64(low, high), lengthBytes, lease)) {
              into.set(part, at)
              at += part.length
            }
            this.#metrics.readBytes.value += at
            return [at, 0, into.buffer]
          } finally {
            lease.release()
          }
        },
        onError: (_path, _fd, into: Buffer) => [0, into.buffer],
      },
      write: {
        opcode: Opcode.WRITE,
        run: async (_, _path: string, fd: number, data: Buffer, _lengthBytes: number, low: number, high: number) => {
          const { ino, handle } = this.#file(fd)
          this.#metrics.writtenBytes.value += data.length
          return [await fs.write(handle, ino, join64(low, high), data), 0, data.buffer]
        },
        onError: (_path, _fd, data: Buffer) => [0, data.buffer],
      },
      fsync: {
        opcode: Opcode.FSYNC,
        run: async (_, _path: string, dataOnly: number, fd: number) => {
          const { ino, handle } = this.#file(fd)
          return done(fs.fsync(handle, ino, dataOnly !== 0))
        },
      },
      release: {
        opcode: Opcode.RELEASE,
        run: async (_, _path: string, fd: number) => done(this.#release(fd)),
      },
    }
  }

  /** Their C code answers no more than the room it was given; what it is told to have answered it sends. */
  #xattrOperations(): { readonly [Name in NativeOperation]?: Operation } {
    const { paths } = this
    const fs = this.#fs
    const caller = this.#caller
    return {
      getxattr: {
        opcode: Opcode.GETXATTR,
        run: (_, path: string, name: string, into: Buffer) =>
          paths.at(path, async ({ ino }) => [put(await fs.getxattr!(caller, ino, xattrName(name)), into), into.buffer]),
        onError: (_path, _name, into: Buffer) => [into.buffer],
      },
      listxattr: {
        opcode: Opcode.LISTXATTR,
        run: (_, path: string, into: Buffer) =>
          paths.at(path, async ({ ino }) => {
            if (fs.listxattr === undefined) throw errnoError('EOPNOTSUPP')
            const names = await fs.listxattr(caller, ino)
            const ended = names.flatMap((name) => [name, Buffer.alloc(1)])
            return [put(Buffer.concat(ended), into), into.buffer]
          }),
        onError: (_path, into: Buffer) => [into.buffer],
      },
      setxattr: {
        opcode: Opcode.SETXATTR,
        run: (_, path: string, name: string, value: Buffer, _position: number, flags: number) =>
          paths.at(path, async ({ ino }) => {
            if (fs.setxattr === undefined) throw errnoError('EOPNOTSUPP')
            await fs.setxattr(caller, ino, { name: xattrName(name), value, flags })
            return [0, value.buffer]
          }),
        onError: (_path, _name, value: Buffer) => [value.buffer],
      },
      removexattr: {
        opcode: Opcode.REMOVEXATTR,
        run: (_, path: string, name: string) =>
          paths.at(path, async ({ ino }) => {
            if (fs.removexattr === undefined) throw errnoError('EOPNOTSUPP')
            return done(fs.removexattr(caller, ino, xattrName(name)))
          }),
      },
    }
  }

  /** Makes a name: the reference that comes with it is given back. */
  async #make(
    path: string,
    make: (parent: Ino, name: Buffer) => MaybePromise<{ attributes: { ino: Ino } }>,
  ): Promise<Answer> {
    const { attributes } = await this.paths.inParent(path, make)
    this.#fs.forget(attributes.ino, 1)
    return DONE
  }

  /** All of a directory: libfuse wants it at once. Names that are not UTF-8 show with U+FFFD, and lead nowhere. */
  async #list(ino: Ino): Promise<Answer> {
    const names: string[] = []
    const entries: { ino: Ino; mode: number }[] = []
    let from = 0
    for (let before = -1; before < names.length; ) {
      before = names.length
      await this.#fs.readdir(ino, from, false, (name, entryIno, mode, cookie) => {
        names.push(textOfName(name))
        entries.push({ ino: entryIno, mode })
        from = cookie
        return true
      })
    }
    return [0, names, entryStats(entries)]
  }

  async #open(path: string, flags: OpenFlags): Promise<number> {
    const { ino, isHeld } = await this.paths.take(path)
    try {
      const { handle } = await this.#fs.open(this.#caller, ino, flags)
      return this.#opened({ ino, handle, isHeld })
    } catch (error) {
      if (isHeld) this.#fs.forget(ino, 1)
      throw error
    }
  }

  #opened(file: OpenFile): number {
    do this.#lastFd = (this.#lastFd % FD_MAX) + 1
    while (this.#files.has(this.#lastFd))
    this.#files.set(this.#lastFd, file)
    this.#opens.set(file.ino, (this.#opens.get(file.ino) ?? 0) + 1)
    return this.#lastFd
  }

  #file(fd: number): OpenFile {
    const file = this.#files.get(fd)
    if (file === undefined) throw errnoError('EBADF')
    return file
  }

  async #release(fd: number): Promise<void> {
    const { ino, handle, isHeld } = this.#file(fd)
    this.#files.delete(fd)
    const left = this.#opens.get(ino)! - 1
    if (left === 0) this.#opens.delete(ino)
    else this.#opens.set(ino, left)
    try {
      await this.#fs.release(handle, ino)
    } finally {
      if (isHeld) this.#fs.forget(ino, 1)
    }
  }
}

async function done(operation: MaybePromise<unknown>): Promise<Answer> {
  await operation
  return DONE
}

/** Fills the room for an attribute. Without room, how long it is; ERANGE where there is too little. */
function put(value: Uint8Array, into: Buffer): number {
  if (into.length === NO_ROOM) return value.length
  if (value.length > into.length) throw errnoError('ERANGE')
  into.set(value)
  return value.length
}

function xattrName(name: string): Buffer {
  const bytes = bytesOf(name)
  refuseForeign(bytes, { hasAcls: false })
  return bytes
}

/** What a link says. EILSEQ where it is not UTF-8: it would lead elsewhere. */
function textOf(bytes: Uint8Array): string {
  const text = textOfName(bytes)
  bytesOf(text)
  return text
}

function textOfName(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}
