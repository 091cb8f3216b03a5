// The loop on a socket pair instead of /dev/fuse: a peer that sends whatever it likes, one message at a time.
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Region, type Slab, SlabPool } from '../../src/data/slab.ts'
import { DeviceLoop } from '../../src/fuse/device-loop.ts'
import { Session } from '../../src/fuse/session.ts'
import { Registry } from '../../src/observe/index.ts'
import { type FsError, libc } from '../../src/platform/index.ts'
import type { Filesystem } from '../../src/vfs/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'
import { init, parseReply, type Reply, request, u32, u64 } from './requests.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const GETATTR = request(3, 1, u32(0, 0), u64(0))

let loop: DeviceLoop
let peer: Socket
let received = Buffer.alloc(0)

beforeEach(() => start())

function start(slabs?: Filesystem['slabs']): void {
  const [ours, theirs] = libc().socketpair() as [number, number]
  loop = new DeviceLoop(ours, slabs)
  peer = new Socket({ fd: theirs })
  received = Buffer.alloc(0)
  peer.on('data', (data) => {
    received = Buffer.concat([received, data])
  })
}

function restart(slabs: Filesystem['slabs']): void {
  loop.stop()
  peer.destroy()
  start(slabs)
}

afterEach(() => {
  loop?.stop()
  peer.destroy()
})

async function reply(): Promise<Reply> {
  while (received.length < 16 || received.length < received.readUInt32LE(0)) await once(peer, 'data')
  const length = received.readUInt32LE(0)
  const bytes = received.subarray(0, length)
  received = received.subarray(length)
  return parseReply(bytes)
}

async function ask(bytes: Buffer): Promise<Reply> {
  peer.write(bytes)
  return reply()
}

function serve(memory = new MemoryFilesystem(() => ({ sec: 1, nsec: 2 }))): MemoryFilesystem {
  const session = new Session(memory, loop, { readOnly: false, log, registry: new Registry() })
  loop.start((bytes) => session.handle(bytes))
  return memory
}

test('malformed requests are answered and the next one is served', async () => {
  serve()
  await ask(init())
  const short = GETATTR.subarray(0, 39)
  const long = Buffer.concat([GETATTR, Buffer.alloc(100)])
  for (const bytes of [short, long, Buffer.alloc(20, 1), Buffer.alloc(100_000, 0xff)]) {
    expect((await ask(bytes)).error).toBeLessThan(0)
    expect((await ask(GETATTR)).error).toBe(0)
  }
})

test('while operations wait others are served, up to the limit; then none, and then all', async () => {
  const memory = serve()
  await ask(init())
  const releases: (() => void)[] = []
  memory.readlink = () => new Promise((resolve) => releases.push(() => resolve(Buffer.from('target'))))
  const readlink = () => request(5, 1)
  for (let waiting = 0; waiting < 1023; waiting++) {
    peer.write(readlink())
    while (loop.outstanding === waiting) await new Promise((resolve) => setImmediate(resolve))
  }
  expect((await ask(GETATTR)).error).toBe(0)
  peer.write(readlink())
  while (loop.outstanding < 1024) await new Promise((resolve) => setImmediate(resolve))
  peer.write(GETATTR)
  const cpu = process.cpuUsage()
  await new Promise((resolve) => setTimeout(resolve, 300))
  // Waiting at the limit spins no more than waiting idle.
  expect(process.cpuUsage(cpu).user / 1000).toBeLessThan(150)
  expect(received.length).toBe(0)
  releases.shift()!()
  expect((await reply()).payload.toString()).toBe('target')
  expect((await reply()).payload.length).toBe(104)
  for (const release of releases) {
    release()
    expect((await reply()).payload.toString()).toBe('target')
  }
  expect(loop.outstanding).toBe(0)
})

test('data in many parts, some empty, arrives joined', async () => {
  const memory = serve()
  await ask(init())
  const read = (size: number) => ask(request(15, 1, u64(0, 0), u32(size, 0), u64(0), u32(0, 0)))
  for (const count of [1, 3, 1023, 1024, 3000]) {
    const parts = Array.from({ length: count }, (_, i) => Buffer.alloc(i % 3 === 1 ? 0 : 7, i % 251))
    memory.read = () => parts
    const { payload } = await read(100_000)
    expect(payload.equals(Buffer.concat(parts))).toBe(true)
  }
})

