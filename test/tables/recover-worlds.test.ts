// What `root` should be, over the worlds of crash.test.ts: an intact one is never called stale; and with none, a damaged
// one or an old one in its place, what is recovered is still what the last writer left.
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { parseSegmentKey } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import {
  type Database,
  formatDatabase,
  inspectDatabase,
  openDatabase,
  openDatabaseReadOnly,
  recoverRoot,
} from '../../src/tables/index.ts'
import { contentOf, crashing, digest, live, type World } from './crash-world.ts'
import { copyOf, keysIn } from './damage.ts'
import { setUp, uuid } from './world.ts'

const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 20)

/** Keeps every root that was put. */
function remembering(store: ObjectStore, roots: Buffer[]): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return (...args: unknown[]) => {
        if (property === 'putIfMatch' && args[0] === 'root') roots.push(Buffer.concat(args[1] as Buffer[]))
        return member.apply(target, args) as unknown
      }
    },
  })
}

test(`an intact root is never called stale, and another is found in place of a lost one (${SEEDS} seeds)`, async () => {
  let stale = 0
  let behind = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world: World = { store: createMemoryStore(), random: seededRandom(seed) }
    await formatDatabase(world.store, uuid)
    const roots: Buffer[] = []
    let allowed = { states: [digest(new Map())], from: 0 }
    for (let life = 0; life < 5; life++) {
      const where = `seed ${seed} life ${life}`
      const isLast = life === 4
      const calls = 3 + Math.floor(world.random.next() * 120)
      const { segments, options, writer } = setUp(
        world,
        remembering(isLast ? world.store : crashing(world.store, world.random, calls), roots),
      )
      try {
        const database: Database = await openDatabase(options, writer)
        allowed = await live(world, database, segments, await contentOf(database, segments))
      } catch (error) {
        if (!/crashed|transient/.test(`${error} ${(error as Error).cause}`)) throw error
      }

      const intact = await recoverRoot({ store: world.store, volumeUuid: uuid })
      expect(intact.damage, where).toBe(null)
      const seen = await openDatabaseReadOnly({ ...setUp(world, world.store).options, salvage: true })
      expect(inspectDatabase(seen).damages, where).toEqual([])

      const segmentIds = (await keysIn(world.store, 'segments/')).map((key) => parseSegmentKey(key)!)
      const check = async (what: string, change: (store: ObjectStore) => Promise<unknown>) => {
        const store = await copyOf(world.store)
        await change(store)
        const recovered = await recoverRoot({ store, volumeUuid: uuid })
        const { segments: its, options: reading } = setUp(world, store)
        const database = await openDatabaseReadOnly({ ...reading, salvage: true }, recovered.root)
        expect(inspectDatabase(database).damages, `${where}, ${what}`).toEqual([])
        const found = digest(await contentOf(database, its))
        expect(allowed.states.slice(allowed.from), `${where}, ${what}`).toContain(found)
        if (found !== allowed.states[allowed.from]) behind++
        for (const { sort, end } of recovered.root.idRanges) {
          const reserved = intact.root.idRanges.find((range) => range.sort === sort)!.end
          // Where nothing shows that the root is old, nothing that lasted has such an id.
          if (recovered.damage !== null) expect(end, `${where}, ${what}: sort ${sort}`).toBeGreaterThanOrEqual(reserved)
          if (sort === 2) for (const id of segmentIds) expect(id, `${where}, ${what}`).toBeLessThan(end)
        }
        if (recovered.damage !== null) expect(recovered.root.epoch).toBeGreaterThanOrEqual(intact.root.epoch)
        return recovered.damage
      }
      expect((await check('lost', (store) => store.delete(['root'])))?.kind).toBe('lost-root')
      const old = roots[Math.floor(world.random.next() * roots.length)]
      if (old !== undefined && (await check('old', (store) => store.put('root', [old]))) !== null) stale++
    }
  }
  // Worlds in which no old root was noticed, or nothing was to be replayed, would prove nothing.
  expect(stale).toBeGreaterThan(SEEDS / 2)
  expect(behind).toBeGreaterThan(SEEDS / 2)
}, 600_000)
