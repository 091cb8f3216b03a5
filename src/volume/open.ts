// Opening a volume: the layers put together, from the store up to the filesystem, and taken apart again.
//
// Life: readVolumeJson, openVolume (takes the slot, replays the journal), a transport serves `filesystem`, `close` once
// nobody uses it any more.
//
// Must stay true:
// - `close` resolves only when everything is in the store and the slot is released; after it failed, or instead of it,
//   `abandon` leaves slot and journal as they are, for the next mount.
// - The store given in stays the caller's: it is not closed here.
import { createStreams } from '../data/index.ts'
import { DIRECTORY, nameKeys, ROOT_INO, TABLE_KINDS } from '../meta/index.ts'
import type { Clock, FsError, Random } from '../platform/index.ts'
import { createSegmentStore, type SegmentId, type SegmentStore } from '../segments/index.ts'
import type { ObjectStore } from '../store/index.ts'
import {
  type Database,
  type DatabaseOptions,
  type DatabaseStatus,
  type Holder,
  type Judgement,
  openDatabase,
  openDatabaseReadOnly,
  type WritableDatabase,
} from '../tables/index.ts'
import {
  type CleanerStatus,
  createFilesystem,
  type Filesystem,
  type FilesystemStatus,
  type Ino,
  type MountedFilesystem,
  type PageCache,
  type QuotaAdmin,
} from '../vfs/index.ts'
import { keptBytes, lentBytes, shareMemory } from './memory-shares.ts'
import { type OnRefreshed, openRefreshing } from './refresh.ts'
import { refuseToWriteReadOnly, type VolumeIdentity } from './volume-json.ts'

/** Of what one reader has fetched ahead, a quarter of the cache at most is not yet read. */
const READ_AHEAD_BYTES_MAX = 64 << 20

export type VolumeLog = (level: 'info' | 'warn' | 'error', message: string) => void

export interface OpenVolumeOptions {
  store: ObjectStore
  identity: VolumeIdentity
  /** Null: read-only, takes no slot and writes nothing. */
  writer: VolumeWriter | null
  clock: Clock
  random: Random
  log: VolumeLog
  /** One budget for dirty data, caches and metadata: see memory-shares.ts. */
  memoryBytes: number
  /** A commit begins this long after the first change. */
  commitMs: number
  /** Requests to the store at a time, each way. */
  parallelism: number
  /** Segments sent at a time; as `parallelism` unless told. */
  uploads?: number
  /** Most that is fetched ahead of one reader of a file; 64 MiB unless told, 0: nothing is. */
  maxReadAheadBytes?: number
  /** Of the root directory, where the volume has none yet. */
  rootOwner: { uid: number; gid: number }
  /** Whether the root directory, where the volume has none yet, ignores the case of names. */
  casefold?: boolean
  /** As FilesystemOptions has it. */
  kernelWritesBack?: boolean
  /** Told of each segment of which something proved damaged, before it is read again. */
  onDamaged?: (id: SegmentId) => void
  /** How long segments are kept after nothing uses them any more; an hour unless told. */
  graceMs?: number
  /** How much file data a commit carries at most; 1 MiB unless told. */
  inlineBytesMax?: number
  /** Read-only: go on to the newest state when an object of this one is gone, and tell here. Unless told it is EIO. */
  onRefreshed?: OnRefreshed
  /** A name went by another spelling than the stored one, which may be cached. Called in the turn of the change. */
  onNameGone?: (parent: Ino, name: Buffer | null) => Promise<void> | void
  /** Takes bytes of files, for readers in no order. */
  pageCache?: PageCache
  /** Extents from this length on are shared by copies; 64 KiB unless told. */
  shareMinBytes?: number
}

export interface VolumeWriter {
  self: Omit<Holder, 'session'>
  leaseMs: number
  judge: (holder: Holder) => Promise<Judgement>
  /** Takes the volume from a holder that lives: false unless told. */
  takeOver?: boolean
  /** Checks the store's conditional writes; called unless this was done through `endpoint` before. Null: never. */
  probe: { endpoint: string; run: () => Promise<void> } | null
  /** The slot was lost, or the journal cannot be written: the mount is read-only from now on. */
  onFailure: (error: FsError) => void
}

export interface VolumeStatus extends DatabaseStatus {
  /** File bytes that no segment holds yet, and records in no acknowledged commit. */
  dirtyBytes: number
  cachedBlockBytes: number
  cleaner: CleanerStatus
  walks: FilesystemStatus['walks']
  readAhead: FilesystemStatus['readAhead']
  /** Somebody else has the volume: nothing is stored from here any more. */
  isLost: boolean
}

export interface Volume {
  readonly identity: VolumeIdentity
  readonly filesystem: Filesystem
  readonly status: VolumeStatus
  /** Whether the volume had, or had had, any POSIX ACL when it was opened: then permissions are to be checked by them. */
  readonly hasAcls: boolean
  readonly quotas: QuotaAdmin
  /** The barrier: everything so far is durable when it resolves. */
  sync(): Promise<void>
  /** After a journal write failed: tries again, then makes everything durable. Rejects with FsError EIO while that cannot
   *  be, and for good when somebody else has the volume. */
  resume(): Promise<void>
  /** Writes what is left, makes a checkpoint, releases the slot. Called again it gives the same promise. */
  close(): Promise<void>
  /** Gives up what is dirty; the journal stays for the next mount. Starts nothing any more. */
  abandon(): void
}

/** Opens a volume. Throws FsError EBUSY naming the holder when it is held, EROFS when only reading is possible. */
export async function openVolume(options: OpenVolumeOptions): Promise<Volume> {
  const { writer, log, onRefreshed } = options
  if (writer !== null || onRefreshed === undefined) return (await openParts(options)).volume
  return openRefreshing({ open: () => openParts(options), log, onRefreshed })
}

