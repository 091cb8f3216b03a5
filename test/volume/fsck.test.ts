// Damage of each kind is found by its name, changes nothing while it is only looked at, and is mended so that a second run
// finds nothing; what it did not touch is there as before, byte for byte.
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  DIRECTORY,
  DOT_KEY,
  encodeDentry,
  encodeInode,
  encodeQuota,
  encodeSharedDentry,
  type Ino,
  nameKeys,
  newInode,
  ORPHANS,
  PARENTS,
  putParent,
  QUOTA_TREE,
  QUOTA_UID,
  QUOTA_WALK,
  ROOT_INO,
  S_IFDIR,
  S_IFREG,
  SHARED,
  SHARERS,
  USAGE,
} from '../../src/meta/index.ts'
import { StoreError } from '../../src/store/index.ts'
import { FileRepair } from '../../src/volume/fsck/file-repair.ts'
import { encodeVolumeJson, readVolumeJson } from '../../src/volume/index.ts'
import { dentryOf, type Sample, sampleVolume } from './fsck-volume.ts'
import { body, damages, type FsckWorld, kinds, readTree, storeWith, type TreeEntry } from './fsck-world.ts'

let sample: Sample
let world: FsckWorld

beforeAll(async () => {
  sample = await sampleVolume()
})

beforeEach(async () => {
  world = await sample.world.copy()
})

interface Expected {
  /** Kinds that must be among what is found. */
  kinds: string[]
  /** Nothing else may be found. */
  only?: boolean
  /** Paths whose attributes or contents the damage touched; with all below them. */
  touched?: string[]
  /** Paths that are new. */
  added?: string[]
  data?: boolean
}

/** Finds the damage, mends it, and finds nothing more; returns the tree afterwards. */
async function expectMended(expected: Expected): Promise<Map<string, TreeEntry>> {
  const before = await world.objects()
  const found = await world.check()
  expect(kinds(found)).toEqual(
    expected.only === false ? expect.arrayContaining(expected.kinds) : [...expected.kinds].sort(),
  )
  expect(await world.objects(), 'looking changes nothing').toEqual(before)
  const mended = await world.repair()
  expect(damages(mended).filter(({ repaired }) => !repaired)).toEqual([])
  expect(kinds(mended)).toEqual(expect.arrayContaining(expected.kinds))
  expect(damages(await world.check()), 'a second run').toEqual([])
  const mounted = await world.mount()
  const tree = await readTree(mounted)
  await mounted.volume.close()
  const isTouched = (path: string) =>
    (expected.touched ?? []).some((each) => path === each || path.startsWith(`${each}/`))
  const untouched = (entries: Map<string, TreeEntry>) =>
    new Map(
      [...entries]
        .filter(([path]) => !isTouched(path) && !expected.added?.includes(path))
        .map(([path, entry]) => [path, path === '' ? { ...entry, nlink: 0 } : entry]),
    )
  expect(untouched(tree)).toEqual(untouched(sample.tree))
  return tree
}

const find = (...args: Parameters<Sample['find']>) => sample.find(...args)

/** What lost+found holds. */
async function lostAndFound(): Promise<string[]> {
  const { paths, volume } = await world.mount()
  const names = await paths.list('/lost+found')
  await volume.close()
  return names
}

async function keyOf(name: string): Promise<number> {
  return nameKeys((await readVolumeJson(world.store)).hashKey)(Buffer.from(name))
}

