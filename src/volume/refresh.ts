// Read-only mounts show the state at their mount. When an object of that state is gone (its writer went on, and cleaned
// after the grace period) they take the newest state, and give EIO only where that state still names what is gone.
//
// Must stay true:
// - An operation is answered from one state. One that met what is gone begins again on the newer state as a whole; so a
//   listing that was interrupted goes on by its cookie, which stays valid.
// - Whoever caches what was answered (the kernel) is told after each change of state, with the inodes it knows of.
import { FsError, isPromise, type MaybePromise } from '../platform/index.ts'
import type { Lease } from '../segments/index.ts'
import { StoreError } from '../store/index.ts'
import type { Caller, DirectorySink, Filesystem, Handle, Ino, OpenFlags } from '../vfs/index.ts'
import type { OpenVolumeOptions, Volume, VolumeParts } from './open.ts'

/** States that one operation goes through: the writer may clean faster than we read. */
const STATES_MAX = 3

/** As a transport gives where it opened nothing. */
const NO_HANDLE = 0 as Handle

/** Called when a newer state was taken: what is cached of `known` inodes, and all names, may be wrong now. */
export type OnRefreshed = (known: readonly Ino[]) => void

export interface RefreshOptions {
  /** Opens the newest state, read-only. */
  open: () => Promise<VolumeParts>
  log: OpenVolumeOptions['log']
  onRefreshed: OnRefreshed
}

/** A read-only volume that goes on to the newest state when its own is gone. */
export async function openRefreshing(options: RefreshOptions): Promise<Volume> {
  const first = await options.open()
  const states = new States(first, options)
  return {
    identity: first.volume.identity,
    filesystem: refreshing(states),
    hasAcls: first.volume.hasAcls,
    get quotas() {
      return states.current.volume.quotas
    },
    get status() {
      return states.current.volume.status
    },
    sync: () => states.current.volume.sync(),
    resume: () => states.current.volume.resume(),
    close: () => states.current.volume.close(),
    abandon: () => states.current.volume.abandon(),
  }
}

class States {
  current: VolumeParts
  /** How often a newer state was taken. */
  refreshes = 0
  /** References that the kernel holds from states before this one: it may have asked this one for what it knows of them. */
  readonly #carried = new Map<Ino, number>()
  readonly #options: RefreshOptions
  #refreshing: Promise<void> | null = null

  constructor(first: VolumeParts, options: RefreshOptions) {
    this.current = first
    this.#options = options
  }

  /** Goes on to a newer state than `seen`, or throws `error`, which was met there, when there is none. */
  async goOn(seen: VolumeParts, error: unknown): Promise<void> {
    if (this.current !== seen) return
    this.#refreshing ??= this.#refresh(error).finally(() => {
      this.#refreshing = null
    })
    await this.#refreshing
  }

  async #refresh(error: unknown): Promise<void> {
    const { open, log, onRefreshed } = this.#options
    const before = this.current
    const next = await open()
    const numberOf = ({ database }: VolumeParts) => database.rootInForce.number
    if (numberOf(next) === numberOf(before)) {
      await next.volume.close()
      throw error
    }
    const reason = error instanceof Error ? error.message : String(error)
    log('info', `the volume has gone on to checkpoint ${numberOf(next)}: taking it up (${reason})`)
    this.current = next
    this.refreshes++
    for (const [ino, count] of before.filesystem.references()) this.#carried.set(ino, this.#carriedOf(ino) + count)
    // Closed first: nothing of the older state may come to the kernel once it is told to drop that.
    const closed = before.volume.close()
    onRefreshed([...this.#carried.keys()])
    await closed
  }

  /** The kernel does not say of which state the references are that it drops. */
  forget(ino: Ino, count: number): void {
    const left = this.#carriedOf(ino) - count
    if (left > 0) this.#carried.set(ino, left)
    else this.#carried.delete(ino)
    if (left < 0) this.current.filesystem.forget(ino, -left)
  }

  #carriedOf(ino: Ino): number {
    return this.#carried.get(ino) ?? 0
  }
}

/** The filesystem of whatever state is current. What reads begins again on the next state where it meets what is gone; what
 *  would change something fails with EROFS, as it does on any state. */
function refreshing(states: States): Filesystem {
  const reading = <A extends unknown[], R>(operation: (filesystem: Filesystem, ...args: A) => MaybePromise<R>) => {
    const attempt = (args: A, statesLeft: number): MaybePromise<R> => {
      const seen = states.current
      const again = async (error: unknown): Promise<R> => {
        if (!isGone(error) || statesLeft === 0) throw error
        await states.goOn(seen, error)
        return attempt(args, statesLeft - 1)
      }
      try {
        const answer = operation(seen.filesystem, ...args)
        return isPromise(answer) ? answer.catch(again) : answer
      } catch (error) {
        return again(error)
      }
    }
    return (...args: A) => attempt(args, STATES_MAX)
  }
  return {
    ...states.current.filesystem,
    get version() {
      return states.refreshes
    },
    lookup: reading((filesystem, caller: Caller, parent: Ino, name: Uint8Array) =>
      filesystem.lookup(caller, parent, name),
    ),
    forget: (ino, count) => states.forget(ino, count),
    getattr: reading((filesystem, ino: Ino) => filesystem.getattr(ino)),
    readlink: reading((filesystem, ino: Ino) => filesystem.readlink(ino)),
    // A handle would be of one state; nothing here needs one.
    open: reading(async (filesystem, caller: Caller, ino: Ino, flags: OpenFlags) => {
      const { handle, directIo } = await filesystem.open(caller, ino, flags)
      await filesystem.release(handle, ino)
      return { handle: NO_HANDLE, directIo }
    }),
    read: reading((filesystem, _handle: Handle, ino: Ino, offset: number, lengthBytes: number, lease?: Lease) =>
      filesystem.read(NO_HANDLE, ino, offset, lengthBytes, lease),
    ),
    release: () => {},
    readdir: reading((filesystem, ino: Ino, cookie: number, plus: boolean, sink: DirectorySink) =>
      filesystem.readdir(ino, cookie, plus, sink),
    ),
    statfs: reading((filesystem, ino: Ino) => filesystem.statfs(ino)),
    getFlags: reading((filesystem, ino: Ino) => filesystem.getFlags!(ino)),
    getxattr: reading((filesystem, caller: Caller, ino: Ino, name: Uint8Array) =>
      filesystem.getxattr!(caller, ino, name),
    ),
    listxattr: reading((filesystem, caller: Caller, ino: Ino) => filesystem.listxattr!(caller, ino)),
    negativeTtlSec: (parent) => states.current.filesystem.negativeTtlSec(parent),
  }
}

/** Whether an error says that an object is not there. */
function isGone(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StoreError) return cause.kind === 'not-found'
    if (!(cause instanceof FsError)) return false
  }
  return false
}
