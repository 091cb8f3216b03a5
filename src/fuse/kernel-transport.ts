// The default transport: TypeScript speaks the kernel's FUSE protocol over /dev/fuse.
//
// Must stay true: the descriptor is served before `mount` waits for anything of the kernel's, and on every way out that
// is an error the mount is taken away again.
import { Registry } from '../observe/index.ts'
import { FsError } from '../platform/index.ts'
import type { Filesystem, Ino } from '../vfs/index.ts'
import {
  encodeIncrementEpoch,
  encodeInvalidateEntry,
  encodeInvalidateInode,
  encodeStoreHead,
  totalLengthBytes,
} from './codec.ts'
import { DeviceLoop } from './device-loop.ts'
import { attach, checkMountpoint, repairDeadMount, tryReadAhead, unmountAt } from './mount.ts'
import { findMountAt } from './mountinfo.ts'
import { Notifier } from './notify.ts'
import { Session } from './session.ts'
import type { Mounted, MountRequest, Transport } from './transport.ts'

export const kernelTransport: Transport = { mount }

async function mount(filesystem: Filesystem, request: MountRequest): Promise<Mounted> {
  const { log } = request
  const flags = request.flags ?? {}
  if (await repairDeadMount(request.mountpoint)) {
    log.warn({ mountpoint: request.mountpoint }, 'took away the mount of a cairnfs process that died')
  }
  const path = checkMountpoint(request.mountpoint)
  const fd = await attach({ path, source: request.source, flags, allowOther: request.allowOther })
  const loop = new DeviceLoop(fd, filesystem.slabs)
  const registry = request.registry ?? new Registry()
  const { acls = false, writeback = false } = request
  const readOnly = flags.readOnly === true
  const synced = flags.sync ? 'all' : flags.dirsync ? 'names' : 'none'
  const session = new Session(filesystem, loop, { readOnly, acls, writeback, synced, log, registry })
  loop.start((received) => session.handle(received))

  try {
    await Promise.race([session.initialized, loop.ended.then(() => Promise.reject(endedEarly(path)))])
    const majorMinor = findMountAt(path)?.majorMinor
    if (majorMinor === undefined) throw endedEarly(path)
    if (request.readAheadKib !== undefined) tryReadAhead(majorMinor, request.readAheadKib, log)
    return new ServedMount(path, majorMinor, { loop, session })
  } catch (error) {
    loop.stop()
    if (findMountAt(path) !== undefined) await unmountAt(path, { mode: 'lazy' })
    throw error
  }
}

function endedEarly(path: string): FsError {
  return new FsError('ENODEV', `${path} was unmounted while it was being mounted: mount it again`)
}

class ServedMount implements Mounted {
  readonly mountpoint: string
  readonly majorMinor: string
  readonly ended: Mounted['ended']
  readonly #loop: DeviceLoop
  readonly #session: Session
  readonly #notifier: Notifier

  constructor(mountpoint: string, majorMinor: string, { loop, session }: { loop: DeviceLoop; session: Session }) {
    this.mountpoint = mountpoint
    this.majorMinor = majorMinor
    this.ended = loop.ended
    this.#loop = loop
    this.#session = session
    this.#notifier = new Notifier((message) => loop.notify(message))
  }

  get outstanding(): number {
    return this.#loop.outstanding
  }

  unmount(options: Parameters<Mounted['unmount']>[0]): Promise<void> {
    return unmountAt(this.mountpoint, options)
  }

  async invalidateInode(ino: Ino, offset: number, lengthBytes: number): Promise<void> {
    this.#session.namesChange(ino)
    await this.#notifier.send(encodeInvalidateInode(ino, offset, lengthBytes))
  }

  async invalidateEntry(parent: Ino, name: Uint8Array): Promise<void> {
    this.#session.namesChange(parent)
    await this.#notifier.send(encodeInvalidateEntry(parent, name))
  }

  get telling(): Promise<void> | null {
    return this.#notifier.busy
  }

  async store(ino: Ino, offset: number, parts: readonly Uint8Array[]): Promise<boolean> {
    const lengthBytes = totalLengthBytes(parts)
    try {
      const isTaken = await this.#notifier.send(encodeStoreHead(ino, offset, lengthBytes), ...parts)
      if (isTaken) this.#session.stored(lengthBytes)
      return isTaken
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      // It has no memory for it, mostly: then it asks for what it wants.
      return false
    }
  }

  async invalidateNames(): Promise<void> {
    await this.#notifier.send(encodeIncrementEpoch())
  }
}
