#!/usr/bin/env node
// How many bytes changes take in memory until a checkpoint has written them: those of a new file (its dentry with the inode,
// and its row of PARENTS), and those of a new directory with one file, a table of its own. Run `npm run build` before.
//
//   node --expose-gc scripts/change-memory.mjs [FILES] [BYTES OF A NAME]
import { Engine, EngineTransaction } from '../dist/tables/engine.js'
import { OrderedChanges } from '../dist/tables/ordered-changes.js'
import { RecordArena } from '../dist/tables/record-arena.js'

const files = Number(process.argv[2] ?? 1_000_000)
const nameBytes = Number(process.argv[3] ?? 22)
/** Of an empty file: docs/FORMAT.md, section 9. */
const INODE_BYTES = 32
const DENTRY_BYTES = 2 + nameBytes + INODE_BYTES
/** The buffers of what a collection found are freed by the next. */
const held = () => {
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
const hashed = () => Math.floor(Math.random() * 2 ** 45) * 256

const kept = []

function measure(title, recordBytes, keyOf) {
  const before = held()
  const arena = new RecordArena()
  const changes = new OrderedChanges(arena)
  kept.push(changes)
  const record = Buffer.alloc(recordBytes, 1)
  for (let index = 0; index < files; index++) changes.set(keyOf(index), record)
  const bytes = (held() - before) / files
  console.log(`${title}: ${bytes.toFixed(0)} bytes each, ${(arena.usedBytes / files).toFixed(0)} of them records`)
  return bytes
}

/** Tables with so many dentries besides ".", through an engine whose commits go nowhere. */
function measureTables(dentries) {
  const tables = Math.ceil(files / 10)
  const before = held()
  const engine = new Engine({ cache: null, segments: null, clock: { monotonicMs: () => 0 }, kinds: [KIND] })
  engine.journal = { failure: null, closedSeq: 1, close: async () => {} }
  kept.push(engine)
  const dot = Buffer.alloc(INODE_BYTES, 1)
  const dentry = Buffer.alloc(DENTRY_BYTES, 1)
  for (let owner = 1; owner <= tables; owner++) {
    const made = new EngineTransaction()
    made.put(KIND.kind, owner, 0, dot)
    engine.apply(made)
    for (let index = 0; index < dentries; index++) {
      const filled = new EngineTransaction()
      filled.put(KIND.kind, owner, hashed(), dentry)
      engine.apply(filled)
    }
  }
  const counted = engine.openCommitBytes + engine.changeBytes
  const open = held() - before
  const countedAfter = engine.changeBytes
  engine.commit()
  const after = held() - before
  const each = (bytes) => (bytes / tables).toFixed(0)
  console.log(
    `directories of ${dentries} files: ${each(open)} bytes each until the commit is closed, ${each(counted)} counted; ` +
      `${each(after)} after, ${each(countedAfter)} counted`,
  )
}
const KIND = { kind: 1, groupBits: 8, perOwner: true }

for (const dentries of [0, 1, 10]) measureTables(dentries)
// Keys of names are hashes, inos ascend.
const dentry = measure('dentries', DENTRY_BYTES, hashed)
const parent = measure('rows of PARENTS', 16, (index) => 2 + index)
console.log(`${files} new files: ${(dentry + parent).toFixed(0)} bytes each`)
