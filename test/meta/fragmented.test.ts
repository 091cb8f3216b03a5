// The map of a badly fragmented file: every extent is found, and takes little memory. scripts/extents.mjs measures a million.
import { expect, test } from 'vitest'
import { type Extent, encodeExtentRecord } from '../../src/data/index.ts'
import { extentsOf } from '../../src/meta/file-extents.ts'
import type { Ino } from '../../src/meta/index.ts'
import { newInode } from '../../src/meta/inode-record.ts'
import { EXTENTS, TABLE_KINDS } from '../../src/meta/table-kinds.ts'
import { seededRandom } from '../../src/platform/index.ts'
import type { SegmentId } from '../../src/segments/index.ts'
import { openDatabase } from '../../src/tables/index.ts'
import { formatted, HOOKS, setUp } from '../tables/world.ts'

const COUNT = 50_000
const BLOCK = 4096
/** What an extent may take in memory, in whatever state. */
const EACH_BYTES = 64

test('an extent among many takes less than 64 bytes of memory, and is found', async () => {
  const random = seededRandom(1)
  const { options, writer } = setUp({ random }, await formatted(), 1 << 20, 64 << 20)
  const large = { kinds: TABLE_KINDS, pinned: [], pageCacheBytes: 64 << 20, changeBytesMax: 64 << 20 }
  const database = await openDatabase({ ...options, ...large }, writer)
  const now = { sec: 0, nsec: 0 }
  const inode = { ...newInode({ ino: 7 as Ino, mode: 0o100644, uid: 0, gid: 0, now }), extents: null }
  // Every second block, in an order that has nothing to do with offsets.
  const blockOf = (index: number) => ((index * 17_377) % COUNT) * 2
  const extentOf = (index: number): Extent => ({
    fileOffset: blockOf(index) * BLOCK,
    range: {
      segment: (1 + (index >> 7)) as SegmentId,
      offset: (index % 128) * 8192,
      pieceBytes: BLOCK,
      skipBytes: 0,
      lengthBytes: BLOCK,
    },
  })
  for (let from = 0; from < COUNT; from += 1000) {
    const transaction = database.transaction()
    for (let index = from; index < from + 1000; index++) {
      const { fileOffset, range } = extentOf(index)
      transaction.put(EXTENTS, inode.ino, fileOffset, encodeExtentRecord(range))
    }
    database.apply(transaction)
    await database.commit()
  }
  const expectFound = async () => {
    for (let index = 0; index < COUNT; index += 37) {
      const { fileOffset, range } = extentOf(index)
      const find = (from: number, to: number) => database.run(() => extentsOf(database, inode, from, to))
      expect(await find(fileOffset + 1, fileOffset + 2)).toEqual([{ fileOffset, range }])
      expect(await find(fileOffset + BLOCK, fileOffset + 2 * BLOCK)).toEqual([])
    }
  }
  await expectFound()
  expect(database.status.changeBytes / COUNT).toBeLessThan(EACH_BYTES)
  await database.checkpoint(HOOKS)
  await expectFound()
  expect(database.status.changeBytes).toBe(0)
  expect(database.status.cachedPageBytes / COUNT).toBeLessThan(EACH_BYTES)
  expect(database.status.cachedPageBytes / COUNT).toBeGreaterThan(24)
  await database.close('abandon')
})
