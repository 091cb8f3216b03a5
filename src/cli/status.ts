// `cairnfs status`: what a mount's daemon says of itself.
import { Command } from 'commander'
import { askStatus } from './ask-status.ts'
import type { MountStatus } from './control-protocol.ts'
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
      '\nWhat the rows tell:\n' +
        '  journal     of operations since the last checkpoint; after a crash the next mount replays it\n' +
        '  cache       what of --memory holds data and metadata that can be had again\n' +
        '  pages       pages of the tables, which hold names and attributes\n' +
        '  read-ahead  reads of files in order that had not to wait, as what they want was fetched before;\n' +
        '              and what was fetched so (--max-readahead)\n' +
        '  disk cache  with --cache-dir: what of --cache-size is in use, and how many reads of the store it spared\n' +
        '  kernel      what programs asked the mount for, as far as the kernel did not know it itself\n' +
        '  clean       what became free in the store; waiting: until --grace is over\n' +
        '  requests    to the store; most of them cost money\n' +
        '\nExamples:\n' +
        '  cairnfs status /mnt/vol\n' +
        "  cairnfs status /mnt/vol --json | jq '.dirtyBytes, .requests.put'",
    )
    .action(async (dir: string, options: { json?: boolean }) => {
      const source = await askStatus(dir)
      const status = await source.status()
      source.close()
      process.stdout.write(
        options.json ? `${JSON.stringify(status)}\n` : formatStatus(status, source.isReadOnlyToKernel),
      )
    })
}

/** What is not as usual. */
function waysOf({ binding, writeback }: MountStatus): string {
  return `${binding === 'kernel' ? '' : `, through ${binding}`}${writeback ? ', with -o writeback' : ''}`
}

function modeOf({ readOnly, failure }: MountStatus, isReadOnlyToKernel: boolean): string {
  if (readOnly) return 'read-only'
  if (failure !== null) return 'takes no changes now: see failure'
  return isReadOnlyToKernel ? 'read-only since mount -o remount,ro' : 'for writing'
}

/** The status as lines for people. */
export function formatStatus(status: MountStatus, isReadOnlyToKernel = status.readOnly): string {
  const { journal, checkpoint, cache, clean, requests } = status
  const rows: [string, string][] = [
    ['volume', `${status.volume.name} (${status.volume.uuid})`],
    ['store', status.store],
    ['mounted', `${status.mountpoint}, ${modeOf(status, isReadOnlyToKernel)}${waysOf(status)}`],
    ['daemon', `pid ${status.pid}, cairnfs ${status.version}, up ${formatDuration(status.uptimeSec * 1000)}`],
    ...logRow(status),
    ['dirty', `${formatSize(status.dirtyBytes)} not in the store yet`],
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
    ...newRows(status),
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

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

/** What daemons of older versions do not tell. */
function newRows({ pages, kernel, readAhead, diskCache }: Partial<MountStatus>): [string, string][] {
  if (pages === undefined || kernel === undefined) return []
  return [
    [
      'pages',
      `${pages.hits} of ${pages.hits + pages.misses} asked for were in memory; ${pages.loaded} loaded ` +
        `(${formatSize(pages.loadedBytes)}), ${pages.prefetchedUsed} of ${pages.prefetched} fetched ahead were used`,
    ],
    ...(readAhead === undefined ? [] : [readAheadRow(readAhead)]),
    ...(diskCache === undefined || diskCache === null ? [] : [diskCacheRow(diskCache)]),
    [
      'kernel',
      `${sum(kernel.requests)} requests, ${kernel.lookupsFound} lookups found and ${kernel.lookupsMissing} missing; ` +
        `${formatSize(kernel.readBytes)} read, ${formatSize(kernel.writtenBytes)} written, ` +
        `${formatSize(kernel.storedBytes ?? 0)} stored in its cache`,
    ],
  ]
}

function logRow({ log }: Partial<MountStatus>): [string, string][] {
  return log === undefined ? [] : [['log', log ?? 'standard error']]
}

function diskCacheRow(cache: NonNullable<MountStatus['diskCache']>): [string, string] {
  const failures = cache.damaged + cache.errors
  return [
    'disk cache',
    `${formatSize(cache.bytes)} of ${formatSize(cache.limitBytes)} in ${cache.folder}; ${cache.hits} of ` +
      `${cache.hits + cache.misses} reads of segments were there (${formatSize(cache.hitBytes)}), ` +
      `${formatSize(cache.writtenBytes)} written${cache.skipped === 0 ? '' : `, ${cache.skipped} times not kept, as it came faster than the disk took it or the disk failed`}` +
      `${failures === 0 ? '' : `; ${cache.damaged} damaged files, ${cache.errors} errors: see the log`}`,
  ]
}

function readAheadRow({ hits, waits, askedBytes, wastedBytes }: MountStatus['readAhead']): [string, string] {
  const reads = `${hits} of ${hits + waits} reads in order found all there`
  return ['read-ahead', `${reads}; ${formatSize(askedBytes)} fetched ahead, ${formatSize(wastedBytes)} of it not read`]
}
