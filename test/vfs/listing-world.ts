// One world of test/vfs/readdir-model.test.ts: directories of several kinds over the real filesystem and a store whose
// requests take their turns; readers that list, go back and begin again, while writers change what they list, checkpoints
// rewrite its pages, and mounts come and go. One seed is one world. What readers are shown is judged by listing-oracle.ts.
import { CASEFOLD_FLAG, nameKeys } from '../../src/meta/index.ts'
import { isPromise, type MaybePromise, type Random, seededRandom } from '../../src/platform/index.ts'
import { withLatency } from '../../src/store/index.ts'
import { type DirectorySink, type Entry, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { FaultyDatabase } from '../meta/faulty-database.ts'
import { DirectoryHistory, type Life, Moments, type Pass, WrongListing } from './listing-oracle.ts'
import { bytes, CALLER, formatVolume, type MountOptions, mount, TestClock, type World } from './world.ts'

export type Readdir = (ino: Ino, cookie: number, plus: boolean, sink: DirectorySink) => MaybePromise<void>

export interface ListingOptions {
  seed: number
  /** Many names have one hash; in half of the worlds they have anyway. */
  collide?: boolean
  /** Puts a flaw between the filesystem and its readers. */
  flaw?: (readdir: Readdir) => Readdir
}

/** What a world has been through: a test asks whether it was worth anything. */
export interface Seen {
  entries: number
  wholePasses: number
  seeks: number
  /** To the cookies of entries that are gone. */
  seeksToGone: number
  changes: number
  checkpoints: number
  mounts: number
  /** Calls that had to wait. */
  waits: number
  pageFaults: number
  /** Lives whose cookie is not that of their hash alone. */
  collisions: number
}

const ROUNDS = 3
const READERS = 4
const READER_STEPS = 60
const WRITERS = 3
const WRITER_STEPS = 50
const COOKIES_MAX = 400

interface Directory {
  ino: Ino
  readonly path: string
  readonly folds: boolean
  /** About how many entries it is to have. */
  readonly size: number
  readonly history: DirectoryHistory
  /** By the folded name. */
  readonly entries: Map<string, Item>
  /** Names with an operation under way, by what they fold to. */
  readonly busy: Set<string>
  /** Cookies that were given out at any time. */
  readonly cookies: number[]
  next: number
}

interface Item {
  life: Life
  isDirectory: boolean
}

/** Requests take a few turns each, some long. */
class TurnsClock extends TestClock {
  readonly #random: Random

  constructor(random: Random) {
    super()
    this.#random = random
  }

  override async sleep(): Promise<void> {
    const turns = this.#random.next() < 0.1 ? 40 : this.#random.next() * 4
    for (let turn = 0; turn < turns; turn++) await this.yield()
  }
}

export async function playListings(options: ListingOptions): Promise<Seen> {
  const listing = new Listing(options)
  return listing.play()
}

class Listing {
  readonly #random: Random
  readonly #options: ListingOptions
  readonly #moments = new Moments()
  readonly #directories: Directory[]
  readonly #mountOptions: MountOptions
  /** Readers outlive mounts, with their cookies. */
  readonly #readers: Reader[] = []
  /** References given out and not yet forgotten. */
  #held: Ino[] = []
  #world!: World
  readonly #seen: Seen = {
    entries: 0,
    wholePasses: 0,
    seeks: 0,
    seeksToGone: 0,
    changes: 0,
    checkpoints: 0,
    mounts: 0,
    waits: 0,
    pageFaults: 0,
    collisions: 0,
  }

  constructor(options: ListingOptions) {
    const random = seededRandom(options.seed)
    this.#random = random
    this.#options = options
    const hashed = nameKeys(Buffer.alloc(16, 7))
    // Few hashes, so that many names have the same one; ordinals then come and go.
    const hashes = random.next() < 0.5 || options.collide === true ? 20 + Math.floor(random.next() * 300) : null
    const keys = (name: Uint8Array) => (hashes === null ? hashed(name) : (1 + ((hashed(name) / 256) % hashes)) * 256)
    const size = hashes === null ? 500 + random.next() * 3000 : hashes * 10
    this.#directories = [
      this.#directory('/', { folds: false, size: 10 }),
      this.#directory('/small', { folds: false, size: 5 + random.next() * 40 }),
      this.#directory('/folding', { folds: true, size: 5 + random.next() * 40 }),
      this.#directory('/large', { folds: random.next() < 0.3, size }),
    ]
    const withFaults = random.next() < 0.4
    this.#mountOptions = {
      nameKeys: keys,
      pageCacheBytes: pick(random, [1, 150_000, 64 << 20]),
      cacheBytes: pick(random, [1, 4 << 20]),
      ...(withFaults
        ? {
            wrap: (database, clock) => {
              const faulty = new FaultyDatabase(database, random, () => clock.yield())
              return new Proxy(faulty, {
                get: (target, property) => {
                  this.#seen.pageFaults = Math.max(this.#seen.pageFaults, target.faults)
                  const member = Reflect.get(target, property, target) as unknown
                  return typeof member === 'function' ? member.bind(target) : member
                },
              })
            },
          }
        : {}),
    }
  }

  #directory(path: string, { folds, size }: { folds: boolean; size: number }): Directory {
    const history = new DirectoryHistory(this.#moments, `${path} (seed ${this.#options.seed})`)
    const cookies = [0]
    return { ino: ROOT_INO, path, folds, size, history, entries: new Map(), busy: new Set(), cookies, next: 0 }
  }

  async play(): Promise<Seen> {
    const store = await formatVolume()
    await this.#mount({ store })
    await this.#fill()
    for (let reader = 0; reader < READERS; reader++) {
      const directory = reader === 0 ? this.#directories.at(-1)! : pick(this.#random, this.#directories)
      this.#readers.push(new Reader(directory, this.#random, this.#seen))
    }
    for (let round = 0; round < ROUNDS; round++) {
      await this.#round()
      if (round + 1 < ROUNDS) await this.#remount()
    }
    for (const reader of this.#readers) reader.leave()
    await this.#judgeAtRest()
    await this.#world.unmount()
    return this.#seen
  }

  async #mount({ store }: Pick<World, 'store'>): Promise<void> {
    const clock = new TurnsClock(this.#random)
    // The latency is the store's for this mount alone.
    const slow = withLatency(store, { clock, latencyMs: 1 })
    this.#world = { ...(await mount({ ...this.#mountOptions, clock, store: slow })), store }
    this.#seen.mounts++
  }

  /** Nothing is lost by it: names come back as they were. */
  async #remount(): Promise<void> {
    const world = this.#world
    this.#held = []
    if (this.#random.next() < 0.5) await world.unmount()
    else {
      await world.fs.sync()
      await world.abandon()
    }
    await this.#mount(world)
  }

  async #fill(): Promise<void> {
    const { fs } = this.#world
    for (const directory of this.#directories) {
      if (directory.path !== '/') {
        const name = directory.path.slice(1)
        const root = this.#directories[0]!
        const life = root.history.comes(name)
        const { attributes } = await fs.mkdir(CALLER, ROOT_INO, bytes(name), 0o755)
        life.came(attributes.ino)
        directory.ino = attributes.ino
        if (directory.folds) await fs.setFlags!(CALLER, directory.ino, CASEFOLD_FLAG)
        // Nobody else may touch it: the readers are in it.
        root.entries.set(name, { life, isDirectory: true })
        root.busy.add(name)
      }
      for (let count = directory.size * this.#random.next(); count > 0; count--) await this.#create(directory)
    }
  }

  /** All at once: readers, writers, checkpoints. */
  async #round(): Promise<void> {
    const { fs } = this.#world
    let working = WRITERS + READERS
    const actor = async (steps: number, step: () => Promise<void>) => {
      for (; steps > 0; steps--) {
        await step()
        for (let turns = this.#random.next() * 3; turns > 1; turns--) await this.#world.clock.yield()
      }
      working--
    }
    const readdir: Readdir = (ino, cookie, plus, sink) => fs.readdir(ino, cookie, plus, sink)
    const flawed = this.#options.flaw?.(readdir) ?? readdir
    const keep = (ino: Ino) => this.#keep(ino)
    const background = async () => {
      while (working > 0) {
        for (let turns = this.#random.next() * 60; turns > 0; turns--) await this.#world.clock.yield()
        if (this.#random.next() < 0.5) await fs.sync()
        else {
          await fs.checkpointNow()
          this.#seen.checkpoints++
        }
      }
    }
    await Promise.all([
      ...this.#readers.map((reader) => actor(READER_STEPS, () => reader.step(flawed, keep))),
      ...Array.from({ length: WRITERS }, () => actor(WRITER_STEPS, () => this.#write())),
      background(),
    ])
  }

  /** Holds a reference as the kernel does: for a while. */
  #keep(ino: Ino): void {
    this.#held.push(ino)
    while (this.#held.length > 0 && this.#random.next() < 0.6) {
      const at = Math.floor(this.#random.next() * this.#held.length)
      this.#world.fs.forget(this.#held[at]!, 1)
      this.#held[at] = this.#held.at(-1)!
      this.#held.pop()
    }
  }

  // ---- what writers do ----

  async #write(): Promise<void> {
    const random = this.#random
    const directory = pick(random, this.#directories)
    const burst = directory.size > 200 && random.next() < 0.15 ? Math.floor(random.next() * (directory.size / 4)) : 1
    // Towards its size, there and back.
    const grows = random.next() < (directory.entries.size < directory.size ? 0.6 : 0.3)
    for (let count = 0; count < burst; count++) {
      const dice = random.next()
      if (dice < 0.2 && burst === 1) await this.#rename(directory, pick(random, this.#directories))
      else if (dice < 0.3) await this.#link(directory)
      else if (dice < 0.4) await this.#chmod(directory)
      else if (grows) await this.#create(directory)
      else await this.#remove(directory)
    }
  }

  /** A spelling of a name that was there, or never. */
  #newName(directory: Directory): string {
    const number = this.#random.next() < 0.4 ? Math.floor(this.#random.next() * (directory.next + 1)) : directory.next++
    const name = `Näme-${number}-${'x'.repeat((number * 37) % (directory.size > 200 ? 150 : 20))}`
    return directory.folds ? this.#respelled(name) : name
  }

  #respelled(name: string): string {
    return Array.from(name, (letter) => (this.#random.next() < 0.5 ? letter.toUpperCase() : letter.toLowerCase())).join(
      '',
    )
  }

  /** A name to work on that nobody else works on: busy until `done`. */
  #claim(directory: Directory, isWanted: (item: Item) => boolean = () => true): Claim | null {
    const keys = [...directory.entries.keys()]
    for (let tries = 0; tries < 10 && keys.length > 0; tries++) {
      const key = pick(this.#random, keys)
      const item = directory.entries.get(key)!
      if (directory.busy.has(key) || !isWanted(item)) continue
      directory.busy.add(key)
      const asked =
        directory.folds && this.#random.next() < 0.5 ? this.#respelled(item.life.spelling) : item.life.spelling
      return { directory, key, item, asked, done: () => directory.busy.delete(key) }
    }
    return null
  }

  #claimNew(directory: Directory): { name: string; key: string; done: () => void } | null {
    const name = this.#newName(directory)
    const key = keyOf(directory, name)
    if (directory.busy.has(key) || directory.entries.has(key)) return null
    directory.busy.add(key)
    return { name, key, done: () => directory.busy.delete(key) }
  }

  async #made(directory: Directory, isDirectory: boolean, make: (name: Buffer) => MaybePromise<Entry>): Promise<void> {
    const claimed = this.#claimNew(directory)
    if (claimed === null) return
    const life = directory.history.comes(claimed.name)
    const { attributes } = await make(bytes(claimed.name))
    life.came(attributes.ino)
    directory.entries.set(claimed.key, { life, isDirectory })
    claimed.done()
    this.#keep(attributes.ino)
    this.#seen.changes++
  }

  async #create(directory: Directory): Promise<void> {
    const { fs } = this.#world
    const isDirectory = this.#random.next() < 0.05
    await this.#made(directory, isDirectory, (name) =>
      isDirectory ? fs.mkdir(CALLER, directory.ino, name, 0o755) : fs.mknod(CALLER, directory.ino, name, 0o100644, 0),
    )
  }

  async #link(directory: Directory): Promise<void> {
    const source = this.#claim(pick(this.#random, this.#directories), (item) => !item.isDirectory)
    if (source === null) return
    await this.#made(directory, false, (name) =>
      this.#world.fs.link(CALLER, source.item.life.ino as Ino, directory.ino, name),
    )
    source.done()
  }

  /** The record changes, the name stays. */
  async #chmod(directory: Directory): Promise<void> {
    const claimed = this.#claim(directory)
    if (claimed === null) return
    await this.#world.fs.setattr(CALLER, claimed.item.life.ino as Ino, { mode: 0o700 })
    claimed.done()
    this.#seen.changes++
  }

  async #remove(directory: Directory): Promise<void> {
    const claimed = this.#claim(directory)
    if (claimed === null) return
    const { fs } = this.#world
    const { life, isDirectory } = claimed.item
    life.goes()
    await (isDirectory ? fs.rmdir : fs.unlink)(CALLER, directory.ino, bytes(claimed.asked))
    life.gone()
    directory.entries.delete(claimed.key)
    claimed.done()
    this.#seen.changes++
  }

  async #rename(from: Directory, to: Directory): Promise<void> {
    const source = this.#claim(from)
    if (source === null) return
    const { life, isDirectory } = source.item
    const isOver = this.#random.next() < 0.4
    if (from === to && from.folds && this.#random.next() < 0.3) await this.#respell(source)
    else if (isOver) {
      const fits = (item: Item) => item.isDirectory === isDirectory && item.life.ino !== life.ino
      const target = this.#claim(to, fits)
      if (target !== null) await this.#renameOver(source, target)
    } else {
      const target = this.#claimNew(to)
      if (target !== null) {
        const { ino } = life
        const newLife = to.history.comes(target.name)
        life.goes()
        await this.#renameTo(source, to, target.name)
        life.gone()
        newLife.came(ino)
        from.entries.delete(source.key)
        to.entries.set(target.key, { life: newLife, isDirectory })
        target.done()
      }
    }
    source.done()
  }

  async #respell(source: Claim): Promise<void> {
    const { directory, item } = source
    const spelling = this.#respelled(item.life.spelling)
    const changed = directory.history.changes(item.life, { spelling })
    await this.#renameTo(source, directory, spelling)
    changed()
  }

  /** The name that is replaced stays, and leads elsewhere. */
  async #renameOver(source: Claim, target: Claim): Promise<void> {
    const { life } = source.item
    const changed = target.directory.history.changes(target.item.life, { spelling: target.asked, ino: life.ino })
    life.goes()
    await this.#renameTo(source, target.directory, target.asked)
    life.gone()
    changed()
    source.directory.entries.delete(source.key)
    target.done()
  }

  async #renameTo({ directory, asked }: Claim, to: Directory, name: string): Promise<void> {
    await this.#world.fs.rename(
      CALLER,
      { parent: directory.ino, name: bytes(asked) },
      { parent: to.ino, name: bytes(name) },
      0,
    )
    this.#seen.changes++
  }

  // ---- at the end ----

  /** Nothing changes any more: what is there is listed, from the beginning and from every cookie of those tried. */
  async #judgeAtRest(): Promise<void> {
    const { fs } = this.#world
    const readdir: Readdir =
      this.#options.flaw?.((...args) => fs.readdir(...args)) ?? ((...args) => fs.readdir(...args))
    for (const directory of this.#directories) {
      const { history, entries, cookies } = directory
      const inOrder = await listFrom(readdir, directory, 0)
      if (inOrder.length !== entries.size) throw new WrongListing(`${history.title} has ${entries.size} names`)
      for (const { life } of entries.values()) if ((life.cookie! - 1) % 256 > 0) this.#seen.collisions++
      for (let tries = 0; tries < 8; tries++) {
        const cookie = pick(this.#random, cookies)
        const after = await listFrom(readdir, directory, cookie)
        const expected = [...entries.values()].map(({ life }) => life).filter((life) => life.cookie! > cookie)
        expected.sort((a, b) => a.cookie! - b.cookie!)
        if (after.join() !== expected.map((life) => life.spelling).join())
          throw new WrongListing(`${history.title} from ${cookie} shows other names than come after it`)
      }
      history.checkUnclear()
    }
  }
}

