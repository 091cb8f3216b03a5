#!/usr/bin/env node
// How many bytes a new file takes in memory until a checkpoint has written it: its dentry with the inode, and its row of
// PARENTS. Run `npm run build` before.
//
//   node --expose-gc scripts/change-memory.mjs [FILES] [BYTES OF A NAME]
import { OrderedChanges } from '../dist/tables/ordered-changes.js'
import { RecordArena } from '../dist/tables/record-arena.js'

const files = Number(process.argv[2] ?? 1_000_000)
const nameBytes = Number(process.argv[3] ?? 22)
/** Of an empty file: docs/FORMAT.md, section 9. */
const INODE_BYTES = 32
const held = () => {
  globalThis.gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

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

// Keys of names are hashes, inos ascend.
const dentry = measure('dentries', 2 + nameBytes + INODE_BYTES, () => Math.floor(Math.random() * 2 ** 45) * 256)
const parent = measure('rows of PARENTS', 16, (index) => 2 + index)
console.log(`${files} new files: ${(dentry + parent).toFixed(0)} bytes each`)
