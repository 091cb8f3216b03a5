// A read-only mount whose state was cleaned away under it.
import { beforeEach, expect, test } from 'vitest'
import { seededRandom, systemClock } from '../../src/platform/index.ts'
import { Lease } from '../../src/segments/index.ts'
import { createMemoryStore, type ObjectStore } from '../../src/store/index.ts'
import { type Filesystem, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import {
  formatVolume,
  gcVolume,
  type OpenVolumeOptions,
  openVolume,
  readVolumeJson,
  type Volume,
} from '../../src/volume/index.ts'

const CALLER = { uid: 1000, gid: 100, pid: 1 }
const self = { host: 'here', bootId: 'boot', pid: 1, since: '2026-01-01T00:00:00Z', lock: null }
let store: ObjectStore
let refreshed: (readonly Ino[])[]
/** Files larger than what is fetched at once. */
const SIZE = 3_000_000

const common = () => ({
  store,
  clock: systemClock,
  random: seededRandom(1),
  log: () => {},
  rootOwner: { uid: 0, gid: 0 },
  parallelism: 4,
  memoryBytes: 256 << 20,
})
const writer = { self, leaseMs: 30_000, judge: async () => 'dead' as const, probe: null, onFailure: () => {} }

beforeEach(async () => {
  store = createMemoryStore()
  refreshed = []
  await formatVolume({ ...common(), ...writer, name: 'vol', segmentSizeBytes: 1 << 20, force: false })
  await written({ one: 'a', two: 'b' })
})

/** Writes files full of a letter each, as a mount of its own. */
async function written(files: Record<string, string>): Promise<void> {
  const volume = await openVolume({ ...common(), identity: await readVolumeJson(store), writer, commitMs: 5000 })
  const { filesystem } = volume
  for (const [name, letter] of Object.entries(files)) {
    const { entry, opened } = await filesystem.create(CALLER, ROOT_INO, Buffer.from(name), 0o644, { flags: 0o1001 })
    await filesystem.write(opened.handle, entry.attributes.ino, 0, Buffer.alloc(SIZE, letter))
    await filesystem.release(opened.handle, entry.attributes.ino)
  }
  await volume.close()
}

const identity = () => readVolumeJson(store)
/** Deletes all that the newest state does not name. */
const cleaned = async () =>
  gcVolume({ ...common(), identity: await identity(), writer, graceMs: 0, onProgress: () => {} })

async function reader(more: Partial<OpenVolumeOptions> = {}): Promise<Volume> {
  const onRefreshed = (known: readonly Ino[]) => refreshed.push(known)
  return openVolume({ ...common(), identity: await identity(), writer: null, commitMs: 5000, onRefreshed, ...more })
}

async function inoOf(filesystem: Filesystem, name: string): Promise<Ino> {
  return (await filesystem.lookup(CALLER, ROOT_INO, Buffer.from(name))).attributes.ino
}

async function lettersAt(filesystem: Filesystem, ino: Ino, offset: number): Promise<string> {
  const { handle } = await filesystem.open(CALLER, ino, { flags: 0 })
  const parts = await filesystem.read(handle, ino, offset, 4096)
  await filesystem.release(handle, ino)
  return [...new Set(Buffer.concat(parts).toString())].join('')
}

test('it shows its state as long as that is there, and then goes on to the newest', async () => {
  const { filesystem, close } = await reader()
  const [one, two] = [await inoOf(filesystem, 'one'), await inoOf(filesystem, 'two')]
  expect(await lettersAt(filesystem, one, 0)).toBe('a')
  await written({ one: 'c', three: 'd' })
  expect(await lettersAt(filesystem, one, SIZE - 4096), 'still there').toBe('a')
  await expect(async () => inoOf(filesystem, 'three')).rejects.toMatchObject({ code: 'ENOENT' })

  await cleaned()
  expect(await lettersAt(filesystem, one, 1_500_000)).toBe('c')
  expect(refreshed, 'told once, with what was known').toEqual([[one, two]])
  expect(await lettersAt(filesystem, two, SIZE - 4096)).toBe('b')
  expect(await lettersAt(filesystem, await inoOf(filesystem, 'three'), 0)).toBe('d')
  await close()
})

test('nothing of the older state is put into the page cache once it is told to drop that', async () => {
  const stored: string[] = []
  let told = () => {}
  const pageCache = {
    busy: new Promise<void>((resolve) => {
      told = resolve
    }) as Promise<void> | null,
    async store(_ino: Ino, _offset: number, parts: readonly Uint8Array[]) {
      stored.push([...new Set(Buffer.concat(parts).toString())].join(''))
      return true
    },
  }
  const { filesystem, close } = await reader({ pageCache })
  const one = await inoOf(filesystem, 'one')
  const { handle } = await filesystem.open(CALLER, one, { flags: 0 })
  const read = async (offset: number) => {
    const lease = new Lease({ isKept: true })
    await filesystem.read(handle, one, offset, 4096, lease)
    lease.release()
  }
  /** In no order, and so often that all of it is worth storing. */
  const readOften = async () => {
    // The second block goes on where the first ends: the segment is fetched.
    for (let i = 0; i < 2; i++) await read(i * 32_768)
    for (let i = 0; i < 40; i++) await read(((i * 7) % 40) * 16_384)
    await new Promise(setImmediate)
  }
  await readOften()
  expect(stored).toEqual([])
  await written({ one: 'c' })
  await cleaned()
  expect(await lettersAt(filesystem, one, 2_500_000)).toBe('c')
  expect(refreshed.length).toBe(1)
  pageCache.busy = null
  told()
  await new Promise(setImmediate)
  expect(stored).toEqual([])
  await readOften()
  expect(stored.length).toBeGreaterThan(0)
  expect(new Set(stored)).toEqual(new Set(['c']))
  await close()
})

test('spellings are asked of the newest state', async () => {
  const root = await openVolume({ ...common(), identity: await identity(), writer, commitMs: 5000 })
  const { ino } = (await root.filesystem.mkdir(CALLER, ROOT_INO, Buffer.from('folded'), 0o755)).attributes
  await root.filesystem.setFlags!(CALLER, ino, 0x4000_0000)
  await root.close()
  const { filesystem, close } = await reader()
  const one = await inoOf(filesystem, 'one')
  const later = await openVolume({ ...common(), identity: await identity(), writer, commitMs: 5000 })
  await later.filesystem.mkdir(CALLER, ino, Buffer.from('Later'), 0o755)
  await later.close()
  await written({ one: 'c' })
  await cleaned()
  expect(await lettersAt(filesystem, one, 1_500_000)).toBe('c')
  const spelled = await filesystem.getxattr!(CALLER, ino, Buffer.from('glusterfs.get_real_filename:LATER'))
  expect(Buffer.from(spelled).toString()).toBe('Later\0')
  await close()
})

test('what was known before one change of state is told after the next one too, until it is forgotten', async () => {
  const { filesystem, close } = await reader()
  const [one, two] = [await inoOf(filesystem, 'one'), await inoOf(filesystem, 'two')]
  const goOn = async (letter: string, offset: number) => {
    await written({ one: letter })
    await cleaned()
    expect(await lettersAt(filesystem, one, offset)).toBe(letter)
  }
  await goOn('c', 1_500_000)
  await goOn('d', 2_900_000)
  filesystem.forget(two, 1)
  await goOn('e', 1_500_000)
  expect(refreshed).toEqual([[one, two], [one, two], [one]])
  await close()
})

test('many that meet what is gone at once go on together', async () => {
  const { filesystem, close } = await reader()
  const one = await inoOf(filesystem, 'one')
  await written({ one: 'c' })
  await cleaned()
  const at = Array.from({ length: 20 }, (_, index) => index * 100_000)
  expect(await Promise.all(at.map((offset) => lettersAt(filesystem, one, offset)))).toEqual(at.map(() => 'c'))
  expect(refreshed).toHaveLength(1)
  await close()
})

test('what the newest state names and is gone all the same is EIO', async () => {
  const { filesystem, close } = await reader()
  const one = await inoOf(filesystem, 'one')
  const { objects } = await store.list('segments/')
  await store.delete(objects.map(({ key }) => key))
  await expect(lettersAt(filesystem, one, 0)).rejects.toMatchObject({ code: 'EIO' })
  expect(refreshed).toEqual([])
  await close()
})
