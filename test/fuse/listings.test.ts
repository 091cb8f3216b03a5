// Generations keep listings apart that must not meet in the kernel's cache, which is played here (kernel-listings.ts); through
// a real kernel: test/mount/readdir.test.ts.
import { describe, expect, test } from 'vitest'
import { GENERATIONS } from '../../src/fuse/codec.ts'
import { Listings } from '../../src/fuse/listings.ts'
import { seededRandom } from '../../src/platform/index.ts'
import { type Dirent, KernelDirectory } from './kernel-listings.ts'

const INO = 7
const GENERATION_AT = 2 ** 40
const SEEDS = 500
/** The kernel keeps an entry of so many bytes more than its name. */
const DIRENT_BYTES = 24

type Flaw = 'no generations' | 'no quiet ends' | null

const entriesOf = (names: [number, string][]) => ({
  forEachEntry: (visit: (cookie: number, nameBytes: number) => void) => {
    for (const [cookie, name] of names) visit(cookie, name.length)
  },
})

/** Four, or eight, fill a page. */
const nameOf = (cookie: number) => `n${cookie}-`.padEnd((cookie % 3 === 0 ? 512 : 1024) - DIRENT_BYTES, 'n')

/** A daemon with one directory: names in order, each with a cookie that it keeps. */
class Daemon {
  nowMs = 0
  /** "." is always there. */
  readonly names = new Map([[1, '.']])
  readonly #flaw: Flaw
  readonly #listings = new Listings(() => this.nowMs)

  constructor(flaw: Flaw = null) {
    this.#flaw = flaw
  }

  readonly ask = (position: number): { entries: Dirent[]; isQuiet: boolean } => {
    const cookie = position % GENERATION_AT
    const generation = position === 0 ? this.#listings.begin(INO) : Math.floor(position / GENERATION_AT)
    const after = [...this.names].filter(([at]) => at > cookie).sort(([a], [b]) => a - b)
    if (position !== 0) this.#listings.goOn(INO, generation)
    this.#listings.answer(INO, generation, cookie, entriesOf(after))
    const isQuiet = after.length === 0 && this.#listings.end(INO, generation) && this.#flaw !== 'no quiet ends'
    const above = this.#flaw === 'no generations' ? 0 : generation * GENERATION_AT
    return { entries: after.map(([at, name]) => ({ name, position: above + at })), isQuiet }
  }

  add(cookie: number): void {
    this.names.set(cookie, nameOf(cookie))
    this.#listings.change(INO)
  }

  remove(cookie: number): void {
    this.names.delete(cookie)
    this.#listings.change(INO)
  }
}

function directory(flaw: Flaw = null) {
  const daemon = new Daemon(flaw)
  return { daemon, kernel: new KernelDirectory(daemon.ask) }
}

/** Streams that list to their end and begin again, going back at times, while names come and go. Returns what was wrong. */
function play(seed: number, flaw: Flaw): string | null {
  const random = seededRandom(seed)
  const { daemon, kernel } = directory(flaw)
  let moment = 0
  const came = new Map([['.', -1]])
  const went = new Map<string, number>()
  const newStream = (since: number) => ({ position: 0, since, shown: [] as Dirent[], wasToldOfEnd: false })
  const streams = Array.from({ length: 3 }, () => newStream(0))
  for (let step = 0; step < 300; step++) {
    moment++
    daemon.nowMs += random.next() * 4
    if (random.next() < 0.05) {
      // Who was told of the end goes back soon, or not at all.
      for (const stream of streams) if (stream.wasToldOfEnd) Object.assign(stream, newStream(moment))
      daemon.nowMs += 300
    }
    if (random.next() < 0.1) {
      const cookie = 2 + Math.floor(random.next() * 20)
      const name = nameOf(cookie)
      if (daemon.names.has(cookie)) {
        daemon.remove(cookie)
        went.set(name, moment)
      } else {
        daemon.add(cookie)
        came.set(name, moment)
      }
      kernel.version++
      continue
    }
    const stream = streams[Math.floor(random.next() * streams.length)]!
    if (stream.shown.length > 0 && random.next() < 0.1) {
      stream.shown.length = 1 + Math.floor(random.next() * stream.shown.length)
      stream.position = stream.shown.at(-1)!.position
    }
    const found = kernel.read(stream, 1 + Math.floor(random.next() * 6))
    stream.shown.push(...found)
    for (const { name, position } of found) {
      const isThere = daemon.names.has(position % GENERATION_AT)
      if (!isThere && went.get(name)! < stream.since) return `${name} is shown, which had gone before`
    }
    if (found.length > 0) continue
    const names = stream.shown.map(({ name }) => name)
    for (const name of daemon.names.values()) {
      const times = names.filter((shown) => shown === name).length
      if (came.get(name)! < stream.since && times !== 1) return `${name}, which was there, is shown ${times} times`
    }
    stream.wasToldOfEnd = true
    if (random.next() < 0.7) Object.assign(stream, newStream(moment))
  }
  return null
}

