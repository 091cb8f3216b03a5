// Mounting, unmounting and what lies around them: mount(2) for root, the setuid helper fusermount3 for everybody else,
// connections in /sys/fs/fuse, the kernel's read-ahead, and mounts whose server has died.
//
// Must stay true:
// - Nothing here touches a mounted filesystem in this process: it may be the one that serves it. Asking a mount whether
//   it lives is left to a child process with a deadline.
// - Unmounting runs in the thread pool or in a child: the kernel may ask this very process to write mapped pages first.
// - Errors say in one line what is wrong with which thing, and what to do.
import { spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  constants as fsConstants,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { type ErrnoName, FsError, libc } from '../platform/index.ts'
import { findMountAt, type MountEntry, resolveMountpoint } from './mountinfo.ts'
import type { MountFlags, TransportLog, UnmountOptions } from './transport.ts'

/** The type in mountinfo; the kernel's own is `fuse`, ours the subtype. */
export const MOUNT_TYPE = 'fuse.cairnfs'
const SUBTYPE = 'cairnfs'

const FUSE_DEVICE = '/dev/fuse'
const HELPER = 'fusermount3'
const CONNECTIONS = '/sys/fs/fuse/connections'
const MAX_READ_BYTES = 1 << 20
/** A server that has not answered statfs within this is slow or stuck, not dead: a dead one fails at once. */
const PROBE_MS = 2000

const MountFlag = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  DIRSYNC: 128,
  NOATIME: 1024,
} as const
const UmountFlag = { FORCE: 1, DETACH: 2, NOFOLLOW: 8 } as const

export interface AttachRequest {
  /** As resolveMountpoint gives it. */
  path: string
  source: string
  flags: MountFlags
  allowOther: boolean
}

/** Checks that `dir` can be mounted on and gives its path without symbolic links. ENOENT, ENOTDIR, EBUSY (something is
 *  mounted there). A dead cairnfs mount there is an EBUSY too: see repairDeadMount. */
export function checkMountpoint(dir: string): string {
  const path = resolveOrFail(dir)
  const mounted = findMountAt(path)
  if (mounted !== undefined) {
    throw new FsError('EBUSY', `${dir} is already a mount of ${mounted.source} (${mounted.type}): umount it first`)
  }
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) throw new FsError('ENOENT', `mountpoint ${dir} does not exist: mkdir it first`)
  if (!stat.isDirectory()) throw new FsError('ENOTDIR', `mountpoint ${dir} is not a directory: name a directory`)
  return path
}

function resolveOrFail(dir: string): string {
  try {
    return resolveMountpoint(dir)
  } catch (error) {
    const code = errnoNameOf(error) ?? 'EIO'
    const remedy = code === 'ENOENT' ? 'mkdir -p it first' : 'check the path'
    throw new FsError(code, `mountpoint ${dir} cannot be reached (${code}): ${remedy}`, { cause: error })
  }
}

/** Mounts at `request.path` and gives the descriptor that is to be served. Nothing answers yet: until then every access
 *  to the mount waits. */
export async function attach(request: AttachRequest): Promise<number> {
  return process.geteuid?.() === 0 ? mountAsRoot(request) : mountByHelper(request)
}

function mountAsRoot({ path, source, flags, allowOther }: AttachRequest): number {
  const fd = openDevice()
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  const data = [
    `fd=${fd},rootmode=40000,user_id=${uid},group_id=${gid},default_permissions,max_read=${MAX_READ_BYTES}`,
    ...(allowOther ? ['allow_other'] : []),
  ].join(',')
  // The source is an argument of its own: no character in it means anything.
  const result = libc().mount(source, path, MOUNT_TYPE, mountFlagBits(flags), data)
  if (result === 0) return fd
  closeSync(fd)
  const code = errnoName(-result)
  const remedy =
    code === 'EPERM'
      ? 'mounting needs CAP_SYS_ADMIN (in a container: --cap-add SYS_ADMIN --device /dev/fuse)'
      : code === 'ENODEV'
        ? 'the kernel has no FUSE: modprobe fuse'
        : 'see dmesg'
  throw new FsError(code, `cannot mount on ${path} (${code}): ${remedy}`)
}

