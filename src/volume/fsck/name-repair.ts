// Mending names and inodes. What has no name, or none that may stand, gets one in the directory lost+found of the root:
// `#` and its inode number.
import { decodeRange } from '../../data/index.ts'
import {
  DIRECTORY,
  DOT_KEY,
  decodeInode,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryName,
  dentryType,
  EXTENTS,
  encodeDentry,
  encodeInode,
  encodeSharedDentry,
  type Ino,
  type Inode,
  isDirectory,
  newInode,
  ORPHANS,
  PARENTS,
  parentOf,
  putParent,
  ROOT_INO,
  S_IFDIR,
  S_IFREG,
  SHARED,
} from '../../meta/index.ts'
import type { Transaction } from '../../tables/index.ts'
import { inodeProblem } from './records.ts'
import type { Repair } from './repair.ts'
import type { Edge, Home } from './survey.ts'

const LOST_FOUND = 'lost+found'
const END = Number.MAX_SAFE_INTEGER

export class NameRepair {
  readonly #repair: Repair
  /** An inode number for lost+found, in case it has to be made. */
  #spareIno: Ino | null = null

  constructor(repair: Repair) {
    this.#repair = repair
  }

  #get(directory: number, key: number): Buffer | null {
    return this.#repair.database.table(DIRECTORY, directory).get(key)
  }

  /** The directory's own inode; null when there is none that can be. */
  #dot(directory: number): Inode | null {
    const record = this.#get(directory, DOT_KEY)
    return record === null || inodeProblem(record, 0, record.length) !== null ? null : decodeInode(record, 0)
  }

  #addLinks(transaction: Transaction, directory: number, count: number): void {
    const inode = this.#dot(directory)
    if (inode === null) return
    transaction.put(DIRECTORY, directory, DOT_KEY, encodeInode({ ...inode, nlink: Math.max(2, inode.nlink + count) }))
  }

  /** Where in lost+found something called `#ino` is to stand. Makes the directory when there is none. */
  #placeFor(
    transaction: Transaction,
    ino: number,
    isDirectoryEntry: boolean,
  ): { directory: number; key: number; name: Buffer } {
    const { metadata } = this.#repair
    const directory = this.#lostFound(transaction, isDirectoryEntry ? 1 : 0)
    for (let copy = 0; ; copy++) {
      const name = Buffer.from(copy === 0 ? `#${ino}` : `#${ino}.${copy}`)
      const { found, key } = metadata.findOrFree(directory, name)
      if (found === null) return { directory, key, name }
    }
  }

  /** The ino of lost+found, which gets so many subdirectories more. */
  #lostFound(transaction: Transaction, newSubdirectories: number): number {
    const { clock, database, metadata } = this.#repair
    for (let copy = 0; ; copy++) {
      const name = Buffer.from(copy === 0 ? LOST_FOUND : `${LOST_FOUND}.${copy}`)
      const { found, key } = metadata.findOrFree(ROOT_INO, name)
      if (found !== null) {
        const ino = dentryIno(found.bytes, found.start)
        if (!isDirectory(dentryType(found.bytes, found.start)) || this.#dot(ino) === null) continue
        this.#addLinks(transaction, ino, newSubdirectories)
        return ino
      }
      this.#spareIno ??= database.takeId('ino') as Ino
      const ino = this.#spareIno
      const inode = newInode({ ino, mode: S_IFDIR | 0o700, uid: 0, gid: 0, now: clock.now() })
      inode.nlink += newSubdirectories
      transaction.clear(DIRECTORY, ino)
      transaction.put(DIRECTORY, ino, DOT_KEY, encodeInode(inode))
      transaction.put(DIRECTORY, ROOT_INO, key, encodeDentry(name, inode))
      putParent(transaction, ino, ROOT_INO, key)
      this.#addLinks(transaction, ROOT_INO, 1)
      return ino
    }
  }

  /** Moves an entry to lost+found. */
  moveToLostFound(directory: number, key: number): Promise<void> {
    return this.#repair.change((transaction) => this.#moveAway(transaction, directory, key))
  }

  #moveAway(transaction: Transaction, directory: number, key: number): void {
    const record = this.#get(directory, key)
    if (record === null) return
    const ino = dentryIno(record, 0)
    const mode = dentryType(record, 0)
    const isShared = dentryIsShared(record, 0)
    const isDirectoryEntry = isDirectory(mode) && !isShared
    transaction.delete(DIRECTORY, directory, key)
    if (isDirectoryEntry) this.#addLinks(transaction, directory, -1)
    const place = this.#placeFor(transaction, ino, isDirectoryEntry)
    if (isShared) {
      transaction.put(DIRECTORY, place.directory, place.key, encodeSharedDentry(place.name, ino, mode))
      return
    }
    const inode = decodeInode(record, dentryInodeAt(record, 0))
    transaction.put(DIRECTORY, place.directory, place.key, encodeDentry(place.name, inode))
    putParent(transaction, ino, place.directory, place.key)
  }

  /** Puts an entry where its name belongs. */
  rename(directory: number, key: number): Promise<void> {
    const { metadata } = this.#repair
    return this.#repair.change((transaction) => {
      const record = this.#get(directory, key)
      if (record === null) return
      const name = dentryName(record, 0)
      const { found: there, key: right } = metadata.findOrFree(directory, name)
      if (there !== null) {
        if (there.key !== key) this.#moveAway(transaction, directory, key)
        return
      }
      transaction.delete(DIRECTORY, directory, key)
      transaction.put(DIRECTORY, directory, right, Buffer.from(record))
      if (!dentryIsShared(record, 0)) putParent(transaction, dentryIno(record, 0), directory, right)
    })
  }

  /** Takes an entry of a shared inode that is not there out. */
  removeDangling(directory: number, key: number): Promise<void> {
    const { database } = this.#repair
    return this.#repair.change((transaction) => {
      const record = this.#get(directory, key)
      if (record === null || !dentryIsShared(record, 0)) return
      if (database.table(SHARED).get(dentryIno(record, 0)) === null) transaction.delete(DIRECTORY, directory, key)
    })
  }

  /** Takes out an entry that names a directory which has its name elsewhere. */
  removeEdge(directory: number, key: number, ino: number): Promise<void> {
    return this.#repair.change((transaction) => {
      const record = this.#get(directory, key)
      if (record === null || dentryIno(record, 0) !== ino) return
      transaction.delete(DIRECTORY, directory, key)
      this.#addLinks(transaction, directory, -1)
    })
  }

  /** Makes one shared inode of several that have the same number: that which changed last. */
  share(ino: number, homes: readonly Home[]): Promise<void> {
    return this.#repair.change((transaction) => {
      let newest: Inode | null = null
      let names = 0
      for (const home of homes) {
        const inode = this.#read(home)
        if (inode === null) continue
        if (newest === null || isLater(inode, newest)) newest = inode
        if (home.kind !== 'dentry') continue
        names++
      }
      if (newest === null) return
      for (const { directory, key, kind } of homes) {
        const record = kind === 'dentry' ? this.#get(directory, key) : null
        if (record === null || dentryIno(record, 0) !== ino) continue
        transaction.put(DIRECTORY, directory, key, encodeSharedDentry(dentryName(record, 0), newest.ino, newest.mode))
      }
      transaction.delete(PARENTS, 0, ino)
      transaction.delete(ORPHANS, 0, ino)
      transaction.put(SHARED, 0, ino, encodeInode({ ...newest, nlink: names }))
    })
  }

  #read({ kind, ino, directory, key }: Home): Inode | null {
    const { database } = this.#repair
    switch (kind) {
      case 'directory':
        return this.#dot(ino)
      case 'dentry': {
        const record = this.#get(directory, key)
        const isIt = record !== null && dentryIno(record, 0) === ino && !dentryIsShared(record, 0)
        return isIt ? decodeInode(record, dentryInodeAt(record, 0)) : null
      }
      case 'shared':
      case 'orphan': {
        const record = database.table(kind === 'shared' ? SHARED : ORPHANS).get(ino)
        return record === null ? null : decodeInode(record, 0)
      }
    }
  }

  /** Changes an inode at its home; `change` gives null to leave it. */
  edit(home: Home, change: (inode: Inode, transaction: Transaction) => Inode | null): Promise<void> {
    return this.#repair.change((transaction) => {
      const before = this.#read(home)
      const inode = before === null ? null : change(before, transaction)
      if (inode === null) return
      const { kind, ino, directory, key } = home
      if (kind === 'directory') transaction.put(DIRECTORY, ino, DOT_KEY, encodeInode(inode))
      else if (kind === 'shared') transaction.put(SHARED, 0, ino, encodeInode(inode))
      else if (kind === 'orphan') transaction.put(ORPHANS, 0, ino, encodeInode(inode))
      else {
        const name = dentryName(this.#get(directory, key)!, 0)
        transaction.put(DIRECTORY, directory, key, encodeDentry(name, inode))
      }
    })
  }

  setLinkCount(home: Home, nlink: number): Promise<void> {
    return this.edit(home, (inode) => ({ ...inode, nlink }))
  }

  setParent(ino: number, { directory, key }: Edge): Promise<void> {
    return this.#repair.change((transaction) => {
      const record = this.#get(directory, key)
      if (record !== null && dentryIno(record, 0) === ino) putParent(transaction, ino, directory, key)
    })
  }

  /** Takes out a row of PARENTS where no entry is as it says. */
  dropParent(ino: number): Promise<void> {
    return this.#repair.change((transaction) => {
      const parent = parentOf(this.#repair.database, ino)
      const record = parent === null ? null : this.#get(parent.directory, parent.key)
      const isRight = record !== null && dentryIno(record, 0) === ino && !dentryIsShared(record, 0)
      if (!isRight) transaction.delete(PARENTS, 0, ino)
    })
  }

  /** Gives a directory that nothing names a name. */
  attach(ino: number): Promise<void> {
    return this.#repair.change((transaction) => {
      const inode = this.#dot(ino)
      if (inode === null) return
      const place = this.#placeFor(transaction, ino, true)
      transaction.put(DIRECTORY, place.directory, place.key, encodeDentry(place.name, inode))
      putParent(transaction, ino, place.directory, place.key)
    })
  }

  /** Gives a shared inode that nothing names a name. */
  attachShared(ino: number): Promise<void> {
    const home: Home = { kind: 'shared', ino, directory: 0, key: 0 }
    return this.edit(home, (inode, transaction) => {
      const place = this.#placeFor(transaction, ino, false)
      transaction.put(DIRECTORY, place.directory, place.key, encodeSharedDentry(place.name, inode.ino, inode.mode))
      return { ...inode, nlink: 1 }
    })
  }

  /** Makes a directory's own inode again: from the copy in the entry that names it, or with what is usual. */
  makeDot(ino: number, edge: Edge | null): Promise<void> {
    const { clock } = this.#repair
    return this.#repair.change((transaction) => {
      if (this.#dot(ino) !== null) return
      const record = edge === null ? null : this.#get(edge.directory, edge.key)
      const mode = S_IFDIR | (ino === ROOT_INO ? 0o755 : 0o700)
      const inode =
        record !== null && dentryIno(record, 0) === ino
          ? decodeInode(record, dentryInodeAt(record, 0))
          : newInode({ ino: ino as Ino, mode, uid: 0, gid: 0, now: clock.now() })
      transaction.put(DIRECTORY, ino, DOT_KEY, encodeInode(inode))
    })
  }

  /** Brings the copy of a directory's inode up to date. */
  copyDot({ directory, key }: Edge, ino: number): Promise<void> {
    return this.#repair.change((transaction) => {
      const record = this.#get(directory, key)
      const inode = this.#dot(ino)
      if (record === null || inode === null || dentryIno(record, 0) !== ino) return
      transaction.put(DIRECTORY, directory, key, encodeDentry(dentryName(record, 0), inode))
    })
  }

  /** Makes a file of extents whose inode is lost. */
  makeFile(ino: number): Promise<void> {
    const { clock, database } = this.#repair
    return this.#repair.change((transaction) => {
      let sizeBytes = 0
      let allocatedBytes = 0
      database.table(EXTENTS, ino).scan(0, END, (key, bytes, start) => {
        const { lengthBytes } = decodeRange(bytes, start)
        sizeBytes = Math.max(sizeBytes, key + lengthBytes)
        allocatedBytes += lengthBytes
        return true
      })
      const inode = newInode({ ino: ino as Ino, mode: S_IFREG | 0o600, uid: 0, gid: 0, now: clock.now() })
      const place = this.#placeFor(transaction, ino, false)
      const file: Inode = { ...inode, sizeBytes, allocatedBytes, extents: null }
      transaction.put(DIRECTORY, place.directory, place.key, encodeDentry(place.name, file))
      putParent(transaction, ino, place.directory, place.key)
    })
  }
}

function isLater(a: Inode, b: Inode): boolean {
  return a.ctime.sec > b.ctime.sec || (a.ctime.sec === b.ctime.sec && a.ctime.nsec > b.ctime.nsec)
}
