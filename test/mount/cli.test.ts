// The commands on a real mount of a local folder: going to the background, the end in all its ways, the barrier, status.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { findMount } from '../../src/fuse/index.ts'
import { type BuiltProgram, buildProgram, isRunning, LocalVolume, untilEnded } from '../cli/built-program.ts'
import { MountHarness, until } from './harness.ts'

const harness = new MountHarness()
let program: BuiltProgram

beforeAll(() => {
  program = buildProgram()
})
afterEach(() => harness.cleanUp())
afterAll(() => program.remove())

async function formatted(args?: string): Promise<LocalVolume> {
  const volume = new LocalVolume(harness, program)
  await volume.format(args)
  return volume
}

describe('cairnfs mount', () => {
  it('returns once the mount answers, shows the store to the letter, and leaves nothing after umount', async () => {
    const volume = await formatted()
    expect(await volume.mount()).toBe('')
    const entry = findMount(volume.mountpoint)
    expect(entry).toMatchObject({ source: volume.store, type: 'fuse.cairnfs' })
    expect(entry?.options).not.toContain('nosuid')
    await harness.shell('echo hello > a && mkdir d && seq 100000 > d/numbers', { cwd: volume.mountpoint })
    const { pid } = await volume.status()
    expect(isRunning(pid)).toBe(true)
    await volume.umount()
    expect(isRunning(pid)).toBe(false)
    expect(volume.leftOvers()).toEqual([])
    await volume.mount()
    expect(await harness.shell('cat a; tail -n 1 d/numbers', { cwd: volume.mountpoint })).toBe('hello\n100000\n')
    await volume.umount()
  })

  it('has threads and memory enough, in the background and in front, and does not know its daemon mark', async () => {
    const volume = await formatted()
    await volume.mount()
    const environment = (pid: number) => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    const nodeOptions = (pid: number) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        .split('\0')
        .filter((argument) => argument.includes('-size='))
    const background = await volume.status()
    expect(environment(background.pid)).toContain('UV_THREADPOOL_SIZE=16')
    expect(nodeOptions(background.pid)).toEqual(['--max-semi-space-size=32', '--v8-pool-size=1'])
    await volume.umount()
    const server = harness.serve('bash', [
      '-c',
      `unset UV_THREADPOOL_SIZE; export NODE_OPTIONS=--max_semi_space_size=24; exec ${program.cairnfs} mount -f ${volume.store} ${volume.mountpoint}`,
    ])
    await until(() => findMount(volume.mountpoint) !== undefined, 'the mount')
    const front = await volume.status()
    expect(front.pid).toBe(server.pid)
    expect(environment(front.pid)).toContain('UV_THREADPOOL_SIZE=16')
    // What the user has set himself stays.
    expect(nodeOptions(front.pid)).toEqual(['--v8-pool-size=1'])
    server.kill('SIGINT')
    expect(await server.exited()).toBe(0)
    expect(volume.leftOvers()).toEqual([])
  })

  it('refuses a second writer with host, pid and since when, and waits for one that is leaving', async () => {
    const volume = await formatted()
    await volume.mount()
    await harness.shell('seq 1000000 > numbers', { cwd: volume.mountpoint })
    const { pid } = await volume.status()
    const second = harness.mountpoint('second')
    const refused = await volume.tryCairnfs(`mount ${volume.store} ${second}`)
    expect(refused.status).toBe(1)
    expect(refused.stderr).toMatch(new RegExp(`host .*, pid ${pid}, since .* at ${volume.mountpoint}`))
    await harness.shell(`umount ${volume.mountpoint} && ${program.cairnfs} mount ${volume.store} ${second}`)
    expect(isRunning(pid)).toBe(false)
    expect(await harness.shell('tail -n 1 numbers', { cwd: second })).toBe('1000000\n')
    await volume.cairnfs(`umount ${second}`)
    expect(volume.leftOvers()).toEqual([])
  })

  it('takes over at once, on the same host, from a daemon that was killed, and repairs its mount', async () => {
    const volume = await formatted()
    await volume.mount()
    await harness.shell('echo kept > kept && sync kept', { cwd: volume.mountpoint })
    const { pid } = await volume.status()
    process.kill(pid, 'SIGKILL')
    await untilEnded(pid)
    expect(existsSync(volume.lockFile)).toBe(true)
    const { durationMs } = await volume.tryCairnfs(`mount ${volume.store} ${volume.mountpoint}`)
    expect(durationMs).toBeLessThan(10_000)
    expect(await harness.shell('cat kept', { cwd: volume.mountpoint })).toBe('kept\n')
    await volume.umount()
    expect(volume.leftOvers()).toEqual([])
  })

  it('mounts read-only beside a writer, takes no slot, and refuses changes', async () => {
    const volume = await formatted()
    await volume.mount()
    await harness.shell(`echo seen > seen && ${program.cairnfs} sync .`, { cwd: volume.mountpoint })
    const epoch = volume.slot().epoch
    const reader = harness.mountpoint('reader')
    await volume.cairnfs(`mount -o ro ${volume.store} ${reader}`)
    expect(await harness.shell('cat seen', { cwd: reader })).toBe('seen\n')
    expect((await harness.run('touch x', { cwd: reader })).stderr).toContain('Read-only file system')
    await volume.cairnfs(`umount ${reader}`)
    expect(volume.slot().epoch).toBe(epoch)
    await volume.umount()
  })
})

