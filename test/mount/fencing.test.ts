// Two mounts of one volume, the second by force; and a mount whose journal could not be written, that tries again.
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { describeStores, STORE_KINDS, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

/** Writes and fsyncs a file; the status of the shell tells whether that was acknowledged. */
const writeAndFsync = (name: string) =>
  `python3 -c 'import os; f = os.open("${name}", os.O_CREAT | os.O_WRONLY); os.write(f, b"x"); os.fsync(f)'`

describeStores('a volume taken over', (kind) => {
  test('is lost to the first mount: no fsync succeeds, then everything is EIO, and its log names the taker', async () => {
    const first = await volumes.create(kind, { mount: ['--lease', '3'] })
    await first.shell(`${writeAndFsync('before')}; mkdir d`)
    await first.sync()
    const refused = await first.tryMountElsewhere()
    expect(refused.status).toBe(1)
    expect(refused.stderr).toContain(`pid ${first.pid}`)
    expect(refused.stderr).toContain('--take-over')

    const second = await first.mountElsewhere(['--take-over'])
    const fsynced = await first.run(writeAndFsync('after'))
    expect(fsynced.status).not.toBe(0)
    expect(fsynced.stderr).toContain('Errno 5')
    for (const what of ['ls d', 'touch x', 'cat /dev/null > before']) {
      const { status, stderr } = await first.run(what)
      expect(`${what}: ${status}`).not.toBe(`${what}: 0`)
      expect(stderr, what).toContain('Input/output error')
    }
    expect((await first.status()).failure).toContain('taken over')
    expect(first.log()).toContain(`pid ${second.pid}`)

    expect(await second.shell('ls')).toBe('before\nd\n')
    await second.shell(writeAndFsync('mine'))
    await second.unmount()
  })
})

test('a mount whose journal cannot be written is read-only, fails every fsync, and resumes (needs root)', async (context) => {
  if (process.geteuid!() !== 0) return context.skip('root only: /dev/fuse and foreign owners need it')
  const volume = await volumes.create(STORE_KINDS[0]!)
  await volume.shell(`${writeAndFsync('before')}`)
  const folder = volume.store.name.replace('file://', '')
  // A file where the journal's folder was: nothing can be put there.
  renameSync(join(folder, 'journal'), join(folder, 'away'))
  writeFileSync(join(folder, 'journal'), '')

  for (const _ of [1, 2, 3]) expect((await volume.run(writeAndFsync('kept'))).status).not.toBe(0)
  expect((await volume.run('touch other')).stderr).toContain('Read-only file system')
  expect(await volume.shell('cat before')).toBe('x')
  const failed = await volume.status()
  expect(failed.failure).not.toBeNull()
  await expect(volume.cairnfs(['resume', volume.mountpoint])).rejects.toThrow()
  expect((await volume.run('python3 -c \'import os; os.fsync(os.open(".", 0))\'')).status).not.toBe(0)

  renameSync(join(folder, 'journal'), join(folder, 'file'))
  renameSync(join(folder, 'away'), join(folder, 'journal'))
  expect(await volume.cairnfs(['resume', volume.mountpoint])).toContain('takes changes again')
  expect((await volume.status()).failure).toBeNull()
  await volume.shell(writeAndFsync('after'))
  await volume.crash()
  await volume.mount()
  expect(await volume.shell('cat kept before after')).toBe('xxx')
  await volume.unmount()
})
