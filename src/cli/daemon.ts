// The daemon: everything from a store's name to a mount that answers, and back.
//
// Must stay true: whatever fails on the way is undone in reverse order: no mount, no slot, no lock file and no socket is
// left of a mount that did not come about. Nothing here touches the mount it serves.
import { accessSync, closeSync, constants, openSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { findMount, fuseRequestCount, loadTransport, type Mounted, repairDeadMount } from '../fuse/index.ts'
import { type Logger, Registry } from '../observe/index.ts'
import { systemClock, systemRandom } from '../platform/index.ts'
import {
  type OpenVolumeOptions,
  openVolume,
  readVolumeJson,
  type Volume,
  type VolumeIdentity,
} from '../volume/index.ts'
import { type OpenedCache, prepareCache } from './cache-folder.ts'
import { serveControl } from './control-server.ts'
import { CommandError, codeOf } from './errors.ts'
import { describeSelf, holderJudge, takeSlotLock } from './held-slot.ts'
import { dropKernelCaches, dropKernelName } from './kernel-caches.ts'
import { endOnUncaught } from './last-resort.ts'
import { fieldsFirst, openLog } from './log.ts'
import { describeMount } from './mount-status.ts'
import { type OpenedStore, openCountedStore } from './open-store.ts'
import type { MountSettings } from './options.ts'
import { ownRuntimeDirectory, socketName } from './runtime-directory.ts'
import { type Ending, ServedVolume } from './served-volume.ts'
import type { SlotLock } from './slot-lock.ts'
import { explainingStore } from './store-errors.ts'
import { UndoList } from './undo-list.ts'
import { noteInUtab } from './utab.ts'
import { VERSION } from './version.ts'
import { quietly, warmUp } from './warm-up.ts'

/** Measured best for cached reading (DESIGN section 3); the kernel's own default is 128. */
const READ_AHEAD_KIB = 4096
const SLOT = 0
/** An interrupted start is given this long to undo itself. */
const INTERRUPTED_MS = 2_000

export interface MountOrder {
  /** As the user gave it: shown to the letter by `mount` and mountinfo. */
  storeName: string
  dir: string
  settings: MountSettings
  /** Log to standard error; stay with the terminal. */
  isForeground: boolean
}

/** Mounts, calls `onReady` once the mount answers, and resolves when it has ended and nothing is left to do. Rejects when
 *  it did not come about. */
export async function serve(order: MountOrder, onReady: () => void): Promise<Ending> {
  const undo = new UndoList()
  const place = { name: order.storeName, endpoint: order.settings.store.endpoint }
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGTERM', interrupt).once('SIGINT', interrupt)
  // The terminal may go; the mount stays.
  process.on('SIGHUP', () => {})
  try {
    const served = await unlessInterrupted(
      interrupted.signal,
      explainingStore(place, () => start(order, undo)),
    )
    process.off('SIGTERM', interrupt).off('SIGINT', interrupt)
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => served.signalled(signal))
    onReady()
    const ending = await served.ended
    await served.control?.answered()
    return ending
  } catch (error) {
    await undo.all().catch(() => {
      // The error that is being told came first; what could not be undone (a store that went away) follows from it.
    })
    throw error
  }
}

/** Waits for the start; interrupted, it has a moment to come about and is then taken back, or is given up. */
async function unlessInterrupted(signal: AbortSignal, starting: Promise<ServedVolume>): Promise<ServedVolume> {
  const error = new CommandError('interrupted before the mount answered: nothing is mounted')
  const givenUp = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => setTimeout(() => reject(error), INTERRUPTED_MS))
  })
  const served = await Promise.race([starting, givenUp])
  if (!signal.aborted) return served
  await served.unmount({ force: false, onProgress: () => {} })
  throw error
}

