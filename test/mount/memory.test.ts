// The memory of a daemon: at most --memory and 200 MiB, whatever is read and written; what writers do not use holds what was read.
import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const MIB = 1 << 20
const MEMORY_MIB = 256
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

/** Past the kernel's cache, as who keeps what he reads does not. */
const READ_DIRECTLY = `
import mmap, os, random
page = mmap.mmap(-1, 1 << 20)
file = os.open("large", os.O_RDONLY | os.O_DIRECT)
for at in range(0, 1 << 30, 1 << 20): assert os.preadv(file, [page], at) == 1 << 20
random.seed(3)
for _ in range(400): os.preadv(file, [page], random.randrange(1 << 10) << 20)`

/** The most that the daemon had resident. */
function peakMib(volume: TestVolume): number {
  const status = readFileSync(`/proc/${volume.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024
}

describeStores(`the memory of a daemon with --memory ${MEMORY_MIB}M`, (kind) => {
  test('stays within it and 200 MiB while 1 GiB is written, read, and both at a time', async () => {
    const volume = await volumes.create(kind, { mount: ['--memory', `${MEMORY_MIB}M`] })
    const write = (name: string, mib: number) => `python3 -c '
import os
part = os.urandom(1 << 20)
with open("${name}", "wb") as f:
    for i in range(${mib}): f.write(part)
    os.fsync(f.fileno())'`
    await volume.shell(write('large', 1024))
    const peaks = { written: peakMib(volume), inTurns: 0, read: 0, both: 0 }
    // What writers leave readers take, and the other way round: memory that nobody uses any more must go.
    for (let i = 0; i < 8; i++) {
      await volume.shell(write('turns', 90))
      await volume.shell(`dd if=large of=/dev/null bs=1M skip=${i * 100} count=100 iflag=direct status=none`)
    }
    peaks.inTurns = peakMib(volume)
    await volume.remountCold()
    await volume.shell('cat large > /dev/null')
    await volume.shell(`python3 -c '${READ_DIRECTLY}'`)
    peaks.read = peakMib(volume)
    // More than its own 3/16.
    const { blockBytes } = (await volume.status()).cache
    expect(blockBytes).toBeGreaterThan(64 * MIB)
    expect(blockBytes).toBeLessThanOrEqual(112 * MIB)
    await volume.shell(`python3 -c '${READ_DIRECTLY}' & ${write('more', 400)}; wait`)
    peaks.both = peakMib(volume)
    process.stderr.write(`memory: ${kind.title}: ${JSON.stringify(peaks)} MiB\n`)
    expect(Math.max(...Object.values(peaks))).toBeLessThan(MEMORY_MIB + 200)
  })
})
