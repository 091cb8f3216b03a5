// The report in Markdown: what was promised and what was seen; for each size and latency a table of times, and what they
// cost; what stands for peers that did not run; what a reader has to know of each system.
import { folded, table, wrap } from './markdown.ts'
import { reportPromises } from './promises.ts'
import { reportEarlier } from './ratios.ts'
import type { Measurement, Results } from './results.ts'
import { judgeRounds, type Summary, select, summarize, type Verdict } from './statistics.ts'
import { formatCount, formatSeconds, formatSpread } from './units.ts'
import { LISTING, type Temperature, type Workload } from './workloads/index.ts'

interface Row {
  workload: Workload
  temperature: Temperature
  title: string
}

const ROWS: readonly Row[] = LISTING.flatMap((workload) =>
  workload.temperatures.map((temperature) => ({
    workload,
    temperature,
    title: workload.kind === 'read' ? `${workload.title}, ${temperature}` : workload.title,
  })),
)

/** Work whose cost is in the report; that of all work is in the JSON. */
const COSTED: readonly string[] = ['create', 'mount', 'first-entry', 'ls-lU', 'stat-missing', 'rm']

/** The whole report, without a title of its own. */
export function writeReport(results: Results): string {
  const { measurements, failures } = results
  const parts = [introduction(results)]
  const promises = reportPromises(results)
  if (promises !== null) parts.push('#### Promised, and seen', promises)
  for (const latencyMs of distinct(measurements.map((each) => each.latencyMs))) {
    for (const entries of distinct(measurements.map((each) => each.entries))) {
      const here = select(measurements, { latencyMs, entries })
      if (here.length === 0) continue
      parts.push(`#### ${formatCount(entries)} files${latencyMs === 0 ? '' : `, ${latencyMs} ms added per request`}`)
      parts.push(timesTable(results, here))
      if (latencyMs === 0) parts.push(folded('What it cost', costTable(results, here)))
    }
  }
  const earlier = reportEarlier(results)
  if (earlier !== null) parts.push(earlier)
  parts.push('#### Who ran, and how', systemsList(results))
  if (failures.length > 0) {
    parts.push('#### What failed', failures.map((failure) => `- ${failure.split('\n')[0]}`).join('\n'))
  }
  return `${parts.join('\n\n')}\n`
}

