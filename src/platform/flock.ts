// Advisory locks of whole files, flock(2): what tells a living daemon from a dead one on the same host. The kernel drops
// the lock when the last descriptor of the open file is closed, however its process ended.
//
// Must stay true: a lock belongs to the open file, not to the process. Opening the file again and asking for the lock
// competes with one's own.
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { type ErrnoName, FsError } from './errors.ts'

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4

type Flock = (fd: number, operation: number) => number

let loaded: { flock: Flock; errno: () => number } | undefined

function load(): { flock: Flock; errno: () => number } {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const flock = koffi.load('libc.so.6').func('flock', 'int', ['int', 'int']) as unknown as Flock
  return { flock, errno: () => koffi.errno() }
}

/** Takes a lock on an open file without waiting. False when somebody else's lock stands against it. */
export function tryFlock(fd: number, mode: 'shared' | 'exclusive'): boolean {
  loaded ??= load()
  if (loaded.flock(fd, (mode === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true
  const errno = loaded.errno()
  if (errno === constants.errno.EWOULDBLOCK) return false
  const name = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? 'EIO'
  throw new FsError(name as ErrnoName, `flock failed (${name}): the filesystem of the lock file must support flock(2)`)
}
