// What the cleaner promises: the space of what was deleted comes back, and nothing that anybody still uses goes.
import { describe, expect, test } from 'vitest'
import { USAGE } from '../../src/meta/index.ts'
import { seededRandom, withoutRule } from '../../src/platform/index.ts'
import { parseSegmentKey, segmentKey } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { checkConsistency, checkSharers, liveBytesOf } from './consistency.ts'
import { CALLER, formatVolume, mount, Paths, type World } from './world.ts'

const SEGMENT_BYTES = 256 * 1024
const HOUR_MS = 3_600_000
/** So that small files are shared too. */
const SHARE_MIN_BYTES = 4096

async function objects(store: ObjectStore, prefix = ''): Promise<{ key: string; sizeBytes: number }[]> {
  const found: { key: string; sizeBytes: number }[] = []
  let startAfter: string | undefined
  do {
    const page = await store.list(prefix, startAfter === undefined ? {} : { startAfter })
    found.push(...page.objects)
    startAfter = page.next
  } while (startAfter !== undefined)
  return found
}

const segmentKeys = async (store: ObjectStore) => (await objects(store, 'segments/')).map(({ key }) => key)

/** Checkpoints and passes until there is nothing to do. */
async function cleanToTheEnd({ fs }: World, graceMs = 0): Promise<void> {
  for (let round = 0, quiet = 0; quiet < 2; round++) {
    expect(round, 'the cleaner comes to an end').toBeLessThan(200)
    await fs.sync()
    await fs.checkpointNow()
    quiet = (await fs.clean({ graceMs, isHurried: true })) ? 0 : quiet + 1
  }
}

function content(seed: number, lengthBytes: number): Buffer {
  return seededRandom(seed).bytes(lengthBytes)
}

