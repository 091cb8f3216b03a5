// Making folders in one turn. Node's own recursive mkdir tries for ever where a folder that is there answers ENOENT, as /proc
// does.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** Makes a folder and those missing above it, all with this mode; what is there already stays as it is. Throws what mkdir(2)
 *  says. */
export function makeFolders(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    makeFolders(dirname(path), mode)
    mkdirSync(path, { mode })
  }
}
