// What concurrent fsyncs cost, and how long they wait for each other, over a store whose answers take their time.
import { expect, test } from 'vitest'
import type { Handle, Ino } from '../../src/vfs/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { bytes, CALLER, formatVolume, mount, type TestClock, type World } from './world.ts'

const ANSWER_MS = 100
const FILES = 100

/** A world whose journal answers after `latency.ms` of its clock. */
async function slowWorld() {
  const store = await formatVolume()
  const latency = { ms: 0 }
  const sentMs: number[] = []
  let clock: TestClock | undefined
  const { putIfAbsent } = store
  store.putIfAbsent = async (key, body, options) => {
    if (key.startsWith('journal/')) {
      sentMs.push(clock?.monotonicMs() ?? 0)
      if (latency.ms > 0) await new Promise<void>((resolve) => clock?.after(latency.ms, resolve))
    }
    return putIfAbsent.call(store, key, body, options)
  }
  const world = await mount({ store })
  clock = world.clock
  const tick = async () => {
    await world.clock.advance(1)
    // What that made due, and what follows from it.
    for (let turn = 0; turn < 5; turn++) await world.clock.yield()
  }
  const fsync = async (file: { handle: Handle; ino: Ino }) => {
    const fromMs = world.clock.monotonicMs()
    await world.fs.fsync(file.handle, file.ino, false)
    return world.clock.monotonicMs() - fromMs
  }
  const files = await written(world)
  return {
    world,
    latency,
    /** When each commit was sent. */
    sentMs,
    files,
    fsync,
    tick,
    /** Runs the clock until the promise is settled. */
    async runUntil<T>(promise: Promise<T>): Promise<T> {
      let isSettled = false
      const settled = promise.finally(() => {
        isSettled = true
      })
      while (!isSettled) await tick()
      return settled
    },
  }
}

async function written(world: World) {
  const files: { handle: Handle; ino: Ino }[] = []
  for (let index = 0; index < FILES; index++) {
    const { entry, opened } = await world.fs.create(CALLER, ROOT_INO, bytes(`f${index}`), 0o644, { flags: 1 })
    const { ino } = entry.attributes
    await world.fs.write(opened.handle, ino, 0, Buffer.alloc(4096, index))
    files.push({ handle: opened.handle, ino })
  }
  return files
}

test('100 fsyncs of 4 KiB files that come within three answers of the store take at most 10 PUT', async () => {
  const slow = await slowWorld()
  slow.latency.ms = ANSWER_MS
  await slow.runUntil(slow.world.fs.fsyncdir(ROOT_INO))
  for (const file of slow.files) await slow.world.fs.write(file.handle, file.ino, 0, Buffer.alloc(4096, 1))
  slow.sentMs.length = 0

  const waits: Promise<number>[] = []
  for (const file of slow.files) {
    waits.push(slow.fsync(file))
    for (let ms = 0; ms < (3 * ANSWER_MS) / FILES; ms++) await slow.tick()
  }
  const waitedMs = await slow.runUntil(Promise.all(waits))
  expect(slow.sentMs.length).toBeLessThanOrEqual(10)
  expect(Math.max(...waitedMs), 'the longest fsync').toBeLessThanOrEqual(1.5 * ANSWER_MS + 3)
})

test('an fsync waits for no commit under way longer than half an answer, and for none when there is none', async () => {
  const slow = await slowWorld()
  const [first, second, third] = slow.files as [(typeof slow.files)[0], (typeof slow.files)[0], (typeof slow.files)[0]]
  slow.latency.ms = ANSWER_MS
  await slow.runUntil(slow.fsync(first))
  const fromMs = slow.world.clock.monotonicMs()
  const both = [slow.fsync(second), slow.tick().then(() => slow.fsync(third))]
  await slow.runUntil(Promise.all(both))
  const [alone, shared = 0] = slow.sentMs.slice(1).map((ms) => ms - fromMs)
  expect(alone).toBe(0)
  expect(shared).toBeGreaterThan(ANSWER_MS / 4)
  expect(shared).toBeLessThanOrEqual(ANSWER_MS / 2 + 3)

  // One answer that took very long holds nobody up afterwards.
  slow.latency.ms = 100 * ANSWER_MS
  await slow.runUntil(slow.world.fs.fsyncdir(ROOT_INO))
  slow.latency.ms = ANSWER_MS
  expect(await slow.runUntil(slow.fsync(first))).toBeLessThanOrEqual(ANSWER_MS + 1)
})