describe('deletion', () => {
  async function withDeadSegment(options: Parameters<typeof mount>[0] = {}) {
    const store = await formatVolume()
    const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES, inlineBytesMax: 0, ...options })
    const paths = new Paths(world.fs)
    await world.fs.sync()
    await world.fs.checkpointNow()
    const before = new Set(await segmentKeys(store))
    await paths.write('/file', content(1, 100_000))
    await world.fs.sync()
    const dead = (await segmentKeys(store)).filter((key) => !before.has(key))
    expect(dead).toHaveLength(1)
    await world.fs.checkpointNow()
    await paths.unlink('/file')
    await world.fs.orphansEmptied()
    await world.fs.sync()
    return { world, store, paths, key: dead[0]! }
  }

  test('a segment that nothing uses goes after a root without it, and then its row', async () => {
    const { world, store, key } = await withDeadSegment()
    await world.fs.clean({ graceMs: 0, isHurried: true })
    expect(await segmentKeys(store), 'the root still names it').toContain(key)
    await world.fs.checkpointNow()
    await world.fs.clean({ graceMs: 0, isHurried: true })
    expect(await segmentKeys(store)).not.toContain(key)
    expect(world.fs.status().cleaner.deletedSegments).toBeGreaterThan(0)
    const row = await world.database.run(() => world.database.table(USAGE).get(parseSegmentKey(key)!))
    expect(row, 'its row').toBeNull()
    await world.unmount()
  })

  test('it waits for the grace period, on the monotonic clock, from when it is known to be dead', async () => {
    const { world, store, key } = await withDeadSegment({ graceMs: HOUR_MS })
    await world.fs.checkpointNow()
    // Ten seconds after the checkpoint a pass sees it; the wall clock jumps ahead.
    await world.clock.advance(10_000)
    await world.fs.clean({ graceMs: HOUR_MS, isHurried: true })
    world.clock.fixedSec = 4_000_000_000
    await world.clock.advance(HOUR_MS - 1000)
    await world.fs.clean({ graceMs: HOUR_MS, isHurried: true })
    expect(await segmentKeys(store)).toContain(key)
    expect(world.fs.status().cleaner.waitingSegments).toBeGreaterThan(0)
    await world.clock.advance(1000)
    await world.fs.clean({ graceMs: HOUR_MS, isHurried: true })
    expect(await segmentKeys(store)).not.toContain(key)
    await world.unmount()
  })

  test('it goes by itself: a pass follows the checkpoint, and another the grace period', async () => {
    const { world, store, key } = await withDeadSegment({ graceMs: 60_000 })
    await world.fs.checkpointNow()
    for (let second = 0; second < 120; second += 10) await world.clock.advance(10_000)
    await world.fs.clean({ graceMs: HOUR_MS, isHurried: true })
    expect(await segmentKeys(store)).not.toContain(key)
    await world.unmount()
  })

  test('a segment that a read under way wants stays', async () => {
    const store = await formatVolume()
    let letGo: () => void = () => {}
    let isHolding = false
    const holding: ObjectStore = Object.assign(Object.create(store), {
      async get(key: string, options: object) {
        if (isHolding && key.startsWith('segments/'))
          await new Promise<void>((resolve) => {
            letGo = resolve
          })
        return store.get(key, options)
      },
    })
    for (const name of ['put', 'putIfAbsent', 'putIfMatch', 'delete', 'list', 'head', 'close'] as const)
      Object.assign(holding, { [name]: (...args: never[]) => (store[name] as (...all: never[]) => unknown)(...args) })
    const { world, paths, key } = await (async () => {
      const made = await mount({ store: holding, segmentSizeBytes: SEGMENT_BYTES, inlineBytesMax: 0, cacheBytes: 0 })
      const files = new Paths(made.fs)
      await files.write('/file', content(1, 100_000))
      await made.fs.sync()
      const [only] = await segmentKeys(store)
      await made.fs.checkpointNow()
      return { world: made, paths: files, key: only! }
    })()
    isHolding = true
    const reading = paths.at('/file', async (ino) => {
      const { handle } = await world.fs.open(CALLER, ino, { flags: 0 })
      const parts = await world.fs.read(handle, ino, 0, 100_000)
      await world.fs.release(handle, ino)
      return Buffer.concat(parts)
    })
    while (!world.segments.isBusy) await world.clock.yield()
    await paths.truncate('/file', 0)
    await world.fs.sync()
    await world.fs.checkpointNow()
    await world.fs.clean({ graceMs: 0, isHurried: true })
    expect(await segmentKeys(store)).toContain(key)
    isHolding = false
    letGo()
    expect((await reading).equals(content(1, 100_000))).toBe(true)
    await world.fs.clean({ graceMs: 0, isHurried: true })
    expect(await segmentKeys(store)).not.toContain(key)
    await world.unmount()
  })

  test('a crash between the deletion and the removal of the row is no harm', async () => {
    const { world, store, key } = await withDeadSegment()
    await world.fs.checkpointNow()
    await store.delete([key])
    await world.abandon()
    const again = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
    await cleanToTheEnd(again)
    await checkConsistency(again.database)
    await again.unmount()
  })

  test.each([
    ['segments go after a root without them', 0],
    ['segments wait for the grace period', HOUR_MS],
  ] as const)('without the rule "%s" it goes too early', async (rule, graceMs) => {
    const { world, store, key } = await withDeadSegment()
    if (graceMs > 0) await world.fs.checkpointNow()
    await withoutRule(rule, () => world.fs.clean({ graceMs, isHurried: true }))
    expect(await segmentKeys(store)).not.toContain(key)
    await world.unmount()
  })
})

