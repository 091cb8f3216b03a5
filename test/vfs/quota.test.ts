// Quotas: what is refused, what counts where, and that nothing is left of what was refused.
import { describe, expect, test } from 'vitest'
import type { Ino, QuotaLimits, QuotaReport } from '../../src/vfs/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { expectExact } from './quota-recount.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const KIB = 1024

async function begin(): Promise<{ world: World; paths: Paths }> {
  const world = await mount()
  return { world, paths: new Paths(world.fs) }
}

/** Sets a limit on a tree, and waits until it binds. */
async function limit(world: World, path: string, limits: Partial<QuotaLimits>): Promise<Ino> {
  const { ino } = await new Paths(world.fs).stat(path)
  await world.fs.quotas.set({ kind: 'tree', ino }, limits)
  await world.fs.quotas.counted()
  return ino
}

async function useOf(world: World, ino: Ino): Promise<Pick<QuotaReport, 'bytesUsed' | 'inodesUsed'>> {
  const { bytesUsed, inodesUsed } = (await world.fs.quotas.get({ kind: 'tree', ino }))!
  return { bytesUsed, inodesUsed }
}

describe('a limit on a tree', () => {
  test('binds to the byte and to the inode, with EDQUOT', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    const ino = await limit(world, '/d', { bytes: 1000, inodes: 3 })
    await paths.write('/d/a', 'x'.repeat(600))
    expect(await errnoOf(() => paths.write('/d/b', 'x'.repeat(401)))).toBe('EDQUOT')
    await paths.write('/d/b', 'x'.repeat(400))
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 1000, inodesUsed: 3 })
    expect(await errnoOf(() => paths.mkdir('/d/c'))).toBe('EDQUOT')
    expect(await errnoOf(() => paths.write('/d/a', 'x', { at: 600, flags: 1 }))).toBe('EDQUOT')
    expect(await errnoOf(() => paths.truncate('/d/a', 601))).toBe('EDQUOT')
    await paths.write('/d/a', 'y'.repeat(600), { flags: 1 })
    await expectExact(world, 'at the limit')
    await paths.truncate('/d/a', 599)
    await paths.write('/d/b', 'z', { at: 400, flags: 1 })
    await expectExact(world, 'after one made room for the other')
  })

  test('lets two writers who race reach it and not pass it', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    const ino = await limit(world, '/d', { bytes: 100 * KIB })
    const writers = await Promise.all(
      ['a', 'b'].map((name) =>
        paths.in(`/d/${name}`, async (parent, to) => {
          const { entry, opened } = await world.fs.create(CALLER, parent, to, 0o644, { flags: 1 })
          return { ino: entry.attributes.ino, handle: opened.handle }
        }),
      ),
    )
    let written = 0
    const write = async ({ ino: file, handle }: (typeof writers)[number], chunk: number, from = 0) => {
      for (let at = from; ; at += chunk) {
        if ((await errnoOf(() => world.fs.write(handle, file, at, Buffer.alloc(chunk)))) !== 'none') return
        written += chunk
        if (at % 9 === 0) void world.fs.fsync(handle, file, false)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await Promise.all([write(writers[0]!, 1000), write(writers[1]!, 777)])
    await write(writers[0]!, 1, (await world.fs.getattr(writers[0]!.ino)).attributes.sizeBytes)
    expect(written).toBe(100 * KIB)
    expect((await useOf(world, ino)).bytesUsed).toBe(100 * KIB)
    await expectExact(world, 'after the race')
  })

  test('leaves nothing of what it refuses', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    await paths.mkdir('/d/sub')
    await paths.write('/d/a', 'abc', { fsync: true })
    await paths.write('/out', 'x'.repeat(100))
    await limit(world, '/d', { bytes: 50, inodes: 3 })
    const before = { names: await paths.list('/d'), a: await paths.stat('/d/a'), out: await paths.stat('/out') }
    const refused: [string, () => unknown][] = [
      ['create', () => paths.write('/d/new', '')],
      ['mkdir', () => paths.mkdir('/d/sub/new')],
      ['symlink', () => paths.symlink('/d/new', 'target')],
      ['mknod', () => paths.mknod('/d/new', 0o010644)],
      ['rename in', () => paths.rename('/out', '/d/out')],
      ['rename over', () => paths.rename('/out', '/d/a')],
      ['write', () => paths.write('/d/a', 'x'.repeat(60), { flags: 1 })],
      ['truncate', () => paths.truncate('/d/a', 51)],
    ]
    for (const [what, operation] of refused) {
      expect(await errnoOf(operation), what).toBe('EDQUOT')
      expect(
        { names: await paths.list('/d'), a: await paths.stat('/d/a'), out: await paths.stat('/out') },
        what,
      ).toEqual(before)
      await expectExact(world, `after ${what}`)
    }
    await world.fs.sync()
    await world.abandon()
    const again = await mount({ store: world.store })
    await expectExact(again, 'after a crash')
    expect(await new Paths(again.fs).list('/d')).toEqual(before.names)
  })

  test('counts holes and targets of symbolic links, and directories as inodes', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    const ino = await limit(world, '/d', {})
    await paths.truncate((await paths.write('/d/hole', '').then(() => '/d/hole'))!, 10_000)
    await paths.symlink('/d/link', '12345')
    await paths.mkdir('/d/sub')
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 10_005, inodesUsed: 4 })
    await world.fs.sync()
    await expectExact(world, 'when all is recorded')
    await paths.rmdir('/d/sub')
    await paths.unlink('/d/link')
    await paths.unlink('/d/hole')
    await world.fs.orphansEmptied()
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 0, inodesUsed: 1 })
    await expectExact(world, 'when all is gone')
  })

  test('counts a file without a name until nobody has it open', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    const ino = await limit(world, '/d', { bytes: 100 })
    await paths.in('/d/f', async (parent, name) => {
      const { entry, opened } = await world.fs.create(CALLER, parent, name, 0o644, { flags: 1 })
      await world.fs.write(opened.handle, entry.attributes.ino, 0, Buffer.alloc(80))
      await world.fs.unlink(CALLER, parent, name)
      await world.fs.write(opened.handle, entry.attributes.ino, 80, Buffer.alloc(20))
      expect(await errnoOf(() => paths.write('/d/g', 'x'))).toBe('EDQUOT')
      expect(await errnoOf(() => world.fs.write(opened.handle, entry.attributes.ino, 100, Buffer.alloc(1)))).toBe(
        'EDQUOT',
      )
      await world.fs.sync()
      await expectExact(world, 'unlinked and open')
      await world.fs.release(opened.handle, entry.attributes.ino)
      world.fs.forget(entry.attributes.ino, 1)
    })
    await world.fs.orphansEmptied()
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 0, inodesUsed: 2 })
    await paths.write('/d/g', 'x')
    await expectExact(world, 'closed')
  })

  test('frees what a rename puts away', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    const ino = await limit(world, '/d', { bytes: 100, inodes: 3 })
    await paths.write('/d/a', 'x'.repeat(60))
    await paths.write('/d/b', 'x'.repeat(40))
    await paths.rename('/d/b', '/d/a')
    await world.fs.orphansEmptied()
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 40, inodesUsed: 2 })
    await paths.write('/out', 'x'.repeat(100))
    expect(await errnoOf(() => paths.rename('/out', '/d/c'))).toBe('EDQUOT')
    await paths.rename('/out', '/d/a')
    await paths.rename('/d/a', '/in-the-open')
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 0, inodesUsed: 1 })
    await expectExact(world, 'at the end')
  })

  test('that is lowered below what is used stops growth alone', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    await paths.write('/d/a', 'x'.repeat(500))
    await limit(world, '/d', { bytes: 100 })
    expect(await errnoOf(() => paths.write('/d/b', 'x'))).toBe('EDQUOT')
    await paths.write('/d/a', 'y'.repeat(500), { flags: 1 })
    await paths.truncate('/d/a', 100)
    expect(await errnoOf(() => paths.truncate('/d/a', 101))).toBe('EDQUOT')
  })

  test('copies what fits, and says how much that was', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    await paths.write('/src', Buffer.alloc(300_000, 7), { fsync: true })
    await paths.write('/d/a', '')
    const ino = await limit(world, '/d', { bytes: 200_000 })
    expect(await paths.copy('/src', '/d/a')).toBe(200_000)
    expect(await errnoOf(() => paths.copy('/src', '/d/a', { to: 200_000 }))).toBe('EDQUOT')
    expect(await useOf(world, ino)).toEqual({ bytesUsed: 200_000, inodesUsed: 2 })
    expect((await paths.read('/d/a')).equals(Buffer.alloc(200_000, 7))).toBe(true)
    await world.fs.sync()
    await expectExact(world, 'after the copy')
  })
})

