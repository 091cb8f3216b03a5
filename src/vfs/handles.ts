// Open files. A handle is a number; per file it is counted how many are open and how many may write.
//
// Must stay true: a file is open as long as it has a handle, so its inode and its bytes stay, with or without a name.
import { ok as assert } from 'node:assert'
import { LRUCache } from 'lru-cache'
import { newCounters, type ReadAheadCounters, ReadAheadRoom } from '../data/index.ts'
import { errnoError } from '../platform/index.ts'
import type { Handle } from './filesystem.ts'
import { Reader } from './reader.ts'

const O_ACCMODE = 3
const O_RDONLY = 0
const SHARED_READERS_MAX = 256
/** What a transport gives where it opened nothing. */
const NO_HANDLE = 0 as Handle

export interface OpenFile {
  readonly ino: number
  readonly writable: boolean
  readonly users: Users
  /** Made at the first read. */
  reader: Reader | null
}

/** Who has a file open. */
export interface Users {
  readonly ino: number
  open: number
  writers: number
}

export class Handles {
  readonly #files = new Map<number, OpenFile>()
  readonly #users = new Map<number, Users>()
  #next = 1
  readonly #sharedReaders = new LRUCache<number, Reader>({
    max: SHARED_READERS_MAX,
    dispose: (reader) => reader.close(),
  })
  readonly #maxReadAheadBytes: number
  readonly #room: ReadAheadRoom
  /** Of all readers. */
  readonly counters: ReadAheadCounters = newCounters()

  /** `roomBytes`: how far ahead of all readers together may be fetched at the moment. */
  constructor({ maxReadAheadBytes, roomBytes }: { maxReadAheadBytes: number; roomBytes: () => number }) {
    this.#maxReadAheadBytes = maxReadAheadBytes
    this.#room = new ReadAheadRoom(roomBytes)
  }

  open(ino: number, flags: number): Handle {
    const writable = (flags & O_ACCMODE) !== O_RDONLY
    const handle = this.#next++
    let users = this.#users.get(ino)
    if (users === undefined) {
      users = { ino, open: 0, writers: 0 }
      this.#users.set(ino, users)
    }
    users.open++
    if (writable) users.writers++
    this.#files.set(handle, { ino, writable, users, reader: null })
    return handle as Handle
  }

  get(handle: Handle): OpenFile {
    const file = this.#files.get(handle)
    if (file === undefined) throw errnoError('EBADF')
    return file
  }

  /** The reader behind a handle. On a read-only mount the kernel opens nothing and reads with NO_HANDLE: then all that
   *  read a file are one reader. */
  reader(handle: Handle, ino: number): Reader {
    if (handle === NO_HANDLE) return this.#sharedReaders.get(ino) ?? this.#newSharedReader(ino)
    const file = this.get(handle)
    file.reader ??= this.#newReader()
    return file.reader
  }

  #newReader(): Reader {
    return new Reader({ maxReadAheadBytes: this.#maxReadAheadBytes, counters: this.counters, room: this.#room })
  }

  #newSharedReader(ino: number): Reader {
    const reader = this.#newReader()
    this.#sharedReaders.set(ino, reader)
    return reader
  }

  /** Tells what is left of the file's users. */
  close(handle: Handle): Readonly<Users> {
    const { users, writable, reader } = this.get(handle)
    reader?.close()
    this.#files.delete(handle)
    assert(users.open > 0)
    users.open--
    if (writable) users.writers--
    if (users.open === 0) this.#users.delete(users.ino)
    return users
  }

  /** Whether somebody may write to it. */
  isWritten(ino: number): boolean {
    return (this.#users.get(ino)?.writers ?? 0) > 0
  }

  isOpen(ino: number): boolean {
    return this.#users.has(ino)
  }

  get size(): number {
    return this.#files.size
  }
}
