// How the background takes turns with operations: by a clock that the test drives.
import { expect, test } from 'vitest'
import type { Clock } from '../../src/platform/index.ts'
import { Background } from '../../src/vfs/background.ts'
import type { Context } from '../../src/vfs/context.ts'

function world() {
  let nowMs = 0
  const slept: number[] = []
  const clock = {
    monotonicMs: () => nowMs,
    yield: async () => {},
    sleep: async (ms: number) => {
      slept.push(ms)
      nowMs += ms
    },
  } as unknown as Clock
  const streams = { isFull: false }
  const served = { operations: 0 }
  const background = new Background(() => ({ clock, streams, served }) as unknown as Context)
  const turn = (tookMs: number, operations: number) => {
    nowMs += tookMs
    served.operations += operations
    return background.turn()
  }
  return { slept, streams, turn }
}

test('whoever asks gets as much time as a turn took', async () => {
  const { slept, turn } = world()
  await turn(8, 1)
  await turn(3, 5)
  expect(slept).toEqual([8, 3])
})

test('where nobody asks, or turns are short, the work goes on at once', async () => {
  const { slept, turn } = world()
  await turn(8, 1)
  await turn(8, 0)
  await turn(0.5, 9)
  expect(slept).toEqual([8])
})

test('where writers wait for room, the work gets most of the time', async () => {
  const { slept, streams, turn } = world()
  streams.isFull = true
  await turn(8, 1)
  expect(slept).toEqual([2])
})
