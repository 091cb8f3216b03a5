// Inspection of damaged tables: what can be read is given out, what cannot is told once with its range of keys, and no
// damage makes it throw.
import { describe, expect, test } from 'vitest'
import { type SegmentId, segmentKey } from '../../src/segments/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { inspectDatabase, openDatabaseReadOnly, type TableKind } from '../../src/tables/index.ts'
import { buildPage, encodePointer, encodeStored } from '../../src/tables/page.ts'
import { encodeRoot, ROOT_KEY, ROWS, type Root } from '../../src/tables/root.ts'
import {
  apply,
  type Content,
  flipPage,
  inspect,
  look,
  open,
  pagesOf,
  parts,
  populated,
  rootIn,
  sorted,
} from './damage.ts'
import { ALONE, HOOKS, MANY, REFERENCES, uuid } from './world.ts'

/** What of `content` lies in a table, outside of a range. */
const outside = (content: Content, kind: number, owner: number, from: number, to: number) =>
  sorted(content).filter(([name]) => {
    const [k, o, key] = name.split('/').map(Number) as [number, number, number]
    return k !== kind || o !== owner || key < from || key >= to
  })

async function fullestSegment(store: ObjectStore): Promise<SegmentId> {
  const { pageSegments } = await rootIn(store)
  return [...pageSegments].sort(([, a], [, b]) => b.liveBytes - a.liveBytes)[0]![0] as SegmentId
}

async function closed(records?: number): Promise<{ store: ObjectStore; content: Content }> {
  const store = createMemoryStore()
  const { database, content } = await populated(store, records)
  await database.close(HOOKS)
  return { store, content }
}

describe('a whole database', () => {
  test('is read wholly, changes of the journal on top, and counted as root counts', async () => {
    const store = createMemoryStore()
    const { database, content } = await populated(store)
    apply(database, content, [
      [`${ALONE}/0/0`, null],
      [`${ALONE}/0/5`, 'between'],
      [`${ALONE}/0/999999`, 'behind'],
      [`${MANY}/9/3`, 'a table without pages'],
    ])
    const transaction = database.transaction()
    transaction.clear(MANY, 4)
    transaction.put(MANY, 4, 1, Buffer.from('after the clear'))
    database.apply(transaction)
    for (const name of [...content.keys()]) if (name.startsWith(`${MANY}/4/`)) content.delete(name)
    content.set(`${MANY}/4/1`, 'after the clear')
    await database.commit()
    await database.close('abandon')

    const { inspector, content: found } = await inspect(await look(store))
    expect(sorted(found)).toEqual(sorted(content))
    expect(inspector.damages).toEqual([])
    expect(await inspector.owners(MANY)).toEqual([1, 2, 3, 4, 5, 9])
    const counted = inspector.pageSegments()
    expect(counted).toEqual((await rootIn(store)).pageSegments)
    expect(inspector.pagesRead).toBeGreaterThan(10)
    expect(inspector.pagesExpected).toBe(inspector.pagesRead)
    // A second scan counts nothing again.
    await inspector.scan(ALONE, 0, () => {})
    expect(inspector.pageSegments()).toEqual(counted)
  })
})

