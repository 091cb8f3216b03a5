// Quotas where numbers end, and where the store fails.
import { expect, test } from 'vitest'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { expectExact } from './quota-recount.ts'
import { CALLER, errnoOf, mount, Paths } from './world.ts'

const MOST = Number.MAX_SAFE_INTEGER

test('use is counted as far as numbers are exact, also where bytes are not limited', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await world.fs.quotas.set({ kind: 'volume' }, { inodes: 10 })
  await world.fs.quotas.counted()
  await paths.write('/a', '')
  await paths.write('/b', 'x')
  expect(await errnoOf(() => paths.truncate('/a', MOST))).toBe('ENOSPC')
  await paths.truncate('/a', MOST - 2)
  await paths.write('/b', 'xy')
  expect(await errnoOf(() => paths.write('/b', 'xyz', { flags: 1 }))).toBe('ENOSPC')
  await world.fs.sync()
  await expectExact(world, 'at the end of numbers')
})

test('what is larger than any number is counted as far as there are numbers, and the mount goes on', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  for (let at = 0; at < 2050; at++) {
    await paths.write(`/d/${at}`, '')
    await paths.truncate(`/d/${at}`, MOST)
  }
  const { ino } = await paths.stat('/d')
  for (const subject of [
    { kind: 'tree', ino },
    { kind: 'uid', id: CALLER.uid },
  ] as const) {
    await world.fs.quotas.set(subject, {})
    await world.fs.quotas.counted()
    expect(await world.fs.quotas.get(subject)).toMatchObject({ isCounting: false })
  }
  await world.fs.sync()
  await world.unmount()
})

test('a check that waits for what cannot be counted fails', async () => {
  const world = await mount({ countingStep: 1 })
  const paths = new Paths(world.fs)
  for (let at = 0; at < 200; at++) await paths.mkdir(`/${at}`)
  await world.fs.quotas.set({ kind: 'tree', ino: ROOT_INO }, {})
  const checked = errnoOf(() => world.fs.quotas.check())
  world.store.putIfAbsent = async () => {
    throw new Error('the store is full')
  }
  await paths.mkdir('/more')
  expect(await errnoOf(() => world.fs.sync())).toBe('EIO')
  expect((await world.fs.quotas.list())[0]!.isCounting).toBe(true)
  await world.fs.quotas.counted()
  expect(await Promise.race([checked, world.clock.yield().then(() => 'waits')])).toBe('EIO')
})
