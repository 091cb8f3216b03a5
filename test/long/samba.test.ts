// Samba on a directory of 100,000 files, and how much faster a name is found where the directory matches it.
import { existsSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { SharedDirectory, useByAnyCase } from '../mount/samba-share.ts'
import { describeStores, Volumes } from '../mount/volume-fixture.ts'

const ENTRIES = 100_000
const missing = existsSync('/usr/sbin/smbd') ? null : 'no samba: scripts/test installs it'
const volumes = new Volumes()
const shared: SharedDirectory[] = []
afterEach(async () => {
  for (const each of shared.splice(0)) await each.stop()
  await volumes.cleanUp()
})

describeStores('a share of 100,000 files', (kind) => {
  test('is used by any case, and creates and opens 60 times as fast as where Samba matches names', async (context) => {
    if (missing !== null) context.skip(missing)
    const volume = await volumes.create(kind)
    const share = new SharedDirectory(volume)
    shared.push(share)
    await share.start(ENTRIES)
    await useByAnyCase(share, volume, ENTRIES)
    const scanned = await share.timed('plain', ENTRIES, 15)
    for (const recipe of ['directory', 'module']) {
      const found = await share.timed(recipe, ENTRIES, 200)
      const [create, open] = [scanned.create / found.create, scanned.open / found.open]
      process.stderr.write(`samba, ${recipe}: create ${create.toFixed(0)} times, open ${open.toFixed(0)} times\n`)
      expect(create).toBeGreaterThan(60)
      expect(open).toBeGreaterThan(60)
    }
    await share.stop()
    await volume.unmount()
  })
})
