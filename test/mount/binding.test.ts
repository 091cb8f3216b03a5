// `--binding fuse-native`: the filesystem behind libfuse 2 and the package fuse-native. What POSIX promises and this keeps, what
// it does not, and how it ends.
//
// Must stay true: this process never touches a mount (see harness.ts).
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compile, MountHarness, type RunResult, type Server, shellQuote, until } from './harness.ts'
import { PREAMBLE, SCRIPTS } from './posix-scripts.ts'
import { PROGRAMS } from './programs/manifest.ts'
import type { ServeOptions } from './serve-memory.ts'
import { describeStores, STORE_KINDS, type TestVolume, Volumes } from './volume-fixture.ts'

const MAIN = join(import.meta.dirname, '../../dist/main.js')
const NOBODY = 65534
const LIBFUSE = '/usr/lib/x86_64-linux-gnu/libfuse.so.2'
const FUSE_NATIVE = ['--binding', 'fuse-native']

const harness = new MountHarness()
const volumes = new Volumes()
let program: string
let removeProgram = () => {}

beforeAll(() => {
  const { files, remove } = compile([join(import.meta.dirname, 'serve-memory.ts')])
  program = files[0]!
  removeProgram = remove
})
afterAll(() => removeProgram())
afterEach(async () => {
  await volumes.cleanUp()
  await harness.cleanUp()
})

async function serve(options: ServeOptions = {}): Promise<{ mnt: string; server: Server }> {
  const mnt = harness.mountpoint()
  const settings = { binding: 'fuse-native', allowOther: false, ...options }
  const server = harness.serve(process.execPath, [program, mnt, JSON.stringify(settings)])
  await server.message('mounted')
  return { mnt, server }
}

