// `cairnfs stats`: what a mount does, a line for each interval, as vmstat(8) and `juicefs stats` show it.
import { Command } from 'commander'
import { askStatus, type StatusSource } from './ask-status.ts'
import type { MountStatus, RequestCounts } from './control-protocol.ts'
import { CommandError, codeOf, UsageError } from './errors.ts'
import { formatSize, ofOption, parseCount, parseDuration } from './units.ts'

const INTERVAL_MIN_MS = 100
/** Lines after which the names of columns are printed again. */
const HEADER_EVERY = 20

interface StatsOptions {
  /** Milliseconds. */
  interval?: number
  /** Lines. */
  count?: number
  json?: boolean
}

export function statsCommand(): Command {
  return new Command('stats')
    .summary('show what a mount is doing, line by line')
    .description(
      'Prints a line with the totals since the mount, and then one for each interval, of what happened in it a second. The ' +
        'daemon is asked over its socket; the mount itself is not touched.',
    )
    .argument('<DIR>', 'where it is mounted')
    .option(
      '--interval <SEC>',
      'seconds between lines, or a time as 500ms; at least 0.1 (default: 1)',
      ofOption('interval', readInterval),
    )
    .option(
      '--count <N>',
      'end after so many lines, the totals among them (default: when it is interrupted)',
      ofOption('count', readCount),
    )
    .option('--json', 'one JSON object a line: amounts in `seconds`, not a second')
    .addHelpText(
      'after',
      '\nColumns:\n' +
        '  fuse, lookups   requests of the kernel, and LOOKUPs of names among them\n' +
        '  hit, pages      directory pages: how many of those needed were in memory; loaded\n' +
        '  read, written   bytes, by programs\n' +
        '  stored          bytes put into the page cache unasked, for readers in no order\n' +
        '  ahead, waste    reads of files in order that found all fetched before; bytes fetched so and not read\n' +
        '  dirty           bytes that are not in the store yet\n' +
        '  disk            reads of the store that the disk cache answered (--cache-dir)\n' +
        '  get, put        requests to the store\n' +
        '  cpu, memory     of the daemon\n' +
        '-: nothing was asked for.\n' +
        '\nExamples:\n' +
        '  cairnfs stats /mnt/vol\n' +
        '  cairnfs stats /mnt/vol --interval 5 --count 13\n' +
        "  cairnfs stats /mnt/vol --json --count 2 | jq -s '.[1].store.get'",
    )
    .action(async (dir: string, options: StatsOptions) => {
      // Who reads it has seen enough (`| head`).
      process.stdout.once('error', (error) => process.exit(codeOf(error) === 'EPIPE' ? 0 : 1))
      const source = await askStatus(dir)
      try {
        await printStats(source, options)
      } finally {
        source.close()
      }
    })
}

function readInterval(text: string): number {
  const ms = parseDuration(text)
  if (ms < INTERVAL_MIN_MS) throw new UsageError(`'${text}' is too short: give at least 100ms`)
  return ms
}

function readCount(text: string): number {
  return parseCount(text, 1)
}

async function printStats(
  source: StatusSource,
  { interval = 1000, count = Number.POSITIVE_INFINITY, json }: StatsOptions,
): Promise<void> {
  let before: MountStatus | null = null
  for (let line = 0; line < count; line++) {
    if (line > 0) await new Promise((resolve) => setTimeout(resolve, interval))
    const now = await source.status()
    assertTold(now)
    const sample = sampleOf(before, now)
    if (json) process.stdout.write(`${JSON.stringify(sample)}\n`)
    else {
      if (line % HEADER_EVERY === 0) process.stdout.write(`${columns(HEADER)}\n`)
      process.stdout.write(`${columns(lineOf(sample, before === null))}\n`)
    }
    before = now
  }
}

/** Daemons of older versions do not tell what this command shows. */
function assertTold({ kernel, pages, readAhead, diskCache, process: daemon, transfer }: Partial<MountStatus>): void {
  if ([kernel, pages, readAhead, diskCache, daemon, transfer].includes(undefined as never))
    throw new CommandError('the daemon is of an older cairnfs, which does not count this: unmount and mount again')
}

const CACHE_COUNTS = ['hits', 'misses', 'hitBytes', 'writtenBytes', 'skipped', 'damaged', 'errors'] as const

/** What happened between two looks at a mount; since the mount, for the first. A line of `--json`. */
export interface Sample {
  seconds: number
  fuse: Record<'requests' | 'lookupsFound' | 'lookupsMissing' | 'readBytes' | 'writtenBytes' | 'storedBytes', number>
  pages: Omit<MountStatus['pages'], 'heldBytes'>
  readAhead: MountStatus['readAhead']
  /** All 0 without one. */
  diskCache: Pick<NonNullable<MountStatus['diskCache']>, (typeof CACHE_COUNTS)[number]>
  store: RequestCounts & MountStatus['transfer']
  cpuSec: number
  /** As it is at the end. */
  dirtyBytes: number
  heldPageBytes: number
  residentBytes: number
}