const played = (flaw: Flaw) =>
  Array.from({ length: SEEDS }, (_, seed) => play(seed, flaw)).filter((what) => what !== null)

test('whoever begins after a change is shown it, whatever half listings the kernel keeps', () => {
  expect(played(null)).toEqual([])
})

test('without generations they are shown what had gone, and miss what was there', () => {
  const wrong = played('no generations')
  expect(wrong.some((what) => what.includes('had gone before'))).toBe(true)
  expect(wrong.some((what) => what.includes('is shown 0 times'))).toBe(true)
})

test('without quiet ends they miss what comes behind their place, where the cache ends with a page', () => {
  expect(played('no quiet ends').some((what) => what.includes('is shown 0 times'))).toBe(true)
})

describe('the kernel still caches', () => {
  const listWhole = (kernel: KernelDirectory) => {
    const stream = { position: 0 }
    let names = 0
    for (let found = kernel.read(stream, 5); found.length > 0; found = kernel.read(stream, 5)) names += found.length
    return names
  }

  const filled = () => {
    const made = directory()
    for (let cookie = 2; cookie <= 20; cookie++) made.daemon.add(cookie)
    return made
  }

  test('what was listed whole, and again after each change', () => {
    const { daemon, kernel } = filled()
    for (let round = 0; round < GENERATIONS + 2; round++) {
      expect(listWhole(kernel)).toBe(20 + (round % 2))
      expect(kernel.isCached).toBe(true)
      if (round % 2 === 0) daemon.add(100)
      else daemon.remove(100)
      kernel.version++
      // Who was told of the end might go back.
      daemon.nowMs += 200
    }
  })

  test('where a listing was broken off: at once, or after a while when names have changed since', () => {
    const { daemon, kernel } = filled()
    kernel.read({ position: 0 }, 5)
    expect(listWhole(kernel)).toBe(20)
    expect(kernel.isCached).toBe(true)

    daemon.add(30)
    kernel.version++
    kernel.read({ position: 0 }, 5)
    daemon.add(31)
    kernel.version++
    expect(listWhole(kernel)).toBe(22)
    expect(kernel.isCached, 'the broken one may go on yet').toBe(false)
    daemon.nowMs += 30_000
    listWhole(kernel)
    expect(kernel.isCached).toBe(true)
    expect(listWhole(kernel), 'its beginning is old: begun anew').toBe(22)
    expect(kernel.isCached).toBe(true)
  })
})

test('a generation is never that of what fills the cache, while others come and go', () => {
  const listings = new Listings(() => 0)
  const first = listings.begin(INO)
  const seen = new Set<number>()
  for (let round = 0; round < 3 * GENERATIONS; round++) {
    listings.change(INO)
    seen.add(listings.begin(INO))
  }
  expect(seen.has(first)).toBe(false)
  expect(seen.size).toBe(GENERATIONS - 1)
})
