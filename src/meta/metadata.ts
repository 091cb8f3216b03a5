// Metadata: inodes and names over tables. Reads only, and the building of transactions; applying them, and all that the
// streams add, is vfs/.
//
// The model: an inode stands in exactly one place, its *home*: the dentry that names it; for directories their own
// table's key 0; SHARED once it had several names; ORPHANS when it has none. A Node is an inode with its home, read in
// this turn; `put` writes it back there.
//
// Must stay true:
// - Any read may throw a PageFault; nothing here changes state in memory, so an operation can begin again.
// - A directory's dentry may be stale (its copy is as of the last checkpoint): only `nodeOf` and `overlayDirectory` turn
//   it into attributes.
import { ok as assert } from 'node:assert'
import { errnoError, FsError, readU64, type Timespec, writeU64 } from '../platform/index.ts'
import type { Database, Table, TableReader, Transaction } from '../tables/index.ts'
import { CASEFOLD_FLAG, type Ino, isDirectory, ROOT_INO } from './attributes.ts'
import {
  dentryHasName,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  encodeDentry,
  NAME_MAX,
} from './dentry-record.ts'
import { DirectoryRecord } from './directory-record.ts'
import { foldName } from './fold.ts'
import { decodeInode, encodeInode, type Inode, inodeFlags } from './inode-record.ts'
import { DOT_KEY, FIRST_NAME_KEY, type NameKeys, ORDINALS } from './name-keys.ts'
import { IN_ORPHANS, IN_SHARED, type Place, Places, REMOVED } from './places.ts'
import { DIRECTORY, ORPHANS, PARENTS, SHARED } from './table-kinds.ts'

export type Home = 'dentry' | 'directory' | 'shared' | 'orphan' | 'removed'

/** An inode read in this turn, and where it stands. */
export interface Node {
  inode: Inode
  home: Home
  /** The dentry that was used to get at it; for the homes `dentry` and `directory` (not the root). */
  directory: number
  key: number
  /** Its name there; a view, valid in this turn. */
  name: Buffer
}

/** A name found in a directory. `bytes` from `start` on hold the dentry record; valid in this turn. */
export interface FoundName {
  key: number
  bytes: Buffer
  start: number
}

/** What there is under a name, and the key where it stands or would stand. */
export interface NameKey {
  found: FoundName | null
  key: number
}

const NO_NAME = Buffer.alloc(0)
/** Directories of which it is remembered whether they fold. */
const FOLDING_MAX = 100_000

export interface MetadataOptions {
  database: Database
  nameKeys: NameKeys
}

export class Metadata {
  readonly database: Database
  readonly nameKeys: NameKeys
  readonly places = new Places()
  /** What was removed while something still refers to it, and has nothing that would have to be dropped once nothing does:
   *  directories, and files without bytes. Gone from the tables, nlink 0. Changed in the turn of the removal and of the last
   *  forget. */
  readonly removed = new Map<number, Inode>()
  /** Of directories that were asked for: whether names in them are folded. A hint that spares reading "."; it is changed in
   *  the turn in which the flag is. */
  readonly #folding = new Map<number, boolean>()

  constructor({ database, nameKeys }: MetadataOptions) {
    this.database = database
    this.nameKeys = nameKeys
  }

  directory(ino: number): Table {
    return this.database.table(DIRECTORY, ino)
  }

  /** Whether names in a directory that fold alike are one. May fault. */
  folds(directory: number): boolean {
    let folds = this.#folding.get(directory)
    if (folds === undefined) {
      const own = this.directory(directory).get(DOT_KEY)
      folds = own !== null && (inodeFlags(own, 0) & CASEFOLD_FLAG) !== 0
      this.noteFolding(directory, folds)
    }
    return folds
  }

  /** False only where it is known that they are not. Never faults. */
  mayFold(directory: number): boolean {
    return this.#folding.get(directory) ?? true
  }

