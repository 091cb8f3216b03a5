// mount(8), umount(8) and fstab with the helpers in place, and the helpers' own arguments. Everything that needs /sbin
// runs in a mount namespace of its own, with an overlay over it: nothing is installed on this machine.
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type BuiltProgram, buildProgram, LocalVolume } from '../cli/built-program.ts'
import { MountHarness, type RunOptions, type RunResult, shellQuote } from './harness.ts'

const harness = new MountHarness()
let program: BuiltProgram

beforeAll(() => {
  program = buildProgram()
})
afterEach(() => harness.cleanUp())
afterAll(() => program.remove())

/** Runs a script where the helpers are installed. What it mounts is seen there alone. */
function withHelpers(script: string, options?: RunOptions): Promise<RunResult> {
  const layers = harness.folder()
  const setUp = [
    `mount -t tmpfs none ${layers}`,
    `mkdir ${layers}/upper ${layers}/work`,
    `mount -t overlay -o lowerdir=/usr/sbin,upperdir=${layers}/upper,workdir=${layers}/work none /usr/sbin`,
    `${program.cairnfs} install-helper`,
  ].join(' && ')
  return harness.run(`unshare -m bash -c ${shellQuote(`set -e; ${setUp}\n${script}`)}`, options)
}

async function formatted(): Promise<LocalVolume> {
  const volume = new LocalVolume(harness, program)
  await volume.format()
  return volume
}

