// Quotas through a real kernel: `cairnfs quota`, and what programs are told.
import { afterEach, expect, test } from 'vitest'
import type { QuotaLine } from '../../src/cli/quota-protocol.ts'
import { brieflyOn, describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores(
  'quotas',
  (kind) => {
    const failing = (volume: TestVolume, args: string[]) =>
      volume.cairnfs(args).then(
        (said) => `no failure: ${said}`,
        (error: Error) => error.message,
      )
    const shown = async (volume: TestVolume, args: string[]) => JSON.parse(await volume.cairnfs([...args, '--json']))
    const said = async (volume: TestVolume, script: string) => (await volume.shell(script)).trim()

    test('limit a tree for programs, and df shows what is left', async () => {
      const volume = await volumes.create(kind)
      const at = (path: string) => `${volume.mountpoint}/${path}`
      await volume.shell('mkdir d')
      await volume.cairnfs(['quota', 'set', at('d'), '--bytes', '10MiB', '--inodes', '20'])
      expect(await said(volume, 'df --output=size,used,avail -B1 d | tail -1 | tr -s " "')).toBe('10485760 0 10485760')
      expect(await said(volume, 'df --output=itotal,iused d | tail -1 | tr -s " "')).toBe('20 1')
      await volume.shell('head -c 6M /dev/urandom >d/a')
      const refused = await volume.run('head -c 6M /dev/urandom >d/b')
      expect(refused.stderr).toContain('Disk quota exceeded')
      expect(await said(volume, 'df --output=avail -B1 d | tail -1')).toMatch(/^\d{1,6}$/)
      await volume.shell('rm d/b; head -c 4M /dev/urandom >d/b; test $(stat -c %s d/b) = 4194304')
      expect((await volume.run('echo x >d/c')).stderr).toContain('Disk quota exceeded')
      await volume.shell('rm d/* && seq 19 | sed s,^,d/, | xargs touch')
      expect((await volume.run('touch d/20')).stderr).toContain('Disk quota exceeded')
      expect((await volume.run('mkdir d/20')).stderr).toContain('Disk quota exceeded')
      await volume.shell('mv d/1 outside; touch d/20')

      // A directory goes by a copy, as between filesystems.
      await volume.shell(
        'rm d/*; mkdir e e/sub; echo x >e/sub/f; mv e/sub d/sub; test "$(cat d/sub/f)" = x; test ! -e e/sub',
      )
      expect((await volume.run('ln e/../outside d/link')).stderr).toContain('Invalid cross-device link')
      expect(await shown(volume, ['quota', 'get', at('d')])).toEqual({
        kind: 'tree',
        path: '/d',
        bytes: { used: 2, limit: 10 * 1024 * 1024 },
        inodes: { used: 3, limit: 20 },
        counting: false,
      })
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('1 of 1 are right\n')
      await volume.shell(
        'setfattr -n ceph.quota.max_files -v 30 d; test "$(getfattr --only-values -n ceph.dir.rbytes d)" = 2',
      )
      expect(await shown(volume, ['quota', 'get', at('d')])).toMatchObject({ inodes: { used: 3, limit: 30 } })
      await volume.shell('setfattr -n user.cairnfs.quota.max_files -v 20 d')
      await volume.crash()
      await volume.mount()
      expect(await shown(volume, ['quota', 'get', at('d')])).toMatchObject({ inodes: { limit: 20 } })
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('1 of 1 are right\n')
      await volume.cairnfs(['quota', 'remove', at('d')])
      expect(await volume.cairnfs(['quota', 'list', at('')])).toBe('nothing is limited\n')
      await volume.unmount()
    })

    test('count what is there: of trees, users, groups and the volume', async () => {
      const volume = await volumes.create(kind)
      const at = (path: string) => `${volume.mountpoint}/${path}`
      await volume.shell(
        'mkdir -p d/e; for i in $(seq 300); do echo $i >d/$i; echo $i >d/e/$i; done; chown -R 1234:4321 d/e',
      )
      for (const of of [
        [at('d/e')],
        [at('d')],
        [at(''), '--uid', '1234'],
        [at(''), '--uid', '77'],
        [at(''), '--gid', '4321'],
        [at(''), '--volume'],
      ])
        await volume.cairnfs(['quota', 'set', ...of, '--bytes', '1TiB', '--wait'])
      const lines: QuotaLine[] = await shown(volume, ['quota', 'list', at('')])
      const used = new Map(
        lines.map(({ kind: of, path, id, bytes, inodes }) => [path ?? id ?? of, [bytes.used, inodes.used]]),
      )
      // 9 of 2 bytes, 90 of 3, 201 of 4.
      const sum = 9 * 2 + 90 * 3 + 201 * 4
      expect([...used.keys()]).toEqual(['/d', '/d/e', 'volume', 77, 1234, 4321])
      expect(Object.fromEntries(used)).toEqual({
        '/d': [2 * sum, 602],
        '/d/e': [sum, 301],
        1234: [sum, 301],
        4321: [sum, 301],
        volume: [2 * sum, 603],
        77: [0, 0],
      })
      expect(await volume.cairnfs(['quota', 'list', at('d')])).toMatch(
        /^quota +bytes +limit +used +inodes.*\n(.*\n)*uid 1234 .* 1 TiB +0 %/m,
      )
      await volume.cairnfs(['quota', 'set', at(''), '--volume', '--bytes', 'none', '--inodes', '604'])
      await volume.shell('touch last')
      expect((await volume.run('touch one-more')).stderr).toContain('No space left on device')
      await volume.cairnfs(['quota', 'set', at(''), '--uid', '1234', '--bytes', String(sum)])
      expect((await volume.run('chown 1234 d/1')).stderr).toContain('Disk quota exceeded')
      await volume.shell('rm d/e/300; chown 1234 d/1')
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('6 of 6 are right\n')
      await volume.remountCold()
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('6 of 6 are right\n')
      await volume.unmount()
      expect(await failing(volume, ['fsck', volume.store.name, ...volume.store.options])).toContain('no failure')
    })

    test('say in one line what is wrong', async () => {
      const volume = await volumes.create(kind)
      const at = (path: string) => `${volume.mountpoint}/${path}`
      await volume.shell('touch file')
      expect(await failing(volume, ['quota', 'set', at('file'), '--bytes', '1M'])).toContain('/file is not a directory')
      expect(await failing(volume, ['quota', 'set', at('')])).toContain('give --bytes or --inodes')
      expect(await failing(volume, ['quota', 'set', at(''), '--bytes', '1Q'])).toContain("--bytes: '1Q' is not a size")
      expect(await failing(volume, ['quota', 'set', at(''), '--uid', '1', '--volume', '--bytes', '1'])).toContain(
        'one of them',
      )
      expect(await failing(volume, ['quota', 'set', at('absent'), '--bytes', '1'])).toContain(
        'absent cannot be reached',
      )
      expect(await failing(volume, ['quota', 'get', at('')])).toContain(
        'there is no quota on the root directory: cairnfs quota list',
      )
      expect(await failing(volume, ['quota', 'list', '/proc'])).toContain('is not on a mount of cairnfs')
      expect(await failing(volume, ['quota', 'set', at(''), '--uid', 'root', '--bytes', '1'])).toContain(
        "--uid: 'root' is not a number: id -u NAME",
      )
      expect(await failing(volume, ['quota', 'set', at('\ufffd'), '--bytes', '1'])).toContain('use setfattr')
      expect(await failing(volume, ['quota'])).toContain('no command given: see cairnfs quota --help')
      expect(await failing(volume, ['quota', 'sett'])).toContain("there is no command 'sett': see cairnfs quota --help")
      expect(await failing(volume, ['quota', 'set', at(''), '--byte', '1'])).toContain('see cairnfs quota set --help')
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('nothing is limited\n')
      await volume.shell("mkdir 'two\nlines'")
      await volume.cairnfs(['quota', 'set', at('two\nlines'), '--inodes', '9'])
      expect(await volume.cairnfs(['quota', 'list', at('')])).toMatch(/^\/two\\x0alines .*\n$/m)
      expect(await shown(volume, ['quota', 'list', at('')])).toMatchObject([{ path: '/two\nlines' }])
      await volume.shell("rmdir 'two\nlines'")
      expect(await volume.cairnfs(['quota', '--help'])).toContain('Examples:')
      expect(await volume.cairnfs(['quota', 'set', '--help'])).toContain('Examples:')
      await volume.cairnfs(['quota', 'set', at(''), '--inodes', '100'])
      await volume.unmount()
      await volume.mount(['-o', 'ro'])
      expect(await failing(volume, ['quota', 'set', at(''), '--bytes', '1'])).toContain('mount it for writing')
      expect(await volume.cairnfs(['quota', 'check', at('')])).toBe('1 of 1 are right\n')
      await volume.unmount()
      expect(
        await failing(volume, [
          'mount',
          volume.store.name,
          volume.mountpoint,
          ...volume.store.options,
          '-o',
          'writeback',
        ]),
      ).toContain('without -o writeback')
    })
  },
  brieflyOn('MinIO'),
)
