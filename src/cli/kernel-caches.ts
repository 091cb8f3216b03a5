// What the kernel caches, when it is no longer so and the kernel cannot know: all of a read-only mount that has gone on to a
// newer state; and a name in a folding directory that went by another spelling.
import type { Mounted } from '../fuse/index.ts'
import type { Logger } from '../observe/index.ts'
import { type Ino, ROOT_INO } from '../vfs/index.ts'
import { describeError } from './errors.ts'

/** Has the kernel drop all it knows of these inodes and of the root, and ask again for every name. Never rejects: what cannot be dropped
 *  is old, not wrong. */
export async function dropKernelCaches(mounted: Mounted, known: readonly Ino[], log: Logger): Promise<void> {
  try {
    await mounted.invalidateNames()
  } catch (error) {
    log.warn(`the kernel may show names of the older state for up to an hour: ${describeError(error)}`)
  }
  try {
    // One at a time: there may be very many.
    for (const ino of [ROOT_INO, ...known]) await mounted.invalidateInode(ino, 0, 0)
  } catch (error) {
    log.warn(`the kernel may show data of the older state: ${describeError(error)}`)
  }
}

/** Has the kernel forget a name. Never rejects, and begins at once. */
export async function dropKernelName(mounted: Mounted, parent: Ino, name: Buffer, log: Logger): Promise<void> {
  try {
    await mounted.invalidateEntry(parent, name)
  } catch (error) {
    log.warn(`the kernel may show '${name}' for up to an hour: ${describeError(error)}`)
  }
}
