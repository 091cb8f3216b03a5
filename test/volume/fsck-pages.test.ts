// fsck where pages of tables are damaged, swapped or gone: what other tables, copies and older pages say is brought back,
// what is lost is only what lay in those pages, and nothing that was deleted comes back.
import { beforeEach, describe, expect, test } from 'vitest'
import { DIRECTORY, EXTENTS, PARENTS, ROOT_INO, SHARED, USAGE } from '../../src/meta/index.ts'
import { readContents, type StoredContentsEntry } from '../../src/segments/index.ts'
import { decodeRoot, encodeRoot } from '../../src/tables/root.ts'
import { readVolumeJson } from '../../src/volume/index.ts'
import { body, damages, FsckWorld, kinds, readTree, type TreeEntry } from './fsck-world.ts'

const ROWS = 128
const MANY = 1500
let world: FsckWorld
let tree: Map<string, TreeEntry>

beforeEach(async () => {
  world = new FsckWorld()
  await world.format()
  await world.during(async (paths) => {
    await paths.mkdir('/many')
    await paths.mkdir('/other')
    for (let index = 0; index < MANY; index++) await paths.write(`/many/f${index}`, `contents of ${index}`)
    for (let index = 0; index < 5; index++) await paths.mkdir(`/other/d${index}`)
    for (let index = 0; index < 5; index++) await paths.write(`/other/d${index}/file`, body(index, 30_000))
    await paths.write('/other/shared', 'shared')
    await paths.link('/other/shared', '/many/shared')
  })
  await world.during(async (paths, { fs }) => {
    for (let at = 0; at < 30; at++) await paths.write('/other/pieces', body(at, 5000), { at: at * 8000, flags: 1 })
    await fs.sync()
    for (let at = 0; at < 30; at++) await paths.write('/other/pieces', body(at, 100), { at: at * 8000 + 50, flags: 1 })
  })
  tree = await treeNow()
})

async function treeNow(): Promise<Map<string, TreeEntry>> {
  const mounted = await (await world.copy()).mount()
  const found = await readTree(mounted)
  mounted.volume.abandon()
  return found
}

interface PlacedEntry extends StoredContentsEntry {
  segment: string
}

/** Pages of a table, newest segments last; the last page of a table in its segment is the root of its tree. */
async function pagesOf(kind: number, owner: number): Promise<PlacedEntry[]> {
  const pages: PlacedEntry[] = []
  for (const segment of await world.segments(2)) {
    const { entries } = readContents((await world.store.get(segment)).body)
    for (const entry of entries)
      if (entry.tableKind === kind && entry.owner === owner) pages.push({ ...entry, segment })
  }
  return pages
}

const damage = ({ segment, offset }: PlacedEntry) => world.flip(segment, offset + 30)

async function inoOf(path: string): Promise<number> {
  return tree.get(path)!.ino
}

/** Finds it, mends it, finds nothing more; gives the tree that is there then, and what lost+found holds. */
async function expectMended(expected: string[]): Promise<{ now: Map<string, TreeEntry>; lost: string[] }> {
  const before = await world.objects()
  expect(kinds(await world.check())).toEqual([...expected].sort())
  expect(await world.objects(), 'looking changes nothing').toEqual(before)
  const mended = await world.repair()
  expect(damages(mended).filter(({ repaired }) => !repaired)).toEqual([])
  expect(damages(await world.check()), 'a second run').toEqual([])
  const mounted = await world.mount()
  const now = await readTree(mounted)
  const hasLost = (await mounted.paths.list('')).includes('lost+found')
  const lost = hasLost ? await mounted.paths.list('/lost+found') : []
  await mounted.volume.close()
  return { now, lost }
}

