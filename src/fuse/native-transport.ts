// The transport over fuse-native: libfuse 2 speaks with the kernel in threads of its own, and hands over paths. For those who
// want it; what it cannot do stands in the README, and why it is not the default in docs/decisions.
//
// The kernel is asked to let in only the user who mounts: fuse-native does not say who asks, so that everybody's files would
// be that user's, set-user-ID ones too.
//
// libfuse does not tell us that it has ended. It closes its /dev/fuse when its threads have: a duplicate of that descriptor
// tells when the kernel has let go, and /proc/self/fd when libfuse has.
//
// Must stay true:
// - The duplicate is never made non-blocking: it is the open file that libfuse's threads read.
// - On every way out that is an error the mount is taken away again.
import { closeSync, readdirSync, readlinkSync } from 'node:fs'
import { Registry } from '../observe/index.ts'
import { FsError, libc, systemClock } from '../platform/index.ts'
import type { Filesystem } from '../vfs/index.ts'
import { FuseMetrics } from './metrics.ts'
import { attachOptions, checkMountpoint, repairDeadMount, tryReadAhead, unmountAt } from './mount.ts'
import { findMountAt } from './mountinfo.ts'
import { loadNativeAddon, mountNative, type NativeAddon, STRING_BYTES_MAX } from './native-addon.ts'
import { NativeOperations } from './native-operations.ts'
import type { EndReason, Mounted, MountRequest, Transport } from './transport.ts'

/** What libfuse is asked for besides mount(8)'s words: our inode numbers; O_TRUNC with the open, and not as a truncation before
 *  it; writes of more than a page. */
const LIBFUSE_OPTIONS = ['use_ino', 'atomic_o_trunc', 'big_writes']
const DEVICE = '/dev/fuse'
const OWN_DESCRIPTORS = '/proc/self/fd'
/** Its threads end when their requests have: not later than the store's deadlines. Nobody waits longer for libfuse. */
const LETTING_GO_MS = 120_000
const LETTING_GO_POLL_MS = 5

/** Loads fuse-native. FsError in one line where that cannot be. */
export function loadNativeTransport(): Transport {
  const addon = loadNativeAddon()
  return { mount: (filesystem, request) => mount(addon, filesystem, request) }
}

async function mount(addon: NativeAddon, filesystem: Filesystem, request: MountRequest): Promise<Mounted> {
  const { log } = request
  if (request.allowOther) {
    throw new FsError('EOPNOTSUPP', 'fuse-native does not say who asks: only the user who mounts can be let in')
  }
  if (await repairDeadMount(request.mountpoint)) {
    log.warn({ mountpoint: request.mountpoint }, 'took away the mount of a cairnfs process that died')
  }
  const path = checkMountpoint(request.mountpoint)
  let onInitialized = () => {}
  const initialized = new Promise<void>((resolve) => {
    onInitialized = resolve
  })
  const operations = new NativeOperations(addon, filesystem, {
    log,
    metrics: new FuseMetrics(request.registry ?? new Registry()),
    caller: { uid: process.getuid!(), gid: process.getgid!(), pid: 0 },
    onInitialized,
  })
  try {
    const device = attach(addon, path, request, operations)
    const ended = device.ended.then(() => reasonOfEnd(path))
    await Promise.race([initialized, ended.then(() => Promise.reject(endedEarly(path)))])
    const majorMinor = findMountAt(path)?.majorMinor
    if (majorMinor === undefined) throw endedEarly(path)
    if (request.readAheadKib !== undefined) tryReadAhead(majorMinor, request.readAheadKib, log)
    log.info({ majorMinor }, 'libfuse 2 serves the mount, through fuse-native')
    if (request.acls) log.warn({}, 'POSIX ACLs are not observed through fuse-native, and cannot be set')
    return new NativeMount(path, majorMinor, { ended, operations })
  } catch (error) {
    if (findMountAt(path) !== undefined) await unmountAt(path, { mode: 'lazy' })
    throw error
  }
}

function endedEarly(path: string): FsError {
  return new FsError('ENODEV', `${path} was unmounted while it was being mounted: mount it again`)
}

/** After umount the mount is out of the tree; a connection that was cut leaves it there. */
function reasonOfEnd(path: string): EndReason {
  return findMountAt(path) === undefined ? 'unmounted' : 'aborted'
}