describe('names and inodes', () => {
  test('an entry of a shared inode that is not there is taken out', async () => {
    const key = await keyOf('nowhere')
    await world.plant((transaction, database) => {
      const { ino } = find(database, '/a')
      transaction.put(DIRECTORY, ino, key, encodeSharedDentry(Buffer.from('nowhere'), 4000 as Ino, S_IFREG))
    })
    await expectMended({ kinds: ['dangling-dentry'] })
  })

  test('an entry of a directory that is not there becomes an empty directory', async () => {
    await world.plant((transaction, database) => transaction.clear(DIRECTORY, find(database, '/a/b/c').ino))
    const tree = await expectMended({
      kinds: ['dangling-dentry', 'wrong-live-bytes', 'wrong-parent'],
      touched: ['/a/b/c'],
    })
    expect(tree.get('/a/b/c')).toMatchObject({ mode: 0o040755, nlink: 2, ino: sample.tree.get('/a/b/c')!.ino })
  })

  test('a shared inode that nothing names is put into lost+found', async () => {
    let ino = 0
    await world.plant((transaction, database) => {
      const first = find(database, '/a/f1')
      const second = find(database, '/d/second')
      ino = first.ino
      transaction.delete(DIRECTORY, first.directory, first.key)
      transaction.delete(DIRECTORY, second.directory, second.key)
    })
    await expectMended({ kinds: ['nameless-inode'], touched: ['/a/f1', '/d/second'] })
    expect(await lostAndFound()).toEqual([`#${ino}`])
    const { paths, volume } = await world.mount()
    expect(await paths.read(`/lost+found/#${ino}`)).toHaveLength(3000)
    await volume.close()
  })

  test('a directory that nothing names is put into lost+found, with all in it', async () => {
    let ino = 0
    await world.plant((transaction, database) => {
      const found = find(database, '/a/b')
      ino = found.ino
      transaction.delete(DIRECTORY, found.directory, found.key)
    })
    await expectMended({
      kinds: ['nameless-inode', 'wrong-link-count'],
      touched: ['/a/b', '/a'].slice(0, 1).concat('/a'),
    })
    const mounted = await world.mount()
    const tree = await readTree(mounted, `/lost+found/#${ino}`)
    await mounted.volume.close()
    for (const name of ['c/g0', 'c/g4', 'middle'])
      expect(tree.get(`/lost+found/#${ino}/${name}`)).toEqual(sample.tree.get(`/a/b/${name}`))
  })

  test('a circle of directories is opened, and put into lost+found', async () => {
    const names: number[] = []
    await world.plant((transaction, database) => {
      const b = find(database, '/a/b')
      const c = find(database, '/a/b/c')
      names.push(b.ino, c.ino)
      // b moves into c, which lies in b.
      transaction.delete(DIRECTORY, b.directory, b.key)
      transaction.put(DIRECTORY, c.ino, b.key, encodeDentry(b.name, b.inode))
      putParent(transaction, b.ino, c.ino, b.key)
    })
    await expectMended({ kinds: ['parent-cycle', 'wrong-link-count'], touched: ['/a'] })
    const [name] = await lostAndFound()
    expect(names.map((ino) => `#${ino}`)).toContain(name)
    const mounted = await world.mount()
    const tree = await readTree(mounted, `/lost+found/${name}`)
    await mounted.volume.close()
    const bodies = [...tree.values()].map((entry) => entry.body)
    for (const path of ['/a/b/middle', '/a/b/c/g0', '/a/b/c/g4']) expect(bodies).toContain(sample.tree.get(path)!.body)
  })

  test('wrong link counts of a directory, a file and a shared inode are counted again', async () => {
    await world.plant((transaction, database) => {
      const directory = find(database, '/a')
      transaction.put(DIRECTORY, directory.ino, DOT_KEY, encodeInode({ ...directory.inode, nlink: 9 }))
      const copy = encodeDentry(directory.name, { ...directory.inode, nlink: 9 })
      transaction.put(DIRECTORY, directory.directory, directory.key, copy)
      const file = find(database, '/a/f3')
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { nlink: 3 }))
      const shared = find(database, '/a/f1')
      transaction.put(SHARED, 0, shared.ino, encodeInode({ ...shared.inode, nlink: 1 }))
    })
    const report = await world.check()
    expect(
      damages(report)
        .map(({ path }) => path)
        .sort(),
    ).toEqual(['/a', '/a/f1', '/a/f3'])
    await expectMended({ kinds: ['wrong-link-count'] })
  })

  test('a parent record that is wrong, one that is gone, and one of nobody are made right', async () => {
    await world.plant((transaction, database) => {
      putParent(transaction, find(database, '/a/f4').ino, find(database, '/d').ino, 5000)
      transaction.delete(PARENTS, 0, find(database, '/a/f5').ino)
      transaction.delete(PARENTS, 0, find(database, '/a/b').ino)
      putParent(transaction, 14, find(database, '/d').ino, 5000)
    })
    await expectMended({ kinds: ['wrong-parent'], only: false })
  })

  test('a file that stands in two places becomes one with two names', async () => {
    const key = await keyOf('twice')
    await world.plant((transaction, database) => {
      const file = find(database, '/a/f6')
      transaction.put(DIRECTORY, find(database, '/d').ino, key, encodeDentry(Buffer.from('twice'), file.inode))
    })
    const tree = await expectMended({
      kinds: ['wrong-live-bytes', 'wrong-parent'],
      touched: ['/a/f6'],
      added: ['/d/twice'],
    })
    expect(tree.get('/d/twice')).toEqual({ ...sample.tree.get('/a/f6'), nlink: 2 })
    expect(tree.get('/a/f6')).toEqual(tree.get('/d/twice'))
  })

  test('a directory that two entries name keeps the one that its parent record says', async () => {
    const key = await keyOf('again')
    await world.plant((transaction, database) => {
      const directory = find(database, '/a/b')
      transaction.put(DIRECTORY, find(database, '/d').ino, key, encodeDentry(Buffer.from('again'), directory.inode))
    })
    await expectMended({ kinds: ['wrong-link-count', 'wrong-parent'] })
  })

  test('a name that stands at the wrong key is put where it is looked for', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/f7')
      transaction.delete(DIRECTORY, file.directory, file.key)
      transaction.put(DIRECTORY, file.directory, 256, encodeDentry(file.name, file.inode))
      putParent(transaction, file.ino, file.directory, 256)
    })
    await expectMended({ kinds: ['misplaced-name'] })
  })

  test('of two entries with one name the second goes to lost+found, with a name that none may have', async () => {
    let inos: number[] = []
    const slash = await keyOf('x/y')
    await world.plant((transaction, database) => {
      const [file, other, third] = ['/a/f8', '/a/f9', '/a/f10'].map((path) => find(database, path))
      transaction.delete(DIRECTORY, other!.directory, other!.key)
      transaction.put(DIRECTORY, file!.directory, file!.key + 1, encodeDentry(file!.name, other!.inode))
      putParent(transaction, other!.ino, file!.directory, file!.key + 1)
      transaction.delete(DIRECTORY, third!.directory, third!.key)
      transaction.put(DIRECTORY, third!.directory, slash, encodeDentry(Buffer.from('x/y'), third!.inode))
      putParent(transaction, third!.ino, third!.directory, slash)
      inos = [other!.ino, third!.ino]
    })
    await expectMended({ kinds: ['misplaced-name'], touched: ['/a/f9', '/a/f10'] })
    expect((await lostAndFound()).sort()).toEqual(inos.map((ino) => `#${ino}`).sort())
  })

  test('a stale copy of a directory’s inode is made anew', async () => {
    await world.plant((transaction, database) => {
      const directory = find(database, '/d')
      transaction.put(DIRECTORY, directory.directory, directory.key, dentryOf(directory, { mode: S_IFDIR | 0o777 }))
    })
    await expectMended({ kinds: ['stale-copy'] })
  })

  test('records that cannot be are taken out; a directory’s own inode comes back from its copy', async () => {
    await world.plant((transaction, database) => {
      const directory = find(database, '/d')
      transaction.put(DIRECTORY, directory.ino, DOT_KEY, Buffer.from('nonsense'))
      transaction.put(DIRECTORY, directory.ino, 7, Buffer.from('no name'))
      transaction.put(DIRECTORY, directory.ino, 9000, Buffer.from([200, 1, 2, 3]))
      transaction.put(SHARED, 0, 90, Buffer.from('short'))
      transaction.put(PARENTS, 0, 91, Buffer.from('short'))
      transaction.put(USAGE, 0, 92, Buffer.from('short'))
    })
    await expectMended({ kinds: ['damaged-record', 'dangling-dentry'] })
  })

  test('an inode that has a name does not count as an orphan; one that has none is left to the next mount', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/f11')
      transaction.put(ORPHANS, 0, file.ino, encodeInode({ ...file.inode, nlink: 0, extents: [], allocatedBytes: 0 }))
      const now = { sec: 1, nsec: 0 }
      transaction.put(
        ORPHANS,
        0,
        40,
        encodeInode({ ...newInode({ ino: 40 as Ino, mode: S_IFREG, uid: 0, gid: 0, now }), nlink: 0 }),
      )
    })
    await expectMended({ kinds: ['orphan'] })
    await world.during(async () => {})
    expect((await world.check()).findings.filter(({ kind }) => kind === 'orphan')).toEqual([])
  })

  test('a root directory without an inode gets one, and keeps all that is in it', async () => {
    await world.plant((transaction) => transaction.delete(DIRECTORY, ROOT_INO, DOT_KEY))
    const tree = await expectMended({ kinds: ['damaged-record'], touched: [''] })
    expect(tree.get('')).toMatchObject({ mode: S_IFDIR | 0o755, uid: 0, nlink: 5 })
    tree.delete('')
    expect(tree).toEqual(new Map([...sample.tree].slice(1)))
  })
})

