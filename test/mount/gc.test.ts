// gc and the cleaner on a real volume: the space of deleted files comes back, a dry run changes nothing, a mounted volume is
// refused.
import { afterEach, expect, test } from 'vitest'
import type { GcReport } from '../../src/volume/index.ts'
import { shellQuote } from './harness.ts'
import { describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()

afterEach(() => volumes.cleanUp())

async function gc(volume: TestVolume, options: string[]): Promise<GcReport> {
  const told = await volume.cairnfs(['gc', volume.store.name, ...volume.store.options, '--json', ...options])
  return JSON.parse(told) as GcReport
}

describeStores('gc gives back what is no longer used', (kind) => {
  test('after files were deleted, and nothing before, nor from a volume that is mounted', async () => {
    const volume = await volumes.create(kind, { format: ['--segment-size', '1M'], mount: ['--grace', '0'] })
    await volume.shell(`for i in $(seq 8); do head -c 3000000 /dev/urandom >f$i; done; sha256sum f1 f5 >sums`)
    await volume.sync()
    const refused = await volume.run(
      `${process.execPath} ${shellQuote(`${import.meta.dirname}/../../dist/main.js`)} gc ${shellQuote(volume.store.name)} ` +
        volume.store.options.map(shellQuote).join(' '),
    )
    expect(refused.status).toBe(1)
    expect(refused.stderr).toContain('is mounted')
    await volume.shell('rm f2 f3 f4 f6 f7 f8')
    await volume.unmount()

    const would = await gc(volume, ['--dry-run'])
    expect(would.dryRun).toBe(true)
    expect(would.dead.bytes).toBeGreaterThan(15_000_000)
    expect(await gc(volume, ['--dry-run']), 'a dry run changes nothing').toEqual(would)

    const kept = await gc(volume, [])
    expect(kept.dead.bytes, 'the grace period of an hour').toBe(0)
    const did = await gc(volume, ['--grace', '0'])
    expect(did.dead.bytes).toBeGreaterThan(15_000_000)
    expect(did.foreign).toEqual([])
    expect((await gc(volume, ['--dry-run'])).dead.bytes).toBeLessThan(100_000)

    await volume.mount()
    await volume.shell('sha256sum -c sums')
    expect((await volume.status()).clean.deletedSegments).toBeGreaterThanOrEqual(0)
    await volume.unmount()
  })
})