describe('the end of a mount', () => {
  it('stays mounted while a program uses it, and says how to find that program', async () => {
    const volume = await formatted()
    await volume.mount()
    const busy = await harness.run(`exec 9< . && ${program.cairnfs} umount ${volume.mountpoint}`, {
      cwd: volume.mountpoint,
    })
    expect(busy.status).toBe(1)
    expect(busy.stderr).toContain(`fuser -vm ${volume.mountpoint}`)
    expect(busy.stderr.trimEnd()).not.toContain('\n')
    expect(findMount(volume.mountpoint)).toBeDefined()
    await volume.umount()
    expect(volume.leftOvers()).toEqual([])
  })

  it('gives up what is dirty when forced, and says how many bytes', async () => {
    const volume = await formatted()
    await volume.mount('--commit 600')
    await harness.shell('head -c 1234567 /dev/zero > lost', { cwd: volume.mountpoint })
    const { pid, dirtyBytes } = await volume.status()
    expect(dirtyBytes).toBeGreaterThanOrEqual(1234567)
    const forced = await volume.tryCairnfs(`umount --force ${volume.mountpoint}`)
    expect(forced.status).toBe(0)
    expect(Number(/\((\d+) bytes\)/.exec(forced.stderr)?.[1])).toBeGreaterThanOrEqual(1234567)
    expect(isRunning(pid)).toBe(false)
    expect(findMount(volume.mountpoint)).toBeUndefined()
    await volume.mount()
    expect(await harness.shell('ls', { cwd: volume.mountpoint })).toBe('')
    await volume.umount()
  })

  it('writes everything when umount(8) or SIGTERM ends it', async () => {
    const volume = await formatted()
    for (const [round, end] of ['umount', 'SIGTERM'].entries()) {
      await volume.mount('-o commit=600')
      await harness.shell(`seq 100000 > file-${round}`, { cwd: volume.mountpoint })
      const { pid } = await volume.status()
      if (end === 'SIGTERM') process.kill(pid, 'SIGTERM')
      else await harness.shell(`umount ${volume.mountpoint}`)
      await untilEnded(pid)
      expect(volume.leftOvers()).toEqual([])
    }
    await volume.mount()
    expect(await harness.shell('tail -qn 1 file-*', { cwd: volume.mountpoint })).toBe('100000\n100000\n')
    await volume.umount()
  })

  it('ends on a second SIGTERM after 5 s though a program uses it, and loses nothing that was committed', async () => {
    const volume = await formatted()
    await volume.mount('--commit 0.1')
    await harness.shell('echo committed > committed', { cwd: volume.mountpoint })
    const { pid } = await volume.status()
    const user = harness.serve('bash', ['-c', `cd ${volume.mountpoint} && echo '{"inside":true}' && exec sleep 60`])
    await user.message('inside')
    const began = performance.now()
    const ended = () => !isRunning(pid)
    while (!ended() && performance.now() - began < 20_000) {
      process.kill(pid, 'SIGTERM')
      await until(() => ended() || (performance.now() - began) % 1000 > 900, 'the next second')
    }
    const tookMs = performance.now() - began
    expect(tookMs).toBeGreaterThan(5_000)
    expect(tookMs).toBeLessThan(12_000)
    user.kill('SIGKILL')
    await volume.mount()
    expect(await harness.shell('cat committed', { cwd: volume.mountpoint })).toBe('committed\n')
    await volume.umount()
  })
})