describe('files and counters', () => {
  test('of extents that overlap, the newer segment’s bytes count', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/d/large')
      const [first, second, ...rest] = file.inode.extents!
      const overlapping = { ...second!, fileOffset: second!.fileOffset - 32_768 }
      const extents = [first!, overlapping, ...rest]
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { extents }))
    })
    await expectMended({ kinds: ['overlapping-extents'], only: false, touched: ['/d/large'] })
  })

  test('extents beyond the end are cut, which no reader sees', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/b/middle')
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { sizeBytes: 150_000 }))
    })
    const tree = await expectMended({ kinds: ['extent-outside'], touched: ['/a/b/middle'] })
    expect(tree.get('/a/b/middle')!.sizeBytes).toBe(150_000)
  })

  test('an extent that points at no piece is marked as lost, and reading it fails', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/b/middle')
      const extents = file.inode.extents!.map((extent) => ({
        ...extent,
        range: { ...extent.range, offset: extent.range.offset + 4 },
      }))
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { extents }))
    })
    const tree = await expectMended({ kinds: ['extent-outside'], touched: ['/a/b/middle'] })
    expect(tree.get('/a/b/middle')).toEqual({ ...sample.tree.get('/a/b/middle'), body: 'EIO' })
  })

  test('wrong allocated bytes and live bytes are counted again', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/f12')
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { allocatedBytes: 1 }))
      const record = Buffer.alloc(9)
      record.writeUInt32LE(77)
      transaction.put(USAGE, 0, find(database, '/d/large').inode.extents![0]!.range.segment, record)
      transaction.put(USAGE, 0, 2, record)
    })
    await expectMended({ kinds: ['wrong-live-bytes', 'wrong-size'] })
  })

  test('a file that shares an extent and is not listed as a sharer gets listed', async () => {
    await world.plant((transaction, database) => {
      const from = find(database, '/a/b/middle')
      const to = find(database, '/a/f13')
      const { extents, sizeBytes, allocatedBytes } = from.inode
      transaction.put(DIRECTORY, to.directory, to.key, dentryOf(to, { extents, sizeBytes, allocatedBytes }))
    })
    const tree = await expectMended({ kinds: ['wrong-live-bytes', 'wrong-sharers'], touched: ['/a/f13'] })
    expect(tree.get('/a/f13')!.body).toBe(sample.tree.get('/a/b/middle')!.body)
    let row: Buffer | null = null
    await world.plant((_, database) => {
      row = database.table(SHARERS).get(find(database, '/a/b/middle').inode.extents![0]!.range.segment)
    })
    expect(row).not.toBeNull()
  })

  test('wrong quotas are counted again, right ones are not touched', async () => {
    const none = {
      isCounting: false,
      isRemoved: false,
      bytesLimit: null,
      inodesLimit: null,
      parentRealm: 0,
      directory: 0,
      countedBelow: 0,
    }
    await world.plant((transaction, database) => {
      const { ino, inode, directory, key, name } = find(database, '/a/b/c')
      transaction.put(DIRECTORY, ino, DOT_KEY, encodeInode({ ...inode, realm: ino }))
      transaction.put(DIRECTORY, directory, key, encodeDentry(name, { ...inode, realm: ino }))
      transaction.put(QUOTA_TREE, 0, ino, encodeQuota({ ...none, bytesUsed: 200_000, inodesUsed: 6 }))
      transaction.put(QUOTA_UID, 0, 1000, encodeQuota({ ...none, bytesLimit: 1, bytesUsed: 5, inodesUsed: 5 }))
      transaction.put(QUOTA_UID, 0, 1001, encodeQuota({ ...none, isCounting: true, bytesUsed: 5, inodesUsed: 5 }))
    })
    const report = await world.check()
    expect(damages(report).map(({ message }) => message)).toEqual([expect.stringContaining('uid 1000')])
    await expectMended({ kinds: ['wrong-quota'] })
  })

  test('damaged quotas, and what is known of those that are being counted, are taken out', async () => {
    await world.plant((transaction) => {
      transaction.put(QUOTA_UID, 0, 1000, Buffer.alloc(7))
      transaction.put(QUOTA_WALK, 0, 2, Buffer.alloc(3))
    })
    await (await world.mount()).volume.close()
    expect(damages(await world.check()).map(({ message }) => message)).toEqual([
      expect.stringContaining('the quota of uid 1000'),
      expect.stringContaining('of directory 2'),
    ])
    await expectMended({ kinds: ['damaged-record'] })
  })

  test('numbers in use beyond what root says are skipped', async () => {
    await world.plant((transaction, database) => {
      const file = find(database, '/a/f14')
      const ino = (file.ino + 2 ** 25) as Ino
      transaction.put(DIRECTORY, file.directory, file.key, dentryOf(file, { ino }))
      transaction.delete(PARENTS, 0, file.ino)
      putParent(transaction, ino, file.directory, file.key)
    })
    await expectMended({ kinds: ['wrong-id-range'], touched: ['/a/f14'], only: false })
    await world.during(async (paths) => {
      const { ino } = await paths.mkdir('/new')
      expect(ino).toBeGreaterThan(sample.tree.get('/a/f14')!.ino + 2 ** 25)
    })
  })
})

