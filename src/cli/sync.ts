// `cairnfs sync`: the barrier. fsync(2) of a mount's root directory does what syncfs(2) should (syncfs never reaches a
// FUSE daemon): everything written before, names and data, is durable when it returns. What programs changed in mapped memory,
// and what the kernel holds back (-o writeback), has not reached the daemon yet: syncfs has it sent.
import { Command } from 'commander'
import { CommandError, codeOf } from './errors.ts'
import type { Progress } from './progress.ts'

const PROGRESS_MS = 200

export function syncCommand(): Command {
  return new Command('sync')
    .summary('make everything written so far durable')
    .description(
      'Returns when everything written to the mount before, names and data, is durable in its store: the fsync(2) of ' +
        'its root directory. Plain sync(1) does not wait for a FUSE filesystem. While the store does not answer, or is ' +
        'full, it waits for some minutes before it fails, and cannot be interrupted: cairnfs umount --force ends it.',
    )
    .argument('<DIR>', 'where it is mounted')
    .addHelpText('after', '\nExample:\n  cp -a photos /mnt/vol/ && cairnfs sync /mnt/vol')
    .action(syncMount)
}

async function syncMount(dir: string): Promise<void> {
  const { ControlClient, findCairnfsMount } = await import('./control-client.ts')
  const { showProgress } = await import('./progress.ts')
  const { open } = await import('node:fs/promises')
  const { FsError, libc } = await import('../platform/index.ts')
  const entry = findCairnfsMount(dir)
  const progress = await showProgress('syncing')
  // The barrier does not need the daemon's socket; only the bar does.
  const client = process.stderr.isTTY ? await ControlClient.connect(entry).catch(() => null) : null
  const stopPolling = client === null ? () => {} : pollDirtyBytes(client, progress)
  try {
    const directory = await open(entry.mountpoint, 'r')
    try {
      const sent = await libc().syncfsAsync(directory.fd)
      if (sent < 0) throw new FsError('EIO', `the kernel could not send what it had (errno ${-sent})`)
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (error) {
    throw new CommandError(`${dir} is not synced (${codeOf(error) ?? error}): ${await causeOf(entry.mountpoint)}`, 1, {
      cause: error,
    })
  } finally {
    stopPolling()
    progress.stop()
    client?.close()
  }
}

/** What the daemon has to say on why it cannot write. */
async function causeOf(mountpoint: string): Promise<string> {
  const { ANSWER_MS, ControlClient, findCairnfsMount } = await import('./control-client.ts')
  try {
    const client = await ControlClient.connect(findCairnfsMount(mountpoint))
    const reply = await client?.ask({ command: 'status' }, { answerMs: ANSWER_MS })
    client?.close()
    return reply?.status?.failure ?? (client === null ? 'its daemon is gone: mount it again' : "see the daemon's log")
  } catch {
    // The error that is being told is the fsync's; this was only about its cause.
    return "see the daemon's log"
  }
}

type Client = Awaited<ReturnType<typeof import('./control-client.ts').ControlClient.connect>>

function pollDirtyBytes(client: NonNullable<Client>, progress: Progress): () => void {
  let isAsking = false
  const timer = setInterval(async () => {
    if (isAsking) return
    isAsking = true
    try {
      const { status } = await client.ask({ command: 'status' })
      if (status !== undefined) progress.update(status.dirtyBytes)
    } catch {
      // The bar stands still; the fsync tells what is wrong.
      clearInterval(timer)
    } finally {
      isAsking = false
    }
  }, PROGRESS_MS)
  return () => clearInterval(timer)
}
