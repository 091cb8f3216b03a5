// A filesystem that is right, to compare with: ext4 in a file, mounted by a loop device.
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MountHarness, shellQuote } from './harness.ts'

/** Sparse. */
const IMAGE_BYTES = 2 ** 31

/** This machine can mount none: it says why. */
export class NoExt4 extends Error {}

/** Mounts it; `cleanUp` of the harness takes it away. Returns where. Rejects with NoExt4. */
export async function mountExt4(harness: MountHarness): Promise<string> {
  const image = join(harness.folder(), 'ext4.image')
  writeFileSync(image, '')
  truncateSync(image, IMAGE_BYTES)
  const mountpoint = harness.mountpoint('ext4')
  const making = `mkfs.ext4 -q -F ${shellQuote(image)} && mount -o loop ${shellQuote(image)} ${shellQuote(mountpoint)}`
  const { status, stderr } = await harness.run(making)
  if (status !== 0) throw new NoExt4(`no ext4 here: ${stderr.trim()}`)
  return mountpoint
}
