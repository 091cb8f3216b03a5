// `cairnfs status`: what a mount's daemon says of itself.
import { Command } from 'commander'
import type { MountStatus } from './control-protocol.ts'
import { CommandError } from './errors.ts'
import { formatDuration, formatSize } from './units.ts'

export function statusCommand(): Command {
  return new Command('status')
    .summary('show what a mount is doing')
    .description(
      'Shows a mount: its volume and store, how much is written and not yet in the store, the journal, the caches, and ' +
        'the requests it has sent since it was mounted, those that were tried again included. The daemon is asked over ' +
        'its socket; the mount itself is not touched, so that a hung one can be looked at.',
    )
    .argument('<DIR>', 'where it is mounted')
    .option('--json', 'one JSON object, for programs')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  cairnfs status /mnt/vol\n' +
        "  cairnfs status /mnt/vol --json | jq '.dirtyBytes, .requests.put'",
    )
    .action(async (dir: string, options: { json?: boolean }) => {
      const status = await askStatus(dir)
      process.stdout.write(options.json ? `${JSON.stringify(status)}\n` : formatStatus(status))
    })
}

async function askStatus(dir: string): Promise<MountStatus> {
  const { ANSWER_MS, ControlClient, findCairnfsMount } = await import('./control-client.ts')
  const client = await ControlClient.connect(findCairnfsMount(dir))
  if (client === null) {
    throw new CommandError(`${dir} has no daemon any more: mounting it again (or cairnfs umount) repairs that`)
  }
  const { status } = await client.ask({ command: 'status' }, { answerMs: ANSWER_MS })
  client.close()
  if (status === undefined) throw new CommandError('the daemon sent no status: its version of cairnfs is another')
  return status
}

function modeOf({ readOnly, failure }: MountStatus): string {
  if (readOnly) return 'read-only'
  return failure === null ? 'for writing' : 'takes no changes now: see failure'
}

/** The status as lines for people. */
export function formatStatus(status: MountStatus): string {
  const { journal, checkpoint, cache, clean, requests } = status
  const rows: [string, string][] = [
    ['volume', `${status.volume.name} (${status.volume.uuid})`],
    ['store', status.store],
    ['mounted', `${status.mountpoint}, ${modeOf(status)}`],
    ['daemon', `pid ${status.pid}, cairnfs ${status.version}, up ${formatDuration(status.uptimeSec * 1000)}`],
    ['dirty', formatSize(status.dirtyBytes)],
    [
      'journal',
      `${journal.objects} objects, ${formatSize(journal.bytes)}; ${formatSize(journal.unacknowledgedBytes)} on the way` +
        (journal.replayedCommits > 0 ? `; ${journal.replayedCommits} commits replayed at the mount` : ''),
    ],
    [
      'checkpoint',
      `number ${checkpoint.number}, epoch ${checkpoint.epoch}; ${formatSize(checkpoint.changeBytes)} changed since`,
    ],
    [
      'cache',
      `${formatSize(cache.blockBytes)} of data, ${formatSize(cache.pageBytes)} of metadata; ` +
        `${formatSize(cache.memoryBytes)} allowed in all`,
    ],
    [
      'clean',
      `${clean.deletedSegments} segments deleted (${formatSize(clean.deletedBytes)}), ${clean.rewrittenSegments} rewritten ` +
        `(${formatSize(clean.movedBytes)} moved), ${clean.waitingSegments} waiting`,
    ],
    [
      'requests',
      (['get', 'put', 'delete', 'list', 'head'] as const).map((name) => `${name} ${requests[name]}`).join(', '),
    ],
    ...(status.failure === null ? [] : [['failure', status.failure] as [string, string]]),
  ]
  return rows.map(([name, text]) => `${name.padEnd(12)}${text}\n`).join('')
}
