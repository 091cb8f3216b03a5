// The next reply of a listing is filled before it is asked for, never shows what has changed since, and leaves no reference
// behind that the kernel does not know of.
import { beforeEach, expect, test } from 'vitest'
import { RequestBuffer } from '../../src/fuse/codec.ts'
import { DirectoryRequests } from '../../src/fuse/directory-requests.ts'
import { FuseMetrics } from '../../src/fuse/metrics.ts'
import { Registry } from '../../src/observe/index.ts'
import { type Clock, systemClock } from '../../src/platform/index.ts'
import type { Attributes, DirectorySink, Filesystem, Ino } from '../../src/vfs/index.ts'
import { parseDirents, request, u32, u64 } from './requests.ts'

const DIRECTORY = 7 as Ino
const ENTRIES = 1000
const READDIRPLUS = 44
const REPLY_BYTES = 4096

/** A directory of numbered files, and who refers to them. */
class Numbers {
  version = 1
  /** Added to every size. */
  sizeBytes = 0
  readonly references = new Map<number, number>()
  readonly calls: number[] = []
  /** Cookies at which a page has to be fetched first. */
  readonly missing = new Set<number>()

  readonly entryTtlSec = 1
  readonly attributeTtlSec = 1

  readdir(_ino: Ino, cookie: number, _plus: boolean, sink: DirectorySink): void | Promise<void> {
    this.calls.push(cookie)
    if (this.missing.delete(cookie))
      return new Promise((resolve) => setImmediate(() => resolve(this.#fill(cookie, sink))))
    return this.#fill(cookie, sink)
  }

  #fill(cookie: number, sink: DirectorySink): void {
    for (let number = cookie + 1; number <= ENTRIES; number++) {
      const ino = (number + 100) as Ino
      if (!sink(Buffer.from(`file-${number}`), ino, 0o100644, number, this.#attributes(ino))) return
      this.references.set(ino, (this.references.get(ino) ?? 0) + 1)
    }
  }

  #attributes(ino: Ino): Attributes {
    const at = () => ({ sec: 1, nsec: 2 })
    const numbers = { generation: 0, mode: 0o100644, uid: 0, gid: 0, nlink: 1, rdev: 0, allocatedBytes: 0 }
    return { ino, ...numbers, sizeBytes: this.sizeBytes, atime: at(), mtime: at(), ctime: at(), btime: at() }
  }

  forget(ino: Ino, count: number): void {
    const left = this.references.get(ino)! - count
    expect(left).toBeGreaterThanOrEqual(0)
    if (left === 0) this.references.delete(ino)
    else this.references.set(ino, left)
  }
}

let numbers: Numbers
let directories: DirectoryRequests
let registry: Registry
let replies: Buffer[]
let isWaitedFor: boolean
/** What is to be done in a later turn. */
let later: (() => void)[]

beforeEach(() => {
  numbers = new Numbers()
  replies = []
  later = []
  isWaitedFor = true
  const clock: Clock = { ...systemClock, yield: () => new Promise((resolve) => later.push(resolve)) }
  const send = (_r: RequestBuffer, reply: { bytes: Buffer }, lengthBytes: number) => {
    replies.push(Buffer.from(reply.bytes.subarray(0, lengthBytes)))
    return isWaitedFor
  }
  registry = new Registry()
  directories = new DirectoryRequests(numbers as unknown as Filesystem, send, clock, new FuseMetrics(registry))
})

/** Replies filled ahead, and used. */
const counted = () => ({
  filled: registry.counter('fuse.listings_filled_ahead').value,
  used: registry.counter('fuse.listings_used_ahead').value,
})

async function laterTurns(): Promise<void> {
  for (const resolve of later.splice(0)) resolve()
  await new Promise((resolve) => setImmediate(resolve))
}

/** The entries of one reply. */
async function ask(cookie: number, sizeBytes = REPLY_BYTES) {
  const bytes = request(READDIRPLUS, DIRECTORY, u64(0, cookie), u32(sizeBytes, 0), u64(0), u32(0, 0))
  const buffer = new RequestBuffer(bytes.length)
  buffer.bytes.set(bytes)
  buffer.length = bytes.length
  directories.note(buffer)
  await directories.readdir(buffer, true)
  directories.requestHandled()
  return parseDirents(replies.at(-1)!.subarray(16), true)
}

/** Asks for replies in order, until `replies` have come or the listing has ended. */
async function list(cookie: number, count = Number.POSITIVE_INFINITY) {
  const found: Awaited<ReturnType<typeof ask>> = []
  for (let asked = 0; asked < count; asked++) {
    const entries = await ask(found.at(-1)?.cookie ?? cookie)
    await laterTurns()
    if (entries.length === 0) break
    found.push(...entries)
  }
  return found
}

/** As the kernel would, that it knows of what it was sent. */
const referencesOf = (entries: readonly { ino: number }[]) => new Map(entries.map(({ ino }) => [ino, 1]))

test('a listing in order is all there, and from its third reply on was filled before it was asked for', async () => {
  const found = await list(0)
  expect(found.map(({ name }) => name)).toEqual(Array.from({ length: ENTRIES }, (_, index) => `file-${index + 1}`))
  expect(numbers.references).toEqual(referencesOf(found))
  expect(counted()).toEqual({ filled: replies.length - 2, used: replies.length - 2 })
  expect(numbers.calls).toHaveLength(replies.length)
})

test('what has changed since it was filled is not shown, nor referred to', async () => {
  const before = await list(0, 3)
  numbers.version++
  numbers.sizeBytes = 5
  const after = await ask(before.at(-1)!.cookie)
  expect(after.map(({ entry }) => entry!.attr.size)).toEqual(after.map(() => 5))
  expect(numbers.references).toEqual(referencesOf([...before, ...after]))
  expect(counted()).toMatchObject({ filled: 2, used: 1 })
})

test('nothing is filled while something changes, and what was filled is given up when a change begins', async () => {
  const found = await list(0, 3)
  expect(numbers.references.size).toBeGreaterThan(found.length)
  numbers.version = Number.NaN
  directories.requestHandled()
  expect(numbers.references).toEqual(referencesOf(found))
  found.push(...(await list(found.at(-1)!.cookie, 2)))
  expect(numbers.references).toEqual(referencesOf(found))
  expect(counted()).toMatchObject({ filled: 2, used: 1 })
})

test('after a change spoilt it, the next few are filled when they are asked for', async () => {
  const found = await list(0, 3)
  numbers.version++
  directories.requestHandled()
  found.push(...(await list(found.at(-1)!.cookie, 8)))
  expect(counted()).toEqual({ filled: 2, used: 1 })
  found.push(...(await list(found.at(-1)!.cookie, 2)))
  expect(counted()).toEqual({ filled: 4, used: 2 })
})

test('what was asked for before it could be filled ahead is filled once', async () => {
  const found = await list(0, 1)
  for (let asked = 0; asked < 2; asked++) found.push(...(await ask(found.at(-1)!.cookie)))
  await laterTurns()
  // Three that were asked for, and the next.
  expect(numbers.calls).toEqual([...new Set(numbers.calls)])
  expect(numbers.calls).toHaveLength(4)
  expect(counted()).toEqual({ filled: 1, used: 0 })
})

test('a listing that asks for less, or goes back, gets what it asks for', async () => {
  const found = await list(0, 3)
  const small = await ask(found.at(-1)!.cookie, 500)
  expect(small.length).toBe(3)
  const again = await ask(0)
  expect(again[0]!.name).toBe('file-1')
  for (const { ino } of again) numbers.forget(ino as Ino, 1)
  numbers.version++
  directories.requestHandled()
  expect(numbers.references).toEqual(referencesOf([...found, ...small]))
})

test('several listings at a time are served, each in its order; those given up keep nothing', async () => {
  const cookies = [0, 0, 0, 0]
  const found: { ino: number }[] = []
  for (let turn = 0; turn < 8; turn++) {
    for (const [index, cookie] of cookies.entries()) {
      // One is given up halfway.
      if (index === 0 && turn > 3) continue
      const entries = await ask(cookie + index * 100)
      await laterTurns()
      cookies[index] = entries.at(-1)!.cookie - index * 100
      found.push(...entries)
    }
  }
  const expected = new Map<number, number>()
  for (const { ino } of found) expected.set(ino, (expected.get(ino) ?? 0) + 1)
  numbers.version++
  directories.requestHandled()
  expect(numbers.references).toEqual(expected)
  expect(counted().used).toBeGreaterThan(0)
})

test('what would have to wait for a page is not kept, but the page is asked for', async () => {
  const first = await list(0, 1)
  const second = await ask(first.at(-1)!.cookie)
  const next = second.at(-1)!.cookie
  numbers.missing.add(next)
  await laterTurns()
  await laterTurns()
  expect(numbers.calls.at(-1)).toBe(next)
  expect(numbers.references).toEqual(referencesOf([...first, ...second]))
  expect(counted().filled).toBe(0)
})

test('of a reply that nobody waited for any more no reference stays', async () => {
  const found = await list(0, 1)
  isWaitedFor = false
  await ask(found.at(-1)!.cookie)
  expect(numbers.references).toEqual(referencesOf(found))
})
