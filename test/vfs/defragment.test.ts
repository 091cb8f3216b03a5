// A file that random writes have left in many small extents is made whole again, and then left alone.
import { describe, expect, test } from 'vitest'
import type { Extent } from '../../src/data/index.ts'
import { extentsOf, Metadata } from '../../src/meta/index.ts'
import { seededRandom } from '../../src/platform/index.ts'
import { parseSegmentKey } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { checkConsistency, checkSharers } from './consistency.ts'
import { formatVolume, mount, Paths, type World } from './world.ts'

const SEGMENT_BYTES = 256 * 1024
const FILE_BYTES = 6 << 20
const PAGE_BYTES = 4096

async function extents({ database, fs }: World, path: string): Promise<Extent[]> {
  const { ino } = await new Paths(fs).stat(path)
  const metadata = new Metadata({ database, nameKeys: () => 0 })
  return database.run(() => extentsOf(database, metadata.nodeOf(ino).inode, 0, Number.MAX_SAFE_INTEGER))
}

async function cleanToTheEnd({ fs }: World): Promise<void> {
  for (let round = 0, quiet = 0; quiet < 2; round++) {
    expect(round, 'the cleaner comes to an end').toBeLessThan(100)
    await fs.sync()
    await fs.checkpointNow()
    quiet = (await fs.clean({ graceMs: 0, isHurried: true })) ? 0 : quiet + 1
  }
}

/** A file whose pages were overwritten at random, thousands of times. */
async function fragmented(store: ObjectStore): Promise<{ world: World; paths: Paths; body: Buffer }> {
  const world = await mount({
    store,
    segmentSizeBytes: SEGMENT_BYTES,
    inlineBytesMax: 64 * 1024,
    shareMinBytes: PAGE_BYTES,
  })
  const paths = new Paths(world.fs)
  const random = seededRandom(5)
  const body = random.bytes(FILE_BYTES)
  await paths.write('/file', body)
  await world.fs.sync()
  for (let count = 1; count <= 3000; count++) {
    const at = Math.floor(random.next() * (FILE_BYTES / PAGE_BYTES)) * PAGE_BYTES
    const page = random.bytes(PAGE_BYTES)
    page.copy(body, at)
    await paths.write('/file', page, { at, flags: 1 })
    if (count % 300 === 0) await world.fs.sync()
  }
  await world.fs.sync()
  expect((await extents(world, '/file')).length).toBeGreaterThan(700)
  return { world, paths, body }
}

const EXTENTS_AT_MOST = (1.2 * FILE_BYTES) / SEGMENT_BYTES + 2

describe('a file of many small extents', () => {
  test('becomes a few, reads as before, and a cold read in order costs a GET a segment', async () => {
    const store = await formatVolume()
    const { world, paths, body } = await fragmented(store)
    await cleanToTheEnd(world)
    const whole = await extents(world, '/file')
    expect(whole.length).toBeLessThanOrEqual(EXTENTS_AT_MOST)
    expect((await paths.read('/file')).equals(body)).toBe(true)
    await checkConsistency(world.database)
    await checkSharers(world.database, world.segments)
    await world.unmount()

    const wanted = new Set<number>(whole.map(({ range }) => range.segment))
    let gets = 0
    const counting = new Proxy(store, {
      get(target, name: keyof ObjectStore) {
        const method = target[name] as unknown
        if (typeof method !== 'function') return method
        return (...args: unknown[]) => {
          if (name === 'get' && wanted.has(parseSegmentKey(String(args[0])) ?? -1)) gets++
          return method.apply(target, args)
        }
      },
    })
    const cold = await mount({ store: counting, segmentSizeBytes: SEGMENT_BYTES })
    const coldPaths = new Paths(cold.fs)
    for (let at = 0; at < FILE_BYTES; at += 128 * 1024) {
      const part = await coldPaths.read('/file', at, 128 * 1024)
      expect(part.equals(body.subarray(at, at + 128 * 1024))).toBe(true)
    }
    // Each read opens the file anew: no read-ahead helps, but a segment is fetched in two GETs at most.
    expect(gets).toBeLessThanOrEqual(2 * wanted.size)
    await cold.unmount()
  })

  test('that an earlier mount left is found, and written again no second time', async () => {
    const store = await formatVolume()
    const { world, body } = await fragmented(store)
    await world.unmount()
    const again = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
    await cleanToTheEnd(again)
    expect((await extents(again, '/file')).length).toBeLessThanOrEqual(EXTENTS_AT_MOST)
    const before = again.database.takeId('segment')
    await cleanToTheEnd(again)
    const segments = (await store.list('segments/')).objects.map(({ key }) => parseSegmentKey(key) as number)
    const whole = new Set<number>((await extents(again, '/file')).map(({ range }) => range.segment))
    expect(segments.filter((id) => id > before && whole.has(id))).toEqual([])
    expect((await new Paths(again.fs).read('/file')).equals(body)).toBe(true)
    await again.unmount()
  })

  test('is left alone while it is written, or was lately, and made whole a minute after', async () => {
    const store = await formatVolume()
    const { world, paths, body } = await fragmented(store)
    const pass = () => world.fs.clean({ graceMs: 0, isHurried: false })
    await world.fs.checkpointNow()
    await pass()
    expect((await extents(world, '/file')).length).toBeGreaterThan(700)
    await world.clock.advance(61_000)
    await paths.write('/file', body.subarray(0, 10), { flags: 1 })
    await pass()
    expect((await extents(world, '/file')).length).toBeGreaterThan(700)
    await world.fs.sync()
    await world.fs.checkpointNow()
    await world.clock.advance(61_000)
    await pass()
    expect((await extents(world, '/file')).length).toBeLessThanOrEqual(EXTENTS_AT_MOST + 10)
    expect((await paths.read('/file')).equals(body)).toBe(true)
    await world.unmount()
  })

  test('whose parts others share is not taken apart from them', async () => {
    const store = await formatVolume()
    const { world, paths } = await fragmented(store)
    await world.fs.checkpointNow()
    await paths.write('/copy', '')
    await paths.copy('/file', '/copy', { lengthBytes: 1 << 20 })
    await world.fs.sync()
    await cleanToTheEnd(world)
    const shared = (await extents(world, '/copy')).map(({ range }) => range)
    expect(shared.length).toBeGreaterThan(100)
    expect((await extents(world, '/file')).map(({ range }) => range)).toEqual(expect.arrayContaining(shared))
    expect((await paths.read('/copy')).equals(await paths.read('/file', 0, 1 << 20))).toBe(true)
    await checkConsistency(world.database)
    await checkSharers(world.database, world.segments)
    await world.unmount()
  })
})