describe('cairnfs install-helper', () => {
  it('writes executable scripts with absolute paths, again if asked, and takes them away', async () => {
    const prefix = harness.folder()
    const names = ['mount.cairnfs', 'mount.fuse.cairnfs', 'umount.fuse.cairnfs']
    for (const _ of [1, 2]) await harness.shell(`${program.cairnfs} install-helper --prefix ${prefix}`)
    for (const name of names) {
      const path = join(prefix, 'sbin', name)
      expect(statSync(path).mode & 0o777).toBe(0o755)
      expect(readFileSync(path, 'utf8')).toMatch(/^#!\/bin\/sh\n# .*\nexec '\/.*node' '\/.*\/mount-helper\.js'/)
    }
    await harness.shell(`${program.cairnfs} install-helper --remove --prefix ${prefix}`)
    for (const name of names) expect(existsSync(join(prefix, 'sbin', name))).toBe(false)
    await harness.shell(`${program.cairnfs} install-helper --remove --prefix ${prefix}`)
  })

  it('neither overwrites nor removes what it did not write', async () => {
    const prefix = harness.folder()
    const foreign = join(prefix, 'sbin/mount.fuse.cairnfs')
    mkdirSync(join(prefix, 'sbin'))
    writeFileSync(foreign, '#!/bin/sh\nexit 0\n')
    for (const flag of ['', '--remove']) {
      const result = await harness.run(`${program.cairnfs} install-helper ${flag} --prefix ${prefix}`)
      expect(result).toMatchObject({ status: 1, stdout: '' })
      expect(result.stderr).toContain(foreign)
    }
    expect(readFileSync(foreign, 'utf8')).toContain('exit 0')
    expect(existsSync(join(prefix, 'sbin/mount.cairnfs'))).toBe(false)
  })
})

describe('mount(8) and umount(8)', () => {
  it.each(['cairnfs', 'fuse.cairnfs'])('-t %s mounts without a word; umount waits for the daemon', async (type) => {
    const volume = await formatted()
    const result = await withHelpers(`
      mount -t ${type} ${volume.store} ${volume.mountpoint} -o rw,noatime,_netdev,nofail,commit=2 2>&1
      grep ' ${volume.mountpoint} ' /proc/self/mountinfo
      echo hello > ${volume.mountpoint}/hello
      umount ${volume.mountpoint} 2>&1
      pgrep -f '[m]ount-helper.js ${volume.store}' || echo gone`)
    expect(result.stderr).toBe('')
    expect(result.stdout).toMatch(
      new RegExp(`^\\d+ .* ${volume.mountpoint} rw,noatime - fuse\\.cairnfs ${volume.store} rw,.*\\ngone\\n$`),
    )
    expect(volume.leftOvers()).toEqual([])
    expect(readFileSync('/run/mount/utab', { encoding: 'utf8', flag: 'a+' })).not.toContain(volume.mountpoint)
  })

  it('fstab lines work, with options for us, for the kernel and for mount(8)', async () => {
    const volume = await formatted()
    const fstab = join(harness.folder(), 'fstab')
    writeFileSync(
      fstab,
      `${volume.store} ${volume.mountpoint} cairnfs ro,noexec,_netdev,nofail,x-systemd.idle-timeout=60,log_level=debug 0 0\n`,
    )
    const result = await withHelpers(`
      mount --fstab ${fstab} ${volume.mountpoint}
      grep ' ${volume.mountpoint} ' /proc/self/mountinfo
      ${program.cairnfs} status ${volume.mountpoint} | grep read-only
      umount ${volume.mountpoint}`)
    expect(result.stderr).toBe('')
    expect(result.stdout).toMatch(/ ro,noexec,.* - fuse\.cairnfs .*\nmounted .*read-only\n$/)
  })

  it('umount fails with 32 while a program uses the mount, and it stays', async () => {
    const volume = await formatted()
    const result = await withHelpers(`
      mount -t cairnfs ${volume.store} ${volume.mountpoint}
      cd ${volume.mountpoint}
      umount ${volume.mountpoint} || echo "status $?"
      cd /
      umount ${volume.mountpoint}`)
    expect(result.stdout).toBe('status 32\n')
    expect(result.stderr).toMatch(/^umount\.fuse\.cairnfs: .* is in use: .*fuser.*\n$/)
    expect(volume.leftOvers()).toEqual([])
  })
})

describe('mount -o remount', () => {
  it('makes a mount read-only, with all that was written in the store, and writable again', async () => {
    const volume = await formatted()
    const { mountpoint } = volume
    const result = await withHelpers(`
      mount -t cairnfs ${volume.store} ${mountpoint} -o nodev,commit=600
      echo one >${mountpoint}/file
      exec 9>${mountpoint}/open
      mount -o remount,ro ${mountpoint} || echo "status $?"
      exec 9>&-
      mount -o remount,ro ${mountpoint}
      grep ' ${mountpoint} ' /proc/self/mountinfo
      ${program.cairnfs} status ${mountpoint} | grep -o 'read-only since.*'
      ${program.cairnfs} status ${mountpoint} --json | grep -o '"dirtyBytes":[0-9]*'
      touch ${mountpoint}/new || true
      ${program.cairnfs} quota set ${mountpoint} --volume --bytes 1M || true
      cat ${mountpoint}/file
      mount -o remount,rw,noexec ${mountpoint}
      echo two >${mountpoint}/file
      grep ' ${mountpoint} ' /proc/self/mountinfo
      umount ${mountpoint}`)
    const [busy, readOnly, shown, dirty, text, writable] = result.stdout.trimEnd().split('\n')
    expect(busy).toBe('status 1')
    expect(result.stderr).toMatch(
      /^mount\.cairnfs: \S+ is in use: files are open for writing.*\n.*Read-only file system\ncairnfs quota set: \S+ is mounted read-only.*\n$/,
    )
    expect(readOnly).toMatch(/ ro,nodev.* - fuse\.cairnfs /)
    expect([shown, dirty, text]).toEqual(['read-only since mount -o remount,ro', '"dirtyBytes":0', 'one'])
    expect(writable).toMatch(/ rw,nodev,noexec.* - fuse\.cairnfs /)
    expect(volume.leftOvers()).toEqual([])
  })

  it('does not pretend that a mount writes which does not', async () => {
    const volume = await formatted()
    const result = await withHelpers(`
      mount -t cairnfs ${volume.store} ${volume.mountpoint} -o ro
      mount -o remount,rw ${volume.mountpoint} || echo "status $?"
      umount ${volume.mountpoint}`)
    expect(result).toMatchObject({ stdout: 'status 1\n', stderr: expect.stringContaining('mount it for writing') })
  })
})

describe('the mount helper', () => {
  it('ends with 1 when the command line is wrong, and when nothing can be mounted', async () => {
    const volume = await formatted()
    const status = async (args: string) => (await harness.run(`${program.mountHelper} ${args}`)).status
    expect(await status('')).toBe(1)
    expect(await status(`${volume.store}`)).toBe(1)
    expect(await status(`${volume.store} ${volume.mountpoint} more`)).toBe(1)
    expect(await status(`${volume.store} ${volume.mountpoint} -x`)).toBe(1)
    expect(await status(`${volume.store} ${volume.mountpoint} -o bogus`)).toBe(1)
    expect(await status(`${volume.store}x ${volume.mountpoint}`)).toBe(1)
    expect(volume.leftOvers()).toEqual([])
  })

  it('-f mounts nothing, -s takes unknown options, -n and -v change nothing', async () => {
    const volume = await formatted()
    const run = (args: string) => harness.shell(`${program.mountHelper} ${volume.store} ${volume.mountpoint} ${args}`)
    expect(await run('-f')).toBe('')
    expect(volume.leftOvers()).toEqual([])
    expect(await run('-snv -o bogus=1,rw -t fuse.cairnfs')).toBe('')
    await volume.umount()
  })

  it('-N mounts in the namespace of another process', async () => {
    const volume = await formatted()
    const other = harness.serve('unshare', ['-m', 'bash', '-c', 'echo "{\\"pid\\":$$}"; exec sleep 60'])
    const { pid } = await other.message('pid')
    await harness.shell(`${program.mountHelper} ${volume.store} ${volume.mountpoint} -N ${pid}`)
    const mountpoint = `' ${volume.mountpoint} '`
    expect(await harness.shell(`grep -c ${mountpoint} /proc/${pid}/mountinfo`)).toBe('1\n')
    expect(await harness.shell(`grep -c ${mountpoint} /proc/self/mountinfo || true`)).toBe('0\n')
    await harness.shell(`nsenter -t ${pid} -m ${program.cairnfs} umount ${volume.mountpoint}`)
    expect(volume.leftOvers()).toEqual([])
  })
})
