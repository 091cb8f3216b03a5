// Projects: `unit` needs nothing but Node; `s3` needs a MinIO (CAIRNFS_TEST_S3); `mount`, `mount-beside` and `mount-alone` need
// /dev/fuse and a built dist/; `long` is what `scripts/test --full` adds. scripts/test provides all of it.
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const tests = (...names: string[]) => names.map((name) => `test/${name}.test.ts`)
const mountTests = (...names: string[]) => tests(...names.map((name) => `mount/${name}`))

/** Those that count what MinIO is asked for, where who is slow to answer is asked twice, or every READ of the kernel's. */
const ALONE = mountTests('budgets', 'random-read', 'read-budgets')
/** Mount tests that other mount tests would disturb: by dropping the kernel's caches while they count the kernel's requests or
 *  list a directory, by runtime files of the same user, by building dist/ anew. Unit tests do nothing of that: scripts/test
 *  runs these, which wait for much of their time, beside those. */
const BESIDE = [
  ...mountTests('acl', 'bench', 'cli-user', 'listing', 'readdir', 'samba', 'transport', 'xattr'),
  'test/docs/**/*.test.ts',
]
/** Those that take longest, the longest first: begun last, they would run on beside nothing. */
const LONG_FILES = [
  ...mountTests('programs', 'kills', 'tree', 'errors', 'calls', 'cli-unreachable', 'faults', 'differential', 'binding'),
  ...mountTests('conformance', 'judges', 'memory'),
  ...tests('simulation/power', 'simulation/simulation', 'tables/crash', 'tables/tree-model', 'tables/mend'),
  ...tests('volume/fsck-worlds', 'simulation/mutations', 'simulation/evidence'),
]

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const index = LONG_FILES.findIndex((path) => moduleId.endsWith(`/${path}`))
      return index < 0 ? LONG_FILES.length : index
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

const project = (name: string, include: string[], extra: object = {}) => ({
  test: { name, include, testTimeout: 60_000, hookTimeout: 60_000, ...extra },
})
const patient = { testTimeout: 600_000, hookTimeout: 120_000 }
const oneAtATime = { ...patient, fileParallelism: false }

export default defineConfig({
  cacheDir: process.env.CAIRNFS_VITE_CACHE ?? 'node_modules/.vite',
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongFilesFirst },
    projects: [
      project('unit', ['test/**/*.test.ts'], {
        exclude: ['test/s3/**', 'test/mount/**', 'test/docs/**', 'test/long/**', 'node_modules/**'],
      }),
      project('s3', ['test/s3/**/*.test.ts'], oneAtATime),
      project('mount', ['test/mount/**/*.test.ts'], { ...patient, exclude: [...ALONE, ...BESIDE] }),
      project('mount-beside', BESIDE, oneAtATime),
      project('mount-alone', ALONE, oneAtATime),
      project('long', ['test/long/**/*.test.ts'], { ...oneAtATime, testTimeout: 3_600_000 }),
    ],
  },
})
