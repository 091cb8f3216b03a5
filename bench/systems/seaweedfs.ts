// SeaweedFS on its own store, a folder: it has no use for a bucket underneath.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../waiting.ts'
import { logEnd } from '../workspace.ts'
import { peerBinary, probePeer } from './binaries.ts'
import { hasEnded, MountedInstance } from './mounted.ts'
import { freePorts } from './ports.ts'
import type { System } from './system.ts'

const START_MS = 60_000

export const seaweedfs: System = {
  id: 'seaweedfs',
  title: 'SeaweedFS',
  limits: { entries: 10_000, withLatency: [], reason: 'it takes minutes to create and to remove more' },
  filling: 'created',
  note:
    'SeaweedFS is not on MinIO but on a store of its own, on the same disk, without added latency; its server stays warm, ' +
    'and CPU and memory count it.',
  // "version 8000GB 4.48": the size is no version.
  probe: (workspace) => probePeer(workspace, 'weed', 'version'),
  async open(place) {
    const { workspace, folder, name } = place
    const data = workspace.makeFolder(join(name, 'data'))
    const cache = join(folder, 'cache')
    const [master, masterGrpc, volume, volumeGrpc, filer, filerGrpc] = await freePorts(6)
    const log = join(folder, 'server.log')
    const program = peerBinary('weed')
    const server = workspace.start(
      {
        program,
        args: [
          `-logdir=${folder}`,
          'server',
          ...[`-dir=${data}`, '-ip=127.0.0.1', '-ip.bind=127.0.0.1', '-master.telemetry=false'],
          ...[`-master.port=${master}`, `-master.port.grpc=${masterGrpc}`],
          ...[`-volume.port=${volume}`, `-volume.port.grpc=${volumeGrpc}`],
          ...['-filer', `-filer.port=${filer}`, `-filer.port.grpc=${filerGrpc}`],
          `-filer.localSocket=${join(folder, 'filer.sock')}`,
        ],
      },
      { part: name, log },
    )
    // It puts them there, whatever TMPDIR says, and leaves them.
    workspace.onCleanUp('the sockets of SeaweedFS', () => {
      for (const socket of [`master-grpc-${masterGrpc}`, `volume-grpc-${volumeGrpc}`, `filer-grpc-${filerGrpc}`]) {
        rmSync(`/tmp/seaweedfs-${socket}.sock`, { force: true })
      }
    })
    let isAnswering = false
    const ask = async () => {
      while (!isAnswering && !hasEnded(server)) {
        isAnswering = await fetch(`http://127.0.0.1:${filer}/`).then(
          () => true,
          () => new Promise<boolean>((resolve) => setTimeout(resolve, 100, false)),
        )
      }
    }
    void ask()
    await until(START_MS, 'SeaweedFS', () => isAnswering || hasEnded(server))
    if (hasEnded(server)) throw new Error(`weed server did not come up: ${logEnd(log)}`)
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        {
          daemon: {
            program,
            args: [
              `-logdir=${folder}`,
              'mount',
              ...[`-filer=127.0.0.1:${filer}.${filerGrpc}`, `-dir=${mountpoint}`, `-cacheDir=${cache}`],
              `-localSocket=${join(folder, 'mount.sock')}`,
            ],
          },
        },
      ],
      cacheFolders: [cache],
    })
  },
}
