// What is handed to the kernel's page cache is never older than what it has: many orders of events over a model of the kernel,
// and each of the rules that see to it switched off.
import { describe, expect, test } from 'vitest'
import { PAGE_CACHE_RULES, type Rule, seededRandom, withoutRule } from '../../src/platform/index.ts'
import { Lease } from '../../src/segments/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { type Ino, type PageCache, ROOT_INO } from '../../src/vfs/index.ts'
import { pattern } from '../segments/bucket.ts'
import { FLAGS, KernelModel } from './kernel-model.ts'
import { CALLER, formatVolume, mount, Paths, TestClock, type World } from './world.ts'

const SEGMENT_BYTES = 512 * 1024
const PAGES = 640

/** A store that takes 20 ms for each GET, by the test's clock. */
function slowStore(clock: TestClock): ObjectStore {
  const store = createMemoryStore()
  const get = store.get.bind(store)
  store.get = async (...request) => {
    const answer = await get(...request)
    await clock.advance(20)
    return answer
  }
  return store
}

interface Scene {
  world: World
  kernel: KernelModel
}

async function scene(seed: number): Promise<Scene> {
  const kernel = new KernelModel(seededRandom(seed))
  const clock = new TestClock()
  const world = await mount({
    ...{ clock, store: await formatVolume(slowStore(clock)) },
    ...{ segmentSizeBytes: SEGMENT_BYTES, cacheBytes: 4 * SEGMENT_BYTES, inlineBytesMax: 0 },
    ...{ dirtyLimitBytes: 64 << 20, pageCache: kernel },
  })
  const paths = new Paths(world.fs)
  await paths.write('/f', '')
  kernel.fs = world.fs
  await paths.at('/f', async (ino) => {
    kernel.ino = ino
  })
  const handle = await kernel.open(FLAGS.write)
  for (let page = 0; page < PAGES; page++) await kernel.write(handle, page)
  await kernel.close(handle)
  await world.fs.sync()
  for (let page = 0; page < PAGES; page++) kernel.drop(page)
  return { world, kernel }
}

/** Readers in no order, beside writers that come and go. What the kernel's model has to say against it. */
async function play(seed: number): Promise<{ violations: string[]; stored: number }> {
  const { world, kernel } = await scene(seed)
  const random = seededRandom(seed + 1000)
  const below = (limit: number) => Math.floor(random.next() * limit)
  let isOver = false
  const reader = async () => {
    for (let round = 0; round < 25; round++) {
      const handle = await kernel.open()
      for (let i = 0; i < 30; i++) {
        await kernel.read(handle, below(PAGES))
        if (i % 5 === 0) await new Promise(setImmediate)
      }
      await kernel.close(handle)
    }
  }
  const writer = async () => {
    while (!isOver) {
      const dice = random.next()
      if (dice < 0.4) await kernel.truncate(below(PAGES))
      else {
        const handle = await kernel.open(dice < 0.5 ? FLAGS.truncate : FLAGS.write)
        for (let i = below(20); i > 0; i--) {
          await kernel.write(handle, below(PAGES))
          if (dice > 0.7) await new Promise(setImmediate)
        }
        await kernel.close(handle)
      }
      if (kernel.sizePages < PAGES / 2 && random.next() < 0.7) {
        const handle = await kernel.open(FLAGS.write)
        for (let page = kernel.sizePages; page < PAGES; page++) await kernel.write(handle, page)
        await kernel.close(handle)
      }
      if (random.next() < 0.9) await world.fs.sync()
      for (let i = below(150); i > 0; i--) await new Promise(setImmediate)
    }
  }
  const forgetful = async () => {
    while (!isOver) {
      for (let page = 0; page < PAGES; page++) if (random.next() < 0.3) kernel.drop(page)
      for (let i = below(20); i > 0; i--) await new Promise(setImmediate)
    }
  }
  const others = [writer(), forgetful()]
  await Promise.all([reader(), reader(), reader()])
  isOver = true
  await Promise.all(others)
  await world.unmount()
  return { violations: kernel.violations, stored: kernel.counts.stored }
}

/** Takes all it is given, and remembers it. */
class Taker implements PageCache {
  busy: Promise<void> | null = null
  readonly taken: { offset: number; bytes: Buffer }[] = []
  /** What a piece waits for. */
  gate: Promise<void> = Promise.resolve()

  async store(_ino: Ino, offset: number, parts: readonly Uint8Array[]): Promise<boolean> {
    const index = this.taken.push({ offset, bytes: Buffer.alloc(0) }) - 1
    await this.gate
    this.taken[index]!.bytes = Buffer.concat(parts)
    return true
  }
}

