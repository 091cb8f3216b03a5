// A filesystem as plain objects: what vfs/ must agree with. Times are operation numbers; errors as Linux gives them.

export interface ModelFile {
  type: 'file' | 'directory' | 'symlink' | 'device'
  mode: number
  nlink: number
  data: Buffer
  target: string
  children: Names
  parent: ModelFile | null
  mtime: number
  ctime: number
  /** The real inode, once known. */
  ino: number
}

/** The names in a directory; where they fold, those that fold alike are one, which keeps its spelling. */
export class Names {
  folds: boolean
  readonly #entries = new Map<string, { name: string; file: ModelFile }>()

  constructor(folds: boolean) {
    this.folds = folds
  }

  /** What names fold to: good for those that the test uses. */
  key(name: string): string {
    return this.folds ? name.toLowerCase().replace(/ß/g, 'ss').normalize('NFD') : name
  }

  get(name: string): ModelFile | undefined {
    return this.#entries.get(this.key(name))?.file
  }

  has(name: string): boolean {
    return this.#entries.has(this.key(name))
  }

  /** Spelled so from now on. */
  set(name: string, file: ModelFile): void {
    this.#entries.set(this.key(name), { name, file })
  }

  /** The spelling stays. */
  replace(name: string, file: ModelFile): void {
    const entry = this.#entries.get(this.key(name))
    if (entry !== undefined) entry.file = file
  }

  delete(name: string): void {
    this.#entries.delete(this.key(name))
  }

  get size(): number {
    return this.#entries.size
  }

  spellings(): string[] {
    return [...this.#entries.values()].map(({ name }) => name)
  }

  spellingOf(name: string): string | undefined {
    return this.#entries.get(this.key(name))?.name
  }

  [Symbol.iterator](): Iterator<[string, ModelFile]> {
    return [...this.#entries.values()].map(({ name, file }): [string, ModelFile] => [name, file])[Symbol.iterator]()
  }
}

export class ModelError extends Error {
  constructor(readonly code: string) {
    super(code)
  }
}

const fail = (code: string): never => {
  throw new ModelError(code)
}

export const O_TRUNC = 0o1000
const NOREPLACE = 1
const EXCHANGE = 2
const WHITEOUT = 4

export class Model {
  /** The number of the operation under way: the time it sets. */
  now = 0
  readonly root: ModelFile

  constructor() {
    this.root = this.#file('directory', 0o755, null)
  }

  #file(type: ModelFile['type'], mode: number, parent: ModelFile | null, target = ''): ModelFile {
    return {
      type,
      mode,
      nlink: type === 'directory' ? 2 : 1,
      data: Buffer.alloc(0),
      target,
      children: new Names(type === 'directory' && (parent?.children.folds ?? false)),
      parent,
      mtime: this.now,
      ctime: this.now,
      ino: 0,
    }
  }

  at(path: string): ModelFile {
    let file = this.root
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (file.type !== 'directory') fail('ENOTDIR')
      if (name.length > 255) fail('ENAMETOOLONG')
      file = file.children.get(name) ?? fail('ENOENT')
    }
    return file
  }

