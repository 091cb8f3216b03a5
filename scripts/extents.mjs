#!/usr/bin/env node
// What the map of a badly fragmented file costs: a million extents of 4 KiB at random offsets, put into its table in commits,
// then written by a checkpoint. Bytes of memory for each, and how long finding one takes, in both states. Run
// `npm run build` before.
//
//   node --expose-gc scripts/extents.mjs [EXTENTS]
import { encodeExtentRecord } from '../dist/data/index.js'
import { extentsOf } from '../dist/meta/file-extents.js'
import { EXTENTS, TABLE_KINDS } from '../dist/meta/table-kinds.js'
import { seededRandom, systemClock } from '../dist/platform/index.js'
import { createSegmentStore } from '../dist/segments/index.js'
import { createMemoryStore } from '../dist/store/memory.js'
import { formatDatabase, openDatabase } from '../dist/tables/index.js'

const extents = Number(process.argv[2] ?? 1_000_000)
const INO = 7
const BLOCK = 4096
/** Extents of one commit. */
const IN_COMMIT = 10_000
const MEMORY = 1 << 30
const uuid = Buffer.alloc(16, 1)

const store = createMemoryStore()
await formatDatabase(store, uuid)
const segments = createSegmentStore({ store, volumeUuid: uuid, segmentSizeBytes: 8 << 20, cacheBytes: MEMORY / 8 })
const options = {
  ...{ store, segments, kinds: TABLE_KINDS, pinned: [], volumeUuid: uuid, volumeJson: Buffer.from('{}') },
  ...{ clock: systemClock, random: seededRandom(1), log: () => {}, pageCacheBytes: MEMORY / 8, changeBytesMax: MEMORY },
}
const writer = {
  holder: { host: 'h', bootId: 'b', pid: 1, since: 'now', lock: null },
  ...{ leaseMs: 60_000, judge: async () => 'dead', takeOver: false },
  onFailure: (error) => {
    throw error
  },
}
const database = await openDatabase(options, writer)

/** Every block once, in no order. */
const order = Uint32Array.from({ length: extents }, (_, index) => index)
for (let index = extents - 1; index > 0; index--) {
  const other = Math.floor(Math.random() * (index + 1))
  ;[order[index], order[other]] = [order[other], order[index]]
}

const held = () => {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const before = held()
for (let from = 0; from < extents; from += IN_COMMIT) {
  const transaction = database.transaction()
  for (let index = from; index < Math.min(extents, from + IN_COMMIT); index++) {
    // Places far from each other: no two are one extent.
    const offset = (index % 1024) * 2 * BLOCK
    const range = { segment: 1 + (index >> 10), offset, pieceBytes: BLOCK, skipBytes: 0, lengthBytes: BLOCK }
    transaction.put(EXTENTS, INO, order[index] * BLOCK, encodeExtentRecord(range))
  }
  database.apply(transaction)
  await database.commit()
}
report('changed since the last checkpoint', held() - before - (await storedBytes()), database.status.changeBytes)
await database.checkpoint({ repoint: async () => {}, derive() {} })
for (let block = 0; block < extents; block += 64) await find(block)
report('written by it, all its pages in memory', database.status.cachedPageBytes, database.status.cachedPageBytes)
await database.close('abandon')

function find(block) {
  return database.run(() => extentsOf(database, { ino: INO, extents: null }, block * BLOCK, block * BLOCK + BLOCK))
}

/** The journal, which lies in this process too. */
async function storedBytes() {
  let bytes = 0
  let startAfter
  do {
    const { objects, next } = await store.list('', startAfter === undefined ? {} : { startAfter })
    for (const { sizeBytes } of objects) bytes += sizeBytes
    startAfter = next
  } while (startAfter !== undefined)
  return bytes
}

function report(state, bytes, counted) {
  const times = []
  for (let round = 0; round < 5; round++) {
    const began = performance.now()
    for (let each = 0; each < 20_000; each++) {
      const found = find(Math.floor(Math.random() * extents))
      if (found.length !== 1) throw new Error(`${found.length} extents where there is one`)
    }
    times.push(((performance.now() - began) / 20_000) * 1000)
  }
  times.sort((a, b) => a - b)
  const each = (total) => (total / extents).toFixed(1)
  console.log(`${state}: ${each(bytes)} bytes each, ${each(counted)} counted, ${times[2].toFixed(2)} us to find one`)
}
