// Debian's programs as judges, briefly; `scripts/test --full` lets them take their time (test/long/judges.test.ts).
import { afterEach, test } from 'vitest'
import { JUDGES } from './judge-rounds.ts'
import { describeStores, Volumes } from './volume-fixture.ts'

const LENGTHS = {
  ...{ fioMiB: 8, stressSec: 1, dbenchSec: 3, pgbenchSec: 4 },
  stressors: ['dir', 'fallocate', 'filename', 'fpunch', 'iomix', 'link', 'rename', 'utime', 'xattr'],
}
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores("Debian's programs", (kind) => {
  test.each(JUDGES)('$name', async ({ judge }) => {
    const volume = await volumes.create(kind, { mount: ['--memory', '256M', '--acl'] })
    await judge(volume, LENGTHS)
    await volume.unmount()
  })
})
