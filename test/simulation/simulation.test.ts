// The promises of DESIGN section 5 in simulated worlds (world.ts). CAIRNFS_SIM_SEED=n plays one seed and prints it.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { seedsToTry } from '../seeds.ts'
import { play } from './world.ts'

const ONE = process.env.CAIRNFS_SIM_SEED
const SEEDS = seedsToTry({ briefly: 100, atLength: 200 })
/** So that a run tells of several flaws at once. */
const FAILURES_MAX = 5

test('a seed plays the same way twice', async () => {
  const first = await play({ seed: 1 })
  const second = await play({ seed: 1 })
  expect(second).toEqual(first)
})

interface Regression {
  seed: number
  /** A world over a folder. */
  disk?: boolean
  /** What failed there, and was mended. */
  reason: string
}
const regressions = JSON.parse(readFileSync(new URL('./regressions.json', import.meta.url), 'utf8')) as Regression[]

test.each(regressions)('seed $seed keeps the promises: $reason', async ({ seed, disk = false }) => {
  await play({ seed, disk })
})

test(`the promises hold in simulated worlds (${ONE === undefined ? SEEDS : 1} seeds)`, async () => {
  if (ONE !== undefined) {
    await play({ seed: Number(ONE), verbose: true })
    return
  }
  const sum = { events: 0, operations: 0, acknowledged: 0, kills: 0, takeOvers: 0, looks: 0 }
  const failures: string[] = []
  for (let seed = 1; seed <= SEEDS && failures.length < FAILURES_MAX; seed++) {
    try {
      const world = await play({ seed })
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += world[name]
    } catch (error) {
      failures.push((error as Error).message)
    }
  }
  console.log(`${SEEDS} worlds: ${JSON.stringify(sum)}`)
  expect(failures.join('\n\n')).toBe('')
  expect(sum.acknowledged).toBeGreaterThan(SEEDS)
}, 600_000)