describe('cairnfs status and sync', () => {
  it('fail where what they print is lost, but not where nobody reads on', async () => {
    const lost = await harness.run(`${program.cairnfs} --help >/dev/full`)
    expect(lost).toMatchObject({ status: 1, stderr: expect.stringMatching(/^cairnfs: standard output .*ENOSPC.*\n$/) })
    const cut = await harness.run(`set -o pipefail; ${program.cairnfs} --help | true`)
    expect(cut).toMatchObject({ status: 0, stderr: '' })
  })

  it('tells what programs ask for, and counts requests that were sent', async () => {
    const volume = await formatted()
    await volume.mount('--commit 600')
    await harness.shell('seq 100000 > numbers', { cwd: volume.mountpoint })
    const before = await volume.status()
    expect(before).toMatchObject({ store: volume.store, mountpoint: volume.mountpoint, readOnly: false, failure: null })
    expect(before.dirtyBytes).toBeGreaterThan(500_000)
    await volume.cairnfs(`sync ${volume.mountpoint}`)
    const after = await volume.status()
    expect(after.dirtyBytes).toBe(0)
    const requests = (status: Record<string, unknown>) => status.requests as Record<string, number>
    expect(Object.keys(requests(after)).sort()).toEqual(['delete', 'get', 'head', 'list', 'put'])
    expect(requests(after).put! - requests(before).put!).toBeGreaterThanOrEqual(1)
    expect(await volume.cairnfs(`status ${volume.mountpoint}`)).toMatch(/^volume +store \(/)
    await volume.umount()
  })

  it('does not touch a hung mount: status says so in time, and umount --force gets rid of it', async () => {
    const volume = await formatted()
    await volume.mount()
    const { pid } = await volume.status()
    process.kill(pid, 'SIGSTOP')
    try {
      const asked = await volume.tryCairnfs(`status ${volume.mountpoint}`, { timeoutMs: 30_000 })
      expect(asked).toMatchObject({ status: 1, timedOut: false })
      expect(asked.stderr).toContain('does not answer')
      const forced = await volume.tryCairnfs(`umount --force ${volume.mountpoint}`, { timeoutMs: 30_000 })
      expect(forced).toMatchObject({ status: 1, timedOut: false })
      expect(findMount(volume.mountpoint)).toBeUndefined()
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await untilEnded(pid)
  })

  it('keeps its socket and its lock to itself', async () => {
    const volume = await formatted()
    await volume.mount()
    const { majorMinor } = findMount(volume.mountpoint)!
    expect(statSync(`/run/cairnfs/${majorMinor.replace(':', '-')}.sock`).mode & 0o777).toBe(0o600)
    expect(statSync('/run/cairnfs').mode & 0o777).toBe(0o700)
    expect(statSync(volume.lockFile).mode & 0o777).toBe(0o600)
    await volume.umount()
  })
})
