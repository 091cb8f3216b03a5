// What O_TRUNC leaves is not shown by a crash before the file is closed, and takes nothing away that was to survive: the
// data of a rename over a name, what was written before. And what arrives damaged at a replay is no loss.
import { expect, test, vi } from 'vitest'
import { withoutRule } from '../../src/platform/index.ts'
import type { ObjectStore } from '../../src/store/index.ts'
import { ROOT_INO } from '../../src/vfs/index.ts'
import { CALLER, formatVolume, mount, Paths, type World } from './world.ts'

const O_WRONLY_TRUNC = 0o1001

async function openTruncating({ fs }: World, path: string) {
  const { ino } = await new Paths(fs).stat(path)
  const entry = await new Paths(fs).in(path, (parent, name) => fs.lookup(CALLER, parent, name))
  const { handle } = await fs.open(CALLER, ino, { flags: O_WRONLY_TRUNC })
  return { ino, handle, entry }
}

async function afterCrash(world: World, path: string): Promise<string> {
  await world.abandon()
  const next = await mount({ store: world.store })
  const text = await new Paths(next.fs).text(path)
  await next.abandon()
  return text
}

test('a file renamed over another and then opened with O_TRUNC is not found empty', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/target', 'old')
  await world.fs.sync()
  await paths.write('/new', 'what the rename brought')
  await paths.rename('/new', '/target')
  await openTruncating(world, '/target')
  // The commit of the interval.
  await world.clock.advance(5_000)
  await world.clock.yield()
  await world.database.commit()
  expect(await afterCrash(world, '/target')).toBe('what the rename brought')
})

test('nor where an O_TRUNC held it back already when it was renamed', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/target', 'old')
  await paths.write('/new', 'old')
  await world.fs.sync()
  const { ino, handle } = await openTruncating(world, '/new')
  await world.fs.write(handle, ino, 0, Buffer.from('what the rename brought'))
  await paths.rename('/new', '/target')
  await openTruncating(world, '/target')
  await world.clock.advance(5_000)
  await world.clock.yield()
  await world.database.commit()
  expect(await afterCrash(world, '/target')).toBe('what the rename brought')
})

test('what was written before an O_TRUNC is committed while the truncation is held', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.write('/f', 'old')
  await world.fs.sync()
  await paths.write('/f', 'new', { flags: 1 })
  await openTruncating(world, '/f')
  await world.clock.advance(5_000)
  await world.fs.fsyncdir((await paths.stat('/f')).ino)
  expect(await afterCrash(world, '/f')).toBe('new')
})

test('what is written after the fsync of the root is not held any more', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', 'old')
  const { ino, handle } = await openTruncating(world, '/f')
  await world.fs.write(handle, ino, 0, Buffer.from('new'))
  await world.fs.fsyncdir(ROOT_INO)
  await world.fs.write(handle, ino, 3, Buffer.from('er'))
  await world.clock.advance(5_000)
  await world.clock.yield()
  await world.database.commit()
  expect(await afterCrash(world, '/f')).toBe('newer')
})

/** A world whose first segment waits on its way until it is let go. */
async function withSlowUpload() {
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const store = await formatVolume()
  const { putIfAbsent } = store
  let waiting = 0
  store.putIfAbsent = async (key, ...rest) => {
    if (key.startsWith('segments/') && waiting++ === 0) await held
    return putIfAbsent.call(store, key, ...rest)
  }
  return { world: await mount({ store, inlineBytesMax: 16 }), letGo, isWaiting: () => waiting > 0 }
}

