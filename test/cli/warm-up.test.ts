// What runs after a mount to have code compiled: it does what it is there for, and gives way.
import { expect, test } from 'vitest'
import { quietly, warmUp } from '../../src/cli/warm-up.ts'
import { systemClock } from '../../src/platform/index.ts'

const ENTRIES = 1500 + 2
const LISTINGS = 15

test('all files are made, and listed again and again, in many turns', async () => {
  let turns = 0
  const clock = {
    ...systemClock,
    yield: () => {
      turns++
      return systemClock.yield()
    },
  }
  expect(await warmUp(clock)).toBe(LISTINGS * ENTRIES)
  expect(turns).toBeGreaterThan(100)
})

test('it waits while requests come, and goes on when none has come for a while', async () => {
  let requests = 7
  let slept = 0
  const clock = quietly(
    {
      ...systemClock,
      sleep: async () => {
        slept++
        if (slept < 5) requests++
      },
    },
    () => requests,
  )
  await clock.yield()
  expect(slept).toBe(0)
  requests++
  await clock.yield()
  // Four came while it waited.
  expect(slept).toBe(5)
  await clock.yield()
  expect(slept).toBe(5)
})