describe('damage is told with its range of keys, and the rest is read:', () => {
  test('a flipped bit in a leaf; its older version is found', async () => {
    const { store, content } = await closed()
    // The leaf in force of the first keys was written by the second checkpoint.
    const leaves = (await pagesOf(store, ALONE, 0)).filter((page) => page.level === 0 && page.firstKey === 0)
    expect(leaves.length).toBe(2)
    const leaf = leaves[1]!
    await flipPage(store, leaf)
    const { inspector, content: found } = await inspect(await look(store))
    const { from, to } = inspector.damages[0]!.table!
    expect(inspector.damages).toEqual([
      {
        kind: 'damaged-page',
        object: segmentKey(leaf.segment),
        message: expect.stringContaining(segmentKey(leaf.segment)),
        table: { kind: ALONE, owner: 0, from: 0, to: expect.any(Number) },
      },
    ])
    expect(to).toBeGreaterThan(leaf.lastKey)
    expect(sorted(found)).toEqual(outside(content, ALONE, 0, from, to))
    const older: [number, string][] = []
    await inspector.older(inspector.damages[0]!.table!, (key, record) => older.push([key, record.toString()]))
    expect(older.map(([key]) => key)).toEqual(Array.from({ length: leaf.lastKey / 10 + 1 }, (_, index) => index * 10))
    expect(older[1]![1]).toBe(content.get(`${ALONE}/0/10`))
    // This one changed since.
    expect(older[0]![1]).not.toBe(content.get(`${ALONE}/0/0`))
    // Told once.
    await inspector.scan(ALONE, 0, () => {})
    expect(inspector.damages.length).toBe(1)
  })

  test('a flipped bit in an inner page; all below it is found as it was in force', async () => {
    const { store, content } = await closed()
    const root = (await pagesOf(store, ALONE, 0)).filter((page) => page.level === 1).at(-1)!
    await flipPage(store, root)
    const { inspector, content: found } = await inspect(await look(store))
    expect(inspector.damages.map(({ kind, table }) => [kind, table])).toEqual([
      ['damaged-page', { kind: ALONE, owner: 0, from: 0, to: 2 ** 53 }],
    ])
    expect(sorted(found)).toEqual(outside(content, ALONE, 0, 0, 2 ** 53))
    await inspector.older(inspector.damages[0]!.table!, (key, record) =>
      found.set(`${ALONE}/0/${key}`, record.toString()),
    )
    expect(sorted(found)).toEqual(sorted(content))
  })

  test('what the journal says of a range that cannot be read is read, and not told again as older', async () => {
    const store = createMemoryStore()
    const { database, content } = await populated(store)
    apply(database, content, [
      [`${ALONE}/0/10`, 'changed'],
      [`${ALONE}/0/20`, null],
    ])
    await database.commit()
    await database.close('abandon')
    await flipPage(store, (await pagesOf(store, ALONE, 0)).at(-1)!)
    const { inspector, content: found } = await inspect(await look(store))
    expect([...found].filter(([name]) => name.startsWith(`${ALONE}/`))).toEqual([[`${ALONE}/0/10`, 'changed']])
    const older = new Set<number>()
    await inspector.older(inspector.damages[0]!.table!, (key) => older.add(key))
    expect([older.has(0), older.has(10), older.has(20), older.has(30)]).toEqual([true, false, false, true])
  })

  test('a lost segment', async () => {
    const { store, content } = await closed()
    const lost = await fullestSegment(store)
    await store.delete([segmentKey(lost)])
    const { inspector, content: found } = await inspect(await look(store))
    expect(inspector.damages.length).toBeGreaterThan(0)
    let expected = sorted(content)
    for (const { kind, object, table } of inspector.damages) {
      expect([kind, object]).toEqual(['lost-segment', segmentKey(lost)])
      const { kind: k, owner, from, to } = table!
      expected = outside(new Map(expected), k, owner, from, to)
    }
    expect(sorted(found)).toEqual(expected)
    expect(found.size).toBeGreaterThan(content.size / 2)
  })

  test('a segment cut short', async () => {
    const { store } = await closed()
    const key = segmentKey(await fullestSegment(store))
    const { body } = await store.get(key)
    await store.put(key, [body.subarray(0, body.length / 2)])
    const { inspector } = await inspect(await look(store))
    expect(new Set(inspector.damages.map(({ kind }) => kind))).toEqual(new Set(['damaged-page']))
  })

  test('the rows of a kind; their tables are found by their newest pages', async () => {
    const { store, content } = await closed()
    await flipPage(store, (await pagesOf(store, MANY + ROWS, 0)).at(-1)!)
    const { inspector, content: found } = await inspect(await look(store))
    expect(inspector.damages.map(({ kind, table }) => [kind, table?.kind])).toEqual([['damaged-page', MANY + ROWS]])
    expect(sorted(found)).toEqual(sorted(content))
  })

  test('a store that does not answer is no damage: it throws', async () => {
    const { store } = await closed()
    const { options } = parts(
      new Proxy(store, {
        get(target, property) {
          const member = Reflect.get(target, property) as (...args: unknown[]) => unknown
          if (property !== 'get') return member.bind(target)
          return async (key: string, ...rest: unknown[]) => {
            if (key.startsWith('segments/')) throw new StoreError('retryable', 'no answer')
            return member.call(target, key, ...rest)
          }
        },
      }),
    )
    const inspector = inspectDatabase(await openDatabaseReadOnly(options))
    await expect(inspector.scan(ALONE, 0, () => {})).rejects.toThrow('no answer')
  })
})

