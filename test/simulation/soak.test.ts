// Plays new worlds for CAIRNFS_SIM_MINUTES, beginning with a seed drawn from the clock, and prints those that fail:
// `npm run soak -- --minutes N`.
import { expect, test } from 'vitest'
import { play } from './world.ts'

const MINUTES = Number(process.env.CAIRNFS_SIM_MINUTES ?? 0)
const REPORT_MS = 10_000
/** Of so many worlds one is over a folder. */
const FOLDERS_EVERY = 4

test.skipIf(MINUTES === 0)(
  'new worlds keep the promises (needs CAIRNFS_SIM_MINUTES: npm run soak)',
  async () => {
    const beginMs = Date.now()
    const endMs = beginMs + MINUTES * 60_000
    const first = Math.floor(beginMs / 1000)
    const failures: number[] = []
    let reportMs = beginMs + REPORT_MS
    let seed = first
    for (; Date.now() < endMs; seed++) {
      try {
        await play({ seed, disk: seed % FOLDERS_EVERY === 0 })
      } catch (error) {
        failures.push(seed)
        console.log((error as Error).message)
      }
      if (Date.now() < reportMs) continue
      reportMs += REPORT_MS
      const perSecond = (seed + 1 - first) / ((Date.now() - beginMs) / 1000)
      const leftSec = Math.max(0, Math.round((endMs - Date.now()) / 1000))
      console.log(`${seed + 1 - first} worlds, ${perSecond.toFixed(1)}/s, ${failures.length} failed, ${leftSec} s left`)
    }
    console.log(`${seed - first} worlds from seed ${first} on, ${failures.length} failed: ${failures.join(' ')}`)
    expect(failures, 'seeds that failed; mended, they go into regressions.json').toEqual([])
  },
  86_400_000,
)
