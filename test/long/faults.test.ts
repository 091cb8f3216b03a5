// A mount whose requests to MinIO are broken at random for ten minutes: faults of every kind, singly and together, and
// outages. What test/mount/faults.test.ts shows of each must hold of all.
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { FaultyVolume, minioKind } from '../mount/fault-rounds.ts'
import { FAULTS } from '../s3/fault-proxy.ts'

const MINUTES = 10
const OUTAGE_MS_MAX = 20_000
/** A connection that is still for so long is given up, and its request tried again; twice, for what an outage swallows
 *  may be followed by a stall. Less than the deadline of a request. */
const GOES_ON_MS = 59_000

const reason = process.geteuid!() === 0 ? minioKind.missing : 'root only: /dev/fuse and foreign owners need it'
if (reason !== null) process.stderr.write(`skipped: random faults over a real socket: ${reason}\n`)

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(reason !== null)('a mount through a proxy that breaks requests (needs MinIO and root)', () => {
  test('works on through random faults and outages, and loses nothing that was acknowledged', async (context) => {
    const seed = Number(process.env.CAIRNFS_TEST_SEED ?? Date.now() % 1_000_000)
    process.stderr.write(`faults: CAIRNFS_TEST_SEED=${seed}\n`)
    const random = seededRandom(seed)
    const faulty = await FaultyVolume.start(context, seed)
    const { proxy } = faulty
    const endMs = performance.now() + MINUTES * 60_000
    const outages = { refuse: 0, blackHole: 0 }
    while (performance.now() < endMs) {
      const rules = FAULTS.filter(() => random.next() < 0.3).map((fault) => {
        // A stall takes its time: one is enough.
        const times = fault.startsWith('stalled') ? { times: 1 } : {}
        const share = random.next() * 0.3
        return proxy.inject(fault, { chance: () => random.next() < share, ...times })
      })
      await passed(random.next() * 5000)
      if (random.next() < 0.2) {
        const outage = random.next() < 0.5 ? 'refuse' : 'blackHole'
        outages[outage]++
        await proxy[outage]()
        await passed(random.next() * OUTAGE_MS_MAX)
        expect(await faulty.list()).toBe('200')
        await proxy.recover()
      }
      for (const rule of rules) rule.stop()
      await faulty.goesOn(GOES_ON_MS)
    }
    const figures = await faulty.verify()
    process.stderr.write(`faults: ${JSON.stringify({ seed, outages, ...proxy.injected, ...figures })}\n`)
    for (const fault of FAULTS) expect(proxy.injected[fault], fault).toBeGreaterThan(0)
    expect(outages.refuse + outages.blackHole, 'outages').toBeGreaterThan(0)
    expect(figures.longestTryMs).toBeLessThan(GOES_ON_MS)
    expect(figures.retries, 'requests tried again').toBeGreaterThan(0)
  })
})
