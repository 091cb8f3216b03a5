// A volume while it is mounted: what its socket and its signals can ask for, and how it ends.
//
// The ends: `cairnfs umount`, SIGTERM and SIGINT sync first and then unmount; umount(8) by anybody just takes the mount
// away, and we learn it from the kernel. Either way the volume is closed once the kernel has let go: what is still dirty
// is written, a checkpoint made, the slot released. A forced unmount, and a second signal 5 s after the first, give up
// what is dirty and leave the journal to the next mount.
//
// Must stay true:
// - `ended` settles exactly once, whatever ends the mount and however often; the process ends after it.
// - The slot's lock file goes only when the slot was released: while writers/ names us, the next mount on this host needs
//   that very file to see that we are gone.
import type { Mounted } from '../fuse/index.ts'
import type { Logger } from '../observe/index.ts'
import type { DiskCache } from '../segments/index.ts'
import type { Volume } from '../volume/index.ts'
import type { MountStatus } from './control-protocol.ts'
import type { ControlHandlers, ControlServer } from './control-server.ts'
import { CommandError, describeError } from './errors.ts'
import { answerQuota } from './quota-handler.ts'
import type { QuotaCommand, QuotaLine } from './quota-protocol.ts'
import { respell } from './respell.ts'
import type { SlotLock } from './slot-lock.ts'
import { formatSize } from './units.ts'
import { forgetInUtab } from './utab.ts'

const PROGRESS_MS = 200
/** A second signal counts from here on: the first few of an impatient hand are one. */
const IMPATIENCE_MIN_MS = 5_000
/** After this long it is a first signal again. */
const IMPATIENCE_MAX_MS = 60_000
/** How long everything may still be written after the second signal. */
const LAST_CHANCE_MS = 1_000
/** How long taking the mount away may last when everything is given up: the process ends anyway. */
const ABANDON_MS = 2_000

export interface ServedParts {
  volume: Volume
  mounted: Mounted
  /** What it still has to write is waited for, for a moment. */
  diskCache: Pick<DiskCache, 'settled'> | null
  /** Null on a read-only mount. */
  lock: SlotLock | null
  /** umount(8) knows of it, and is to forget. */
  isInUtab: boolean
  log: Logger
  status: () => MountStatus
}

/** How a mount ended. */
export interface Ending {
  /** Bytes written to the mount that are not in the store. */
  lostBytes: number
  /** Why, when it was not asked for. */
  failure: Error | null
}

export class ServedVolume implements ControlHandlers {
  readonly #parts: ServedParts
  readonly ended: Promise<Ending>
  #unmounting: Promise<void> | null = null
  #firstSignalMs = Number.NEGATIVE_INFINITY
  #giveUp: (lostBytes: number) => void = () => {}
  #isAbandoned = false
  /** Removed as soon as the mount is gone. */
  control: ControlServer | null = null

