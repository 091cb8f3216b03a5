// Counting a tree that is in use, and checks that follow each other.
import { expect, test } from 'vitest'
import type { Ino } from '../../src/vfs/index.ts'
import { expectExact } from './quota-recount.ts'
import { mount, Paths, type World } from './world.ts'

async function inodesUsed(world: World, ino: Ino): Promise<number> {
  return (await world.fs.quotas.get({ kind: 'tree', ino }))!.inodesUsed
}

test('a limit that is taken away while it is counted, and set again, counts all', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  for (let at = 0; at < 300; at++) await paths.mkdir(`/d/${at}`)
  const { ino } = await paths.stat('/d')
  await world.fs.quotas.set({ kind: 'tree', ino }, {})
  while ((await inodesUsed(world, ino)) === 0) await world.clock.yield()
  expect(await inodesUsed(world, ino)).toBeLessThan(301)
  await world.fs.quotas.remove({ kind: 'tree', ino })
  await world.fs.quotas.set({ kind: 'tree', ino }, {})
  await world.fs.quotas.counted()
  expect(await inodesUsed(world, ino)).toBe(301)
  await expectExact(world, 'counted')
})

test('files with several names count however their names move meanwhile', async () => {
  for (let turns = 0; turns < 30; turns++) {
    const world = await mount({ countingStep: 1 })
    const paths = new Paths(world.fs)
    for (const at of ['/d', '/d/low', '/d/mid', '/d/high']) await paths.mkdir(at)
    for (const at of ['/d/high/moved', '/d/high/linked', '/d/high/exchanged']) await paths.write(at, 'abc')
    await paths.write('/d/low/single', 'abc')
    await paths.link('/d/high/moved', '/d/high/second')
    await paths.link('/d/high/exchanged', '/d/high/third')
    const { ino } = await paths.stat('/d')
    await world.fs.quotas.set({ kind: 'tree', ino }, {})
    for (let turn = 0; turn < turns; turn++) await world.clock.yield()
    await paths.rename('/d/high/moved', '/d/low/moved')
    await paths.unlink('/d/high/second')
    await paths.link('/d/high/linked', '/d/low/linked')
    await paths.unlink('/d/high/linked')
    await paths.rename('/d/high/exchanged', '/d/low/single', 2)
    await paths.unlink('/d/high/third')
    await expectExact(world, `after ${turns} turns`)
    await world.fs.quotas.counted()
    expect(await inodesUsed(world, ino), `after ${turns} turns`).toBe(8)
    await expectExact(world, `counted after ${turns} turns`)
    await world.abandon()
  }
})

test('a check that is asked for as another one ends is made', async () => {
  const world = await mount()
  for (let ticks = 0; ticks < 20; ticks++) {
    await world.fs.quotas.check()
    for (let tick = 0; tick < ticks; tick++) await Promise.resolve()
    const checked = world.fs.quotas.check().then(() => 'made')
    const late = async () => {
      for (let turn = 0; turn < 50; turn++) await world.clock.yield()
      return 'waits'
    }
    expect(await Promise.race([checked, late()]), `after ${ticks} ticks`).toBe('made')
  }
})
