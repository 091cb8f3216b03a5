// No filesystem: cairnfs's own client of S3, which puts and gets segments of 8 MiB, as many at once as a mount does. What
// a filesystem over it cannot be faster than.
import { rawStore } from '../programs/index.ts'
import type { Instance, Place, System } from '../systems/index.ts'
import { dropCaches } from '../systems/mounted.ts'
import type { Command } from '../workspace.ts'

export const raw: System = {
  id: 'raw',
  title: 'raw client',
  limits: { entries: Number.POSITIVE_INFINITY, withLatency: 'all', reason: null },
  isFilesystem: false,
  filling: 'created',
  note:
    '"raw client" is no filesystem: cairnfs\'s own client of S3 puts and gets objects of 8 MiB, 20 at a time; the time is ' +
    'from its first request on, CPU that of the whole program.',
  probe: async () => ({ version: '' }),
  open: async (place): Promise<Instance> => ({
    directory: '',
    mountpoints: [],
    barrier: { program: 'true', args: [] },
    unmountCold: () => dropCaches(place),
    mountAgain: async () => {},
    daemons: () => [],
    connection: () => null,
    recover: async () => {},
    stop: async () => {},
  }),
}

/** What runs there in the place of a workload's command. */
export function onRaw(mode: 'write' | 'read', { bucket, endpoint }: Place, sizeBytes: number): Command {
  return rawStore(mode, `s3://${bucket}`, endpoint, sizeBytes)
}
