// Encoders and decoders against readings of fuse.h written independently (requests.ts), over generated values.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  DirectoryReply,
  encodeInvalidateEntry,
  encodeInvalidateInode,
  encodeStoreHead,
  MalformedRequest,
  ReplyBuffer,
  RequestBuffer,
} from '../../src/fuse/codec.ts'
import type { Attributes, Ino } from '../../src/vfs/index.ts'
import { parseDirents, parseEntry, parseStatx, request, u32, u64 } from './requests.ts'

const id = fc.oneof(fc.nat(1000), fc.maxSafeNat())
const word = fc.nat(0xffffffff)
const time = fc.record({
  sec: fc.oneof(fc.integer(), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
  nsec: fc.nat(999_999_999),
})
const attributes: fc.Arbitrary<Attributes> = fc.record({
  ino: id.map((n) => n as Ino),
  generation: id,
  mode: fc.nat(0o177777),
  uid: word,
  gid: word,
  nlink: word,
  rdev: word,
  sizeBytes: id,
  allocatedBytes: id,
  atime: time,
  mtime: time,
  ctime: time,
  btime: time,
})
const nameBytes = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 47 ? 46 : byte))))

function received(bytes: Buffer): RequestBuffer {
  const buffer = new RequestBuffer(4096)
  buffer.bytes.fill(0xff)
  buffer.bytes.set(bytes)
  buffer.length = bytes.length
  return buffer
}

const shown = (a: Attributes) => ({
  ino: a.ino,
  size: a.sizeBytes,
  blocks: Math.ceil(a.allocatedBytes / 512),
  atime: a.atime,
  mtime: a.mtime,
  ctime: a.ctime,
  mode: a.mode,
  nlink: a.nlink,
  uid: a.uid,
  gid: a.gid,
  rdev: a.rdev,
})

describe('replies', () => {
  test('attributes and entries arrive as they were', () => {
    const reply = new ReplyBuffer(4096)
    fc.assert(
      fc.property(attributes, fc.nat(100_000), fc.nat(100_000), (a, entryMs, attributeMs) => {
        reply.bytes.fill(0xff)
        const end = reply.entry(16, a, entryMs / 1000, attributeMs / 1000)
        expect(end).toBe(144)
        const parsed = parseEntry(reply.bytes.subarray(16, end))
        expect(parsed.attr).toEqual(shown(a))
        expect(parsed.nodeid).toBe(a.ino)
        expect(parsed.generation).toBe(a.generation)
        expect(parsed.entryTtlSec).toBeCloseTo(entryMs / 1000, 6)
        expect(parsed.attributeTtlSec).toBeCloseTo(attributeMs / 1000, 6)
      }),
    )
  })

  test('what statx asks for arrives, and when a file was made', () => {
    const reply = new ReplyBuffer(4096)
    fc.assert(
      fc.property(attributes, fc.nat(100_000), (a, ttlSec) => {
        reply.bytes.fill(0xff)
        const end = reply.statxOut(16, a, ttlSec)
        expect(end).toBe(16 + 288)
        expect(Number(reply.bytes.readBigUInt64LE(16))).toBe(ttlSec)
        const { mask, device, ...parsed } = parseStatx(reply.bytes.subarray(16 + 32, end))
        const { rdev, ...common } = shown(a)
        expect(parsed).toEqual({ ...common, btime: a.btime })
        // STATX_BASIC_STATS | STATX_BTIME; new_decode_dev.
        expect(mask).toBe(0xfff)
        const encoded = (device[1]! & 0xff) + device[0]! * 256 + Math.floor(device[1]! / 256) * 2 ** 20
        expect(encoded).toBe(rdev)
      }),
    )
  })

  test('directories are read 64 KiB at a time', () => {
    const reply = new ReplyBuffer(4096)
    const blockBytes = fc.property(attributes, (a) => {
      reply.attr(16, a)
      expect(reply.bytes.readUInt32LE(16 + 80)).toBe((a.mode & 0o170000) === 0o040000 ? 65_536 : 4096)
    })
    fc.assert(blockBytes)
    reply.attr(16, { ...fc.sample(attributes, 1)[0]!, mode: 0o040755 })
    expect(reply.bytes.readUInt32LE(16 + 80)).toBe(65_536)
  })

  test('a TTL without end is a long one', () => {
    const reply = new ReplyBuffer(4096)
    reply.negativeEntry(16, Number.POSITIVE_INFINITY)
    expect(parseEntry(reply.bytes.subarray(16, 144)).entryTtlSec).toBe(2 ** 32)
  })

  test('directories hold the entries the sink took, and no more than fit', () => {
    const directory = new DirectoryReply(4096 + 16)
    const entries = fc.array(fc.tuple(nameBytes, attributes, id, fc.boolean()), { maxLength: 40 })
    fc.assert(
      fc.property(
        entries,
        fc.boolean(),
        fc.boolean(),
        fc.nat(8192),
        fc.nat(511),
        (entries, plus, isInPlace, sizeBytes, generation) => {
          directory.reply.bytes.fill(0xff)
          directory.begin({ sizeBytes, plus, generation, entryTtlSec: 1, attributeTtlSec: 2 })
          const taken = entries.filter(([name, a, cookie, known]) => {
            const shownAs = known ? a : null
            if (!isInPlace) return directory.sink(name, a.ino, a.mode, cookie, shownAs)
            const around = Buffer.concat([Buffer.from('before'), name, Buffer.from('behind')])
            return directory.sink.inPlace!(around, 6, 6 + name.length, a.ino, a.mode, cookie, shownAs)
          })
          expect(directory.at - 16).toBeLessThanOrEqual(Math.min(sizeBytes, 4096))
          expect(directory.isFull).toBe(taken.length < entries.length)
          const parsed = parseDirents(directory.reply.bytes.subarray(16, directory.at), plus)
          expect(parsed).toHaveLength(taken.length)
          taken.forEach(([name, a, cookie, known], i) => {
            const got = parsed[i]!
            expect(got).toMatchObject({
              ino: a.ino,
              cookie,
              generation,
              type: (a.mode >> 12) & 15,
              name: name.toString('latin1'),
            })
            if (plus) expect(got.entry!.nodeid).toBe(known ? a.ino : 0)
            if (plus && known) expect(got.entry!.attr).toEqual(shown(a))
          })
        },
      ),
    )
  })

  test('notifications', () => {
    const inode = encodeInvalidateInode(2 ** 40 + 7, -1, 0)
    expect([inode.length, inode.readUInt32LE(0), inode.readInt32LE(4), inode.readBigUInt64LE(8)]).toEqual([
      40,
      40,
      2,
      0n,
    ])
    expect([inode.readBigUInt64LE(16), inode.readBigInt64LE(24)]).toEqual([2n ** 40n + 7n, -1n])
    // struct fuse_notify_store_out: nodeid, offset, size, padding; the bytes follow, and count in the header's length.
    const store = encodeStoreHead(2 ** 40 + 7, 2 ** 45 + 4096, 1 << 20)
    expect([store.length, store.readUInt32LE(0)]).toEqual([40, 40 + (1 << 20)])
    expect([store.readInt32LE(4), Number(store.readBigUInt64LE(8))]).toEqual([4, 0])
    expect([16, 24].map((at) => Number(store.readBigUInt64LE(at)))).toEqual([2 ** 40 + 7, 2 ** 45 + 4096])
    expect([store.readUInt32LE(32), store.readUInt32LE(36)]).toEqual([1 << 20, 0])
    const entry = encodeInvalidateEntry(9, Buffer.from('abc'))
    expect([entry.length, entry.readInt32LE(4), entry.readBigUInt64LE(16), entry.readUInt32LE(24)]).toEqual([
      36,
      3,
      9n,
      3,
    ])
    expect(entry.subarray(32).toString()).toBe('abc\0')
  })
})