test('what a WRITE keeps of its slab is not read into again, at once or later', async () => {
  const slabs = new SlabPool({ keepBytes: 0, slabBytes: 8192 })
  restart(slabs)
  const memory = serve()
  await ask(init())
  const kept: Region[] = []
  let waits: Promise<void> | null = null
  memory.write = (_handle, _ino, _offset, data, how) => {
    if (how?.slab !== undefined) kept.push(slabs.adopt(how.slab))
    return waits === null ? data.length : waits.then(() => data.length)
  }
  const writeOf = (fill: number, size: number) =>
    request(16, 1, u64(0, 0), u32(size, 0), u64(0), u32(0, 0), Buffer.alloc(size, fill))
  expect((await ask(writeOf(1, 8192))).payload.readUInt32LE(0)).toBe(8192)
  expect((await ask(writeOf(2, 8191))).payload.readUInt32LE(0)).toBe(8191)
  expect((await ask(GETATTR)).error).toBe(0)
  let release = () => {}
  waits = new Promise((resolve) => {
    release = resolve
  })
  peer.write(writeOf(3, 8192))
  while (loop.outstanding === 0) await new Promise((resolve) => setImmediate(resolve))
  waits = null
  expect((await ask(writeOf(4, 8192))).payload.readUInt32LE(0)).toBe(8192)
  release()
  expect((await reply()).payload.readUInt32LE(0)).toBe(8192)
  for (let i = 0; i < 3; i++) expect((await ask(writeOf(5, 5000))).error).toBe(0)
  // Poisoned and given up by whoever kept it, before the answer: somebody may read it all the same.
  let poisoned: Region | null = null
  memory.write = (_handle, _ino, _offset, data, how) => {
    poisoned = slabs.adopt(how!.slab!)
    slabs.poison(poisoned)
    slabs.release(poisoned)
    return data.length
  }
  expect((await ask(writeOf(6, 8192))).error).toBe(0)
  expect((await ask(GETATTR)).error).toBe(0)
  expect(poisoned!.slab.bytes.every((byte) => byte === 6)).toBe(true)
  expect(kept.map(({ slab }) => [slab.holders, slab.bytes[0], slab.bytes[8191]])).toEqual([
    [1, 1, 1],
    [1, 3, 3],
    [1, 4, 4],
  ])
})

test('requests that wait for long keep few slabs from others, and later ones lie in slabs again', async () => {
  const slabs = new SlabPool({ keepBytes: 0, slabBytes: 8192 })
  let taken = 0
  let most = 0
  const counted = {
    take: () => {
      most = Math.max(most, ++taken)
      return slabs.take()
    },
    letGo: (slab: Slab) => {
      taken--
      slabs.letGo(slab)
    },
    dropSpare: () => {},
  }
  restart(counted)
  const memory = serve()
  await ask(init())
  const releases: (() => void)[] = []
  memory.readlink = () => new Promise((resolve) => releases.push(() => resolve(Buffer.from('target'))))
  for (let waiting = 0; waiting < 40; waiting++) {
    peer.write(request(5, 1))
    while (loop.outstanding === waiting) await new Promise((resolve) => setImmediate(resolve))
  }
  for (const release of releases) {
    release()
    expect((await reply()).payload.toString()).toBe('target')
  }
  expect(most).toBe(9)
  let inSlabs = 0
  memory.write = (_handle, _ino, _offset, data, how) => {
    if (how?.slab !== undefined) inSlabs++
    return data.length
  }
  const write = request(16, 1, u64(0, 0), u32(8192, 0), u64(0), u32(0, 0), Buffer.alloc(8192))
  for (let i = 0; i < 3; i++) expect((await ask(write)).error).toBe(0)
  expect(inSlabs).toBeGreaterThanOrEqual(2)
})

test('a peer that is gone ends the loop, after the operations under way', async () => {
  const memory = serve()
  await ask(init())
  let release = () => {}
  memory.readlink = () =>
    new Promise((resolve) => {
      release = () => resolve(Buffer.from('late'))
    })
  peer.write(request(5, 1))
  while (loop.outstanding === 0) await new Promise((resolve) => setImmediate(resolve))
  let hasEnded = false
  const ended = loop.ended.catch((error: FsError) => error)
  void ended.then(() => {
    hasEnded = true
  })
  loop.stop()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(hasEnded).toBe(false)
  release()
  expect(await ended).toBe('aborted')
})

test('a device that cannot be read ends the loop with an error', async () => {
  serve()
  const ended = expect(loop.ended).rejects.toMatchObject({ code: 'EIO' })
  peer.destroy()
  await ended
})

test('a loop that nobody holds goes on serving', async () => {
  serve()
  await ask(init())
  loop.ended.catch(() => {}) // by the peer's end, after the test
  loop = undefined as unknown as DeviceLoop
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  for (let i = 0; i < 5; i++) {
    collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await ask(GETATTR)).error).toBe(0)
  }
})

test('a descriptor that was sent is received', () => {
  const [a, b] = libc().socketpair() as [number, number]
  expect(libc().receiveDescriptor(a)).toBeLessThan(0)
  closeSync(b)
  expect(libc().receiveDescriptor(a)).toBeLessThan(0)
  closeSync(a)
})

test('a notification in many parts arrives whole and in order, while others are answered', async () => {
  serve()
  const parts = [Buffer.alloc(40, 1), ...Array.from({ length: 64 }, (_, index) => Buffer.alloc(777, index))]
  const whole = Buffer.concat(parts)
  // Its length, as the peer expects it in front.
  whole.writeUInt32LE(whole.length, 0)
  parts[0]!.writeUInt32LE(whole.length, 0)
  const sent = loop.notify(parts)
  while (received.length < whole.length) await once(peer, 'data')
  expect(received.equals(whole)).toBe(true)
  expect(await sent).toBe(whole.length)
  received = Buffer.alloc(0)
  await ask(init())
})
