// Large trees against a plain map: contents, shape, what is counted, and how much is held and done between two turns.
import { describe, expect, test } from 'vitest'
import { type Clock, type Random, seededRandom } from '../../src/platform/index.ts'
import { TableChanges } from '../../src/tables/table-state.ts'
import { changesOf, expectInShape, recordOf, Tree } from './tree.ts'
import { clock } from './world.ts'

const below = (random: Random, end: number) => Math.floor(random.next() * end)
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!

/** A tree, and the map that it should be: key -> length of the record. */
class Model {
  readonly tree: Tree
  readonly map = new Map<number, number>()
  changes = new Map<number, number | null>()
  cleared = false

  constructor(groupBits: number) {
    this.tree = new Tree(groupBits)
  }

  put(key: number, lengthBytes: number): void {
    this.map.set(key, lengthBytes)
    this.changes.set(key, lengthBytes)
  }

  delete(key: number): void {
    this.map.delete(key)
    this.changes.set(key, null)
  }

  clear(): void {
    this.map.clear()
    this.changes.clear()
    this.cleared = true
  }

  async checkpoint(touched: readonly number[] = []): Promise<void> {
    await this.tree.write(changesOf(this.changes, this.cleared), { touched })
    this.changes = new Map()
    this.cleared = false
  }

  async check(): Promise<void> {
    await expectInShape(this.tree)
    const content = await this.tree.content()
    expect(content.size).toBe(this.map.size)
    let last = -1
    for (const [key, record] of content) {
      expect(key > last).toBe(true)
      last = key
      const lengthBytes = this.map.get(key)
      if (lengthBytes === undefined || record !== recordOf(key, lengthBytes).toString('latin1'))
        expect.unreachable(`key ${key} has a record of ${record.length} bytes, not ${lengthBytes}`)
    }
  }
}

/** What a checkpoint may bring, by chance. */
const STEPS: Record<string, (model: Model, random: Random, keys: () => number) => void> = {
  'many keys anywhere'(model, random, keys) {
    const count = below(random, 60_000)
    for (let index = 0; index < count; index++) model.put(keys(), 1 + below(random, 200))
  },
  'a few keys anywhere'(model, random, keys) {
    for (let index = below(random, 40); index >= 0; index--) model.put(keys(), 1 + below(random, 200))
  },
  'long records'(model, random, keys) {
    for (let index = below(random, 100); index >= 0; index--) model.put(keys(), 1 + below(random, 16_384))
  },
  'a dense range'(model, random, keys) {
    const from = keys()
    for (let index = below(random, 20_000); index >= 0; index--) model.put(from + index, 1 + below(random, 60))
  },
  'a large group'(model, random, keys) {
    const from = Math.floor(keys() / 256) * 256
    for (let index = 0; index < 256; index++) model.put(from + index, 1 + below(random, 600))
  },
  'most keys go'(model, random) {
    for (const key of [...model.map.keys()]) if (random.next() < 0.95) model.delete(key)
  },
  'a range goes'(model, random, keys) {
    const from = keys()
    const to = from + below(random, 2 ** 52)
    for (const key of [...model.map.keys()]) if (from <= key && key < to) model.delete(key)
  },
  'leaves here and there shrink'(model, random) {
    const known = [...model.map.keys()].sort((a, b) => a - b)
    for (let leaf = below(random, 40); leaf >= 0; leaf--) {
      const from = below(random, known.length)
      for (const key of known.slice(from, from + 1500)) if (random.next() < 0.98) model.delete(key)
    }
  },
  'some keys go, and some that were never there'(model, random, keys) {
    for (const key of [...model.map.keys()]) if (random.next() < 0.1) model.delete(key)
    for (let index = below(random, 100); index >= 0; index--) model.delete(keys())
  },
  'all is cleared'(model) {
    model.clear()
  },
}

describe('a large table is what a plain map says, and in shape, after any changes:', () => {
  const seeds = Number(process.env.CAIRNFS_TEST_SEEDS ?? 0) || 6
  test.each(Array.from({ length: seeds }, (_, seed) => seed))('seed %i', async (seed) => {
    const random = seededRandom(1000 + seed)
    const groupBits = pick(random, [0, 8])
    const model = new Model(groupBits)
    // In some worlds keys are hashes with ordinals, as those of names.
    const keys = () => (groupBits === 0 ? below(random, 2 ** 53) : below(random, 2 ** 45) * 256 + below(random, 2))
    // Long records and large groups allow for pages that are less full: only some worlds have them.
    const names = Object.keys(STEPS).filter(
      (name) => seed % 2 === 1 || (name !== 'long records' && name !== 'a large group'),
    )
    const start = 30_000 + below(random, 100_000)
    for (let index = 0; index < start; index++) model.put(keys(), 1 + below(random, 200))
    await model.checkpoint()
    await model.check()
    for (let round = 0; round < 8; round++) {
      for (let steps = below(random, 3); steps >= 0; steps--) STEPS[pick(random, names)]?.(model, random, keys)
      const known = [...model.map.keys()]
      const touched = known.length === 0 ? [] : Array.from({ length: below(random, 20) }, () => pick(random, known))
      await model.checkpoint(touched.sort((a, b) => a - b))
      await model.check()
    }
  })
})

test('a tree with inner pages of inner pages shrinks to what the few entries that are left need', async () => {
  const tree = new Tree(8, 8 << 20)
  const random = seededRandom(5)
  const keys = Array.from({ length: 20_000 }, () => below(random, 2 ** 45) * 256)
  const left = new Set(keys)
  await tree.write(changesOf(keys.map((key) => [key, 8000])))
  expect(await heightOf(tree)).toBe(3)
  for (let share = 0; share < 5; share++) {
    // In random order: keys were drawn at random.
    const going = keys.slice(share * 3999, (share + 1) * 3999)
    for (const key of going) left.delete(key)
    await tree.write(changesOf(going.map((key) => [key, null])))
    await expectInShape(tree)
  }
  expect(new Set((await tree.content()).keys())).toEqual(left)
  expect((await tree.pages()).length).toBe(1)
})

