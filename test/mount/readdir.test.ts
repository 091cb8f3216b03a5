// Directories listed through a real kernel while they change: programs/listing.py judges by POSIX what readdir, seekdir and
// getdents show. OPENDIR is answered with ENOSYS, so the kernel keeps listings of its own, which go when something changes.
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MountHarness, shellQuote } from './harness.ts'
import { PROGRAMS } from './programs/manifest.ts'
import { brieflyOn, describeStores, Volumes } from './volume-fixture.ts'

const SEEDS = 5
const STEPS = 1500
const PASSES = 15
const LONG_MS = 300_000

const listing = (...args: (string | number)[]) =>
  ['python3', join(PROGRAMS, 'listing.py'), ...args.map(String)].map(shellQuote).join(' ')

/** What the program counted. */
type Count = Record<'passes' | 'entries' | 'seeks' | 'changes', number>

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores(
  'a directory listed through the kernel while it changes',
  (kind) => {
    test('shows what was there all along exactly once, to streams that go back and begin again', async () => {
      const volume = await volumes.create(kind)
      const total: Count = { passes: 0, entries: 0, seeks: 0, changes: 0 }
      for (let seed = 1; seed <= SEEDS; seed++) {
        const count = JSON.parse(
          await volume.shell(listing('model', 'd', seed, STEPS), { timeoutMs: LONG_MS }),
        ) as Count
        for (const what of Object.keys(total) as (keyof Count)[]) total[what] += count[what]
        if (seed % 2 === 1) await volume.remountCold()
      }
      expect(total.passes).toBeGreaterThan(SEEDS * 10)
      expect(total.seeks).toBeGreaterThan(SEEDS * 10)
      expect(total.changes).toBeGreaterThan(SEEDS * 100)
      await volume.unmount()
    })

    test('shows it to readers whose requests overlap with those of others that change it', async () => {
      const volume = await volumes.create(kind)
      await volume.shell('mkdir folding; chattr +F folding')
      for (const [seed, directory] of ['plain', 'folding/d'].entries()) {
        const run = volume.shell(listing('race', directory, seed, PASSES), { timeoutMs: LONG_MS })
        expect(JSON.parse(await run)).toMatchObject({ passes: 3 * PASSES })
      }
      await volume.unmount()
    })

    test('shows a stream that goes on all of it, where what another has listed since ends with a page', async () => {
      const volume = await volumes.create(kind)
      expect(JSON.parse(await volume.shell(listing('page', 'd')))).toMatchObject({ entries: 1280 })
      await volume.unmount()
    })
  },
  brieflyOn('MinIO'),
)

describe('the program that judges', () => {
  const harness = new MountHarness()
  let folder: string
  beforeEach(() => {
    folder = harness.folder()
  })
  afterEach(() => harness.cleanUp())

  test.each(['drops', 'repeats', 'invents', 'forgets'])('notices a stream that %s', async (flaw) => {
    for (const how of [listing('model', 'm', 1, STEPS, flaw), listing('race', 'r', 1, PASSES, flaw)])
      expect(await harness.run(how, { cwd: folder })).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('Wrong: '),
      })
  })
})
