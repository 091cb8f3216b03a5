// Section 5 of the design, "What is promised", as examples: each test is one of its sentences, played by a small program
// over the real layers in memory. Where a crash matters, the program is played again for every request to the store that it
// makes, and crashed there, once before and once after the request took effect: not at random, at all of them. That the
// promises hold in any weather is what test/simulation is for; this page is the one to read.
import { expect, test } from 'vitest'
import { type ObjectStore, StoreError } from '../src/store/index.ts'
import { ROOT_INO } from '../src/vfs/index.ts'
import { CALLER, errnoOf, formatVolume, mount, Paths, type World } from './vfs/world.ts'

const COMMIT_INTERVAL_MS = 5_000
const O_WRONLY = 1
const O_TRUNC = 0o1000
/** More than a commit carries: goes through segments. */
const LARGE = 'L'.repeat(3 << 20)

interface Program {
  /** What is there before, and durable. */
  before?: (paths: Paths) => Promise<void>
  /** Calls `acknowledged` when the filesystem has promised something. */
  run: (paths: Paths, acknowledged: (what: string) => void, world: World) => Promise<void>
  /** What the next mount may show. */
  after: (paths: Paths, acknowledged: ReadonlySet<string>) => Promise<void>
  /** Requests that the program must make at least, so that the test cannot be empty. */
  requests?: number
}

/** The store of a machine that dies at its n-th change of the store, before or after the effect. */
function dying(store: ObjectStore, changesToLive: number, dies: 'before' | 'after') {
  let changes = 0
  const dead = () => new StoreError('fatal', 'the machine is off')
  const proxy = new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        if (changes > changesToLive) throw dead()
        if (!/^(put|delete)/.test(String(property))) return member.apply(target, args) as unknown
        const isLast = changes++ === changesToLive
        if (isLast && dies === 'before') throw dead()
        const answer: unknown = await member.apply(target, args)
        if (changes > changesToLive) throw dead()
        return answer
      }
    },
  })
  return { proxy, isDead: () => changes > changesToLive, changes: () => changes }
}

async function prepared(before: Program['before']): Promise<ObjectStore> {
  const store = await formatVolume()
  const world = await mount({ store })
  await before?.(new Paths(world.fs))
  await world.unmount()
  return store
}

/** Plays the program with a crash at each of its requests. */
async function atEveryCrash({ before, run, after, requests = 1 }: Program): Promise<void> {
  for (let changesToLive = 0, isWhole = false; !isWhole; changesToLive++) {
    for (const dies of ['before', 'after'] as const) {
      const store = await prepared(before)
      const { proxy, isDead, changes } = dying(store, changesToLive, dies)
      const acknowledged = new Set<string>()
      let world: World | null = null
      try {
        world = await mount({ store: proxy })
        await run(new Paths(world.fs), (what) => acknowledged.add(what), world)
      } catch (error) {
        if (!isDead()) throw error
      }
      if (!isDead()) {
        expect(changes(), 'requests of the program').toBeGreaterThanOrEqual(requests)
        isWhole = true
      }
      await world?.abandon()
      const next = await mount({ store })
      await after(new Paths(next.fs), acknowledged)
      await next.abandon()
    }
  }
}

/** Opens, truncates, and keeps open, as an editor does that overwrites in place. */
async function openTruncated({ fs }: World, name: string) {
  const { attributes } = await fs.lookup(CALLER, ROOT_INO, Buffer.from(name))
  const { handle } = await fs.open(CALLER, attributes.ino, { flags: O_WRONLY | O_TRUNC })
  return { ino: attributes.ino, handle }
}

/** Lets the commit of the interval begin, and end. */
async function interval({ clock, database, fs }: World): Promise<void> {
  await clock.advance(COMMIT_INTERVAL_MS)
  // An fsync of a directory shares the commit under way, and asks for no stream.
  const { ino } = (await fs.lookup(CALLER, ROOT_INO, Buffer.from('d'))).attributes
  await fs.fsyncdir(ino)
  const failure = database.failure ?? fs.status().failure
  if (failure !== null) throw failure
}

test('1: when fsync(f) returns, f and the names that lead to it survive any crash', () =>
  atEveryCrash({
    requests: 3,
    async run(paths, acknowledged) {
      await paths.mkdir('/d')
      await paths.mkdir('/d/e')
      await paths.write('/d/e/f', 'one', { fsync: true })
      acknowledged('one')
      await paths.write('/d/e/f', ' two', { at: 3, flags: O_WRONLY, fsync: true })
      acknowledged('two')
    },
    async after(paths, acknowledged) {
      if (acknowledged.has('two')) expect(await paths.text('/d/e/f')).toBe('one two')
      else if (acknowledged.has('one')) expect(['one', 'one two']).toContain(await paths.text('/d/e/f'))
    },
  }))

test('1: also when f is larger than a commit', () =>
  atEveryCrash({
    requests: 3,
    async run(paths, acknowledged) {
      await paths.mkdir('/d')
      await paths.write('/d/f', LARGE, { fsync: true })
      acknowledged('large')
    },
    async after(paths, acknowledged) {
      if (acknowledged.has('large')) expect((await paths.text('/d/f')) === LARGE).toBe(true)
    },
  }))

