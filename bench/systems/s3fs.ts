// s3fs: a file is an object, and its attributes are headers: listing them is a HEAD of each key.
import { probeProgram } from './binaries.ts'
import { KEYS } from './keys.ts'
import { MountedInstance } from './mounted.ts'
import type { System } from './system.ts'

export const s3fs: System = {
  id: 's3fs',
  title: 's3fs',
  limits: {
    entries: 100_000,
    // Each of them is a HEAD of each key, as `ls -lU` is.
    entriesOf: { 'first-entry': 10_000, 'ls-f': 10_000, 'find-size': 10_000 },
    withLatency: [],
    reason: 'every listing is a HEAD of each key, and takes as long as `ls -lU`',
  },
  filling: KEYS,
  note:
    's3fs lists objects that were put straight into a bucket: creating them through it takes minutes. Its cache of ' +
    'attributes has room for all of them (max_stat_cache_size).',
  probe: (workspace) => probeProgram(workspace, 's3fs', '--version'),
  open(place) {
    const { bucket, endpoint, folder } = place
    const options = [`url=${endpoint}`, 'use_path_request_style', `tmpdir=${folder}`, 'max_stat_cache_size=2000000']
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        { daemon: { program: 's3fs', args: [bucket, mountpoint, '-f', ...options.flatMap((word) => ['-o', word])] } },
      ],
    })
  },
}
