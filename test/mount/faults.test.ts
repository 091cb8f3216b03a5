// A mount whose requests to MinIO are broken on the way: work goes on, nothing acknowledged is lost, and no call of a
// program fails or hangs longer than the deadline of the request it waits for. Random faults for longer are in
// test/long/faults.test.ts.
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { FAULTS, type Fault, startFaultProxy } from '../s3/fault-proxy.ts'
import { FaultyVolume, minioKind } from './fault-rounds.ts'
import { until } from './harness.ts'
import { dropCaches, Volumes } from './volume-fixture.ts'

/** Of journal and root (DESIGN section 5). */
const DEADLINE_MS = 60_000
/** Of every request while mounting. */
const MOUNTING_DEADLINE_MS = 10_000
/** How long a connection may be still, before its request is tried again on another. */
const IDLE_MS = 30_000
const OUTAGE_MS = 20_000
/** Between the end of an outage and the next try: the longest pause, and a busy machine. */
const SLACK_MS = 8000
const ROUND_MS = 1500

const reason = process.geteuid!() === 0 ? minioKind.missing : 'root only: /dev/fuse and foreign owners need it'
if (reason !== null) process.stderr.write(`skipped: faults over a real socket: ${reason}\n`)

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

// Side by side: they wait, mostly.
describe.skipIf(reason !== null)(
  'a mount through a proxy that breaks requests (needs MinIO and root)',
  { concurrent: true },
  () => {
    test('works on through each fault, and loses nothing that was acknowledged', async (context) => {
      const faulty = await FaultyVolume.start(context, 1)
      const { proxy } = faulty
      const random = seededRandom(1)
      const isStall = (fault: Fault) => fault.startsWith('stalled')
      for (const fault of FAULTS.filter((one) => !isStall(one))) {
        const rule = proxy.inject(fault, { chance: () => random.next() < 0.3 })
        await passed(ROUND_MS)
        rule.stop()
        await faulty.goesOn()
      }
      // Each holds somebody up until the connection has been still for long: one a kind, all at once.
      proxy.inject('stalled download', { times: 1, matches: ({ method }) => method === 'GET' })
      proxy.inject('stalled upload', { times: 1, matches: ({ method }) => method === 'PUT' })
      const isStalled = () => proxy.injected['stalled download'] + proxy.injected['stalled upload'] === 2
      await until(isStalled, 'requests to stall')
      await faulty.goesOn(IDLE_MS + SLACK_MS)
      const figures = await faulty.verify()
      process.stderr.write(`faults: ${JSON.stringify(proxy.injected)} ${JSON.stringify(figures)}\n`)
      for (const fault of FAULTS) expect(proxy.injected[fault], fault).toBeGreaterThan(0)
      expect(figures.retries, 'requests tried again').toBeGreaterThan(0)
      expect(figures.longestTryMs).toBeLessThan(IDLE_MS + SLACK_MS)
      expect(figures.longestStepMs).toBeLessThan(DEADLINE_MS)
    })

    test.for([
      ['refuses connections', 'refuse', SLACK_MS],
      // What was asked at its very end is given up when the connection has been still for long.
      ['answers nothing', 'blackHole', IDLE_MS + SLACK_MS],
    ] as const)(
      'lists what is cached while the store %s for 20 s, works on then, and loses nothing',
      async ([, outage, afterMs], context) => {
        const faulty = await FaultyVolume.start(context, outage.length)
        const { proxy } = faulty
        const retriesBefore = faulty.retries
        const over = passed(OUTAGE_MS)
        await proxy[outage]()
        for (const isForgotten of [false, true]) {
          if (isForgotten) await dropCaches(faulty.volumes.harness)
          expect(await faulty.list()).toBe('200')
        }
        await over
        await proxy.recover()
        await faulty.goesOn(afterMs)
        const { retries, ...figures } = await faulty.verify()
        process.stderr.write(`outage (${outage}): ${retries} retries, ${JSON.stringify(figures)}\n`)
        expect(retries - retriesBefore, 'requests tried again').toBeGreaterThan(0)
        if (outage === 'blackHole') expect(proxy.swallowed, 'requests swallowed').toBeGreaterThan(0)
        expect(figures.longestStepMs, 'the outage was felt').toBeGreaterThan(OUTAGE_MS / 2)
        expect(figures.longestStepMs).toBeLessThan(DEADLINE_MS)
        expect(figures.longestTryMs).toBeLessThan(IDLE_MS + SLACK_MS)
      },
    )

    test('is not made, and says so within 10 s and its start, when nothing is answered', async ({ onTestFinished }) => {
      const volumes = new Volumes()
      const proxy = await startFaultProxy(process.env.CAIRNFS_TEST_S3 ?? '')
      onTestFinished(async () => {
        await volumes.cleanUp()
        await proxy.close()
      })
      const volume = await volumes.create(minioKind)
      await volume.unmount()
      proxy.blackHole()
      const startedMs = performance.now()
      await expect(volume.mount(['--endpoint', proxy.endpoint])).rejects.toThrow(/no answer within 10000 ms/)
      expect(performance.now() - startedMs).toBeLessThan(MOUNTING_DEADLINE_MS + SLACK_MS)
      expect(proxy.swallowed).toBeGreaterThan(0)
      await proxy.recover()
      await volume.mount(['--endpoint', proxy.endpoint])
      await volume.unmount()
    })
  },
)