/** Unmounts; what the server says at its end: nothing open, every reference given back. */
async function endCleanly(mnt: string, server: Server): Promise<void> {
  await harness.shell(`umount ${shellQuote(mnt)}`)
  expect(await server.message('ended')).toMatchObject({ ended: 'unmounted', open: 0, violations: [] })
  expect(await server.exited()).toBe(0)
  expect(server.messages.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
}

/** Promises that it does not keep, and what holds instead. */
const INSTEAD: Record<string, string> = {
  'hard links share a file': `
    echo 1 > a; ln a b; sleep 1.1; [ "$(stat -c %h a)" = 2 ]; echo 2 > b; [ "$(cat a)" = 2 ]
    [ "$(stat -c %i a)" = "$(stat -c %i b)" ]; rm a; sleep 1.1; [ "$(stat -c %h b)" = 1 ]; [ "$(cat b)" = 2 ]`,
  'times are kept to the nanosecond, and before 1970': `
    touch -d '2001-02-03 04:05:06.789012345 UTC' f; [ "$(TZ=UTC stat -c %y f)" = '2001-02-03 04:05:06.789000000 +0000' ]
    touch -d '1960-01-01 00:00:00.5 UTC' f; [ "$(TZ=UTC stat -c %y f)" = '1970-01-01 00:00:00.000000000 +0000' ]
    touch f; [ $(( $(date +%s) - $(stat -c %Y f) )) -lt 5 ]
    touch -r / f; before=$(stat -c %y f); touch -m f; [ "$(stat -c %y f)" = "$before" ]`,
  'names of any bytes, up to 255': `
    n=$(printf 'x%.0s' $(seq 255)); touch "$n"; [ "$(ls)" = "$n" ]; fails touch "$n"y; rm "$n"
    touch $'new\\nline' 'ü'; stat 'ü' $'new\\nline'
    complains() { told=$("$@" 2>&1) && exit 1; [[ $told = *'Invalid or incomplete multibyte'* ]]; }
    complains touch $'\\xff\\xfe'; complains ln -s $'\\xff' l; complains stat $'\\xff'
    [ "$(ls -U | wc -l)" = 3 ]`,
}

describe.each([
  { how: 'answered at once', options: {} },
  { how: 'every answer 2 ms late', options: { delayMs: 2 } },
])('through fuse-native, $how', ({ options }) => {
  test('POSIX behaviour, but for what it cannot do', async () => {
    const { mnt, server } = await serve(options)
    for (const [promise, script] of Object.entries({ ...SCRIPTS, ...INSTEAD })) {
      const cwd = join(mnt, 'test')
      const result = await harness.run(`mkdir ${cwd} && cd ${cwd} || exit 99\n${PREAMBLE}${script}\n`)
      expect(result, promise).toMatchObject({ status: 0, timedOut: false })
      await harness.shell(`rm -r ${cwd}`)
    }
    await endCleanly(mnt, server)
  })
})

test('a directory of 10,000 files lists whole, and goes', async () => {
  const { mnt, server } = await serve({ files: 10_000 })
  expect(await harness.shell('ls -U d | sort -u | wc -l; ls -lU d | wc -l; find d -type f | wc -l', { cwd: mnt })).toBe(
    '10000\n10001\n10000\n',
  )
  await harness.shell('rm -r d; [ -z "$(ls)" ]', { cwd: mnt })
  await endCleanly(mnt, server)
})

test('two processes at a time keep every byte, past 4 GiB too', async () => {
  const { mnt, server } = await serve()
  await harness.shell(
    `head -c 8000000 /dev/urandom > ${mnt}.src
     for i in 1 2; do dd if=${mnt}.src of=b$i bs=300k status=none & dd if=${mnt}.src of=d$i bs=1M oflag=direct status=none & done
     wait; for f in b* d*; do cmp $f ${mnt}.src & done; wait
     for f in b* d*; do dd if=$f iflag=direct bs=1M status=none | cmp - ${mnt}.src || exit 1; done; rm ${mnt}.src`,
    { cwd: mnt },
  )
  await endCleanly(mnt, server)
})

test('an extended attribute is asked for with less room than it takes', async () => {
  const { mnt, server } = await serve()
  await harness.shell(
    `touch f; /usr/bin/python3 -c "
import ctypes, os
os.setxattr('f', 'user.a', b'x' * 3000)
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(10)
assert libc.getxattr(b'f', b'user.a', room, 10) == -1 and ctypes.get_errno() == 34
assert libc.getxattr(b'f', b'user.a', None, 0) == 3000
assert libc.listxattr(b'f', room, 3) == -1 and ctypes.get_errno() == 34
"`,
    { cwd: mnt },
  )
  await endCleanly(mnt, server)
})

test('a connection that is cut ends it', async () => {
  const { mnt, server } = await serve()
  harness.abortAll()
  expect(await server.message('ended')).toMatchObject({ ended: 'aborted' })
  expect((await harness.run(`stat ${mnt}`)).status).toBe(1)
})

describeStores(
  'a volume through fuse-native',
  (kind) => {
    const create = () => volumes.create(kind, { mount: FUSE_NATIVE })

    test('is mounted, unmounted while nobody has it, and remembers', async () => {
      const volume = await create()
      expect(await volume.shell('findmnt -no FSTYPE,SOURCE .')).toMatch(/^fuse\.cairnfs file:\/\/\S+\n$/)
      await volume.shell('echo x >f; mkdir -p a/b/c; echo y >a/b/c/g; mv a e; [ "$(cat e/b/c/g)" = y ]; [ ! -e a ]')
      expect(await volume.cairnfs(['status', volume.mountpoint])).toContain(', for writing, through fuse-native\n')
      const { kernel } = await volume.status()
      expect(kernel.requests).toMatchObject({ CREATE: 2, MKDIR: 3, RENAME: 1 })
      await volume.remountCold()
      expect(await volume.shell('cat f e/b/c/g')).toBe('x\ny\n')
      await volume.shell(
        'truncate -s 6000000000 big; printf end | dd of=big bs=1 seek=5999999999 conv=notrunc status=none',
      )
      await volume.remountCold()
      expect(await volume.shell('stat -c %s big; tail -c 4 big | od -An -c')).toBe('6000000002\n  \\0   e   n   d\n')
      const held = volume.run('exec 3<f; sleep 0.5')
      await volume.shell('[ -e f ]')
      await held
      await volume.unmount()
    })

    test('is loaded where it is asked for, and nowhere else', async () => {
      const volume = await volumes.create(kind)
      const isLoaded = () => /libfuse|fuse-native/.test(readFileSync(`/proc/${volume.pid}/maps`, 'utf8'))
      expect(isLoaded()).toBe(false)
      await volume.unmount()
      await volume.mount(FUSE_NATIVE)
      expect(isLoaded()).toBe(true)
      // It waits for requests, and for nothing else. The measure is time itself: a second in which nothing is asked.
      const ticks = () =>
        readFileSync(`/proc/${volume.pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
          .slice(11, 13)
      await volume.sync()
      const before = ticks()
      await new Promise((resolve) => setTimeout(resolve, 1000))
      const used = ticks().map((after, index) => Number(after) - Number(before[index]))
      expect(used[0]! + used[1]!, 'ticks of 10 ms').toBeLessThanOrEqual(5)
      await volume.unmount()
    })

    test('replays its journal after a crash, and the dead mount is replaced', async () => {
      const volume = await create()
      await volume.shell('echo kept >f; sync f')
      await volume.crash()
      expect((await volume.run('true', { cwd: '/' })).status).toBe(0)
      await volume.mount()
      expect(await volume.shell('cat f')).toBe('kept\n')
      await volume.unmount()
    })

    test('an unlinked or replaced file lives while it is open, and leaves no name behind, by a crash neither', async () => {
      const volume = await create()
      await volume.shell(`
        mkdir d; echo old >d/f; echo new >d/g; echo gone >d/h
        exec 3<>d/f 4<d/h; mv d/g d/f; rm d/h
        [ "$(ls -A d)" = f ]; [ "$(cat d/f)" = new ]; [ "$(cat <&4)" = gone ]; [ "$(cat <&3)" = old ]
        echo more >&3; [ "$(stat -L -c %h:%s /proc/self/fd/3)" = 0:9 ]; [ "$(cat /proc/self/fd/3)" = "old
more" ]
        rm d/f; ! rmdir d 2>/dev/null; exec 3>&- 4>&-; until rmdir d; do sleep 0.1; done; sync -f .`)
      const ready = join(harness.folder(), 'ready')
      const hold = `touch ${ready}; while [ -e ${ready} ]; do sleep 0.05; done`
      const open = volume.run(`echo lost >f; exec 3<f; rm f; ${hold}`)
      await until(() => existsSync(ready), 'an open file without a name')
      expect(await volume.shell('ls -A')).toBe('')
      await volume.sync()
      await volume.crash()
      rmSync(ready)
      await open
      await volume.mount()
      expect(await volume.shell('ls -A')).toBe('')
      await volume.unmount()
    })

    test('lets in only who mounts: whose files would the others make?', async () => {
      const volume = await create()
      await volume.shell('chmod 777 .')
      const stranger = await volume.run(`touch ${volume.mountpoint}/f`, { cwd: '/', uid: NOBODY, gid: NOBODY })
      expect(stranger.stderr).toContain('Permission denied')
      await volume.unmount()
      const refused = await tryMount(volume, ['--allow-other'])
      expect(refused.stderr).toMatch(/^cairnfs mount: --allow-other: fuse-native does not say who asks.*\n$/)
    })

    test('refuses what needs the other binding', async () => {
      const volume = await create()
      await volume.shell('mkdir d; touch a b')
      const said = async (script: string) => (await volume.run(script)).stderr
      expect(await said(`${process.execPath} ${MAIN} casefold d`)).toMatch(/cannot ignore case \(ENOSYS|ENOTTY\)/)
      expect(await said('/usr/bin/python3 -c "import os; os.posix_fallocate(os.open(\'a\', os.O_RDWR), 0, 10)"')).toBe(
        '',
      )
      const exchange = `/usr/bin/python3 -c "
import ctypes; libc = ctypes.CDLL(None, use_errno=True)
print(libc.renameat2(-100, b'a', -100, b'b', 2), ctypes.get_errno())"`
      expect(await volume.shell(exchange)).toBe('-1 22\n')
      await volume.unmount()
    })

    test('a read-only mount is read, and refuses writes', async () => {
      const volume = await create()
      await volume.shell('mkdir d; seq 100000 >d/f')
      await volume.unmount()
      await volume.mount(['-o', 'ro'])
      expect(await volume.shell('tail -n 1 d/f')).toBe('100000\n')
      expect((await volume.run('touch x')).stderr).toContain('Read-only file system')
      await volume.unmount()
    })

    test('tar unpacks all but times, which it sets one by one', async () => {
      const volume = await create()
      const tree = join(harness.folder(), 'tree')
      await harness.shell(
        `python3 ${PROGRAMS}/make-tree.py ${tree} ${import.meta.dirname} 300; python3 ${PROGRAMS}/only-utf8.py ${tree}
         rm ${tree}/planted/fifo`,
      )
      await volume.shell(`mkdir tree; tar -C ${tree} --format=posix -cf - . | tar -C tree --numeric-owner -xpf -
        diff -r --no-dereference ${tree} tree`)
      await volume.unmount()
    })

    test('says in one line why it cannot be loaded', async () => {
      const volume = await create()
      await volume.unmount()
      const native = join(import.meta.dirname, '../../node_modules/fuse-native')
      const library = execFileSync('readlink', ['-f', LIBFUSE], { encoding: 'utf8' }).trim()
      const without = (hide: string) => tryMount(volume, [], hide)
      expect((await without(`mount -t tmpfs none ${native}`)).stderr).toMatch(
        /^cairnfs mount: fuse-native cannot be loaded: it is not installed: npm install fuse-native@2\.2\.6; [^\n]*\n$/,
      )
      expect((await without(`mount --bind /dev/null ${library}`)).stderr).toMatch(
        /^cairnfs mount: fuse-native cannot be loaded: libfuse\.so\.2 is missing: apt install libfuse2; [^\n]*\n$/,
      )
      expect((await tryMount(volume, ['--binding', 'bindings'])).stderr).toBe(
        "cairnfs mount: --binding: 'bindings' is none of kernel, fuse-native\n",
      )
    })
  },
  STORE_KINDS.slice(0, 1),
)

/** What mounting says, in a namespace where something is hidden first. */
function tryMount(volume: TestVolume, options: string[], hide = 'true'): Promise<RunResult> {
  const args = ['mount', volume.store.name, volume.mountpoint, ...volume.store.options, ...FUSE_NATIVE, ...options]
  const script = `${hide} && exec ${[process.execPath, MAIN, ...args].map(shellQuote).join(' ')}`
  return harness.run(`unshare --mount bash -c ${shellQuote(script)}`)
}
