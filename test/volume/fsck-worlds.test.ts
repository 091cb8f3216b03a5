// In simulated worlds, at whatever moment a volume is looked at (left by a crash, in use, with writers that were overtaken
// still at work), fsck finds no damage; mending a copy of it finds nothing to mend, and leaves it well.
import { expect, test } from 'vitest'
import { seedsToTry } from '../seeds.ts'
import { play } from '../simulation/world.ts'
import { damages, FsckWorld } from './fsck-world.ts'

const SEEDS = seedsToTry({ briefly: 20, atLength: 40 })

test(`a volume in use, or left by a crash, is clean (${SEEDS} seeds)`, async () => {
  let replayed = 0
  let read = 0
  const onMount = async (objects: ReadonlyMap<string, { body: Buffer }>) => {
    const world = new FsckWorld()
    for (const [key, { body }] of objects) await world.store.put(key, [body])
    const before = await world.objects()
    const report = await world.check()
    expect(damages(report)).toEqual([])
    expect(await world.objects(), 'looking changes nothing').toEqual(before)
    replayed += report.replayedCommits
    read += report.counts.dataBytesRead
    expect(damages(await world.repair())).toEqual([])
    expect(damages(await world.check())).toEqual([])
  }
  for (let seed = 1; seed <= SEEDS; seed++) await play({ seed, disk: seed % 4 === 0, onMount })
  expect(replayed).toBeGreaterThan(SEEDS)
  expect(read).toBeGreaterThan(SEEDS * 1000)
}, 600_000)
