// The filesystem put together: one object that delegates to a file per family of operations.
//
// Life: createFilesystem, `start` (before the first operation), operations, `close`. Its volume opens the database, the
// segments and the streams before, and closes the database after, with `checkpointHooks`.
import type { ReadAheadCounters } from '../data/index.ts'
import {
  CASEFOLD_FLAG,
  type Ino,
  isAnythingLimited,
  Metadata,
  newInode,
  putRootDirectory,
  ROOT_INO,
  S_IFDIR,
} from '../meta/index.ts'
import { FsError, ruleHolds } from '../platform/index.ts'
import type { CheckpointHooks } from '../tables/index.ts'
import { hasAcls } from './acl.ts'
import { dropSetId, setattr } from './attributes.ts'
import { Checkpoints } from './checkpoints.ts'
import { Cleaner, type CleanerStatus, type CleanOptions } from './cleaner.ts'
import { type Context, type FilesystemOptions, TTL_SEC } from './context.ts'
import { copyFileRange } from './copy.ts'
import { create, mkdir, mknod, symlink, tmpfile } from './create.ts'
import { Defragmenter } from './defragmenter.ts'
import { readdir } from './directory.ts'
import type { Filesystem } from './filesystem.ts'
import { getFlags, setFlags } from './flags.ts'
import { createGuards } from './guards.ts'
import { HandOver } from './hand-over.ts'
import { Handles } from './handles.ts'
import { fallocate, lseek } from './holes.ts'
import { fsync, isTruncating, open, read, release, write } from './io.ts'
import { link, rmdir, unlink } from './link.ts'
import { forget, getattr, lookup, negativeTtlSec, readlink } from './lookup.ts'
import { Quotas } from './quota.ts'
import { type QuotaAdmin, quotaAdmin } from './quota-admin.ts'
import { QuotaCounter } from './quota-counter.ts'
import { resumeWalk } from './quota-walk.ts'
import { Reaper } from './reaper.ts'
import { rename } from './rename.ts'
import { StaleNames } from './stale-names.ts'
import { statfs } from './statfs.ts'
import { Walks } from './walks.ts'
import { Writeback } from './writeback.ts'
import { getxattr, listxattr, removexattr, setxattr } from './xattr.ts'

const READ_AHEAD_BYTES_MAX = 64 << 20

export interface FilesystemStatus {
  /** Why changes are refused; null while all is well. */
  failure: FsError | null
  dirtyBytes: number
  openHandles: number
  /** Inodes the transport refers to. */
  referencedInodes: number
  /** Streams held back by O_TRUNC. */
  heldStreams: number
  cleaner: CleanerStatus
  /** Directories loaded ahead of walks, and those of them that were then listed. */
  walks: { loaded: number; used: number }
  readAhead: ReadAheadCounters
}

/** What its volume may do with a filesystem besides. */
export interface MountedFilesystem extends Filesystem {
  /** Makes the root directory of a new volume, and empties the orphans that earlier mounts left, in the background. */
  start(root?: { uid: number; gid: number; mode: number }): Promise<void>
  /** The barrier: everything is durable when it resolves. */
  sync(): Promise<void>
  /** Writes a checkpoint; joins one under way. */
  checkpointNow(): Promise<void>
  /** After a journal write failed: tries again, then makes everything durable. Rejects with EIO while that cannot be. */
  resume(): Promise<void>
  /** Runs a pass of the cleaner, now. Resolves to whether it found anything to do; rejects when the store fails. */
  clean(options: CleanOptions): Promise<boolean>
  /** Streams hold too much: begins a write-back in a later turn (the streams' `onPressure`). */
  writeBackUnderPressure(): void
  /** Drops all orphans, makes everything durable, stops timers. The database is then closed with `checkpointHooks`. */
  close(): Promise<void>
  /** Stops everything in the background; what is dirty is given up. */
  abandon(): void
  readonly checkpointHooks: CheckpointHooks
  /** Whether the volume had, or had had, any POSIX ACL when this was started. */
  readonly hasAcls: boolean
  readonly quotas: QuotaAdmin
  /** Resolves when no orphan is left that could be dropped now. */
  orphansEmptied(): Promise<void>
  status(): FilesystemStatus
  /** The inodes that the transport refers to, besides the root, and how often. */
  references(): ReadonlyMap<Ino, number>
}

