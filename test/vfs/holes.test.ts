// fallocate and lseek: where a file has bytes and where it has none, whatever is recorded of it.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EXTENTS } from '../../src/meta/index.ts'
import { seededRandom } from '../../src/platform/index.ts'
import type { Table } from '../../src/tables/index.ts'
import type { Handle, Ino } from '../../src/vfs/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, formatVolume, mount, Paths, type World } from './world.ts'

const KEEP_SIZE = 1
const PUNCH = 3
const ZERO = 16
const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 30)

let world: World
let paths: Paths

beforeEach(async () => {
  world = await mount()
  paths = new Paths(world.fs)
})

afterEach(() => vi.restoreAllMocks())

/** A file that is open, with what programs do to it. */
class File {
  readonly ino: Ino
  readonly handle: Handle
  readonly #world: World

  private constructor(of: World, ino: Ino, handle: Handle) {
    this.#world = of
    this.ino = ino
    this.handle = handle
  }

  static async create(of: World, name: string): Promise<File> {
    const { entry, opened } = await of.fs.create(CALLER, ROOT_INO, bytes(name), 0o644, { flags: 2 })
    return new File(of, entry.attributes.ino, opened.handle)
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.#world.fs.write(this.handle, this.ino, offset, data)
  }

  async fallocate(mode: number, offset: number, lengthBytes: number): Promise<void> {
    await this.#world.fs.fallocate!(this.handle, this.ino, mode, offset, lengthBytes)
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#world.fs.setattr(CALLER, this.ino, { sizeBytes, handle: this.handle })
  }

