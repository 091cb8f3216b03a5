// Mounts by users who are not root, through fusermount3. Here /dev/fuse is for root alone, so each scenario runs in a
// mount namespace of its own, with a /dev as distributions ship it.
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type BuiltProgram, buildProgram } from '../cli/built-program.ts'
import { MountHarness, shellQuote } from './harness.ts'

const NOBODY = 65534
const RUN = `/tmp/cairnfs-${NOBODY}/cairnfs`

const harness = new MountHarness()
let program: BuiltProgram

beforeAll(() => {
  program = buildProgram()
})
afterEach(() => harness.cleanUp())
afterAll(() => program.remove())

/** Runs one script as nobody, then one as root, in a namespace with a /dev/fuse for all. `$cairnfs` is the program. */
function asNobody(home: string, script: string, thenAsRoot = ''): Promise<string> {
  const user = `setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups env -u XDG_RUNTIME_DIR HOME=${home} bash -c`
  const devices =
    'mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/full c 1 7; mknod -m 666 /dev/urandom c 1 9; mknod -m 666 /dev/fuse c 10 229'
  const define = `set -e; cairnfs() { ${program.cairnfs} "$@"; }; cd ${home}`
  const all = `mount -t tmpfs none /dev; ${devices}; ${define}\n${user} ${shellQuote(`${define}\n${script}`)}\n${thenAsRoot}`
  return harness.shell(`unshare -m bash -c ${shellQuote(all)}`)
}

it('a user mounts and unmounts: nosuid and nodev, his own runtime files and log, nothing left', async () => {
  const home = harness.folder(0o777)
  const output = await asNobody(
    home,
    `mkdir mnt
     cairnfs format file://${home}/store --name mine
     cairnfs mount file://${home}/store mnt
     grep ' ${home}/mnt ' /proc/self/mountinfo
     stat -c '%U' mnt
     echo hello > mnt/hello
     stat -c '%A %n' ${RUN} ${RUN}/*.sock ${RUN}/*.lock
     ls .local/state/cairnfs
     cairnfs sync mnt
     cairnfs umount mnt
     ls ${RUN} | wc -l
     cairnfs mount file://${home}/store mnt -o ro
     grep ' ${home}/mnt ' /proc/self/mountinfo | grep -o ' ro,nosuid,nodev'
     fusermount3 -u mnt`,
  )
  expect(output).toMatch(/ rw,nosuid,nodev,relatime - fuse\.cairnfs file:\S+\/store rw,user_id=65534/)
  expect(output).toMatch(
    /\nnobody\ndrwx------ \S+\nsrw------- \S+\.sock\n-rw------- \S+\.lock\nmine\.log\n0\n ro,nosuid,nodev\n$/,
  )
})

it('a user mounts through fuse-native too: nosuid and nodev, and as the one who makes files', async () => {
  const home = harness.folder(0o777)
  const output = await asNobody(
    home,
    `mkdir mnt full; touch full/x
     cairnfs format file://${home}/store --name mine >/dev/null
     ! cairnfs mount file://${home}/store full --binding fuse-native 2>&1
     cairnfs mount file://${home}/store mnt --binding fuse-native
     grep ' ${home}/mnt ' /proc/self/mountinfo
     echo hello > mnt/hello; cat mnt/hello; stat -c '%u:%g' mnt/hello
     cairnfs umount mnt
     ls ${RUN} | wc -l
     cairnfs mount file://${home}/store mnt -o ro,binding=fuse-native
     cat mnt/hello
     fusermount3 -u mnt`,
    `test "$(cat ${home}/mnt/hello 2>&1)" = "cat: ${home}/mnt/hello: No such file or directory"`,
  )
  expect(output).toMatch(/ rw,nosuid,nodev,relatime - fuse\.cairnfs file:\S+\/store rw,user_id=65534/)
  expect(output).toMatch(
    /^cairnfs mount: \S+\/full is not empty: without root, fuse-native mounts on empty directories only\n/,
  )
  expect(output).toMatch(/\nhello\n65534:65534\n0\nhello\n$/)
})

it('root may ask for and unmount what a user has mounted', async () => {
  const home = harness.folder(0o777)
  const output = await asNobody(
    home,
    `mkdir mnt
     cairnfs format file://${home}/store > /dev/null
     cairnfs mount file://${home}/store mnt`,
    `cairnfs status mnt | grep -c file://${home}/store
     cairnfs umount mnt
     grep -c ' ${home}/mnt ' /proc/self/mountinfo || true`,
  )
  expect(output).toBe('1\n0\n')
})

it("a user cannot ask root's daemon, and is told whom to be", async () => {
  const folder = harness.folder()
  const mountpoint = harness.mountpoint()
  await harness.shell(`${program.cairnfs} format file://${folder}/store`)
  await harness.shell(`${program.cairnfs} mount file://${folder}/store ${mountpoint}`)
  const asked = await harness.run(`${program.cairnfs} status ${mountpoint}`, { uid: NOBODY, gid: NOBODY })
  expect(asked).toMatchObject({ status: 1, stdout: '' })
  expect(asked.stderr).toBe(`cairnfs status: ${mountpoint} was mounted by user 0: do it as that user, or as root\n`)
  await harness.shell(`${program.cairnfs} umount ${mountpoint}`)
})