test('a leaf that lost most of its entries is joined with the next one, the last leaf with the one before', async () => {
  for (let lost = 0; lost < 5; lost++) {
    const tree = new Tree(0)
    await tree.write(changesOf(Array.from({ length: 2500 }, (_, key) => [key, 100])))
    const leaves = (await tree.pages()).filter(({ page }) => page.level === 0)
    expect(leaves.length).toBe(5)
    const { page } = leaves[lost]!
    const going = Array.from({ length: page.count - 3 }, (_, at) => page.key(at + 1))
    await tree.write(changesOf(going.map((key) => [key, null])))
    await expectInShape(tree)
    const after = (await tree.pages()).filter((each) => each.page.level === 0)
    // Those that need not be touched are where they were.
    expect(after.filter(({ pointer }) => leaves.some((each) => each.pointer.crc === pointer.crc)).length).toBe(3)
  }
})

test.each(['first', 'last'])(
  'the %s inner page, when small, is joined with one in which nothing changed',
  async (which) => {
    const tree = new Tree(0, 8 << 20)
    const count = 20_000
    await tree.write(changesOf(Array.from({ length: count }, (_, key) => [key, 8000])))
    expect(await heightOf(tree)).toBe(3)
    const inner = (await tree.pages()).filter(({ page }) => page.level === 1).map(({ page }) => page.key(0))
    const [, second, ...more] = inner as [number, number]
    expect(more).toEqual([])
    const [from, to] = which === 'first' ? [100, second] : [second + 100, count]
    await tree.write(changesOf(Array.from({ length: to - from }, (_, index) => [from + index, null])))
    await expectInShape(tree)
    expect(await heightOf(tree)).toBe(2)
  },
)

async function heightOf(tree: Tree): Promise<number> {
  return Math.max(...(await tree.pages()).map(({ page }) => page.level)) + 1
}

test('the root page is the newest page of its table, also when an old page is left alone', async () => {
  const tree = new Tree(0)
  await tree.write(changesOf(Array.from({ length: 2000 }, (_, key) => [key, 100])))
  const [first, second] = await tree.pages()
  expect(second!.page.level).toBe(0)
  const boundary = second!.page.key(0)
  const last = Math.max(...tree.pageSegments.keys())
  await tree.write(changesOf(Array.from({ length: 2000 - boundary }, (_, index) => [boundary + index, null])))
  await expectInShape(tree)
  expect((await tree.content()).size).toBe(first!.page.count)
  expect(tree.root!.segment).toBeGreaterThan(last)
})

/** Time that passes with every look at it, so that whoever yields every few ms does so at each look. */
function hurriedClock(onYield: () => void): Clock {
  let ms = 0
  return {
    ...clock,
    monotonicMs: () => (ms += 5),
    yield: async () => {
      onYield()
      await clock.yield()
    },
  }
}

describe('writing a table', () => {
  const many = Array.from({ length: 200_000 }, (_, index) => index)
  const cases: Record<string, { before: [number, number][]; changed: [number, number | null][]; cleared?: boolean }> = {
    'new entries': { before: [], changed: many.map((key) => [key, 100]) },
    'entries among others': {
      before: many.map((key) => [2 * key, 100]),
      changed: many.map((key) => [2 * key + 1, 40]),
    },
    removals: { before: many.map((key) => [key, 100]), changed: many.map((key) => [key, null]) },
    'removals of what was never there': { before: [[7, 1]], changed: many.map((key) => [key + 10, null]) },
    'a table cleared': { before: many.map((key) => [key, 400]), changed: [[1, 1]], cleared: true },
  }
  test.each(Object.entries(cases))(
    'yields after a bounded number of entries: %s',
    async (_, { before, changed, cleared }) => {
      const tree = new Tree(4)
      await tree.write(changesOf(before))
      let handled = 0
      let most = 0
      let yields = 0
      const changes = changesOf(changed, cleared)
      const counted = countingCursors(changes, () => {
        most = Math.max(most, ++handled)
      })
      const writer = await tree.write(counted, {
        clock: hurriedClock(() => {
          handled = 0
          yields++
        }),
      })
      expect(most).toBeLessThanOrEqual(256)
      expect(yields).toBeGreaterThanOrEqual(changed.length / 256)
      expect(writer.heldBytes).toBeLessThan(1 << 20)
    },
  )

  test('holds as much for a hundred thousand entries as for ten thousand', async () => {
    const heldFor = async (count: number) => {
      const tree = new Tree(4)
      const before = Array.from({ length: count }, (_, key) => [3 * key, 100] as [number, number])
      await tree.write(changesOf(before))
      const writer = await tree.write(changesOf(before.map(([key]) => [key + 1, 100])))
      return writer.heldBytes
    }
    const few = await heldFor(10_000)
    expect(await heldFor(100_000)).toBeLessThan(few + 16_384)
  })
})

/** The same changes; `onNext` is called for each that is passed. */
function countingCursors(changed: TableChanges, onNext: () => void): TableChanges {
  const counting = new TableChanges()
  counting.cleared = changed.cleared
  counting.changes.cursor = (from) => {
    const cursor = changed.changes.cursor(from)
    const next = cursor.next.bind(cursor)
    cursor.next = () => {
      onNext()
      next()
    }
    return cursor
  }
  return counting
}