  async read(): Promise<Buffer> {
    return Buffer.concat(await this.#world.fs.read(this.handle, this.ino, 0, 1 << 26))
  }

  async stat() {
    return (await this.#world.fs.getattr(this.ino)).attributes
  }

  async seek(offset: number, whence: 'data' | 'hole'): Promise<number> {
    return this.#world.fs.lseek!(this.handle, this.ino, offset, whence)
  }

  /** Where data is, as cp and tar find out. */
  async map(): Promise<[number, number][]> {
    const ranges: [number, number][] = []
    for (let at = 0; ; ) {
      const data = await this.seek(at, 'data').catch(() => null)
      if (data === null) return ranges
      at = await this.seek(data, 'hole')
      ranges.push([data, at])
    }
  }
}

describe('fallocate', () => {
  test('allocating makes a file longer, unless it is to keep its size', async () => {
    const file = await File.create(world, 'f')
    await file.write(0, Buffer.alloc(1000, 1))
    await file.fallocate(KEEP_SIZE, 0, 5000)
    expect((await file.stat()).sizeBytes).toBe(1000)
    await file.fallocate(0, 500, 1500)
    const { sizeBytes, allocatedBytes } = await file.stat()
    expect([sizeBytes, allocatedBytes]).toEqual([2000, 1000])
    await file.fallocate(0, 0, 10)
    expect((await file.stat()).sizeBytes).toBe(2000)
    expect(await file.map()).toEqual([[0, 1000]])
  })

  test('sets mtime and ctime, also where nothing else changes', async () => {
    const file = await File.create(world, 'f')
    await file.write(0, Buffer.alloc(1000, 1))
    for (const mode of [0, KEEP_SIZE, PUNCH, ZERO]) {
      const before = await file.stat()
      await file.fallocate(mode, 10, 10)
      const { mtime, ctime } = await file.stat()
      expect([mtime.nsec > before.mtime.nsec, ctime.nsec > before.ctime.nsec], `mode ${mode}`).toEqual([true, true])
    }
  })

  test.each([
    ['while all is dirty', false],
    ['when all is recorded', true],
  ])('a hole reads as zeros and takes no room, %s', async (_when, isRecorded) => {
    const file = await File.create(world, 'f')
    await file.write(0, Buffer.alloc(100_000, 1))
    if (isRecorded) await world.fs.sync()
    await file.fallocate(PUNCH, 10_000, 20_000)
    await file.fallocate(PUNCH, 20_000, 20_000)
    await file.fallocate(ZERO, 90_000, 20_000)
    const wanted = Buffer.alloc(110_000)
    wanted.fill(1, 0, 10_000).fill(1, 40_000, 90_000)
    for (const step of ['before', 'after']) {
      expect((await file.read()).equals(wanted), step).toBe(true)
      expect((await file.stat()).allocatedBytes, step).toBe(60_000)
      expect(await file.map(), step).toEqual([
        [0, 10_000],
        [40_000, 90_000],
      ])
      await world.fs.sync()
    }
    await file.fallocate(PUNCH, 0, 1 << 30)
    expect(await file.stat()).toMatchObject({ sizeBytes: 110_000, allocatedBytes: 0 })
    await world.fs.sync()
    expect(await file.stat()).toMatchObject({ sizeBytes: 110_000, allocatedBytes: 0 })
    await checkConsistency(world.database)
  })

  test('refuses what is not built, what is no file for writing, and what is too large', async () => {
    const file = await File.create(world, 'f')
    const collapse = 8
    const insert = 32
    for (const mode of [collapse, insert, 2, ZERO | 2, 64])
      expect(await errnoOf(() => file.fallocate(mode, 0, 4096)), `mode ${mode}`).toBe('EOPNOTSUPP')
    expect(await errnoOf(() => file.fallocate(0, 0, 2 ** 53))).toBe('EFBIG')
    expect(await errnoOf(() => file.fallocate(0, 0, 0))).toBe('EINVAL')
    const { handle } = await world.fs.open(CALLER, file.ino, { flags: 0 })
    expect(await errnoOf(() => world.fs.fallocate!(handle, file.ino, 0, 0, 1))).toBe('EBADF')
  })

  test('a stream with very many holes is recorded before it takes more', async () => {
    const file = await File.create(world, 'f')
    await file.fallocate(0, 0, 1 << 30)
    for (let at = 0; at < 70_000; at++) await file.fallocate(PUNCH, at * 8192, 4096)
    expect(world.streams.get(file.ino)?.unrecordedPlaces).toBeLessThan(10_000)
  })
})

describe('lseek', () => {
  test('fails with ENXIO from the end on, and where no data follows', async () => {
    const file = await File.create(world, 'f')
    expect(await errnoOf(() => file.seek(0, 'hole'))).toBe('ENXIO')
    await file.truncate(1000)
    expect(await errnoOf(() => file.seek(0, 'data'))).toBe('ENXIO')
    expect(await file.seek(10, 'hole')).toBe(10)
    await file.write(100, Buffer.alloc(10, 1))
    for (let round = 0; round < 2; round++) {
      expect([await file.seek(50, 'data'), await file.seek(105, 'data')]).toEqual([100, 105])
      expect([await file.seek(50, 'hole'), await file.seek(105, 'hole')]).toEqual([50, 110])
      expect(await errnoOf(() => file.seek(110, 'data'))).toBe('ENXIO')
      expect(await errnoOf(() => file.seek(1000, 'hole'))).toBe('ENXIO')
      await world.fs.sync()
    }
    await file.truncate(105)
    expect(await file.seek(0, 'data')).toBe(100)
    expect(await file.seek(104, 'hole')).toBe(105)
    expect(await errnoOf(() => paths.at('/', (ino) => world.fs.lseek!(file.handle, ino, 0, 'data')))).toBe('EISDIR')
  })

  test('finds data and holes far away', async () => {
    const file = await File.create(world, 'f')
    await file.truncate(2 ** 50)
    for (const at of [2 ** 49, 2 ** 30]) await file.write(at, Buffer.alloc(10, 1))
    for (let round = 0; round < 2; round++) {
      expect(await file.map()).toEqual([
        [2 ** 30, 2 ** 30 + 10],
        [2 ** 49, 2 ** 49 + 10],
      ])
      await world.fs.sync()
    }
  })

  test('goes through a file of very many extents in short turns, and never from its beginning', async () => {
    const file = await File.create(world, 'f')
    // Every second page from the back, so that no extents can be joined, then the others but one.
    const pages = 20_000
    for (const odd of [0, 1]) {
      for (let at = pages - 1; at >= 0; at--)
        if (at % 2 === odd && at !== 15_001) await file.write(at * 512, Buffer.alloc(512, 1))
      await world.fs.sync()
    }
    let scanned = 0
    const views: Table = Object.getPrototypeOf(world.database.table(EXTENTS, file.ino))
    const { scan } = views
    vi.spyOn(views, 'scan').mockImplementation(function (this: Table, from, to, visit) {
      return scan.call(this, from, to, (...entry) => {
        scanned++
        return visit(...entry)
      })
    })
    const turns = vi.spyOn(world.database, 'run')
    expect(await file.seek(0, 'hole')).toBe(15_001 * 512)
    expect(scanned).toBeGreaterThan(10_000)
    expect(turns.mock.calls.length).toBeGreaterThan(2)
    scanned = 0
    expect(await file.seek(15_000 * 512, 'hole')).toBe(15_001 * 512)
    expect(await file.seek(15_001 * 512, 'data')).toBe(15_002 * 512)
    expect(scanned).toBeLessThan(2000)
  })
})

test.each(Array.from({ length: SEEDS }, (_, seed) => [seed]))(
  'bytes, holes and room are those of a plain model (seed %i)',
  async (seed) => {
    const random = seededRandom(seed)
    const below = (limit: number) => Math.floor(random.next() * limit)
    const store = await formatVolume()
    const opened = await mount({ store, segmentSizeBytes: 64 * 1024, inlineBytesMax: 16 * 1024 })
    const file = await File.create(opened, 'f')
    const content = Buffer.alloc(1 << 20)
    const isData = new Uint8Array(1 << 20)
    let size = 0
    const erase = (from: number, to: number) => {
      content.fill(0, from, to)
      isData.fill(0, from, to)
    }
    for (let step = 0; step < 40; step++) {
      const offset = below(300_000)
      const length = 1 + below(below(2) === 0 ? 5000 : 200_000)
      const end = offset + length
      const kind = below(8)
      if (kind < 3) {
        const data = random.bytes(length)
        await file.write(offset, data)
        content.set(data, offset)
        isData.fill(1, offset, end)
        size = Math.max(size, end)
      } else if (kind < 6) {
        const mode = [PUNCH, ZERO, ZERO | KEEP_SIZE][kind - 3]!
        await file.fallocate(mode, offset, length)
        erase(offset, end)
        if (mode === ZERO) size = Math.max(size, end)
      } else if (kind === 6) {
        size = offset
        await file.truncate(size)
        erase(size, content.length)
      } else await opened.fs.sync()
      expect((await file.read()).equals(content.subarray(0, size)), `content at step ${step}`).toBe(true)
      const ranges: [number, number][] = []
      for (let at = isData.indexOf(1); at >= 0; at = isData.indexOf(1, ranges.at(-1)![1])) {
        const hole = isData.indexOf(0, at)
        ranges.push([at, hole < 0 ? size : Math.min(hole, size)])
      }
      expect(await file.map(), `data at step ${step}`).toEqual(ranges)
      if (kind === 7) expect((await file.stat()).allocatedBytes).toBe(isData.reduce((sum, bit) => sum + bit, 0))
    }
    await opened.fs.sync()
    await checkConsistency(opened.database)
    await opened.unmount()
  },
)