/** Changes what the kernel observes of a mount. Not in the process that serves it: files that are mapped may have to be written
 *  first. */
export function remountAt({ mountpoint, source }: MountEntry, flags: MountFlags): void {
  const result = libc().mount(source, mountpoint, MOUNT_TYPE, MountFlag.REMOUNT | mountFlagBits(flags), '')
  if (result === 0) return
  const code = errnoName(-result)
  if (code === 'EBUSY') {
    throw new FsError(
      code,
      `${mountpoint} is in use: files are open for writing (fuser -vm ${mountpoint} shows by whom)`,
    )
  }
  throw new FsError(code, `cannot remount ${mountpoint} (${code}): do it as root in the namespace it was mounted in`)
}

function mountFlagBits(flags: MountFlags): number {
  return (
    (flags.readOnly ? MountFlag.RDONLY : 0) |
    (flags.nosuid ? MountFlag.NOSUID : 0) |
    (flags.nodev ? MountFlag.NODEV : 0) |
    (flags.noexec ? MountFlag.NOEXEC : 0) |
    (flags.sync ? MountFlag.SYNCHRONOUS : 0) |
    (flags.dirsync ? MountFlag.DIRSYNC : 0) |
    (flags.noatime ? MountFlag.NOATIME : 0)
  )
}

function openDevice(): number {
  try {
    return openSync(FUSE_DEVICE, fsConstants.O_RDWR | fsConstants.O_NONBLOCK)
  } catch (error) {
    throw deviceError(errnoNameOf(error) ?? 'EIO', error)
  }
}

function deviceError(code: ErrnoName, cause?: unknown): FsError {
  const remedies: Partial<Record<ErrnoName, string>> = {
    ENOENT: 'modprobe fuse (in a container: --device /dev/fuse)',
    ENODEV: 'modprobe fuse',
    ENXIO: 'modprobe fuse',
    EACCES: 'it should have mode 0666 (chmod 0666 /dev/fuse)',
    EPERM: 'the container must be allowed the device (--device /dev/fuse)',
  }
  const what = code === 'ENOENT' ? 'is missing' : `cannot be opened (${code})`
  return new FsError(code, `${FUSE_DEVICE} ${what}: ${remedies[code] ?? 'check the device'}`, { cause })
}

// ---- without root ----

/** fusermount3 mounts and hands the descriptor back over a socket (SCM_RIGHTS). */
async function mountByHelper(request: AttachRequest): Promise<number> {
  const { path } = request
  const options = attachOptions(request)
  const pair = libc().socketpair()
  if (typeof pair === 'number') throw new FsError(errnoName(-pair), 'cannot make a socket pair for fusermount3')
  const [ours, theirs] = pair
  try {
    const helper = runHelper(['-o', options.join(','), '--', path], theirs)
    closeSync(theirs)
    const { status, complaint } = await helper
    const fd = status === 0 ? libc().receiveDescriptor(ours) : -1
    if (fd >= 0) return fd
    throw helperError(path, complaint || `${HELPER} ended with status ${status} and sent no descriptor`)
  } finally {
    closeSync(ours)
  }
}

/** What a mount is to be, as options of fusermount3 and libfuse. */
export function attachOptions({ source, flags, allowOther }: AttachRequest): string[] {
  // Theirs are nosuid and nodev; nobody but root may ask for others.
  const asked = (isAsked: boolean | undefined, word: string, opposite: string) =>
    isAsked ? [word] : process.geteuid?.() === 0 ? [opposite] : []
  return [
    `fsname=${escapeOption(source)}`,
    `subtype=${SUBTYPE}`,
    'default_permissions',
    `max_read=${MAX_READ_BYTES}`,
    ...(allowOther ? ['allow_other'] : []),
    ...(flags.readOnly ? ['ro'] : []),
    ...asked(flags.nosuid, 'nosuid', 'suid'),
    ...asked(flags.nodev, 'nodev', 'dev'),
    ...(flags.noexec ? ['noexec'] : []),
    ...(flags.sync ? ['sync'] : []),
    ...(flags.dirsync ? ['dirsync'] : []),
    ...(flags.noatime ? ['noatime'] : []),
  ]
}

