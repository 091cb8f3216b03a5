// Ordinary programs on a mounted volume at length: SQLite with 10,000 transactions in both journal modes, and a
// repository of more than 30,000 objects. The fast versions are in test/mount/programs.test.ts.
import { afterAll, afterEach, beforeAll, test } from 'vitest'
import { MountHarness } from '../mount/harness.ts'
import { gitWorks, makeRepository, repositoryIn } from '../mount/programs/git.ts'
import { transactionsComeBack } from '../mount/programs/sqlite.ts'
import { describeStores, Volumes } from '../mount/volume-fixture.ts'

const TRANSACTIONS = 10_000
const COMMITS = 250
const OBJECTS = 30_000
const LONG_MS = 1_800_000

const scratch = new MountHarness()
const volumes = new Volumes()
let folder: string

beforeAll(() => {
  folder = scratch.folder()
})
afterEach(() => volumes.cleanUp())
afterAll(() => scratch.cleanUp())

describeStores('programs work at length', (kind) => {
  test.each(['WAL', 'DELETE'] as const)('SQLite, journal mode %s: 10,000 transactions come back', async (mode) => {
    const volume = await volumes.create(kind)
    await transactionsComeBack(volume, { mode, count: TRANSACTIONS, timeoutMs: LONG_MS })
  })

  test('git clone, fsck and gc of a repository of more than 30,000 objects', async () => {
    const repository = `${repositoryIn(folder)}-${kind.title.replaceAll(' ', '-')}`
    await makeRepository(scratch, repository, COMMITS)
    const volume = await volumes.create(kind)
    await gitWorks(volume, { repository, objects: OBJECTS, timeoutMs: LONG_MS })
  })
})