  noteFolding(directory: number, folds: boolean): void {
    if (this.#folding.size >= FOLDING_MAX) this.#folding.clear()
    this.#folding.set(directory, folds)
  }

  /** Finds a name, or in a folding directory one that folds alike; null when there is none. ENAMETOOLONG, as
   *  path_resolution(7). */
  find(directory: number, name: Uint8Array): FoundName | null {
    return this.#search(directory, name).found
  }

  /** The same, and the key that a name which is not there gets: the lowest free ordinal of its hash. ENOSPC where all are
   *  taken. */
  findOrFree(directory: number, name: Uint8Array): NameKey {
    const { found, free } = this.#search(directory, name)
    if (found !== null) return { found, key: found.key }
    if (free === null) throw errnoError('ENOSPC')
    return { found, key: free }
  }

  #search(directory: number, name: Uint8Array): { found: FoundName | null; free: number | null } {
    if (name.length > NAME_MAX) throw errnoError('ENAMETOOLONG')
    if (name.length === 0) throw errnoError('ENOENT')
    // Null where only the exact name counts.
    const folded = this.folds(directory) ? foldName(name) : null
    const base = this.nameKeys(folded ?? name)
    const last = base + ORDINALS - 1
    let found: FoundName | null = null
    let free = base
    this.directory(directory).scan(base, last, (key, bytes, start) => {
      const isIt = dentryHasName(bytes, start, name) || (folded !== null && foldsTo(dentryName(bytes, start), folded))
      if (isIt) found = { key, bytes, start }
      else if (key === free) free++
      return !isIt
    })
    return { found, free: free <= last ? free : null }
  }

  /** The inode of an ino. ESTALE when there is no such inode (any more). */
  nodeOf(ino: number): Node {
    if (ino === ROOT_INO) return this.#rootNode()
    const place = this.places.get(ino) ?? this.placeByTables(ino)
    if (place === null) throw errnoError('ESTALE')
    if (place.directory === IN_SHARED) return this.#rowNode(SHARED, 'shared', ino)
    if (place.directory === IN_ORPHANS) return this.#rowNode(ORPHANS, 'orphan', ino)
    if (place.directory === REMOVED) {
      const inode = this.removed.get(ino)
      if (inode === undefined) throw errnoError('ESTALE')
      return { inode, home: 'removed', directory: 0, key: 0, name: NO_NAME }
    }
    return this.nodeAt(place.directory, { key: place.key, bytes: this.#dentryAt(place, ino), start: 0 })
  }

  #dentryAt({ directory, key }: Place, ino: number): Buffer {
    const record = this.directory(directory).get(key)
    assert(record !== null && dentryIno(record, 0) === ino, `the place of inode ${ino} is right`)
    return record
  }

  /** The dentry of an inode that the kernel knows by it; null where it knows none, or the inode stands elsewhere. */
  knownDentry(ino: number): Buffer | null {
    const place = this.places.get(ino)
    return place === undefined || place.directory <= 0 ? null : this.#dentryAt(place, ino)
  }

  /** The same; null when there is no such inode (any more). */
  nodeIfAny(ino: number): Node | null {
    try {
      return this.nodeOf(ino)
    } catch (error) {
      if (error instanceof FsError && error.code === 'ESTALE') return null
      throw error
    }
  }

  /** A directory's node. ENOTDIR, ESTALE. */
  directoryNode(ino: number): Node {
    const node = this.nodeOf(ino)
    if (!isDirectory(node.inode.mode)) throw errnoError('ENOTDIR')
    return node
  }

  /** A directory as far as changes of the names in it go. ENOTDIR, ESTALE. */
  directoryRecord(ino: Ino): DirectoryRecord {
    const own = this.directory(ino).getChanged(DOT_KEY)
    if (own !== undefined && own !== null) return new DirectoryRecord(ino, own)
    const { inode, home } = this.directoryNode(ino)
    return new DirectoryRecord(ino, encodeInode(inode), home === 'removed')
  }

  /** ENOTDIR, ESTALE. */
  assertDirectory(ino: number): void {
    // Only directories have a ".", and those that are gone have none.
    if (!this.directory(ino).getChanged(DOT_KEY)) this.directoryNode(ino)
  }

  /** The inode behind a name found in `directory`. */
  nodeAt(directory: number, found: FoundName): Node {
    const { key, bytes, start } = found
    const ino = dentryIno(bytes, start)
    if (dentryIsShared(bytes, start)) return this.#rowNode(SHARED, 'shared', ino)
    const name = dentryName(bytes, start)
    if (!isDirectory(dentryType(bytes, start))) {
      return { inode: decodeInode(bytes, dentryInodeAt(bytes, start)), home: 'dentry', directory, key, name }
    }
    const own = this.directory(ino).getChanged(DOT_KEY)
    if (own === null) throw errnoError('ESTALE')
    const inode = own === undefined ? decodeInode(bytes, dentryInodeAt(bytes, start)) : decodeInode(own, 0)
    return { inode, home: 'directory', directory, key, name }
  }

  /** Whether the volume has a root directory: a new one has not. */
  hasRoot(): boolean {
    return this.directory(ROOT_INO).get(DOT_KEY) !== null
  }

  #rootNode(): Node {
    const record = this.directory(ROOT_INO).get(DOT_KEY)
    assert(record !== null, 'the root directory is there')
    return { inode: decodeInode(record, 0), home: 'directory', directory: 0, key: 0, name: NO_NAME }
  }