export function sampleOf(before: MountStatus | null, now: MountStatus): Sample {
  // A read-only mount that went on to a newer state counts its pages anew.
  const since = (of: (status: MountStatus) => number) => Math.max(0, of(now) - (before === null ? 0 : of(before)))
  const pages = (name: keyof MountStatus['pages']) => since((status) => status.pages[name])
  const kernel = (name: Exclude<keyof MountStatus['kernel'], 'requests'>) => since((status) => status.kernel[name])
  const ahead = (name: keyof MountStatus['readAhead']) => since((status) => status.readAhead[name])
  const cached = (name: (typeof CACHE_COUNTS)[number]) => since(({ diskCache }) => diskCache?.[name] ?? 0)
  const requests = (name: keyof RequestCounts) => since((status) => status.requests[name])
  return {
    seconds: rounded(since(({ uptimeSec }) => uptimeSec)),
    fuse: {
      requests: since(({ kernel: { requests } }) => Object.values(requests).reduce((sum, count) => sum + count, 0)),
      lookupsFound: kernel('lookupsFound'),
      lookupsMissing: kernel('lookupsMissing'),
      readBytes: kernel('readBytes'),
      writtenBytes: kernel('writtenBytes'),
      storedBytes: kernel('storedBytes'),
    },
    pages: {
      hits: pages('hits'),
      misses: pages('misses'),
      loaded: pages('loaded'),
      loadedBytes: pages('loadedBytes'),
      prefetched: pages('prefetched'),
      prefetchedUsed: pages('prefetchedUsed'),
    },
    readAhead: {
      hits: ahead('hits'),
      waits: ahead('waits'),
      askedBytes: ahead('askedBytes'),
      wastedBytes: ahead('wastedBytes'),
    },
    diskCache: Object.fromEntries(CACHE_COUNTS.map((name) => [name, cached(name)])) as Sample['diskCache'],
    store: {
      get: requests('get'),
      put: requests('put'),
      delete: requests('delete'),
      list: requests('list'),
      head: requests('head'),
      receivedBytes: since(({ transfer }) => transfer.receivedBytes),
      sentBytes: since(({ transfer }) => transfer.sentBytes),
    },
    cpuSec: rounded(since((status) => status.process.cpuSec)),
    dirtyBytes: now.dirtyBytes,
    heldPageBytes: now.pages.heldBytes,
    residentBytes: now.process.residentBytes,
  }
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}

const HEADER = [
  '',
  'fuse',
  'lookups',
  'hit',
  'pages',
  'read',
  'stored',
  'ahead',
  'waste',
  'written',
  'dirty',
  'disk',
  'get',
  'put',
  'cpu',
  'memory',
]
const WIDTHS = [5, 8, 8, 5, 7, 9, 9, 5, 9, 9, 9, 5, 6, 6, 7, 9]

function columns(texts: readonly string[]): string {
  return texts.map((text, index) => text.padStart(WIDTHS[index]!)).join(' ')
}

/** The columns of one line: a second, or of the first line in all. */
export function lineOf(
  { seconds, fuse, pages, readAhead, diskCache, store, cpuSec, ...rest }: Sample,
  isTotal: boolean,
): string[] {
  const divisor = isTotal || seconds === 0 ? 1 : seconds
  const count = (amount: number) => formatCount(amount / divisor)
  const size = (bytes: number) => formatSize(Math.round(bytes / divisor))
  return [
    isTotal ? 'total' : '',
    count(fuse.requests),
    count(fuse.lookupsFound + fuse.lookupsMissing),
    percentOf(pages.hits, pages.misses),
    count(pages.loaded),
    size(fuse.readBytes),
    size(fuse.storedBytes),
    percentOf(readAhead.hits, readAhead.waits),
    size(readAhead.wastedBytes),
    size(fuse.writtenBytes),
    formatSize(rest.dirtyBytes),
    percentOf(diskCache.hits, diskCache.misses),
    count(store.get),
    count(store.put),
    isTotal ? `${cpuSec.toFixed(1)} s` : `${Math.round((100 * cpuSec) / divisor)}%`,
    formatSize(rest.residentBytes),
  ]
}

function percentOf(hits: number, others: number): string {
  return hits + others === 0 ? '-' : `${Math.floor((100 * hits) / (hits + others))}%`
}

/** `0.4`, `17`, `12345`, `1234k`: what is below ten with one digit behind the point, where it has one. */
function formatCount(count: number): string {
  if (count >= 1e6) return `${Math.round(count / 1000)}k`
  return count < 10 ? String(Number(count.toFixed(1))) : String(Math.round(count))
}
