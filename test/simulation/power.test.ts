// The promises of DESIGN section 5 over a local folder whose machine loses power (world.ts, disk.ts). CAIRNFS_SIM_SEED=n
// plays one seed and prints it.
import { expect, test } from 'vitest'
import { seedsToTry } from '../seeds.ts'
import { play } from './world.ts'

const ONE = process.env.CAIRNFS_SIM_SEED
const SEEDS = seedsToTry({ briefly: 50, atLength: 100 })
/** So that a run tells of several flaws at once. */
const FAILURES_MAX = 5

test('a seed plays the same way twice', async () => {
  expect(await play({ seed: 1, disk: true })).toEqual(await play({ seed: 1, disk: true }))
})

test(`the promises hold over a folder whose power is cut (${ONE === undefined ? SEEDS : 1} seeds)`, async () => {
  if (ONE !== undefined) {
    await play({ seed: Number(ONE), disk: true, verbose: true })
    return
  }
  const sum = { events: 0, operations: 0, acknowledged: 0, kills: 0, powerCuts: 0, takeOvers: 0 }
  const failures: string[] = []
  for (let seed = 1; seed <= SEEDS && failures.length < FAILURES_MAX; seed++) {
    try {
      const world = await play({ seed, disk: true })
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += world[name]
    } catch (error) {
      failures.push((error as Error).message)
    }
  }
  console.log(`${SEEDS} worlds over a folder: ${JSON.stringify(sum)}`)
  expect(failures.join('\n\n'), 'CAIRNFS_SIM_SEED=n plays one seed alone').toBe('')
  expect(sum.acknowledged).toBeGreaterThan(SEEDS)
  expect(sum.powerCuts).toBeGreaterThan(SEEDS / 2)
}, 600_000)
