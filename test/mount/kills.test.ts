// kill -9 at random moments under an unpacker, SQLite and git: what was acknowledged is there, byte for byte. A hundred
// kills are in test/long/kills.test.ts.
import { afterEach, expect, test } from 'vitest'
import { killRounds } from './kill-rounds.ts'
import { describeStores, Volumes } from './volume-fixture.ts'

const KILLS = 10
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores(`after ${KILLS} kills`, (kind) => {
  test('every acknowledged fsync, transaction and git commit is there, and names are a prefix of their order', async () => {
    const seed = Number(process.env.CAIRNFS_TEST_SEED ?? Date.now() % 1_000_000)
    process.stderr.write(`kills: CAIRNFS_TEST_SEED=${seed}\n`)
    const figures = await killRounds(volumes, kind, { kills: KILLS, seed })
    process.stderr.write(`kills on ${kind.title}: ${JSON.stringify(figures)}\n`)
    expect(figures.replayedCommits, 'journal objects replayed').toBeGreaterThan(0)
    for (const [what, count] of Object.entries(figures.undone))
      expect(count, `${what} begun and found undone`).toBeGreaterThan(0)
  })
})
