// The disk cache: what it holds is answered without the store, and whatever happens to its files is answered by the store. Over
// Node's disk, with faults (faulty-disk.ts).
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { createSegmentStore } from '../../src/segments/index.ts'
import { StoreError } from '../../src/store/index.ts'
import {
  bucket,
  bytesOf,
  caches,
  clock,
  disk,
  fileOf,
  files,
  folder,
  id,
  key,
  mount,
  remount,
  SEGMENT,
  stored,
  temporary,
  warnings,
} from './disk-cache-fixture.ts'
import { FaultyDisk } from './faulty-disk.ts'

describe('what was read', () => {
  test('is answered without the store at the next mount: whole, in parts, and past its end', async () => {
    const bytes = stored(1, 200_000)
    await mount().get(key(1))
    expect(bucket.gets).toBe(1)
    const cache = await remount()
    const asked = [
      {},
      { offset: 65_536, lengthBytes: 65_536 },
      { offset: 100, lengthBytes: 131_000 },
      { offset: 199_000 },
    ]
    for (const range of [...asked, { offset: 199_000, lengthBytes: 5000 }, { offset: 199_999, lengthBytes: 1 }]) {
      const { offset = 0, lengthBytes = bytes.length } = range as { offset?: number; lengthBytes?: number }
      const { body } = await cache.get(key(1), range)
      expect(body.equals(bytes.subarray(offset, offset + lengthBytes)), JSON.stringify(range)).toBe(true)
    }
    expect(bucket.gets).toBe(1)
    expect(cache.status).toMatchObject({ hits: 6, misses: 0, damaged: 0, errors: 0 })
  })

  test('in parts is put together from them, and what is missing of it is asked of the store', async () => {
    const bytes = stored(1)
    const cache = mount()
    await cache.get(key(1), { offset: 0, lengthBytes: 70_000 })
    await cache.get(key(1), { offset: 70_000, lengthBytes: 60_000 })
    await cache.settled()
    const { body } = await cache.get(key(1), { offset: 5, lengthBytes: 129_990 })
    expect(body.equals(bytes.subarray(5, 129_995))).toBe(true)
    expect(bucket.gets).toBe(2)
    expect(
      (await cache.get(key(1), { offset: 100_000, lengthBytes: 50_000 })).body.equals(bytes.subarray(100_000, 150_000)),
    ).toBe(true)
    expect(bucket.gets).toBe(3)
    // All of it takes the place of its parts.
    await cache.get(key(1))
    await cache.settled()
    expect(files()).toHaveLength(1)
    expect(cache.status.bytes).toBeGreaterThanOrEqual(SEGMENT)
    expect(cache.status.bytes).toBeLessThan(SEGMENT + 4096)
  })

  test('goes into the memory that the reader gives, once per GET', async () => {
    const bytes = stored(1)
    await mount().get(key(1))
    const cache = await remount()
    const given: Buffer[] = []
    const allocate = (lengthBytes: number) => {
      given.push(Buffer.alloc(lengthBytes))
      return given.at(-1)!
    }
    const { body } = await cache.get(key(1), { offset: 0, lengthBytes: 1 << 30, allocate })
    expect(given).toEqual([body])
    expect(body.equals(bytes)).toBe(true)
  })

  test('may be changed by its reader at once: what is kept is a copy', async () => {
    const bytes = Buffer.from(stored(1))
    const { body } = await mount().get(key(1))
    body.fill(0)
    const cache = await remount()
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    expect(bucket.gets).toBe(1)
  })

  test('of other keys passes through', async () => {
    bucket.objects.set('root', Buffer.from('root'))
    const cache = mount()
    for (let i = 0; i < 2; i++) expect((await cache.get('root')).body.toString()).toBe('root')
    await cache.put('root', [Buffer.alloc(9000)])
    await cache.settled()
    expect(bucket.gets).toBe(2)
    expect(files()).toEqual([])
  })

  test('that is missing or aborted fails as the store says', async () => {
    const cache = mount()
    await expect(cache.get(key(7))).rejects.toBeInstanceOf(StoreError)
    stored(1)
    await cache.get(key(1))
    await cache.settled()
    const reason = new Error('not wanted')
    await expect(cache.get(key(1), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('what was put', () => {
  test('is kept, and answered without the store at once and at the next mount', async () => {
    const bytes = bytesOf(3)
    const parts = [Buffer.from(bytes.subarray(0, 1000)), Buffer.from(bytes.subarray(1000))]
    let cache = mount()
    await cache.putIfAbsent(key(3), parts)
    // They are the caller's again.
    for (const part of parts) part.fill(0)
    await cache.settled()
    expect((await cache.get(key(3))).body.equals(bytes)).toBe(true)
    cache = await remount()
    expect((await cache.get(key(3), { offset: 70_000 })).body.equals(bytes.subarray(70_000))).toBe(true)
    expect(bucket.gets).toBe(0)
  })

  test('that failed is not kept, and takes away what lay under its key', async () => {
    const cache = mount()
    stored(3)
    await cache.get(key(3))
    await cache.settled()
    await expect(cache.putIfAbsent(key(3), [bytesOf(4)])).rejects.toMatchObject({ kind: 'precondition-failed' })
    // Whoever looks whose it is asks the store.
    await cache.get(key(3), { offset: SEGMENT - 48 })
    expect(bucket.gets).toBe(2)
  })

  test('and deleted leaves no file, even where it was still to be written', async () => {
    const cache = mount()
    await cache.putIfAbsent(key(3), [bytesOf(3)])
    await cache.putIfAbsent(key(4), [bytesOf(4)])
    await cache.delete([key(3)])
    await cache.settled()
    expect(files()).toEqual([expect.stringContaining(key(4).split('/')[2]!)])
    await expect(cache.get(key(3))).rejects.toThrow()
  })

  test('is deleted by the next mount too, which has not looked into its folder yet', async () => {
    await mount().putIfAbsent(key(3), [bytesOf(3)])
    const cache = await remount()
    await cache.delete([key(3)])
    await cache.settled()
    expect(files()).toEqual([])
  })
})

describe('a file that is not as it was written is never handed out: the store answers', () => {
  const damages: Record<string, (path: string) => void> = {
    'a flipped bit': (path) => flip(path, 70_000),
    'a flipped bit in its last block': (path) => flip(path, SEGMENT - 1),
    'a flipped bit in its checksums': (path) => flip(path, SEGMENT + 1),
    'zeros, as after a power loss': (path) => change(path, (bytes) => void bytes.fill(0)),
    'zeros from its middle on': (path) => change(path, (bytes) => void bytes.fill(0, 100_000)),
    'cut short': (path) => writeFileSync(path, readFileSync(path).subarray(0, 200_000)),
    'without its end': (path) => writeFileSync(path, readFileSync(path).subarray(0, SEGMENT)),
    empty: (path) => writeFileSync(path, ''),
    longer: (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(100)])),
    'what another file held, as after a power loss': (path) => writeFileSync(path, readFileSync(fileOf(2))),
  }
  for (const isKnown of [true, false]) {
    test.each(Object.keys(damages))(`%s, ${isKnown ? 'while it is mounted' : 'before the mount'}`, async (damage) => {
      const bytes = stored(1)
      stored(2)
      let cache = mount()
      await cache.get(key(1))
      await cache.get(key(2))
      await cache.settled()
      damages[damage]!(fileOf(1))
      if (!isKnown) cache = await remount()
      bucket.gets = 0
      expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
      expect(bucket.gets).toBe(1)
      await cache.settled()
      // It was kept anew.
      expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
      expect(bucket.gets).toBe(1)
      expect(cache.status.errors).toBe(0)
      expect(warnings.length).toBe(cache.status.damaged)
      expect(cache.status.damaged).toBeLessThanOrEqual(1)
    })
  }

  test('damage is counted each time, and told once', async () => {
    const cache = mount()
    for (const n of [1, 2, 3]) {
      stored(n)
      await cache.get(key(n))
    }
    await cache.settled()
    for (const n of [1, 2, 3]) {
      damages['a flipped bit']!(fileOf(n))
      await cache.get(key(n))
    }
    expect(cache.status.damaged).toBe(3)
    expect(warnings).toEqual(['the disk cache is damaged: what it held is read from the store'])
  })

  test('of another volume, or another copy of the bucket, in its place', async () => {
    stored(1)
    await mount({ scope: 'another volume' }).get(key(1))
    const bytes = bytesOf(9)
    bucket.objects.set(key(1), bytes)
    const cache = await remount()
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
  })

  test('what came damaged from the store and was kept so is asked of the store again, not an I/O error', async () => {
    const cache = mount()
    const segments = createSegmentStore({
      ...{ store: cache, volumeUuid: Buffer.alloc(16, 7), segmentSizeBytes: 8 << 20, cacheBytes: 64 << 20 },
      onDamaged: (segment) => cache.forget(segment),
    })
    const content = bytesOf(5, 100_000)
    const packer = segments.dataPacker(() => id(5))
    const range = packer.add(1, 0, [content])
    // Not through the cache.
    await packer.upload()
    cache.forget(id(5))
    bucket.onGet = async (_, body, nth) => {
      if (nth === 1) body[50_000]! ^= 1
      return body
    }
    const read = async () => Buffer.concat(await segments.readData(range))
    expect((await read()).equals(content)).toBe(true)
    expect(bucket.gets).toBe(2)
    // Where the damage has got to disk first.
    cache.forget(id(5))
    await cache.settled()
    bucket.onGet = async (_, body) => Buffer.from(body.map((byte, at) => (at === 50_000 ? byte ^ 1 : byte)))
    await cache.get(key(5))
    await cache.settled()
    bucket.onGet = async (_, body) => body
    const next = createSegmentStore({
      ...{ store: cache, volumeUuid: Buffer.alloc(16, 7), segmentSizeBytes: 8 << 20, cacheBytes: 64 << 20 },
      onDamaged: (segment) => cache.forget(segment),
    })
    expect(Buffer.concat(await next.readData(range)).equals(content)).toBe(true)
  })
})

function flip(path: string, at: number): void {
  change(path, (bytes) => bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at))
}

function change(path: string, how: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  how(bytes)
  writeFileSync(path, bytes)
}

describe('a disk that fails', () => {
  test('full: reads go on, nothing is kept for a while, told once; then less is kept', async () => {
    const cache = mount()
    for (let n = 0; n < 8; n++) {
      stored(n)
      await cache.get(key(n))
    }
    await cache.settled()
    const held = cache.status.bytes
    disk.fault = (call) => (call === 'writev' ? 'ENOSPC' : null)
    for (let n = 8; n < 12; n++) {
      const bytes = stored(n)
      expect((await cache.get(key(n))).body.equals(bytes)).toBe(true)
      await cache.settled()
    }
    expect(cache.status).toMatchObject({ errors: 1, skipped: 3 })
    expect(warnings).toHaveLength(1)
    // An eighth is given back at once.
    expect(files()).toHaveLength(7)
    // What is there is used meanwhile.
    bucket.gets = 0
    await cache.get(key(1))
    expect(bucket.gets).toBe(0)
    disk.fault = () => null
    clock.advance(61_000)
    for (let n = 8; n < 12; n++) await cache.get(key(n))
    await cache.settled()
    expect(cache.status.bytes).toBeLessThanOrEqual(held)
    expect(cache.status.bytes).toBeGreaterThan(held / 2)
    expect(files().length).toBeLessThanOrEqual(7)
    await cache.get(key(11))
    expect(bucket.gets).toBe(4)
  })

  test.each(['EIO', 'EROFS', 'EACCES'])('%s at a write leaves nothing half-written, and reads go on', async (code) => {
    const cache = mount()
    const bytes = stored(1)
    disk.fault = (call) => (call === 'rename' ? code : null)
    for (let i = 0; i < 3; i++) {
      expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
      await cache.settled()
    }
    expect(files()).toEqual([])
    expect(warnings).toEqual(['the disk cache cannot be used for a while'])
    expect(cache.status).toMatchObject({ bytes: 0, errors: 1 })
  })

  test('EIO at a read: the store answers', async () => {
    const cache = mount()
    const bytes = stored(1)
    await cache.get(key(1))
    await cache.settled()
    disk.fault = (call) => (call === 'read' ? 'EIO' : null)
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    expect(cache.status.errors).toBe(1)
  })

  test('full at a mount: what is there is used, and nothing is added', async () => {
    const first = mount()
    await first.trust({ epoch: 3, isWriter: true })
    stored(1)
    stored(2)
    await first.get(key(1))
    const cache = await remount()
    disk.fault = (call, path) => (call === 'writev' && path.endsWith('epoch') ? 'ENOSPC' : null)
    await cache.trust({ epoch: 4, isWriter: true })
    await cache.get(key(1))
    expect(bucket.gets).toBe(1)
    await cache.get(key(2))
    clock.advance(61_000)
    await cache.get(key(2))
    await cache.settled()
    expect(files()).toHaveLength(1)
  })

  test('EIO at everything, from the beginning: it is as if there were no cache', async () => {
    disk.fault = () => 'EIO'
    const cache = mount()
    await cache.trust({ epoch: 1, isWriter: true })
    const bytes = stored(1)
    for (let i = 0; i < 3; i++) expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    await cache.putIfAbsent(key(2), [bytesOf(2)])
    expect((await cache.get(key(2))).body.equals(bytesOf(2))).toBe(true)
    await cache.delete([key(2)])
    await cache.settled()
    expect(warnings).toHaveLength(1)
  })

  test('slower than the store: no reader waits for it, and what waits to be written is bounded', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const cache = mount({ pendingBytes: 4 * SEGMENT })
    disk.fault = (call) => (call === 'writev' ? held : null)
    for (let n = 0; n < 10; n++) {
      const bytes = stored(n)
      expect((await cache.get(key(n))).body.equals(bytes)).toBe(true)
    }
    expect(cache.status.skipped).toBe(6)
    release()
    await cache.settled()
    expect(files()).toHaveLength(4)
  })

  test('that does not answer a read holds it up for two seconds, and the next ones not at all', async () => {
    const bytes = stored(1)
    stored(2)
    const cache = mount()
    await cache.get(key(1))
    await cache.get(key(2))
    await cache.settled()
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    disk.fault = (call) => (call === 'read' ? held : null)
    const reading = cache.get(key(1))
    await expect.poll(() => disk.calls.at(-1)?.call).toBe('read')
    // Those that wait for their turn, too.
    const others = [1, 1, 2, 2, 2].map((n) => cache.get(key(n)))
    await clock.yield()
    clock.advance(2_000)
    expect((await reading).body.equals(bytes)).toBe(true)
    await Promise.all(others)
    const { errors } = cache.status
    expect((await cache.get(key(2))).body.equals(bytesOf(2))).toBe(true)
    expect(cache.status.errors).toBe(errors)
    expect(warnings).toHaveLength(1)
    release()
    await cache.settled()
    clock.advance(60_000)
    bucket.gets = 0
    expect((await cache.get(key(2))).body.equals(bytesOf(2))).toBe(true)
    expect(bucket.gets).toBe(0)
  })

  test('that takes long to tell what it holds is not waited for at the mount', async () => {
    const bytes = stored(1)
    await mount().get(key(1))
    await Promise.all(caches.map((cache) => cache.settled()))
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    disk.fault = (call) => (call === 'readdir' ? held : null)
    const cache = mount()
    const reading = cache.get(key(1))
    await expect.poll(() => disk.calls.at(-1)?.call).toBe('readdir')
    clock.advance(1_000)
    expect((await reading).body.equals(bytes)).toBe(true)
    expect(cache.status).toMatchObject({ errors: 0, hits: 0, misses: 1 })
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    release()
    clock.advance(5_000)
    await expect.poll(async () => (await cache.get(key(1))) && cache.status.hits).toBeGreaterThan(0)
  })
})

describe('what somebody else does to the folder', () => {
  test('rm -rf of what is in it: the store answers, and it is filled anew', async () => {
    const cache = mount()
    const bytes = stored(1)
    await cache.get(key(1))
    await cache.settled()
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true })
    bucket.gets = 0
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    await cache.settled()
    expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
    expect(bucket.gets).toBe(1)
    expect(cache.status.errors).toBe(0)
  })

  test('rm -rf of the folder itself: the store answers, and nothing is made in another place', async () => {
    const cache = mount()
    const bytes = stored(1)
    await cache.get(key(1))
    await cache.settled()
    rmSync(folder, { recursive: true })
    mkdirSync(join(temporary.path, 'in between'))
    for (let i = 0; i < 2; i++) {
      expect((await cache.get(key(1))).body.equals(bytes)).toBe(true)
      await cache.settled()
    }
    expect(warnings).toHaveLength(1)
    expect(readdirSync(temporary.path)).toEqual(['in between'])
  })

  test('what a crash left half-written is removed at the next mount, and what is none of the cache is left alone', async () => {
    mkdirSync(join(folder, 'tmp'))
    mkdirSync(join(folder, '01'))
    writeFileSync(join(folder, 'tmp', 's0-1'), 'half')
    writeFileSync(join(folder, '01', 'notes.txt'), 'mine')
    const cache = mount()
    stored(1)
    await cache.get(key(1))
    await cache.settled()
    expect(files()).toEqual(['01/00000000000001.0-262144.end', '01/notes.txt'])
  })

  test('two mounts at a time: each answers rightly, and finds at its next look what the other has kept', async () => {
    const [one, two] = [mount(), mount()]
    const all = Array.from({ length: 40 }, (_, n) => stored(n))
    const random = seededRandom(5)
    for (let i = 0; i < 300; i++) {
      const cache = random.next() < 0.5 ? one : two
      const n = Math.floor(random.next() * 40)
      const offset = Math.floor(random.next() * 200_000)
      const { body } = await cache.get(key(n), { offset, lengthBytes: 60_000 })
      expect(body.equals(all[n]!.subarray(offset, offset + 60_000))).toBe(true)
      if (random.next() < 0.1) cache.forget(id(n))
    }
    await Promise.all([one.settled(), two.settled()])
    expect([one.status, two.status]).toMatchObject([
      { errors: 0, damaged: 0 },
      { errors: 0, damaged: 0 },
    ])
  })

  test("a second mount may take away the first one's half-written file: that is not kept, and no error", async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const cache = mount()
    disk.fault = (call) => (call === 'rename' ? held : null)
    stored(1)
    await cache.get(key(1))
    await expect.poll(() => disk.calls.at(-1)?.call).toBe('rename')
    const second = mount({ disk: new FaultyDisk() })
    stored(2)
    await second.get(key(2))
    await second.settled()
    release()
    await cache.settled()
    expect(cache.status).toMatchObject({ errors: 0, writtenBytes: 0 })
    await cache.get(key(1))
    await cache.settled()
    expect(cache.status).toMatchObject({ errors: 0, writtenBytes: SEGMENT })
  })
})
