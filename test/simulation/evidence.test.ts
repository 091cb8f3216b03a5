// In simulated worlds, at whatever moment a volume is looked at, with writers that were overtaken still at work: `root` as
// it is is what should be `root`, and nothing of the journal is called missing or damaged.
import { expect, test } from 'vitest'
import { createMemoryStore } from '../../src/store/memory.ts'
import { recoverRoot } from '../../src/tables/index.ts'
import { salvageTenures } from '../../src/tables/salvage.ts'
import { readVolumeJson } from '../../src/volume/index.ts'
import { seedsToTry } from '../seeds.ts'
import { play } from './world.ts'

const SEEDS = seedsToTry({ briefly: 20, atLength: 40 })

test(`a volume in use, or left by a crash, is never seen as damaged (${SEEDS} seeds)`, async () => {
  let looks = 0
  let replayed = 0
  const onMount = async (objects: ReadonlyMap<string, { body: Buffer }>) => {
    const store = createMemoryStore()
    for (const [key, { body }] of objects) await store.put(key, [body])
    const { uuid } = await readVolumeJson(store)
    const { root, damage, slotDamage } = await recoverRoot({ store, volumeUuid: uuid })
    expect([damage, slotDamage]).toEqual([null, null])
    const { commits, leftOut } = await salvageTenures({ store, volumeUuid: uuid }, 0, root.tenures, null)
    expect(leftOut).toEqual([])
    looks++
    replayed += commits.length
  }
  for (let seed = 1; seed <= SEEDS; seed++) await play({ seed, disk: seed % 4 === 0, onMount })
  expect(looks).toBeGreaterThan(2 * SEEDS)
  expect(replayed).toBeGreaterThan(SEEDS)
}, 600_000)
