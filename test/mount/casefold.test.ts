// Case-insensitive directories through a real kernel, by Debian's chattr and lsattr, and by programs that spell as they like.
import { afterEach, expect, test } from 'vitest'
import { describeStores, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores('a directory with chattr +F', (kind) => {
  test('finds names in any case, keeps their spelling, and never shows what is gone', async () => {
    const volume = await volumes.create(kind)
    const said = async (script: string) => (await volume.shell(script)).trimEnd()
    await volume.shell('mkdir d plain; chattr +F d; mkdir d/Sub; echo x >d/ReadMe; echo y >plain/a')
    expect(await said('lsattr -d d d/sub plain | sed "s/[^F ]*\\(F\\?\\)[^ ]* /\\1 /"')).toBe('F d\nF d/sub\n plain')
    expect(await said('cat d/README d/readme; ls d')).toBe('x\nx\nReadMe\nSub')
    expect((await volume.run('chattr -F d')).stderr).toContain('not empty')
    expect((await volume.run('chattr +F plain/a')).stderr).toContain('Not a directory')
    expect((await volume.run('chattr +i plain/a')).stderr).toContain('not supported')
    expect((await volume.run('mkdir d/SUB')).stderr).toContain('File exists')
    expect((await volume.run('set -C; echo z >d/README')).status).not.toBe(0)

    // Everything below is cached by the kernel under one spelling and changed under another.
    await volume.shell(
      'stat d/ReadMe d/readme >/dev/null; test ! -e d/Later; echo z >d/LATER; test -e d/Later; test -e d/later',
    )
    await volume.shell('stat d/LATER >/dev/null; rm d/later; test ! -e d/LATER; test ! -e d/Later')
    await volume.shell('stat d/Sub >/dev/null; rmdir d/SUB; test ! -e d/Sub')
    await volume.shell('echo one >d/One; echo two >d/Two; stat d/One d/Two >/dev/null; mv d/ONE d/TWO')
    expect(await said('ls d; cat d/two; test ! -e d/One; test ! -e d/one')).toBe('ReadMe\nTWO\none')

    await volume.remountCold()
    expect(await said('ls d; cat d/README d/two')).toBe('ReadMe\nTWO\nx\none')
    await volume.unmount()
  })
})