describe('rewriting', () => {
  test('what lives in sparse segments moves together, in listing order, and they go', async () => {
    const store = await formatVolume()
    const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES, inlineBytesMax: 0 })
    const paths = new Paths(world.fs)
    const files = new Map<string, Buffer>()
    for (let index = 0; index < 120; index++) {
      const body = content(index, 20_000)
      await paths.write(`/f${index}`, body)
      files.set(`/f${index}`, body)
    }
    await world.fs.sync()
    for (const path of [...files.keys()]) {
      if (Number(path.slice(2)) % 4 === 0) continue
      await paths.unlink(path)
      files.delete(path)
    }
    await world.fs.orphansEmptied()
    await cleanToTheEnd(world)
    const live = [...files.values()].reduce((sum, body) => sum + body.length, 0)
    const stored = (await objects(store)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    expect(stored).toBeLessThan(1.1 * live)
    expect(world.fs.status().cleaner.rewrittenSegments).toBeGreaterThan(0)
    for (const [path, body] of files) expect((await paths.read(path)).equals(body), path).toBe(true)
    await checkConsistency(world.database)
    await world.unmount()
  })

  test('segments of very small files, which can never be full of data, are not written again and again', async () => {
    const world = await mount({ segmentSizeBytes: SEGMENT_BYTES, inlineBytesMax: 0 })
    const paths = new Paths(world.fs)
    for (let index = 0; index < 50; index++) await paths.write(`/f${index}`, `${index}`)
    await world.fs.sync()
    await world.unmount()
    // A new mount knows the sizes of objects only.
    const again = await mount({ store: world.store, segmentSizeBytes: SEGMENT_BYTES })
    await cleanToTheEnd(again)
    expect(again.fs.status().cleaner.movedBytes).toBe(0)
    await again.unmount()
  })

  test('damaged blocks stay where they are, and are not tried again', async () => {
    const store = await formatVolume()
    const log: string[] = []
    const world = await mount({
      store,
      segmentSizeBytes: SEGMENT_BYTES,
      inlineBytesMax: 0,
      log: (_level, text) => log.push(text),
    })
    const paths = new Paths(world.fs)
    for (let index = 0; index < 10; index++) await paths.write(`/f${index}`, content(index, 20_000))
    await world.fs.sync()
    const [key] = await segmentKeys(store)
    const { body } = await store.get(key!)
    body[60] = body[60]! ^ 1
    await store.put(key!, [body])
    const first = [...Array(10).keys()].map((index) => `/f${index}`)
    const broken: string[] = []
    const fresh = await (async () => {
      await world.unmount()
      return mount({ store, segmentSizeBytes: SEGMENT_BYTES, log: (_level, text) => log.push(text) })
    })()
    const freshPaths = new Paths(fresh.fs)
    for (const path of first) await freshPaths.read(path).catch(() => broken.push(path))
    expect(broken).toHaveLength(1)
    for (const path of first)
      if (path !== broken[0] && path !== first.find((other) => other !== broken[0])) await freshPaths.unlink(path)
    await fresh.fs.orphansEmptied()
    await cleanToTheEnd(fresh)
    expect(await segmentKeys(store)).toContain(key)
    expect(log.filter((line) => line.includes('has lost'))).toHaveLength(1)
    await expect(freshPaths.read(broken[0]!)).rejects.toThrow()
    await fresh.unmount()
  })
})

describe('pages', () => {
  test('page segments that no root uses go', async () => {
    const store = await formatVolume()
    const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
    const paths = new Paths(world.fs)
    for (let round = 0; round < 40; round++) {
      for (let index = 0; index < 40; index++) await paths.write(`/dir-${round}-${index}`, '')
      await world.fs.sync()
      await world.fs.checkpointNow()
    }
    await cleanToTheEnd(world)
    expect((await segmentKeys(store)).length).toBeLessThan(6)
    await world.unmount()
    const again = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
    expect(await new Paths(again.fs).list('/')).toHaveLength(1600)
    await checkConsistency(again.database)
    await again.unmount()
  })
})

test('pages that live in sparse segments are written together, and are what they were', async () => {
  const store = await formatVolume()
  const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  const paths = new Paths(world.fs)
  const directories = 150
  for (let index = 0; index < directories; index++) {
    await paths.mkdir(`/d${index}`)
    for (let file = 0; file < 20; file++) await paths.write(`/d${index}/${content(file, 20).toString('hex')}`, '')
  }
  await world.fs.sync()
  await world.fs.checkpointNow()
  for (let index = 0; index < directories * 0.7; index++) {
    await paths.write(`/d${index}/more`, '')
    if (index % 10 === 9) {
      await world.fs.sync()
      await world.fs.checkpointNow()
    }
  }
  await cleanToTheEnd(world)
  let live = 0
  let stored = 0
  for (const { liveBytes, totalBytes } of world.database.rootInForce.pageSegments.values()) {
    live += liveBytes
    stored += liveBytes === 0 ? 0 : totalBytes
  }
  expect(stored / live).toBeLessThan(1.3)
  await world.unmount()
  const again = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  for (let index = 0; index < directories; index++) {
    const names = await new Paths(again.fs).list(`/d${index}`)
    expect(names).toHaveLength(index < directories * 0.7 ? 21 : 20)
  }
  await checkConsistency(again.database)
  await again.unmount()
})

