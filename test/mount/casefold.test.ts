// Case-insensitive directories through a real kernel, by Debian's chattr and lsattr, and by programs that spell as they like.
import { afterEach, expect, test } from 'vitest'
import { PROGRAMS } from './programs/manifest.ts'
import { brieflyOn, describeStores, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores(
  'a directory with chattr +F',
  (kind) => {
    test('finds names in any case, keeps their spelling, and never shows what is gone', async () => {
      const volume = await volumes.create(kind)
      const said = async (script: string) => (await volume.shell(script)).trimEnd()
      await volume.shell('mkdir d plain; chattr +F d; mkdir d/Sub; echo x >d/ReadMe; echo y >plain/a')
      expect(await said('lsattr -d d d/sub plain | sed "s/[^F ]*\\(F\\?\\)[^ ]* /\\1 /"')).toBe('F d\nF d/sub\n plain')
      expect(await said('cat d/README d/readme; ls d')).toBe('x\nx\nReadMe\nSub')
      expect((await volume.run('chattr -F d')).stderr).toContain('not empty')
      expect((await volume.run('chattr +F plain/a')).stderr).toContain('Not a directory')
      expect((await volume.run('chattr +c plain/a')).stderr).toContain('not supported')
      expect((await volume.run('mkdir d/SUB')).stderr).toContain('File exists')
      expect((await volume.run('set -C; echo z >d/README')).status).not.toBe(0)

      // What the kernel has cached under one spelling goes under another: it is told right after.
      const gone = (name: string) => `while [ -e ${name} ]; do sleep 0.01; done`
      await volume.shell(
        'stat d/ReadMe d/readme >/dev/null; test ! -e d/Later; echo z >d/LATER; test -e d/Later; test -e d/later',
      )
      await volume.shell(`stat d/LATER >/dev/null; rm d/later; ${gone('d/LATER')}; test ! -e d/Later`)
      await volume.shell(`stat d/Sub >/dev/null; rmdir d/SUB; ${gone('d/Sub')}`)
      await volume.shell('echo one >d/One; echo two >d/Two; stat d/One d/Two >/dev/null; mv d/ONE d/TWO')
      await volume.shell(gone('d/One'))
      expect(await said('ls d; cat d/two; test ! -e d/one')).toBe('ReadMe\nTWO\none')

      await volume.remountCold()
      expect(await said('ls d; cat d/README d/two')).toBe('ReadMe\nTWO\nx\none')
      await volume.unmount()
    })
    test('never leads a writer to a file that went by another spelling', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('mkdir d; chattr +F d')
      const told = await volume.shell(`/usr/bin/python3 -c '
import os
def write(name, text):
    with open(name, "w") as f: f.write(text)
wrong = []
for i in range(200):
    stored, other, elsewhere = f"d/name{i}", f"d/NAME{i}", f"d/else{i}"
    write(stored, "old")
    os.stat(stored)
    os.unlink(other) if i % 2 else os.rename(other, elsewhere)
    write(stored, "new")
    if open(other).read() != "new" or i % 2 == 0 and open(elsewhere).read() != "old": wrong.append(i)
print(wrong)
'`)
      expect(told).toBe('[]\n')
      await volume.unmount()
    })

    test('behaves as system calls show', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('mkdir folding plain; chattr +F folding')
      const told = await volume.shell(`python3 ${PROGRAMS}/spellings.py folding plain`)
      expect(told.split('\n').slice(1)).toEqual([''])
      expect(Number(told.split('\n')[0])).toBeGreaterThan(60)
      await volume.unmount()
    })

    test('forgets what was absent before it folded', async () => {
      const volume = await volumes.create(kind)
      const absent = (path: string) => `test ! -e ${path}`
      await volume.shell(`mkdir a b; ${absent('a/readme')}; ${absent('b/readme')}; ${absent('readme')}`)
      await volume.shell('chattr +F a; echo x >a/ReadMe; cat a/readme')
      await volume.shell('setfattr -n user.cairnfs.casefold -v 1 b; mkdir b/ReadMe; test -d b/readme')
      await volume.shell('cd a; test "$(/bin/pwd)" = "$PWD"; rmdir ../b/README ../b; rm readme; cd ..; rmdir a')
      await volume.shell('chattr +F .; echo y >ReadMe; cat readme')
      await volume.unmount()
    })

    test('by command: a whole volume, one directory, another spelling', async () => {
      const volume = await volumes.create(kind, { format: ['--casefold'] })
      const said = async (script: string) => (await volume.shell(script)).trimEnd()
      const failing = async (args: string[]) => volume.cairnfs(args).catch((error: Error) => error.message)
      expect(await said('echo x >ReadMe; cat readme; mkdir Dir; echo y >dir/b; cat DIR/B; ls . dir')).toBe(
        'x\ny\n.:\nDir\nReadMe\n\ndir:\nb',
      )
      const at = (path: string) => `${volume.mountpoint}/${path}`
      expect(await failing(['casefold', '--off', at('Dir')])).toContain('is not empty: make a new directory')
      await volume.shell('mkdir plain')
      await volume.cairnfs(['casefold', '--off', at('plain')])
      expect(await said('touch plain/a plain/A; ls plain')).toBe('A\na')

      // The kernel has listed it, and knows it by both spellings.
      await volume.shell('stat readme README ReadMe >/dev/null; ls; ! mv README readme')
      expect(await said('ls')).toBe('Dir\nReadMe\nplain')
      const ctime = await said('ln ReadMe plain/link; stat -c %.9Z plain/link')
      await volume.cairnfs(['recase', at('README')])
      expect(await said('stat -c %.9Z plain/link')).not.toBe(ctime)
      await volume.cairnfs(['recase', at('dir/B')])
      expect(await said('ls . Dir; cat readme')).toBe('.:\nDir\nREADME\nplain\n\nDir:\nB\nx')
      expect(await failing(['recase', at('absent')])).toContain('absent is not there in any case')
      expect(await failing(['recase', '/proc/self/status'])).toContain('is not on a mount of cairnfs')
      await volume.unmount()
      await volume.mount(['-o', 'ro'])
      expect(await failing(['recase', at('readme')])).toMatch(/readme is on a read-only mount: mount it for writing$/m)
      await volume.unmount()
    })
  },
  brieflyOn('a local folder'),
)