  #split(path: string): { parent: ModelFile; name: string } {
    const cut = path.lastIndexOf('/')
    return { parent: this.at(path.slice(0, cut)), name: path.slice(cut + 1) }
  }

  #touch(directory: ModelFile): void {
    directory.mtime = this.now
    directory.ctime = this.now
  }

  make(path: string, type: ModelFile['type'], mode: number, target = ''): ModelFile {
    const { parent, name } = this.#split(path)
    if (parent.type !== 'directory') fail('ENOTDIR')
    if (name.length > 255) fail('ENAMETOOLONG')
    if (parent.children.has(name)) fail('EEXIST')
    const file = this.#file(type, mode, parent, target)
    parent.children.set(name, file)
    if (type === 'directory') parent.nlink++
    this.#touch(parent)
    return file
  }

  /** open(O_CREAT | O_WRONLY | flags), write. */
  write(path: string, data: Buffer, offset: number, flags: number): ModelFile {
    const { parent, name } = this.#split(path)
    if (parent.type !== 'directory') fail('ENOTDIR')
    if (name.length > 255) fail('ENAMETOOLONG')
    let file = parent.children.get(name)
    if (file === undefined) file = this.make(path, 'file', 0o644)
    if (file.type === 'directory') fail('EISDIR')
    if (file.type === 'symlink') fail('ELOOP')
    if (file.type === 'device') fail('EINVAL')
    if ((flags & O_TRUNC) !== 0) {
      file.data = Buffer.alloc(0)
      this.#touch(file)
    }
    if (data.length > 0) {
      const grown = Buffer.alloc(Math.max(file.data.length, offset + data.length))
      file.data.copy(grown)
      data.copy(grown, offset)
      file.data = grown
      this.#touch(file)
    }
    return file
  }

  /** copy_file_range, through files opened for it. */
  copy(source: string, target: string, range: { at: number; to: number; lengthBytes: number }): void {
    const from = this.at(source)
    const file = this.at(target)
    if (file.type === 'directory') fail('EISDIR')
    for (const each of [from, file]) if (each.type !== 'file') fail(each.type === 'directory' ? 'EISDIR' : 'EINVAL')
    const body = Buffer.from(from.data.subarray(range.at, range.at + range.lengthBytes))
    if (from === file && range.at < range.to + body.length && range.to < range.at + body.length) fail('EINVAL')
    if (body.length === 0) return
    const grown = Buffer.alloc(Math.max(file.data.length, range.to + body.length))
    file.data.copy(grown)
    body.copy(grown, range.to)
    file.data = grown
    this.#touch(file)
  }

  truncate(path: string, sizeBytes: number): void {
    const file = this.at(path)
    if (file.type === 'directory') fail('EISDIR')
    if (file.type !== 'file') fail('EINVAL')
    const cut = Buffer.alloc(sizeBytes)
    file.data.copy(cut)
    file.data = cut
    this.#touch(file)
  }

  chmod(path: string, mode: number): void {
    const file = this.at(path)
    file.mode = mode
    file.ctime = this.now
  }

  setMtime(path: string, mtime: number): void {
    const file = this.at(path)
    file.mtime = mtime
    file.ctime = this.now
  }

  link(from: string, to: string): void {
    const file = this.at(from)
    const { parent, name } = this.#split(to)
    if (parent.type !== 'directory') fail('ENOTDIR')
    if (name.length > 255) fail('ENAMETOOLONG')
    if (parent.children.has(name)) fail('EEXIST')
    if (file.type === 'directory') fail('EPERM')
    file.nlink++
    file.ctime = this.now
    parent.children.set(name, file)
    this.#touch(parent)
  }

  unlink(path: string): void {
    const { parent, name } = this.#split(path)
    if (parent.type !== 'directory') fail('ENOTDIR')
    if (name.length > 255) fail('ENAMETOOLONG')
    const file = parent.children.get(name) ?? fail('ENOENT')
    if (file.type === 'directory') fail('EISDIR')
    file.nlink--
    file.ctime = this.now
    parent.children.delete(name)
    this.#touch(parent)
  }

  rmdir(path: string): void {
    const { parent, name } = this.#split(path)
    if (parent.type !== 'directory') fail('ENOTDIR')
    if (name.length > 255) fail('ENAMETOOLONG')
    const file = parent.children.get(name) ?? fail('ENOENT')
    if (file.type !== 'directory') fail('ENOTDIR')
    if (file.children.size > 0) fail('ENOTEMPTY')
    parent.children.delete(name)
    parent.nlink--
    this.#touch(parent)
  }

  #isWithin(file: ModelFile, ancestor: ModelFile): boolean {
    for (let at: ModelFile | null = file; at !== null; at = at.parent) if (at === ancestor) return true
    return false
  }

  /** True when a name was replaced. */
  rename(from: string, to: string, flags: number): boolean {
    if ((flags & EXCHANGE) !== 0) return this.#exchange(from, to)
    const noReplace = (flags & NOREPLACE) !== 0
    const leavesWhiteout = (flags & WHITEOUT) !== 0
    const old = this.#split(from)
    const next = this.#split(to)
    if (old.parent.type !== 'directory' || next.parent.type !== 'directory') fail('ENOTDIR')
    if (old.name.length > 255) fail('ENAMETOOLONG')
    const source = old.parent.children.get(old.name) ?? fail('ENOENT')
    if (next.name.length > 255) fail('ENAMETOOLONG')
    const { children } = next.parent
    const target = children.get(next.name)
    if (target !== undefined && noReplace) fail('EEXIST')
    const moves = source.type === 'directory'
    if (moves && old.parent !== next.parent && this.#isWithin(next.parent, source)) fail('EINVAL')
    if (target !== undefined && old.parent !== next.parent && this.#isWithin(old.parent, target)) fail('ENOTEMPTY')
    const isRespelling =
      target === source && old.parent === next.parent && children.key(old.name) === children.key(next.name)
    if (isRespelling && children.spellingOf(old.name) === next.name) return false
    if (target === source && (!isRespelling || leavesWhiteout)) return false
    if (isRespelling) {
      children.set(next.name, source)
      source.ctime = this.now
      this.#touch(next.parent)
      return false
    }
    if (target !== undefined) {
      if (moves && target.type !== 'directory') fail('ENOTDIR')
      if (!moves && target.type === 'directory') fail('EISDIR')
      if (target.children.size > 0) fail('ENOTEMPTY')
      target.nlink--
      target.ctime = this.now
      if (moves) next.parent.nlink--
    }
    if (leavesWhiteout) old.parent.children.replace(old.name, this.#file('device', 0, old.parent))
    else old.parent.children.delete(old.name)
    next.parent.children.set(next.name, source)
    if (moves) {
      old.parent.nlink--
      next.parent.nlink++
      source.parent = next.parent
    }
    source.ctime = this.now
    this.#touch(old.parent)
    this.#touch(next.parent)
    return target !== undefined
  }

  #exchange(from: string, to: string): boolean {
    const old = this.#split(from)
    const next = this.#split(to)
    if (old.parent.type !== 'directory' || next.parent.type !== 'directory') fail('ENOTDIR')
    if (old.name.length > 255) fail('ENAMETOOLONG')
    const one = old.parent.children.get(old.name) ?? fail('ENOENT')
    if (next.name.length > 255) fail('ENAMETOOLONG')
    const other = next.parent.children.get(next.name) ?? fail('ENOENT')
    if (old.parent !== next.parent) {
      if (this.#isWithin(next.parent, one) || this.#isWithin(old.parent, other)) fail('EINVAL')
    }
    if (one === other) return false
    old.parent.children.replace(old.name, other)
    next.parent.children.replace(next.name, one)
    for (const { file, before, after } of [
      { file: one, before: old.parent, after: next.parent },
      { file: other, before: next.parent, after: old.parent },
    ]) {
      file.ctime = this.now
      if (file.type !== 'directory') continue
      file.parent = after
      before.nlink--
      after.nlink++
    }
    this.#touch(old.parent)
    this.#touch(next.parent)
    return true
  }

  /** chattr +F or -F. */
  fold(path: string, folds: boolean): void {
    const file = this.at(path)
    if (file.children.folds === folds) return
    if (file.type !== 'directory') fail('ENOTDIR')
    if (file.children.size > 0) fail('ENOTEMPTY')
    file.children.folds = folds
    file.ctime = this.now
  }

  /** Every path with its file, parents first. */
  *walk(file: ModelFile = this.root, path = ''): Generator<[string, ModelFile]> {
    yield [path === '' ? '/' : path, file]
    for (const [name, child] of file.children) yield* this.walk(child, `${path}/${name}`)
  }
}
