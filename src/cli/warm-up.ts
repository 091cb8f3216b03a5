// Right after a mount: the code that makes and lists files is run on a small volume in memory, so that V8 has compiled it by
// the time somebody uses the mount. Without, the first listing takes twice as long as the next (docs/decisions/0030).
//
// Must stay true: it gives way after every few milliseconds, and waits while anybody asks for anything (`quietly`); it leaves
// nothing behind, and its failure harms nothing.
import { Rehearsal } from '../fuse/index.ts'
import { ROOT_INO } from '../meta/index.ts'
import { Registry, silentLogger } from '../observe/index.ts'
import { type Clock, systemRandom } from '../platform/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { formatVolume, openVolume, readVolumeJson, type Volume } from '../volume/index.ts'
import { fieldsFirst } from './log.ts'

const FILES = 1500
const FILES_PER_TURN = 25
const LOOKUPS = 500
const LISTINGS = 15
const MEMORY_BYTES = 64 << 20
const SEGMENT_BYTES = 1 << 20
const CALLER = { uid: 0, gid: 0, pid: 0 }
const FILE_MODE = 0o100644
const O_WRONLY = 1

/** While requests come, nothing is done until none has come for so long. */
const QUIET_MS = 50

/** A clock whose turns come only when nobody asks for anything, as far as `requests` counts it. Else whoever uses the mount at once
 *  would wait for what may be of use to him later: in each of his requests, for a few milliseconds. */
export function quietly(clock: Clock, requests: () => number): Clock {
  let seen = requests()
  return {
    ...clock,
    async yield() {
      await clock.yield()
      for (let now = requests(); now !== seen; now = requests()) {
        seen = now
        await clock.sleep(QUIET_MS)
      }
    },
  }
}

/** Resolves when all was run; to the number of entries that were listed. */
export async function warmUp(clock: Clock): Promise<number> {
  const store = createMemoryStore()
  const self = { host: '', bootId: '', pid: 0, since: '', lock: null }
  const owner = { self, leaseMs: 30_000, judge: async () => 'dead' as const, probe: null }
  const common = { store, clock, random: systemRandom, log: () => {}, rootOwner: { uid: 0, gid: 0 } }
  const writer = { ...owner, onFailure: () => {} }
  const settings = { memoryBytes: MEMORY_BYTES, commitMs: 5000, parallelism: 4 }
  const open = async () => openVolume({ ...common, ...settings, writer, identity: await readVolumeJson(store) })

  await formatVolume({ ...common, ...owner, name: 'warm-up', segmentSizeBytes: SEGMENT_BYTES, force: false })
  await onVolume(await open(), (volume) => makeFiles(volume, clock))
  return onVolume(await open(), (volume) => listFiles(volume, clock))
}

async function onVolume<T>(volume: Volume, work: (volume: Volume) => Promise<T>): Promise<T> {
  try {
    return await work(volume)
  } finally {
    await volume.close()
  }
}

async function makeFiles({ filesystem }: Volume, clock: Clock): Promise<void> {
  for (let index = 0; index < FILES; index++) {
    if (index % FILES_PER_TURN === 0) await clock.yield()
    const name = nameOf(index)
    const { entry, opened } = await filesystem.create!(CALLER, ROOT_INO, name, FILE_MODE, { flags: O_WRONLY })
    await filesystem.release!(opened.handle, entry.attributes.ino)
    filesystem.forget(entry.attributes.ino, 1)
  }
}

async function listFiles({ filesystem }: Volume, clock: Clock): Promise<number> {
  const options = { log: fieldsFirst(silentLogger), registry: new Registry() }
  const rehearsal = new Rehearsal(filesystem, options, clock)
  await rehearsal.begin()
  let entries = 0
  for (let listing = 0; listing < LISTINGS; listing++) entries += await rehearsal.list(ROOT_INO)
  for (let index = 0; index < LOOKUPS; index++) {
    if (index % FILES_PER_TURN === 0) await clock.yield()
    await rehearsal.lookup(ROOT_INO, nameOf(index * 2).toString())
  }
  return entries
}

const nameOf = (index: number): Buffer => Buffer.from(`file-${String(index).padStart(7, '0')}`)