describe('a damaged page', () => {
  test('of a directory costs what lay in it, where there is no older one', async () => {
    const page = (await pagesOf(DIRECTORY, await inoOf('/many')))[1]!
    await damage(page)
    const { now, lost } = await expectMended(['damaged-page'])
    expect(lost).toEqual([])
    const gone = [...tree.keys()].filter((path) => !now.has(path))
    expect(gone.length).toBeGreaterThan(50)
    expect(gone.length).toBeLessThan(MANY / 2)
    expect(gone.every((path) => path.startsWith('/many/'))).toBe(true)
    for (const path of gone) tree.delete(path)
    const links = (entries: Map<string, TreeEntry>) =>
      new Map([...entries].map(([path, entry]) => [path, { ...entry, nlink: 0 }]))
    expect(links(now)).toEqual(links(tree))
  })

  test('of a directory comes back from an older one, but for what was deleted and made since', async () => {
    await world.during(async (paths) => {
      for (let index = 0; index < MANY; index += 100) {
        await paths.unlink(`/many/f${index}`)
        await paths.write(`/many/n${index}`, 'new')
      }
    })
    tree = await treeNow()
    // The leaves that were written last.
    const newest = (await world.segments(2)).at(-1)
    const leaf = (await pagesOf(DIRECTORY, await inoOf('/many'))).filter(({ segment }) => segment === newest)[1]!
    await damage(leaf)
    const { now, lost } = await expectMended(['damaged-page'])
    expect(lost).toEqual([])
    const gone = [...tree.keys()].filter((path) => !now.has(path))
    expect(gone.length).toBeLessThan(20)
    expect(gone.filter((path) => !path.startsWith('/many/n'))).toEqual([])
    for (const path of gone) tree.delete(path)
    expect(now).toEqual(tree)
  })

  test('that is the root page of a directory’s tree costs nothing: its leaves are found', async () => {
    const page = (await pagesOf(DIRECTORY, await inoOf('/many'))).at(-1)!
    await damage(page)
    const { now } = await expectMended(['damaged-page'])
    expect(now).toEqual(tree)
  })

  test.each([
    ['parents', PARENTS, 0],
    ['live bytes', USAGE, 0],
    ['rows of directories', DIRECTORY + ROWS, 0],
    ['rows of extents', EXTENTS + ROWS, 0],
  ])('of %s costs nothing', async (_name, kind, owner) => {
    const pages = await pagesOf(kind, owner)
    const newest = pages.at(-1)!.segment
    for (const page of pages.filter(({ segment }) => segment === newest)) await damage(page)
    const { now, lost } = await expectMended(['damaged-page'])
    expect(lost).toEqual([])
    expect(now).toEqual(tree)
  })

  test.each([
    ['directories', DIRECTORY],
    ['extents', EXTENTS],
  ])('of rows of %s brings nothing back that was deleted', async (_name, kind) => {
    await world.during(async (paths) => {
      for (let at = 0; at < 9; at++) await paths.write('/other/more', body(at, 5000), { at: at * 8000, flags: 1 })
      await paths.mkdir('/other/d1/new')
      await paths.write('/other/d1/new/file', body(9, 1000))
      await paths.mkdir('/other/d3/e')
      await paths.write('/other/d3/e/file', body(10, 1000))
    })
    await world.during(async (paths) => {
      await paths.unlink('/other/pieces')
      for (const directory of ['/other/d3/e', '/other/d3', '/other/d4']) {
        await paths.unlink(`${directory}/file`)
        await paths.rmdir(directory)
      }
    })
    tree = await treeNow()
    const pages = await pagesOf(kind + ROWS, 0)
    const newest = pages.at(-1)!.segment
    for (const page of pages.filter(({ segment }) => segment === newest)) await damage(page)
    const { now, lost } = await expectMended(['damaged-page'])
    expect(lost).toEqual([])
    expect(now).toEqual(tree)
  })

  test('of shared inodes costs their names, or nothing where an older one is there', async () => {
    const page = (await pagesOf(SHARED, 0)).at(-1)!
    await damage(page)
    const { now } = await expectMended(['damaged-page'])
    for (const path of ['/other/shared', '/many/shared']) {
      expect(now.has(path)).toBe(false)
      tree.delete(path)
    }
    expect(now).toEqual(tree)
  })

  test('of a file’s extents is marked as lost, never filled with what is old', async () => {
    await world.during(async (paths) => {
      for (let at = 0; at < 30; at++)
        await paths.write('/other/pieces', body(at + 50, 5000), { at: at * 8000, flags: 1 })
    })
    tree = await treeNow()
    const pages = await pagesOf(EXTENTS, await inoOf('/other/pieces'))
    expect(pages.length).toBeGreaterThan(1)
    await damage(pages.at(-1)!)
    const { now } = await expectMended(['damaged-page'])
    expect(now.get('/other/pieces')).toEqual({ ...tree.get('/other/pieces'), body: 'EIO' })
    await world.during(async (paths) => {
      for (const at of [0, 8000, 29 * 8000])
        await expect(paths.read('/other/pieces', at, 5000)).rejects.toMatchObject({ code: 'EIO' })
    })
    now.delete('/other/pieces')
    tree.delete('/other/pieces')
    expect(now).toEqual(tree)
  })

  test('above the leaves of a file’s extents costs nothing, holes stay holes', async () => {
    await world.during(async (paths) => {
      for (let at = 0; at < 2500; at++) await paths.write('/other/sparse', `${at}`, { at: at * 10_000, flags: 1 })
    })
    tree = await treeNow()
    const pages = await pagesOf(EXTENTS, await inoOf('/other/sparse'))
    expect(pages.length).toBeGreaterThan(2)
    await damage(pages.at(-1)!)
    const { now } = await expectMended(['damaged-page'])
    expect(now).toEqual(tree)
    expect((await world.check()).findings).toEqual([])
  })

  test('of a small directory leaves it empty, under its name', async () => {
    const ino = await inoOf('/other/d2')
    for (const page of await pagesOf(DIRECTORY, ino)) await damage(page)
    const { now, lost } = await expectMended(['damaged-page'])
    expect(lost).toEqual([])
    expect(now.get('/other/d2')).toEqual(tree.get('/other/d2'))
    expect(now.has('/other/d2/file')).toBe(false)
    tree.delete('/other/d2/file')
    expect(now).toEqual(tree)
  })

  test('of the root directory puts what it named into lost+found', async () => {
    for (const page of await pagesOf(DIRECTORY, ROOT_INO)) await damage(page)
    const { lost } = await expectMended(['damaged-page'])
    const names = [await inoOf('/many'), await inoOf('/other')].map((ino) => `#${ino}`)
    expect(lost.sort()).toEqual(names.sort())
    const mounted = await world.mount()
    const many = await readTree(mounted, `/lost+found/${names[0]}`)
    await mounted.volume.close()
    expect([...many].map(([path, entry]) => [path.replace(/^\/lost\+found\/#\d+/, '/many'), entry])).toEqual(
      [...tree].filter(([path]) => path === '/many' || path.startsWith('/many/')),
    )
  })
})

test('two pages that were swapped are noticed as such', async () => {
  const [first, second] = [
    await pagesOf(DIRECTORY, await inoOf('/other/d0')),
    await pagesOf(DIRECTORY, await inoOf('/other/d1')),
  ].map((pages) => pages.at(-1)!)
  expect(first!.segment).toBe(second!.segment)
  const { body: object } = await world.store.get(first!.segment)
  const stored = [first!, second!].map(({ offset, lengthBytes }) =>
    Buffer.from(object.subarray(offset, offset + lengthBytes)),
  )
  stored[1]!.copy(object, first!.offset, 0, Math.min(first!.lengthBytes, second!.lengthBytes))
  stored[0]!.copy(object, second!.offset, 0, Math.min(first!.lengthBytes, second!.lengthBytes))
  await world.store.put(first!.segment, [object])
  const report = await world.check()
  expect(new Set(kinds(report))).toEqual(new Set(['damaged-page']))
  expect(damages(report)).toHaveLength(2)
  await world.repair()
  expect(damages(await world.check())).toEqual([])
})

test('whole pages in each other’s place are noticed as such, and what they held is made again', async () => {
  const { uuid } = await readVolumeJson(world.store)
  const root = decodeRoot((await world.store.get('root')).body, uuid)
  const pointers = new Map(root.tables.map(({ kind, pointer }) => [kind, pointer]))
  const swapped = new Map([
    [PARENTS as number, pointers.get(USAGE)!],
    [USAGE as number, pointers.get(PARENTS)!],
  ])
  const tables = root.tables.map((table) => ({ ...table, pointer: swapped.get(table.kind) ?? table.pointer }))
  await world.store.put('root', [encodeRoot(uuid, { ...root, tables })])
  const { now, lost } = await expectMended(['misplaced-page'])
  expect(lost).toEqual([])
  expect(now).toEqual(tree)
})

test('a lost page segment costs what lay in it, and no more', async () => {
  const newest = (await world.segments(2)).at(-1)!
  await world.store.delete([newest])
  const before = await world.objects()
  expect(kinds(await world.check())).toContain('lost-segment')
  expect(await world.objects()).toEqual(before)
  const mended = await world.repair()
  expect(damages(mended).filter(({ repaired }) => !repaired)).toEqual([])
  expect(damages(await world.check())).toEqual([])
  const now = await treeNow()
  // What was written before that checkpoint is all there.
  const isOld = ([path]: [string, TreeEntry]) => path !== '' && path !== '/other' && path !== '/other/pieces'
  expect(new Map([...now].filter(isOld))).toEqual(new Map([...tree].filter(isOld)))
})

test('all page segments lost leave an empty volume that can be used', async () => {
  await world.store.delete(await world.segments(2))
  expect(kinds(await world.check())).toContain('lost-segment')
  await world.repair()
  expect(damages(await world.check())).toEqual([])
  await world.during(async (paths) => {
    await paths.write('/again', 'again')
    expect(await paths.text('/again')).toBe('again')
  })
  expect(damages(await world.check())).toEqual([])
})
