// Names that the kernel still believes in, though they have gone: by another spelling than the stored one, so that it does not
// know what it did to the stored one, until it is told. Whoever opens such a name meanwhile gets the inode that it led to, and
// would write into a file that was removed, or renamed.
//
// open(2) and truncate(2) look a name up anew when they get ESTALE (path_lookup's LOOKUP_REVAL), once. So they get that, and
// only when the kernel has been told, so that they fare better the second time; also who came by a name that is right.
// Some (smbd among them) hold a file by O_PATH first and then open that: no look-up helps, and a file without a name is not to
// be had in this way at all. But who changed a directory and looks at it again (stat), as smbd does before each operation,
// is answered when the kernel has been told: then it meets nothing stale.
import { type Ino, type Inode, isRegular } from '../meta/index.ts'
import { errnoError, isPromise } from '../platform/index.ts'
import type { Context } from './context.ts'
import type { Caller } from './filesystem.ts'

/** Who is to tell the kernel may wait for somebody who waits for us: then we stop waiting. */
const TELL_MS_MAX = 1000
/** How long somebody may have to wait who looks at the directory: who holds it, and keeps the kernel from being told, may too. */
const LOOK_MS_MAX = 20
/** Whoever found the name just before the kernel was told has reached us by then. */
const STRAGGLERS_MS = 50

export class StaleNames {
  /** Inodes whose name went, until the kernel has forgotten it. */
  readonly #untold = new Map<number, Promise<void>>()
  /** Directories of names that went, until the kernel has forgotten them. */
  readonly #untoldIn = new Map<number, { told: Promise<void>; pid: number }>()
  /** Inodes that lost their last name so, until the kernel has forgotten them. */
  readonly #nameless = new Set<number>()

  /** In the turn of the change. */
  add({ ino, mode, nlink }: Inode, told: Promise<void>): void {
    if (!isRegular(mode)) return
    if (nlink === 0) this.#nameless.add(ino)
    this.#untold.set(ino, told)
    void told.then(() => {
      if (this.#untold.get(ino) === told) this.#untold.delete(ino)
    })
  }

  /** In the turn of the change: a name in `directory`, by the process `pid`. */
  addIn(directory: Ino, told: Promise<void>, pid: number): void {
    this.#untoldIn.set(directory, { told, pid })
    void told.then(() => {
      if (this.#untoldIn.get(directory)?.told === told) this.#untoldIn.delete(directory)
    })
  }

  /** What the process has to wait for that looks at a directory in which it was the last to change something. Nobody else: he
   *  may hold the directory's lock, for which the kernel then waits while it is told. Null mostly. */
  untoldIn(directory: number, pid: number): Promise<void> | null {
    const last = this.#untoldIn.size === 0 ? undefined : this.#untoldIn.get(directory)
    return last === undefined || last.pid !== pid ? null : last.told
  }

  untold(ino: number): Promise<void> | null {
    return this.#untold.get(ino) ?? null
  }

  isNameless(ino: number): boolean {
    return this.#nameless.has(ino)
  }

  forget(ino: number): void {
    if (this.#nameless.size > 0) this.#nameless.delete(ino)
  }
}

interface GoneName {
  parent: Ino
  name: Buffer
}

/** Has a name forgotten that went by another spelling; `inode` is what it led to, as it is now. */
export function nameGone(context: Context, caller: Caller, { parent, name }: GoneName, inode: Inode): void {
  const { clock, metadata, staleNames } = context
  const told = context.onNameGone(parent, name)
  if (!isPromise(told)) return
  staleNames.addIn(parent, Promise.race([told, clock.sleep(LOOK_MS_MAX)]), caller.pid)
  if (!metadata.places.isReferenced(inode.ino)) return
  staleNames.add(
    inode,
    Promise.race([told, clock.sleep(TELL_MS_MAX)]).then(() => clock.sleep(STRAGGLERS_MS)),
  )
}

/** What somebody has to wait for, and is then refused with ESTALE, who is about to change a file's bytes by its name. Null
 *  mostly. */
export function staleGate({ handles, staleNames }: Context, ino: Ino): Promise<never> | null {
  const untold = staleNames.untold(ino)
  if (untold === null && (!staleNames.isNameless(ino) || handles.isOpen(ino))) return null
  return (untold ?? Promise.resolve()).then(() => {
    throw errnoError('ESTALE')
  })
}
