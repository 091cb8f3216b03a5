// What the local store has synced, and when: seen by watching every fsync that this process makes. That it is enough when
// the power is cut is shown in test/simulation/; here that the calls are made on real files, and no more often than needed.
import { type FileHandle, mkdir, open, readFile, readlink, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { type Disk, type ObjectStore, openLocalStore, withRetry } from '../../src/store/index.ts'
import { nodeDisk } from '../../src/store/local-disk.ts'
import { expectKind } from './conformance.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'
import { createVirtualClock } from './virtual-clock.ts'

let folder: TemporaryFolder
let store: ObjectStore
/** What was synced, in order: paths relative to the store, '' for its own folder, `tmp` for a temporary file. */
let synced: string[]
/** Called before each fsync. */
let beforeSync: (path: string) => Promise<void>

beforeEach(async () => {
  folder = await temporaryFolder()
  store = await openLocalStore({ path: folder.path })
  synced = []
  beforeSync = async () => undefined
  const handle = await open(folder.path, 'r')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const sync = prototype.sync
  vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    const path = relative(folder.path, await readlink(`/proc/self/fd/${this.fd}`))
    const name = path.startsWith('.cairnfs/tmp-') ? 'tmp' : path
    await beforeSync(name)
    await sync.call(this)
    synced.push(name)
  })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await folder.remove()
})

const since = () => synced.splice(0).sort()

test('a put syncs the file, its folder and each new parent, once; later ones the file and its folder', async () => {
  await store.put('a/b/c', [Buffer.from('x')])
  expect(since()).toEqual(['', 'a', 'a/b', 'tmp'])
  await store.put('a/b/d', [])
  expect(since()).toEqual(['a/b', 'tmp'])
  await store.putIfAbsent('a/b/e', [])
  expect(since()).toEqual(['a/b', 'tmp'])
  await store.putIfMatch('a/b/e', [Buffer.from('y')], (await store.head('a/b/e')).etag)
  expect(since()).toEqual(['a/b', 'tmp'])
  await store.put('a/x', [])
  expect(since()).toEqual(['a', 'tmp'])
})

test('parents that another process made are synced too: it may not have come to that', async () => {
  await store.put('a/b/c', [])
  since()
  const other = await openLocalStore({ path: folder.path })
  await other.put('a/b/d', [])
  expect(since()).toEqual(['', 'a', 'a/b', 'tmp'])
})

test('folders that were removed and made again are synced again', async () => {
  await store.put('a/b/c', [])
  since()
  await rm(join(folder.path, 'a'), { recursive: true })
  await store.put('a/b/c', [])
  expect(since()).toEqual(['', 'a', 'a/b', 'tmp'])
})

test('the content is synced before the key names it', async () => {
  await store.put('a', [Buffer.from('old')])
  beforeSync = async (path) => {
    if (path === 'tmp') expect(await readFile(join(folder.path, 'a'), 'utf8')).toBe('old')
    if (path === '') expect(await readFile(join(folder.path, 'a'), 'utf8')).toBe('new')
  }
  await store.put('a', [Buffer.from('new')])
  expect(synced).toEqual(['tmp', '', 'tmp', ''])
})

test('a delete syncs each folder that there is, once', async () => {
  for (const key of ['a/1', 'a/2', 'b/1', 'c/1']) await store.put(key, [])
  since()
  await store.delete(['a/1', 'a/2', 'b/1', 'b/missing', 'd/missing'])
  expect(since()).toEqual(['a', 'b'])
})

test('a delete of what is gone syncs too: whoever removed it may not have come to that', async () => {
  await store.put('a/x', [])
  since()
  beforeSync = async () => {
    beforeSync = async () => undefined
    throw Object.assign(new Error('EIO: planted'), { code: 'EIO' })
  }
  await expectKind(store.delete(['a/x']), 'retryable')
  await store.delete(['a/x'])
  expect(since()).toEqual(['a'])
})

test('what is listed is synced: who made it may have died before that', async () => {
  await store.put('a/b/c', [])
  await store.put('a/d', [])
  since()
  const other = await openLocalStore({ path: folder.path })
  await other.list('a/')
  expect(since()).toEqual(['', 'a', 'a', 'a/b'])
  await other.list('a/b/')
  expect(since()).toEqual(['a/b'])
})

test('a folder that is created is synced with all above it, also when it is there already', async () => {
  const path = join(folder.path, 'new/er')
  await openLocalStore({ path, create: true })
  expect(since()).toEqual(expect.arrayContaining(['', 'new', '..']))
  await openLocalStore({ path, create: true })
  expect(since()).toEqual(expect.arrayContaining(['', 'new', '..']))
})

test('a folder is created below one that does not let itself be read', async () => {
  const open: Disk['open'] = async (path, flags) => {
    if (path === folder.path) throw Object.assign(new Error('EACCES: planted'), { code: 'EACCES' })
    return nodeDisk.open(path, flags)
  }
  const path = join(folder.path, 'there')
  await mkdir(path)
  const created = await openLocalStore({ path, create: true, disk: { ...nodeDisk, open } })
  await created.put('a', [])
})

test('a conditional put that finds its own first try has synced its folder before it says so', async () => {
  const retried = withRetry(store, { clock: createVirtualClock(), random: seededRandom(1) })
  const etag = await store.put('a/x', [Buffer.from('1')])
  const puts = [
    () => retried.putIfAbsent('a/y', [Buffer.from('2')]),
    () => retried.putIfMatch('a/x', [Buffer.from('2')], etag),
  ]
  for (const put of puts) {
    let failures = 1
    beforeSync = async (path) => {
      if (path === 'a' && failures-- > 0) throw Object.assign(new Error('EIO: planted'), { code: 'EIO' })
    }
    since()
    expect((await expectKind(put(), 'precondition-failed')).ambiguous).toBe(true)
    expect(since()).toContain('a')
  }
})

test('concurrent puts share the syncs of their folder, each by one that began after its name was there', async () => {
  await store.put('a/0', [])
  since()
  const present = new Set<string>()
  beforeSync = async (path) => {
    if (path !== 'a') return
    const { readdirSync } = await import('node:fs')
    for (const name of readdirSync(join(folder.path, 'a'))) present.add(`a/${name}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await Promise.all(
    Array.from({ length: 16 }, async (_, i) => {
      await store.put(`a/${i}`, [Buffer.from('x')])
      expect(present.has(`a/${i}`)).toBe(true)
    }),
  )
  const folderSyncs = since().filter((path) => path === 'a').length
  expect(folderSyncs).toBeLessThan(10)
})

test('a write that the kernel takes only a part of goes on where it stopped', async () => {
  const handle = await open(folder.path, 'r')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const writev = prototype.writev
  vi.spyOn(prototype, 'writev').mockImplementation(async function (this: FileHandle, parts) {
    const first = Buffer.from(parts.find((part) => part.byteLength > 0) as Uint8Array)
    return await writev.call(this, [first.subarray(0, 3)])
  })
  await store.put('a', [Buffer.from('0123'), Buffer.alloc(0), Buffer.from('456789'), Buffer.from('ab')])
  expect(await readFile(join(folder.path, 'a'), 'utf8')).toBe('0123456789ab')
})
