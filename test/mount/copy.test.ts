// copy_file_range through the kernel: a copy of a large file moves no data, whoever asks for it, and is a file of its own.
import { afterEach, expect, test } from 'vitest'
import { brieflyOn, describeStores, dropCaches, type TestVolume, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const MIB = 1 << 20
const BYTES = 48 * MIB + 12_345

/** Copies a range by copy_file_range alone, and prints how much it took and in how many calls. */
const python = (source: string, target: string, length: number | string, at = 0, to = 0) => `python3 -c '
import os
source, target = os.open("${source}", os.O_RDONLY), os.open("${target}", os.O_RDWR | os.O_CREAT)
length, at, to, taken, calls = ${length}, ${at}, ${to}, 0, 0
while taken < length:
    n = os.copy_file_range(source, target, length - taken, at + taken, to + taken)
    if n == 0: break
    taken, calls = taken + n, calls + 1
print(taken, calls)
'`

async function withLargeFile(volume: TestVolume): Promise<void> {
  await volume.shell(`head -c ${BYTES} /dev/urandom >large; sha256sum <large >sum`)
  await volume.sync()
}

describeStores(
  'copy_file_range',
  (kind) => {
    test.each([
      ['python', python('large', 'copy', BYTES)],
      ['cp', 'cp large copy'],
    ] as const)('copies 48 MiB by %s without reading or writing data', async (what, command) => {
      const volume = await volumes.create(kind, { mount: ['--lease', '600'] })
      await withLargeFile(volume)
      // No cache holds anything of it.
      await volume.remountCold()
      await volume.shell('stat large')
      const before = (await volume.status()).requests
      const told = await volume.shell(command)
      await volume.sync()
      const after = (await volume.status()).requests
      // Its records, and what the commit interval may have brought; the data would take six of either.
      expect(after.put - before.put, `${what}: PUTs`).toBeLessThanOrEqual(3)
      expect(after.get - before.get, `${what}: GETs`).toBeLessThanOrEqual(2)
      if (what === 'python') expect(told).toBe(`${BYTES} 1\n`)
      await volume.shell('printf changed | dd of=large bs=1 seek=1000000 conv=notrunc status=none')
      await volume.shell('rm large; sha256sum <copy | cmp - sum')
      await volume.sync()
      await volume.crash()
      await dropCaches(volumes.harness)
      await volume.mount()
      expect(await volume.shell('sha256sum <copy | cmp - sum && stat -c %s copy')).toBe(`${BYTES}\n`)
      await volume.unmount()
    })

    test('a range that the page cache shows differently is what the file holds then', async () => {
      const volume = await volumes.create(kind)
      await withLargeFile(volume)
      await volume.shell(`head -c 10000000 /dev/zero >target; cat target >/dev/null`)
      expect(await volume.shell(python('large', 'target', 3 * MIB, 5000, 777))).toBe(`${3 * MIB} 1\n`)
      await volume.shell(
        `cmp <(tail -c +778 target | head -c ${3 * MIB}) <(tail -c +5001 large | head -c ${3 * MIB})
       cmp <(head -c 777 target) <(head -c 777 /dev/zero)
       cmp <(tail -c +${3 * MIB + 778} target) <(head -c ${10_000_000 - 3 * MIB - 777} /dev/zero)`,
      )
      // What the page cache holds of the source, written just before, is copied too.
      await volume.shell('printf fresh | dd of=large bs=1 seek=200 conv=notrunc status=none')
      await volume.shell(python('large', 'target', 1000))
      expect(await volume.shell('dd if=target bs=1 skip=200 count=5 status=none')).toBe('fresh')
      // cp that is told not to share reads and writes.
      await volume.shell('cp --reflink=never large plain; cmp large plain')
      expect(await volume.run(python('target', 'target', 5000, 0, 1000))).toMatchObject({
        stderr: expect.stringContaining('Invalid argument'),
      })
      await volume.unmount()
    })
  },
  brieflyOn('MinIO'),
)
