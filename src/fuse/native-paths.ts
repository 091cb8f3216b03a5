// Paths to inodes, for a binding that knows nothing else: libfuse's high-level interface names every file by its path from
// the root of the mount.
//
// A path is walked by lookup. Directories on the way are remembered, up to 1,000 of them; the last component never is,
// since its attributes are what most operations want. libfuse holds a path still while an operation has it, but other
// spellings in a folding directory lead to the same place: so every rename and rmdir empties the memory.
//
// libfuse does not unlink a file that is open: it renames it to a name of its own, `.fuse_hidden` and 16 digits, and unlinks
// that at the last close. Here such a rename is the unlink that somebody asked for, and the name stands, in this memory alone,
// for the inode: nothing of it is in the volume, or left in it by a crash.
//
// Must stay true:
// - Every reference that the filesystem counts (lookup, and what makes a name) is held by the memory, an open file, a hidden
//   name or an operation under way, and given back by that.
// - Names are text here. One that is not UTF-8 comes with U+FFFD in it, and is refused: it cannot be told from others.
import { errnoError, FsError } from '../platform/index.ts'
import { type Attributes, type Caller, type Filesystem, type Ino, ROOT_INO } from '../vfs/index.ts'

const DIRECTORIES_MAX = 1000
const HIDDEN = /^\.fuse_hidden[0-9a-f]{16,}$/
const NOT_UTF8 = '\ufffd'

/** A directory that a walk found; `users` are walks and operations under way. */
interface Directory {
  readonly ino: Ino
  users: number
  isRemembered: boolean
}

export class NativePaths {
  readonly #fs: Filesystem
  readonly #caller: Caller
  readonly #directories = new Map<string, Directory>()
  readonly #root: Directory = { ino: ROOT_INO, users: 0, isRemembered: true }
  /** Inodes of hidden names, by directory and name. */
  readonly #hidden = new Map<string, Ino>()
  /** Grows when what walks under way have found may not be so any more. */
  #changes = 0

  constructor(fs: Filesystem, caller: Caller) {
    this.#fs = fs
    this.#caller = caller
  }

  /** Directories remembered and names hidden: the references held between operations. */
  get held(): number {
    return this.#directories.size + this.#hidden.size
  }

  /** Runs an operation on a name, of which its directory is there. */
  async inParent<T>(path: string, use: (parent: Ino, name: Buffer) => T | Promise<T>): Promise<T> {
    const { parentPath, name } = split(path)
    const directory = await this.#enter(parentPath)
    try {
      return await use(directory.ino, bytesOf(name))
    } finally {
      this.#leave(directory)
    }
  }

