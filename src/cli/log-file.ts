// Where a daemon's log goes: standard error with -f, else /var/log/cairnfs/NAME.log for root and
// ~/.local/state/cairnfs/NAME.log for others.
import { openSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { makeFolders } from '../platform/index.ts'
import { CommandError, codeOf } from './errors.ts'

/** Opens the log file of a volume (its name is checked: NAME_PATTERN) for appending; made, with its directory, when it is
 *  missing. */
export function openLogFile(volumeName: string): { path: string; fd: number } {
  const directory = process.geteuid!() === 0 ? '/var/log/cairnfs' : join(homedir(), '.local/state/cairnfs')
  const path = join(directory, `${volumeName}.log`)
  try {
    makeFolders(directory, 0o750)
    return { path, fd: openSync(path, 'a', 0o640) }
  } catch (error) {
    throw new CommandError(`the log ${path} cannot be written (${codeOf(error)}): check its directory, or use -f`, 1, {
      cause: error,
    })
  }
}
