// Projects: `unit` needs nothing but Node; `s3` needs a MinIO (CAIRNFS_TEST_S3); `mount` needs /dev/fuse and a built
// dist/; `long` is what `scripts/test --full` adds. scripts/test provides all of it.
import { defineConfig } from 'vitest/config'

const project = (name: string, include: string[], extra: object = {}) => ({
  test: { name, include, testTimeout: 60_000, hookTimeout: 60_000, ...extra },
})
const oneAtATime = { fileParallelism: false, testTimeout: 600_000, hookTimeout: 120_000 }

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project('unit', ['test/**/*.test.ts'], {
        exclude: ['test/s3/**', 'test/mount/**', 'test/docs/**', 'test/long/**', 'node_modules/**'],
      }),
      project('s3', ['test/s3/**/*.test.ts'], oneAtATime),
      project('mount', ['test/mount/**/*.test.ts', 'test/docs/**/*.test.ts'], oneAtATime),
      project('long', ['test/long/**/*.test.ts'], { ...oneAtATime, testTimeout: 3_600_000 }),
    ],
  },
})
