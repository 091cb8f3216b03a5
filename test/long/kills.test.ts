// A hundred kills (test/mount/kills.test.ts has ten): what was acknowledged is there after each of them.
import { afterEach, expect, test } from 'vitest'
import { killRounds } from '../mount/kill-rounds.ts'
import { describeStores, Volumes } from '../mount/volume-fixture.ts'

const KILLS = 100
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores(`after ${KILLS} kills`, (kind) => {
  test('every acknowledged fsync, transaction and git commit is there', async () => {
    const seed = Number(process.env.CAIRNFS_TEST_SEED ?? Date.now() % 1_000_000)
    process.stderr.write(`kills: CAIRNFS_TEST_SEED=${seed}\n`)
    const figures = await killRounds(volumes, kind, { kills: KILLS, seed })
    process.stderr.write(`${KILLS} kills on ${kind.title}: ${JSON.stringify(figures)}\n`)
    expect(figures.kills).toBe(KILLS)
    expect(figures.replayedCommits, 'journal objects replayed').toBeGreaterThan(0)
    for (const [what, count] of Object.entries(figures.undone))
      expect(count, `${what} begun and found undone`).toBeGreaterThan(0)
  })
})
