// A volume with a directory that grew: what it holds came by a few files at a time, with a checkpoint after each, so that
// each time some of its pages moved to other segments.
import { systemClock, systemRandom } from '../src/platform/index.ts'
import type { ObjectStore } from '../src/store/index.ts'
import { type Caller, type Ino, ROOT_INO } from '../src/vfs/index.ts'
import { formatVolume, readVolumeJson } from '../src/volume/index.ts'
import { openParts } from '../src/volume/open.ts'
import { DIRECTORY, fileName } from './minio.ts'

const CALLER: Caller = { uid: 0, gid: 0, pid: 0 }
const O_CREAT_EXCL_WRONLY = 0o301
/** As a mount has them by default. */
const MEMORY_BYTES = 1 << 30
const COMMIT_MS = 5_000
const SEGMENT_BYTES = 8 << 20

/** Formats the empty store, and makes the directory with `entries` empty files, `each` of them between checkpoints. */
export async function growDirectory(
  store: ObjectStore,
  { entries, each }: { entries: number; each: number },
): Promise<void> {
  const common = { store, clock: systemClock, random: systemRandom, rootOwner: { uid: 0, gid: 0 }, log: () => {} }
  const writer = {
    // It is gone before anybody mounts.
    self: { host: 'bench', bootId: 'bench', pid: process.pid, since: new Date().toISOString(), lock: null },
    leaseMs: 30_000,
    judge: async () => 'unknown' as const,
    probe: null,
  }
  await formatVolume({ ...common, ...writer, name: 'grown', segmentSizeBytes: SEGMENT_BYTES, force: false })
  const { volume, filesystem } = await openParts({
    ...common,
    identity: await readVolumeJson(store),
    writer: {
      ...writer,
      onFailure: (error) => {
        throw error
      },
    },
    memoryBytes: MEMORY_BYTES,
    commitMs: COMMIT_MS,
    parallelism: 8,
  })
  const directory = (await filesystem.mkdir(CALLER, ROOT_INO, Buffer.from(DIRECTORY), 0o755)).attributes.ino
  for (let index = 0; index < entries; index++) {
    await create(directory, fileName(index))
    if ((index + 1) % each === 0) await filesystem.checkpointNow()
  }
  await volume.close()

  async function create(parent: Ino, name: string): Promise<void> {
    const flags = { flags: O_CREAT_EXCL_WRONLY }
    const { entry, opened } = await filesystem.create(CALLER, parent, Buffer.from(name), 0o644, flags)
    await filesystem.release(opened.handle, entry.attributes.ino)
    filesystem.forget(entry.attributes.ino, 1)
  }
}
