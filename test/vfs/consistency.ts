// What must hold of the tables of any volume at rest: each file where PARENTS or SHARED says, link counts right, live
// bytes the sum of the extents, no overlap.
import { expect } from 'vitest'
import type { Extent } from '../../src/data/index.ts'
import {
  commonRanges,
  DIRECTORY,
  DOT_KEY,
  decodeInode,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryType,
  extentsOf,
  FIRST_NAME_KEY,
  type Inode,
  ORPHANS,
  PARENTS,
  parentOf,
  ROOT_INO,
  S_IFDIR,
  SHARED,
  SHARERS,
  USAGE,
} from '../../src/meta/index.ts'
import { type ContentsEntry, type DataRange, rawBytesOf, type SegmentStore } from '../../src/segments/index.ts'
import type { Database, TableKind } from '../../src/tables/index.ts'

const ALL = Number.MAX_SAFE_INTEGER

function rows(database: Database, kind: TableKind, owner = 0, from = 0): Promise<[number, Buffer][]> {
  return Promise.resolve(
    database.run(() => {
      const found: [number, Buffer][] = []
      database.table(kind, owner).scan(from, ALL, (key, bytes, start, end) => {
        found.push([key, Buffer.from(bytes.subarray(start, end))])
        return true
      })
      return found
    }),
  )
}

/** Every extent that lies elsewhere than its segment's contents say belongs to a file that the segment's row of SHARERS
 *  lists: so the cleaner finds all that a segment holds. */
export async function checkSharers(database: Database, segments: SegmentStore): Promise<void> {
  const sharers = new Map((await rows(database, SHARERS)).map(([id, row]) => [id, decodeInos(row)] as const))
  const contents = new Map<number, readonly ContentsEntry[]>()
  for (const inode of await allFiles(database)) {
    for (const { fileOffset, range } of await database.run(() => extentsOf(database, inode, 0, ALL))) {
      const { segment, lengthBytes } = range
      const row = await database.run(() => database.table(USAGE).get(segment))
      if (row?.[8] !== 0) continue
      let entries = contents.get(segment)
      if (entries === undefined) {
        entries = await segments.readTable(segment)
        contents.set(segment, entries)
      }
      let at = fileOffset
      for (const { owner, key, lengthBytes: stored } of entries) {
        if (owner === inode.ino && key <= at && at < key + rawBytesOf(stored)) at = key + rawBytesOf(stored)
      }
      const isCovered = at >= fileOffset + lengthBytes || (sharers.get(segment)?.includes(inode.ino) ?? false)
      expect(isCovered, `segment ${segment} knows that inode ${inode.ino} refers to it at ${fileOffset}`).toBe(true)
    }
  }
}

/** What all files refer to: each byte once, and once for each reference. */
export async function liveBytesOf(database: Database): Promise<{ distinctBytes: number; referredBytes: number }> {
  const found: { from: Extent }[] = []
  for (const inode of await allFiles(database))
    for (const from of await database.run(() => extentsOf(database, inode, 0, ALL))) found.push({ from })
  const sum = (ranges: DataRange[]) => ranges.reduce((total, { lengthBytes }) => total + lengthBytes, 0)
  return {
    distinctBytes: sum(commonRanges(found).map(({ range }) => range)),
    referredBytes: sum(found.map(({ from }) => from.range)),
  }
}

function decodeInos(row: Buffer): number[] {
  return Array.from({ length: row.length / 8 }, (_, index) => Number(row.readBigUInt64LE(index * 8)))
}

async function allFiles(database: Database): Promise<Inode[]> {
  const files: Inode[] = []
  const visit = async (directory: number): Promise<void> => {
    for (const [, record] of await rows(database, DIRECTORY, directory, FIRST_NAME_KEY)) {
      if (dentryIsShared(record, 0)) continue
      if (dentryType(record, 0) === S_IFDIR) await visit(dentryIno(record, 0))
      else files.push(decodeInode(record, dentryInodeAt(record, 0)))
    }
  }
  await visit(ROOT_INO)
  for (const kind of [SHARED, ORPHANS])
    for (const [, record] of await rows(database, kind)) files.push(decodeInode(record, 0))
  return files
}

export async function checkConsistency(database: Database): Promise<void> {
  const live = new Map<number, number>()
  const links = new Map<number, number>()
  const named = new Map<number, string>()
  const count = async (inode: Inode) => {
    let at = 0
    let allocated = 0
    for (const { fileOffset, range } of await database.run(() => extentsOf(database, inode, 0, ALL))) {
      expect(fileOffset, `extents of inode ${inode.ino} do not overlap`).toBeGreaterThanOrEqual(at)
      at = fileOffset + range.lengthBytes
      allocated += range.lengthBytes
      live.set(range.segment, (live.get(range.segment) ?? 0) + range.lengthBytes)
    }
    expect(at, `inode ${inode.ino} has nothing past its end`).toBeLessThanOrEqual(inode.sizeBytes)
    expect(inode.allocatedBytes).toBe(allocated)
  }

  const visit = async (directory: number, parent: number): Promise<void> => {
    const own = (await rows(database, DIRECTORY, directory)).find(([key]) => key === DOT_KEY)
    const inode = decodeInode(own![1], 0)
    let nlink = 2
    for (const [key, record] of await rows(database, DIRECTORY, directory, FIRST_NAME_KEY)) {
      const ino = dentryIno(record, 0)
      if (dentryIsShared(record, 0)) {
        links.set(ino, (links.get(ino) ?? 0) + 1)
        continue
      }
      named.set(ino, `${directory}/${key}`)
      expect(await database.run(() => parentOf(database, ino)), `the row of PARENTS of ${ino}`).toEqual({
        directory,
        key,
      })
      if (dentryType(record, 0) === S_IFDIR) {
        nlink++
        await visit(ino, directory)
      } else await count(decodeInode(record, dentryInodeAt(record, 0)))
    }
    expect(inode.nlink, `links of directory ${directory} in ${parent}`).toBe(nlink)
  }
  await visit(ROOT_INO, ROOT_INO)

  for (const [ino, record] of await rows(database, SHARED)) {
    const inode = decodeInode(record, 0)
    expect(inode.nlink, `links of shared inode ${ino}`).toBe(links.get(ino))
    await count(inode)
    links.delete(ino)
  }
  expect([...links.keys()], 'names of shared inodes that are not there').toEqual([])
  for (const [, record] of await rows(database, ORPHANS)) await count(decodeInode(record, 0))
  expect((await rows(database, PARENTS)).map(([ino]) => ino)).toEqual([...named.keys()].sort((a, b) => a - b))
  const usage = (await rows(database, USAGE)).map(([id, row]): [number, number] => [id, Number(row.readBigUInt64LE(0))])
  expect(usage.filter(([, bytes]) => bytes > 0)).toEqual(
    [...live].filter(([, bytes]) => bytes > 0).sort(([a], [b]) => a - b),
  )
}