describe('objects', () => {
  test('files lose what a lost data segment held, and nothing else', async () => {
    const [, lost] = await world.segments(1)
    await world.store.delete([lost!])
    const report = await world.check()
    const paths = damages(report).map(({ path }) => path!)
    expect(damages(report).every(({ object }) => object === lost)).toBe(true)
    const tree = await expectMended({ kinds: ['lost-segment'], touched: paths })
    for (const path of paths) expect(tree.get(path)).toEqual({ ...sample.tree.get(path), body: 'EIO' })
    const notices = (await world.check()).findings.filter(({ kind }) => kind === 'lost-data')
    expect(notices.map(({ path }) => path).sort()).toEqual(paths.sort())
    // The cleaner goes on beside them; where they are deleted nothing of them is left.
    await world.gc()
    expect(damages(await world.check())).toEqual([])
    await world.during(async (by) => {
      for (const path of paths) await by.unlink(path)
    })
    await world.gc()
    expect((await world.check()).findings).toEqual([])
  })

  test('a file that lost many segments is written once', async () => {
    const before = new Set(await world.segments(1))
    const mounted = await world.mount({ inlineBytesMax: 0 })
    for (let at = 0; at < 40; at++) {
      await mounted.paths.write('/many', body(at, 5000), { at: at * 10_000, flags: 1 })
      await mounted.fs.sync()
    }
    await mounted.volume.close()
    const lost = (await world.segments(1)).filter((key) => !before.has(key))
    expect(lost.length).toBe(40)
    await world.store.delete(lost)
    const rewrite = vi.spyOn(FileRepair.prototype, 'rewrite')
    const report = await world.repair()
    expect(
      damages(report)
        .map(({ object }) => object)
        .sort(),
    ).toEqual(lost.sort())
    expect(rewrite).toHaveBeenCalledTimes(1)
    rewrite.mockRestore()
    expect(damages(await world.check())).toEqual([])
  })

  test('a flipped bit of file data is found by reading it, and costs a block', async () => {
    const key = (await world.segments(1)).at(-1)
    await world.flip(key!, 200)
    expect(damages(await world.check({ data: false }))).toEqual([])
    const report = await world.check()
    expect(kinds(report)).toEqual(['damaged-data'])
    const path = damages(report)[0]!.path!
    expect(report.findings[0]!.message).toContain(key)
    await expectMended({ kinds: ['damaged-data'], touched: [path] })
    await world.during(async (paths) => {
      await paths.write(path, 'new')
      expect(await paths.text(path)).toBe('new')
    })
    expect((await world.check()).findings).toEqual([])
  })

  test('what lies in a segment with a damaged table of contents is written anew', async () => {
    const [key] = await world.segments(1)
    const { sizeBytes } = await world.store.head(key!)
    await world.flip(key!, sizeBytes - 60)
    await expectMended({ kinds: ['damaged-contents'] })
  })

  test('a foreign object and leftovers are told of, and left alone', async () => {
    await world.store.put('holiday.jpg', [Buffer.from('x')])
    await world.store.put('segments/ff/000000000000ff', [Buffer.from('no segment')])
    const report = await world.check()
    expect(damages(report)).toEqual([])
    expect(report.findings.map(({ kind, object }) => [kind, object]).sort()).toEqual([
      ['foreign-object', 'holiday.jpg'],
      ['foreign-object', 'segments/ff/000000000000ff'],
    ])
    await world.repair()
    expect(await world.keys()).toContain('holiday.jpg')
  })
})

