// Whether a holder of whom nothing is known lives is decided by watching its object: one change may have been on its way
// when it died, a second shows that it lives.
import { expect, test } from 'vitest'
import type { Clock } from '../../src/platform/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { type Holder, readSlot, type SlotOptions, WriterSlot } from '../../src/tables/writer-slot.ts'
import { createVirtualClock } from '../store/virtual-clock.ts'
import { formatted } from './world.ts'

const LEASE_MS = 30_000

function holder(host: string): Holder {
  return { session: host, host, bootId: 'b', pid: 1, since: 'now', lock: null }
}

function options(store: ObjectStore, clock: Clock, host: string): SlotOptions {
  return {
    store,
    clock,
    slot: 0,
    holder: holder(host),
    leaseMs: LEASE_MS,
    judge: async () => 'unknown',
    takeOver: false,
    log: () => {},
    onLost: () => {},
  }
}

/** A slot with a holder whose heartbeats reach the store at these times, and a second that wants it. */
async function contended(beatsMs: readonly number[]) {
  const store = await formatted()
  const clock = createVirtualClock()
  const { slot: first } = await WriterSlot.take(options(store, clock, 'first'))
  const left = [...beatsMs]
  const sleep: Clock['sleep'] = async (ms, signal) => {
    await clock.sleep(ms, signal)
    while (left.length > 0 && left[0]! <= clock.monotonicMs()) {
      left.shift()
      await first.beat()
    }
  }
  const taking = WriterSlot.take(options(store, { ...clock, sleep }, 'second'))
  return { store, clock, taking }
}

test('a heartbeat that was on its way when its holder died only makes the next mount wait anew', async () => {
  const { store, clock, taking } = await contended([5000])
  const { before } = await taking
  expect(before).toMatchObject({ host: 'first', beat: 1 })
  expect(clock.monotonicMs()).toBe(5000 + LEASE_MS)
  expect((await readSlot(store, 0)).state).toMatchObject({ host: 'second', epoch: 2 })
})

test('a second heartbeat shows that the holder lives', async () => {
  const { store, clock, taking } = await contended([9000, 19_000])
  await expect(taking).rejects.toMatchObject({ code: 'EBUSY', message: expect.stringContaining('host first') })
  expect(clock.monotonicMs()).toBe(19_000)
  expect((await readSlot(store, 0)).state).toMatchObject({ host: 'first', epoch: 1, beat: 2 })
})

test('a holder without a heartbeat is dead after the lease', async () => {
  const { clock, taking } = await contended([])
  await taking
  expect(clock.monotonicMs()).toBe(LEASE_MS)
})