describe('trees within trees', () => {
  test('count in those around them, and every limit binds', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/a')
    await paths.mkdir('/a/b')
    await paths.write('/a/b/f', 'x'.repeat(10))
    const inner = await limit(world, '/a/b', { bytes: 100 })
    const outer = await limit(world, '/a', { bytes: 150 })
    await paths.write('/a/g', 'x'.repeat(60))
    expect(await errnoOf(() => paths.write('/a/b/h', 'x'.repeat(81)))).toBe('EDQUOT')
    await paths.write('/a/b/h', 'x'.repeat(80))
    expect(await errnoOf(() => paths.write('/a/b/i', 'x'))).toBe('EDQUOT')
    await paths.unlink('/a/g')
    await world.fs.orphansEmptied()
    expect(await errnoOf(() => paths.write('/a/b/h', 'x'.repeat(91)))).toBe('EDQUOT')
    await expectExact(world, 'nested')
    expect(await useOf(world, inner)).toEqual({ bytesUsed: 10 + 0, inodesUsed: 4 })
    await world.fs.quotas.remove({ kind: 'tree', ino: inner })
    await paths.write('/a/b/h', 'x'.repeat(140))
    expect(await errnoOf(() => paths.write('/a/b/i', 'x'))).toBe('EDQUOT')
    expect((await useOf(world, outer)).bytesUsed).toBe(150)
    await expectExact(world, 'the inner one removed')
    await limit(world, '/a/b', { bytes: 160 })
    await expectExact(world, 'and set again')
  })

  test('a tree set around others takes them in whole', async () => {
    const { world, paths } = await begin()
    for (const at of ['/a', '/a/b', '/a/b/c', '/a/d']) await paths.mkdir(at)
    for (const at of ['/a/1', '/a/b/2', '/a/b/c/3', '/a/d/4']) await paths.write(at, at)
    await limit(world, '/a/b/c', { bytes: 1000 })
    await limit(world, '/a/b', { bytes: 1000 })
    const outer = await limit(world, '/a', { bytes: 1000 })
    expect(await useOf(world, outer)).toEqual({ bytesUsed: 4 + 6 + 8 + 6, inodesUsed: 8 })
    await expectExact(world, 'from the inside to the outside')
    await paths.unlink('/a/b/c/3')
    await expectExact(world, 'after an unlink')
    const { root } = { root: await limit(world, '/', { inodes: 9 }) }
    expect(root).toBe(ROOT_INO)
    expect(await useOf(world, root)).toEqual({ bytesUsed: 16, inodesUsed: 8 })
    await paths.write('/new', '')
    expect(await errnoOf(() => paths.write('/a/b/c/3', ''))).toBe('EDQUOT')
    await expectExact(world, 'with all in one')
  })

  test('names of directories, and of files with several, do not cross borders', async () => {
    const { world, paths } = await begin()
    for (const at of ['/a', '/a/sub', '/b', '/c']) await paths.mkdir(at)
    await paths.write('/a/f', 'abc')
    await paths.write('/a/two', 'abcd')
    await paths.link('/a/two', '/a/names')
    await limit(world, '/a', { inodes: 100 })
    await limit(world, '/b', { inodes: 100 })
    expect(await errnoOf(() => paths.rename('/a/sub', '/b/sub'))).toBe('EXDEV')
    expect(await errnoOf(() => paths.rename('/a/sub', '/c/sub'))).toBe('EXDEV')
    expect(await errnoOf(() => paths.rename('/c', '/a/c'))).toBe('EXDEV')
    expect(await errnoOf(() => paths.rename('/a/two', '/c/two'))).toBe('EXDEV')
    expect(await errnoOf(() => paths.link('/a/f', '/b/f'))).toBe('EXDEV')
    expect(await errnoOf(() => paths.link('/a/two', '/c/f'))).toBe('EXDEV')
    await paths.link('/a/f', '/a/sub/f')
    await paths.rename('/a/two', '/a/sub/two')
    await paths.rename('/a/sub', '/a/bus')
    // The topmost directory itself lies in what is around it.
    await paths.rename('/a', '/c/a')
    await paths.unlink('/c/a/f')
    await paths.write('/c/a/single', '12345')
    await paths.rename('/c/a/single', '/b/single')
    await expectExact(world, 'after moves')
    await paths.rmdir('/b').catch(() => {})
    await paths.unlink('/b/single')
    await world.fs.orphansEmptied()
    await paths.rmdir('/b')
    expect(await world.fs.quotas.list()).toHaveLength(1)
    await expectExact(world, 'without one of them')
  })
})

