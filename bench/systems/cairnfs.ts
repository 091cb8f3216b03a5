// cairnfs itself, as its users run it: dist/main.js, with the options that are the default.
import { join } from 'node:path'
import { REGION } from '../minio.ts'
import { REPOSITORY } from '../programs/index.ts'
import { probeProgram } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import { NO_LIMITS, type System } from './system.ts'

/** Where root's daemons have their locks and sockets. */
const RUN = '/run/cairnfs'
const MAIN = join(REPOSITORY, 'dist/main.js')

export const cairnfs: System = {
  id: 'cairnfs',
  title: 'cairnfs',
  limits: NO_LIMITS,
  filling: 'created',
  probe: (workspace) => probeProgram(workspace, MAIN, '--version'),
  async open(place) {
    const { workspace, endpoint, bucket, name } = place
    const store = `s3://${bucket}/volume`
    const options = ['--endpoint', endpoint, '--path-style', '--region', REGION]
    const run = (...args: string[]) => ({ program: process.execPath, args: [MAIN, ...args] })
    const format = run('format', store, '--name', name, '--create-bucket', ...options)
    const uuid = /uuid (\S+)/.exec(await workspace.expect(format, { limitMs: 60_000 }))?.[1]
    return MountedInstance.mount(place, {
      steps: (mountpoint) => [
        // The pool's size is in the environment already: the daemon need not start itself again.
        { daemon: { ...run('mount', '-f', store, mountpoint, ...options), env: { UV_THREADPOOL_SIZE: '8' } } },
      ],
      unmount: (mountpoint) => run('umount', mountpoint),
      filesLeftByForce: (device) => [
        join(RUN, `${uuid}-0.lock`),
        ...(device === null ? [] : [join(RUN, `${device.replace(':', '-')}.sock`)]),
      ],
      unmountByForce: (mountpoint) => run('umount', '--force', mountpoint),
    })
  },
}
