// What reading costs in requests (DESIGN section 9), on MinIO, by MinIO's own count. Always cold: remounted, the kernel's
// caches dropped.
import { afterEach, describe, expect, test } from 'vitest'
import { difference, segmentSizes, settledRequests } from './minio-metrics.ts'
import { costOf, reportCost } from './request-costs.ts'
import { dropCaches, STORE_KINDS, type TestVolume, Volumes } from './volume-fixture.ts'

const MIB = 1 << 20
const SEGMENT_BYTES = 8 * MIB
const kind = STORE_KINDS.find(({ title }) => title === 'MinIO')!
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())
if (kind.missing !== null) process.stderr.write(`skipped: budgets of reads: ${kind.missing}\n`)

const python = (volume: TestVolume, script: string) => volume.shell(`python3 -c '${script}'`, { timeoutMs: 300_000 })

describe.skipIf(kind.missing !== null)('requests of cold reads on MinIO (needs MinIO)', () => {
  const create = (memory = '1G') => volumes.create(kind, { mount: ['--lease', '600', '--memory', memory] })

  test('a sequential read takes 1.05 x B / segment + 4 GET, with --memory 256M too', async () => {
    const bytes = 160 * MIB + 12_345
    const volume = await create('256M')
    await volume.shell(`head -c ${bytes} /dev/urandom > large`)
    const sum = await volume.shell('sha256sum large')
    await volume.remountCold()
    await volume.shell('ls -l large')
    const counts = await costOf(volume, async () => expect(await volume.shell('sha256sum large')).toBe(sum))
    const allowed = Math.floor((1.05 * bytes) / SEGMENT_BYTES) + 4
    reportCost(`read ${bytes} bytes`, counts, `${allowed} GET`)
    expect(counts.get).toBeLessThanOrEqual(allowed)
    expect(counts.get).toBeGreaterThanOrEqual(Math.floor(bytes / SEGMENT_BYTES))
  })

  test('tar c of a tree takes 2 GET for each of its segments and 10, with --memory 256M too', async () => {
    const volume = await create('256M')
    // More than the cache of blocks holds with 256M.
    await python(
      volume,
      `import os
for d in range(40):
  os.mkdir(f"d{d:02}")
  for f in range(250):
      with open(f"d{d:02}/file-{f:03}", "wb") as file:
          file.write(os.urandom(10_000))`,
    )
    const tar = 'tar c --sort=name . | sha256sum'
    const sum = await volume.shell(tar)
    await volume.remountCold()
    const segments = (await segmentSizes(volume.store.name)).length
    await volume.shell('ls -d .')
    const counts = await costOf(volume, async () => expect(await volume.shell(tar)).toBe(sum))
    reportCost(`tar c of 10,000 files in ${segments} segments`, counts, `${segments * 2 + 10} GET`)
    expect(segments).toBeGreaterThanOrEqual(100_000_000 / SEGMENT_BYTES)
    expect(counts.get).toBeLessThanOrEqual(segments * 2 + 10)
  })

  test('a mount and find take 2 GET for each segment of metadata and 10; a missing name and a known one then nothing', async () => {
    const volume = await create()
    await python(
      volume,
      `import os
for d in range(1500):
    os.mkdir(f"d{d:04}")
    for f in range(40): open(f"d{d:04}/file-{f:02}", "x").close()`,
    )
    await volume.unmount()
    await dropCaches(volumes.harness)
    const segments = (await segmentSizes(volume.store.name)).length
    const before = await settledRequests()
    await volume.mount()
    expect(await volume.shell('find . -newermt 2001-01-01 | wc -l')).toBe(`${1500 + 1500 * 40 + 1}\n`)
    const counts = difference(await settledRequests(), before)
    reportCost(`mount and find of 60,000 files in ${segments} segments`, counts, `${segments * 2 + 10} GET`)
    expect(counts.get).toBeLessThanOrEqual(segments * 2 + 10)
    expect(counts.get).toBeGreaterThanOrEqual(segments)
    const after = await costOf(volume, () => volume.shell('test ! -e d0123/nothing; test -e d1321/file-21'))
    expect(after.get).toBe(0)
  })

  test('the first 4 KiB from the middle of a file take one GET of at most 64 KiB', async () => {
    const volume = await create()
    await volume.shell(`head -c ${32 * MIB} /dev/urandom > large`)
    const sum = await volume.shell('dd if=large bs=4k skip=5000 count=1 status=none | sha256sum')
    await volume.remountCold()
    await volume.shell('ls -l')
    const before = (await volume.status()).transfer.receivedBytes
    const read = `import os, hashlib
fd = os.open("large", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
print(hashlib.sha256(os.pread(fd, 4096, 5000 * 4096)).hexdigest() + "  -")`
    const counts = await costOf(volume, async () => expect(await python(volume, read)).toBe(sum))
    const received = (await volume.status()).transfer.receivedBytes - before
    reportCost(`4 KiB of a file, ${received} bytes received`, counts, '1 GET, 64 KiB')
    expect(counts.get).toBe(1)
    expect(received).toBeLessThanOrEqual(66 * 1024)
  })

  test('rm -rf of a tree takes what its journal needs, and DeleteObjects of 1,000 keys each', async () => {
    const volume = await create()
    await volume.shell('for d in $(seq 100); do mkdir d$d; for f in $(seq 30); do echo $d $f > d$d/$f; done; done')
    await volume.remountCold()
    const counts = await costOf(volume, async () => {
      await volume.shell('rm -rf d*')
      await volume.sync()
    })
    reportCost('rm -rf of 3,000 files', counts, '4 PUT, 1 DELETE')
    expect(counts.put).toBeLessThanOrEqual(4)
    expect(counts.delete).toBeLessThanOrEqual(1)
  })
})
