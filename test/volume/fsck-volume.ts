// One volume with something of every sort, for damaging: what is in it, and where its records lie.
import {
  DIRECTORY,
  DOT_KEY,
  decodeInode,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  encodeDentry,
  type Inode,
  nameKeys,
  ROOT_INO,
  SHARED,
} from '../../src/meta/index.ts'
import type { Database } from '../../src/tables/index.ts'
import { readVolumeJson } from '../../src/volume/index.ts'
import { body, FsckWorld, readTree, type TreeEntry } from './fsck-world.ts'

export interface Sample {
  world: FsckWorld
  /** What a mount showed before the damage. */
  tree: Map<string, TreeEntry>
  find: (database: Database, path: string) => FoundEntry
}

export interface FoundEntry {
  ino: number
  directory: number
  key: number
  name: Buffer
  /** As it stands where the names lead; of directories their own. */
  inode: Inode
}

export async function sampleVolume(): Promise<Sample> {
  const world = new FsckWorld()
  await world.format()
  await world.during(async (paths) => {
    for (const directory of ['/a', '/a/b', '/a/b/c', '/d', '/e']) await paths.mkdir(directory)
    for (let index = 0; index < 20; index++) await paths.write(`/a/f${index}`, body(index, 3000))
    await paths.write('/d/large', body(100, 2_500_000))
    await paths.write('/a/b/middle', body(101, 200_000))
    await paths.symlink('/d/link', '../a/f0')
    await paths.link('/a/f1', '/d/second')
    for (const path of ['/a/f1', '/a/f2', '/a/b']) {
      await paths.setXattr(path, 'user.small', body(400, 50))
      await paths.setXattr(path, 'user.large', body(401, 40_000))
      await paths.setXattr(path, 'user.other', body(402, 2_000))
    }
  })
  // Many extents: they lie in a table of their own.
  await world.during(async (paths) => {
    for (let at = 0; at < 60; at++) {
      await paths.write('/e/pieces', body(200 + at, 5000), { at: at * 10_000, flags: 1 })
      if (at % 20 === 19) await paths.fs.sync()
    }
    for (let index = 0; index < 5; index++) await paths.write(`/a/b/c/g${index}`, body(300 + index, 40_000))
  })
  const mounted = await world.mount()
  const tree = await readTree(mounted)
  await mounted.volume.close()
  const { hashKey } = await readVolumeJson(world.store)
  const keyOf = nameKeys(hashKey)
  const find = (database: Database, path: string): FoundEntry => {
    let entry: FoundEntry | null = null
    let directory: number = ROOT_INO
    for (const part of path.split('/').filter((each) => each !== '')) {
      const name = Buffer.from(part)
      const key = keyOf(name)
      const record = database.table(DIRECTORY, directory).get(key)!
      const ino = dentryIno(record, 0)
      const shared = dentryIsShared(record, 0)
      const dot = shared ? null : database.table(DIRECTORY, ino).get(DOT_KEY)
      const inode = shared
        ? decodeInode(database.table(SHARED).get(ino)!, 0)
        : decodeInode(dot ?? record, dot === null ? dentryInodeAt(record, 0) : 0)
      entry = { ino, directory, key, name, inode }
      directory = ino
    }
    return entry!
  }
  return { world, tree, find }
}

export function dentryOf({ name, inode }: FoundEntry, change: Partial<Inode>): Buffer {
  return encodeDentry(name, { ...inode, ...change })
}