test('a damaged page in a sparse segment keeps no checkpoint from being written', async () => {
  const store = await formatVolume()
  const first = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  const paths = new Paths(first.fs)
  for (let index = 0; index < 60; index++) {
    await paths.mkdir(`/d${index}`)
    await paths.write(`/d${index}/${content(index, 60).toString('hex')}`, '')
  }
  await first.fs.sync()
  await first.fs.checkpointNow()
  const [big] = (await objects(store, 'segments/')).sort((a, b) => b.sizeBytes - a.sizeBytes)
  for (let index = 1; index < 60; index++) await paths.write(`/d${index}/more`, '')
  await first.unmount()
  const { body } = await store.get(big!.key)
  // The first pages of it: of directory d0 among them.
  for (let at = 60; at < body.length / 2; at += 64) body[at] = body[at]! ^ 1
  await store.put(big!.key, [body])
  const world = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  for (let round = 0; round < 4; round++) {
    await new Paths(world.fs).write(`/later${round}`, 'x')
    await world.fs.sync()
    await world.fs.checkpointNow()
  }
  await world.unmount()
})

/** A volume that is written, thinned, overwritten and copied, and what its files hold. */
class Play {
  readonly files = new Map<string, Buffer>()
  readonly #random
  #serial = 0

  constructor(
    seed: number,
    readonly volumeBytes: number,
  ) {
    this.#random = seededRandom(seed)
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit)
  }

  #pick(): string {
    return [...this.files.keys()][this.#below(this.files.size)]!
  }

  async round({ fs }: World, between: () => Promise<void>): Promise<void> {
    const paths = new Paths(fs)
    if (this.files.size === 0) await paths.mkdir('/d')
    // As much as the volume holds is written; of what there was nothing but the newest stays.
    for (const path of [...this.files.keys()].slice(0, Math.floor(this.files.size / 2))) {
      await paths.unlink(path)
      this.files.delete(path)
    }
    for (let written = 0; written < this.volumeBytes; ) {
      const body = this.#random.bytes(
        this.#random.next() < 0.01 ? 200_000 + this.#below(200_000) : 500 + this.#below(30_000),
      )
      const path = `/d/f${this.#serial++}`
      await paths.write(path, body)
      this.files.set(path, body)
      written += body.length
      if (this.#serial % 40 === 0) await between()
    }
    const small = [...this.files].filter(([, body]) => body.length < 100_000)
    for (const [index, [path]] of small.entries()) {
      if (index % 2 === 1) continue
      await paths.unlink(path)
      this.files.delete(path)
    }
    await between()
    for (let count = 0; count < 60; count++) {
      const path = this.#pick()
      const body = Buffer.from(this.files.get(path)!)
      const at = this.#below(body.length)
      const patch = this.#random.bytes(1 + this.#below(Math.min(20_000, body.length - at)))
      patch.copy(body, at)
      await paths.write(path, patch, { at, flags: 1 })
      this.files.set(path, body)
      if (count % 20 === 0) await between()
    }
    for (let count = 0; count < 30; count++) {
      const from = this.#pick()
      const body = this.files.get(from)!
      if (count % 3 > 0) {
        const path = `/d/copy${this.#serial++}`
        await paths.write(path, '')
        await paths.copy(from, path)
        this.files.set(path, body)
      } else await this.#copyPart(paths, from, body)
      if (count % 10 === 0) await between()
    }
    await between()
  }

  /** A part of a file over a part of another, or of itself. */
  async #copyPart(paths: Paths, from: string, body: Buffer): Promise<void> {
    const path = this.#pick()
    const before = this.files.get(path)!
    const at = this.#below(body.length)
    const to = path === from ? Math.max(0, at - this.#below(at + 1)) : this.#below(before.length)
    const lengthBytes = path === from ? Math.min(at - to, body.length - at) : this.#below(body.length - at)
    if (lengthBytes === 0) return
    const after = Buffer.alloc(Math.max(before.length, to + lengthBytes))
    before.copy(after)
    body.copy(after, to, at, at + lengthBytes)
    await paths.copy(from, path, { at, to, lengthBytes })
    this.files.set(path, after)
  }

  async check({ fs }: World): Promise<void> {
    const paths = new Paths(fs)
    for (const [path, body] of this.files) expect((await paths.read(path)).equals(body), path).toBe(true)
  }
}