interface Claim {
  directory: Directory
  key: string
  item: Item
  /** A spelling of it. */
  asked: string
  done: () => void
}

/** What names of a directory fold to: those used here fold as they are lowered. */
function keyOf({ folds }: Directory, name: string): string {
  return folds ? name.toLowerCase() : name
}

function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random.next() * choices.length)] as T
}

/** Names from a cookie on, in one pass, but for "." and "..". */
async function listFrom(readdir: Readdir, directory: Directory, cookie: number): Promise<string[]> {
  const pass = directory.history.pass(cookie)
  const names: string[] = []
  const call = () => ({ pass, plus: false, room: 1000, calledAt: directory.history.moments.next(), names })
  while ((await readOnce(readdir, directory.ino, call())) > 0) {
    // It goes on.
  }
  pass.finish(true)
  return names.filter((name) => name !== '.' && name !== '..')
}

interface Call {
  pass: Pass
  plus: boolean
  room: number
  calledAt: number
  names: string[]
  onReference?: (ino: Ino) => void
  hasWaited?: boolean
  inPlace?: boolean
}

/** One call: shows the pass what is listed, and returns how many entries that were. */
async function readOnce(readdir: Readdir, ino: Ino, call: Call): Promise<number> {
  let shown = 0
  let isFull = false
  let wrong: unknown = null
  const sink: DirectorySink = (name, child, _mode, cookie, attributes) => {
    if (isFull) wrong ??= new WrongListing('a full sink was offered more')
    isFull = shown === call.room
    if (isFull || wrong !== null) return false
    const text = Buffer.from(name).toString()
    const isDot = text === '.' || text === '..'
    try {
      call.pass.entry(text, child, cookie, call.calledAt)
      if ((attributes !== null) !== (call.plus && !isDot)) throw new WrongListing(`${text} has wrong attributes`)
      if (attributes !== null && attributes.ino !== child) throw new WrongListing(`${text} has another's attributes`)
    } catch (error) {
      wrong = error
      return false
    }
    if (attributes !== null) call.onReference?.(child)
    call.names.push(text)
    shown++
    return true
  }
  // The transport has names shown where they lie.
  if (call.inPlace === true) sink.inPlace = (bytes, start, end, ...rest) => sink(bytes.subarray(start, end), ...rest)
  const answered = readdir(ino, call.pass.at, call.plus, sink)
  call.hasWaited = isPromise(answered)
  await answered
  if (wrong !== null) throw wrong
  return shown
}

