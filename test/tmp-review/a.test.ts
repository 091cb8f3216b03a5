import { expect, test } from 'vitest'
import { mount, CALLER, formatVolume } from '../vfs/world.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { StoreError } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'

test('unlinked, still referenced file whose data rides in a commit; unmount', async () => {
  const w = await mount()
  const made = await w.fs.create(CALLER, ROOT_INO, Buffer.from('f'), 0o644, { flags: 2 })
  const ino = made.entry.attributes.ino
  await w.fs.write(made.opened.handle, ino, 0, Buffer.alloc(4096, 1))
  await w.fs.fsync(made.opened.handle, ino, false)
  await w.fs.unlink(CALLER, ROOT_INO, Buffer.from('f'))
  // the kernel goes without RELEASE / FORGET (umount -l, abort of the connection)
  await w.unmount()
})

test('release after a heartbeat whose answer was lost', async () => {
  const store = await formatVolume()
  let mode = 'ok'
  const real = store.putIfMatch.bind(store)
  store.putIfMatch = async (key, body, etag, o) => {
    if (key.startsWith('writers/') && mode === 'lost-answer') {
      await real(key, body, etag, o)
      throw new StoreError('retryable', 'no answer')
    }
    return real(key, body, etag, o)
  }
  const w = await mount({ store })
  mode = 'lost-answer'
  await w.clock.advance(10_000)
  for (let i = 0; i < 20; i++) await w.clock.yield()
  mode = 'ok'
  await w.unmount()
})

test('after the slot is lost, reads and lookups', async () => {
  const store = await formatVolume()
  const w = await mount({ store })
  const made = await w.fs.create(CALLER, ROOT_INO, Buffer.from('f'), 0o644, { flags: 2 })
  const ino = made.entry.attributes.ino
  await w.fs.write(made.opened.handle, ino, 0, Buffer.alloc(4096, 1))
  await w.fs.sync()
  ;(w.database as any).lost('someone')
  const out: any = {}
  const t = async (n: string, f: () => unknown) => { try { await f(); out[n] = 'ok' } catch (e: any) { out[n] = e.code ?? String(e) } }
  await t('lookup', () => w.fs.lookup(CALLER, ROOT_INO, Buffer.from('f')))
  await t('getattr', () => w.fs.getattr(ino))
  await t('read', () => w.fs.read(made.opened.handle, ino, 0, 10))
  await t('write', () => w.fs.write(made.opened.handle, ino, 0, Buffer.alloc(10, 2)))
  await t('truncate', () => w.fs.setattr(CALLER, ino, { sizeBytes: 3 }))
  await t('mkdir', () => w.fs.mkdir(CALLER, ROOT_INO, Buffer.from('d'), 0o755))
  console.log(JSON.stringify(out))
})