  /** Runs an operation on what is at a path. Its inode stays until then. */
  async at<T>(path: string, use: (attributes: Attributes) => T | Promise<T>): Promise<T> {
    if (path === '/') return use((await this.#fs.getattr(ROOT_INO, undefined, this.#caller)).attributes)
    return this.inParent(path, async (parent, name) => {
      const hidden = this.#hidden.get(hiddenKey(parent, name))
      if (hidden !== undefined) return use((await this.#fs.getattr(hidden, undefined, this.#caller)).attributes)
      const { attributes } = await this.#fs.lookup(this.#caller, parent, name)
      const { ino } = attributes
      try {
        return await use(attributes)
      } finally {
        this.#fs.forget(ino, 1)
      }
    })
  }

  /** As `at`, for what is opened. `isHeld`: with a reference, which is the caller's to give back; without, the hidden name
   *  stays until the last close. */
  async take(path: string): Promise<{ ino: Ino; isHeld: boolean }> {
    return this.inParent(path, async (parent, name) => {
      const hidden = this.#hidden.get(hiddenKey(parent, name))
      if (hidden !== undefined) return { ino: hidden, isHeld: false }
      return { ino: (await this.#fs.lookup(this.#caller, parent, name)).attributes.ino, isHeld: true }
    })
  }

  async unlink(path: string): Promise<void> {
    await this.inParent(path, async (parent, name) => {
      const key = hiddenKey(parent, name)
      const hidden = this.#hidden.get(key)
      if (hidden === undefined) return this.#fs.unlink(this.#caller, parent, name)
      this.#hidden.delete(key)
      this.#fs.forget(hidden, 1)
    })
  }

  async rmdir(path: string): Promise<void> {
    await this.#refuseIfHiding(path)
    await this.inParent(path, (parent, name) => this.#fs.rmdir(this.#caller, parent, name))
    this.forgetDirectories()
  }

  /** `isOpen`: whether we have opened an inode. Only of such a file a rename to a hidden name is libfuse's own. */
  async rename(from: string, to: string, isOpen: (ino: Ino) => boolean): Promise<void> {
    if (HIDDEN.test(split(to).name) && (await this.#hide(from, to, isOpen))) return
    await this.#refuseIfHiding(to)
    await this.inParent(from, (oldParent, oldName) =>
      this.inParent(to, (newParent, newName) =>
        this.#fs.rename(this.#caller, { parent: oldParent, name: oldName }, { parent: newParent, name: newName }, 0),
      ),
    )
    this.forgetDirectories()
  }

  /** Directories may be elsewhere from here on. Those in use are forgotten when they are no more. */
  forgetDirectories(): void {
    this.#changes++
    for (const [path, directory] of this.#directories) this.#drop(path, directory)
  }

  async #hide(from: string, to: string, isOpen: (ino: Ino) => boolean): Promise<boolean> {
    return this.inParent(from, async (parent, name) => {
      const { ino } = (await this.#fs.lookup(this.#caller, parent, name)).attributes
      let isHidden = false
      try {
        if (!isOpen(ino)) return false
        await this.#fs.unlink(this.#caller, parent, name)
        this.#hidden.set(hiddenKey(parent, bytesOf(split(to).name)), ino)
        isHidden = true
        return true
      } finally {
        if (!isHidden) this.#fs.forget(ino, 1)
      }
    })
  }

  /** A directory with a hidden file is not empty: with it, libfuse would lose the way to the file. */
  async #refuseIfHiding(path: string): Promise<void> {
    if (this.#hidden.size === 0) return
    let ino: Ino
    try {
      ino = await this.at(path, (attributes) => attributes.ino)
    } catch (error) {
      // What is not there hides nothing. Of what cannot be looked at nobody knows.
      if (error instanceof FsError && error.code === 'ENOENT') return
      throw error
    }
    for (const key of this.#hidden.keys()) if (key.startsWith(`${ino}/`)) throw errnoError('ENOTEMPTY')
  }

  /** The directory at a path, for use until `#leave`. */
  async #enter(path: string): Promise<Directory> {
    if (path === '') return this.#root
    const known = this.#directories.get(path)
    if (known !== undefined) {
      known.users++
      // The least recently used are forgotten first.
      this.#directories.delete(path)
      this.#directories.set(path, known)
      return known
    }
    const changes = this.#changes
    const { ino, isHeld } = await this.take(path)
    if (!isHeld) throw errnoError('ENOTDIR')
    const directory: Directory = { ino, users: 1, isRemembered: false }
    if (changes === this.#changes && !this.#directories.has(path)) this.#remember(path, directory)
    return directory
  }

  #leave(directory: Directory): void {
    if (directory === this.#root) return
    directory.users--
    this.#forgetIfUnused(directory)
  }

  #remember(path: string, directory: Directory): void {
    directory.isRemembered = true
    this.#directories.set(path, directory)
    if (this.#directories.size <= DIRECTORIES_MAX) return
    const [oldest] = this.#directories
    if (oldest !== undefined) this.#drop(...oldest)
  }

  #drop(path: string, directory: Directory): void {
    this.#directories.delete(path)
    directory.isRemembered = false
    this.#forgetIfUnused(directory)
  }

  #forgetIfUnused(directory: Directory): void {
    if (!directory.isRemembered && directory.users === 0) this.#fs.forget(directory.ino, 1)
  }
}

function split(path: string): { parentPath: string; name: string } {
  const slash = path.lastIndexOf('/')
  return { parentPath: path.slice(0, slash), name: path.slice(slash + 1) }
}

function hiddenKey(parent: Ino, name: Buffer): string {
  return `${parent}/${name}`
}

/** A name, or what a link says. EILSEQ where it was not UTF-8. */
export function bytesOf(text: string): Buffer {
  if (text.includes(NOT_UTF8)) throw errnoError('EILSEQ')
  return Buffer.from(text)
}
