// fuse/: the kernel's protocol, and mounting. Promises upward: Transport (transport.ts): a Filesystem becomes a mount,
// and the end of the mount is told. Asks downward: the operations of vfs/ (Filesystem), foreign functions of platform/.
//
// Words: *session*, one connection's conversation (INIT to the end); *request*, what the kernel asks; *notification*,
// what we tell it unasked; *outstanding*, requests whose operation has returned a promise that has not settled.
//
// How this can lock up, and what prevents it:
// - The serving process touches its own mount (open, stat, even getcwd within): it waits for itself. Nothing here does;
//   what must ask a mount something asks from a child process.
// - A notification is written by the thread that answers requests: the kernel waits for locks held by those who wait
//   for our answers. notify.ts writes from the thread pool.
// - umount(2) is called by that thread: the kernel may first have mapped pages written. mount.ts uses the thread pool.
// - An operation waits for another request of the kernel's (a RELEASE, say): with 1,024 waiting none is read any more.
//   Operations wait for the store, for time and for each other, never for the kernel.
// - All threads of the pool are taken: notifications and unmounts wait for one. The process needs UV_THREADPOOL_SIZE of
//   8 or more, set in its environment before it starts (cli/ does that); requests themselves need none.
export { type Binding, loadTransport } from './bindings.ts'
export { kernelTransport } from './kernel-transport.ts'
export { fuseRequestCount, fuseRequests } from './metrics.ts'
export {
  abortConnection,
  isDeadMount,
  MOUNT_TYPE,
  remountAt,
  repairDeadMount,
  setReadAhead,
  unmountAt,
} from './mount.ts'
export { findMount, findMountOf, type MountEntry, parseMountinfo } from './mountinfo.ts'
export { Rehearsal } from './rehearsal.ts'
export type {
  EndReason,
  Mounted,
  MountFlags,
  MountRequest,
  Transport,
  TransportLog,
  UnmountOptions,
} from './transport.ts'
