// fsck where root, volume.json, writers/ or objects of the journal are lost, old or damaged: what can still be known of the
// volume is known, and after mending it is a volume again.
import { beforeEach, describe, expect, test } from 'vitest'
import { body, damages, FsckWorld, kinds, readTree, type TreeEntry } from './fsck-world.ts'

let world: FsckWorld
let tree: Map<string, TreeEntry>

beforeEach(async () => {
  world = new FsckWorld()
  await world.format()
  await world.during(async (paths) => {
    await paths.mkdir('/d')
    await paths.write('/d/large', body(1, 1_500_000))
    for (let index = 0; index < 30; index++) await paths.write(`/d/f${index}`, body(index, 2000))
  })
  tree = await treeOf(world)
})

async function treeOf(of: FsckWorld): Promise<Map<string, TreeEntry>> {
  const mounted = await of.mount()
  const found = await readTree(mounted)
  await mounted.volume.close()
  return found
}

/** Finds it, mends it, finds nothing more; gives the tree that is there then. */
async function expectMended(expected: string[]): Promise<Map<string, TreeEntry>> {
  const before = await world.objects()
  expect(kinds(await world.check())).toEqual([...expected].sort())
  expect(await world.objects(), 'looking changes nothing').toEqual(before)
  const mended = await world.repair()
  expect(damages(mended).filter(({ repaired }) => !repaired)).toEqual([])
  expect(kinds(mended)).toEqual(expect.arrayContaining(expected))
  expect(damages(await world.check()), 'a second run').toEqual([])
  return treeOf(world)
}

describe('root, volume.json and writers/', () => {
  test('a lost root is found again by the last checkpoint', async () => {
    await world.store.delete(['root'])
    expect(await expectMended(['lost-root'])).toEqual(tree)
  })

  test('a damaged root is found again by the last checkpoint', async () => {
    await world.flip('root', 30)
    expect(await expectMended(['damaged-root'])).toEqual(tree)
  })

  test('a stale root is noticed, and the newer one put in its place', async () => {
    const stale = (await world.store.get('root')).body
    await world.during(async (paths) => {
      await paths.write('/d/later', 'later')
      await paths.unlink('/d/f3')
    })
    tree = await treeOf(world)
    await world.store.put('root', [stale])
    expect(await expectMended(['stale-root'])).toEqual(tree)
  })

  test('a lost root of a volume that crashed is found again, with its journal', async () => {
    const { paths, volume } = await world.mount()
    await paths.write('/d/last', 'the last words', { fsync: true })
    volume.abandon()
    tree = await treeOf(await world.copy())
    await world.store.delete(['root'])
    expect(await expectMended(['lost-root'])).toEqual(tree)
    expect([...tree.keys()]).toContain('/d/last')
  })

  test('a lost or damaged volume.json comes back from its copy', async () => {
    const before = (await world.store.get('volume.json')).body
    await world.store.delete(['volume.json'])
    expect(await expectMended(['lost-volume-json'])).toEqual(tree)
    await world.flip('volume.json', 40)
    expect(await expectMended(['lost-volume-json'])).toEqual(tree)
    expect((await world.store.get('volume.json')).body).toEqual(before)
  })

  test('a lost volume.json comes back from a copy of this volume, whatever else lies there', async () => {
    const other = new FsckWorld()
    await expect(other.check(), 'another seed, another volume').rejects.toThrow('holds no cairnfs volume')
    await other.format()
    for (let round = 0; round < 5; round++) await other.during((paths) => paths.write(`/x${round}`, body(1, 2_000_000)))
    const foreign = (await other.segments(2)).at(-1)!
    expect(foreign.split('/')[2]! > (await world.segments(2)).at(-1)!.split('/')[2]!).toBe(true)
    await world.store.delete(['volume.json'])
    await world.store.put(foreign, [(await other.store.get(foreign)).body])
    await world.repair()
    expect(await treeOf(world)).toEqual(tree)
  })

  test('a lost or damaged record of who writes is put again', async () => {
    await world.store.delete(['writers/0.json'])
    expect(await expectMended(['lost-slot'])).toEqual(tree)
    await world.flip('writers/0.json', 20)
    expect(await expectMended(['damaged-slot'])).toEqual(tree)
  })

  test('all three at once come back', async () => {
    await world.store.delete(['root', 'volume.json', 'writers/0.json'])
    expect(await expectMended(['lost-root', 'lost-slot', 'lost-volume-json'])).toEqual(tree)
  })

  test('what never was a volume is none', async () => {
    const nothing = new FsckWorld()
    await nothing.store.put('holiday.jpg', [Buffer.from('x')])
    await expect(nothing.check()).rejects.toThrow('no cairnfs volume')
    await expect(nothing.repair()).rejects.toThrow('no cairnfs volume')
  })
})

describe('the journal', () => {
  /** Ends by a crash, and the next tenure too: the journal of the first is sealed. Each file is one commit. */
  async function crash(): Promise<string[]> {
    const first = await world.mount()
    for (let index = 0; index < 6; index++) {
      await first.paths.write(`/d/new${index}`, body(50 + index, 3000), { fsync: true })
    }
    first.volume.abandon()
    const epoch = first.volume.status.epoch.toString(16).padStart(14, '0')
    const keys = await world.keys(`journal/000/${epoch}/`)
    const second = await world.mount()
    second.volume.abandon()
    tree = await treeOf(await world.copy())
    return keys
  }

  /** Which file a commit made, by what is missing when it is left out. */
  function missing(now: Map<string, TreeEntry>): string[] {
    return [...tree.keys()].filter((path) => !now.has(path))
  }

  function without(paths: readonly string[]): Map<string, unknown> {
    const strip = ([path, entry]: [string, TreeEntry]) => [path, path === '/d' ? entry.ino : entry] as const
    return new Map([...tree].filter(([path]) => !paths.includes(path)).map(strip))
  }

  test('a gap in the journal costs what these commits changed, and nothing behind it', async () => {
    const keys = await crash()
    await world.store.delete([keys[2]!])
    const now = await expectMended(['journal-gap'])
    const lost = missing(now)
    expect(lost).toHaveLength(1)
    expect(new Map([...now].map(([path, entry]) => [path, path === '/d' ? entry.ino : entry]))).toEqual(without(lost))
  })

  test('a damaged commit costs what it changed', async () => {
    const keys = await crash()
    await world.flip(keys[3]!, 40)
    const now = await expectMended(['damaged-commit'])
    expect(missing(now)).toHaveLength(1)
  })

  test('damaged file data in a commit costs the blocks of that file', async () => {
    const keys = await crash()
    await world.flip(keys[4]!, 200)
    const report = await world.check({ data: false })
    expect(kinds(report)).toEqual(['damaged-data'])
    const path = damages(report)[0]!.path!
    const now = await expectMended(['damaged-data'])
    expect(now.get(path)).toEqual({ ...tree.get(path), body: 'EIO' })
    now.delete(path)
    expect(now).toEqual(new Map([...tree].filter(([each]) => each !== path)))
  })

  test('objects behind the end of a journal are of no use, and change nothing', async () => {
    const keys = await crash()
    const beyond = keys[0]!.replace(/.$/, 'f')
    await world.store.put(beyond, [(await world.store.get(keys[0]!)).body])
    const report = await world.check()
    expect(damages(report)).toEqual([])
    expect(report.findings.map(({ object }) => object)).toContain(beyond)
  })
})