async function start(order: MountOrder, undo: UndoList): Promise<ServedVolume> {
  const { storeName, settings } = order
  const mountpoint = await checkMountpoint(order.dir)
  checkDevice()
  const transport = await loadTransport(settings.binding)
  const prepared = settings.cache === null ? null : prepareCache(settings.cache, { mountpoint, storeName })
  process.chdir('/')
  const startedMs = performance.now()
  const registry = new Registry()
  const opened = await openCountedStore(storeName, settings.store, { registry })
  const { store } = opened
  undo.add(() => store.close())
  const identity = await readVolumeJson(store)
  const { log, logFile } = await openLog({
    level: settings.logLevel,
    isForeground: order.isForeground,
    volumeName: identity.json.name,
  })
  endOnUncaught((error) => {
    const stack = error instanceof Error ? error.stack : undefined
    log.error('the daemon met a bug and ends; the next mount replays the journal', { error, stack })
  })
  log.info('mounting', {
    version: VERSION,
    store: storeName,
    volume: identity.json.uuid,
    mountpoint,
    pid: process.pid,
    binding: settings.binding,
  })

  const slot = settings.kernel.readOnly ? null : await takeSlot(order, identity, mountpoint, undo)
  let kernel: Mounted | null = null
  let whenMounted: (mounted: Mounted) => void = () => {}
  const mounting = new Promise<Mounted>((resolve) => {
    whenMounted = resolve
  })
  const diskCache = prepared === null ? null : prepared.open({ order, identity, opened, log })
  const volume = await open(order, identity, opened, diskCache, slot, log, {
    onRefreshed: async (known) => dropKernelCaches(await mounting, known, log),
    // At once, where that can be: see src/fuse/notify.ts.
    onNameGone: (parent, name) =>
      kernel === null
        ? mounting.then((mounted) => dropKernelName(mounted, parent, name, log))
        : dropKernelName(kernel, parent, name, log),
    pageCache: {
      get busy() {
        return kernel?.telling ?? null
      },
      store: async (...piece) => kernel?.store(...piece) ?? false,
    },
  })
  undo.add(async () => {
    await volume.close()
    slot?.released()
  })
  await diskCache?.cache.trust({ epoch: volume.status.epoch, isWriter: slot !== null })
  const mounted = await transport.mount(volume.filesystem, {
    mountpoint,
    source: storeName,
    flags: settings.kernel,
    allowOther: settings.allowOther,
    writeback: settings.writeback,
    acls: settings.acl || volume.hasAcls,
    ...(isRoot() ? { readAheadKib: READ_AHEAD_KIB } : {}),
    log: fieldsFirst(log.child('fuse')),
    registry,
  })
  kernel = mounted
  whenMounted(mounted)
  undo.add(async () => {
    await mounted.unmount({ mode: 'lazy' })
    await mounted.ended
  })
  slot?.lock.note({ majorMinor: mounted.majorMinor })
  const isInUtab = await noteInUtab(storeName, mountpoint, log)
  const served = new ServedVolume({
    isInUtab,
    volume,
    mounted,
    diskCache: diskCache?.cache ?? null,
    lock: slot?.lock ?? null,
    log,
    status: () => describeMount({ order, identity, volume, mounted, opened, diskCache, registry, startedMs, logFile }),
  })
  opened.mounted(log.child('store'))
  served.control = await serveControl(join(ownRuntimeDirectory(), socketName(mounted.majorMinor)), served)
  if (settings.binding === 'kernel') {
    const quiet = quietly(systemClock, fuseRequestCount(registry))
    warmUp(quiet).catch((error) => log.warn('the first requests will be slower', { error }))
  }
  log.info('the mount answers', { device: mounted.majorMinor, replayedCommits: volume.status.replayedCommits })
  return served
}

/** The slot's lock file, and whether writers/ may name it. */
class SlotHold {
  readonly lock: SlotLock
  #isNamed = false

  constructor(lock: SlotLock) {
    this.lock = lock
  }

  /** From here on the slot may have been taken under this lock's name. */
  named(): void {
    this.#isNamed = true
  }

  released(): void {
    this.#isNamed = false
  }