/** In such options a comma ends one and a backslash takes the next character as it is. */
export function escapeOption(value: string): string {
  return value.replace(/[\\,]/g, '\\$&')
}

function helperError(path: string, complaint: string): FsError {
  if (/fuse device not found|No such file.*\/dev\/fuse|open \/dev\/fuse: No such/i.test(complaint))
    return deviceError('ENOENT')
  if (/\/dev\/fuse.*Permission denied/i.test(complaint)) return deviceError('EACCES')
  if (/user_allow_other/.test(complaint)) {
    return new FsError(
      'EPERM',
      'allow_other is not allowed here: put user_allow_other into /etc/fuse.conf, or leave it',
    )
  }
  if (/no write access|not owned|Operation not permitted|Permission denied/i.test(complaint)) {
    return new FsError('EPERM', `cannot mount on ${path}: ${complaint}; without root you must own the directory`)
  }
  return new FsError('EIO', `cannot mount on ${path}: ${complaint}`)
}

interface HelperResult {
  status: number | null
  /** What it wrote to standard error, as one line. */
  complaint: string
}

/** Runs fusermount3; `descriptorSocket` becomes its descriptor 3, over which it passes the mount's. */
function runHelper(args: string[], descriptorSocket?: number): Promise<HelperResult> {
  return new Promise((resolve, reject) => {
    const helper = spawn(HELPER, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...(descriptorSocket === undefined ? [] : [descriptorSocket])],
      env: { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: '3' },
    })
    let complaint = ''
    helper.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
    })
    helper.on('error', (error) => reject(spawnError(error)))
    helper.on('close', (status) => {
      const oneLine = complaint
        .trim()
        .replace(/\s*\n\s*/g, '; ')
        .replace(/^fusermount3: /, '')
      resolve({ status, complaint: oneLine })
    })
  })
}

function spawnError(error: Error): FsError {
  const code = errnoNameOf(error) ?? 'EIO'
  const remedy = code === 'ENOENT' ? 'install the package fuse3, or mount as root' : 'check its permissions'
  return new FsError(code, `${HELPER} cannot be run (${code}): ${remedy}`, { cause: error })
}

// ---- unmounting ----

/** Takes the mount at `dir` out of the tree. EBUSY while it is in use (mode `normal`), EINVAL when nothing is mounted
 *  there, EPERM. */
export async function unmountAt(dir: string, { mode }: UnmountOptions): Promise<void> {
  const path = resolveOrFail(dir)
  if (findMountAt(path) === undefined) throw new FsError('EINVAL', `${dir} is not a mount: nothing to unmount`)
  if (process.geteuid?.() === 0) return unmountAsRoot(path, mode)
  if (mode === 'force') throw new FsError('EPERM', `cannot unmount ${dir} by force: only root can; use lazy`)
  const { status, complaint } = await runHelper(['-u', ...(mode === 'lazy' ? ['-z'] : []), '--', path])
  if (status === 0) return
  if (/busy/i.test(complaint)) throw busyError(path)
  throw new FsError('EPERM', `cannot unmount ${dir}: ${complaint}`)
}

async function unmountAsRoot(path: string, mode: UnmountOptions['mode']): Promise<void> {
  const flag = mode === 'lazy' ? UmountFlag.DETACH : mode === 'force' ? UmountFlag.FORCE : 0
  let result = await libc().umount2Async(path, UmountFlag.NOFOLLOW | flag)
  // By force the connection is cut first, and who waited for it may hold the mount a moment longer, or for good.
  if (mode === 'force' && errnoName(-result) === 'EBUSY') {
    result = await libc().umount2Async(path, UmountFlag.NOFOLLOW | UmountFlag.DETACH)
  }
  if (result === 0) return
  const code = errnoName(-result)
  if (code === 'EBUSY') throw busyError(path)
  throw new FsError(code, `cannot unmount ${path} (${code}): umount it as root in the namespace it was mounted in`)
}

