// Two mounts of one volume: the second is refused, takes it by force, or follows a holder that died.
import { hostname } from 'node:os'
import { afterEach, expect, test } from 'vitest'
import { until } from './harness.ts'
import { ANOTHER_HOST, describeStores, Volumes, writeAndFsync } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

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
    // What the first has not synced is still unsynced when it loses the volume.
    const volume = await volumes.create(kind, { mount: ['--lease', '3', '--commit', '600'] })
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