async function storedBytes(store: ObjectStore): Promise<number> {
  return (await objects(store)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

test('after ten rounds of writing, deleting, overwriting and copying the bucket holds less than 1.3 times what lives', async () => {
  const store = await formatVolume()
  const world = await mount({
    store,
    segmentSizeBytes: SEGMENT_BYTES,
    dirtyLimitBytes: 16 << 20,
    shareMinBytes: SHARE_MIN_BYTES,
  })
  const play = new Play(7, 3 << 20)
  for (let round = 0; round < 10; round++) {
    await play.round(world, async () => {
      await world.fs.sync()
      await world.fs.checkpointNow()
      await world.fs.clean({ graceMs: 0, isHurried: true })
    })
  }
  await world.fs.orphansEmptied()
  await cleanToTheEnd(world)
  // Every byte counted once, however many files share it.
  const { distinctBytes, referredBytes } = await liveBytesOf(world.database)
  expect(referredBytes, 'copies share').toBeGreaterThan(1.1 * distinctBytes)
  expect((await storedBytes(store)) / distinctBytes).toBeLessThan(1.3)
  await play.check(world)
  await world.unmount()
  const again = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
  await play.check(again)
  await checkConsistency(again.database)
  await checkSharers(again.database, again.segments)
  await again.unmount()
}, 120_000)

test('files stay whole while the cleaner works beside writers and readers, and through crashes (seeds)', async () => {
  const seeds = Number(process.env.CAIRNFS_TEST_SEEDS ?? 4)
  for (let seed = 1; seed <= seeds; seed++) {
    const store = await formatVolume()
    const play = new Play(seed, 1 << 20)
    const random = seededRandom(seed * 1000)
    for (let life = 0; life < 4; life++) {
      const world = await mount({
        store,
        segmentSizeBytes: SEGMENT_BYTES,
        inlineBytesMax: random.next() < 0.5 ? 0 : 1 << 16,
        shareMinBytes: SHARE_MIN_BYTES,
      })
      await play.check(world)
      let isOver = false
      const cleaning = (async () => {
        while (!isOver) {
          await world.fs.clean({ graceMs: 0, isHurried: random.next() < 0.5 })
          if (random.next() < 0.3) await world.fs.checkpointNow()
          await world.clock.yield()
        }
      })()
      await play.round(world, async () => {
        await world.fs.sync()
        const [path, body] = [...play.files][Math.floor(random.next() * play.files.size)]!
        expect((await new Paths(world.fs).read(path)).equals(body), `seed ${seed}: ${path}`).toBe(true)
      })
      await world.fs.sync()
      isOver = true
      if (random.next() < 0.5) {
        // A crash, wherever the cleaner is.
        await world.abandon()
        await cleaning.catch(() => {})
      } else {
        await cleaning
        await world.unmount()
      }
    }
    const last = await mount({ store, segmentSizeBytes: SEGMENT_BYTES })
    await play.check(last)
    await cleanToTheEnd(last)
    await play.check(last)
    await checkConsistency(last.database)
    await checkSharers(last.database, last.segments)
    await last.unmount()
    const keys = await segmentKeys(store)
    expect(keys.every((key) => segmentKey(parseSegmentKey(key)!) === key)).toBe(true)
  }
}, 120_000)
