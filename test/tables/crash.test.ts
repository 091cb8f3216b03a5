// The database against plain Maps, with crashes between store calls (before or after their effect): what is recovered is
// what a prefix of the transactions left, no shorter than the last acknowledged commit. One seed, one world.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { type Database, formatDatabase, openDatabase, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { seedsToTry } from '../seeds.ts'
import { contentOf, crashing, digest, live, type Model, type World } from './crash-world.ts'
import { setUp, uuid } from './world.ts'

const SEEDS = seedsToTry({ briefly: 100, atLength: 200 })

test(`what is recovered is a prefix of the transactions, no shorter than what was acknowledged (${SEEDS} seeds)`, async () => {
  let lost = 0
  let replayed = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world: World = { store: createMemoryStore(), random: seededRandom(seed) }
    await formatDatabase(world.store, uuid)
    let allowed = { states: [digest(new Map())], from: 0 }
    let model: Model = new Map()
    for (let life = 0; life < 5; life++) {
      const isLast = life === 4
      const store = isLast ? world.store : crashing(world.store, world.random, 3 + Math.floor(world.random.next() * 90))
      const { segments, options, writer } = setUp(world, store)
      let database: Database
      try {
        if (world.random.next() < 0.2) {
          const readOnly = await openDatabaseReadOnly(options)
          expect(allowed.states.slice(allowed.from), `seed ${seed} life ${life} read-only`).toContain(
            digest(await contentOf(readOnly, segments)),
          )
        }
        database = await openDatabase(options, writer)
        model = await contentOf(database, segments)
      } catch (error) {
        if (!/crashed|transient/.test(`${error} ${(error as Error).cause}`))
          throw new Error(`seed ${seed} life ${life}: ${error}`, { cause: error })
        continue
      }
      const recovered = digest(model)
      expect(allowed.states.slice(allowed.from), `seed ${seed} life ${life}`).toContain(recovered)
      if (recovered !== allowed.states.at(-1)) lost++
      replayed += database.status.replayedCommits
      allowed = await live(world, database, segments, model).catch((error: unknown) => {
        throw new Error(`seed ${seed} life ${life}: ${error}`, { cause: error })
      })
    }
  }
  // Worlds in which nothing was ever lost or replayed would prove nothing.
  expect(lost).toBeGreaterThan(SEEDS / 10)
  expect(replayed).toBeGreaterThan(SEEDS)
}, 600_000)
