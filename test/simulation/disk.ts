// A simulated local disk, and the Disk that a process reaches it through. Every call takes its time, so that the power may
// be cut, or the process killed, between any two.
//
// What survives a power cut is what POSIX promises and nothing more:
// - A file holds what its last fsync found when it began. One that was written since is anything: cut short, zeros of any
//   length (size and data are written apart), or whole. A file that was never synced likewise.
// - Of the changes to a folder's names since its last fsync each survives by itself or not, in any order, the names of one
//   folder and of two. So a rename may leave both names, or neither. ext4 keeps a rename whole and names in order, which is
//   one of the outcomes here: the model is ext2's, without a journal, as the weaker one. A single name is never torn.
// - A new folder is there when its parent's fsync says so, whatever was synced in it.
// A process that dies without a power cut loses nothing that it has done, and its locks.
//
// Must stay true: a call of a dead process has no effect (its threads are gone, and so is its lock).
import type { Random } from '../../src/platform/index.ts'
import type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from '../../src/store/index.ts'
import type { Process } from './process.ts'
import type { Scheduler } from './scheduler.ts'

interface Content {
  data: Buffer
  mtimeNs: bigint
}

class FileNode {
  durable: Content | null = null
  content: Content
  lockedBy: { process: Process } | null = null
  constructor(
    readonly ino: bigint,
    mtimeNs: bigint,
  ) {
    this.content = { data: Buffer.alloc(0), mtimeNs }
  }

  cut(random: Random): void {
    const { content } = this
    if (this.durable !== content) this.content = torn(this.durable ?? content, content, random)
    this.durable = this.content
    this.lockedBy = null
  }
}

/** What is left of a file that was not synced after it was written. */
function torn(before: Content, after: Content, random: Random): Content {
  const { data } = after
  const mtimeNs = random.next() < 0.5 ? before.mtimeNs : after.mtimeNs
  const at = Math.floor(random.next() * (data.length + 1))
  const dice = random.next()
  if (dice < 0.25) return { data: Buffer.from(data.subarray(0, at)), mtimeNs }
  if (dice < 0.5) return { data: Buffer.alloc(data.length), mtimeNs }
  if (dice < 0.75) return { data: Buffer.concat([data.subarray(0, at), Buffer.alloc(data.length - at)]), mtimeNs }
  return { data, mtimeNs }
}

type Node = FileNode | FolderNode

class FolderNode {
  readonly entries = new Map<string, Node>()
  #durable = new Map<string, Node>()
  #unsynced: { serial: number; name: string; node: Node | null }[] = []
  #serial = 0
  constructor(readonly ino: bigint) {}

  set(name: string, node: Node | null): void {
    if (node === null) this.entries.delete(name)
    else this.entries.set(name, node)
    this.#unsynced.push({ serial: ++this.#serial, name, node })
  }

