// What counts against each limit, from the tables and the streams alone: docs/FORMAT.md says what does. It shares nothing with
// the ledger.
import { expect } from 'vitest'
import {
  DIRECTORY,
  DOT_KEY,
  decodeInode,
  decodeQuota,
  decodeQuotaWalk,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryType,
  FIRST_NAME_KEY,
  type Inode,
  ORPHANS,
  QUOTA_GID,
  QUOTA_TREE,
  QUOTA_UID,
  QUOTA_WALK,
  type Quota,
  ROOT_INO,
  S_IFDIR,
  SHARED,
} from '../../src/meta/index.ts'
import type { TableKind } from '../../src/tables/index.ts'
import type { World } from './world.ts'

export interface Counted {
  quota: Quota
  /** By the inodes' records, and by what streams show. */
  recorded: { bytes: number; inodes: number }
  visibleBytes: number
}

/** By "tree N" (its topmost directory), "uid N", "gid N" and "volume". */
export type Recount = Map<string, Counted>

export async function recount({ database, streams }: World): Promise<Recount> {
  return database.run(() => {
    const rows = new Map<TableKind, Map<number, Counted>>()
    for (const kind of [QUOTA_TREE, QUOTA_UID, QUOTA_GID]) {
      const found = new Map<number, Counted>()
      scan(kind, 0, 0, (key, record) =>
        found.set(key, { quota: decodeQuota(record, 0), recorded: { bytes: 0, inodes: 0 }, visibleBytes: 0 }),
      )
      rows.set(kind, found)
    }
    const trees = rows.get(QUOTA_TREE)!
    const partly = new Map<number, { realm: number; nextKey: number }>()
    scan(QUOTA_WALK, 0, 0, (ino, record) => partly.set(ino, decodeQuotaWalk(record, 0)))

    function scan(kind: TableKind, owner: number, from: number, visit: (key: number, record: Buffer) => unknown): void {
      database.table(kind, owner).scan(from, Number.MAX_SAFE_INTEGER, (key, bytes, start, end) => {
        visit(key, Buffer.from(bytes.subarray(start, end)))
        return true
      })
    }
    const add = (counted: Counted | undefined, inode: Inode) => {
      if (counted === undefined) return
      const isDirectory = (inode.mode & 0o170000) === S_IFDIR
      counted.recorded.inodes++
      if (isDirectory) return
      counted.recorded.bytes += inode.sizeBytes
      counted.visibleBytes += streams.get(inode.ino)?.attributes.sizeBytes ?? inode.sizeBytes
    }
    const count = (inode: Inode, realm: number) => {
      add(rows.get(QUOTA_UID)!.get(inode.uid), inode)
      add(rows.get(QUOTA_GID)!.get(inode.gid), inode)
      add(trees.get(0), inode)
      for (let at = realm; at !== 0; at = trees.get(at)?.quota.parentRealm ?? 0)
        if (trees.get(at)?.quota.isRemoved === false) add(trees.get(at), inode)
    }
    const visit = (directory: number) => {
      let own: Inode | null = null
      scan(DIRECTORY, directory, DOT_KEY, (key, record) => {
        if (key === DOT_KEY) own = decodeInode(record, 0)
      })
      const { realm } = own!
      count(own!, realm)
      const row = partly.get(directory)
      const around = row?.realm === realm && row.nextKey > 0 ? trees.get(realm)!.quota.parentRealm : realm
      scan(DIRECTORY, directory, FIRST_NAME_KEY, (key, record) => {
        if (dentryIsShared(record, 0)) return
        if (dentryType(record, 0) === S_IFDIR) visit(dentryIno(record, 0))
        else count(decodeInode(record, dentryInodeAt(record, 0)), key < (row?.nextKey ?? 0) ? realm : around)
      })
    }
    visit(ROOT_INO)
    for (const kind of [SHARED, ORPHANS])
      scan(kind, 0, 0, (_ino, record) => {
        const inode = decodeInode(record, 0)
        count(inode, inode.realm)
      })
    const found: Recount = new Map()
    for (const [realm, counted] of trees)
      if (!counted.quota.isRemoved) found.set(realm === 0 ? 'volume' : `tree ${counted.quota.directory}`, counted)
    for (const [uid, counted] of rows.get(QUOTA_UID)!) found.set(`uid ${uid}`, counted)
    for (const [gid, counted] of rows.get(QUOTA_GID)!) found.set(`gid ${gid}`, counted)
    return found
  })
}

/** Rows say what a recount says, and the filesystem shows what streams make of it. Of limits that are being counted: trees' as far
 *  as they are. */
export async function expectExact(world: World, when: string): Promise<Recount> {
  // What is left of them is open.
  await world.fs.orphansEmptied()
  const counted = await recount(world)
  const shown = new Map(
    (await world.fs.quotas.list()).map((report) => {
      const { subject } = report
      const name =
        subject.kind === 'volume' ? 'volume' : `${subject.kind} ${subject.kind === 'tree' ? subject.ino : subject.id}`
      return [name, report]
    }),
  )
  expect([...shown.keys()].sort(), when).toEqual([...counted.keys()].sort())
  for (const [name, { quota, recorded, visibleBytes }] of counted) {
    if (quota.isCounting && !name.startsWith('tree')) continue
    expect({ bytes: quota.bytesUsed, inodes: quota.inodesUsed }, `${name}, by its row, ${when}`).toEqual(recorded)
    // Counting went on meanwhile.
    if (quota.isCounting) continue
    const { bytesUsed, inodesUsed } = shown.get(name)!
    expect({ bytes: bytesUsed, inodes: inodesUsed }, `${name}, as shown, ${when}`).toEqual({
      bytes: visibleBytes,
      inodes: recorded.inodes,
    })
  }
  return counted
}