describe('limits on owners and on the volume', () => {
  test('count what is there, and move with chown and chgrp', async () => {
    const { world, paths } = await begin()
    await paths.write('/a', 'x'.repeat(100), { fsync: true })
    await paths.write('/b', 'x'.repeat(50))
    await world.fs.quotas.set({ kind: 'uid', id: 1000 }, { bytes: 200 })
    await world.fs.quotas.set({ kind: 'uid', id: 7 }, { bytes: 60 })
    await world.fs.quotas.set({ kind: 'gid', id: 7 }, { inodes: 1 })
    await world.fs.quotas.counted()
    await expectExact(world, 'counted')
    expect(await errnoOf(() => paths.write('/c', 'x'.repeat(51)))).toBe('EDQUOT')
    const chown = (path: string, owner: { uid?: number; gid?: number }) =>
      paths.at(path, (ino) => world.fs.setattr(CALLER, ino, owner))
    expect(await errnoOf(() => chown('/a', { uid: 7 }))).toBe('EDQUOT')
    await chown('/b', { uid: 7, gid: 7 })
    expect(await errnoOf(() => chown('/a', { gid: 7 }))).toBe('EDQUOT')
    await expectExact(world, 'moved')
    await paths.write('/a', 'x'.repeat(200), { flags: 1 })
    await world.fs.sync()
    await expectExact(world, 'recorded')
  })

  test('the volume is full with ENOSPC', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    await paths.write('/a', 'x'.repeat(100))
    await world.fs.quotas.set({ kind: 'volume' }, { bytes: 150, inodes: 4 })
    await world.fs.quotas.counted()
    expect(await errnoOf(() => paths.write('/b', 'x'.repeat(51)))).toBe('ENOSPC')
    await paths.write('/b', 'x'.repeat(50))
    expect(await errnoOf(() => paths.write('/c', ''))).toBe('ENOSPC')
    await limit(world, '/d', { bytes: 10 })
    expect(await errnoOf(() => paths.write('/d/c', ''))).toBe('ENOSPC')
    await world.fs.quotas.set({ kind: 'volume' }, { inodes: null })
    expect(await errnoOf(() => paths.write('/d/c', 'x'.repeat(11)))).toBe('EDQUOT')
    await expectExact(world, 'full')
    const statistics = await world.fs.statfs(ROOT_INO)
    expect(statistics).toMatchObject({ totalBytes: 150, freeBytes: 0 })
    const { ino } = await paths.stat('/d')
    expect(await world.fs.statfs(ino)).toMatchObject({ totalBytes: 10, freeBytes: 0 })
    expect((await world.fs.quotas.check()).every(({ counted, recorded }) => counted.bytes === recorded.bytes)).toBe(
      true,
    )
    await world.fs.quotas.remove({ kind: 'volume' })
    await world.unmount()
    const again = await mount({ store: world.store })
    await expectExact(again, 'mounted again')
    expect(await again.fs.statfs(ino)).toMatchObject({ totalBytes: 10, freeBytes: 10 })
    await again.unmount()
  })

  test('warn at 80 and at 95 per cent, once each', async () => {
    const lines: string[] = []
    const world = await mount({ log: (level, message) => level === 'warn' && lines.push(message) })
    const paths = new Paths(world.fs)
    await paths.mkdir('/d')
    await limit(world, '/d', { bytes: 1000 })
    for (const size of [799, 800, 900, 949, 950, 1000, 930, 960, 100, 850])
      await paths.truncate((await paths.write('/d/a', '', { flags: 1 }).then(() => '/d/a'))!, size)
    await world.clock.yield()
    expect(lines[0]).toBe('the quota of /d is 80 % full: 800 of 1000 bytes are used')
    expect(lines.map((line) => /(\d+) % full/.exec(line)?.[1])).toEqual(['80', '95', '80'])
  })
})

