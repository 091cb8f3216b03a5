// Extended attributes through a real kernel: those that are built, and what the kernel's asking for others costs.
import { afterEach, expect, test } from 'vitest'
import { RequestCounter } from './fuse-requests.ts'
import { brieflyOn, describeStores, Volumes } from './volume-fixture.ts'

const FILES = 2000
const volumes = new Volumes()
const counters: RequestCounter[] = []
afterEach(async () => {
  for (const counter of counters.splice(0)) await counter.cleanUp()
  await volumes.cleanUp()
})

describeStores(
  'extended attributes',
  (kind) => {
    test('tell and set whether a directory folds, and tell how a name is spelled', async () => {
      const volume = await volumes.create(kind)
      const said = async (script: string) => (await volume.shell(script)).trimEnd()
      const failure = async (script: string, user = {}) => (await volume.run(script, user)).stderr
      await volume.shell('mkdir d plain; setfattr -n user.cairnfs.casefold -v 1 d; touch d/ReadMe plain/a')
      const casefold = 'getfattr --only-values -n user.cairnfs.casefold'
      expect(await said(`${casefold} d; ${casefold} plain; lsattr -d d | cut -c1-22 | grep -o F`)).toBe('10F')
      const spelled = 'getfattr -e hex -n glusterfs.get_real_filename'
      expect(await said(`${spelled}:README d | grep -o 0x.*`)).toBe(`0x${Buffer.from('ReadMe\0').toString('hex')}`)
      expect(await failure(`${spelled}:absent d`)).toContain('No such attribute')
      expect(await failure(`${spelled}:a plain`)).toContain('not supported')

      const set = (value: number) => `setfattr -n user.cairnfs.casefold -v ${value}`
      expect(await failure(`${set(0)} d`)).toContain('not empty')
      expect(await failure(`${set(1)} plain/a`)).toContain('Not a directory')
      expect(await failure(`${set(2)} plain`)).toContain('Invalid argument')
      await volume.shell('mkdir open; chmod 777 open')
      expect(await failure(`${set(1)} open`, { uid: 65534, gid: 65534 })).toContain('not permitted')
      expect(await said(`${set(1)} open; setfattr -x user.cairnfs.casefold open; touch open/a open/A; ls open`)).toBe(
        'A\na',
      )
      expect(await failure('setfattr -n user.cairnfs.other -v 1 d')).toContain('not supported')
      expect(await said('getfattr -d -m - d')).toBe('')
      await volume.unmount()
    })

    test('are kept as programs set them, and go along with files', async () => {
      const volume = await volumes.create(kind)
      const said = async (script: string) => (await volume.shell(script)).trimEnd()
      const failure = async (script: string, user = {}) => (await volume.run(script, user)).stderr
      await volume.shell(`touch f; mkdir d; ln -s f l; mkfifo p
      setfattr -n user.text -v 'some text' f; setfattr -n user.empty f; setfattr -n user.hex -v 0x00ff f
      head -c 20000 /dev/urandom > value; setfattr -n user.large -v 0x$(od -An -v -tx1 value | tr -d ' \n') f
      setfattr -n trusted.t -v t f; setfattr -h -n trusted.link -v l l; setfattr -n user.of -v dir d`)
      expect(await said('getfattr --only-values -n user.text f')).toBe('some text')
      expect(await said('getfattr --only-values -n user.large f | cmp - value && echo same')).toBe('same')
      expect(await said('getfattr -m - f | tail -n +2')).toBe('trusted.t\nuser.empty\nuser.hex\nuser.large\nuser.text')
      expect(await said('getfattr -h -m - l | tail -n +2')).toBe('trusted.link')
      const other = { uid: 65534, gid: 65534 }
      expect((await volume.run('getfattr -m - f', other)).stdout).not.toContain('trusted')
      expect(await failure('getfattr -n trusted.t f', other)).toContain('No such attribute')
      expect(await failure('setfattr -n trusted.t -v x f', other)).toContain('not permitted')
      expect(await failure('getfattr -n user.none f')).toContain('No such attribute')
      expect(await failure('setfattr -x user.none f')).toContain('No such attribute')
      expect(await failure('setfattr -h -n user.x -v x l')).toContain('not permitted')
      expect(await failure('setfattr -n user.x -v x p')).toContain('not permitted')
      expect(await failure('setfattr -n other.x -v x f')).toContain('not supported')
      expect(
        await said(`/usr/bin/python3 - <<'E'
import errno, os
def fails(code, *args):
    try: os.setxattr(*args)
    except OSError as e: assert e.errno == code, e
    else: raise AssertionError(args)
fails(errno.EEXIST, 'f', 'user.text', b'x', os.XATTR_CREATE)
fails(errno.ENODATA, 'f', 'user.none', b'x', os.XATTR_REPLACE)
fails(errno.E2BIG, 'f', 'user.none', bytes(65537))
os.setxattr('f', 'user.most', bytes(65536))
assert os.getxattr('f', 'user.most') == bytes(65536)
os.removexattr('f', 'user.most')
with open('f', 'w') as opened: os.setxattr(opened.fileno(), 'user.fd', b'by descriptor')
before = os.stat('f').st_ctime_ns
os.setxattr('f', 'user.text', b'other')
assert os.stat('f').st_ctime_ns > before
os.mkdir('names')
try:
    for i in range(1000): os.setxattr('names', 'user.%0200d' % i, b'')
except OSError as e: assert e.errno == errno.ENOSPC and i == 65536 // 206, (e, i)
assert len(os.listxattr('names')) == 65536 // 206
print('done')
E`),
      ).toBe('done')
      await volume.shell('cp -a f copy; mkdir out; tar c --xattrs f d | tar x --xattrs -C out; rsync -aX f rsynced')
      const dumped = (path: string) => said(`getfattr -d -m '^user' -e hex ${path} | tail -n +2`)
      const all = await dumped('f')
      expect(all.split('\n')).toHaveLength(5)
      for (const path of ['copy', 'out/f', 'rsynced']) expect(await dumped(path), path).toBe(all)
      await volume.remountCold()
      expect(await dumped('f')).toBe(all)
      expect(await said('getfattr -d -m - out/d | tail -n +2')).toBe('user.of="dir"')
      await volume.unmount()
    })

    test('file capabilities take effect, and go with a write', async () => {
      const volume = await volumes.create(kind)
      const has = async () => (await volume.shell('getfattr -m - f | grep -c security.capability || true')).trim()
      // cap_net_raw=ep, revision 2.
      const set = 'setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f'
      for (const change of [
        'echo x >> f',
        ': > f',
        'truncate -s 1 f',
        'chown 5 f',
        'dd if=/dev/zero of=f bs=4k count=1 oflag=direct conv=notrunc 2>/dev/null',
        'cp --sparse=never other f',
      ]) {
        await volume.shell(`echo other > other; echo x > f; ${set}`)
        expect(await has(), change).toBe('1')
        await volume.shell('chmod 755 f; touch f; mv f g; mv g f')
        expect(await has(), change).toBe('1')
        await volume.shell(change)
        expect(await has(), change).toBe('0')
      }
      const raw = `python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print("raw")'`
      await volume.shell(`cp /usr/bin/$(readlink /usr/bin/python3 || echo python3) f; chmod 755 f; ${set}`)
      const command = raw.replace('python3', './f')
      expect((await volume.run(command, { uid: 65534, gid: 65534 })).stdout).toBe('raw\n')
      await volume.unmount()
    })

    test('cost a warm ls -lU what the first file costs', async (context) => {
      const counter = new RequestCounter()
      counters.push(counter)
      const reason = await counter.open()
      if (reason !== null) context.skip(reason)
      const volume = await volumes.create(kind)
      await volume.shell(`mkdir d; cd d; seq ${FILES} | xargs touch; mkdir sub; ln -s x link; cd ..; ls -lU d`)
      // The directory's times, SELinux' label and the ACL, of the first entry each.
      expect(await counter.during(volume, 'ls -lU d >/dev/null')).toBeLessThanOrEqual(3)
      expect(await counter.during(volume, 'ls -U d >/dev/null')).toBeLessThanOrEqual(1)
      await volume.unmount()
    })

    test('cost nothing at a write to an open file, and one request at the first', async (context) => {
      const counter = new RequestCounter()
      counters.push(counter)
      const reason = await counter.open()
      if (reason !== null) context.skip(reason)
      const volume = await volumes.create(kind)
      const write = (count: number) =>
        `/usr/bin/python3 -c 'import os; f = os.open("f", os.O_WRONLY | os.O_CREAT); [os.pwrite(f, b"x", i) for i in range(${count})]'`
      await volume.shell(write(1))
      // Opening, one question for file capabilities, closing; the writes.
      expect(await counter.during(volume, write(FILES))).toBeLessThanOrEqual(FILES + 5)
      await volume.unmount()
    })
  },
  brieflyOn('MinIO'),
)