test('a store that does not answer ends a check with its error, whatever it was asked for', async () => {
  const { store } = world
  const data = await world.segments(1)
  for (const isRefused of [
    (key: string) => data.includes(key),
    (key: string) => key === 'root',
    (key: string) => key.startsWith('segments/') && !data.includes(key),
  ]) {
    world.store = storeWith(store, {
      get: (key, options) =>
        isRefused(key) ? Promise.reject(new StoreError('denied', `no access to ${key}`)) : store.get(key, options),
    })
    await expect(world.check()).rejects.toThrow(/no access|cannot be read/)
    await expect(world.repair()).rejects.toThrow(/no access|cannot be read/)
    world.store = store
  }
  expect(damages(await world.check())).toEqual([])
})

test('mending is refused while somebody has the volume, naming him', async () => {
  world.judgement = 'alive'
  const { volume } = await world.mount()
  await expect(world.repair()).rejects.toThrow(/here/)
  await volume.close()
})

test('a volume with features that may only be read is checked, and not mended', async () => {
  const { json } = await readVolumeJson(world.store)
  const features = { ...json.features, roCompat: 2 ** 40 }
  await world.store.put('volume.json', [encodeVolumeJson({ ...json, features })])
  expect(damages(await world.check())).toEqual([])
  const before = await world.objects()
  await expect(world.repair()).rejects.toThrow('use a newer cairnfs')
  expect(await world.objects()).toEqual(before)
})
