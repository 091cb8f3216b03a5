// The local store over a simulated disk whose power is cut (local-store.ts). CAIRNFS_SIM_SEED=n plays one seed.
import { expect, test } from 'vitest'
import { type Rule, withoutRule } from '../../src/platform/index.ts'
import { playLocalStore } from './local-store.ts'

const ONE = process.env.CAIRNFS_SIM_SEED
const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 100)
const FAILURES_MAX = 3

test('a seed plays the same way twice', async () => {
  expect(await playLocalStore(1)).toEqual(await playLocalStore(1))
})

test(`what a local store acknowledged survives a power cut, and nothing is half there (${SEEDS} seeds)`, async () => {
  const sum = { acknowledged: 0, powerCuts: 0, tookEffect: 0, didNot: 0 }
  const failures: string[] = []
  const [first, last] = ONE === undefined ? [1, SEEDS] : [Number(ONE), Number(ONE)]
  for (let seed = first; seed <= last && failures.length < FAILURES_MAX; seed++) {
    try {
      const world = await playLocalStore(seed)
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += world[name]
    } catch (error) {
      failures.push((error as Error).message)
    }
  }
  console.log(`${last - first + 1} worlds of the local store: ${JSON.stringify(sum)}`)
  expect(failures.join('\n\n')).toBe('')
  if (ONE !== undefined) return
  for (const count of Object.values(sum)) expect(count).toBeGreaterThan(SEEDS)
}, 600_000)

test.each<Rule>([
  'the local store syncs files before their names',
  'the local store syncs folders before it acknowledges',
])('without the rule "%s" that breaks', async (rule) => {
  await expect(withoutRule(rule, () => playLocalStore(1))).rejects.toThrow(/holds (nothing|\d+ bytes .*), not/)
})