/** A file of 20 MiB and a bit, in segments of 8 MiB, and what reads in it at offsets in no order. */
async function large(taker: Taker, { extraBytes = 1000, pageCache = true } = {}) {
  const clock = new TestClock()
  const store = await formatVolume(slowStore(clock))
  const bytes = pattern((20 << 20) + extraBytes)
  const writing = await mount({ clock, store })
  await new Paths(writing.fs).write('/f', bytes)
  await writing.unmount()
  const world = await mount({ clock, store, ...(pageCache ? { pageCache: taker } : {}) })
  const { attributes } = await world.fs.lookup(CALLER, ROOT_INO, Buffer.from('f'))
  const { ino } = attributes
  const { handle } = await world.fs.open(CALLER, ino, { flags: 0 })
  const read = async (offset: number, { isKept = true } = {}) => {
    const lease = new Lease({ isKept })
    const got = Buffer.concat(await world.fs.read(handle, ino, offset, 4096, lease))
    lease.release()
    expect(got.equals(bytes.subarray(offset, offset + 4096))).toBe(true)
  }
  /** In blocks that do not touch. */
  const readAll = async (from: number, to: number, options?: { isKept: boolean }) => {
    const spots = Array.from({ length: Math.floor((to - from) / 69_632) }, (_, index) => from + index * 69_632)
    for (let i = 0; i < spots.length; i++) await read(spots[(i * 7) % spots.length]!, options)
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  }
  return { world, ino, bytes, read, readAll }
}

const LAST = 20 << 20

describe('what was bought', () => {
  test('is handed over from its first whole page to its last, and nothing at the end of the file', async () => {
    const taker = new Taker()
    const { world, bytes, readAll } = await large(taker)
    await readAll(4096, LAST)
    const covered = Buffer.alloc(bytes.length)
    for (const { offset, bytes: taken } of taker.taken) {
      expect(offset % 4096).toBe(0)
      expect(taken.length % 4096).toBe(0)
      expect(taken.length).toBeLessThanOrEqual(4 << 20)
      taken.copy(covered, offset)
    }
    expect(covered.subarray(0, LAST).equals(bytes.subarray(0, LAST))).toBe(true)
    expect(covered.subarray(LAST).equals(Buffer.alloc(1000))).toBe(true)
    await world.unmount()
  })

  test.each([
    ['nobody takes it', { pageCache: false, isKept: true }],
    ['its readers keep nothing (O_DIRECT)', { pageCache: true, isKept: false }],
  ])('is not handed over when %s', async (_when, { pageCache, isKept }) => {
    const taker = new Taker()
    const { world, readAll } = await large(taker, { pageCache })
    await readAll(4096, LAST, { isKept })
    expect(taker.taken).toEqual([])
    await world.unmount()
  })

  test('stops when somebody opens the file for writing, who waits for no more than one piece', async () => {
    const taker = new Taker()
    const { world, ino, readAll } = await large(taker)
    let arrive = () => {}
    taker.gate = new Promise((resolve) => {
      arrive = resolve
    })
    await readAll(4096, 8 << 20)
    expect(taker.taken.length).toBe(1)
    let isOpen = false
    const opening = Promise.resolve(world.fs.open(CALLER, ino, { flags: 1 })).then((opened) => {
      isOpen = true
      return opened
    })
    // Readers are let in.
    await world.fs.release((await world.fs.open(CALLER, ino, { flags: 0 })).handle, ino)
    await new Promise(setImmediate)
    expect(isOpen).toBe(false)
    arrive()
    const { handle } = await opening
    await readAll(8 << 20, LAST)
    expect(taker.taken.length).toBe(1)
    await world.fs.release(handle, ino)
    await readAll(8 << 20, LAST)
    expect(taker.taken.length).toBeGreaterThan(1)
    await world.unmount()
  })

  test('waits while the kernel is told something else, and nobody waits for it', async () => {
    const taker = new Taker()
    const { world, ino, readAll } = await large(taker)
    let told = () => {}
    taker.busy = new Promise((resolve) => {
      told = resolve
    })
    await readAll(4096, 8 << 20)
    expect(taker.taken.length).toBe(0)
    await world.fs.release((await world.fs.open(CALLER, ino, { flags: 0 })).handle, ino)
    taker.busy = null
    told()
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    expect(taker.taken.length).toBeGreaterThan(1)
    taker.busy = new Promise(() => {})
    await readAll(8 << 20, LAST)
    // It is not even dropped by then.
    await world.fs.release((await world.fs.open(CALLER, ino, { flags: 1 })).handle, ino)
    await world.unmount()
  })

  test('is handed over too when reads find it in memory again and again', async () => {
    const taker = new Taker()
    const { world, read, readAll } = await large(taker)
    await readAll(4096, 8 << 20, { isKept: false })
    for (let i = 0; i < 31; i++) await read(4096 + ((i * 7) % 31) * 69_632)
    expect(taker.taken.length).toBe(0)
    await read(4096 + 17 * 4096)
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    expect(taker.taken.length).toBeGreaterThan(1)
    await world.unmount()
  })
})

describe('readers in no order beside writers', () => {
  test('never read what is older than what was written', async () => {
    let stored = 0
    for (let seed = 1; seed <= 10; seed++) {
      const played = await play(seed)
      expect(played.violations).toEqual([])
      stored += played.stored
    }
    expect(stored).toBeGreaterThan(PAGES)
  })

  test.each(PAGE_CACHE_RULES)('do without the rule: %s', async (rule: Rule) => {
    for (let seed = 1; seed <= 40; seed++) {
      const { violations } = await withoutRule(rule, () => play(seed))
      if (violations.length > 0) return
    }
    expect.unreachable('nobody notices that the rule is missing')
  })
})