test('1: fsync of a directory makes all names so far survive', () =>
  atEveryCrash({
    requests: 3,
    async run(paths, acknowledged, { fs }) {
      const { ino } = await paths.mkdir('/d')
      await paths.write('/first', '')
      await paths.rename('/first', '/second')
      await paths.mkdir('/other')
      await fs.fsyncdir(ino)
      acknowledged('names')
      await paths.unlink('/second')
      await fs.fsyncdir(ino)
      acknowledged('gone')
    },
    async after(paths, acknowledged) {
      const names = (await paths.list('/')).sort().join(' ')
      if (acknowledged.has('gone')) expect(names).toBe('d other')
      else if (acknowledged.has('names')) expect(['d other second', 'd other']).toContain(names)
    },
  }))

test('1: fsync of the root directory makes everything survive, data and names', () =>
  atEveryCrash({
    requests: 4,
    before: (paths) => paths.write('/emptied', 'old'),
    async run(paths, acknowledged, world) {
      await paths.write('/small', 'small')
      await paths.write('/large', LARGE)
      const { handle, ino } = await openTruncated(world, 'emptied')
      await world.fs.write(handle, ino, 0, Buffer.from('new'))
      await world.fs.fsyncdir(ROOT_INO)
      acknowledged('everything')
    },
    async after(paths, acknowledged) {
      if (!acknowledged.has('everything')) return
      expect(await paths.text('/small')).toBe('small')
      expect((await paths.text('/large')) === LARGE).toBe(true)
      expect(await paths.text('/emptied')).toBe('new')
    },
  }))

test('2: after a crash the names are what a prefix of their order left, no older than the last fsync', () =>
  atEveryCrash({
    requests: 6,
    before: (paths) => paths.mkdir('/d').then(() => {}),
    async run(paths, acknowledged, world) {
      for (let number = 0; number < 12; number++) {
        await paths.mkdir(`/d/${String(number).padStart(2, '0')}`)
        if (number % 3 === 2) await world.fs.fsyncdir((await paths.stat('/d')).ino)
        if (number % 3 === 2) acknowledged(String(number))
        if (number === 7) await world.fs.checkpointNow()
      }
    },
    async after(paths, acknowledged) {
      const names = (await paths.list('/d')).sort()
      expect(names).toEqual(names.map((_, number) => String(number).padStart(2, '0')))
      expect(names.length).toBeGreaterThan(Math.max(-1, ...[...acknowledged].map(Number)))
    },
  }))

test('2: a commit begins every interval over all that is dirty, without any fsync', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.write('/d/f', 'not synced')
  await interval(world)
  await world.abandon()
  const next = await mount({ store: world.store })
  expect(await new Paths(next.fs).text('/d/f')).toBe('not synced')
  await next.abandon()
})

test('3: a file is what a prefix of its stream left, no older than its last fsync', () =>
  atEveryCrash({
    requests: 5,
    async run(paths, acknowledged) {
      await paths.write('/f', 'aaaa', { fsync: true })
      acknowledged('0')
      // Backwards, so that a later write without the earlier ones would show.
      for (const [index, at] of [12, 8, 4].entries()) {
        await paths.write('/f', 'bbbb', { at, flags: O_WRONLY })
        await paths.write('/f', 'cc', { at: 0, flags: O_WRONLY, fsync: true })
        acknowledged(String(index + 1))
      }
    },
    async after(paths, acknowledged) {
      const newest = Math.max(-1, ...[...acknowledged].map(Number))
      if (newest === -1) return
      const holes = '\0'.repeat(4)
      const states = [
        ['aaaa'],
        [`aaaa${holes}${holes}bbbb`, `ccaa${holes}${holes}bbbb`],
        [`ccaa${holes}bbbbbbbb`],
        ['ccaabbbbbbbbbbbb'],
      ]
      // Of what was acknowledged nothing older than the fsync itself may show.
      const allowed = states.flatMap((of, step) => (step < newest ? [] : step === newest ? of.slice(-1) : of))
      expect(allowed).toContain(await paths.text('/f'))
    },
  }))

