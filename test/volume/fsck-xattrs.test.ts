// Damage of extended attributes: found by its name, and mended so that what is whole stays.
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { DIRECTORY, XATTRS } from '../../src/meta/index.ts'
import type { Database, Transaction } from '../../src/tables/index.ts'
import { dentryOf, type FoundEntry, type Sample, sampleVolume } from './fsck-volume.ts'
import { damages, type FsckWorld, kinds, readTree, type TreeEntry } from './fsck-world.ts'

let sample: Sample
let world: FsckWorld
beforeAll(async () => {
  sample = await sampleVolume()
})
beforeEach(async () => {
  world = await sample.world.copy()
})

async function mended(plant: (transaction: Transaction, database: Database) => void): Promise<Map<string, TreeEntry>> {
  await world.plant(plant)
  expect(kinds(await world.check())).toEqual(['wrong-xattrs'])
  expect(damages(await world.repair()).filter(({ repaired }) => !repaired)).toEqual([])
  expect(damages(await world.check())).toEqual([])
  const mounted = await world.mount()
  const tree = await readTree(mounted)
  await mounted.volume.close()
  return tree
}

const all = (path: string) => sample.tree.get(path)!.xattrs.split(' ')
const without = (path: string, ...names: string[]) =>
  all(path)
    .filter((each) => !names.includes(each.split('=')[0]!))
    .join(' ')

/** Keys of the pieces of large attributes, the first of each value first. */
function keysOf(database: Database, { ino }: FoundEntry, valueBytes: number): number[] {
  const keys: number[] = []
  database.table(XATTRS, ino).scan(0, Number.MAX_SAFE_INTEGER, (key, bytes, start) => {
    if (bytes.readUInt32LE(start + 2) === valueBytes) keys.push(key)
    return true
  })
  return keys
}

test('the sample has them, and is clean', async () => {
  for (const path of ['/a/f1', '/a/f2', '/a/b', '/d/second']) expect(all(path)).toHaveLength(3)
  expect(damages(await world.check())).toEqual([])
})

test('a table of no inode is emptied', async () => {
  const tree = await mended((transaction, database) => {
    const { ino } = sample.find(database, '/a/f2')
    const [key] = keysOf(database, sample.find(database, '/a/f2'), 2_000)
    const record = Buffer.from(database.table(XATTRS, ino).get(key!)!)
    transaction.put(XATTRS, 4000, key!, record)
    transaction.put(XATTRS, sample.find(database, '/a/f3').ino, key!, record)
  })
  expect(tree).toEqual(sample.tree)
})

test('a table that was emptied since the last checkpoint is none', async () => {
  const { paths, fs, volume } = await world.mount()
  for (const name of ['user.large', 'user.other']) {
    for (const path of ['/a/f2', '/a/b'])
      await paths.at(path, async (ino) => fs.removexattr!({ uid: 0, gid: 0, pid: 1 }, ino, Buffer.from(name)))
  }
  await paths.unlink('/a/f1')
  await paths.unlink('/d/second')
  await fs.orphansEmptied()
  await volume.sync()
  volume.abandon()
  expect(damages(await world.check())).toEqual([])
})

test('an inode that knows nothing of its table keeps what stands in it', async () => {
  const tree = await mended((transaction, database) => {
    const found = sample.find(database, '/a/f2')
    const changed = dentryOf(found, { tableNamesBytes: 0, tableValuesBytes: 0 })
    transaction.put(DIRECTORY, found.directory, found.key, changed)
  })
  expect(tree.get('/a/f2')!.xattrs).toBe(without('/a/f2', 'user.large', 'user.other'))
})

test('a value that lacks a piece goes, the others stay', async () => {
  const tree = await mended((transaction, database) => {
    const found = sample.find(database, '/a/b')
    transaction.delete(XATTRS, found.ino, keysOf(database, found, 40_000)[1]!)
  })
  expect(tree.get('/a/b')!.xattrs).toBe(without('/a/b', 'user.large'))
})

test('an inode whose table is gone says so', async () => {
  const tree = await mended((transaction, database) => transaction.clear(XATTRS, sample.find(database, '/a/f1').ino))
  for (const path of ['/a/f1', '/d/second'])
    expect(tree.get(path)!.xattrs).toBe(without(path, 'user.large', 'user.other'))
})

test('wrong sums are counted again, damaged pieces and misplaced ones taken out', async () => {
  const tree = await mended((transaction, database) => {
    const found = sample.find(database, '/a/f2')
    const [key] = keysOf(database, found, 2_000)
    transaction.put(XATTRS, found.ino, 77, database.table(XATTRS, found.ino).get(key!)!)
    transaction.put(XATTRS, found.ino, 78, Buffer.from('none'))
    transaction.put(DIRECTORY, found.directory, found.key, dentryOf(found, { tableValuesBytes: 1 }))
  })
  expect(tree).toEqual(sample.tree)
})

test('attributes in an inode that do not add up are kept up to there', async () => {
  const tree = await mended((transaction, database) => {
    const found = sample.find(database, '/a/f2')
    const xattrs = Buffer.concat([found.inode.xattrs, Buffer.from([9, 200, 0, 1])])
    transaction.put(DIRECTORY, found.directory, found.key, dentryOf(found, { xattrs }))
  })
  expect(tree).toEqual(sample.tree)
  const twice = await mended((transaction, database) => {
    const found = sample.find(database, '/a/f2')
    const xattrs = Buffer.concat([found.inode.xattrs, found.inode.xattrs])
    transaction.put(DIRECTORY, found.directory, found.key, dentryOf(found, { xattrs }))
  })
  expect(twice).toEqual(sample.tree)
})

test('a name in the inode counts, not the same in its table', async () => {
  const tree = await mended((transaction, database) => {
    const found = sample.find(database, '/a/f2')
    const name = Buffer.from('user.other')
    const entry = Buffer.concat([Buffer.from([name.length, 1, 0]), name, Buffer.from('x')])
    const xattrs = Buffer.concat([found.inode.xattrs, entry])
    transaction.put(DIRECTORY, found.directory, found.key, dentryOf(found, { xattrs }))
  })
  expect(tree.get('/a/f2')!.xattrs).not.toBe(sample.tree.get('/a/f2')!.xattrs)
  expect(tree.get('/a/f2')!.xattrs.split(' ')).toHaveLength(3)
})

test('the root directory tells of ACLs where there is one', async () => {
  await mended((transaction, database) => {
    const found = sample.find(database, '/a/f5')
    const name = Buffer.from('system.posix_acl_access')
    const xattrs = Buffer.concat([Buffer.from([name.length, 4, 0]), name, Buffer.from('\x02\0\0\0')])
    transaction.put(DIRECTORY, found.directory, found.key, dentryOf(found, { xattrs }))
  })
})
