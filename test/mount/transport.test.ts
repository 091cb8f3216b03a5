// The transport on the real kernel: a MemoryFilesystem served by a child process, driven by shell commands in others.
//
// Must stay true: this process never touches a mount (see harness.ts).
import { chownSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { abortConnection, findMount, isDeadMount, repairDeadMount, unmountAt } from '../../src/fuse/index.ts'
import { compile, MountHarness, type RunOptions, type Server, shellQuote, until } from './harness.ts'
import { PREAMBLE, SCRIPTS } from './posix-scripts.ts'
import type { ServeOptions } from './serve-memory.ts'

const NOBODY = 65534

const harness = new MountHarness()
let program: string
let removeProgram = () => {}

beforeAll(() => {
  const { files, remove } = compile([join(import.meta.dirname, 'serve-memory.ts')])
  program = files[0]!
  removeProgram = remove
})
afterAll(() => removeProgram())
afterEach(() => harness.cleanUp())

function start(mountpoint: string, options: ServeOptions = {}, run: RunOptions = {}): Server {
  return harness.serve(process.execPath, [program, mountpoint, JSON.stringify(options)], run)
}

async function serve(options: ServeOptions = {}): Promise<{ mnt: string; server: Server }> {
  const mnt = harness.mountpoint()
  const server = start(mnt, options)
  await server.message('mounted')
  return { mnt, server }
}

/** Unmounts and checks what the server says at its end. */
async function endCleanly(mnt: string, server: Server): Promise<void> {
  await harness.shell(`umount ${shellQuote(mnt)}`)
  const end = await server.message('ended')
  expect(end).toMatchObject({ ended: 'unmounted', open: 0, violations: [] })
  expect(await server.exited()).toBe(0)
  expect(server.messages.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
}

describe.each([
  { how: 'answered at once', options: {} },
  { how: 'every answer 2 ms late', options: { delayMs: 2 } },
  { how: 'nothing cached by the kernel', options: { ttlSec: 0 } },
])('$how', ({ options }) => {
  test('POSIX behaviour', async () => {
    const { mnt, server } = await serve(options)
    for (const [promise, script] of Object.entries(SCRIPTS)) {
      const cwd = join(mnt, 'test')
      const result = await harness.run(`mkdir ${cwd} && cd ${cwd} || exit 99\n${PREAMBLE}${script}\n`)
      expect(result, promise).toMatchObject({ status: 0, timedOut: false })
      await harness.shell(`rm -r ${cwd}`)
    }
    await endCleanly(mnt, server)
  })
})

test('a directory of 10,000 files lists whole, with and without attributes', async () => {
  const { mnt, server } = await serve()
  await harness.shell('for i in $(seq 10000); do : > f$i; done', { cwd: mnt })
  expect(await harness.shell('ls -U | sort -u | wc -l; ls -lU | wc -l; find . -type f | wc -l', { cwd: mnt })).toBe(
    '10000\n10001\n10000\n',
  )
  await harness.shell('rm -r f*; [ -z "$(ls)" ]', { cwd: mnt })
  await endCleanly(mnt, server)
})

test('a listing goes on where it was although entries go meanwhile', async () => {
  const { mnt, server } = await serve({ files: 5000 })
  await harness.shell('rm -r d', { cwd: mnt })
  await endCleanly(mnt, server)
})

test('parallel dd, buffered and direct, keeps every byte', async () => {
  const { mnt, server } = await serve({ readAheadKib: 1024 })
  await harness.shell(
    `head -c 20000000 /dev/urandom > ${mnt}.src
     for i in 1 2 3 4; do dd if=${mnt}.src of=b$i bs=1M status=none & dd if=${mnt}.src of=d$i bs=1M oflag=direct status=none & done
     wait; for f in b* d*; do cmp $f ${mnt}.src & done; wait
     for f in b* d*; do dd if=$f iflag=direct bs=300k status=none | cmp - ${mnt}.src || exit 1; done; rm ${mnt}.src`,
    { cwd: mnt },
  )
  await endCleanly(mnt, server)
})

test('read-ahead is raised where root asks for it', async () => {
  const { server } = await serve({ readAheadKib: 2048 })
  const { majorMinor } = await server.message('majorMinor')
  expect(readFileSync(`/sys/class/bdi/${majorMinor}/read_ahead_kb`, 'utf8').trim()).toBe('2048')
})

test('a read-only mount is read without opens, and refuses writes', async () => {
  const { mnt, server } = await serve({ readOnly: true, files: 10, bigBytes: 3_000_000 })
  await harness.shell('[ "$(cat big | wc -c)" = 3000000 ]; ! touch x 2>/dev/null; ! rm big 2>/dev/null; ls -l d', {
    cwd: mnt,
  })
  await endCleanly(mnt, server)
})

test('an idle server uses no CPU', async () => {
  const { mnt, server } = await serve({ files: 1000 })
  await harness.shell('ls -l d', { cwd: mnt })
  // The measure is time itself: two seconds in which nothing is asked.
  const before = server.cpuMs()
  await new Promise((resolve) => setTimeout(resolve, 2000))
  expect(server.cpuMs() - before).toBeLessThanOrEqual(10)
})

test('SIGTERM unmounts; a busy mount stays, and can be taken away lazily', async () => {
  const { mnt, server } = await serve()
  const user = harness.run(`echo > f; exec 3< f; : > ready; while [ ! -e ${mnt}.done ]; do sleep 0.02; done; cat f`, {
    cwd: mnt,
  })
  await harness.shell(`until [ -e ${mnt}/ready ]; do sleep 0.02; done`)
  await expect(unmountAt(mnt, { mode: 'normal' })).rejects.toMatchObject({ code: 'EBUSY' })
  server.kill('SIGTERM')
  await until(() => server.messages.some(({ message }) => String(message).includes('is in use')), 'EBUSY')
  expect(findMount(mnt)).toBeDefined()
  await unmountAt(mnt, { mode: 'lazy' })
  expect(findMount(mnt)).toBeUndefined()
  await expect(unmountAt(mnt, { mode: 'normal' })).rejects.toMatchObject({ code: 'EINVAL' })
  // The user still works in it; its end is the server's.
  await harness.shell(`: > ${mnt}.done`)
  expect(await user).toMatchObject({ status: 0 })
  expect(await server.message('ended')).toMatchObject({ ended: 'unmounted', violations: [] })
  expect(await server.exited()).toBe(0)

  const again = await serve()
  again.server.kill('SIGTERM')
  expect(await again.server.message('ended')).toMatchObject({ ended: 'unmounted' })
  expect(await again.server.exited()).toBe(0)
})

test('a mount whose server was killed is known to be dead and repaired by the next mount', async () => {
  const { mnt, server } = await serve()
  const live = findMount(mnt)!
  expect(await isDeadMount(live)).toBe(false)
  expect(await repairDeadMount(mnt)).toBe(false)
  server.kill('SIGKILL')
  await server.exited()
  expect(await isDeadMount(findMount(mnt)!)).toBe(true)

  const next = start(mnt)
  await next.message('mounted')
  expect(next.messages.some(({ level }) => level === 'warn')).toBe(true)
  await harness.shell('echo x > f; [ "$(cat f)" = x ]', { cwd: mnt })
  await harness.shell(`umount ${mnt}`)
  expect(findMount(mnt)).toBeUndefined()
  expect(await next.exited()).toBe(0)
})

test('a server that does not answer is not taken for dead, and asking it hangs nobody', async () => {
  const { mnt, server } = await serve()
  server.kill('SIGSTOP')
  expect(await repairDeadMount(mnt)).toBe(false)
  server.kill('SIGCONT')
  await endCleanly(mnt, server)
})

test('an abort under load fails what waits, ends the server and leaves a dead mount to repair', async () => {
  const { mnt, server } = await serve({ delayMs: 20, bigBytes: 10_000_000 })
  const load = harness.run(
    'for i in $(seq 40); do (while dd if=big of=o$i bs=1M status=none; do :; done) & done; wait',
    {
      cwd: mnt,
    },
  )
  await harness.shell(`until [ -s ${mnt}/o9 ]; do sleep 0.02; done`)
  const { majorMinor } = await server.message('majorMinor')
  abortConnection(String(majorMinor))
  expect(await load).toMatchObject({ timedOut: false })
  expect(await server.message('ended')).toMatchObject({ ended: 'aborted' })
  expect(await server.exited()).toBe(0)
  expect(await isDeadMount(findMount(mnt)!)).toBe(true)
  expect(await repairDeadMount(mnt)).toBe(true)
  expect(findMount(mnt)).toBeUndefined()
})

test('umount -f ends a server that is stuck in an operation', async () => {
  const { mnt, server } = await serve({ delayMs: 1500 })
  const stuck = harness.run(`stat ${mnt}/x`)
  await until(
    () => readFileSync(`/sys/fs/fuse/connections/${minorOf(mnt)}/waiting`, 'utf8').trim() !== '0',
    'a request',
  )
  await unmountAt(mnt, { mode: 'force' })
  expect((await stuck).status).not.toBe(0)
  expect(await server.message('ended')).toMatchObject({ ended: 'unmounted' })
  expect(await server.exited()).toBe(0)
})

function minorOf(mnt: string): string {
  return findMount(mnt)!.majorMinor.split(':')[1]!
}

test('a signal does not break into an operation; who was killed ends with its answer', async () => {
  const { mnt, server } = await serve({ delayMs: 400 })
  // Python's own handler runs after the call, which went through.
  await harness.shell(`python3 -c "
import os, signal
signal.signal(signal.SIGALRM, lambda *_: print('rang'))
signal.setitimer(signal.ITIMER_REAL, 0.1)
open('${mnt}/f', 'w').write('x')
assert open('${mnt}/f').read() == 'x'
"`)
  const killed = await harness.run(`timeout -s KILL 0.1 stat ${mnt}/missing`)
  expect(killed.durationMs).toBeLessThan(3000)
  await endCleanly(mnt, server)
})

test('invalidations under load neither lock up nor fail', async () => {
  const { mnt, server } = await serve({ delayMs: 1, invalidateEveryMs: 1 })
  await harness.shell(
    `for w in 1 2 3 4; do (
       for i in $(seq 60); do for n in a b c; do echo $i > $n 2>/dev/null; mv -f $n d$w-$n 2>/dev/null; rm -f d$w-$n; ls >/dev/null; done; done
     ) & done; wait; rm -f a b c; [ -z "$(ls)" ]`,
    { cwd: mnt, timeoutMs: 120_000 },
  )
  await endCleanly(mnt, server)
})

const ODD_SOURCES = [
  'plain',
  's3://bucket/prefix?region=eu,path-style',
  'with space',
  'back\\slash\\040',
  'comma,rw,suid',
  'tab\tnewline\nhash#',
  'ünïcode-木',
  '-o',
  'x'.repeat(1000),
]

test.each(ODD_SOURCES.map((source) => ({ source, title: JSON.stringify(source.slice(0, 40)) })))(
  'the source $title shows to the letter',
  async ({ source }) => {
    const { mnt, server } = await serve({ source })
    expect(findMount(mnt)).toMatchObject({ type: 'fuse.cairnfs', source, mountpoint: mnt })
    await endCleanly(mnt, server)
  },
)

test('mountpoints with odd names, and behind symbolic links', async () => {
  const mnt = harness.mountpoint('a b\t#\\é')
  const link = join(harness.folder(), 'link')
  symlinkSync(mnt, link)
  const server = start(link)
  expect(await server.message('mounted')).toMatchObject({ mounted: mnt })
  expect(findMount(link)).toMatchObject({ mountpoint: mnt })
  await endCleanly(mnt, server)
})

describe('what cannot be mounted says why', () => {
  test('a mountpoint that is missing, no directory, or taken', async () => {
    const folder = harness.folder()
    writeFileSync(join(folder, 'file'), '')
    const { mnt } = await serve()
    const cases = [
      [join(folder, 'missing'), 'ENOENT', /missing does not exist: mkdir it/],
      [join(folder, 'missing/deeper'), 'ENOENT', /cannot be reached.*mkdir -p/],
      [join(folder, 'file'), 'ENOTDIR', /is not a directory/],
      [mnt, 'EBUSY', /already a mount of memory/],
    ] as const
    for (const [path, code, message] of cases) {
      const failed = await start(path).message('failed')
      expect(failed).toMatchObject({ code, failed: expect.stringMatching(message) })
    }
  })

  test('no /dev/fuse, or none that opens', async () => {
    const mnt = harness.mountpoint()
    const inNamespace = (script: string) =>
      harness.serve('unshare', ['-m', 'bash', '-c', `${script}; exec "$@"`, '-', process.execPath, program, mnt])
    const without = inNamespace('mount -t tmpfs none /dev')
    expect(await without.message('failed')).toMatchObject({ code: 'ENOENT', failed: expect.stringMatching(/modprobe/) })
    const dead = inNamespace(
      'mknod /tmp/cairnfs-$$ c 240 77; mount --bind /tmp/cairnfs-$$ /dev/fuse; rm /tmp/cairnfs-$$',
    )
    expect(await dead.message('failed')).toMatchObject({
      failed: expect.stringMatching(/\/dev\/fuse cannot be opened/),
    })
  })

  test('no fusermount3, or one that refuses', async () => {
    const mnt = harness.mountpoint()
    const nobody = { uid: NOBODY, gid: NOBODY }
    const missing = await start(mnt, { allowOther: false }, { ...nobody, env: { PATH: '/nonexistent' } }).message(
      'failed',
    )
    expect(missing).toMatchObject({ code: 'ENOENT', failed: expect.stringMatching(/install the package fuse3/) })
    const foreign = await start(mnt, { allowOther: false }, nobody).message('failed')
    expect(foreign).toMatchObject({
      code: expect.stringMatching(/EPERM|EACCES/),
      failed: expect.not.stringMatching(/\n/),
    })
  })

  test('root without CAP_SYS_ADMIN', async () => {
    const mnt = harness.mountpoint()
    const server = harness.serve('setpriv', [
      '--bounding-set',
      '-sys_admin',
      '--inh-caps',
      '-sys_admin',
      process.execPath,
      program,
      mnt,
    ])
    expect(await server.message('failed')).toMatchObject({
      code: 'EPERM',
      failed: expect.stringMatching(/CAP_SYS_ADMIN/),
    })
  })
})

describe('an unprivileged user, through fusermount3', () => {
  // In a namespace of its own, where /dev/fuse has the mode distributions give it.
  const NAMESPACE = `mknod -m 0666 /tmp/cairnfs-$$ c 10 229; mount --bind /tmp/cairnfs-$$ /dev/fuse; rm /tmp/cairnfs-$$
    exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups "$@"`

  function startUnprivileged(mnt: string, options: ServeOptions): Server {
    chownSync(mnt, NOBODY, NOBODY)
    const server = [process.execPath, program, mnt, JSON.stringify({ allowOther: false, ...options })]
    return harness.serve('unshare', ['-m', 'bash', '-c', NAMESPACE, '-', ...server])
  }

  const inside = (server: Server, script: string) =>
    `nsenter -t ${server.pid} -m setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups bash -c ${shellQuote(script)}`

  test('mounts, works, and unmounts', async () => {
    const mnt = harness.mountpoint()
    const server = startUnprivileged(mnt, {})
    await server.message('mounted')
    // The root of the MemoryFilesystem is root's: default_permissions keeps others out of it.
    expect(await harness.run(inside(server, `touch ${mnt}/f`))).toMatchObject({ status: 1 })
    expect(await harness.shell(inside(server, `stat -c %U ${mnt}; ls ${mnt}`))).toBe('root\n')
    await harness.shell(inside(server, `fusermount3 -u ${mnt}`))
    expect(await server.message('ended')).toMatchObject({ ended: 'unmounted', violations: [] })
    expect(await server.exited()).toBe(0)
  })

  test('SIGTERM unmounts, and a source with commas and backslashes shows to the letter', async () => {
    const mnt = harness.mountpoint()
    const source = 's3://a,suid,dev/b\\c d'
    const server = startUnprivileged(mnt, { source })
    await server.message('mounted')
    const { parseMountinfo } = await import('../../src/fuse/index.ts')
    const entries = parseMountinfo(readFileSync(`/proc/${server.pid}/mountinfo`, 'utf8'))
    const entry = entries.find(({ mountpoint }) => mountpoint === mnt)
    expect(entry).toMatchObject({ source, type: 'fuse.cairnfs' })
    expect(entry?.options).toMatch(/nosuid,nodev/)
    server.kill('SIGTERM')
    expect(await server.message('ended')).toMatchObject({ ended: 'unmounted' })
    expect(await server.exited()).toBe(0)
  })

  test('allow_other without user_allow_other is refused with its remedy', async () => {
    const server = startUnprivileged(harness.mountpoint(), { allowOther: true })
    expect(await server.message('failed')).toMatchObject({ failed: expect.stringMatching(/user_allow_other/) })
  })
})
