// Two mounts of one volume, the second by force; and a mount whose journal could not be written, that tries again.
import { renameSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { until } from './harness.ts'
import { ANOTHER_HOST, describeStores, STORE_KINDS, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

/** Writes and fsyncs a file; the status of the shell tells whether that was acknowledged. */
const writeAndFsync = (name: string) =>
  `python3 -c 'import os; f = os.open("${name}", os.O_CREAT | os.O_WRONLY); os.write(f, b"x"); os.fsync(f)'`

/** How messages name who holds a volume. */
const holder = (host: string, pid: number) =>
  new RegExp(`host ${host}, pid ${pid}, since \\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z`)
const takenOverBy = (pid: number) => new RegExp(`taken over \\(${holder(hostname(), pid).source}`)

describeStores('a volume taken over', (kind) => {
  test('is lost to the first mount: no fsync succeeds, then everything is EIO, and its log names the taker', async () => {
    const first = await volumes.create(kind, { mount: ['--lease', '3'] })
    await first.shell(`${writeAndFsync('before')}; mkdir d`)
    await first.sync()
    const refused = await first.tryMountElsewhere()
    expect(refused.status).toBe(1)
    expect(refused.stderr).toMatch(holder(hostname(), first.pid))
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
    expect(first.log()).toMatch(takenOverBy(second.pid))

    expect(await second.shell('ls')).toBe('before\nd\n')
    await second.shell(writeAndFsync('mine'))
    await second.unmount()
  })

  test('is lost to a mount on another host too, which learns it within the lease though nothing is asked', async () => {
    const volume = await volumes.create(kind, { mount: ['--lease', '3'] })
    await volume.unmount()
    const first = await volume.mountOnAnotherHost(`${writeAndFsync('before')}; mkdir d`)
    const refused = await volume.tryMountElsewhere()
    expect(refused.status).toBe(1)
    expect(refused.stderr).toMatch(holder(ANOTHER_HOST, first.pid))

    await volume.mount(['--take-over'])
    await until(() => takenOverBy(volume.pid).test(volume.log()), 'the first to learn that it lost the volume', 3000)
    for (const what of ['ls $MNT/d', 'touch $MNT/x', 'cat /dev/null > $MNT/before']) {
      const { status, stderr } = await first.run(what)
      expect(`${what}: ${status}`).not.toBe(`${what}: 0`)
      expect(stderr, what).toMatch(/Input\/output error/)
    }
    expect(await volume.shell('ls')).toBe('before\n')
    await volume.unmount()
  })
})

describeStores('a holder that died', (kind) => {
  test('on this host is followed at once', async () => {
    const volume = await volumes.create(kind, { mount: ['--lease', '3600'] })
    await volume.shell(writeAndFsync('kept'))
    await volume.crash()
    await volume.mount()
    expect(volume.log()).toContain('its lock file is free, not waiting for the lease')
    expect(await volume.shell('cat kept')).toBe('x')
    await volume.unmount()
  })

  test('on another host is followed after the lease', async () => {
    const volume = await volumes.create(kind, { mount: ['--lease', '3'] })
    await volume.unmount()
    const first = await volume.mountOnAnotherHost(writeAndFsync('kept'))
    await volume.killMarked()
    const began = performance.now()
    await volume.mount()
    expect(performance.now() - began).toBeGreaterThan(3000)
    expect(volume.log()).toMatch(holder(ANOTHER_HOST, first.pid))
    expect(volume.log()).toContain('for 3 s: taking the volume over')
    expect(await volume.shell('cat kept')).toBe('x')
    await volume.unmount()
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
  expect(failed.failure).toContain('the journal cannot be written')
  expect(failed.journal.unacknowledgedBytes, 'what is kept in memory').toBeGreaterThan(0)
  expect(await volume.cairnfs(['status', volume.mountpoint])).toMatch(/^failure +.*the journal cannot be written/m)
  expect(volume.log()).toMatch(/the mount is read-only now, and keeps in memory what is not yet durable/)
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
