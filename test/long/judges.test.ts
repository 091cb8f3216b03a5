// Debian's programs as judges, at length.
import { afterEach, test } from 'vitest'
import { JUDGES, STRESSORS } from '../mount/judge-rounds.ts'
import { describeStores, Volumes } from '../mount/volume-fixture.ts'

const LENGTHS = { fioMiB: 64, stressSec: 60, dbenchSec: 10, pgbenchSec: 30, stressors: STRESSORS }
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores("Debian's programs, at length", (kind) => {
  test.each(JUDGES)('$name', async ({ judge }) => {
    const volume = await volumes.create(kind, { mount: ['--acl'] })
    await judge(volume, LENGTHS)
    await volume.unmount()
  })
})