/** An open volume, and the layers that what works on a whole volume (gc) goes to directly. */
export interface VolumeParts {
  volume: Volume
  filesystem: MountedFilesystem
  database: Database
  segments: SegmentStore
}

export async function openParts(options: OpenVolumeOptions): Promise<VolumeParts> {
  const { store, identity, writer, clock, random, log, commitMs, parallelism, rootOwner } = options
  if (writer !== null) refuseToWriteReadOnly(store.name, identity)
  const shares = shareMemory(options.memoryBytes)
  const segments = createSegmentStore({
    store,
    volumeUuid: identity.uuid,
    segmentSizeBytes: identity.json.segmentSize,
    cacheBytes: shares.blockBytes,
    spareBytes: () => spareBytes(),
    onBorrowed: () => dropSpareSlabs(),
    uploads: options.uploads ?? parallelism,
    fetches: parallelism,
    clock,
    log: { warn: (details, message) => log('warn', `${message}${inWords(details)}`) },
    ...(options.onDamaged === undefined ? {} : { onDamaged: options.onDamaged }),
  })
  // Nothing is lent before it is known what is used.
  let spareBytes = () => 0
  let dropSpareSlabs = () => {}
  const databaseOptions: DatabaseOptions = {
    store,
    segments,
    kinds: TABLE_KINDS,
    pinned: [{ kind: DIRECTORY, owner: ROOT_INO }],
    volumeUuid: identity.uuid,
    volumeJson: identity.bytes,
    clock,
    random,
    log,
    pageCacheBytes: shares.pageBytes,
    changeBytesMax: shares.changeBytes,
  }
  const writable =
    writer === null
      ? null
      : await openDatabase(databaseOptions, {
          holder: writer.self,
          leaseMs: writer.leaseMs,
          judge: writer.judge,
          takeOver: writer.takeOver ?? false,
          onFailure: writer.onFailure,
        })
  const database = writable ?? (await openDatabaseReadOnly(databaseOptions))
  const streams = createStreams({
    maxPieceBytes: segments.maxPieceBytes,
    dirtyLimitBytes: shares.dirtyBytes,
    keptBytes: keptBytes(shares),
    clock,
    segments,
    takeSegmentId: () => database.takeId('segment') as SegmentId,
    onGrown: () => segments.giveWay(),
    onPressure: () => filesystem.writeBackUnderPressure(),
    onError: (error) => log('warn', (error as Error).message),
  })
  spareBytes = () => lentBytes(shares, { dirtyBytes: streams.dirtyBytes, changeBytes: database.status.changeBytes })
  dropSpareSlabs = () => streams.slabs.dropSpare()
  const filesystem = createFilesystem({
    database,
    streams,
    segments,
    clock,
    nameKeys: nameKeys(identity.hashKey),
    log,
    readOnly: writer === null,
    walkAheadBytes: shares.pageBytes / 4,
    maxReadAheadBytes: Math.min(options.maxReadAheadBytes ?? READ_AHEAD_BYTES_MAX, shares.blockBytes / 3),
    commitIntervalMs: commitMs,
    ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
    ...(options.inlineBytesMax === undefined ? {} : { inlineBytesMax: options.inlineBytesMax }),
    ...(options.casefold === undefined ? {} : { casefold: options.casefold }),
    kernelWritesBack: options.kernelWritesBack === true,
    ...(options.onNameGone === undefined ? {} : { onNameGone: options.onNameGone }),
    ...(options.pageCache === undefined ? {} : { pageCache: options.pageCache }),
    ...(options.shareMinBytes === undefined ? {} : { shareMinBytes: options.shareMinBytes }),
  })
  let closing: Promise<void> | null = null
  const closeInOrder = async () => {
    if (database.failure !== null && !database.isLost) await database.resume()
    await filesystem.close()
    await streams.deleteUnnamed()
    await database.close(filesystem.checkpointHooks)
  }
  const volume: Volume = {
    identity,
    filesystem,
    quotas: filesystem.quotas,
    get hasAcls() {
      return filesystem.hasAcls
    },
    get status() {
      const status = database.status
      const { failure, cleaner, walks, readAhead } = filesystem.status()
      return {
        ...status,
        failure: status.failure ?? failure,
        dirtyBytes: streams.dirtyBytes + status.unacknowledgedBytes,
        cachedBlockBytes: segments.cachedBytes,
        cleaner,
        walks,
        readAhead,
        isLost: database.isLost,
      }
    },
    sync: () => filesystem.sync(),
    resume: () => filesystem.resume(),
    close() {
      closing ??= closeInOrder()
      return closing
    },
    abandon() {
      // Nothing waits: the process is about to end. First the filesystem, whose timers would run on otherwise.
      filesystem.abandon()
      void database.close('abandon')
    },
  }
  try {
    if (writable !== null && writer?.probe) await probeOnce(writable, writer.probe)
    await filesystem.start({ ...rootOwner, mode: 0o755 })
    return { volume, filesystem, database, segments }
  } catch (error) {
    // The slot was taken: it must not stay behind.
    await volume.close()
    throw error
  }
}

/** Checks the store's conditional writes through an endpoint, once in the life of the volume. */
async function probeOnce(database: WritableDatabase, probe: NonNullable<VolumeWriter['probe']>): Promise<void> {
  if (database.probed.includes(probe.endpoint)) return
  await probe.run()
  await database.noteProbed(probe.endpoint)
}

/** Details of a log line as text behind it. */
function inWords(details: object): string {
  return Object.entries(details)
    .map(([name, value]) => `, ${name} ${value instanceof Error ? value.message : JSON.stringify(value)}`)
    .join('')
}