  constructor(parts: ServedParts) {
    this.#parts = parts
    const givenUp = new Promise<Ending>((resolve) => {
      this.#giveUp = (lostBytes) => resolve({ lostBytes, failure: null })
    })
    this.ended = Promise.race([givenUp, this.#serve()])
  }

  status(): MountStatus {
    return this.#parts.status()
  }

  async sync(onProgress: (dirtyBytes: number) => void): Promise<void> {
    const { volume } = this.#parts
    const report = () => onProgress(volume.status.dirtyBytes)
    report()
    const timer = setInterval(report, PROGRESS_MS)
    try {
      await volume.sync()
    } finally {
      clearInterval(timer)
    }
    report()
  }

  async resume(): Promise<void> {
    const { volume, mounted } = this.#parts
    await volume.resume().catch((error: unknown) => {
      const remedy = volume.status.isLost
        ? 'it cannot resume: cairnfs umount --force it, and mount again'
        : 'resume again when that is mended'
      throw new CommandError(`${mounted.mountpoint}: ${describeError(error)}: ${remedy}`, 1, { cause: error })
    })
  }

  async recase(directory: readonly string[], name: string): Promise<void> {
    const { volume, mounted } = this.#parts
    const [parent, ino] = await respell(volume.filesystem, directory, name)
    // What it has listed: INVAL_ENTRY alone does nothing where the kernel does not know the old spelling.
    await mounted.invalidateInode(parent, 0, 0)
    // Its ctime.
    await mounted.invalidateInode(ino, -1, 0)
  }

  quota(command: QuotaCommand, show: (line: QuotaLine) => Promise<void>): Promise<void> {
    return answerQuota(this.#parts.volume, command, show)
  }

  async unmount(options: { force: boolean; onProgress: (dirtyBytes: number) => void }): Promise<{ lostBytes: number }> {
    if (options.force) return { lostBytes: await this.abandon('a forced unmount') }
    await this.#syncAndDetach(options.onProgress)
    const { lostBytes, failure } = await this.ended
    if (failure !== null) throw failure
    return { lostBytes }
  }

  /** SIGTERM or SIGINT. The first asks; one that comes 5 s later and finds us still here has the last word. */
  async signalled(signal: NodeJS.Signals): Promise<void> {
    const { log } = this.#parts
    const sinceFirstMs = performance.now() - this.#firstSignalMs
    const isLast = sinceFirstMs >= IMPATIENCE_MIN_MS && sinceFirstMs < IMPATIENCE_MAX_MS
    if (sinceFirstMs >= IMPATIENCE_MAX_MS) this.#firstSignalMs = performance.now()
    log.info('unmounting', { signal })
    const unmounted = this.#syncAndDetach(() => {}).then(
      () => true,
      (error: unknown) => {
        const remedy = isLast ? '' : `; it stays mounted (a second ${signal} after 5 s gives up what is dirty)`
        log.error(`${describeError(error)}${remedy}`)
        return false
      },
    )
    if (!isLast) return
    // One more chance, for a store that answers again or a program that has closed its files.
    const hasEnded = unmounted.then((isUnmounted) => isUnmounted && this.ended.then(() => true))
    if (!(await Promise.race([hasEnded, afterMs(LAST_CHANCE_MS)]))) await this.abandon(`a second ${signal}`)
  }

  /** Gives up what is dirty, at once. Resolves to how many bytes that were. */
  async abandon(why: string): Promise<number> {
    const { volume, mounted, log } = this.#parts
    const lostBytes = volume.status.dirtyBytes
    log.warn(`${why}: giving up ${formatSize(lostBytes)}; the next mount replays the journal`, { lostBytes })
    this.#isAbandoned = true
    this.control?.close()
    volume.abandon()
    const detached = mounted.unmount({ mode: 'lazy' }).catch((error: unknown) => {
      log.warn(`${describeError(error)}; the mount is dead, the next one there repairs it`)
    })
    await Promise.race([detached, afterMs(ABANDON_MS)])
    this.#giveUp(lostBytes)
    return lostBytes
  }

  /** Concurrent askers share one attempt; after a failure the next begins anew. */
  #syncAndDetach(onProgress: (dirtyBytes: number) => void): Promise<void> {
    this.#unmounting ??= (async () => {
      await this.sync(onProgress).catch((error: unknown) => {
        throw this.#unstored(error)
      })
      await this.#parts.mounted.unmount({ mode: 'normal' })
    })().finally(() => {
      this.#unmounting = null
    })
    return this.#unmounting
  }

  #unstored(error: unknown): CommandError {
    const { volume, mounted } = this.#parts
    const size = formatSize(volume.status.dirtyBytes)
    const remedy = volume.status.isLost
      ? 'nothing can be stored from here any more: give it up with --force'
      : 'umount again when that is mended, or give them up with --force'
    const message = `${mounted.mountpoint} stays mounted, ${size} are not stored: ${describeError(error)}: ${remedy}`
    return new CommandError(message, 1, { cause: error })
  }

  /** From here to the end: waits until the kernel lets go, then closes the volume. Never rejects. */
  async #serve(): Promise<Ending> {
    const { volume, mounted, lock, isInUtab, diskCache, log } = this.#parts
    try {
      const reason = await mounted.ended
      log.info('the kernel has let go of the mount', { reason })
    } catch (error) {
      log.error('serving the mount failed', { error })
    }
    lock?.note({ isLeaving: true })
    this.control?.close()
    if (isInUtab) await forgetInUtab(mounted.mountpoint, log)
    try {
      // Whoever gave it up tells how it ended, also when that was during the close.
      if (!this.#isAbandoned) await volume.close()
      if (!this.#isAbandoned) lock?.release()
      await diskCache?.settled()
      return { lostBytes: 0, failure: null }
    } catch (error) {
      const lostBytes = volume.status.dirtyBytes
      const message = `${mounted.mountpoint} is unmounted, but ${formatSize(lostBytes)} could not be stored: ${describeError(error)}`
      log.error(message, { error, lostBytes })
      volume.abandon()
      return { lostBytes, failure: new CommandError(message, 1, { cause: error }) }
    }
  }
}

function afterMs(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms))
}
