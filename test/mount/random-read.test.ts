// Reads in no order: what they fetch, and that the kernel answers by itself what was bought for them, never with bytes that
// are older than what somebody wrote.
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const PROGRAM = join(import.meta.dirname, 'programs/random_reads.py')
/** 24 MiB: three segments, and a bit. */
const PAGES = 6400

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const run = async (volume: TestVolume, what: string, count: number): Promise<Record<string, number>> =>
  JSON.parse(await volume.shell(`python3 ${PROGRAM} ${what} file ${count}`, { timeoutMs: 120_000 }))

describeStores('reads in no order', (kind) => {
  test('fetch a block, then the segment; and what was bought the kernel answers without asking', async () => {
    const volume = await volumes.create(kind)
    await run(volume, 'make', PAGES)
    await volume.remountCold()
    await volume.shell('stat file')
    const before = await volume.status()
    await volume.shell(`python3 -c 'import os
fd = os.open("file", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
assert len(os.pread(fd, 4096, 5000 * 4096)) == 4096'`)
    const first = await volume.status()
    expect(first.requests.get - before.requests.get).toBe(1)
    expect(first.transfer.receivedBytes - before.transfer.receivedBytes).toBeLessThanOrEqual(64 * 1024)

    await run(volume, 'all', 1)
    const all = await volume.status()
    // A few for each of the four segments, and the rest of them.
    expect(all.requests.get - first.requests.get).toBeLessThan(250)
    expect(all.transfer.receivedBytes - first.transfer.receivedBytes).toBeLessThan(1.5 * 4096 * PAGES)
    expect(all.kernel.storedBytes).toBeGreaterThan(0.9 * 4096 * PAGES)
    expect(all.kernel.requests.READ).toBeLessThan(PAGES / 2)

    // The kernel may drop pages at any time, as where it reclaims memory ahead of need (DAMON): those alone it asks for.
    const { absent } = await run(volume, 'all', 2)
    expect(absent).toBeLessThan(PAGES / 100)
    const again = await volume.status()
    expect(again.kernel.requests.READ! - all.kernel.requests.READ!).toBeLessThanOrEqual(absent!)
    expect(again.requests.get).toBe(all.requests.get)
    await volume.unmount()
  })

  test('beside somebody who writes, truncates and maps the file, never give what is older', async () => {
    const volume = await volumes.create(kind, { mount: ['-o', 'commit=1'] })
    await run(volume, 'make', PAGES)
    await volume.remountCold()
    const { rounds } = await run(volume, 'beside', 12)
    const { kernel } = await volume.status()
    expect(rounds).toBeGreaterThan(2)
    expect(kernel.storedBytes).toBeGreaterThan(1 << 20)
    await volume.unmount()
  })
})