test.each([null, 'what was written before an O_TRUNC is kept apart'] as const)(
  'an O_TRUNC waits until what a rename over a name needs is kept apart (without the rule: %s)',
  (rule) =>
    withoutRule(rule, async () => {
      const { world, letGo, isWaiting } = await withSlowUpload()
      const paths = new Paths(world.fs)
      await paths.write('/target', 'old')
      await paths.write('/new', 'x'.repeat(100))
      const written = world.fs.writeBackUnderPressure()
      expect(written).toBeUndefined()
      await vi.waitUntil(isWaiting)
      // More than what is on its way: the rename needs both.
      await paths.write('/new', 'yyyy', { at: 100, flags: 1 })
      await paths.rename('/new', '/target')
      const opening = openTruncating(world, '/target')
      letGo()
      await opening
      await world.clock.advance(5_000)
      await world.clock.yield()
      await world.database.commit()
      const found = await afterCrash(world, '/target')
      const whole = `${'x'.repeat(100)}yyyy`
      if (rule === null) expect(found).toBe(whole)
      else expect(found).not.toBe(whole)
    }),
)

test('a truncation that a sync took along holds back nothing of what is written after it', async () => {
  const { world, letGo, isWaiting } = await withSlowUpload()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.write('/f', 'x'.repeat(100))
  const synced = world.fs.sync()
  await vi.waitUntil(isWaiting)
  // The frozen part is on its way, so that this cannot be kept apart from the truncation.
  await paths.write('/f', 'y', { at: 100, flags: 1 })
  const { ino, handle } = await openTruncating(world, '/f')
  letGo()
  await synced
  await world.fs.write(handle, ino, 0, Buffer.from('after'))
  await world.clock.advance(5_000)
  await world.fs.fsyncdir((await paths.stat('/d')).ino)
  expect(await afterCrash(world, '/f')).toBe('after')
})

test('a truncation that a rename over a name took along holds back nothing of what is written after it', async () => {
  const world = await mount()
  const paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await paths.write('/f', 'old')
  await paths.write('/target', 'other')
  await world.fs.sync()
  const { ino, handle } = await openTruncating(world, '/f')
  await paths.rename('/f', '/target')
  await world.fs.fsyncdir((await paths.stat('/d')).ino)
  await world.fs.write(handle, ino, 0, Buffer.from('after'))
  await world.clock.advance(5_000)
  await world.fs.fsyncdir((await paths.stat('/d')).ino)
  expect(await afterCrash(world, '/target')).toBe('after')
})

test('file data of a commit that arrives damaged at the replay is read again, and not given up', async () => {
  const world = await mount()
  await new Paths(world.fs).write('/f', 'x'.repeat(1000), { fsync: true })
  await world.abandon()

  const once = flippingOnce(world.store, 'journal/')
  const next = await mount({ store: once })
  expect(await new Paths(next.fs).text('/f')).toBe('x'.repeat(1000))
  await next.unmount()
  const last = await mount({ store: world.store })
  expect(await new Paths(last.fs).text('/f')).toBe('x'.repeat(1000))
  await last.abandon()
})

/** In the first answer for each key below `prefix` a bit of the file data is flipped. */
function flippingOnce(store: ObjectStore, prefix: string): ObjectStore {
  const flipped = new Set<string>()
  return proxied(store, async (name, key, call) => {
    const answer = await call()
    if (name === 'get' && key.startsWith(prefix) && !flipped.has(key)) {
      flipped.add(key)
      const { body } = answer as { body: Buffer }
      if (body.length > 200) body[90]! ^= 1
    }
    return answer
  })
}

function proxied(
  store: ObjectStore,
  around: (name: string, key: string, call: () => Promise<unknown>) => Promise<unknown>,
): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return (...args: unknown[]) =>
        around(String(property), String(args[0]), () => member.apply(target, args) as Promise<unknown>)
    },
  })
}

test('an O_TRUNC is held also where the one before was held as long as it may be', async () => {
  const world = await mount({ truncateHoldMs: 30_000 })
  const { clock, fs } = world
  await new Paths(fs).write('/f', 'old')
  await fs.sync()
  const { ino, handle } = await openTruncating(world, '/f')
  await fs.write(handle, ino, 0, Buffer.from('new'))
  await clock.advance(31_000)
  await openTruncating(world, '/f')
  await clock.advance(5_000)
  for (let turns = 0; turns < 20; turns++) await clock.yield()
  expect(await afterCrash(world, '/f')).toBe('new')
})