describe('a whole page in the wrong place is told:', () => {
  interface Entries {
    keys: number[]
    /** All of one length. */
    records: Buffer[]
  }

  /** Makes `root` name another root page of a table: one built of these entries. */
  async function forge(store: ObjectStore, kind: TableKind, level: number, change: (entries: Entries) => void) {
    const root = await rootIn(store)
    const entry = root.tables.find((table) => table.kind === kind)!
    const { segments } = parts(store)
    const entries: Entries = { keys: [], records: [] }
    const leaves = (await pagesOf(store, kind, 0)).filter((page) => page.level === 0)
    const newest = new Map(leaves.map((leaf) => [leaf.firstKey, leaf]))
    for (const [firstKey, { segment, offset, storedBytes, crc }] of [...newest].sort(([a], [b]) => a - b)) {
      entries.keys.push(firstKey)
      entries.records.push(encodePointer({ segment, offset, storedBytes, crc }))
    }
    change(entries)
    const id = 0x2345 as SegmentId
    const packer = segments.pagePacker(() => id)
    const ends = entries.records.map((record, index) => record.length * (index + 1))
    const packed = { keys: entries.keys, ends, bytes: Buffer.concat(entries.records) }
    const stored = encodeStored(buildPage({ kind, owner: 0, level }, packed, entries.keys.length))
    const pointer = packer.add(kind, 0, entries.keys[0]!, stored)
    await packer.upload()
    entry.pointer = pointer
    root.pageSegments.set(id, { liveBytes: pointer.storedBytes, totalBytes: pointer.storedBytes })
    await store.put(ROOT_KEY, [encodeRoot(uuid, root satisfies Root)])
  }

  const damagesIn = async (store: ObjectStore) => (await inspect(await look(store))).inspector.damages

  test('two children swapped', async () => {
    const { store } = await closed()
    await forge(store, ALONE, 1, ({ records }) => records.splice(1, 2, records[2]!, records[1]!))
    const damages = await damagesIn(store)
    expect(damages.map(({ kind }) => kind)).toEqual(['misplaced-page', 'misplaced-page'])
    expect(damages[0]!.message).toMatch(/has keys .* outside of/)
  })

  test('one child twice', async () => {
    const { store } = await closed()
    await forge(store, ALONE, 1, ({ records }) => records.splice(1, 1, records[0]!))
    expect((await damagesIn(store)).map(({ kind }) => kind)).toEqual(['misplaced-page'])
  })

  test('a level that is not one below its parent', async () => {
    const { store } = await closed()
    await forge(store, ALONE, 2, () => {})
    const damages = await damagesIn(store)
    expect(damages.length).toBeGreaterThan(3)
    expect(damages[0]!.message).toContain('has level 0, not 1')
  })

  test('the page of another table', async () => {
    const { store } = await closed()
    const { segment, offset, storedBytes, crc } = (await pagesOf(store, REFERENCES, 0)).at(-1)!
    await forge(store, ALONE, 1, ({ records }) =>
      records.splice(0, 1, encodePointer({ segment, offset, storedBytes, crc })),
    )
    const damages = await damagesIn(store)
    expect(damages.map(({ kind }) => kind)).toEqual(['misplaced-page'])
    expect(damages[0]!.message).toContain(`belongs to table ${REFERENCES}/0, not ${ALONE}/0`)
  })
})

test('a directory of many levels is read, and changes of it given, in turns', async () => {
  const store = createMemoryStore()
  const { database } = await populated(store, 10)
  // 16 KiB each: four to a leaf, and more leaves than one inner page names.
  const record = Buffer.alloc(16_384, 'x')
  const transaction = database.transaction()
  for (let key = 0; key < 9000; key++) transaction.put(REFERENCES, 0, key, record)
  database.apply(transaction)
  let seen = 0
  const inspector = inspectDatabase(database)
  await inspector.scan(REFERENCES, 0, () => seen++)
  expect(seen).toBe(9000)
  await database.checkpoint(HOOKS)
  await database.close(HOOKS)
  const pages = await pagesOf(store, REFERENCES, 0)
  expect(Math.max(...pages.map(({ level }) => level))).toBe(2)
  await flipPage(store, pages.find(({ level }) => level === 1)!)
  const { inspector: later, content } = await inspect(await look(store))
  expect(later.damages.length).toBe(1)
  const { from, to } = later.damages[0]!.table!
  expect(content.size).toBeLessThan(9000)
  const older = new Set<number>()
  await later.older(later.damages[0]!.table!, (key) => older.add(key))
  expect(older.size).toBe(Math.min(to, 9000) - from)
  await open(store).then((again) => again.close(HOOKS))
})
