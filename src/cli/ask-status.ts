// Asking a mount's daemon for its status, once or again and again.
import type { MountStatus } from './control-protocol.ts'
import { CommandError } from './errors.ts'

export interface StatusSource {
  /** Throws CommandError when the daemon is gone, or does not answer in time. */
  status(): Promise<MountStatus>
  /** Now: mount -o remount,ro may have made it so, of which the daemon hears nothing. */
  isReadOnlyToKernel: boolean
  close(): void
}

/** Connects to the daemon of the mount at `dir`. */
export async function askStatus(dir: string): Promise<StatusSource> {
  const { ANSWER_MS, ControlClient, findCairnfsMount } = await import('./control-client.ts')
  const entry = findCairnfsMount(dir)
  const client = await ControlClient.connect(entry)
  if (client === null) {
    throw new CommandError(`${dir} has no daemon any more: mounting it again (or cairnfs umount) repairs that`)
  }
  return {
    isReadOnlyToKernel: [entry.options, entry.superOptions].some((words) => words.split(',').includes('ro')),
    async status() {
      const { status } = await client.ask({ command: 'status' }, { answerMs: ANSWER_MS })
      if (status === undefined) throw new CommandError('the daemon sent no status: its version of cairnfs is another')
      return status
    },
    close: () => client.close(),
  }
}
