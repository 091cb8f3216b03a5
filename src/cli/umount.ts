// `cairnfs umount`: sync, unmount, and wait until the daemon has gone.
//
// Must stay true: whoever sees it return with 0 may pull the plug: everything is in the store, the slot is free and no
// process is left. When the sync fails, or files are in use, it stays mounted (exit status 1) unless forced.
import { Command } from 'commander'
import type { MountEntry } from '../fuse/index.ts'
import type { ControlClient } from './control-client.ts'
import { CommandError } from './errors.ts'
import { formatSize } from './units.ts'

/** A forced unmount does not wait for a daemon that does not answer. */
const FORCE_ANSWER_MS = 10_000

export function umountCommand(): Command {
  return new Command('umount')
    .summary('unmount, once everything is in the store')
    .description(
      'Brings everything that was written into the store, unmounts, and returns when the daemon has ended. If the store ' +
        'cannot be written to, or a program uses the mount, it stays mounted and the exit status is 1. umount(8) and ' +
        'fusermount3 -u work too; they do not wait.',
    )
    .argument('<DIR>', 'where it is mounted')
    .option('--force', 'give up what is not yet in the store, and say how much that is')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  cairnfs umount /mnt/vol\n' +
        '  cairnfs umount --force /mnt/vol     # the store is gone for good\n' +
        '  fuser -vm /mnt/vol                  # who uses it',
    )
    .action((dir: string, options: { force?: boolean }) => unmount(dir, { force: options.force === true }))
}

/** As the command; also what umount(8) runs through umount.fuse.cairnfs. */
export async function unmount(dir: string, { force }: { force: boolean }): Promise<void> {
  const { ControlClient, findCairnfsMount } = await import('./control-client.ts')
  const entry = findCairnfsMount(dir)
  const client = await ControlClient.connect(entry)
  if (client === null) return unmountOrphan(entry)
  if (force) await unmountByForce(client, entry)
  else await unmountInOrder(client)
}

async function unmountInOrder(client: ControlClient): Promise<void> {
  const { processEnded } = await import('./control-client.ts')
  const { showProgress } = await import('./progress.ts')
  const progress = await showProgress('syncing')
  try {
    const { pid } = await client.ask({ command: 'unmount', force: false }, { onProgress: progress.update })
    progress.stop()
    await client.closed
    await processEnded(pid)
  } finally {
    progress.stop()
    client.close()
  }
}

async function unmountByForce(client: ControlClient, entry: MountEntry): Promise<void> {
  const { processEnded } = await import('./control-client.ts')
  const { abortConnection, unmountAt } = await import('../fuse/index.ts')
  try {
    const { pid, lostBytes } = await client.ask({ command: 'unmount', force: true }, { answerMs: FORCE_ANSWER_MS })
    await client.closed
    await processEnded(pid)
    process.stderr.write(
      `cairnfs umount: gave up ${formatSize(lostBytes ?? 0)} (${lostBytes ?? 0} bytes) of unsynced data\n`,
    )
  } catch (error) {
    // The daemon hangs: cut it off from the kernel. It ends by itself if it ever runs again.
    if (process.geteuid!() === 0) abortConnection(entry.majorMinor)
    await unmountAt(entry.mountpoint, { mode: 'lazy' })
    throw new CommandError(
      `${entry.mountpoint} is unmounted, but its daemon does not answer and what it had not stored is lost: end its process`,
      1,
      { cause: error },
    )
  } finally {
    client.close()
  }
}

/** Nobody serves the mount. What its daemon had made durable is in the store; the next mount replays the journal. */
async function unmountOrphan(entry: MountEntry): Promise<void> {
  const { isDeadMount, unmountAt } = await import('../fuse/index.ts')
  const isDead = await isDeadMount(entry)
  await unmountAt(entry.mountpoint, { mode: isDead ? 'lazy' : 'normal' })
  const what = isDead ? 'its daemon had died; the next mount replays the journal' : 'its daemon could not be asked'
  process.stderr.write(`cairnfs umount: ${entry.mountpoint} is unmounted (${what})\n`)
}
