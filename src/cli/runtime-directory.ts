// Where the files of running daemons lie: control sockets and lock files, in RUN/cairnfs/. RUN is /run for root,
// $XDG_RUNTIME_DIR where that is set, else /tmp/cairnfs-UID.
//
// Must stay true: both directories below /tmp are ours alone (mode 0700, owner checked, no symbolic link), or somebody
// else could have put his socket there.
import { accessSync, constants, lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError, codeOf } from './errors.ts'

/** RUN/cairnfs of this process's user, made when it is missing. A $XDG_RUNTIME_DIR that cannot be used (after su it may
 *  be another user's) counts as unset. */
export function ownRuntimeDirectory(): string {
  const uid = process.geteuid!()
  if (uid === 0) return privateDirectory('/run/cairnfs', uid)
  const session = process.env.XDG_RUNTIME_DIR
  if (session !== undefined && isWritableDirectory(session)) return privateDirectory(join(session, 'cairnfs'), uid)
  return privateDirectory(join(privateDirectory(`/tmp/cairnfs-${uid}`, uid), 'cairnfs'), uid)
}

function isWritableDirectory(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK)
    return path.startsWith('/')
  } catch {
    // Missing or not ours: either way the fallback is taken.
    return false
  }
}

function privateDirectory(path: string, uid: number): string {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  const stat = lstatSync(path)
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
    throw new CommandError(`${path} is not a directory that only you can write to: remove it`)
  }
  return path
}

/** Where the daemon that serves a mount may have its socket. `uid` is the mount's user, as mountinfo says. */
export function socketCandidates(majorMinor: string, uid: number): string[] {
  const name = socketName(majorMinor)
  if (uid === 0) return [join('/run/cairnfs', name)]
  const own = uid === process.geteuid!() ? process.env.XDG_RUNTIME_DIR : undefined
  return [...new Set([own || `/run/user/${uid}`, `/run/user/${uid}`, `/tmp/cairnfs-${uid}`])].map((run) =>
    join(run, 'cairnfs', name),
  )
}

export function socketName(majorMinor: string): string {
  return `${majorMinor.replace(':', '-')}.sock`
}

export function lockName(uuid: string, slot: number): string {
  return `${uuid}-${slot}.lock`
}
