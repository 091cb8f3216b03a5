// A mount whose journal cannot be written: read-only, keeping what it has, saying so, and failing every fsync, until it is
// resumed.
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../s3/fault-proxy.ts'
import { minio } from '../s3/minio.ts'
import { describeStores, type StoreKind, type TestStore, Volumes, writeAndFsync } from './volume-fixture.ts'

const volumes = new Volumes()
let proxy: FaultProxy | null = null
afterEach(async () => {
  await volumes.cleanUp()
  await proxy?.close()
  proxy = null
})

/** The same store, where puts can be made to fail. */
function breakable(kind: StoreKind): StoreKind {
  return {
    ...kind,
    create: async (harness) => {
      const store = await kind.create(harness)
      if (store.name.startsWith('file:')) return store
      proxy = await startFaultProxy(minio!.endpoint)
      const options = store.options.map((option) => (option === minio!.endpoint ? proxy!.endpoint : option))
      expect(options).not.toEqual(store.options)
      return { ...store, options }
    },
  }
}

/** From now on nothing can be put into the journal. Returns what ends that. */
function breakJournal(store: TestStore): () => void {
  if (proxy !== null) {
    const denying = proxy.inject('denied', {
      matches: ({ method, path }) => method === 'PUT' && path.includes('/journal/'),
    })
    return () => denying.stop()
  }
  const folder = store.name.replace('file://', '')
  // A file where the journal's folder was.
  renameSync(join(folder, 'journal'), join(folder, 'away'))
  writeFileSync(join(folder, 'journal'), '')
  return () => {
    renameSync(join(folder, 'journal'), join(folder, 'file'))
    renameSync(join(folder, 'away'), join(folder, 'journal'))
  }
}

describeStores('a mount whose journal cannot be written', (kind) => {
  test('is read-only, keeps what it has, says so, fails every fsync, and resumes', async () => {
    const volume = await volumes.create(breakable(kind))
    await volume.shell(writeAndFsync('before'))
    const mend = breakJournal(volume.store)

    const fsyncs = await volume.shell(`python3 -c '
import os
f = os.open("kept", os.O_CREAT | os.O_WRONLY)
os.write(f, b"x")
for _ in range(3):
    try:
        os.fsync(f)
        print("acknowledged")
    except OSError as error:
        print(error.errno)'`)
    expect(fsyncs).toBe('5\n5\n5\n')
    expect((await volume.run('touch other')).stderr).toContain('Read-only file system')
    expect(await volume.shell('cat before kept')).toBe('xx')
    const failed = await volume.status()
    expect(failed.failure).toContain('the journal cannot be written')
    expect(failed.journal.unacknowledgedBytes, 'what is kept in memory').toBeGreaterThan(0)
    expect(await volume.cairnfs(['status', volume.mountpoint])).toMatch(/^failure +.*the journal cannot be written/m)
    expect(volume.log()).toMatch(/the mount is read-only now, and keeps in memory what is not yet durable/)
    await expect(volume.cairnfs(['resume', volume.mountpoint])).rejects.toThrow()
    const fsyncOfRoot = await volume.run('python3 -c \'import os; os.fsync(os.open(".", 0))\'')
    expect(fsyncOfRoot.stderr).toContain('Errno 5')

    mend()
    expect(await volume.cairnfs(['resume', volume.mountpoint])).toContain('takes changes again')
    expect((await volume.status()).failure).toBeNull()
    await volume.shell(writeAndFsync('after'))
    await volume.crash()
    await volume.mount()
    expect(await volume.shell('cat kept before after')).toBe('xxx')
    await volume.unmount()
  })
})
