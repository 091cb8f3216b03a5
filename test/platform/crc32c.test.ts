// Checksums: against the RFC, and that of two parts against that of the whole.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c, joinCrc32c } from '../../src/platform/index.ts'

test('a crc32c is that of RFC 3720', () => {
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
})

test('the crc32c of two parts together is told by those of each, whatever their lengths', () => {
  const part = fc.uint8Array({ maxLength: 70_000 })
  fc.assert(
    fc.property(part, part, (first, second) => {
      const joined = joinCrc32c(crc32c(first), crc32c(second), second.length)
      expect(joined).toBe(crc32c(second, crc32c(first)))
    }),
    { numRuns: 200 },
  )
})

test('a part may be longer than any object', () => {
  const zeros = Buffer.alloc(1 << 20)
  let [first, rest, bytes] = [crc32c(Buffer.from('first')), crc32c(zeros), zeros.length]
  // Doubled until it is 2^40 bytes long; the same by halves, from the other end.
  let halves = first
  for (; bytes < 2 ** 40; bytes *= 2) {
    halves = joinCrc32c(halves, rest, bytes)
    rest = joinCrc32c(rest, rest, bytes)
  }
  first = joinCrc32c(first, rest, bytes)
  expect(joinCrc32c(halves, crc32c(zeros), zeros.length)).toBe(first)
})
