// Forgets in bulk: all of them, whatever their number, and none of a request that is cut short.
import { expect, test } from 'vitest'
import { MalformedRequest, RequestBuffer } from '../../src/fuse/codec.ts'
import { forgetBatch } from '../../src/fuse/forgets.ts'
import { systemClock } from '../../src/platform/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'
import { request, u32, u64 } from './requests.ts'

const BATCH_FORGET = 42

function batch(count: number): RequestBuffer {
  const forgets = Array.from({ length: count }, (_, index) => u64(index + 2, index + 1))
  const bytes = request(BATCH_FORGET, 0, u32(count, 0), ...forgets)
  const buffer = new RequestBuffer(bytes.length)
  buffer.bytes.set(bytes)
  buffer.length = bytes.length
  return buffer
}

function filesystem(): { memory: MemoryFilesystem; forgotten: [number, number][] } {
  const memory = new MemoryFilesystem(() => ({ sec: 1, nsec: 2 }))
  const forgotten: [number, number][] = []
  memory.forget = (ino, count) => {
    forgotten.push([ino, count])
  }
  return { memory, forgotten }
}

test.each([0, 1, 2048, 2049, 60_000])(
  '%d forgets are forgotten, each once, at most some thousand a turn',
  async (count) => {
    const { memory, forgotten } = filesystem()
    const turns = [0]
    const clock = {
      async yield() {
        turns.push(forgotten.length)
        await systemClock.yield()
      },
    }
    await forgetBatch(memory, batch(count), clock)
    turns.push(forgotten.length)
    expect(forgotten).toEqual(Array.from({ length: count }, (_, index) => [index + 2, index + 1]))
    for (const [index, after] of turns.entries()) expect(after - (turns[index - 1] ?? 0)).toBeLessThanOrEqual(2048)
  },
)

test('a batch that is cut short is refused whole', () => {
  const { memory, forgotten } = filesystem()
  const buffer = batch(10)
  buffer.length -= 1
  expect(() => forgetBatch(memory, buffer, systemClock)).toThrow(MalformedRequest)
  expect(forgotten).toEqual([])
})