describe('counting what is there', () => {
  test('goes on beside changes, and ends exact', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    for (let at = 0; at < 30; at++) await paths.mkdir(`/d/${at}`)
    for (let at = 0; at < 1500; at++)
      await paths.write(`/d/${at % 3 === 0 ? `f${at}` : `${at % 30}/f${at}`}`, 'x'.repeat(at))
    await paths.link('/d/f3', '/d/1/second')
    const { ino } = await paths.stat('/d')
    const report = await world.fs.quotas.set({ kind: 'tree', ino }, { bytes: 1 })
    expect(report.isCounting).toBe(true)
    let turns = 0
    const at = (index: number) => `/d/${index % 3 === 0 ? `f${index}` : `${index % 30}/f${index}`}`
    while ((await world.fs.quotas.get({ kind: 'tree', ino }))!.isCounting) {
      turns++
      const one = (turns * 7) % 1500
      await paths.truncate(at(one), 3000).catch(() => {})
      await paths.rename(at((one + 1) % 1500), `/moved${turns}`).catch(() => {})
      await paths.rename(at((one + 2) % 1500), `/d/again${turns}`).catch(() => {})
      await paths.unlink(at((one + 3) % 1500)).catch(() => {})
      await paths.mkdir(`/d/new${turns}`).catch(() => {})
      await paths.rename(`/d/${turns % 30}`, `/d/new${turns}/${turns % 30}`).catch(() => {})
      expect(await errnoOf(() => paths.rename(`/d/new${turns}`, `/out${turns}`))).toMatch(/EXDEV|none/)
      if (turns % 3 === 0) await expectExact(world, `turn ${turns}`)
    }
    expect(turns).toBeGreaterThan(3)
    await expectExact(world, 'counted')
    expect(await errnoOf(() => paths.write('/d/one-more', 'x'))).toBe('EDQUOT')
  })

  test('finds directories that move ahead of it, or behind', async () => {
    let refused = 0
    for (let turns = 0; turns < 24; turns++) {
      const world = await mount({ countingStep: 1 })
      const paths = new Paths(world.fs)
      for (const at of ['/d', '/d/low', '/d/mid', '/d/mid/x', '/d/high', '/d/high/sub', '/d/high/sub/below', '/out'])
        await paths.mkdir(at)
      for (const at of ['/d/low/f', '/d/high/f', '/d/high/sub/f', '/d/high/sub/below/f']) await paths.write(at, 'abc')
      const { ino } = await paths.stat('/d')
      await world.fs.quotas.set({ kind: 'tree', ino }, {})
      for (let turn = 0; turn < turns; turn++) await world.clock.yield()
      await paths.rename('/d/high/sub', '/d/low/sub')
      await paths.rename('/d/mid', '/d/low/sub/below/mid')
      const isRefused = (await errnoOf(() => paths.rename('/d/low/sub', '/out/sub'))) === 'EXDEV'
      if (isRefused) refused++
      expect(await errnoOf(() => paths.link('/d/low/f', '/out/f'))).toBe(isRefused ? 'EXDEV' : 'none')
      expect(await errnoOf(() => paths.rename('/out', '/d/out'))).toBe(isRefused ? 'EXDEV' : 'none')
      await world.fs.quotas.counted()
      expect(await useOf(world, ino), `after ${turns} turns`).toEqual(
        isRefused ? { bytesUsed: 12, inodesUsed: 11 } : { bytesUsed: 12, inodesUsed: 12 },
      )
      await expectExact(world, `after ${turns} turns`)
      await world.abandon()
    }
    expect(refused).toBeGreaterThan(12)
  })

  test('of owners too', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    for (let at = 0; at < 600; at++) await paths.write(`/d/f${at}`, 'x'.repeat(at))
    await world.fs.quotas.set({ kind: 'uid', id: 1000 }, {})
    let turns = 0
    while ((await world.fs.quotas.get({ kind: 'uid', id: 1000 }))!.isCounting) {
      turns++
      await world.clock.yield()
      await paths.unlink(`/d/f${turns}`)
      await paths.write(`/d/g${turns}`, 'abc')
      await paths.truncate(`/d/f${300 + turns}`, 1)
      await paths.at(`/d/f${599 - turns}`, (ino) => world.fs.setattr(CALLER, ino, { uid: 5 }))
      if (turns % 2 === 0) await world.fs.sync()
    }
    expect(turns).toBeGreaterThan(1)
    await expectExact(world, 'counted')
    const checks = await world.fs.quotas.check()
    expect(checks).toHaveLength(1)
    expect(checks[0]!.counted).toEqual(checks[0]!.recorded)
  })

  test('goes on after a crash', async () => {
    const { world, paths } = await begin()
    await paths.mkdir('/d')
    await paths.mkdir('/d/sub')
    for (let at = 0; at < 1200; at++) await paths.write(`/d/${at % 2 === 0 ? 'sub/' : ''}f${at}`, 'x'.repeat(10))
    await world.fs.sync()
    const { ino } = await paths.stat('/d')
    await world.fs.quotas.set({ kind: 'tree', ino }, {})
    while ((await useOf(world, ino)).inodesUsed === 0) await world.clock.yield()
    await world.fs.sync()
    const before = await useOf(world, ino)
    expect(before.inodesUsed).toBeLessThan(1202)
    await world.abandon()
    const again = await mount({ store: world.store })
    expect((await useOf(again, ino)).inodesUsed).toBeGreaterThanOrEqual(before.inodesUsed)
    await expectExact(again, 'after the crash')
    await again.fs.quotas.counted()
    expect(await useOf(again, ino)).toEqual({ bytesUsed: 12_000, inodesUsed: 1202 })
    await expectExact(again, 'counted')
    await again.unmount()
  })
})

