// Requests with nobody who waits for them: they are answered as the kernel's are, and leave no reference behind.
import { expect, test } from 'vitest'
import { Rehearsal } from '../../src/fuse/index.ts'
import { Registry } from '../../src/observe/index.ts'
import { systemClock } from '../../src/platform/index.ts'
import type { Ino } from '../../src/vfs/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'

const ROOT = 1 as Ino
const CALLER = { uid: 0, gid: 0, pid: 0 }
const FILES = 3000

test('a listing ends also where the end is told quietly, as the cache of a kernel would end with a full page', async () => {
  const filesystem = new MemoryFilesystem(() => ({ sec: 0, nsec: 0 }))
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const rehearsal = new Rehearsal(filesystem, { log, registry: new Registry() }, systemClock)
  await rehearsal.begin()
  // With "." and "..": 4096 bytes of 32 each.
  for (let index = 0; index < 126; index++) await filesystem.mkdir(CALLER, ROOT, Buffer.from(`d${index}`), 0o755)
  expect(await rehearsal.list(ROOT)).toBe(128)
})

test('a directory is listed from its beginning to its end, as often as is asked, and names are looked up', async () => {
  const filesystem = new MemoryFilesystem(() => ({ sec: 0, nsec: 0 }))
  for (let index = 0; index < FILES; index++) {
    const { ino } = (await filesystem.mkdir(CALLER, ROOT, Buffer.from(`d${index}`), 0o755)).attributes
    filesystem.forget(ino, 1)
  }
  const logged: string[] = []
  const note = (_fields: object, message: string) => {
    logged.push(message)
  }
  const log = { debug: note, info: note, warn: note, error: note }
  const registry = new Registry()
  const rehearsal = new Rehearsal(filesystem, { log, registry }, systemClock)
  await rehearsal.begin()
  for (let listing = 0; listing < 3; listing++) expect(await rehearsal.list(ROOT)).toBe(FILES + 2)
  await rehearsal.lookup(ROOT, 'd17')
  await rehearsal.lookup(ROOT, 'missing')
  expect(registry.counter('fuse.lookups_found').value).toBe(1)
  expect(registry.counter('fuse.lookups_missing').value).toBe(1)
  expect(filesystem.violations).toEqual([])
  // Nodes that somebody refers to would stay.
  for (let index = 0; index < FILES; index++) await filesystem.rmdir(CALLER, ROOT, Buffer.from(`d${index}`))
  expect(filesystem.inodeCount).toBe(1)
})
