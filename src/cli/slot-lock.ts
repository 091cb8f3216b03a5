// The lock file of a slot, RUN/cairnfs/UUID-SLOT.lock: by it a mount on the same host knows at once whether the holder
// named in writers/ still lives, instead of waiting for the lease.
//
// The file holds one JSON line about its owner (pid, since when, where it is mounted, whether it is leaving), for
// messages and to tell a daemon that is unmounting from one that serves. The lock itself is flock(2): the kernel drops it
// when the process ends, however it ends. After kill -9 the file stays, and the next mount takes over this very file, so
// that path, device and inode are those that writers/ recorded.
//
// Must stay true: the file is removed only by the owner of its lock, or by who takes the volume over, and whoever got a lock checks that the file is still
// the one at the path, else it begins again; so no two processes ever hold "the" lock.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryFlock } from '../platform/index.ts'
import { codeOf } from './errors.ts'

/** What the owner says of itself. */
export interface LockOwner {
  pid: number
  /** ISO 8601. */
  since: string
  /** Where it is (to be) mounted. */
  mountpoint: string
  /** `MAJOR:MINOR`, once it is mounted. */
  majorMinor: string | null
  /** It has begun to unmount: whoever wants the slot waits. */
  isLeaving: boolean
}

/** As writers/ records it. */
export interface LockIdentity {
  path: string
  device: number
  inode: number
}

const POLL_MS = 50
/** Another mount's test of the lock takes it for an instant: one refusal is not yet an owner. */
const ATTEMPTS = 4

export class SlotLock implements LockIdentity {
  readonly path: string
  readonly device: number
  readonly inode: number
  readonly #fd: number
  #owner: LockOwner
  #isDropped = false

  private constructor(path: string, fd: number, owner: LockOwner) {
    const { dev, ino } = fstatSync(fd)
    this.path = path
    this.device = dev
    this.inode = ino
    this.#fd = fd
    this.#owner = owner
    this.note({})
  }

  /** Takes the lock, or tells who has it (null where the owner has not written that yet). */
  static async take(path: string, owner: LockOwner): Promise<SlotLock | { heldBy: LockOwner | null }> {
    for (let attempt = 0; attempt < ATTEMPTS; ) {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
      if (tryFlock(fd, 'exclusive')) {
        if (isFileAt(path, fd)) return new SlotLock(path, fd, owner)
        closeSync(fd)
        continue
      }
      closeSync(fd)
      attempt++
      if (attempt < ATTEMPTS) await sleep(POLL_MS)
    }
    return { heldBy: readOwner(path) }
  }

  /** Takes the file away from an owner that lives: the volume is taken over. It keeps its lock, on a file without a name. */
  static disown(path: string): void {
    rmSync(path, { force: true })
  }

  /** Changes what the file says of its owner. */
  note(change: Partial<LockOwner>): void {
    if (this.#isDropped) return
    this.#owner = { ...this.#owner, ...change }
    ftruncateSync(this.#fd, 0)
    writeSync(this.#fd, `${JSON.stringify(this.#owner)}\n`, 0)
  }

  /** Removes the file, then drops the lock: the slot is free. */
  release(): void {
    if (this.#isDropped) return
    // Whoever took the volume over has a file of its own there.
    if (isFileAt(this.path, this.#fd)) unlinkSync(this.path)
    this.abandon()
  }

  /** Drops the lock and leaves the file, where writers/ may still name it. */
  abandon(): void {
    if (this.#isDropped) return
    this.#isDropped = true
    closeSync(this.#fd)
  }
}

function isFileAt(path: string, fd: number): boolean {
  const ours = fstatSync(fd)
  const there = statSync(path, { throwIfNoEntry: false })
  return there !== undefined && there.dev === ours.dev && there.ino === ours.ino
}

/** What the file at `path` says of its owner; null when it is missing or being written. */
export function readOwner(path: string): LockOwner | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockOwner
  } catch {
    // Missing, or read between its truncation and its writing: nothing is known.
    return null
  }
}

/** `free`: this very file is there and nobody holds its lock, so the process that held it is gone. `unknown`: it is not
 *  there, or another file, or not for us to see. */
export function lockState({ path, device, inode }: LockIdentity): 'free' | 'held' | 'unknown' {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM' || code === 'ELOOP')
      return 'unknown'
    throw error
  }
  try {
    const stat = fstatSync(fd)
    if (stat.dev !== device || stat.ino !== inode) return 'unknown'
    return tryFlock(fd, 'shared') ? 'free' : 'held'
  } finally {
    closeSync(fd)
  }
}

/** Whether the owner's mount is gone from its own view of the tree: it is unmounting, though it may not know yet. */
export function isOwnerLeaving(owner: LockOwner): boolean {
  if (owner.isLeaving) return true
  if (owner.majorMinor === null) return false
  try {
    const mounts = readFileSync(`/proc/${owner.pid}/mountinfo`, 'utf8')
    return !mounts.split('\n').some((line) => line.split(' ')[2] === owner.majorMinor)
  } catch {
    // Its pid means nothing here (another pid namespace), or it has just ended: the lock decides.
    return false
  }
}
