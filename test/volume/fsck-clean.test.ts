// A volume that is well has no finding, whatever it went through; and a check changes nothing.
import { beforeEach, expect, test } from 'vitest'
import { CALLER } from '../vfs/world.ts'
import { body, copyFile, damages, FsckWorld } from './fsck-world.ts'

let world: FsckWorld

beforeEach(async () => {
  world = new FsckWorld()
  await world.format()
})

async function expectClean(): Promise<void> {
  const before = await world.objects()
  const report = await world.check()
  expect(damages(report)).toEqual([])
  expect(await world.objects(), 'a check changes nothing').toEqual(before)
}

test('a fresh volume is clean', async () => {
  await expectClean()
  const report = await world.check()
  expect(report.findings).toEqual([])
  expect(report.counts.directories).toBe(1)
})

test('files of every sort, hard links, fragments, renames and directories are clean', async () => {
  await world.during(async (paths, { fs }) => {
    await paths.mkdir('/a')
    await paths.mkdir('/a/b')
    await paths.write('/a/small', 'hello')
    await paths.write('/a/large', body(1, 3_000_000))
    await paths.symlink('/a/link', 'small')
    await paths.mknod('/a/fifo', 0o010644)
    await paths.link('/a/small', '/a/b/second')
    for (let at = 0; at < 40; at++) await paths.write('/a/large', body(at, 1000), { at: at * 70_000, flags: 1 })
    await fs.sync()
    await paths.rename('/a/b', '/b')
    await paths.truncate('/a/large', 1_000_000)
    for (let index = 0; index < 300; index++) await paths.write(`/b/f${index}`, `${index}`)
  })
  await expectClean()
  await world.during(async (paths) => {
    for (let index = 0; index < 300; index += 2) await paths.unlink(`/b/f${index}`)
    await paths.unlink('/a/small')
    await paths.mkdir('/b/c')
    await paths.rename('/b/c', '/a/c')
  })
  await expectClean()
  const { counts } = await world.check()
  expect(counts).toMatchObject({ directories: 4, files: 152, otherInodes: 2, dataBytesRead: counts.dataBytes })
})

test('a volume after gc is clean, and so is one that the cleaner has packed', async () => {
  await world.during(async (paths) => {
    for (let index = 0; index < 60; index++) await paths.write(`/f${index}`, body(index, 60_000))
  })
  await world.during(async (paths, { fs }) => {
    for (let index = 0; index < 60; index++) if (index % 4 !== 0) await paths.unlink(`/f${index}`)
    await fs.sync()
    await fs.checkpointNow()
    for (let round = 0; round < 6; round++) {
      await fs.clean({ graceMs: 0, isHurried: true })
      await fs.checkpointNow()
    }
  })
  await expectClean()
  await world.gc()
  await expectClean()
})

test('copies that share extents are clean, also when the original is gone, changed or moved', async () => {
  await world.during(async (paths, mounted) => {
    for (const name of ['a', 'b', 'c']) await paths.write(`/${name}`, body(7, 900_000))
    await mounted.fs.sync()
    for (const name of ['a', 'b', 'c']) await copyFile(mounted, `/${name}`, `/copy of ${name}`)
    await copyFile(mounted, '/copy of a', '/copy of the copy')
    await mounted.fs.sync()
    await paths.unlink('/a')
    await paths.write('/b', body(8, 100_000), { at: 300_000, flags: 1 })
    await paths.truncate('/copy of c', 500_000)
  })
  await expectClean()
  await world.gc()
  await expectClean()
})

test('a volume that a crash left, with its journal, is clean', async () => {
  await world.during(async (paths) => paths.write('/old', body(1, 500_000)))
  const { fs, paths, volume } = await world.mount()
  await paths.mkdir('/d')
  await paths.write('/d/carried', body(2, 50_000), { fsync: true })
  await paths.write('/old', body(3, 1000), { at: 400_000, flags: 1, fsync: true })
  await paths.rename('/old', '/d/old')
  await fs.sync()
  volume.abandon()
  const report = await world.check()
  expect(report.replayedCommits).toBeGreaterThan(0)
  await expectClean()
  await world.during(async () => {})
  await expectClean()
})

test('a mounted volume is clean as of its last commit, with files that are open and have no name', async () => {
  world.judgement = 'alive'
  const { fs, paths, volume } = await world.mount()
  await paths.write('/kept', body(1, 100_000))
  const { entry, opened } = await fs.create(CALLER, 1 as never, Buffer.from('open'), 0o644, { flags: 2 })
  await fs.write(opened.handle, entry.attributes.ino, 0, body(2, 200_000))
  await fs.sync()
  await paths.unlink('/open')
  await fs.sync()
  const report = await world.check()
  expect(report.mounted).toBe(true)
  expect(damages(report)).toEqual([])
  expect(report.findings.map(({ kind }) => kind)).toContain('orphan')
  await fs.checkpointNow()
  await expectClean()
  await fs.release(opened.handle, entry.attributes.ino)
  await volume.close()
  await expectClean()
})

test('a mounted volume is clean while files are synced behind the listing', async () => {
  world.judgement = 'alive'
  const { paths, volume } = await world.mount()
  await paths.write('/before', body(1, 3000), { fsync: true })
  const { store } = world
  let syncs = 0
  world.store = new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        const result: unknown = await member.apply(target, args)
        if (property === 'list') await paths.write(`/behind${syncs++}`, body(2, 3000), { fsync: true })
        return result
      }
    },
  })
  const report = await world.check()
  expect(syncs).toBeGreaterThan(0)
  expect(damages(report)).toEqual([])
  world.store = store
  await volume.close()
})
