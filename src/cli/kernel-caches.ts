// What the kernel caches, when it is no longer so and the kernel cannot know: all of a read-only mount that has gone on to a
// newer state; a name in a folding directory that went by another spelling; and what was absent in a directory before it
// folded.
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

/** Has the kernel forget a name, or all. Never rejects, and begins at once. */
export async function dropKernelName(mounted: Mounted, parent: Ino, name: Buffer | null, log: Logger): Promise<void> {
  try {
    if (name === null) await mounted.invalidateNames()
    else await mounted.invalidateEntry(parent, name)
  } catch (error) {
    const what = name === null ? 'miss names of other spellings' : `show '${name}'`
    log.warn(`the kernel may ${what} for up to an hour: ${describeError(error)}`)
  }
}
