// Serves a MemoryFilesystem at a directory, in a process of its own, until it is unmounted: what test/mount drives.
//
//   node serve-memory.js MOUNTPOINT JSON      (see ServeOptions)
//
// Must stay true: each line on standard output is one JSON message; the first says `{"mounted": ...}`, the last
// `{"ended": ...}`. It never touches the mount.
import { type Binding, loadTransport, type TransportLog } from '../../src/fuse/index.ts'
import { systemClock } from '../../src/platform/index.ts'
import { delayed, MemoryFilesystem } from '../fuse/memory-filesystem.ts'

export interface ServeOptions {
  /** What speaks with the kernel; ourselves unless told. */
  binding?: Binding
  source?: string
  allowOther?: boolean
  readOnly?: boolean
  readAheadKib?: number
  /** Every operation waits so long first. */
  delayMs?: number
  /** Files `file-000000.dat`... that directory `d` holds from the start, and a file `big` of so many bytes. */
  files?: number
  bigBytes?: number
  /** How long the kernel may believe entries and attributes. */
  ttlSec?: number
  /** No extended attributes: the kernel hears ENOSYS once and asks no more. */
  noXattrs?: boolean
  /** Invalidates the root's entries `a` to `z`, and inode 1, every so many ms while serving. */
  invalidateEveryMs?: number
}

const [mountpoint, json] = process.argv.slice(2)
if (mountpoint === undefined) throw new Error('usage: serve-memory.js MOUNTPOINT [JSON]')
const options = JSON.parse(json ?? '{}') as ServeOptions

const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`)
const log: TransportLog = {
  debug: () => {},
  info: (fields, message) => say({ level: 'info', message, ...fields }),
  warn: (fields, message) => say({ level: 'warn', message, ...fields }),
  error: (fields, message) =>
    say({ level: 'error', message, ...fields, error: String((fields as { err?: Error }).err?.stack) }),
}

const memory = new MemoryFilesystem(() => systemClock.now())
fill()
if (options.ttlSec !== undefined) {
  memory.entryTtlSec = memory.attributeTtlSec = memory.negativeSec = options.ttlSec
}
if (options.noXattrs) {
  for (const method of ['getxattr', 'setxattr', 'listxattr', 'removexattr']) {
    Object.defineProperty(memory, method, { value: undefined })
  }
}
const { delayMs } = options
const filesystem = delayMs === undefined ? memory : delayed(memory, () => systemClock.sleep(delayMs))

try {
  const transport = await loadTransport(options.binding ?? 'kernel')
  const mounted = await transport.mount(filesystem, {
    mountpoint,
    source: options.source ?? 'memory',
    allowOther: options.allowOther ?? true,
    flags: { readOnly: options.readOnly ?? false, nosuid: true, nodev: true },
    ...(options.readAheadKib === undefined ? {} : { readAheadKib: options.readAheadKib }),
    log,
  })
  process.on('SIGTERM', () => {
    mounted.unmount({ mode: 'normal' }).catch((error: Error) => say({ level: 'warn', message: error.message }))
  })
  // Whoever reads this may send the signal at once.
  say({ mounted: mounted.mountpoint, majorMinor: mounted.majorMinor })
  if (options.invalidateEveryMs !== undefined) {
    let sent = 0
    const timer = setInterval(() => {
      const letter = Buffer.from(String.fromCharCode(97 + (sent++ % 26)))
      void mounted.invalidateEntry(1 as never, letter)
      void mounted.invalidateInode(1 as never, 0, 0)
    }, options.invalidateEveryMs)
    mounted.ended.finally(() => clearInterval(timer))
  }
  const reason = await mounted.ended
  say({ ended: reason, inodes: memory.inodeCount, open: memory.openCount, violations: memory.violations })
} catch (error) {
  say({ failed: String((error as Error).message), code: (error as { code?: string }).code })
  process.exitCode = 1
}

function fill(): void {
  const root = { uid: 0, gid: 0, pid: 0 }
  const at = <T>(value: T | Promise<T>) => value as T
  if (options.files !== undefined) {
    const directory = at(memory.mkdir(root, 1 as never, Buffer.from('d'), 0o755)).attributes.ino
    for (let i = 0; i < options.files; i++) {
      const name = Buffer.from(`file-${String(i).padStart(6, '0')}.dat`)
      const { attributes } = at(memory.mknod(root, directory, name, 0o100644, 0))
      memory.forget(attributes.ino, 1)
    }
    memory.forget(directory, 1)
  }
  if (options.bigBytes !== undefined) {
    const { attributes } = at(memory.mknod(root, 1 as never, Buffer.from('big'), 0o100644, 0))
    memory.write(0 as never, attributes.ino, 0, Buffer.alloc(options.bigBytes, 'cairnfs '))
    memory.forget(attributes.ino, 1)
  }
}
