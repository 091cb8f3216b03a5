// Counting for quotas while the store fails: it goes on when the store is back, and ends exact.
import { expect, test, vi } from 'vitest'
import { FsError } from '../../src/platform/index.ts'
import { StoreError } from '../../src/store/index.ts'
import type { Database } from '../../src/tables/index.ts'
import type { QuotaSubject } from '../../src/vfs/index.ts'
import { expectExact } from './quota-recount.ts'
import { mount, Paths, type World } from './world.ts'

const FILES = 700

/** So many tables can be looked at before all fails. */
let tablesLeft = Number.POSITIVE_INFINITY

function failsLater(database: Database): Database {
  return new Proxy(database, {
    get(target, name) {
      if (name === 'table' && tablesLeft-- <= 0) throw new FsError('EIO', 'the store is away')
      const value = Reflect.get(target, name) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A volume with files, all in the store. */
async function filled(log?: (level: string, message: string) => void): Promise<World> {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  for (let at = 0; at < 12; at++) await paths.mkdir(`/d/${at}`)
  for (let at = 0; at < FILES; at++) await paths.write(`/d/${at % 12}/f${at}`, 'abc')
  await world.unmount()
  return mount({ store: world.store, countingStep: 20, wrap: failsLater, ...(log === undefined ? {} : { log }) })
}

const failing = () => Promise.reject(new StoreError('fatal', 'the store is away'))

for (const kind of ['tree', 'uid', 'volume'] as const) {
  test(`what cannot be read holds the counting of a ${kind} up, and no longer than that`, async () => {
    const errors: string[] = []
    const world = await filled((level, message) => level === 'error' && errors.push(message))
    const { ino } = await new Paths(world.fs).stat('/d')
    const subject: QuotaSubject = kind === 'tree' ? { kind, ino } : kind === 'uid' ? { kind, id: 1000 } : { kind }
    tablesLeft = 150
    await world.fs.quotas.set(subject, {})
    await vi.waitUntil(() => errors.length > 0)
    await world.fs.quotas.counted()
    expect(errors[0]).toMatch(/^quotas are not counted now/)
    tablesLeft = Number.POSITIVE_INFINITY
    expect((await world.fs.quotas.get(subject))!.isCounting).toBe(true)
    await new Paths(world.fs).write('/d/new', 'abcd')
    await world.fs.sync()
    await world.fs.quotas.counted()
    const files = FILES + 1
    const directories = kind === 'volume' ? 14 : 13
    expect(await world.fs.quotas.get(subject)).toMatchObject({
      isCounting: false,
      bytesUsed: FILES * 3 + 4,
      inodesUsed: files + (kind === 'uid' ? 13 : directories),
    })
    await expectExact(world, 'counted')
    await world.unmount()
  })

  test(`commits that fail hold the counting of a ${kind} up, and it ends exact over a crash`, async () => {
    const world = await filled()
    const { ino } = await new Paths(world.fs).stat('/d')
    const subject: QuotaSubject = kind === 'tree' ? { kind, ino } : kind === 'uid' ? { kind, id: 1000 } : { kind }
    await world.fs.quotas.set(subject, {})
    const { putIfAbsent } = world.store
    world.store.putIfAbsent = failing
    await world.fs.sync().catch(() => {})
    await world.fs.quotas.counted()
    await world.abandon()
    world.store.putIfAbsent = putIfAbsent
    const again = await mount({ store: world.store, countingStep: 50 })
    await again.fs.quotas.counted()
    expect(await again.fs.quotas.get(subject)).toMatchObject({ isCounting: false, bytesUsed: FILES * 3 })
    await expectExact(again, 'counted')
    await again.unmount()
  })
}
