// The folder of --cache-dir: checked and made before anything is mounted, so that what is wrong with it is one line at the
// prompt; and the disk cache in it.
//
//   DIR/CACHEDIR.TAG          says that this is a cache, to backup programs too (bford.info/cachedir)
//   DIR/UUID/PLACE/           of one volume in one store: a copy of a bucket has the volume's uuid, but goes its own ways
//
// Must stay true: nothing is made in a folder that holds other things, or that others may write to: what lies there is
// handed out as what files hold. All of it may be deleted at any time.
import { createHash } from 'node:crypto'
import { accessSync, constants, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { findMountOf, MOUNT_TYPE } from '../fuse/index.ts'
import type { Logger } from '../observe/index.ts'
import { makeFolders, systemClock, systemRandom } from '../platform/index.ts'
import { DiskCache, type DiskSpace } from '../segments/index.ts'
import { nodeDisk, parseStoreName } from '../store/index.ts'
import type { VolumeIdentity } from '../volume/index.ts'
import { CommandError, codeOf } from './errors.ts'
import { fieldsFirst } from './log.ts'
import type { OpenedStore } from './open-store.ts'
import type { MountSettings } from './options.ts'

const DEFAULT_BYTES = 10 * 1024 ** 3
/** Of what waits to be written. */
const PENDING_BYTES_MAX = 32 << 20
const TAG_NAME = 'CACHEDIR.TAG'
const TAG_OWNER = '# This folder is a cache of cairnfs mounts (--cache-dir).'
const TAG = `Signature: 8a477f597d28d172789f06886806bc55\n${TAG_OWNER}\n# It may be deleted at any time. See https://bford.info/cachedir/\n`
/** What a new filesystem may have in its top folder. */
const HARMLESS = ['lost+found']

export interface CachePlace {
  order: { storeName: string; settings: MountSettings }
  identity: VolumeIdentity
  opened: OpenedStore
  log: Logger
}

export interface OpenedCache {
  cache: DiskCache
  /** Of the volume in the store. */
  folder: string
  /** What it may take of the memory. */
  memoryBytes: number
}

/** A folder that was found fit. */
export interface PreparedCache {
  /** Makes the folder of the volume, and the cache in it. Throws CommandError. */
  open(place: CachePlace): OpenedCache
}

/** Checks and makes the folder. Throws CommandError. `mountpoint` is free of symbolic links. */
export function prepareCache(
  { dir, sizeBytes }: NonNullable<MountSettings['cache']>,
  { mountpoint, storeName }: { mountpoint: string; storeName: string },
): PreparedCache {
  const refuse = (why: string, cause?: unknown) =>
    Object.assign(new CommandError(`--cache-dir ${dir} ${why}`, 1, { cause }), { code: codeOf(cause) })
  const real = realPathOfNew(dir)
  if (isInside(real, mountpoint)) throw refuse(`lies inside the mountpoint ${mountpoint}: choose another folder`)
  const store = parseStoreName(storeName)
  if (store.kind === 'file' && isInside(real, realPathOfNew(store.path))) {
    throw refuse('lies inside the store: choose another folder')
  }
  const below = findMountOf(real)
  if (below?.type === MOUNT_TYPE) {
    throw refuse(`lies on ${below.mountpoint}, a mount of cairnfs: choose a folder on a local disk`)
  }
  try {
    makeFolders(dir, 0o700)
    const stat = statSync(dir)
    if (!stat.isDirectory()) throw refuse('is not a folder')
    if (stat.uid !== process.geteuid!()) throw refuse(`belongs to user ${stat.uid}: choose a folder of your own`)
    if ((stat.mode & 0o022) !== 0) throw refuse(`may be written to by others: chmod 700 ${dir}`)
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
    if (!isTagged(dir)) {
      const others = readdirSync(dir).filter((name) => !HARMLESS.includes(name))
      if (others.length > 0) throw refuse(`holds other things (${others[0]}): name an empty folder, or a new one`)
      writeFileSync(join(dir, TAG_NAME), TAG, { mode: 0o600 })
    }
  } catch (error) {
    if (error instanceof CommandError) throw error
    const code = codeOf(error)
    if (code === 'EEXIST' || code === 'ENOTDIR') throw refuse('is not a folder', error)
    throw refuse(`cannot be used (${code}): it must be a folder that can be written to`, error)
  }
  return {
    open({ order, identity, opened, log }) {
      const { uuid, segmentSize } = identity.json
      const place = createHash('sha256').update(`${opened.endpoint} ${order.storeName}`).digest('hex').slice(0, 16)
      const folder = join(real, uuid, place)
      try {
        makeFolders(folder, 0o700)
      } catch (error) {
        throw refuse(`cannot be used (${codeOf(error)}): it must be a folder that can be written to`, error)
      }
      const pendingBytes = Math.min(PENDING_BYTES_MAX, order.settings.memoryBytes / 8)
      const cache = new DiskCache({
        store: opened.store,
        disk: nodeDisk,
        folder,
        scope: `${uuid} ${place}`,
        sizeBytes: sizeBytes ?? DEFAULT_BYTES,
        ...(sizeBytes === null ? { space: () => spaceOf(folder) } : {}),
        pendingBytes,
        segmentSizeBytes: segmentSize,
        clock: systemClock,
        session: systemRandom.bytes(8).toString('hex'),
        log: fieldsFirst(log.child('cache')),
      })
      cache.start()
      return { cache, folder, memoryBytes: pendingBytes }
    },
  }
}

async function spaceOf(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}

function isTagged(dir: string): boolean {
  try {
    return readFileSync(join(dir, TAG_NAME), 'utf8').includes(TAG_OWNER)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Without symbolic links, where a part of the path may not be there yet. */
function realPathOfNew(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) return path
    return join(realPathOfNew(dirname(path)), basename(path))
  }
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}
