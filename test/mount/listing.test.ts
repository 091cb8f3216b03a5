// Listing through the kernel: what it asks us for, cold and warm, and what `cairnfs status` and `stats` tell of it.
import { afterEach, describe, expect, test } from 'vitest'
import type { MountStatus } from '../../src/cli/control-protocol.ts'
import type { Sample } from '../../src/cli/stats.ts'
import { STORE_KINDS, type TestVolume, Volumes } from './volume-fixture.ts'

const FILES = 20_000
const TRIES = 10
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())
const isRoot = process.geteuid!() === 0
if (!isRoot) process.stderr.write('skipped: listings through the kernel: root only\n')

const makeFiles = (directory: string) =>
  `mkdir ${directory}; python3 -c 'for i in range(${FILES}): open(f"${directory}/file-{i:07}", "x").close()'`

type Requests = MountStatus['kernel']['requests']

/** What the kernel asks for while a command runs in the mount. */
async function requestsOf(volume: TestVolume, command: string): Promise<{ requests: Requests; output: string }> {
  const before = (await volume.status()).kernel.requests
  const output = await volume.shell(command)
  const after = (await volume.status()).kernel.requests
  const requests = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
  return { requests: Object.fromEntries(requests.filter(([, count]) => count > 0)), output }
}

const total = (requests: Requests) => Object.values(requests).reduce((sum, count) => sum + count, 0)

/** The fewest requests of several runs: the machine may take pages from the kernel's caches. */
async function leastOf(volume: TestVolume, command: string, few: number): Promise<Requests> {
  let least: Requests | null = null
  for (let run = 0; run < TRIES && (least === null || total(least) > few); run++) {
    const { requests } = await requestsOf(volume, command)
    if (least === null || total(requests) < total(least)) least = requests
  }
  return least as Requests
}

describe.skipIf(!isRoot)('a large directory (needs root)', () => {
  test('is asked for in pieces of 64 KiB, once; attributes come with it, and then all is cached', async () => {
    const volume = await volumes.create(STORE_KINDS[0]!)
    await volume.shell(makeFiles('many'))
    // Made in this mount: the kernel knows the files, and asks for the directory once.
    expect((await leastOf(volume, 'ls -lU many', 3)).LOOKUP ?? 0).toBe(0)
    expect(total(await leastOf(volume, 'ls -lU many', 3))).toBeLessThanOrEqual(3)

    await volume.remountCold()
    const before = await volume.status()
    const { requests: cold, output } = await requestsOf(volume, 'ls -lU many | wc -l')
    expect(Number(output)).toBe(FILES + 1)
    // 168 bytes each: an entry with its attributes, and the name.
    const pieces = Math.ceil((FILES * 168) / 65_536)
    expect(cold.READDIRPLUS).toBeLessThanOrEqual(pieces + 10)
    expect(total(cold) - cold.READDIRPLUS!).toBeLessThanOrEqual(6)
    const { kernel, pages } = await volume.status()
    expect(kernel.listingsUsedAhead - before.kernel.listingsUsedAhead).toBeGreaterThan(pieces / 2)
    // Some sixty bytes each in a page, and these are half full at least.
    expect(pages.loaded - before.pages.loaded).toBeGreaterThan(15)
    expect(pages.heldBytes - before.pages.heldBytes).toBeGreaterThan(1e6)
    expect(pages.prefetchedUsed).toBeGreaterThan(10)

    // ls asks twice for xattrs of the directory itself, and for its times.
    expect(total(await leastOf(volume, 'ls -lU many', 3))).toBeLessThanOrEqual(3)
    expect(total(await leastOf(volume, 'find many -size +1k', 3))).toBeLessThanOrEqual(3)
    const missing = await requestsOf(volume, 'for i in 1 2 3; do stat many/none || true; done 2>/dev/null')
    expect(missing.requests.LOOKUP).toBe(1)
    expect((await volume.status()).kernel.lookupsMissing - kernel.lookupsMissing).toBe(1)
  })

  test('stats: totals first, then what happens in each interval', async () => {
    const volume = await volumes.create(STORE_KINDS[0]!)
    await volume.shell('echo text > file')
    await volume.sync()
    const work = volume.shell(
      'until [ -e enough ]; do dd if=/dev/zero of=zeros bs=64k count=16 2>/dev/null; sync .; done',
    )
    const printed = await volume.cairnfs(['stats', volume.mountpoint, '--json', '--count', '4', '--interval', '300ms'])
    await volume.shell(': > enough')
    await work
    const samples = printed
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Sample)
    expect(samples).toHaveLength(4)
    for (const { seconds } of samples.slice(1)) expect(seconds).toBeGreaterThanOrEqual(0.3)
    const sum = (of: (sample: Sample) => number) => samples.slice(1).reduce((total, sample) => total + of(sample), 0)
    expect(sum(({ fuse }) => fuse.writtenBytes)).toBeGreaterThan(0)
    expect(sum(({ store }) => store.put)).toBeGreaterThan(0)
    const { kernel, requests } = await volume.status()
    expect(samples[0]!.fuse.requests + sum(({ fuse }) => fuse.requests)).toBeLessThanOrEqual(total(kernel.requests))
    expect(samples[0]!.store.put + sum(({ store }) => store.put)).toBeLessThanOrEqual(requests.put)
    expect(kernel.writtenBytes % (16 * 65_536)).toBe('text\n'.length)

    const lines = (await volume.cairnfs(['stats', volume.mountpoint, '--count', '2', '--interval', '0.2'])).split('\n')
    expect(lines[0]).toMatch(
      /^ +fuse +lookups +hit +pages +read +stored +ahead +waste +written +dirty +disk +get +put +cpu +memory$/,
    )
    expect(lines[1]).toMatch(/^total /)
    expect(lines).toHaveLength(4)
    await expect(volume.cairnfs(['stats', volume.mountpoint, '--interval', '0'])).rejects.toThrow(/too short/)
  })
})
