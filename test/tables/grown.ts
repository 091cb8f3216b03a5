// A table that grew over many checkpoints of a real engine, and what it costs to list it cold.
import { seededRandom } from '../../src/platform/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { type Database, formatDatabase, openDatabase, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { HOOKS, MANY, setUp, uuid } from './world.ts'

const SEGMENT_BYTES = 8 << 20
/** That of a directory which is not the root: its row is looked up. */
const OWNER = 7
const RECORD_BYTES = 140

export interface Grown {
  /** Listed, and put. */
  entries: number
  expected: number
  gets: number
  /** GETs that waited for the answer of another. */
  rounds: number
  /** Stored bytes of pages written, to those of the pages in force at the end. */
  writeAmplification: number
}

/** `atFirst` entries, with keys as hashes have them, at a first checkpoint, and `each` at each of `checkpoints`; then all of it
 *  is read through empty caches. */
export async function growAndList(checkpoints: number, each: number, atFirst = 0): Promise<Grown> {
  const random = seededRandom(17)
  const store = createMemoryStore()
  await formatDatabase(store, uuid)
  const { options, writer } = setUp({ random }, store, SEGMENT_BYTES, 256 << 20)
  const database = await openDatabase({ ...options, changeBytesMax: 1 << 30, pageCacheBytes: 256 << 20 }, writer)
  let writtenBytes = 0
  const seen = new Set<number>()
  const keys = new Set<number>()
  for (let checkpoint = atFirst === 0 ? 1 : 0; checkpoint <= checkpoints; checkpoint++) {
    const transaction = database.transaction()
    for (let index = checkpoint === 0 ? atFirst : each; index > 0; index--) {
      const key = Math.floor(random.next() * 2 ** 45) * 16
      keys.add(key)
      // A quarter of it random: about what dentries with their inodes deflate to.
      const record = Buffer.concat([random.bytes(RECORD_BYTES / 4), Buffer.alloc((RECORD_BYTES * 3) / 4, 'x')])
      transaction.put(MANY, OWNER, key, record)
    }
    database.apply(transaction)
    await database.checkpoint(HOOKS)
    for (const [id, { totalBytes }] of database.rootInForce.pageSegments) {
      if (!seen.has(id)) writtenBytes += totalBytes
      seen.add(id)
    }
  }
  await database.close(HOOKS)
  let liveBytes = 0
  for (const use of database.rootInForce.pageSegments.values()) liveBytes += use.liveBytes

  let gets = 0
  let rounds = 0
  let underWay = 0
  const counted = new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (property !== 'get') return typeof member === 'function' ? member.bind(target) : member
      return async (...args: Parameters<typeof store.get>) => {
        gets++
        if (underWay++ === 0) rounds++
        // Answers take a turn, so that what is asked for at once is under way at once.
        await new Promise((resolve) => setImmediate(resolve))
        underWay--
        return target.get(...args)
      }
    },
  })
  const cold = setUp({ random }, counted, SEGMENT_BYTES, 256 << 20)
  const reader = await openDatabaseReadOnly({ ...cold.options, pageCacheBytes: 256 << 20 })
  // From when its parent is loaded: that page says where the table is, as its row does here.
  await reader.run(() => reader.table(MANY, OWNER + 1).isEmpty())
  gets = 0
  rounds = 0
  const entries = await countEntries(reader)
  return { entries, expected: keys.size, gets, rounds, writeAmplification: writtenBytes / liveBytes }
}

async function countEntries(reader: Database): Promise<number> {
  let entries = 0
  for (let from = 0; ; ) {
    let last = -1
    await reader.run(() => {
      let room = 1000
      reader.table(MANY, OWNER).scan(from, Number.MAX_SAFE_INTEGER, (key) => {
        if (key <= last) return true
        last = key
        entries++
        return --room > 0
      })
    })
    if (last < 0) return entries
    from = last + 1
  }
}