function busyError(path: string): FsError {
  return new FsError(
    'EBUSY',
    `${path} is in use: see \`fuser -vm ${path}\`, or \`fusermount3 -uz ${path}\`, which waits for nobody`,
  )
}

// ---- connections ----

/** The kernel's name of a FUSE connection: the minor number of the mount's device. */
function connectionOf(majorMinor: string): string {
  return majorMinor.slice(majorMinor.indexOf(':') + 1)
}

/** Cuts the connection of a mount: whatever waits for its server fails with ECONNABORTED, and the server reads the end.
 *  Root mounts fusectl for it where nobody has. ENOENT when there is no such connection, EACCES when it is not ours. */
export function abortConnection(majorMinor: string): void {
  mountFusectl()
  const file = `${CONNECTIONS}/${connectionOf(majorMinor)}/abort`
  try {
    writeFileSync(file, '1')
  } catch (error) {
    const code = errnoNameOf(error) ?? 'EIO'
    throw new FsError(code, `cannot abort FUSE connection ${file} (${code}): it is gone, or another user's`, {
      cause: error,
    })
  }
}

function mountFusectl(): void {
  if (process.geteuid?.() !== 0 || !existsSync(CONNECTIONS) || findMountAt(CONNECTIONS) !== undefined) return
  if (readdirSync(CONNECTIONS).length > 0) return
  // What goes wrong shows when the connection is looked for.
  libc().mount('fusectl', CONNECTIONS, 'fusectl', MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC, '')
}

/** Raises the kernel's read-ahead window of a mount. Needs root: EACCES otherwise. To be called after INIT, which sets
 *  it. */
export function setReadAhead(majorMinor: string, kib: number): void {
  const file = `/sys/class/bdi/${majorMinor}/read_ahead_kb`
  try {
    writeFileSync(file, String(kib))
  } catch (error) {
    throw new FsError(errnoNameOf(error) ?? 'EIO', `cannot set the read-ahead in ${file}: it needs root`, {
      cause: error,
    })
  }
}

/** The same where it can be; where not, the log says so. */
export function tryReadAhead(majorMinor: string, kib: number, log: TransportLog): void {
  try {
    setReadAhead(majorMinor, kib)
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    log.info({ kib, reason: error.message }, 'the kernel keeps its own read-ahead')
  }
}

// ---- dead mounts ----

/** Whether the server behind a cairnfs mount has died: every access to it then fails with ENOTCONN. A child process
 *  asks, so that a server which does not answer holds up nobody; such a one counts as alive. */
export async function isDeadMount(entry: MountEntry): Promise<boolean> {
  if (entry.type !== MOUNT_TYPE) return false
  return new Promise((resolve) => {
    const probe = spawn('stat', ['--file-system', '--format=%t', '--', entry.mountpoint], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    })
    let complaint = ''
    const deadline = setTimeout(() => {
      // It may not be killable before its answer comes: nobody waits for it.
      probe.kill('SIGKILL')
      probe.unref()
      probe.stderr.destroy()
      resolve(false)
    }, PROBE_MS)
    probe.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
    })
    probe.on('error', () => {
      clearTimeout(deadline)
      resolve(false)
    })
    probe.on('close', () => {
      clearTimeout(deadline)
      resolve(/endpoint is not connected/i.test(complaint))
    })
  })
}

/** Lazily unmounts what a dead cairnfs process left at `dir`. False when there is nothing dead there. */
export async function repairDeadMount(dir: string): Promise<boolean> {
  const entry = findMountAt(resolveOrFail(dir))
  if (entry === undefined || !(await isDeadMount(entry))) return false
  await unmountAt(entry.mountpoint, { mode: 'lazy' })
  return true
}

// ---- errno ----

const nameByErrno = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name as ErrnoName]))

function errnoName(errno: number): ErrnoName {
  return nameByErrno.get(errno) ?? 'EIO'
}

/** The code of an error of Node's that carries one. */
function errnoNameOf(error: unknown): ErrnoName | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && code in constants.errno ? (code as ErrnoName) : undefined
}
