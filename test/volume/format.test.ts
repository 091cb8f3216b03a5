// Formatting a volume: what it makes, what it refuses to destroy, and that what it made opens.
import { beforeEach, describe, expect, it } from 'vitest'
import { type Clock, seededRandom, systemClock } from '../../src/platform/index.ts'
import { createMemoryStore, type ObjectStore } from '../../src/store/index.ts'
import type { Holder, Judgement } from '../../src/tables/index.ts'
import {
  defaultName,
  formatVolume,
  type OpenVolumeOptions,
  openVolume,
  readVolumeJson,
  type Volume,
} from '../../src/volume/index.ts'

const self = { host: 'here', bootId: 'boot', pid: 1, since: '2026-01-01T00:00:00Z', lock: null }
const rootOwner = { uid: 1000, gid: 100 }
/** Waits for nothing: each sleep passes at once. */
const hastyClock: Clock = { ...systemClock, ...hasty() }
let store: ObjectStore
let judgement: Judgement

function hasty(): Pick<Clock, 'monotonicMs' | 'sleep'> {
  let nowMs = 0
  return {
    monotonicMs: () => nowMs,
    sleep: async (delayMs) => {
      nowMs += delayMs
    },
  }
}

beforeEach(() => {
  store = createMemoryStore()
  judgement = 'unknown'
})

const judge = async (_: Holder) => judgement

function format(options: { force?: boolean; name?: string; probe?: () => Promise<void>; clock?: Clock } = {}) {
  const { force = false, name = 'vol', probe = async () => {}, clock = systemClock } = options
  return formatVolume({
    store,
    name,
    segmentSizeBytes: 1 << 20,
    force,
    self,
    rootOwner,
    clock,
    random: seededRandom(1),
    leaseMs: 30_000,
    judge,
    log: () => {},
    probe: { endpoint: 'test', run: probe },
  })
}

async function open(readOnly = false): Promise<Volume> {
  const options: OpenVolumeOptions = {
    store,
    identity: await readVolumeJson(store),
    writer: readOnly ? null : { self, leaseMs: 30_000, judge, probe: null, onFailure: () => {} },
    clock: systemClock,
    random: seededRandom(2),
    log: () => {},
    memoryBytes: 64 << 20,
    commitMs: 5000,
    parallelism: 4,
    rootOwner: { uid: 0, gid: 0 },
  }
  return openVolume(options)
}

async function keys(): Promise<string[]> {
  return (await store.list('')).objects.map(({ key }) => key)
}

describe('formatting', () => {
  it('makes a volume whose root directory belongs to who formatted it, readable at once', async () => {
    const json = await format({ name: 'photos' })
    expect(json).toMatchObject({ name: 'photos', segmentSize: 1 << 20, unicodeVersion: '12.1.0' })
    expect(json.uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const volume = await open(true)
    const { attributes } = await volume.filesystem.getattr(1 as never)
    expect(attributes).toMatchObject({ ...rootOwner, mode: 0o40755 })
    await volume.close()
  })

  it('refuses a volume that is there, and with force makes another in its place', async () => {
    const first = await format()
    await expect(format()).rejects.toMatchObject({ code: 'EEXIST' })
    await store.put('segments/ff/000000000000ff', [Buffer.from('old')])
    const second = await format({ force: true })
    expect(second.uuid).toBe(first.uuid) // the same seed
    expect(await keys()).not.toContain('segments/ff/000000000000ff')
    await (await open()).close()
  })

  it('deletes volume.json before everything else', async () => {
    await format()
    const deleted: string[][] = []
    const spied = new Proxy(store, {
      get: (target, name) => {
        if (name !== 'delete') return Reflect.get(target, name).bind?.(target) ?? Reflect.get(target, name)
        return (which: string[]) => {
          deleted.push([...which])
          return target.delete(which)
        }
      },
    })
    store = spied
    await format({ force: true })
    expect(deleted[0]).toEqual(['volume.json'])
    expect(deleted[1]).toContain('root')
  })

  it.each(['photos/cat.jpg', 'segments/zz', 'volume.json.bak', 'journal/x', 'writers/a.json'])(
    'refuses foreign objects (%s) whatever is forced, and touches nothing',
    async (key) => {
      await format()
      await store.put(key, [Buffer.from('precious')])
      const before = await keys()
      for (const force of [false, true]) await expect(format({ force })).rejects.toThrow(key)
      expect(await keys()).toEqual(before)
    },
  )

  it("refuses somebody else's `root`", async () => {
    await store.put('root', [Buffer.from('precious')])
    await expect(format({ force: true })).rejects.toThrow('(root)')
    expect(await keys()).toEqual(['root'])
  })

  it('with force never touches a volume that is held, and waits for the lease where that cannot be known', async () => {
    await format()
    const volume = await open()
    const before = await keys()
    for (judgement of ['alive', 'leaving'] as const) {
      await expect(format({ force: true })).rejects.toMatchObject({ code: 'EBUSY' })
    }
    expect(await keys()).toEqual(before)
    judgement = 'unknown'
    await format({ force: true, clock: hastyClock })
    volume.abandon()
  })

  it('with force does not wait for a holder that is known to be dead', async () => {
    await format()
    const volume = await open()
    volume.abandon()
    judgement = 'dead'
    await format({ force: true })
  })

  it('fails, and makes nothing, where the store fails the probe', async () => {
    const probe = () => Promise.reject(new Error('unsafe'))
    await expect(format({ probe })).rejects.toThrow('unsafe')
    expect(await keys()).toEqual([])
  })

  it('refuses names that cannot name a log, and segment sizes out of range', async () => {
    for (const name of ['', '../x', 'a/b', '.hidden', 'x'.repeat(64)]) {
      await expect(format({ name })).rejects.toMatchObject({ code: 'EINVAL' })
    }
  })
})

it.each([
  ['s3://bucket/a/photos/', 'photos'],
  ['s3://my.bucket', 'my.bucket'],
  ['file:///var/lib/vol 1', 'vol-1'],
  ['file:///', 'volume'],
])('the default name of %s is %s', (store, name) => expect(defaultName(store)).toBe(name))
