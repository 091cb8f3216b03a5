// POSIX ACLs through a real kernel: setfacl and getfacl, who may then do what, what modes and directories do to them, and what
// having them on costs.
import { afterEach, expect, test } from 'vitest'
import { RequestCounter } from './fuse-requests.ts'
import { brieflyOn, describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const FILES = 2000
const NOBODY = { uid: 65534, gid: 65534 }
const OTHER = { uid: 1001, gid: 1001 }
const volumes = new Volumes()
const counters: RequestCounter[] = []
afterEach(async () => {
  for (const counter of counters.splice(0)) await counter.cleanUp()
  await volumes.cleanUp()
})

const saidIn = (volume: TestVolume) => async (script: string) => (await volume.shell(script)).trimEnd()
const acl = (path: string) => `getfacl -cnE ${path} | paste -sd' ' | sed 's/ *$//'`
const mayIn = (volume: TestVolume) => async (user: object, script: string) =>
  (await volume.run(script, user)).stderr === ''

describeStores(
  'POSIX ACLs',
  (kind) => {
    test('are refused, and cost nothing, where a mount does not have them on', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('touch f')
      expect((await volume.run('setfacl -m u:1001:r f')).stderr).toContain('not supported')
      expect(await saidIn(volume)('getfacl -cE f')).toContain('user::rw-')
      await volume.unmount()
    })

    test('let in whom they name, and say in the mode what it can', async () => {
      const volume = await volumes.create(kind, { mount: ['--acl'] })
      const [said, may] = [saidIn(volume), mayIn(volume)]
      await volume.shell('echo text > f; chmod 640 f; setfacl -m u:1001:rw,g:65534:r f')
      expect(await said(acl('f'))).toBe('user::rw- user:1001:rw- group::r-- group:65534:r-- mask::rw- other::---')
      expect(await said("stat -c '%A %a' f; ls -l f | cut -c1-11")).toBe('-rw-rw---- 660\n-rw-rw----+')
      expect(await may(OTHER, 'echo more >> f; cat f')).toBe(true)
      expect(await may(NOBODY, 'cat f')).toBe(true)
      expect(await may(NOBODY, 'echo more >> f')).toBe(false)
      expect(await may({ uid: 5, gid: 5 }, 'cat f')).toBe(false)
      // The mask binds those that are named.
      await volume.shell('chmod 640 f')
      expect(await said(acl('f'))).toBe('user::rw- user:1001:rw- group::r-- group:65534:r-- mask::r-- other::---')
      expect(await may(OTHER, 'echo more >> f')).toBe(false)
      expect(await may(OTHER, 'setfacl -m u:1001:rw f')).toBe(false)
      await volume.shell('setfacl -x u:1001 f')
      expect(await may(OTHER, 'cat f')).toBe(false)
      await volume.shell('setfacl -b f')
      expect(await said(`${acl('f')}; stat -c %a f; getfattr -m - f`)).toBe('user::rw- group::r-- other::---\n640')
      // The set-group-ID bit goes where its setter could not have set it.
      await volume.shell('chown 1001:65534 f; chmod 2750 f; setfacl -m u:5:r f')
      expect(await said('stat -c %a f')).toBe('2750')
      expect(await may(OTHER, 'setfacl -m u:6:r f')).toBe(true)
      expect(await said('stat -c %a f')).toBe('750')
      await volume.unmount()
    })

    test('are inherited: a default ACL stands in for the umask', async () => {
      const volume = await volumes.create(kind, { mount: ['--acl'] })
      const [said, may] = [saidIn(volume), mayIn(volume)]
      await volume.shell(`umask 077; mkdir d plain; chmod 755 d; setfacl -d -m u:1001:rwx,o::- d
      touch d/f; mkdir -p d/sub/deeper; touch d/sub/deeper/f; mknod d/p p; ln -s f d/l; touch plain/f; mkdir plain/d`)
      const inherited = 'user::rwx user:1001:rwx group::r-x mask::rwx other::---'
      const asDefault = inherited.replaceAll(/(\S+)/g, 'default:$1')
      expect(await said(acl('d'))).toBe(`user::rwx group::r-x other::r-x ${asDefault}`)
      expect(await said(acl('d/sub/deeper'))).toBe(`${inherited} ${asDefault}`)
      for (const path of ['d/f', 'd/p', 'd/sub/deeper/f'])
        expect(await said(acl(path)), path).toBe('user::rw- user:1001:rwx group::r-x mask::rw- other::---')
      expect(await said('stat -c %a d/f d/sub plain/f plain/d')).toBe('660\n770\n600\n700')
      expect(await may(OTHER, 'echo x > d/sub/deeper/f; touch d/sub/new')).toBe(true)
      expect(await may(NOBODY, 'ls d/sub')).toBe(false)
      expect(await said('stat -c %u:%a d/sub/new')).toBe('1001:660')
      await volume.shell('cp -a d copy; setfacl -k d; umask 022; touch d/late')
      expect(await said(acl('copy/sub/deeper'))).toBe(`${inherited} ${asDefault}`)
      expect(await said('stat -c %a d/late')).toBe('644')
      await volume.unmount()
    })

    test('stay on where there are any: a later mount needs no option', async () => {
      const volume = await volumes.create(kind)
      await volume.unmount()
      await volume.mount(['--acl'])
      const [said, may] = [saidIn(volume), mayIn(volume)]
      await volume.shell('echo text > f; chmod 600 f; touch none; chmod 600 none')
      await volume.remountCold()
      expect((await volume.run('setfacl -m u:1001:r f')).stderr).toContain('not supported')
      await volume.remountCold(['--acl'])
      await volume.shell('setfacl -m u:1001:r f')
      for (const options of [[], ['-o', 'ro']]) {
        await volume.remountCold(options)
        expect(await may(OTHER, 'cat f')).toBe(true)
        expect(await may(OTHER, 'cat none')).toBe(false)
        expect(await said(acl('f'))).toBe('user::rw- user:1001:r-- group::--- mask::r-- other::---')
      }
      await volume.unmount()
    })

    test('cost a request for each file that is listed with its permissions, once', async (context) => {
      const counter = new RequestCounter()
      counters.push(counter)
      const reason = await counter.open()
      if (reason !== null) context.skip(reason)
      const volume = await volumes.create(kind, { mount: ['--acl'] })
      await volume.shell(`mkdir d; cd d; seq ${FILES} | xargs touch; cd ..`)
      await volume.remountCold(['--acl'])
      const counts = [
        await counter.during(volume, 'ls -U d >/dev/null'),
        await counter.during(volume, 'ls -lU d >/dev/null'),
        await counter.during(volume, 'ls -lU d >/dev/null'),
      ]
      process.stderr.write(`requests with ACLs on, ${FILES} files: ls -U, ls -lU, again: ${counts}\n`)
      expect(counts[1]).toBeLessThanOrEqual(FILES + 20)
      expect(counts[2]).toBeLessThanOrEqual(3)
      await volume.unmount()
    })
  },
  brieflyOn('a local folder'),
)
