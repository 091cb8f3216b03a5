// Set-ID bits through a real kernel: whoever changes the bytes of a program does not get to run them as its owner.
import { afterEach, expect, test } from 'vitest'
import { brieflyOn, describeStores, Volumes } from './volume-fixture.ts'

const NOBODY = 65534
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const COPY_FILE_RANGE =
  'import os; os.copy_file_range(os.open("source", os.O_RDONLY), os.open("f", os.O_WRONLY), 1 << 20)'
/** Each leaves `f` a program that works. */
const CHANGES: Record<string, string> = {
  write: 'dd if=/usr/bin/id of=f conv=notrunc status=none',
  'write past the page cache': 'dd if=/usr/bin/id of=f bs=64k conv=notrunc oflag=direct status=none',
  'write at the end': 'echo >>f',
  O_TRUNC: 'cat /usr/bin/id >f',
  truncate: 'truncate -s +1 f',
  copy_file_range: `/usr/bin/python3 -c '${COPY_FILE_RANGE}'`,
}

describeStores(
  'set-ID bits',
  (kind) => {
    test('go when somebody else changes the file, before it can be run', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('chmod 777 .; cp /usr/bin/id source')
      for (const [what, change] of Object.entries(CHANGES)) {
        // The kernel knows the mode, and has run the program.
        await volume.shell('cp /usr/bin/id f; chmod 6777 f')
        const asNobody = { uid: NOBODY, gid: NOBODY }
        expect(await volume.shell('./f -u', asNobody), what).toBe('0\n')
        expect(await volume.shell(`${change}; ./f -u; ./f -g; stat -c %a f`, asNobody), what).toBe(
          `${NOBODY}\n${NOBODY}\n777\n`,
        )
      }
      await volume.shell('chmod 6767 f')
      expect(await volume.shell('echo >>f; stat -c %a f', { uid: NOBODY, gid: NOBODY })).toBe('2767\n')
      await volume.remountCold()
      expect(await volume.shell('stat -c %a f')).toBe('2767\n')
      await volume.unmount()
    })

    test('stay when somebody else is refused the change', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('chmod 777 .; cp /usr/bin/id f; chmod 6777 f')
      // 2^53, one more than a file may have.
      const tooLarge = ['os.truncate("f", 1 << 53)', 'os.pwrite(os.open("f", os.O_WRONLY), b"xx", (1 << 53) - 1)']
      for (const change of tooLarge) {
        const tried = volume.shell(`/usr/bin/python3 -c 'import os; ${change}'`, { uid: NOBODY, gid: NOBODY })
        await expect(tried, change).rejects.toThrow(/File too large/)
        expect(await volume.shell('stat -c %a f'), change).toBe('6777\n')
      }
      await volume.unmount()
    })

    test('stay when root changes it, and when somebody makes it; go with its owner', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('chmod 777 .; cp /usr/bin/id source; cp source f; chmod 6755 f')
      for (const [what, change] of Object.entries(CHANGES))
        expect(await volume.shell(`${change}; stat -c %a f`), what).toBe('6755\n')
      expect(await volume.shell('chown 1:1 f; stat -c %a f; chmod 6745 f; chown 2:2 f; stat -c %a f')).toBe(
        '755\n2745\n',
      )
      const making = 'import os; os.umask(0); os.open("own", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o6755)'
      expect(await volume.shell(`/usr/bin/python3 -c '${making}'; stat -c %a own`, { uid: NOBODY, gid: NOBODY })).toBe(
        '6755\n',
      )
      await volume.unmount()
    })
  },
  brieflyOn('a local folder'),
)
