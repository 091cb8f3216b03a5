// rclone mount, with its cache of files on the disk, as its manual advises.
import { join } from 'node:path'
import { REGION } from '../minio.ts'
import { peerBinary, probePeer } from './binaries.ts'
import { KEYS } from './keys.ts'
import { MountedInstance } from './mounted.ts'
import type { System } from './system.ts'

export const rclone: System = {
  id: 'rclone',
  title: 'rclone',
  limits: {
    entries: 10_000,
    withLatency: [],
    reason: 'its listings with attributes are a HEAD of each key, one by one',
  },
  filling: KEYS,
  note:
    'rclone lists objects that were put straight into a bucket, and asks each for its time of modification, as is its ' +
    'default (--use-server-modtime would not).',
  probe: (workspace) => probePeer(workspace, 'rclone', 'version'),
  open(place) {
    const { bucket, endpoint, folder } = place
    const cache = join(folder, 'cache')
    const remote = `:s3,provider=Minio,env_auth,force_path_style=true,region=${REGION},endpoint='${endpoint}':${bucket}`
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        {
          daemon: {
            program: peerBinary('rclone'),
            args: ['mount', remote, mountpoint, '--vfs-cache-mode', 'full', '--cache-dir', cache],
            // No configuration of the user's.
            env: { RCLONE_CONFIG: '/dev/null' },
          },
        },
      ],
      cacheFolders: [cache],
    })
  },
}
