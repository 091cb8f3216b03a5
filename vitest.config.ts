// Projects: `unit` needs nothing but Node; `s3` needs a MinIO (CAIRNFS_TEST_S3); `mount` and `mount-alone` need /dev/fuse
// and a built dist/; `long` is what `scripts/test --full` adds. scripts/test provides all of it.
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Mount tests that others would disturb: by dropping the kernel's caches while they count requests or CPU time or list
 *  a directory, by their own requests to MinIO, by runtime files of the same user, by building dist/ anew. The others wait
 *  for much of their time and share nothing: two files run at a time. */
const ALONE = [
  ...['acl', 'bench', 'budgets', 'cli-user', 'listing', 'read-budgets', 'readdir', 'samba', 'transport', 'xattr'].map(
    (name) => `test/mount/${name}.test.ts`,
  ),
  'test/docs/**/*.test.ts',
]
/** Those that take a minute or more: begun last, they would run on beside nothing. */
const LONG_FILES = /\/test\/mount\/(programs|conformance|cli-unreachable|errors|kills|faults)\.test\.ts$/

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => LONG_FILES.test(moduleId)
    return (await super.sort(files)).sort((a, b) => Number(isLong(b)) - Number(isLong(a)))
  }
}

const project = (name: string, include: string[], extra: object = {}) => ({
  test: { name, include, testTimeout: 60_000, hookTimeout: 60_000, ...extra },
})
const patient = { testTimeout: 600_000, hookTimeout: 120_000 }
const oneAtATime = { ...patient, fileParallelism: false }

export default defineConfig({
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongFilesFirst },
    projects: [
      project('unit', ['test/**/*.test.ts'], {
        exclude: ['test/s3/**', 'test/mount/**', 'test/docs/**', 'test/long/**', 'node_modules/**'],
      }),
      project('s3', ['test/s3/**/*.test.ts'], oneAtATime),
      project('mount', ['test/mount/**/*.test.ts'], { ...patient, exclude: ALONE }),
      project('mount-alone', ALONE, oneAtATime),
      project('long', ['test/long/**/*.test.ts'], { ...oneAtATime, testTimeout: 3_600_000 }),
    ],
  },
})
