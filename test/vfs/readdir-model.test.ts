// readdir while the directory changes, its pages are rewritten and the mount comes and goes: worlds drawn from seeds
// (listing-world.ts), judged from outside (listing-oracle.ts), which notices each of many flaws (listing-flaws.ts).
import { expect, test } from 'vitest'
import { FLAWS } from './listing-flaws.ts'
import { WrongListing } from './listing-oracle.ts'
import { playListings } from './listing-world.ts'

const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 8)
/** A flaw shows in one of that many worlds. */
const FLAW_SEEDS = 10

test('every entry that was there all along is seen exactly once, by seekdir too', async () => {
  const sum: Record<string, number> = {}
  for (let seed = 1; seed <= SEEDS; seed++) {
    const seen = await playListings({ seed })
    for (const [what, count] of Object.entries(seen)) sum[what] = (sum[what] ?? 0) + count
  }
  for (const [what, count] of Object.entries(sum)) expect(count, what).toBeGreaterThan(SEEDS)
}, 600_000)

const flaws = FLAWS.map((flaw) => [flaw.what, flaw] as const)
test.each(flaws)(
  'a readdir is found out that %s',
  async (_what, { put, says }) => {
    for (let seed = 1; seed <= FLAW_SEEDS; seed++) {
      try {
        await playListings({ seed, collide: true, flaw: put })
      } catch (error) {
        if (!(error instanceof WrongListing)) throw error
        expect(error.message).toMatch(says)
        return
      }
    }
    expect.fail('nobody noticed')
  },
  600_000,
)