describe('requests', () => {
  test('numbers, names and data are what was sent', () => {
    fc.assert(
      fc.property(id, id, nameBytes, nameBytes, (nodeid, value, first, second) => {
        const zero = Buffer.alloc(1)
        const one = received(request(1, nodeid, first, zero))
        expect(one.isWellFormed).toBe(true)
        expect([one.opcode, one.nodeid, one.uid, one.gid, one.pid]).toEqual([1, nodeid, 1000, 1001, 77])
        expect(Buffer.from(one.name(40)).equals(first)).toBe(true)
        const two = received(request(12, nodeid, u64(value), first, zero, second, zero))
        expect(two.u64(40)).toBe(value)
        const names = two.twoNames(48)
        expect(Buffer.from(names.first).equals(first) && Buffer.from(names.second).equals(second)).toBe(true)
        const both = received(request(21, nodeid, u32(second.length, 0), first, zero, second)).nameAndValue(
          48,
          second.length,
        )
        expect(Buffer.from(both.name).equals(first) && Buffer.from(both.value).equals(second)).toBe(true)
      }),
    )
  })

  test('whatever the bytes, a view never reaches beyond them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), fc.nat(300), (payload, at, size) => {
        const bytes = request(1, 1, Buffer.from(payload))
        const end = bytes.length
        const views: Uint8Array[] = []
        const attempt = (decode: (r: RequestBuffer) => Uint8Array[]) => {
          try {
            views.push(...decode(received(bytes)))
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedRequest)
          }
        }
        attempt((r) => [r.name(40 + at)])
        attempt((r) => Object.values(r.twoNames(40 + at)))
        attempt((r) => Object.values(r.nameAndValue(40 + at, size)))
        attempt((r) => [r.data(40 + at, size)])
        attempt((r) => {
          r.setattr()
          return []
        })
        for (const view of views) expect(view.byteOffset + view.length).toBeLessThanOrEqual(end)
      }),
    )
  })

  test('the same view serves names of one length, with the new bytes', () => {
    const buffer = received(request(1, 1, Buffer.from('first\0')))
    const first = buffer.name(40)
    buffer.bytes.set(Buffer.from('other'), 40)
    expect(buffer.name(40)).toBe(first)
    expect(Buffer.from(first).toString()).toBe('other')
  })
})
