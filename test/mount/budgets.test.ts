// What work costs in requests (DESIGN section 9), on MinIO, by MinIO's own count, which must equal what `status` says;
// and the barrier: killed right after it, everything is there.
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { difference, segmentBytes, settledRequests, total } from './minio-metrics.ts'
import { costOf, costToBarrier, reportCost } from './request-costs.ts'
import { dropCaches, STORE_KINDS, Volumes } from './volume-fixture.ts'

const SEGMENT_BYTES = 8 << 20
const PROGRAMS = join(import.meta.dirname, 'programs')
const kind = STORE_KINDS.find(({ title }) => title === 'MinIO')!
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())
if (kind.missing !== null) process.stderr.write(`skipped: budgets: ${kind.missing}\n`)

describe.skipIf(kind.missing !== null)('requests on MinIO (needs MinIO)', () => {
  const create = () => volumes.create(kind, { mount: ['--lease', '600'] })

  test('mounting a cleanly unmounted volume, to the first ls of its root, takes at most 8', async () => {
    const volume = await create()
    await volume.shell('mkdir a b c; echo text > d')
    await volume.unmount()
    const before = await settledRequests()
    await volume.mount()
    expect(await volume.shell('ls')).toBe('a\nb\nc\nd\n')
    const expected = (await volume.status()).requests
    const counts = difference(await settledRequests(), before)
    reportCost('mount and ls', counts, '8')
    expect(counts).toEqual(expected)
    expect(total(counts)).toBeLessThanOrEqual(8)
  })

  test('10,000 empty files in one directory take at most 12 PUT, and survive a kill right after the barrier', async () => {
    const volume = await create()
    const { counts, allowance } = await costToBarrier(volume, () =>
      volume.shell(`mkdir many; cd many; python3 -c 'for i in range(10000): open(f"file-{i:06}", "x").close()'`),
    )
    reportCost('create 10,000 files', counts, `12 PUT + ${allowance}`)
    expect(counts.put).toBeLessThanOrEqual(12 + allowance)
    await volume.crash()
    await dropCaches(volumes.harness)
    await volume.mount()
    expect((await volume.shell('ls many | wc -l; ls many | sha256sum')).split(/\s+/)[0]).toBe('10000')
    expect((await volume.status()).requests.get).toBeGreaterThan(0)
  })

  test('unpacking a tree takes 1.1 x B / segment + 20 PUT, its checkpoint and unmount (pages + data) / segment + 6', async () => {
    const volume = await create()
    const source = volumes.harness.folder()
    const made = JSON.parse(
      await volumes.harness.shell(`python3 ${PROGRAMS}/make_tree.py ${source}/tree 11000 1300`),
    ) as {
      files: number
      bytes: number
    }
    await volumes.harness.shell(`tar cf ${source}/tree.tar -C ${source} tree`)
    const { counts, allowance, elapsedSec } = await costToBarrier(volume, () =>
      volume.shell(`tar xf ${source}/tree.tar`),
    )
    const allowed = Math.floor((1.1 * made.bytes) / SEGMENT_BYTES) + 20
    reportCost(
      `unpack ${made.files} files, ${made.bytes} bytes in ${elapsedSec.toFixed(1)} s`,
      counts,
      `${allowed} PUT + ${allowance}`,
    )
    expect(counts.put).toBeLessThanOrEqual(allowed + allowance)

    const manifest = `find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`
    const wanted = await volumes.harness.shell(`cd ${source}; ${manifest}`)
    await volume.crash()
    await dropCaches(volumes.harness)
    await volume.mount()
    expect(await volume.shell(manifest)).toBe(wanted)

    // The checkpoint: by what it leaves in the bucket behind the unpack.
    const pagesBefore = await segmentBytes(volume.store.name)
    const before = await settledRequests()
    await volume.unmount()
    const unmount = difference(await settledRequests(), before)
    const changed = (await segmentBytes(volume.store.name)) - pagesBefore
    const most = Math.ceil(changed / SEGMENT_BYTES) + 6
    reportCost('checkpoint and unmount', unmount, `${most} PUT`)
    expect(unmount.put).toBeLessThanOrEqual(most)
    await volume.mount()
    expect(await volume.shell(manifest)).toBe(wanted)
  })

  test('a cold ls -lU of 100,000 files takes at most 12 GET from when the directory is looked up', async () => {
    const volume = await create()
    await volume.shell(`mkdir many; cd many; python3 -c 'for i in range(100000): open(f"file-{i:06}", "x").close()'`, {
      timeoutMs: 300_000,
    })
    await volume.remountCold()
    await volume.shell('ls -ld many')
    const counts = await costOf(volume, async () => {
      expect(await volume.shell('ls -lU many | wc -l')).toBe('100001\n')
    })
    reportCost('cold ls -lU of 100,000 files', counts, '12 GET')
    expect(counts.get).toBeGreaterThanOrEqual(1)
    expect(counts.get).toBeLessThanOrEqual(12)
  })

  test('an fsync of a 4 KiB file takes 1 PUT', async () => {
    const volume = await create()
    const script = `import os
fd = os.open("file", os.O_WRONLY | os.O_CREAT)
for i in range(20):
    os.pwrite(fd, os.urandom(4096), 4096 * (i % 3))
    os.fsync(fd)`
    const { counts, allowance } = await costToBarrier(volume, () => volume.shell(`python3 -c '${script}'`))
    reportCost('20 fsyncs of 4 KiB', counts, `20 PUT + 1 for the barrier + ${allowance}`)
    // The barrier has nothing left to do but what close(2) may have changed.
    expect(counts.put).toBeLessThanOrEqual(20 + 1 + allowance)
    expect(counts.put).toBeGreaterThanOrEqual(20)
  })

  test('100 fsyncs at once, each of a 4 KiB file by a process of its own, take at most 10 PUT', async () => {
    const volume = await create()
    const script = `import os
start, go = os.pipe()
told, ready = os.pipe()
for i in range(100):
    if os.fork() == 0:
        os.close(go)
        fd = os.open(f"file-{i}", os.O_WRONLY | os.O_CREAT)
        os.write(fd, os.urandom(4096))
        os.write(ready, b"x")
        os.read(start, 1)
        os.fsync(fd)
        os._exit(0)
for i in range(100):
    os.read(told, 1)
os.close(go)
print(sum(os.wait()[1] == 0 for i in range(100)))`
    let succeeded = ''
    const { counts, allowance } = await costToBarrier(volume, async () => {
      succeeded = await volume.shell(`python3 -c '${script}'`)
    })
    reportCost('100 concurrent fsyncs of 4 KiB', counts, `10 PUT + 1 for the barrier + ${allowance}`)
    expect(succeeded).toBe('100\n')
    expect(counts.put).toBeLessThanOrEqual(10 + 1 + allowance)
    await volume.crash()
    await dropCaches(volumes.harness)
    await volume.mount()
    expect(await volume.shell('find . -type f -size 4096c | wc -l')).toBe('100\n')
  })
})