  /** A file that writers/ may name stays: by it the next mount sees at once that we are gone. */
  end(): void {
    if (this.#isNamed) this.lock.abandon()
    else this.lock.release()
  }
}

async function takeSlot(
  { storeName, settings }: MountOrder,
  identity: VolumeIdentity,
  mountpoint: string,
  undo: UndoList,
): Promise<SlotHold> {
  const lock = await takeSlotLock({
    uuid: identity.json.uuid,
    slot: SLOT,
    storeName,
    mountpoint,
    takeOver: settings.takeOver,
  })
  const slot = new SlotHold(lock)
  undo.add(() => slot.end())
  return slot
}

async function open(
  { settings }: MountOrder,
  identity: VolumeIdentity,
  { store, endpoint, probe }: OpenedStore,
  diskCache: OpenedCache | null,
  slot: SlotHold | null,
  log: Logger,
  kernel: Required<Pick<OpenVolumeOptions, 'onRefreshed' | 'onNameGone' | 'pageCache'>>,
): Promise<Volume> {
  slot?.named()
  try {
    return await openVolume({
      store: diskCache?.cache ?? store,
      ...(diskCache === null ? {} : { onDamaged: (id) => diskCache.cache.forget(id) }),
      identity,
      writer:
        slot === null
          ? null
          : {
              self: describeSelf(slot.lock),
              leaseMs: settings.leaseMs,
              judge: holderJudge(slot.lock),
              takeOver: settings.takeOver,
              probe: settings.store.unsafeSingleWriter ? null : { endpoint, run: probe },
              onFailure: (error) => log.error('the mount is read-only from now on', { error }),
            },
      clock: systemClock,
      random: systemRandom,
      log: (level, message) => log[level](message),
      memoryBytes: settings.memoryBytes - (diskCache?.memoryBytes ?? 0),
      maxReadAheadBytes: settings.maxReadAheadBytes,
      uploads: settings.uploads,
      commitMs: settings.commitMs,
      graceMs: settings.graceMs,
      kernelWritesBack: settings.writeback,
      ...kernel,
      parallelism: settings.store.parallelism,
      rootOwner: { uid: process.getuid!(), gid: process.getgid!() },
    })
  } catch (error) {
    // Held by somebody else: writers/ names him.
    if (codeOf(error) === 'EBUSY') slot?.released()
    throw error
  }
}

/** Checks that `dir` can be mounted on, before the store is asked for anything; a dead cairnfs mount there is taken away.
 *  Gives its path without symbolic links. */
async function checkMountpoint(dir: string): Promise<string> {
  const wasDead = await repairDeadMount(dir).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false
    throw error
  })
  const mounted = wasDead ? undefined : findMountIfReachable(dir)
  if (mounted !== undefined) {
    throw new CommandError(
      `${dir} is already a mount of ${mounted.source} (${mounted.type}): umount it, or choose another`,
    )
  }
  const stat = statSync(dir, { throwIfNoEntry: false })
  if (stat === undefined) throw new CommandError(`the mountpoint ${dir} does not exist: make it with mkdir -p ${dir}`)
  if (!stat.isDirectory()) throw new CommandError(`the mountpoint ${dir} is not a directory: choose one`)
  if (!isRoot()) checkWritable(dir)
  return realpathSync(dir)
}

function findMountIfReachable(dir: string): ReturnType<typeof findMount> {
  try {
    return findMount(dir)
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

/** fusermount3 lets a user mount only on what he can write to. */
function checkWritable(dir: string): void {
  try {
    accessSync(dir, constants.W_OK)
  } catch (error) {
    throw denied(`no permission to mount on ${dir}: without root you must be able to write to it`, error)
  }
}

function checkDevice(): void {
  try {
    // fusermount3 opens it for those who are not root.
    if (isRoot()) closeSync(openSync('/dev/fuse', constants.O_RDWR))
    else accessSync('/dev/fuse', constants.F_OK)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') {
      throw new CommandError('/dev/fuse is missing: modprobe fuse (in a container: --device /dev/fuse)', 1, {
        cause: error,
      })
    }
    throw denied(`/dev/fuse cannot be opened (${code}): modprobe fuse, and check its permissions`, error)
  }
}

/** A CommandError that keeps the errno of its cause, by which the mount helper knows a lack of permission. */
function denied(message: string, cause: unknown): CommandError {
  return Object.assign(new CommandError(message, 1, { cause }), { code: codeOf(cause) })
}

function isRoot(): boolean {
  return process.geteuid!() === 0
}