class Reader {
  readonly #directory: Directory
  readonly #random: Random
  readonly #seen: Seen
  #pass: Pass
  #plus: boolean
  #isAtEnd = false

  constructor(directory: Directory, random: Random, seen: Seen) {
    this.#directory = directory
    this.#random = random
    this.#seen = seen
    this.#pass = directory.history.pass(0)
    this.#plus = random.next() < 0.5
  }

  /** Goes on, back, to a cookie that anybody ever got, or to the beginning. */
  async step(readdir: Readdir, keep: (ino: Ino) => void): Promise<void> {
    const dice = this.#random.next()
    const { history, cookies } = this.#directory
    if (this.#isAtEnd ? dice < 0.5 : dice < 0.04) this.#goTo(0)
    else if (this.#isAtEnd ? dice < 0.9 : dice < 0.12) {
      const cookie = pick(this.#random, cookies)
      this.#seen.seeks++
      const isThere = [...this.#directory.entries.values()].some(({ life }) => life.cookie === cookie)
      if (!isThere && cookie > 2) this.#seen.seeksToGone++
      this.#goTo(cookie)
    }
    const most = Math.max(4, this.#directory.entries.size / 2)
    const room = 1 + Math.floor(most * this.#random.next() ** 3)
    const calledAt = history.moments.next()
    const before = this.#pass.at
    const inPlace = this.#random.next() < 0.5
    const call: Call = { pass: this.#pass, plus: this.#plus, room, calledAt, names: [], onReference: keep, inPlace }
    const shown = await readOnce(readdir, this.#directory.ino, call)
    if (call.hasWaited === true) this.#seen.waits++
    this.#seen.entries += shown
    if (this.#pass.at !== before) this.#remember(this.#pass.at)
    if (shown > 0) {
      this.#isAtEnd = false
      return
    }
    // It may be told again that it is at the end.
    if (!this.#isAtEnd) this.#seen.wholePasses++
    this.#isAtEnd = true
    this.#pass.finish(true)
  }

  /** Judges what it has seen. */
  leave(): void {
    this.#pass.finish(this.#isAtEnd)
  }

  #goTo(cookie: number): void {
    this.leave()
    this.#pass = this.#directory.history.pass(cookie)
    this.#plus = this.#random.next() < 0.5
    this.#isAtEnd = false
  }

  #remember(cookie: number): void {
    const { cookies } = this.#directory
    if (cookies.length < COOKIES_MAX) cookies.push(cookie)
    else cookies[Math.floor(this.#random.next() * COOKIES_MAX)] = cookie
  }
}