export function createFilesystem(options: FilesystemOptions): MountedFilesystem {
  const { database, streams, segments, clock, log, readOnly = false } = options
  const get = (): Context => context
  const writeback = new Writeback(get, {
    commitIntervalMs: options.commitIntervalMs ?? 5_000,
    truncateHoldMs: options.truncateHoldMs ?? 30_000,
    inlineBytesMax: options.inlineBytesMax ?? 1 << 20,
  })
  const cleaner = new Cleaner(get, options.graceMs ?? 3_600_000)
  const checkpoints = new Checkpoints(get, () => cleaner.checkpointWritten())
  const reaper = new Reaper(get)
  const quotas = new Quotas(get)
  const quotaCounter = new QuotaCounter(get)
  const metadata = new Metadata({ database, nameKeys: options.nameKeys })
  const handles = new Handles({
    maxReadAheadBytes: options.maxReadAheadBytes ?? READ_AHEAD_BYTES_MAX,
    roomBytes: () => segments.dataAheadBytes,
  })
  const handOver = new HandOver(get, options.pageCache ?? null)
  const walks = new Walks({ database, metadata, clock, aheadBytesMax: options.walkAheadBytes ?? 16 << 20 })
  const context: Context = {
    database,
    metadata,
    streams,
    segments,
    clock,
    log,
    readOnly,
    kernelWritesBack: options.kernelWritesBack === true,
    handles,
    handOver,
    writeback,
    reaper,
    quotas,
    quotaCounter,
    defragmenter: new Defragmenter(get),
    walks,
    shareMinBytes: options.shareMinBytes ?? 64 * 1024,
    countingStep: options.countingStep ?? 500,
    onNameGone: options.onNameGone ?? (() => {}),
    staleNames: new StaleNames(),
    linkable: new Set(),
    protectedWritten: new Map(),
    served: { operations: 0 },
    capable: new Set(),
  }
  if (!readOnly) {
    writeback.onCommitted = () => {
      checkpoints.consider()
      reaper.goOn()
      quotaCounter.goOn()
    }
  }

  const sync = (): Promise<void> =>
    readOnly
      ? Promise.resolve()
      : writeback.commit({
          streams: ruleHolds('fsync of the root commits all streams') ? 'all' : [],
          includeHeld: true,
        })
  const stop = () => {
    handOver.stop()
    walks.stop()
    cleaner.stop()
    quotaCounter.stop()
    reaper.stop()
    checkpoints.stop()
    writeback.stop()
  }
  const guards = createGuards(database, clock, context.served)
  const { reading, changing, counted } = guards
  let isPressed = false
  let volumeHasAcls = false
  let isWritingBack = false

  return {
    negativeTtlSec: (parent) => negativeTtlSec(context, parent),
    entryTtlSec: TTL_SEC,
    attributeTtlSec: TTL_SEC,
    get version() {
      return guards.version
    },
    lookup: reading((_caller, parent, name) => lookup(context, parent, name)),
    forget: (ino, count) => forget(context, ino, count),
    getattr: reading((ino, _handle, caller) => getattr(context, ino, caller)),
    slabs: streams.slabs,
    setattr: changing((caller, ino, changes) => setattr(context, caller, ino, changes)),
    dropSetId: changing((ino, ahead) => dropSetId(context, ino, ahead)),
    readlink: reading((ino) => readlink(context, ino)),
    mknod: changing((caller, parent, name, mode, rdev, umask) =>
      mknod(context, caller, parent, name, { mode, rdev, umask }),
    ),
    mkdir: changing((caller, parent, name, mode, umask) => mkdir(context, caller, parent, name, { mode, umask })),
    symlink: changing((caller, parent, name, target) => symlink(context, caller, parent, name, target)),
    link: changing((caller, ino, newParent, newName) => link(context, caller, ino, newParent, newName)),
    unlink: changing((caller, parent, name) => unlink(context, caller, parent, name)),
    rmdir: changing((caller, parent, name) => rmdir(context, caller, parent, name)),
    rename: changing((caller, from, to, flags) => rename(context, caller, from, to, flags)),
    open: reading((_caller, ino, flags) => {
      const opening = () => open(context, ino, flags)
      return isTruncating(flags) ? counted(opening) : opening()
    }),
    create: changing((caller, parent, name, mode, flags) => create(context, caller, parent, name, mode, flags)),
    tmpfile: changing((caller, parent, mode, flags) => tmpfile(context, caller, parent, mode, flags)),
    read: reading((handle, ino, offset, lengthBytes, lease) => read(context, handle, ino, offset, lengthBytes, lease)),
    write: changing((_handle, ino, offset, data, how) => write(context, ino, offset, data, how)),
    copyFileRange: changing((from, to, lengthBytes, flags) => copyFileRange(context, from, to, lengthBytes, flags)),
    fallocate: changing((handle, ino, mode, offset, lengthBytes) =>
      fallocate(context, handle, ino, mode, offset, lengthBytes),
    ),
    lseek: reading((_handle, ino, offset, whence) => lseek(context, ino, offset, whence)),
    flush: () => {},
    release: (handle) => release(context, handle),
    fsync: reading((_handle, ino) => fsync(context, ino)),
    readdir: reading((ino, cookie, plus, sink) => readdir(context, ino, cookie, plus, sink)),
    fsyncdir: reading((ino) => {
      if (ino === ROOT_INO || readOnly) return sync()
      return ruleHolds('fsync of a directory commits the names') ? writeback.commit({ streams: [] }) : Promise.resolve()
    }),
    statfs: reading((ino) => statfs(context, ino)),
    getFlags: reading((ino) => getFlags(context, ino)),
    setFlags: changing((caller, ino, flags) => setFlags(context, caller, ino, () => flags)),
    getxattr: reading((caller, ino, name) => getxattr(context, caller, ino, name)),
    setxattr: changing((caller, ino, change) => setxattr(context, caller, ino, change)),
    listxattr: reading((caller, ino) => listxattr(context, caller, ino)),
    removexattr: changing((caller, ino, name) => removexattr(context, caller, ino, name)),

    async start(root = { uid: 0, gid: 0, mode: 0o755 }) {
      if (!(await database.run(() => metadata.hasRoot()))) {
        if (readOnly) throw new FsError('EIO', 'the volume has no root directory: mount it for writing once')
        const transaction = database.transaction()
        const { uid, gid, mode } = root
        putRootDirectory(
          transaction,
          newInode({
            ino: ROOT_INO,
            mode: S_IFDIR | (mode & 0o7777),
            uid,
            gid,
            now: clock.now(),
            flags: options.casefold === true ? CASEFOLD_FLAG : 0,
          }),
        )
        database.apply(transaction)
        writeback.changed()
      }
      volumeHasAcls = await database.run(() => hasAcls(context))
      await quotas.load()
      if (readOnly) return
      if (options.kernelWritesBack === true && (await database.run(() => isAnythingLimited(database)))) {
        throw new FsError(
          'EINVAL',
          'the volume has quotas, which hold for what is written at once: mount it without -o writeback',
        )
      }
      await resumeWalk(context)
      await reaper.emptyOrphans()
      checkpoints.consider()
      quotaCounter.begin()
    },
    sync,
    checkpointNow: () => checkpoints.now(),
    clean: (cleanOptions) => cleaner.run(cleanOptions),
    async resume() {
      await database.resume()
      await sync()
    },
    writeBackUnderPressure() {
      if (readOnly) return
      isPressed = true
      if (isWritingBack) return
      isWritingBack = true
      void clock.yield().then(async () => {
        // Whoever came to wait meanwhile may have filled what was freed, and says so once only.
        while (isPressed) {
          isPressed = false
          await writeback.commit({ streams: 'all', includeHeld: true, includeOrphans: true }).catch(() => {
            // Write-back has logged it; the bytes stay, and pressure calls again.
          })
        }
        isWritingBack = false
      })
    },
    async close() {
      try {
        if (readOnly) return
        cleaner.stop()
        await cleaner.idle()
        quotaCounter.stop()
        await quotaCounter.idle()
        if (ruleHolds('an unmount leaves no orphan')) await reaper.reapAll()
        await sync()
      } finally {
        stop()
        await reaper.idle()
      }
    },
    abandon: stop,
    checkpointHooks: checkpoints.hooks,
    get hasAcls() {
      return volumeHasAcls
    },
    quotas: quotaAdmin(context),
    orphansEmptied: () => reaper.idle(),
    references: () => metadata.places.counts(),
    status: () => ({
      failure: writeback.failure,
      dirtyBytes: streams.dirtyBytes,
      openHandles: handles.size,
      referencedInodes: metadata.places.size,
      heldStreams: writeback.heldStreams,
      cleaner: cleaner.status,
      walks: { ...walks.counters },
      readAhead: { ...handles.counters },
    }),
  }
}
