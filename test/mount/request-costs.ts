// What work costs in requests: by MinIO's own count, which must equal what `status` says.
import { expect } from 'vitest'
import { difference, type RequestCounts, settledRequests } from './minio-metrics.ts'
import type { TestVolume } from './volume-fixture.ts'

/** Tells what was counted, also when the test passes. */
export function reportCost(what: string, counts: RequestCounts, budget: string): void {
  process.stderr.write(`budget: ${what}: ${JSON.stringify(counts)}, allowed ${budget}\n`)
}

/** Runs `work`, and returns what it cost. */
export async function costOf(volume: TestVolume, work: () => Promise<unknown>): Promise<RequestCounts> {
  const [before, own] = [await settledRequests(), (await volume.status()).requests]
  await work()
  const expected = difference((await volume.status()).requests, own)
  const counts = difference(await settledRequests(), before)
  expect(counts, "MinIO's count, and what status says").toEqual(expected)
  return counts
}

/** Runs `work` up to the barrier, and returns what it cost, and how many PUTs of that heartbeats and commit intervals
 *  (5 s) may have made. */
export async function costToBarrier(volume: TestVolume, work: () => Promise<unknown>) {
  await volume.sync()
  const started = performance.now()
  const counts = await costOf(volume, async () => {
    await work()
    await volume.sync()
  })
  const elapsedSec = (performance.now() - started) / 1000
  return { counts, allowance: Math.ceil(elapsedSec / 10) + 2 * Math.floor(elapsedSec / 5), elapsedSec }
}