  /** An fsync begins. Returns what its end makes durable. */
  beginSync(): () => void {
    const upTo = this.#serial
    return () => {
      for (const { name, node } of this.#unsynced.filter(({ serial }) => serial <= upTo)) this.#keep(name, node)
      this.#unsynced = this.#unsynced.filter(({ serial }) => serial > upTo)
    }
  }

  cut(random: Random, survival: number): void {
    for (const { name, node } of this.#unsynced) if (random.next() < survival) this.#keep(name, node)
    this.#unsynced = []
    this.entries.clear()
    for (const [name, node] of this.#durable) this.entries.set(name, node)
  }

  #keep(name: string, node: Node | null): void {
    if (node === null) this.#durable.delete(name)
    else this.#durable.set(name, node)
  }
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

export class SimulatedDisk {
  /** How often a call fails with EIO, before or after its effect: between 0 and 1. */
  errorRate: () => number = () => 0
  readonly #scheduler: Scheduler
  readonly #root: FolderNode
  readonly #nodes: Node[] = []
  #lastIno = 1n

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
    this.#root = this.#created(new FolderNode(this.#lastIno))
  }

  /** The power goes. All processes that use the disk must be dead. */
  cutPower(): void {
    const { random } = this.#scheduler
    this.#scheduler.note('power cut')
    const survival = [0, 0.3, 0.7, 1][Math.floor(random.next() * 4)] as number
    for (const node of this.#nodes) node.cut(random, survival)
  }

  /** The files below a folder as they are, by path from there. */
  files(folder: string): Map<string, Buffer> {
    const found = new Map<string, Buffer>()
    const visit = (node: Node, path: string) => {
      if (node instanceof FileNode) found.set(path, node.content.data)
      else for (const [name, child] of node.entries) visit(child, path === '' ? name : `${path}/${name}`)
    }
    visit(this.#find(folder), '')
    return found
  }

  /** The disk as one process reaches it. */
  diskFor(process: Process): Disk {
    const call = <T>(label: string, path: string, longestMs: number, effect: () => T) =>
      this.#call(process, `${label} ${shown(path)}`, longestMs, effect)
    return {
      open: (path, flags) =>
        call('open', path, 0.3, () => {
          if (flags === 'r') return this.#openFile(this.#find(path), path, call)
          const { folder, name } = this.#place(path)
          if (folder.entries.has(name)) throw failure('EEXIST', path)
          const file = this.#newFile()
          folder.set(name, file)
          return this.#openFile(file, path, call)
        }),
      link: (existing, path) =>
        call('link', path, 0.3, () => {
          const file = this.#find(existing)
          const { folder, name } = this.#place(path)
          if (folder.entries.has(name)) throw failure('EEXIST', path)
          folder.set(name, file)
        }),
      rename: (from, to) =>
        call('rename', to, 0.3, () => {
          const file = this.#find(from)
          const target = this.#place(to)
          if (target.folder.entries.get(target.name) instanceof FolderNode) throw failure('EISDIR', to)
          target.folder.set(target.name, file)
          const source = this.#place(from)
          source.folder.set(source.name, null)
        }),
      unlink: (path) =>
        call('unlink', path, 0.3, () => {
          if (this.#find(path) instanceof FolderNode) throw failure('EISDIR', path)
          const { folder, name } = this.#place(path)
          folder.set(name, null)
        }),
      mkdir: (path) =>
        call('mkdir', path, 0.3, () => {
          const { folder, name } = this.#place(path)
          if (folder.entries.has(name)) throw failure('EEXIST', path)
          folder.set(name, this.#created(new FolderNode(++this.#lastIno)))
        }),
      readdir: (path) => call('readdir', path, 0.3, () => this.#entries(path)),
      stat: (path) => call('stat', path, 0.1, () => statOf(this.#find(path))),
      openLock: (path) => this.#openLock(process, path),
    }
  }

  #openFile(node: Node, path: string, call: Calls): DiskFile {
    const asFile = () => {
      if (node instanceof FolderNode) throw failure('EISDIR', path)
      return node
    }
    return {
      writev: (parts) => {
        const bytes = Buffer.concat(parts)
        return call('write', path, 1, () => {
          // Sometimes only a part is taken.
          const all = this.#scheduler.random.next() < 0.9
          const taken = all ? bytes : bytes.subarray(0, Math.ceil(this.#scheduler.random.next() * bytes.length))
          const file = asFile()
          file.content = { ...file.content, data: Buffer.concat([file.content.data, taken]) }
          return { bytesWritten: taken.length }
        })
      },
      read: (buffer, at, lengthBytes, position) =>
        call('read', path, 1, () => {
          const part = asFile().content.data.subarray(position, position + lengthBytes)
          buffer.set(part, at)
          return { bytesRead: part.length }
        }),
      utimes: (_, seconds) =>
        call('utimes', path, 0.1, () => {
          const file = asFile()
          file.content = { ...file.content, mtimeNs: BigInt(Math.floor(seconds * 1e6)) * 1000n }
        }),
      stat: () => call('fstat', path, 0.1, () => statOf(node)),
      sync: () => {
        const { content } = node instanceof FileNode ? node : { content: null }
        const end =
          node instanceof FolderNode
            ? node.beginSync()
            : () => {
                node.durable = content
              }
        return call('fsync', path, 20, end)
      },
      close: () => call('close', path, 0.05, () => {}),
    }
  }

  #openLock(process: Process, path: string): DiskLock {
    const { folder, name } = this.#place(path)
    if (!folder.entries.has(name)) folder.set(name, this.#newFile())
    const file = folder.entries.get(name)
    if (!(file instanceof FileNode)) throw failure('EISDIR', path)
    const mine = { process }
    return {
      tryLock() {
        if (file.lockedBy?.process.isAlive === true && file.lockedBy !== mine) return false
        file.lockedBy = mine
        return true
      },
      close() {
        if (file.lockedBy === mine) file.lockedBy = null
      },
    }
  }

  #entries(path: string): DiskEntry[] {
    const folder = this.#find(path)
    if (folder instanceof FileNode) throw failure('ENOTDIR', path)
    return [...folder.entries].map(([name, node]) => ({
      name,
      isFile: () => node instanceof FileNode,
      isDirectory: () => node instanceof FolderNode,
    }))
  }

  #call<T>(process: Process, label: string, longestMs: number, effect: () => T): Promise<T> {
    const scheduler = this.#scheduler
    const { random } = scheduler
    return new Promise((resolve, reject) => {
      scheduler.after(random.next() ** 2 * longestMs, `${process.name} ${label}`, () => {
        if (!process.isAlive) return
        const fails = random.next() < this.errorRate()
        let answer: () => void
        try {
          if (fails && random.next() < 0.5) throw failure('EIO', label)
          const value = effect()
          if (fails) throw failure('EIO', label)
          answer = () => resolve(value)
        } catch (error) {
          answer = () => reject(error)
        }
        if (random.next() < 0.7) process.deliver(answer)
        else scheduler.after(random.next() * 0.2, `${process.name} ${label} returns`, () => process.deliver(answer))
      })
    })
  }

  #newFile(): FileNode {
    return this.#created(new FileNode(++this.#lastIno, this.#scheduler.wallClockNs))
  }

  #created<N extends Node>(node: N): N {
    this.#nodes.push(node)
    return node
  }

  #find(path: string): Node {
    let node: Node = this.#root
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node instanceof FileNode) throw failure('ENOTDIR', path)
      const child: Node | undefined = node.entries.get(name)
      if (child === undefined) throw failure('ENOENT', path)
      node = child
    }
    return node
  }

  #place(path: string): { folder: FolderNode; name: string } {
    const at = path.lastIndexOf('/')
    const folder = this.#find(path.slice(0, at))
    if (folder instanceof FileNode) throw failure('ENOTDIR', path)
    return { folder, name: path.slice(at + 1) }
  }
}

type Calls = <T>(label: string, path: string, longestMs: number, effect: () => T) => Promise<T>

function statOf(node: Node): DiskStat {
  const isFile = node instanceof FileNode
  return {
    ino: node.ino,
    size: BigInt(isFile ? node.content.data.length : 0),
    mtimeNs: isFile ? node.content.mtimeNs : 0n,
    isFile: () => isFile,
    isDirectory: () => !isFile,
  }
}

/** A path in a label, without what is long. */
function shown(path: string): string {
  return path.split('/').slice(-2).join('/')
}