test('are not to be had where the kernel writes back', async () => {
  const { fs, unmount } = await mount({ kernelWritesBack: true })
  const attribute = { name: bytes('ceph.quota.max_bytes'), value: bytes('5'), flags: 0 }
  expect(await errnoOf(() => fs.quotas.set({ kind: 'volume' }, { bytes: 5 }))).toBe('EOPNOTSUPP')
  expect(await errnoOf(() => fs.setxattr!({ uid: 0, gid: 0, pid: 1 }, ROOT_INO, attribute))).toBe('EOPNOTSUPP')
  await unmount()
})

test('xattrs show and set the limits of a tree, by names of ours and of CephFS', async () => {
  const { world, paths } = await begin()
  const root = { uid: 0, gid: 0, pid: 1 }
  await paths.mkdir('/d')
  await paths.write('/d/f', 'x'.repeat(10))
  const get = (name: string) =>
    paths.at('/d', async (ino) => Buffer.from(await world.fs.getxattr!(CALLER, ino, bytes(name))).toString())
  const set = (name: string, value: string, { flags = 0, caller = root } = {}) =>
    paths.at('/d', (ino) => world.fs.setxattr!(caller, ino, { name: bytes(name), value: bytes(value), flags }))
  expect(await errnoOf(() => get('ceph.quota.max_bytes'))).toBe('ENODATA')
  expect(await errnoOf(() => get('ceph.dir.rbytes'))).toBe('ENODATA')
  expect(await errnoOf(() => set('ceph.quota.max_bytes', '5', { caller: CALLER }))).toBe('EPERM')
  for (const value of ['', '-1', '1K', '99999999999999999'])
    expect(await errnoOf(() => set('ceph.quota.max_bytes', value)), value).toBe('EINVAL')
  expect(await errnoOf(() => set('ceph.dir.rbytes', '5'))).toBe('EOPNOTSUPP')
  await set('user.cairnfs.quota.max_bytes', '20')
  await set('ceph.quota.max_files', '3')
  await world.fs.quotas.counted()
  expect(await errnoOf(() => set('ceph.quota.max_files', '4', { flags: 1 }))).toBe('EEXIST')
  const shown = await Promise.all(
    ['user.cairnfs.quota.max_bytes', 'ceph.quota.max_bytes', 'user.cairnfs.quota.max_files'].map(get),
  )
  expect(shown).toEqual(['20', '20', '3'])
  const used = ['user.cairnfs.quota.rbytes', 'ceph.dir.rbytes', 'user.cairnfs.quota.rfiles', 'ceph.dir.rentries']
  expect(await Promise.all(used.map(get))).toEqual(['10', '10', '2', '2'])
  expect(await errnoOf(() => paths.write('/d/g', 'x'.repeat(11)))).toBe('EDQUOT')
  await set('ceph.quota.max_bytes', '0')
  await paths.write('/d/g', 'x'.repeat(11))
  expect(await get('ceph.quota.max_bytes')).toBe('0')
  await paths.at('/d', (ino) => world.fs.removexattr!(root, ino, bytes('ceph.quota.max_files')))
  expect(await errnoOf(() => get('ceph.quota.max_files'))).toBe('ENODATA')
  expect(await world.fs.quotas.list()).toEqual([])
  expect(await errnoOf(() => paths.at('/d/f', (ino) => world.fs.getxattr!(root, ino, bytes('ceph.dir.rbytes'))))).toBe(
    'ENODATA',
  )
})

test('without limits nothing is tracked, and the last one that goes ends it', async () => {
  const { world, paths } = await begin()
  await paths.mkdir('/d')
  const ino = await limit(world, '/d', { bytes: 10 })
  expect(await errnoOf(() => paths.write('/d/a', bytes('x'.repeat(11))))).toBe('EDQUOT')
  await world.fs.quotas.remove({ kind: 'tree', ino })
  await paths.write('/d/a', 'x'.repeat(11))
  await paths.mkdir('/d/sub')
  await paths.rename('/d/sub', '/sub')
  expect(await world.fs.quotas.list()).toEqual([])
  await limit(world, '/d', { bytes: 20 })
  await paths.write('/sub/a', 'x'.repeat(100))
  await expectExact(world, 'set again after a directory that was in the tree left it')
  await world.unmount()
})