/** Mounts. `ended` resolves when the kernel and libfuse have let go. */
function attach(
  addon: NativeAddon,
  path: string,
  request: MountRequest,
  operations: NativeOperations,
): { ended: Promise<void> } {
  const isRoot = process.geteuid?.() === 0
  // fusermount3, which mounts for others, does not know the word, and libfuse wants it.
  if (!isRoot && readdirSync(path).length > 0) {
    throw new FsError('ENOTEMPTY', `${path} is not empty: without root, fuse-native mounts on empty directories only`)
  }
  const words = [...attachOptions({ ...request, path, flags: request.flags ?? {} }), ...LIBFUSE_OPTIONS]
  const options = `-o${[...words, ...(isRoot ? ['nonempty'] : [])].join(',')}`
  for (const text of [path, options]) {
    if (Buffer.byteLength(text) <= STRING_BYTES_MAX) continue
    throw new FsError(
      'ENAMETOOLONG',
      `fuse-native takes no mountpoint, and no store's name, this long: shorten ${path}`,
    )
  }
  const before = fuseDescriptors()
  let letLoopEnd: () => void
  try {
    letLoopEnd = mountNative(addon, path, options, operations.handlers())
  } catch (error) {
    // Of fusermount nothing is heard: Node closes its own standard error to what others than itself start.
    const why = isRoot
      ? 'libfuse says why on standard error: see it with -f'
      : 'is there a fusermount (apt install fuse3)?'
    throw new FsError('EIO', `fuse-native cannot mount on ${path}: ${why}`, { cause: error })
  }
  const fd = fuseDescriptors().find((each) => !before.includes(each))
  if (fd === undefined) throw new FsError('EIO', `fuse-native mounted ${path}, but opened no ${DEVICE}: report it`)
  return {
    ended: untilBroken(fd)
      .then(() => untilLetGo(fd, operations))
      .finally(letLoopEnd),
  }
}

function fuseDescriptors(): number[] {
  return readdirSync(OWN_DESCRIPTORS).map(Number).filter(isFuseDescriptor)
}

function isFuseDescriptor(fd: number): boolean {
  try {
    return readlinkSync(`${OWN_DESCRIPTORS}/${fd}`) === DEVICE
  } catch {
    // Closed meanwhile.
    return false
  }
}

/** Resolves when the kernel has ended the connection behind a descriptor. */
function untilBroken(fd: number): Promise<void> {
  const ours = orThrow(libc().duplicate(fd))
  const epoll = orThrow(libc().brokenness(ours))
  return new Promise((resolve) => {
    const watch = libc().watchReadable(epoll, () => {
      watch.close()
      // koffi's callback is none of Node's: see libc.ts.
      setImmediate(() => {
        closeSync(epoll)
        closeSync(ours)
        resolve()
      })
    })
    watch.start()
  })
}

function orThrow(result: number): number {
  if (result < 0) throw new FsError('EIO', `cannot watch ${DEVICE} (errno ${-result})`)
  return result
}

/** Resolves when libfuse's threads have ended, and with them every operation. */
async function untilLetGo(fd: number, operations: NativeOperations): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + LETTING_GO_MS
  while ((isFuseDescriptor(fd) || operations.outstanding > 0) && systemClock.monotonicMs() < deadlineMs) {
    await systemClock.sleep(LETTING_GO_POLL_MS)
  }
}

class NativeMount implements Mounted {
  readonly mountpoint: string
  readonly majorMinor: string
  readonly ended: Mounted['ended']
  /** Nothing can be told to the kernel. */
  readonly telling = null
  readonly #operations: NativeOperations

  constructor(
    mountpoint: string,
    majorMinor: string,
    { ended, operations }: { ended: Promise<EndReason>; operations: NativeOperations },
  ) {
    this.mountpoint = mountpoint
    this.majorMinor = majorMinor
    this.ended = ended
    this.#operations = operations
  }

  get outstanding(): number {
    return this.#operations.outstanding
  }

  unmount(options: Parameters<Mounted['unmount']>[0]): Promise<void> {
    return unmountAt(this.mountpoint, options)
  }

  /** The kernel believes names and attributes for a second here, and data until the file is opened again. */
  async invalidateInode(): Promise<void> {}

  async invalidateEntry(): Promise<void> {
    this.#operations.paths.forgetDirectories()
  }

  async invalidateNames(): Promise<void> {
    this.#operations.paths.forgetDirectories()
  }

  async store(): Promise<boolean> {
    return false
  }
}