for (const [sort, content] of [
  ['small', 'new content'],
  ['large', LARGE],
] as const) {
  test(`3: a ${sort} file renamed over an old one without fsync is the old or the new one, never empty or partial`, () =>
    atEveryCrash({
      requests: 2,
      before: async (paths) => {
        await paths.mkdir('/d')
        await paths.write('/f', 'old content')
      },
      async run(paths, acknowledged, world) {
        await paths.write('/f~', content)
        await paths.rename('/f~', '/f')
        // Asks for names alone.
        await world.fs.fsyncdir((await paths.stat('/d')).ino)
        acknowledged('commit')
      },
      async after(paths, acknowledged) {
        const text = await paths.text('/f')
        const allowed = acknowledged.has('commit') ? [content] : ['old content', content]
        expect(allowed.includes(text), `${text.length} bytes`).toBe(true)
        if (text === content && sort === 'small') expect(await paths.list('/')).not.toContain('f~')
      },
    }))

  test(`3: a file overwritten by O_TRUNC and ${sort} writes is the old one until it is closed, then the old or the new one`, () =>
    atEveryCrash({
      requests: 2,
      before: async (paths) => {
        await paths.mkdir('/d')
        await paths.write('/f', 'old content')
      },
      async run(paths, acknowledged, world) {
        const { handle, ino } = await openTruncated(world, 'f')
        await interval(world)
        await world.fs.write(handle, ino, 0, Buffer.from(content))
        await interval(world)
        expect(await paths.text('/f')).toHaveLength(content.length)
        await world.fs.release(handle, ino)
        await interval(world)
        acknowledged('commit')
      },
      async after(paths, acknowledged) {
        const text = await paths.text('/f')
        const allowed = acknowledged.has('commit') ? [content] : ['old content', content]
        expect(allowed.includes(text), `${text.length} bytes`).toBe(true)
      },
    }))
}

test('3: a truncation by O_TRUNC is held for 30 s at most', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.write('/f', 'old', { fsync: true })
  await openTruncated(world, 'f')
  for (let seconds = 0; seconds < 35; seconds += 5) await interval(world)
  await world.abandon()
  const next = await mount({ store: world.store })
  expect(await new Paths(next.fs).text('/f')).toBe('')
  await next.abandon()
})

test('4: after a writer lost its slot no fsync of its succeeds, and once it knows everything fails with EIO', async () => {
  const first = await mount()
  const paths = new Paths(first.fs)
  const { ino } = await paths.mkdir('/d')
  await paths.write('/d/before', 'x', { fsync: true })
  // What its kernel goes on to hold.
  const found = await first.fs.lookup(CALLER, ino, Buffer.from('before'))
  const { handle } = await first.fs.open(CALLER, found.attributes.ino, { flags: O_WRONLY })

  const second = await mount({ store: first.store })
  await first.fs.write(handle, found.attributes.ino, 0, Buffer.from('y'))
  expect(await errnoOf(() => first.fs.fsync(handle, found.attributes.ino, false))).toBe('EIO')
  expect(first.database.isLost).toBe(true)
  expect(await errnoOf(() => first.fs.lookup(CALLER, ino, Buffer.from('before')))).toBe('EIO')
  expect(await errnoOf(() => first.fs.read(handle, found.attributes.ino, 0, 1))).toBe('EIO')
  expect(await errnoOf(() => paths.mkdir('/d/e'))).toBe('EIO')
  expect(await errnoOf(() => first.fs.fsyncdir(ROOT_INO))).toBe('EIO')
  expect(await new Paths(second.fs).text('/d/before')).toBe('x')
  await second.unmount()
})

test('5: a bad or missing object is EIO with a message that names it, and never wrong bytes', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', LARGE)
  await world.unmount()
  const { objects } = await world.store.list('segments/')
  const { key } = objects.reduce((a, b) => (a.sizeBytes > b.sizeBytes ? a : b))
  const { body } = await world.store.get(key)
  const flipped = Buffer.from(body)
  flipped[100]! ^= 1

  await world.store.put(key, [flipped])
  const damaged = await mount({ store: world.store })
  await expect(new Paths(damaged.fs).read('/f')).rejects.toMatchObject({
    code: 'EIO',
    message: expect.stringContaining(key),
  })
  await damaged.unmount()
  await world.store.delete([key])
  const missing = await mount({ store: world.store })
  await expect(new Paths(missing.fs).read('/f')).rejects.toMatchObject({
    code: 'EIO',
    message: expect.stringContaining(key),
  })
  await missing.unmount()
})

test('5: after a journal write that cannot be made the mount is read-only, keeps what it has, and says so', async () => {
  let isAway = false
  const store = await formatVolume()
  const { putIfAbsent } = store
  store.putIfAbsent = async (key, ...rest) => {
    if (isAway && key.startsWith('journal/')) throw new StoreError('fatal', 'the store is away')
    return putIfAbsent.call(store, key, ...rest)
  }
  const errors: string[] = []
  const world = await mount({ store, log: (level, message) => level === 'error' && errors.push(message) })
  const paths = new Paths(world.fs)
  isAway = true
  for (const time of ['first', 'second']) {
    expect(await errnoOf(() => paths.write('/f', 'kept', { fsync: true })), time).not.toBe('none')
    expect(await errnoOf(() => world.fs.fsyncdir(ROOT_INO)), time).toBe('EIO')
  }
  expect(await errnoOf(() => paths.mkdir('/d'))).toBe('EROFS')
  expect(await paths.text('/f')).toBe('kept')
  expect(errors.join()).toContain('the store is away')

  isAway = false
  await world.fs.resume()
  await world.abandon()
  const next = await mount({ store })
  expect(await new Paths(next.fs).text('/f')).toBe('kept')
  await next.abandon()
})
