// Planting damage in a volume of tables, and looking at what is left: for the tests of inspection and repair.
import { expect } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { readContents, type SegmentId, segmentKey } from '../../src/segments/index.ts'
import { type ObjectStore, StoreError } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import {
  type Database,
  formatDatabase,
  type Inspector,
  inspectDatabase,
  openDatabase,
  openDatabaseReadOnly,
  type TableKind,
} from '../../src/tables/index.ts'
import { decodeStored } from '../../src/tables/page.ts'
import { decodeRoot, ROOT_KEY, type Root } from '../../src/tables/root.ts'
import { ALONE, HOOKS, MANY, REFERENCES, setUp, uuid } from './world.ts'

const SEGMENT_BYTES = 128 * 1024

export const parts = (store: ObjectStore, seed = 1, cacheBytes?: number) =>
  setUp({ random: seededRandom(seed) }, store, SEGMENT_BYTES, cacheBytes)

export const open = (
  store: ObjectStore,
  options: { salvage?: boolean; seed?: number; cacheBytes?: number | undefined } = {},
) => {
  const { options: database, writer } = parts(store, options.seed, options.cacheBytes)
  return openDatabase({ ...database, salvage: options.salvage ?? false }, writer)
}

export const look = (store: ObjectStore, instead?: Root) =>
  openDatabaseReadOnly({ ...parts(store).options, salvage: true }, instead)

/** kind/owner/key -> record. */
export type Content = Map<string, string>

/** Applies `kind/owner/key` -> record, null to delete. */
export function apply(database: Database, content: Content, changes: Iterable<[string, string | null]>): void {
  const transaction = database.transaction()
  for (const [name, text] of changes) {
    const [kind, owner, key] = name.split('/').map(Number) as [TableKind, number, number]
    if (text === null) transaction.delete(kind, owner, key)
    else transaction.put(kind, owner, key, Buffer.from(text))
    if (text === null) content.delete(name)
    else content.set(name, text)
  }
  database.apply(transaction)
}

/** Some text that does not deflate to nothing. */
export function textOf(seed: number, length: number): string {
  const random = seededRandom(seed + 1)
  let text = ''
  while (text.length < length) text += random.next().toString(36).slice(2)
  return text.slice(0, length)
}

/** A volume with several checkpoints behind it: a table of `records` records under ALONE, five owners under MANY, the
 *  first of them pinned. */
export async function populated(store: ObjectStore, records = 1500): Promise<{ database: Database; content: Content }> {
  await formatDatabase(store, uuid)
  const database = await open(store)
  const content: Content = new Map()
  const name = (index: number) => `${ALONE}/0/${index * 10}`
  const all = Array.from({ length: records }, (_, index) => index)
  apply(
    database,
    content,
    all.map((index) => [name(index), textOf(index, 300)]),
  )
  for (const owner of [1, 2, 3, 4, 5]) {
    apply(
      database,
      content,
      all.slice(0, 40 * owner).map((index) => [`${MANY}/${owner}/${index * 16}`, textOf(owner * 10_000 + index, 300)]),
    )
  }
  await database.checkpoint(HOOKS)
  // A second generation of some leaves, and the first of nothing else.
  apply(
    database,
    content,
    all.filter((index) => index % 400 === 0).map((index) => [name(index), textOf(index + 7, 200)]),
  )
  apply(database, content, [
    [`${MANY}/2/16`, 'second'],
    [`${MANY}/3/16`, 'second'],
    [`${REFERENCES}/0/1`, 'reference'],
  ])
  await database.checkpoint(HOOKS)
  return { database, content }
}

/** Reads every table that there is; damage is in the inspector. */
export async function inspect(database: Database): Promise<{ inspector: Inspector; content: Content }> {
  const inspector = inspectDatabase(database)
  const content: Content = new Map()
  const tables: [TableKind, number][] = [
    [ALONE, 0],
    [REFERENCES, 0],
  ]
  for (const owner of await inspector.owners(MANY)) tables.push([MANY, owner])
  for (const [kind, owner] of tables) {
    let last = -1
    await inspector.scan(kind, owner, (key, record) => {
      expect(key, 'keys in order').toBeGreaterThan(last)
      last = key
      content.set(`${kind}/${owner}/${key}`, record.toString())
    })
  }
  return { inspector, content }
}

export const sorted = (content: Content) => [...content].sort(([a], [b]) => (a < b ? -1 : 1))

export async function rootIn(store: ObjectStore): Promise<Root> {
  return decodeRoot((await store.get(ROOT_KEY)).body, uuid)
}

/** A page as it lies in its segment. */
export interface PlacedPage {
  segment: SegmentId
  offset: number
  storedBytes: number
  crc: number
  kind: number
  owner: number
  level: number
  firstKey: number
  lastKey: number
}

/** All pages in the bucket, oldest first. */
export async function pagesIn(store: ObjectStore): Promise<PlacedPage[]> {
  const pages: PlacedPage[] = []
  for (const key of await keysIn(store, 'segments/')) {
    const { body } = await store.get(key)
    const { kind, id, entries } = readContents(body)
    if (kind !== 'pages') continue
    for (const { tableKind, owner, offset, lengthBytes, crc } of entries) {
      const table = { kind: tableKind, owner }
      const page = decodeStored(body.subarray(offset, offset + lengthBytes), key, table)
      const keys = { firstKey: page.key(0), lastKey: page.key(page.count - 1) }
      pages.push({ segment: id, offset, storedBytes: lengthBytes, crc, ...table, level: page.level, ...keys })
    }
  }
  return pages.sort((a, b) => a.segment - b.segment || a.offset - b.offset)
}

/** All pages of a table in the bucket, in force or not, oldest first. */
export async function pagesOf(store: ObjectStore, kind: number, owner: number): Promise<PlacedPage[]> {
  return (await pagesIn(store)).filter((page) => page.kind === kind && page.owner === owner)
}

export async function keysIn(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for (let startAfter = ''; ; ) {
    const page = await store.list(prefix, startAfter === '' ? {} : { startAfter })
    keys.push(...page.objects.map((object) => object.key))
    if (page.next === undefined) return keys
    startAfter = page.next
  }
}

export async function copyOf(store: ObjectStore): Promise<ObjectStore> {
  const copy = createMemoryStore()
  for (const key of await keysIn(store, '')) await copy.put(key, [(await store.get(key)).body])
  return copy
}

/** A store that dies before its `calls`th call that changes something, counted from one. */
export function dyingAt(store: ObjectStore, calls: number): ObjectStore {
  let left = calls
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        if (/^(put|delete)/.test(String(property))) left--
        if (left <= 0) throw new StoreError('fatal', 'crashed')
        return member.apply(target, args) as unknown
      }
    },
  })
}

export async function flip(store: ObjectStore, key: string, at: number): Promise<void> {
  const { body } = await store.get(key)
  body[at]! ^= 0x10
  await store.put(key, [body])
}

export const flipPage = (store: ObjectStore, page: PlacedPage) =>
  flip(store, segmentKey(page.segment), page.offset + Math.floor(page.storedBytes / 2))
