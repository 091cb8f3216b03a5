// Spelling a name anew, within the daemon: the kernel keeps a rename that changes case alone to itself, as both names lead it
// to one inode.
import { type Filesystem, type Ino, ROOT_INO } from '../vfs/index.ts'
import { CommandError, codeOf } from './errors.ts'

/** Whoever may ask the daemon may do what it may. */
const CALLER = { uid: process.geteuid!(), gid: process.getegid!(), pid: process.pid }

/** Gives the entry that `name` finds in a directory that very spelling. The directory is given by its names from the root on.
 *  Resolves to the inodes that have changed: the directory's, and what the entry leads to. */
export async function respell(filesystem: Filesystem, directory: readonly string[], name: string): Promise<[Ino, Ino]> {
  const held: Ino[] = []
  const step = async (parent: Ino, part: string): Promise<Ino> => {
    const { attributes } = await filesystem.lookup(CALLER, parent, Buffer.from(part))
    held.push(attributes.ino)
    return attributes.ino
  }
  try {
    let parent = ROOT_INO
    for (const part of directory) parent = await step(parent, part)
    const ino = await step(parent, name)
    const there = { parent, name: Buffer.from(name) }
    await filesystem.rename(CALLER, there, there, 0)
    return [parent, ino]
  } catch (error) {
    const path = [...directory, name].join('/')
    const code = codeOf(error)
    if (code === 'EROFS') throw new CommandError(`${path} is on a read-only mount: mount it for writing`)
    if (code !== 'ENOENT') throw error
    throw new CommandError(
      `${path} is not there in any case (unless its directory tells case apart: lsattr -d shows F where it does not): ` +
        'cairnfs recase takes a name as it is to be spelled',
    )
  } finally {
    for (const ino of held) filesystem.forget(ino, 1)
  }
}