  #rowNode(kind: typeof SHARED, home: 'shared' | 'orphan', ino: number): Node {
    const record = this.database.table(kind).get(ino)
    if (record === null) throw errnoError('ESTALE')
    return { inode: decodeInode(record, 0), home, directory: 0, key: 0, name: NO_NAME }
  }

  /** Where an inode lies by the tables alone; null when nowhere. Not for the root. */
  placeByTables(ino: number): Place | null {
    const parent = parentOf(this.database, ino)
    if (parent !== null) return parent
    if (this.database.table(SHARED).get(ino) !== null) return { directory: IN_SHARED, key: 0 }
    if (this.database.table(ORPHANS).get(ino) !== null) return { directory: IN_ORPHANS, key: 0 }
    return null
  }

  /** The directory that holds a directory; the root holds itself, a removed one too. */
  parentDirectory(ino: number): Ino {
    if (ino === ROOT_INO) return ROOT_INO
    const place = this.places.get(ino) ?? parentOf(this.database, ino)
    if (place === null || place.directory <= 0) return ino as Ino
    return place.directory as Ino
  }

  /** Whether `directory` is `ancestor` or lies below it. */
  isWithin(directory: number, ancestor: number): boolean {
    for (let at = directory; ; ) {
      if (at === ancestor) return true
      const up = this.parentDirectory(at)
      if (up === at) return false
      at = up
    }
  }

  /** Writes a node back to its home. */
  put(transaction: Transaction, node: Node): void {
    const { inode, home } = node
    switch (home) {
      case 'dentry':
        transaction.put(DIRECTORY, node.directory, node.key, encodeDentry(node.name, inode))
        break
      case 'directory':
        transaction.put(DIRECTORY, inode.ino, DOT_KEY, encodeInode(inode))
        break
      case 'shared':
        transaction.put(SHARED, 0, inode.ino, encodeInode(inode))
        break
      case 'orphan':
        transaction.put(ORPHANS, 0, inode.ino, encodeInode(inode))
        break
      case 'removed':
        assert(inode.extents?.length === 0, 'what has bytes does not stand in memory alone')
        break
      default: {
        const never: never = home
        throw new Error(`unknown home ${never}`)
      }
    }
  }

  /** Keeps an inode that was read in this turn and is about to go from the tables, for those who refer to it. To be called
   *  before that is applied, which may put another record in the place of this one; returns what to do then. */
  keepRemoved(inode: Inode, ctime: Timespec): () => void {
    const { ino, target, xattrs } = inode
    if (!this.places.isReferenced(ino)) return () => {}
    inode.nlink = 0
    inode.ctime = ctime
    // Both are views of a record.
    inode.target = copyOf(target)
    inode.xattrs = copyOf(xattrs)
    return () => {
      this.removed.set(ino, inode)
      this.places.move(ino, REMOVED, 0)
    }
  }

  isEmptyDirectory(ino: number): boolean {
    return this.directory(ino).isEmpty(FIRST_NAME_KEY)
  }
}

function copyOf(bytes: Buffer): Buffer {
  return bytes.length === 0 ? bytes : Buffer.from(bytes)
}

function foldsTo(name: Uint8Array, folded: Uint8Array): boolean {
  const own = foldName(name)
  return own !== null && Buffer.compare(own, folded) === 0
}

/** The row of PARENTS; null when there is none (the root, shared inodes, orphans). */
export function parentOf(reader: TableReader, ino: number): { directory: number; key: number } | null {
  const record = reader.table(PARENTS).get(ino)
  return record === null ? null : { directory: readU64(record, 0), key: readU64(record, 8) }
}

export function putParent(transaction: Transaction, ino: number, directory: number, key: number): void {
  const record = Buffer.allocUnsafe(16)
  writeU64(record, 0, directory)
  writeU64(record, 8, key)
  transaction.put(PARENTS, 0, ino, record)
}

/** Makes the root directory of a new volume. */
export function putRootDirectory(transaction: Transaction, root: Inode): void {
  assert(root.ino === ROOT_INO && isDirectory(root.mode))
  transaction.clear(DIRECTORY, ROOT_INO)
  transaction.put(DIRECTORY, ROOT_INO, DOT_KEY, encodeInode(root))
}
