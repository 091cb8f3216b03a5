// Extended attributes through a real kernel: those that are built, and what the kernel's asking for others costs.
import { afterEach, expect, test } from 'vitest'
import { RequestCounter } from './fuse-requests.ts'
import { describeStores, Volumes } from './volume-fixture.ts'

const FILES = 2000
const volumes = new Volumes()
const counters: RequestCounter[] = []
afterEach(async () => {
  for (const counter of counters.splice(0)) await counter.cleanUp()
  await volumes.cleanUp()
})

describeStores('extended attributes', (kind) => {
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
    expect(await failure('setfattr -n user.other -v 1 d')).toContain('not supported')
    expect(await failure('getfattr -n user.other d')).toContain('not supported')
    expect(await said('touch x; cp -a x y; tar c --xattrs x | tar t')).toBe('x')
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
})
