// geesefs, where CAIRNFS_PEER_GEESEFS names a binary. It answers sync and fsync from its memory.
import { peerBinary, probePeer } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import type { System } from './system.ts'

export const geesefs: System = {
  id: 'geesefs',
  title: 'geesefs',
  limits: { entries: 100_000, withLatency: [], reason: 'its listings with attributes are a HEAD of each key' },
  filling: 'created',
  note: 'geesefs answers fsync from its memory: what it still has to send is not in its figures.',
  probe: (workspace) => probePeer(workspace, 'geesefs', '--version'),
  async open(place) {
    const { minio, bucket, endpoint } = place
    await minio.createBucket(bucket)
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        { daemon: { program: peerBinary('geesefs'), args: ['-f', '--endpoint', endpoint, bucket, mountpoint] } },
      ],
    })
  },
}
