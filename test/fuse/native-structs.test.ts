// What fuse-native takes and gives as numbers.
import { expect, test } from 'vitest'
import { reasonOf } from '../../src/fuse/native-addon.ts'
import { join64, statOf, statvfsOf, timesOf } from '../../src/fuse/native-structs.ts'
import type { Attributes } from '../../src/vfs/index.ts'

const ATTRIBUTES: Attributes = {
  ino: (2 ** 32 + 7) as Attributes['ino'],
  generation: 0,
  mode: 0o100644,
  uid: 4_000_000_000,
  gid: 3_000_000_000,
  nlink: 0,
  rdev: 0,
  sizeBytes: 2 ** 40 + 5,
  allocatedBytes: 513,
  atime: { sec: -1, nsec: 500_000_000 },
  mtime: { sec: 5_000_000_000, nsec: 999_999_999 },
  ctime: { sec: 0, nsec: 1_000_000 },
  btime: { sec: 0, nsec: 0 },
}

test('a stat has sizes of 64 bits, and milliseconds from 1970 on', () => {
  const words = [...statOf(ATTRIBUTES)]
  expect(words.slice(0, 3)).toEqual([0o100644, 4_000_000_000, 3_000_000_000])
  expect(join64(words[3]!, words[4]!)).toBe(2 ** 40 + 5)
  expect([words[6], words[7], words[10]]).toEqual([0, 7, 2])
  expect(join64(words[12]!, words[13]!)).toBe(0)
  expect(join64(words[14]!, words[15]!)).toBe(5_000_000_000_999)
  expect(join64(words[16]!, words[17]!)).toBe(1)
})

test('a large volume is counted in blocks so large that their number fits', () => {
  const sizes = { blockSizeBytes: 4096, totalBytes: 2 ** 50, freeBytes: 2 ** 49 }
  const words = statvfsOf({ ...sizes, totalInodes: 2 ** 40, freeInodes: 5, nameLengthMax: 255 })
  expect(words[0]! * words[2]!).toBe(2 ** 50)
  expect(words[1]! * words[4]!).toBe(2 ** 49)
  expect([words[5], words[6], words[10]]).toEqual([2 ** 32 - 1, 5, 255])
})

test('of two times the second is taken from where it lies, those before 1970 too', () => {
  const request = Buffer.alloc(200)
  const [atimeMs, mtimeMs] = [1_600_000_000_123n, -1500n]
  request.writeBigInt64LE(atimeMs, 104)
  request.writeBigInt64LE(mtimeMs, 112)
  const times = timesOf(request, Number(atimeMs & 0xffffffffn), Number(atimeMs >> 32n))
  expect(times).toEqual({ atime: { sec: 1_600_000_000, nsec: 123e6 }, mtime: { sec: -2, nsec: 500e6 } })
  // A binary that lays it out otherwise: what it says of itself is taken.
  expect(timesOf(Buffer.alloc(200), 1000, 0)).toEqual({ atime: { sec: 1, nsec: 0 }, mtime: { sec: 1, nsec: 0 } })
})

test('what dlopen complains about is said in one line', () => {
  const missing = 'libfuse.so.2: cannot open shared object file: No such file or directory'
  expect(reasonOf(missing)).toBe('libfuse.so.2 is missing: apt install libfuse2')
  expect(reasonOf('No native build was found for platform=linux arch=arm64')).toMatch(
    /^it has no binary for this machine/,
  )
  expect(reasonOf('Error relocating x\nat y')).toBe('Error relocating x: it is for Linux on x64 with glibc')
})
