// Transport: the seam between a Filesystem and the kernel. A transport mounts a filesystem at a directory and serves it
// until it is unmounted; kernel-transport.ts speaks the protocol itself, others (fuse-native) can stand beside.
//
// Must stay true: a transport never touches the mount it serves, not even with stat: the answer would have to come from
// the thread that waits for it.
import type { Registry } from '../observe/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'

/** The part of a pino logger that transports use. */
export interface TransportLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** mount(8)'s options that the kernel itself observes. */
export interface MountFlags {
  readOnly?: boolean
  nosuid?: boolean
  nodev?: boolean
  noexec?: boolean
  noatime?: boolean
  sync?: boolean
  dirsync?: boolean
}

export interface MountRequest {
  /** An existing directory on which nothing is mounted. */
  mountpoint: string
  /** What `mount` and /proc/self/mountinfo show as the source, to the letter. */
  source: string
  flags?: MountFlags
  /** Others than the one who mounts may use it. Without root this needs user_allow_other in /etc/fuse.conf. */
  allowOther: boolean
  /** The kernel checks permissions by POSIX ACLs too; off unless told. It then asks for that of each file once. */
  acls?: boolean
  /** The kernel acknowledges writes before we see them, and sends them when files are closed or synced, or after some time; off
   *  unless told. */
  writeback?: boolean
  /** The kernel's read-ahead window; needs root, ignored (with a log line) without. Left as it is when undefined. */
  readAheadKib?: number
  log: TransportLog
  /** Where requests are counted; nowhere unless told. */
  registry?: Registry
}

export type EndReason =
  /** umount, also by force. */
  | 'unmounted'
  /** The connection was cut through /sys/fs/fuse/connections; the mount itself may still be in the way. */
  | 'aborted'

export interface UnmountOptions {
  /** `normal` fails with EBUSY while files are in use; `lazy` takes the mount out of the tree at once and ends when the
   *  last user is gone; `force` is lazy too, and makes everything that waits for us fail. */
  mode: 'normal' | 'lazy' | 'force'
}

/** A mount that is being served. */
export interface Mounted {
  readonly mountpoint: string
  /** Device of the mount, `MAJOR:MINOR` as in mountinfo; the minor names /sys/fs/fuse/connections/N. */
  readonly majorMinor: string
  /** Resolves when the kernel has let go and every operation under way has settled; rejects when serving broke. */
  readonly ended: Promise<EndReason>
  /** Resolves when the mount is out of the tree (`ended` follows). EBUSY, EPERM, EINVAL when it is no mount now. */
  unmount(options: UnmountOptions): Promise<void>
  /** The kernel drops what it caches of `ino`: attributes, and data from `offset` for `lengthBytes` (0: to the end; a
   *  negative offset: attributes only). Sent after the reply in hand, in the order of the calls; resolves when the
   *  kernel has done it (an inode or name it does not know is nothing to do). */
  invalidateInode(ino: Ino, offset: number, lengthBytes: number): Promise<void>
  /** The kernel forgets what it knows of `name` in `parent`, negative entries too. As above. */
  invalidateEntry(parent: Ino, name: Uint8Array): Promise<void>
  /** While something is told to the kernel, as below and above: resolves when all is. */
  readonly telling: Promise<void> | null
  /** Puts bytes of `ino` into the kernel's cache, over what it has there; past the end of the file they make it longer. In the
   *  order of the calls, with the others: an operation may wait for it only if nothing was being told when it was called.
   *  Resolves, when the parts are not read any more, to whether the kernel took them. At most 1,000 parts. */
  store(ino: Ino, offset: number, parts: readonly Uint8Array[]): Promise<boolean>
  /** The kernel asks again for every name it knows, before it uses it. Rejects where it is older than Linux 6.16 and cannot:
   *  then it believes names for as long as it was told. */
  invalidateNames(): Promise<void>
  /** Operations under way: those whose promise has not settled. */
  readonly outstanding: number
}

export interface Transport {
  /** Mounts `filesystem` and serves it. Resolves once the kernel and the transport have agreed and requests are
   *  answered. Errors have one line with the cause, the thing and the remedy. */
  mount(filesystem: Filesystem, request: MountRequest): Promise<Mounted>
}
