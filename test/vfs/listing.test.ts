// What listing a large directory costs the store when nothing of it is in memory: how many GETs, how many of them one after
// another, and that no page is fetched or decoded twice.
import { describe, expect, test } from 'vitest'
import {
  DIRECTORY,
  encodeDentry,
  FIRST_NAME_KEY,
  nameKeys,
  newInode,
  putParent,
  S_IFREG,
} from '../../src/meta/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { type Cost, RoundStore } from './rounds.ts'
import { bytes, CALLER, formatVolume, HASH_KEY, type MountOptions, mount, type World } from './world.ts'

/** As many as a READDIRPLUS of 64 KiB holds. */
const PER_CALL = 390

/** A volume with a directory `d` of so many files, written by one checkpoint. */
async function volumeOf(entries: number, options: MountOptions = {}): Promise<ObjectStore> {
  const store = await formatVolume()
  const world = await mount({ store, ...options })
  const { attributes } = await world.fs.mkdir(CALLER, ROOT_INO, bytes('d'), 0o755)
  fill(world, attributes.ino, entries)
  await world.unmount()
  return store
}

/** Puts empty files into a directory. Straight into the tables: a create for each would take longer than the test. */
function fill({ database }: World, directory: Ino, entries: number): void {
  const keyOf = nameKeys(HASH_KEY)
  const transaction = database.transaction()
  for (let index = 0; index < entries; index++) {
    const name = bytes(`file-${String(index).padStart(7, '0')}`)
    const ino = database.takeId('ino') as Ino
    const now = { sec: 1_700_000_000 + index, nsec: (index * 7919) % 1e9 }
    const inode = newInode({ ino, mode: S_IFREG | 0o644, uid: 1000, gid: 1000, now })
    const key = keyOf(name)
    expect(key).toBeGreaterThanOrEqual(FIRST_NAME_KEY)
    transaction.put(DIRECTORY, directory, key, encodeDentry(name, inode))
    putParent(transaction, ino, directory, key)
  }
  database.apply(transaction)
}

interface Listing {
  entries: number
  /** From when the directory was looked up to the first entries, and to the last. */
  toFirst: Cost
  toLast: Cost
}

/** Lists `d` as the kernel does, some entries at a time. */
async function list(rounds: RoundStore, world: World): Promise<Listing> {
  const { attributes } = await rounds.run(() => world.fs.lookup(CALLER, ROOT_INO, bytes('d')))
  const begin = rounds.cost
  const since = () => {
    const { gets, getBytes, rounds: count } = rounds.cost
    return { gets: gets - begin.gets, getBytes: getBytes - begin.getBytes, rounds: count - begin.rounds }
  }
  let [entries, cookie, toFirst] = [0, 0, since()]
  for (let took = -1; took !== 0; entries += took) {
    took = 0
    await rounds.run(() =>
      world.fs.readdir(attributes.ino, cookie, true, (_name, _ino, _mode, next) => {
        if (took === PER_CALL) return false
        took++
        cookie = next
        return true
      }),
    )
    if (entries === 0) toFirst = since()
  }
  await rounds.settle()
  return { entries, toFirst, toLast: since() }
}

async function listCold(
  store: ObjectStore,
  options: MountOptions & { isNarrow?: boolean } = {},
): Promise<Listing & { world: World }> {
  const rounds = new RoundStore(store, options)
  const world = await rounds.run(() => mount({ ...options, store: rounds.store, readOnly: true }))
  const listing = await list(rounds, world)
  return { ...listing, world }
}

const report = (what: string, { toFirst, toLast }: Listing) =>
  process.stderr.write(
    `listing: ${what}: to the first entries ${JSON.stringify(toFirst)}, in all ${JSON.stringify(toLast)}\n`,
  )

/** A later checkpoint, so that what a mount reads lies in other segments than the directory. */
async function age(store: ObjectStore): Promise<void> {
  const world = await mount({ store })
  await world.fs.mkdir(CALLER, ROOT_INO, bytes('later'), 0o755)
  await world.unmount()
}

describe('100,000 files, cold', () => {
  test('in one segment take at most 12 GET in at most 4 rounds', async () => {
    const store = await volumeOf(100_000)
    const known = await listCold(store)
    report('100,000 files in one segment, which the mount has looked into', known)
    await age(store)
    const aged = await listCold(store)
    report('100,000 files in one segment', aged)
    for (const { entries, toLast } of [known, aged]) {
      expect(entries).toBe(100_002)
      expect(toLast.gets).toBeLessThanOrEqual(12)
      expect(toLast.rounds).toBeLessThanOrEqual(4)
    }
    const narrow = await listCold(store, { isNarrow: true })
    report('the same, one GET at a time', narrow)
    expect(narrow.toFirst.getBytes, 'the first entries leave before the last have come').toBeLessThanOrEqual(2 << 20)
    expect(narrow.toLast).toMatchObject({ gets: aged.toLast.gets, getBytes: aged.toLast.getBytes })
  })

  test('in many segments: these are fetched side by side, ahead of the reader', async () => {
    const options = { segmentSizeBytes: 512 * 1024 }
    const store = await volumeOf(100_000, options)
    await age(store)
    const listing = await listCold(store, options)
    report('100,000 files in 7 segments', listing)
    expect(listing.entries).toBe(100_002)
    expect(listing.toLast.gets).toBeLessThanOrEqual(12)
    expect(listing.toLast.rounds).toBeLessThanOrEqual(4)
    expect(listing.toLast.rounds, 'the others were asked for beside the first').toBe(listing.toFirst.rounds)
    const narrow = await listCold(store, { ...options, isNarrow: true })
    expect(narrow.toFirst.gets, 'the first entries leave before the last have come').toBeLessThanOrEqual(2)
  })

  test('with little memory: no page is decoded twice, and few GETs wait for each other', async () => {
    const segmentSizeBytes = 1 << 20
    const store = await volumeOf(100_000, { segmentSizeBytes })
    await age(store)
    const plenty = await listCold(store, { segmentSizeBytes })
    // A sixteenth of the pages, and a third of them as stored.
    const scarce = await listCold(store, { segmentSizeBytes, pageCacheBytes: 400_000, cacheBytes: 1_200_000 })
    report('100,000 files with little memory', scarce)
    const status = scarce.world.database.status
    expect(scarce.entries).toBe(100_002)
    expect(status.cachedPageBytes).toBeLessThanOrEqual(400_000)
    expect(plenty.world.database.status.cachedPageBytes).toBeGreaterThan(5e6)
    expect(status.pages.loaded).toBe(plenty.world.database.status.pages.loaded)
    expect(status.pages.prefetchedUsed).toBeGreaterThan(70)
    expect(scarce.toLast.getBytes).toBeLessThan(2 * plenty.toLast.getBytes)
    expect(scarce.toLast.rounds).toBeLessThanOrEqual(8)
  })
})
