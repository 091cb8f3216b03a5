// A volume in a folder, made through every layer but the kernel's, and what the filesystem says is in it.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, encodeCheckedJson, systemClock, systemRandom, type Timespec } from '../../src/platform/index.ts'
import { openLocalStore } from '../../src/store/index.ts'
import { type Attributes, type Caller, type Entry, type Handle, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { formatVolume, openVolume, readVolumeJson, type Volume } from '../../src/volume/index.ts'
import type { ListedEntry } from './decoder.ts'

const CALLER: Caller = { uid: 1000, gid: 1000, pid: 1 }
const ROOT: Caller = { uid: 0, gid: 0, pid: 1 }
export const HASH_KEY = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
/** Two names whose 45 bits of hash under HASH_KEY are the same (found by trying twenty million). */
export const COLLIDING = ['n2510297', 'n6522879'] as const
export const SEGMENT_BYTES = 1 << 20

/** No timer ever fires: what is written is what a test asks for. */
const clock: Clock = { ...systemClock, after: () => ({ cancel() {} }) }
const self = { host: 'here', bootId: 'b', pid: 1, since: '2026-11-21T00:00:00.000Z', lock: null }
const writer = { leaseMs: 30_000, judge: async () => 'dead' as const }
const log = () => {}

export async function format(folder: string): Promise<void> {
  const store = await openLocalStore({ path: folder, create: true })
  await formatVolume({
    store,
    name: 'decoded',
    segmentSizeBytes: SEGMENT_BYTES,
    force: false,
    clock,
    random: systemRandom,
    self,
    rootOwner: { uid: 7, gid: 8 },
    ...writer,
    log,
    probe: null,
  })
  // The hash key is the volume's until its first name is made.
  const path = join(folder, 'volume.json')
  const { checksum: _, ...json } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  writeFileSync(path, encodeCheckedJson({ ...json, hashKey: HASH_KEY.toString('hex') }))
}

export async function open(folder: string): Promise<Volume> {
  const store = await openLocalStore({ path: folder })
  return openVolume({
    store,
    identity: await readVolumeJson(store),
    writer: { self, ...writer, probe: null, onFailure: () => {} },
    clock,
    random: systemRandom,
    log,
    memoryBytes: 256 << 20,
    commitMs: 5_000,
    parallelism: 4,
    rootOwner: { uid: 0, gid: 0 },
  })
}

/** Operations by path (bytes as latin1), as a program would make them. */
export class Program {
  readonly fs: Volume['filesystem']
  readonly volume: Volume

  constructor(volume: Volume) {
    this.volume = volume
    this.fs = volume.filesystem
  }

  async #at<T>(path: string, use: (ino: Ino) => Promise<T>): Promise<T> {
    const held: Ino[] = []
    let ino: Ino = ROOT_INO
    for (const name of path.split('/').filter((part) => part !== '')) {
      ino = (await this.fs.lookup(CALLER, ino, Buffer.from(name, 'latin1'))).attributes.ino
      held.push(ino)
    }
    try {
      return await use(ino)
    } finally {
      for (const each of held) this.fs.forget(each, 1)
    }
  }

  #in<T>(path: string, use: (parent: Ino, name: Buffer) => Promise<T>): Promise<T> {
    const cut = path.lastIndexOf('/')
    return this.#at(path.slice(0, cut), (parent) => use(parent, Buffer.from(path.slice(cut + 1), 'latin1')))
  }

  async #made(entry: Entry | Promise<Entry>): Promise<void> {
    this.fs.forget((await entry).attributes.ino, 1)
  }

  mkdir(path: string, mode = 0o755): Promise<void> {
    return this.#in(path, (parent, name) => this.#made(this.fs.mkdir(CALLER, parent, name, mode)))
  }

  mknod(path: string, mode: number, rdev = 0): Promise<void> {
    return this.#in(path, (parent, name) => this.#made(this.fs.mknod(CALLER, parent, name, mode, rdev)))
  }

  symlink(path: string, target: string): Promise<void> {
    const bytes = Buffer.from(target, 'latin1')
    return this.#in(path, (parent, name) => this.#made(this.fs.symlink(CALLER, parent, name, bytes)))
  }

  link(from: string, to: string): Promise<void> {
    return this.#at(from, (ino) => this.#in(to, (parent, name) => this.#made(this.fs.link(CALLER, ino, parent, name))))
  }

  unlink(path: string): Promise<void> {
    return this.#in(path, async (parent, name) => this.fs.unlink(CALLER, parent, name))
  }

  rmdir(path: string): Promise<void> {
    return this.#in(path, async (parent, name) => this.fs.rmdir(CALLER, parent, name))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#in(from, (parent, name) =>
      this.#in(to, async (newParent, newName) =>
        this.fs.rename(CALLER, { parent, name }, { parent: newParent, name: newName }, 0),
      ),
    )
  }

  set(path: string, changes: Parameters<Volume['filesystem']['setattr']>[2]): Promise<void> {
    return this.#at(path, async (ino) => {
      await this.fs.setattr(CALLER, ino, changes)
    })
  }

  setXattr(path: string, name: string, value: Uint8Array): Promise<void> {
    return this.#at(path, async (ino) =>
      this.fs.setxattr!(ROOT, ino, { name: Buffer.from(name, 'latin1'), value, flags: 0 }),
    )
  }

  /** Creates the file if need be and writes these pieces into it; with `keepOpen` gives back its handle. */
  write(
    path: string,
    pieces: [offset: number, data: Uint8Array][],
    { fsync = false, keepOpen = false } = {},
  ): Promise<{ ino: Ino; handle: Handle }> {
    return this.#in(path, async (parent, name) => {
      const { entry, opened } = await this.fs.create(CALLER, parent, name, 0o644, { flags: 1 })
      const { ino } = entry.attributes
      for (const [offset, data] of pieces) await this.fs.write(opened.handle, ino, offset, data)
      if (fsync) await this.fs.fsync(opened.handle, ino, false)
      if (!keepOpen) {
        await this.fs.release(opened.handle, ino)
        this.fs.forget(ino, 1)
      }
      return { ino, handle: opened.handle }
    })
  }

  /** Copies a whole file over another that is there. */
  copy(from: string, to: string): Promise<void> {
    return this.#at(from, (source) =>
      this.#at(to, async (target) => {
        const reader = (await this.fs.open(CALLER, source, { flags: 0 })).handle
        const writer = (await this.fs.open(CALLER, target, { flags: 1 })).handle
        const end = { handle: writer, ino: target, offset: 4096 }
        await this.fs.copyFileRange({ handle: reader, ino: source, offset: 0 }, end, Number.MAX_SAFE_INTEGER, 0)
        await this.fs.release(reader, source)
        await this.fs.release(writer, target)
      }),
    )
  }

  /** The barrier. */
  sync(): Promise<void> {
    return this.fs.fsyncdir(ROOT_INO)
  }

  /** The tree as the filesystem shows it: each directory before its entries, these in order of readdir. */
  async list(): Promise<ListedEntry[]> {
    const listed: ListedEntry[] = []
    const walk = async (path: string, ino: Ino): Promise<void> => {
      const { attributes } = await this.fs.getattr(ino)
      listed.push(await this.#listed(path, attributes))
      if (TYPES[attributes.mode >> 12] !== 'directory') return
      const children: { name: string; ino: Ino }[] = []
      for (let cookie = 0, isEnd = false; !isEnd; ) {
        isEnd = true
        await this.fs.readdir(ino, cookie, true, (name, child, _mode, next, found) => {
          cookie = next
          isEnd = false
          if (found !== null) children.push({ name: Buffer.from(name).toString('latin1'), ino: child })
          return true
        })
      }
      for (const child of children) await walk(`${path}/${child.name}`, child.ino)
      for (const child of children) this.fs.forget(child.ino, 1)
    }
    await walk('', ROOT_INO)
    return listed
  }

  async #listed(path: string, attributes: Attributes): Promise<ListedEntry> {
    const { ino, mode, uid, gid, rdev, nlink, sizeBytes } = attributes
    const type = TYPES[mode >> 12]!
    const isSymlink = type === 'symlink'
    return {
      path,
      type,
      ino,
      mode: mode & 0o7777,
      uid,
      gid,
      rdev,
      size: sizeBytes,
      mtimeNs: nanoseconds(attributes.mtime),
      nlink,
      xattrs: await this.#xattrs(ino),
      target: isSymlink ? Buffer.from(await this.fs.readlink(ino)).toString('latin1') : null,
      sha256: type === 'file' ? await this.#hash(ino, sizeBytes) : null,
    }
  }

  async #xattrs(ino: Ino): Promise<ListedEntry['xattrs']> {
    const names = await this.fs.listxattr!(ROOT, ino)
    const found: ListedEntry['xattrs'] = []
    for (const name of names) {
      const value = await this.fs.getxattr!(ROOT, ino, name)
      found.push([Buffer.from(name).toString('latin1'), createHash('sha256').update(value).digest('hex')])
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1))
  }

  async #hash(ino: Ino, sizeBytes: number): Promise<string> {
    const hash = createHash('sha256')
    const { handle } = await this.fs.open(CALLER, ino, { flags: 0 })
    for (let at = 0; at < sizeBytes; at += 1 << 20) {
      for (const part of await this.fs.read(handle, ino, at, 1 << 20)) hash.update(part)
    }
    await this.fs.release(handle, ino)
    return hash.digest('hex')
  }
}

const TYPES: Record<number, ListedEntry['type']> = {
  1: 'fifo',
  2: 'char',
  4: 'directory',
  6: 'block',
  8: 'file',
  10: 'symlink',
  12: 'socket',
}

const nanoseconds = ({ sec, nsec }: Timespec): bigint => BigInt(sec) * 1_000_000_000n + BigInt(nsec)
