// What is compared here: the systems of listings that have to do with data, with the raw client before ext4.
import type { Results } from '../results.ts'
import { NO_PEERS, SYSTEMS, type System } from '../systems/index.ts'
import { raw } from './raw.ts'

const NOT_HERE = ['grown', 'bucket']
const SHARED = SYSTEMS.filter(({ id }) => !NOT_HERE.includes(id))

/** In the order of their columns. */
export const DATA_SYSTEMS: readonly System[] = [...SHARED.slice(0, -1), raw, ...SHARED.slice(-1)]
export const DATA_NO_PEERS = DATA_SYSTEMS.filter((system) => system === raw || NO_PEERS.includes(system))

/** What takes a system too long, or what it cannot. */
export const NOT_TRIED: Readonly<Record<string, { workloads: readonly string[]; reason: string }>> = {
  s3fs: {
    workloads: ['tree', 'tree-read', 'tree-rm', 'git-clone', 'git-status'],
    reason: 'it makes fewer than 200 files a second',
  },
}

/** What sends only when nothing was written for a while, in milliseconds: it is waited for before its cache is emptied. */
export const SENDS_AFTER_MS: Readonly<Record<string, number>> = { rclone: 5000 }

/** What a reader has to know of the figures, which differs from what it is of listings. */
const NOTES: Readonly<Record<string, string>> = {
  juicefs:
    'JuiceFS keeps its metadata in a Redis of its own (appendfsync everysec) on the same machine, to which no latency is ' +
    'added and which stays warm; CPU and memory are those of both. No trash.',
  s3fs: 's3fs reads and writes whole files through its folder for temporary files.',
  rclone:
    'rclone mount with --vfs-cache-mode full answers fsync from its cache on the disk: what it still has to send is not in its figures.',
  geesefs: 'geesefs answers the fsync of a directory from its memory: what it still has to send is not in its figures.',
  zerofs:
    'ZeroFS encrypts and compresses. CPU and memory are those of its server and its FUSE client, which sends nothing at an ' +
    'fsync of the root directory.',
}

/** A system as the report tells of it. */
export function describeForData(system: Results['systems'][number]): Results['systems'][number] {
  const { id, title, version, note } = system
  const noteHere = NOTES[id] ?? note
  const limit = NOT_TRIED[id]?.reason
  return {
    ...{ id, title, version },
    ...(noteHere === undefined ? {} : { note: noteHere }),
    ...(limit === undefined ? {} : { limit }),
  }
}
