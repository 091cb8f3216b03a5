// The local folder store: the contract, and what is its own: files on disk, crashed writers, odd folders.
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/platform/index.ts'
import { type ObjectStore, openLocalStore } from '../../src/store/index.ts'
import { expectKind, listAll, objectStoreConformance } from './conformance.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

let shared: TemporaryFolder
objectStoreConformance('local folder', {
  checksBodies: false,
  open: async () => {
    shared = await temporaryFolder()
    return openLocalStore({ path: shared.path })
  },
  remove: () => shared.remove(),
})

describe('a local folder store', () => {
  let folder: TemporaryFolder
  let store: ObjectStore
  beforeEach(async () => {
    folder = await temporaryFolder()
    store = await openLocalStore({ path: folder.path })
  })
  afterEach(async () => {
    await store.close()
    await folder.remove()
  })

  test('keeps an object as a file of exactly its bytes', async () => {
    await store.put('a/b', [Buffer.from('by'), Buffer.from('tes')])
    expect(await readFile(join(folder.path, 'a/b'), 'utf8')).toBe('bytes')
  })

  test('etags survive a restart', async () => {
    const etag = await store.put('a', [Buffer.from('x')])
    const again = await openLocalStore({ path: folder.path })
    expect((await again.head('a')).etag).toBe(etag)
    await again.putIfMatch('a', [Buffer.from('y')], etag)
  })

  test('the time in an etag is our own clock’s, to the microsecond, not the kernel’s', async () => {
    // The kernel's may stand still for 4 ms, in which ext4 gives the inode number of a replaced file away again.
    const clock = { ...systemClock, now: () => ({ sec: 1_700_000_000, nsec: 123_456_000 }) }
    const timed = await openLocalStore({ path: folder.path, clock })
    const etag = await timed.put('a', [Buffer.from('x')])
    const { mtimeNs } = await stat(join(folder.path, 'a'), { bigint: true })
    expect(Math.abs(Number(mtimeNs - 1_700_000_000_123_456_000n))).toBeLessThan(1000)
    expect(etag).toContain(mtimeNs.toString(36))
  })

  test('leaves nothing beside the objects when puts succeed, fail or lose', async () => {
    const etag = await store.put('a', [])
    await store.putIfAbsent('b', [])
    await store.putIfMatch('a', [], etag)
    await expectKind(store.putIfAbsent('b', []), 'precondition-failed')
    await expectKind(store.putIfMatch('a', [], etag), 'precondition-failed')
    await expectKind(store.put('a/below-an-object', []), 'fatal')
    expect((await readdir(join(folder.path, '.cairnfs'))).filter((name) => name !== 'lock')).toEqual([])
  })

  test('never lists what crashed writers left, and removes it a day later', async () => {
    const own = join(folder.path, '.cairnfs')
    await mkdir(own)
    await writeFile(join(own, 'tmp-1-old-1'), 'half')
    await writeFile(join(own, 'tmp-1-new-1'), 'half')
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400
    await utimes(join(own, 'tmp-1-old-1'), twoDaysAgo, twoDaysAgo)
    await utimes(join(own, 'tmp-1-new-1'), twoDaysAgo + 86_400 + 3600, twoDaysAgo + 86_400 + 3600)
    expect(await listAll(store, '', 1000)).toEqual([])
    await store.put('a', [])
    expect(await listAll(store, '', 1000)).toEqual(['a'])
    expect((await readdir(own)).sort()).toEqual(['lock', 'tmp-1-new-1'])
  })

  test('writes nothing while it is only read', async () => {
    await expectKind(store.get('a'), 'not-found')
    await store.list('')
    await store.head('a').catch(() => undefined)
    expect(await readdir(folder.path)).toEqual([])
  })

  test('a key cannot lie below an object, nor replace a folder', async () => {
    await store.put('a/b', [])
    await expectKind(store.put('a/b/c', []), 'fatal')
    await expectKind(store.put('a', []), 'fatal')
    await expectKind(store.putIfAbsent('a/b/c', []), 'fatal')
    expect(await listAll(store, '', 1000)).toEqual(['a/b'])
  })

  test('a folder that is removed while the store is open is made again by the next put', async () => {
    await store.put('a/b/c', [])
    await rm(join(folder.path, 'a'), { recursive: true })
    await store.put('a/b/c', [Buffer.from('again')])
    await rm(join(folder.path, 'a'), { recursive: true })
    await store.putIfAbsent('a/b/c', [Buffer.from('again')])
    expect((await store.get('a/b/c')).body.toString()).toBe('again')
  })

  test('ignores what is neither file nor folder', async () => {
    await store.put('a', [])
    await symlink('/', join(folder.path, 'link'))
    expect(await listAll(store, '', 1000)).toEqual(['a'])
  })

  test('a missing folder is no-bucket, unless it is to be created', async () => {
    const path = join(folder.path, 'deep/er')
    const error = await expectKind(openLocalStore({ path }), 'no-bucket')
    expect(error.message).toContain(path)
    const created = await openLocalStore({ path, create: true })
    await created.put('a', [])
    expect(await readdir(path)).toEqual(['.cairnfs', 'a'])
    await folder.remove()
    await expectKind(created.put('b', []), 'no-bucket', 'not-found')
    await expectKind((await openLocalStore({ path: '/dev', name: 'x' })).get('null'), 'not-found')
  })

  test('a folder that cannot be created says so at once', async () => {
    await expectKind(openLocalStore({ path: '/proc/nowhere/x', create: true }), 'fatal')
  })

  test.skipIf(process.getuid?.() === 0)(
    'a folder without permission is denied (needs a user who is not root)',
    async () => {
      await chmod(folder.path, 0o500)
      await expectKind(store.put('a', []), 'denied')
    },
  )
})