function introduction(results: Results): string {
  const { commands, date, machine, minio, measurements, withoutPeers, onceOverSec } = results
  const rounds = Math.max(0, ...measurements.map(({ round }) => round))
  const lines = [
    `${commands.map((command) => `\`${command}\``).join(', ')}, ${date.slice(0, 10)}: ${machine}, MinIO ${minio} on the loopback.`,
    'Median (least-most) ' +
      (rounds > 1
        ? `of ${rounds} rounds, the systems in alternating order; a time without a spread is from one round: of a million ` +
          `files, and of what took longer than ${onceOverSec} s. `
        : 'of one round. ') +
      'Cold: mounted again by a new daemon, the caches of the kernel and its own dropped, the directory itself looked up; ' +
      'warm: once more right after. Nothing is timed before the daemons have come to rest. What writes is timed up to the barrier: an fsync of the root directory of the mount, or ' +
      'what a system has. Lookups are the time of one, warm ones the mean of up to 1,000 names that were not asked for ' +
      'before. Requests to the store are those that MinIO counted, FUSE requests those that the kernel sent (but for FORGET, ' +
      'which nobody answers), CPU and memory those of the daemons while the work was done.',
    ...(withoutPeers ? ['Run without peers: JuiceFS and the others are not in these tables.'] : []),
  ]
  return lines.map(wrap).join('\n\n')
}

/** Versions, and what a reader has to know of the figures. */
export function systemsList({
  systems,
  absent,
  notTried,
}: Pick<Results, 'systems' | 'absent'> & { notTried: readonly { system: string }[] }): string {
  const items = systems.map(({ id, title, version, note, limit }) => {
    const isLimited = limit !== undefined && notTried.some(({ system }) => system === id)
    return [
      `- **${title}**${version === '' ? '' : ` ${version}`}.`,
      ...(note === undefined ? [] : [note]),
      ...(isLimited ? [`Not tried where the tables say so, or have no column for it: ${limit}.`] : []),
    ].join(' ')
  })
  const missing = absent.map(({ title, reason }) => `- **${title}** did not run: ${reason}.`)
  return [...items, ...missing].map((item) => wrap(item).replaceAll('\n', '\n  ')).join('\n')
}

function timesTable(results: Results, here: readonly Measurement[]): string {
  const columns = results.systems.filter(({ id }) => select(here, { system: id }).length > 0)
  const rows = ROWS.flatMap((row) => {
    const query = { workload: row.workload.id, temperature: row.temperature }
    const verdicts = columns.map(({ id }) => judgeRounds(select(here, { system: id, ...query })))
    if (verdicts.every(({ kind }) => kind === 'nothing')) return []
    const cells = verdicts.map((verdict, index) =>
      verdict.kind === 'nothing' && isNotTried(results, here[0]!, columns[index]!.id, row)
        ? 'not tried'
        : verdictCell(verdict, results.stepLimitSec),
    )
    const rates = verdicts.map(ratesCell)
    const hasRates = rates.some((rate) => rate !== '-')
    return [[row.title, ...cells], ...(hasRates ? [['- files a second: first, last', ...rates]] : [])]
  })
  return table(['', ...columns.map(({ title }) => title)], rows)
}

function isNotTried(
  { notTried, measurements }: Results,
  { entries, latencyMs }: Measurement,
  id: string,
  { workload, temperature }: Row,
): boolean {
  // Keys in a bucket are never warm.
  if (select(measurements, { system: id, temperature }).length === 0) return false
  return notTried.some(
    (each) =>
      each.system === id &&
      each.entries === entries &&
      each.latencyMs === latencyMs &&
      each.workloads.includes(workload.id),
  )
}

/** How fast the first and the last files were made, or taken away. */
function ratesCell(verdict: Verdict): string {
  if (verdict.kind !== 'measured') return '-'
  const ends = (['firstPerSec', 'lastPerSec'] as const).map((end) =>
    verdict.rounds.flatMap((round) => round[end] ?? []),
  )
  if (ends.some((rates) => rates.length === 0)) return '-'
  return ends.map((rates) => formatCount(summarize(rates).median)).join(', ')
}

/** As text: a time with its spread, or why there is none. */
export function verdictCell(verdict: Verdict, stepLimitSec: number): string {
  switch (verdict.kind) {
    case 'nothing':
      return '-'
    case 'failed':
      return 'failed'
    case 'over limit':
      return `> ${stepLimitSec} s`
    case 'measured': {
      const { median, least, most } = verdict.seconds
      const spread = verdict.rounds.length === 1 ? '' : ` (${formatSpread(least, most)})`
      return formatSeconds(median) + spread
    }
  }
}

function costTable({ systems }: Results, here: readonly Measurement[]): string {
  const rows = ROWS.filter(({ workload }) => COSTED.includes(workload.id)).flatMap(({ workload, temperature, title }) =>
    systems.flatMap(({ id, title: system }) => {
      const verdict = judgeRounds(select(here, { system: id, workload: workload.id, temperature }))
      return verdict.kind === 'measured' ? [[title, system, ...costCells(verdict)]] : []
    }),
  )
  return table(['', '', 'requests to the store', 'FUSE requests', 'CPU', 'peak memory'], rows)
}

/** Requests, FUSE requests, CPU and memory. */
export function costCells({ rounds }: { rounds: readonly Pick<Measurement, 'cost'>[] }): string[] {
  const spread = (numbers: readonly number[], format: (number: number) => string): string => {
    if (numbers.length === 0) return '-'
    const { median, least, most }: Summary = summarize(numbers)
    const [lowest, highest] = [format(least), format(most)]
    return lowest === highest ? format(median) : `${format(median)} (${lowest}-${highest})`
  }
  // What is no filesystem has no daemon: then the program's.
  const hasDaemon = rounds.some(({ cost }) => cost.peakRssBytes > 0)
  return [
    spread(
      rounds.map(({ cost }) => total(cost.requests)),
      formatCount,
    ),
    spread(
      rounds.flatMap(({ cost }) => cost.fuseRequests ?? []),
      formatCount,
    ),
    `${spread(
      rounds.map(({ cost }) => (hasDaemon ? cost.daemonCpuSec : cost.commandCpuSec)),
      (seconds) => seconds.toFixed(2),
    )} s`,
    hasDaemon
      ? `${spread(
          rounds.map(({ cost }) => cost.peakRssBytes / 2 ** 20),
          formatCount,
        )} MiB`
      : '-',
  ]
}

const total = (requests: Record<string, number>): number => Object.values(requests).reduce((sum, each) => sum + each, 0)
const distinct = (numbers: readonly number[]): number[] => [...new Set(numbers)].toSorted((a, b) => a - b)
