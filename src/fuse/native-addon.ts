// fuse-native's native half (2.2.6): loading it, and what its functions take and give.
//
// Its JavaScript half is left out. That drops the descriptor of fstat and the room that getxattr has (which lets a caller
// read the heap), stats the mountpoint, and unmounts by a shell command that waits for nobody. What is here is the same
// prebuilt binary, a thread pool of libfuse 2 in which each request waits until its operation is signalled.
//
// Must stay true:
// - It is loaded when a mount asks for it, and never else: it is an optional dependency, for x64 with glibc, and needs
//   libfuse.so.2, which no package of npm's brings.
// - Every operation that is called is signalled exactly once, with all its arguments: one that is missing throws before
//   the thread is woken, and the caller of the system call waits for ever.
// - What the thread of a mount lies in is kept for the life of the process: libuv goes on knowing an address in it.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { FsError } from '../platform/index.ts'

const PACKAGE = 'fuse-native'

/** Operations of libfuse's high-level interface that we implement. Missing, so that libfuse or the kernel does it: access
 *  (default_permissions), flush, opendir, releasedir. */
export const NATIVE_OPERATIONS = [
  'init',
  'statfs',
  'getattr',
  'fgetattr',
  'fsync',
  'fsyncdir',
  'readdir',
  'truncate',
  'ftruncate',
  'utimens',
  'readlink',
  'chown',
  'chmod',
  'mknod',
  'setxattr',
  'getxattr',
  'listxattr',
  'removexattr',
  'open',
  'read',
  'write',
  'release',
  'create',
  'unlink',
  'rename',
  'link',
  'symlink',
  'mkdir',
  'rmdir',
] as const
export type NativeOperation = (typeof NATIVE_OPERATIONS)[number]

/** A request's place in memory, its struct fuse_thread_locals_t. */
export type NativeRequest = Buffer

/** Called with the request, the number of the operation, and what the operation takes. */
export type NativeHandler = (request: NativeRequest, operation: number, ...taken: never[]) => void

/** Wakes the thread: the operation's result, 0 or more or a negative errno, and what else it gives. */
export type NativeSignal = (request: NativeRequest, result: number, ...given: unknown[]) => void

interface Functions {
  sizeof_fuse_thread_t: number
  /** Mounts, and begins a thread that serves. `options` begins with -o; both strings are cut at 1,023 bytes. */
  fuse_native_mount(
    mountpoint: string,
    options: string,
    thread: Buffer,
    self: object,
    allocate: (lengthBytes: number) => Buffer,
    handlers: readonly NativeHandler[],
    implemented: Uint32Array,
  ): void
  /** Unmounts nothing: the event loop may end. */
  fuse_native_unmount(mountpoint: string, thread: Buffer): void
}

export type NativeAddon = Functions & { readonly [Key in `op_${NativeOperation}`]: number } & {
  readonly [Key in `fuse_native_signal_${NativeOperation}`]: NativeSignal
}

/** Operations that it has numbers for. */
const OPERATION_SLOTS = 35
export const STRING_BYTES_MAX = 1023

/** Loads it. FsError in one line where it cannot be. */
export function loadNativeAddon(): NativeAddon {
  const require = createRequire(import.meta.url)
  let folder: string
  try {
    folder = dirname(require.resolve(`${PACKAGE}/package.json`))
  } catch (error) {
    throw cannotLoad('it is not installed: npm install fuse-native@2.2.6', error)
  }
  try {
    const build = createRequire(join(folder, 'package.json'))('node-gyp-build') as (folder: string) => NativeAddon
    return build(folder)
  } catch (error) {
    throw cannotLoad(reasonOf(error instanceof Error ? error.message : String(error)), error)
  }
}

/** What dlopen and node-gyp-build complain about, and what to do. */
export function reasonOf(message: string): string {
  const [firstLine = ''] = message.split('\n')
  if (/libfuse\.so\.2/.test(message)) return 'libfuse.so.2 is missing: apt install libfuse2'
  if (/No native build/.test(message)) return 'it has no binary for this machine, only for Linux on x64 with glibc'
  return `${firstLine}: it is for Linux on x64 with glibc`
}

function cannotLoad(reason: string, cause: unknown): FsError {
  return new FsError('ENOSYS', `${PACKAGE} cannot be loaded: ${reason}; or mount without --binding fuse-native`, {
    cause,
  })
}

/** Of mounts of this process, their ends included. */
const threads: Buffer[] = []

/** Mounts. Returns what lets the event loop end. */
export function mountNative(
  addon: NativeAddon,
  mountpoint: string,
  options: string,
  handlers: ReadonlyMap<NativeOperation, NativeHandler>,
): () => void {
  const table: NativeHandler[] = new Array(OPERATION_SLOTS).fill(() => {})
  const implemented = new Uint32Array(OPERATION_SLOTS)
  for (const [name, handler] of handlers) {
    table[addon[`op_${name}`]] = handler
    implemented[addon[`op_${name}`]] = 1
  }
  const thread = Buffer.alloc(addon.sizeof_fuse_thread_t)
  threads.push(thread)
  addon.fuse_native_mount(
    mountpoint,
    options,
    thread,
    {},
    (lengthBytes) => Buffer.alloc(lengthBytes),
    table,
    implemented,
  )
  return () => addon.fuse_native_unmount(mountpoint, thread)
}
