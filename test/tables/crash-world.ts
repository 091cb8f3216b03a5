// Lives of a database that end in a crash between two store calls, with plain Maps of what it may hold afterwards.
import type { Random } from '../../src/platform/index.ts'
import type { DataRange, SegmentId, SegmentStore } from '../../src/segments/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import type { Database, TableKind, TableReader } from '../../src/tables/index.ts'
import { ALONE, clock, decodeRange, encodeRange, hooksFor, MANY, REFERENCES } from './world.ts'

/** Passes calls on, some of them late, until the crash; what is under way then takes effect or not, and nothing succeeds
 *  any more. Before it, puts of segments and of root fail now and then, before or after their effect. */
export function crashing(store: ObjectStore, random: Random, callsToLive: number): ObjectStore {
  let calls = 0
  const isCrashed = () => calls > callsToLive
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        calls++
        if (isCrashed()) throw new StoreError('fatal', 'crashed')
        const isSlow = random.next() < 0.15
        for (let turns = Math.floor(random.next() * (isSlow ? 80 : 6)); turns > 0; turns--) await clock.yield()
        if (isCrashed() && random.next() < 0.5) throw new StoreError('fatal', 'crashed before the effect')
        const mayFail = String(property).startsWith('put') && /^(segments|root)/.test(String(args[0]))
        const fault = mayFail ? random.next() : 1
        if (fault < 0.03) throw new StoreError('fatal', 'transient, before the effect')
        const result: unknown = await member.apply(target, args)
        if (isCrashed()) throw new StoreError('fatal', 'crashed after the effect')
        if (fault < 0.06) throw new StoreError('fatal', 'transient, after the effect')
        return result
      }
    },
  })
}

export interface World {
  store: ObjectStore
  random: Random
}

/** The logical content: kind/owner/key -> value. */
export type Model = Map<string, string>

export async function contentOf(database: TableReader & Pick<Database, 'run'>, segments: SegmentStore): Promise<Model> {
  const content: Model = new Map()
  for (const [kind, owner] of [
    [MANY, 1],
    [MANY, 2],
    [MANY, 3],
    [ALONE, 0],
  ] as const) {
    const entries = await database.run(() => {
      const found: [string, string][] = []
      database.table(kind, owner).scan(0, Number.MAX_SAFE_INTEGER, (key, bytes, start, end) => {
        found.push([`${kind}/${owner}/${key}`, bytes.toString('latin1', start, end)])
        return true
      })
      return found
    })
    for (const [key, value] of entries) content.set(key, value)
  }
  const ranges = await database.run(() => {
    const found: [number, DataRange][] = []
    database.table(REFERENCES).scan(0, Number.MAX_SAFE_INTEGER, (key, bytes, start, end) => {
      found.push([key, decodeRange(bytes.subarray(start, end))])
      return true
    })
    return found
  })
  for (const [key, range] of ranges) {
    const parts = await segments.readData(range)
    content.set(`${REFERENCES}/0/${key}`, Buffer.concat(parts).toString('latin1'))
  }
  return content
}

export function digest(model: Model): string {
  return JSON.stringify([...model].sort((a, b) => (a[0] < b[0] ? -1 : 1)))
}

export async function live(
  world: World,
  database: Database,
  segments: SegmentStore,
  model: Model,
): Promise<{ states: string[]; from: number }> {
  const { random } = world
  const pick = (below: number) => Math.floor(random.next() * below)
  const hooks = hooksFor(database, segments)
  const states = [digest(model)]
  let from = 0
  const background: Promise<unknown>[] = []
  const note = () => states.push(digest(model))
  const failed = () => undefined
  try {
    for (let step = 20 + pick(120); step > 0; step--) {
      const what = pick(20)
      if (what < 13) {
        const transaction = database.transaction()
        for (let changes = 1 + pick(what === 0 ? 60 : 4); changes > 0; changes--) {
          const [kind, owner] = pick(5) === 0 ? [ALONE, 0] : [MANY, 1 + pick(3)]
          const key = pick(400) * (pick(3) + 1)
          const name = `${kind}/${owner}/${key}`
          if (pick(3) === 0) {
            transaction.delete(kind as TableKind, owner!, key)
            model.delete(name)
          } else {
            const value = String.fromCharCode(97 + pick(26)).repeat(1 + pick(pick(4) === 0 ? 9000 : 40))
            transaction.put(kind as TableKind, owner!, key, Buffer.from(value, 'latin1'))
            model.set(name, value)
          }
        }
        database.apply(transaction)
        note()
      } else if (what === 13) {
        const owner = 1 + pick(3)
        const transaction = database.transaction()
        transaction.clear(MANY, owner)
        for (const name of model.keys()) if (name.startsWith(`${MANY}/${owner}/`)) model.delete(name)
        transaction.put(MANY, owner, 7, Buffer.from('first'))
        model.set(`${MANY}/${owner}/7`, 'first')
        database.apply(transaction)
        note()
      } else if (what < 16) {
        const key = pick(10)
        const value = `data ${random.next()}`
        const id = database.takeId('segment') as SegmentId
        const { packed, ranges } = segments.packInMemory(id, [
          { owner: 1, fileOffset: key, parts: [Buffer.from(value)] },
        ])
        const transaction = database.transaction()
        transaction.put(REFERENCES, 0, key, encodeRange(ranges[0]!))
        database.apply(transaction)
        model.set(`${REFERENCES}/0/${key}`, value)
        note()
        background.push(database.commit({ id, packed }).catch(failed))
      } else if (what < 18) {
        const at = states.length - 1
        await database.commit()
        from = Math.max(from, at)
      } else if (what === 18) {
        background.push(database.commit().catch(failed))
      } else {
        const checkpoint = database.checkpoint(hooks).catch((error: unknown) => {
          if (!/transient/.test(`${error} ${(error as Error).cause}`)) throw error
        })
        if (pick(2) === 0) await checkpoint
        else background.push(checkpoint.catch(failed))
      }
      if (pick(3) === 0) await clock.yield()
    }
    await Promise.all(background)
    await database.commit()
    from = states.length - 1
    await database.close(hooks)
    from = states.length - 1
  } catch (error) {
    await Promise.all(background)
    if (!/crashed|transient|taken over|read-only|journal/.test(`${error} ${(error as Error).cause}`)) throw error
    await database.close('abandon')
  }
  return { states, from }
}
