// The ceiling: ext4 in a file on the local disk. No store, no network, no daemon.
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probeProgram } from './binaries.ts'
import { MountedInstance } from './mounted.ts'
import type { System } from './system.ts'

/** Sparse. */
const IMAGE_BYTES = 8 * 2 ** 30

export const ext4: System = {
  id: 'ext4',
  title: 'ext4',
  limits: {
    entries: Number.POSITIVE_INFINITY,
    withLatency: [],
    reason: 'it sends no requests to which latency could be added',
  },
  filling: 'created',
  note: 'ext4 is the ceiling: an image on the local disk, mounted by a loop device.',
  async probe(workspace) {
    if (process.geteuid!() !== 0) return { missing: 'loop devices need root' }
    return probeProgram(workspace, 'mkfs.ext4', '-V')
  },
  async open(place) {
    const { workspace, folder, entries } = place
    const image = join(folder, 'ext4.image')
    writeFileSync(image, '')
    truncateSync(image, IMAGE_BYTES)
    const inodes = String(Math.ceil(entries * 1.1) + 1000)
    await workspace.expect(
      { program: 'mkfs.ext4', args: ['-q', '-F', '-E', 'lazy_itable_init=0', '-N', inodes, image] },
      { limitMs: 120_000 },
    )
    return MountedInstance.mount(place, {
      // fsync(2) of its root would wait for the last change of that directory alone.
      barrier: (mountpoint) => ({ program: 'sync', args: ['--file-system', mountpoint] }),
      steps: (mountpoint) => [{ command: { program: 'mount', args: ['-o', 'loop', image, mountpoint] } }],
    })
  },
}
