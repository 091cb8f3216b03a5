// System calls through a real kernel, by small programs that print what is wrong: nothing, where all is well.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { until } from './harness.ts'
import { PROGRAMS } from './programs/manifest.ts'
import { describeStores, dropCaches, STORE_KINDS, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const python = (program: string, args = '') => `python3 ${join(PROGRAMS, program)} ${args}`
/** What calls do does not depend on the store. */
const ONE_STORE = STORE_KINDS.slice(0, 1)

describeStores(
  'system calls',
  (kind) => {
    test('fallocate makes holes and room, lseek finds holes and data, cp and tar keep holes', async () => {
      const volume = await volumes.create(kind)
      expect(await volume.shell(python('holes.py'))).toBe('')
      await volume.shell(
        'cp --sparse=auto holes copy; tar -cSf - holes | tar -xOf - >plain; cmp holes copy; cmp holes plain',
      )
      const seen = await volume.shell('stat -c %b holes copy; fallocate -d plain; cmp holes plain; stat -c %b plain')
      await volume.remountCold()
      expect(await volume.shell('cmp holes copy; cmp holes plain; stat -c %b holes copy plain')).toBe(seen)
      expect(seen).toBe('2056\n2056\n2056\n')
      await volume.unmount()
    })

    test('fallocate takes set-ID bits away from a file that somebody else changes', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('chmod 777 .; cp /usr/bin/id f')
      for (const options of ['-l 1', '-n -l 1', '-p -o 0 -l 1', '-z -o 1000000 -l 10']) {
        await volume.shell('chmod 6777 f')
        expect(await volume.shell('stat -c %a f'), 'by root').toBe('6777\n')
        expect(await volume.shell(`fallocate ${options} f; stat -c %a f`, { uid: 65534, gid: 65534 }), options).toBe(
          '777\n',
        )
      }
      await volume.unmount()
    })

    test('O_TMPFILE makes files without a name, that get one by linkat or leave nothing', async () => {
      const volume = await volumes.create(kind)
      expect(await volume.shell(python('tmpfile.py'))).toBe('')
      const inodes = "stat -f -c '%c %d' ."
      const used = await volume.shell(inodes)
      const open =
        'import os, signal; fd = os.open(".", os.O_TMPFILE | os.O_RDWR); os.write(fd, b"x" * 3000000); os.fsync(fd)'
      await volume.shell(`python3 -c '${open}'`)
      await volume.shell(`python3 -c '${open}; os.kill(os.getpid(), signal.SIGKILL)' || true`)
      await volume.remountCold()
      expect(await volume.shell('ls; cat published')).toBe('published\ncomplete')
      expect(await volume.shell(inodes)).toBe(used)
      await volume.unmount()
      expect(await volume.cairnfs(['fsck', volume.store.name, '--data', ...volume.store.options])).toContain('clean')
    })

    test('renameat2 exchanges names and leaves whiteouts', async () => {
      const volume = await volumes.create(kind)
      const described = 'find . -mindepth 1 -printf "%p %y %i %n %s\\n" | sort; cat a/sub b/link'
      expect(await volume.shell(python('renames.py'))).toBe('')
      const before = await volume.shell(described)
      await volume.sync()
      await volume.crash()
      await volume.mount()
      expect(await volume.shell(described)).toBe(before)
      await volume.unmount()
      expect(await volume.cairnfs(['fsck', volume.store.name, '--data', ...volume.store.options])).toContain('clean')
    })

    test('chattr +i and +a hold, for root too, and over a mount', async () => {
      const volume = await volumes.create(kind)
      expect(await volume.shell(`chmod 777 .; ${python('flags.py')}`)).toBe('')
      await volume.remountCold()
      expect((await volume.run('echo x >a')).stderr).toContain('Operation not permitted')
      expect(await volume.shell('lsattr | sort -k2 | tr -d -')).toBe('i ./a\na ./d\nd ./i\n')
      await volume.shell('chattr -i a; echo x >a; chattr -a d; rm -r a d i')
      await volume.unmount()
    })

    test('file handles find their files without caches, in other places and over a mount; ESTALE for those that are gone', async () => {
      const volume = await volumes.create(kind)
      const paths = ['d', 'd/sub', 'd/sub/file', 'linked', 'symlink', 'gone', 'gonedir', 'moved']
      await volume.shell(
        'mkdir -p d/sub gonedir; for f in d/sub/file linked gone moved; do echo x >$f; done; ln linked d/name; ln -s to symlink',
      )
      const inos = async (names: string[]) => volume.shell(`stat -c '%n %i' ${names.join(' ')}`)
      const before = (await inos(paths)).trimEnd().split('\n')
      const handles = await volume.shell(python('handles.py', `take ${paths.join(' ')}`))
      const used = () => volume.shell(`${python('handles.py', 'use')} <<'END'\n${handles}END`)
      await volume.shell('rm gone linked; rmdir gonedir; mv moved d/elsewhere; mv d/sub over')
      const expected = before.map((line) => (line.startsWith('gone') ? `${line.split(' ')[0]} ESTALE` : line))
      const lines = `${expected.join('\n')}\n`
      expect(await used()).toBe(lines)
      await volume.sync()
      await dropCaches(volumes.harness)
      expect(await used()).toBe(lines)
      await volume.remountCold()
      expect(await used()).toBe(lines)
      await volume.crash()
      await dropCaches(volumes.harness)
      await volume.mount()
      expect(await used()).toBe(lines)
      await volume.unmount()
      await volume.mount(['-o', 'ro'])
      expect(await used()).toBe(lines)
      await volume.unmount()
    })

    test('special files of every type work, and are what they were after a mount', async () => {
      const volume = await volumes.create(kind)
      expect(await volume.shell(python('nodes.py'))).toBe('')
      await volume.remountCold()
      expect(await volume.shell(python('nodes.py', 'again'))).toBe('')
      await volume.unmount()
    })

    test('what several programs see of a file is one file: locks, mappings, appending', async () => {
      const volume = await volumes.create(kind)
      expect(await volume.shell(python('sharing.py'))).toBe('')
      // What was synced through a mapping.
      await volume.crash()
      await volume.mount()
      expect(await volume.shell('head -c 7 mapped')).toBe('msynced')
      await volume.unmount()
    })

    test('O_SYNC, O_DSYNC and RWF_DSYNC: what a write returned from survives a crash at once', async () => {
      const volume = await volumes.create(kind, { mount: ['--commit', '600'] })
      const names = (await volume.shell(python('durable.py'))).trimEnd().split('\n')
      await volume.crash()
      await volume.mount()
      for (const name of names)
        expect(await volume.shell(`tr -d ${name[0]} <${name} | wc -c; wc -c <${name}`), name).toBe('0\n8192\n')
      expect(names).toHaveLength(7)
      await volume.unmount()
    })

    test('inode numbers stay, and are never used again; files know when they were made', async () => {
      const volume = await volumes.create(kind)
      const numbers = async () =>
        (await volume.shell('ls -i | sort -k2'))
          .trimEnd()
          .split('\n')
          .map((line) => line.trim())
      await volume.shell('touch a b c; mkdir d; rm b; touch e; mv a f; ln c g')
      const gone = await volume.shell('touch h; stat -c %i h; rm h')
      const before = await numbers()
      const born = await volume.shell('stat -c "%n %W %w" c d f')
      expect(born).toMatch(/^c [1-9]/)
      await volume.remountCold()
      expect(await numbers()).toEqual(before)
      await volume.shell('chmod 600 c; echo more >>f; touch -d 2001-01-01 d')
      expect(await volume.shell('stat -c "%n %W %w" c d f')).toBe(born)
      await volume.crash()
      await volume.mount()
      const after = await volume.shell('touch new1 new2; mkdir new3; stat -c %i new1 new2 new3')
      const used = [...before.map((line) => line.split(' ')[0]), gone.trim()]
      for (const ino of after.trimEnd().split('\n')) expect(used).not.toContain(ino)
      await volume.unmount()
    })

    test.each(['dirsync', 'sync'])('with -o %s a change of names survives a crash when it returns', async (option) => {
      const volume = await volumes.create(kind, { mount: ['-o', `${option},commit=600`] })
      await volume.shell('mkdir -p d/e; touch d/f gone; ln -s to d/s; mkfifo d/p; ln d/f d/hard; mv d/e d/moved')
      await volume.shell('echo text >d/text; rm gone; chmod 600 d/f')
      await volume.crash()
      await volume.mount(['-o', 'async'])
      expect(await volume.shell('ls . d')).toBe('.:\nd\n\nd:\nf\nhard\nmoved\np\ns\ntext\n')
      // The last one is a change of attributes alone.
      expect(await volume.shell('cat d/text; stat -c %a d/f')).toBe(`text\n${option === 'sync' ? 600 : 644}\n`)
      await volume.unmount()
    })

    test('cairnfs sync makes durable what a program has changed in mapped memory, and goes on with', async () => {
      const volume = await volumes.create(kind, { mount: ['--commit', '600'] })
      const folder = volumes.harness.folder()
      const pages = 16_384
      const program = volume.run(python('mapped.py', `${pages} ${folder}`))
      await until(() => existsSync(join(folder, 'changed')), 'a change of mapped memory')
      await volume.sync()
      await volume.crash()
      writeFileSync(join(folder, 'stop'), '')
      await program
      await volume.mount()
      expect(await volume.shell(`tr -d '\\0' <mapped | wc -c`)).toBe(`${pages}\n`)
      await volume.unmount()
    })

    test.each([
      ['', []],
      [' with -o writeback', ['-o', 'writeback']],
    ])('cp finds what a program has changed in mapped memory, or holds open, in a hole%s', async (_, mount) => {
      const volume = await volumes.create(kind, { mount })
      const folder = volumes.harness.folder()
      const program = volume.run(python('mapped.py', `1000 ${folder}`))
      await until(() => existsSync(join(folder, 'changed')), 'a change of mapped memory')
      const held =
        'import os, time; f = os.open("held", os.O_CREAT | os.O_WRONLY); os.pwrite(f, b"x", 1 << 20); time.sleep(4)'
      const holder = volume.run(`python3 -c '${held}'`)
      expect(
        await volume.shell(
          `until [ -e held ]; do sleep 0.1; done; sleep 1; cp mapped copy; tr -d '\\0' <copy | wc -c; cp held copy; tr -d '\\0' <copy`,
        ),
      ).toBe('1000\nx')
      writeFileSync(join(folder, 'stop'), '')
      await Promise.all([program, holder])
      expect(await volume.shell('cp held copy; cmp held copy; cp mapped copy; cmp mapped copy')).toBe('')
      await volume.unmount()
    })

    test('freezing is refused', async () => {
      const volume = await volumes.create(kind)
      expect((await volume.run('fsfreeze -f .')).stderr).toContain('Operation not supported')
      await volume.shell('echo x >f')
      await volume.unmount()
    })

    test.each([
      ['as it is', []],
      ['with -o writeback', ['-o', 'writeback']],
    ])('files hold what programs did to them, whatever that was: a mount %s', async (_how, options) => {
      const volume = await volumes.create(kind, { mount: options })
      const isCached = /WRITEBACK_CACHE/.test(volume.log())
      expect(isCached).toBe(options.length > 0)
      for (const seed of [1, 2]) {
        const sum = (await volume.shell(python('scribble.py', `${seed} 150`))).trimEnd()
        const times = await volume.shell('sync -f .; stat -c "%s %y" scribbled')
        await volume.remountCold()
        expect(await volume.shell('sha256sum <scribbled')).toBe(`${sum}  -\n`)
        expect(await volume.shell('stat -c "%s %y" scribbled')).toBe(times)
      }
      await volume.unmount()
    })

    test('with -o writeback: what was closed survives a sync and a crash, what was synced a crash alone', async () => {
      const volume = await volumes.create(kind, { mount: ['-o', 'writeback,commit=600'] })
      expect(await volume.cairnfs(['status', volume.mountpoint])).toContain(', for writing, with -o writeback\n')
      await volume.shell('echo closed >closed; echo aside >aside; mv aside closed2; ls -l >/dev/null')
      await volume.sync()
      await volume.shell(`python3 -c 'import os; fd = os.open("synced", os.O_CREAT | os.O_WRONLY)
for i in range(1000): os.write(fd, b"x" * 100)
os.fsync(fd)'`)
      await volume.shell('chmod 4755 closed; echo more >>closed', {})
      await volume.shell('chattr +a closed; echo end >>closed; sync closed; lsattr closed | grep -q a')
      await volume.crash()
      await volume.mount()
      expect(await volume.shell('cat closed closed2; wc -c <synced')).toBe('closed\nmore\nend\naside\n100000\n')
      await volume.shell('chattr -a closed')
      await volume.unmount()
    })
  },
  ONE_STORE,
)
