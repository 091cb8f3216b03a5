// libmount's table of what the kernel does not know, /run/mount/utab. umount(8) as root asks statfs(2) for the type of
// what it unmounts, gets `fuse`, and never finds umount.fuse.cairnfs, unless utab has a line for the mount. So where that
// helper is installed, a mount gets one; mount(8) and umount(8) themselves write it, by their --fake.
//
// Must stay true: this is a courtesy to umount(8): what goes wrong here is logged and hinders nothing. The programs run
// as children under a deadline; --no-canonicalize keeps them from asking the mount.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { MOUNT_TYPE } from '../fuse/index.ts'
import type { Logger } from '../observe/index.ts'

const UMOUNT_HELPER = `/sbin/umount.${MOUNT_TYPE}`
const DEADLINE_MS = 3_000

/** Adds a mount's line. False when there is no need. */
export async function noteInUtab(source: string, mountpoint: string, log: Logger): Promise<boolean> {
  if (process.geteuid!() !== 0 || !existsSync(UMOUNT_HELPER)) return false
  const options = ['-t', MOUNT_TYPE, '-o', `uhelper=${MOUNT_TYPE}`]
  return runFake('mount', [...options, '--', source, mountpoint], log)
}

/** Takes the line away again. */
export async function forgetInUtab(mountpoint: string, log: Logger): Promise<void> {
  await runFake('umount', ['--', mountpoint], log)
}

function runFake(program: string, args: string[], log: Logger): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, ['--fake', '--no-canonicalize', '--internal-only', ...args], {
      stdio: 'ignore',
      timeout: DEADLINE_MS,
    })
    child.once('error', (error) => {
      log.info(`${program} cannot be run: umount(8) will not wait for this mount's daemon`, { error })
      resolve(false)
    })
    child.once('exit', (status) => {
      if (status !== 0) log.info(`${program} --fake ended with ${status}: umount(8) may not find this mount's helper`)
      resolve(status === 0)
    })
  })
}
