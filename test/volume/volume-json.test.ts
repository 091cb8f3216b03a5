// volume.json: it comes back as it was written, and what this program does not know is refused or left alone.
import { describe, expect, it } from 'vitest'
import { FsError } from '../../src/platform/index.ts'
import { createMemoryStore } from '../../src/store/index.ts'
import {
  decodeVolumeJson,
  encodeVolumeJson,
  lentBytes,
  readVolumeJson,
  shareMemory,
  type VolumeJson,
} from '../../src/volume/index.ts'

const json: VolumeJson = {
  format: 'cairnfs',
  formatVersion: 2,
  uuid: '01234567-89ab-4def-8123-456789abcdef',
  name: 'photos',
  features: { compat: 0, roCompat: 0, incompat: 0 },
  segmentSize: 8 << 20,
  unicodeVersion: '12.1.0',
  hashKey: '000102030405060708090a0b0c0d0e0f',
}

function decode(change: object) {
  return decodeVolumeJson(Buffer.from(JSON.stringify({ ...json, ...change })), 's3://b/p')
}

describe('volume.json', () => {
  it('comes back as it was written, with its ids as bytes', () => {
    const identity = decodeVolumeJson(encodeVolumeJson(json), 's3://b/p')
    expect(identity.json).toEqual(json)
    expect(identity.uuid.toString('hex')).toBe('0123456789ab4def8123456789abcdef')
    expect(identity.hashKey).toEqual(Buffer.from([...Array(16).keys()]))
    expect(identity.isReadOnly).toBe(false)
  })

  it('of a newer format is refused, whatever else it says', () => {
    expect(() => decode({ formatVersion: 3, features: 'none', hashKey: null })).toThrow(
      /s3:\/\/b\/p has format version 3.*newer cairnfs/,
    )
  })

  it('of an older format is refused, and what to do is said', () => {
    expect(() => decode({ formatVersion: 1 })).toThrow(/s3:\/\/b\/p has format version 1.*copy its files/)
  })

  it('with unknown features: incompat refuses, ro-compat allows reading, compat all', () => {
    expect(() => decode({ features: { compat: 0, roCompat: 0, incompat: 5 } })).toThrow(/bits 0, 2.*newer cairnfs/)
    expect(decode({ features: { compat: 0, roCompat: 2 ** 40, incompat: 0 } }).isReadOnly).toBe(true)
    expect(decode({ features: { compat: 7, roCompat: 0, incompat: 0 } }).isReadOnly).toBe(false)
  })

  it.each([
    [{ format: 'other' }],
    [{ uuid: 'x' }],
    [{ name: '../etc' }],
    [{ hashKey: 'ff' }],
    [{ segmentSize: 1 }],
    [{ unicodeVersion: '15.0.0' }],
    [{ formatVersion: 0 }],
  ])('damaged by %j is refused', (change) => expect(() => decode(change)).toThrow(/volume\.json .*restore it/))

  it('that is no JSON, or is not there, is said to be so', async () => {
    expect(() => decodeVolumeJson(Buffer.from('{'), 'file:///v')).toThrow('is no JSON')
    await expect(readVolumeJson(createMemoryStore('memory:x'))).rejects.toThrow(
      'memory:x holds no cairnfs volume (no volume.json): check the name, or make a volume with: cairnfs format memory:x (if one was there: cairnfs fsck memory:x --repair)',
    )
  })
})

it('the shares of the memory add up to the whole', () => {
  for (const bytes of [64 << 20, (256 << 20) + 7, 2 ** 30]) {
    const shares = Object.values(shareMemory(bytes))
    expect(shares.reduce((sum, share) => sum + share)).toBe(bytes)
    expect(Math.min(...shares)).toBeGreaterThan(bytes / 8)
  }
})

it('what was read may take seven sixteenths of the memory or five eighths less 64 MiB, and no more than others leave', () => {
  for (const bytes of [64 << 20, 256 << 20, 2 ** 30]) {
    const shares = shareMemory(bytes)
    const { dirtyBytes, changeBytes, pageBytes, blockBytes } = shares
    const most = blockBytes + lentBytes(shares, { dirtyBytes: 0, changeBytes: 0 })
    expect(most).toBe(Math.max(blockBytes, (bytes * 5) / 8 - Math.min((bytes * 3) / 16, 64 << 20)))
    expect(lentBytes(shares, { dirtyBytes, changeBytes })).toBe(0)
    expect(lentBytes(shares, { dirtyBytes: 2 * dirtyBytes, changeBytes: 2 * changeBytes })).toBe(0)
    for (const dirty of [0, 0.3, 0.9, 1]) {
      for (const changed of [0, 0.5, 0.8, 1]) {
        const used = { dirtyBytes: dirty * dirtyBytes, changeBytes: changed * changeBytes }
        const all = blockBytes + lentBytes(shares, used) + used.dirtyBytes + used.changeBytes + pageBytes
        expect(all, `${dirty} dirty, ${changed} changed`).toBeLessThanOrEqual(bytes)
      }
    }
  }
})

it('a flipped bit anywhere in it is noticed, or changes nothing', () => {
  const whole = decodeVolumeJson(encodeVolumeJson(json), 'file:///x').json
  const bytes = encodeVolumeJson(json)
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 1
    let read: unknown = whole
    try {
      read = decodeVolumeJson(flipped, 'file:///x').json
    } catch (error) {
      expect(error).toBeInstanceOf(FsError)
    }
    expect(read, `byte ${at}`).toEqual(whole)
  }
})
