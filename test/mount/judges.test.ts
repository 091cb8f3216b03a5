// Debian's programs as judges, briefly, each on one kind of store; `scripts/test --full` lets them take their time (test/long/judges.test.ts).
import { afterEach, test } from 'vitest'
import { JUDGES } from './judge-rounds.ts'
import { brieflyOn, describeStores, Volumes } from './volume-fixture.ts'

const LENGTHS = {
  ...{ fioMiB: 8, stressSec: 1, dbenchSec: 3, pgbenchSec: 4 },
  stressors: ['dir', 'fallocate', 'filename', 'fpunch', 'iomix', 'link', 'rename', 'utime', 'xattr'],
}
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

for (const title of ['a local folder', 'MinIO'] as const)
  describeStores(
    "Debian's programs",
    (kind) => {
      test.each(JUDGES.filter(({ briefly }) => briefly === title))('$name', async ({ judge }) => {
        const volume = await volumes.create(kind, { mount: ['--memory', '256M', '--acl'] })
        await judge(volume, LENGTHS)
        await volume.unmount()
      })
    },
    brieflyOn(title),
  )
