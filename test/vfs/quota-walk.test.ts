// Counting a tree that is in use.
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
