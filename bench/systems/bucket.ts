// No filesystem: the same number of keys listed straight from MinIO by the SDK, which is what a filesystem that keeps a
// file in an object cannot be faster than.
import { listBucket } from '../programs/index.ts'
import { type BucketMode, type Figures, lookups, type Output } from '../workloads/index.ts'
import { KEYS } from './keys.ts'
import type { System } from './system.ts'

export const bucket: System = {
  id: 'bucket',
  title: 'keys in MinIO',
  limits: {
    entries: 100_000,
    withLatency: ['first-entry', 'ls-f', 'find-size', 'stat', 'stat-missing'],
    reason:
      'a HEAD of 100,000 keys, 20 at a time, takes minutes where latency is added, as does putting a million keys',
  },
  filling: KEYS,
  isFilesystem: false,
  note:
    '"keys in MinIO" is no filesystem: ListObjectsV2 by the AWS SDK for names and sizes, a HEAD of each key besides for ' +
    '`ls -lU`, as s3fs does it; before that one HEAD, of the directory; ' +
    'CPU is that of the program.',
  probe: async () => ({ version: '' }),
  async open({ endpoint, bucket: name, entries }) {
    return {
      directory: '',
      mountpoints: [],
      barrier: { program: 'true', args: [] },
      unmountCold: async () => {},
      mountAgain: async () => {},
      translate: ({ onBucket }, temperature) =>
        // There is nothing that could be warm.
        onBucket === null || temperature === 'warm'
          ? null
          : {
              command: listBucket(onBucket, endpoint, name, ...lookups(entries, temperature)),
              judge: (output) => judge(output, expectedKeys(onBucket, entries)),
            },
      daemons: () => [],
      connection: () => null,
      recover: async () => {},
      stop: async () => {},
    }
  },
}

/** How many keys the program must see; null: at least one. */
function expectedKeys(mode: BucketMode, entries: number): number | null {
  switch (mode) {
    case 'names':
    case 'attributes':
      return entries
    case 'first':
      return null
    case 'stat':
      return 1
    case 'missing':
      return 0
  }
}

function judge({ lastLine }: Output, expected: number | null): Figures {
  const { seconds, keys } = JSON.parse(lastLine) as { seconds: number; keys: number }
  if (expected === null ? keys === 0 : keys !== expected) throw new Error(`saw ${keys} keys in place of ${expected}`)
  return { seconds }
}
