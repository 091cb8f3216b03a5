// ZeroFS, where CAIRNFS_PEER_ZEROFS names a binary: a server, and its own FUSE client over a socket.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { REGION } from '../minio.ts'
import { peerBinary, probePeer } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import type { System } from './system.ts'

export const zerofs: System = {
  id: 'zerofs',
  title: 'ZeroFS',
  limits: { entries: 100_000, withLatency: [], reason: 'it takes minutes to create and to remove more' },
  filling: 'created',
  note: 'ZeroFS encrypts and compresses. CPU and memory are those of its server and its FUSE client.',
  probe: (workspace) => probePeer(workspace, 'zerofs', '--version'),
  async open(place) {
    const { minio, bucket, endpoint, folder } = place
    await minio.createBucket(bucket)
    const program = peerBinary('zerofs')
    const [config, socket, cache] = [join(folder, 'zerofs.toml'), join(folder, '9p.sock'), join(folder, 'cache')]
    writeFileSync(config, configuration({ bucket, endpoint, socket, cache }), { mode: 0o600 })
    return MountedInstance.mount(place, {
      steps: (mountpoint) => {
        rmSync(socket, { force: true })
        return [
          { daemon: { program, args: ['run', '-c', config] }, isReady: () => existsSync(socket) },
          { daemon: { program, args: ['mount', '--access', 'all', `unix:${socket}`, mountpoint] } },
        ]
      },
      cacheFolders: [cache],
    })
  },
}

function configuration(at: { bucket: string; endpoint: string; socket: string; cache: string }): string {
  return `[cache]
dir = "${at.cache}"
disk_size_gb = 4.0
memory_size_gb = 1.0

[storage]
url = "s3://${at.bucket}/volume"
encryption_password = "of the benchmark"

[servers.ninep]
unix_socket = "${at.socket}"

[aws]
access_key_id = "${process.env.AWS_ACCESS_KEY_ID}"
secret_access_key = "${process.env.AWS_SECRET_ACCESS_KEY}"
endpoint = "${at.endpoint}"
default_region = "${REGION}"
allow_http = "true"

[telemetry]
enabled = false
`
}
