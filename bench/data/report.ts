// The report of `bench -- data` in Markdown: what was promised and what was seen; for each latency (and --memory) a table
// of rates and times, what they cost, and random I/O second by second; what a reader has to know of each system.
import { folded, table, wrap } from '../markdown.ts'
import { costCells, systemsList } from '../report.ts'
import { judgeRounds, type Measured, select, summarize, type Verdict } from '../statistics.ts'
import { formatCount, formatSeconds, formatSpread } from '../units.ts'
import { reportDataPromises } from './promises.ts'
import { type DataMeasurement, type DataResults, type Table, tablesOf } from './results.ts'
import type { DataWorkload } from './workload.ts'
import { DATA } from './workloads.ts'

const MIB = 2 ** 20

/** The whole report, without a title of its own. */
export function writeDataReport(results: DataResults): string {
  const { measurements, failures } = results
  const parts = [introduction(results)]
  const promises = reportDataPromises(results)
  if (promises !== null) parts.push('#### Promised, and seen: data', promises)
  for (const { latencyMs, memory } of tablesOf(measurements)) {
    const here = select(measurements, { latencyMs, memory })
    parts.push(`#### Data${titleOf({ latencyMs, memory })}`, figuresTable(results, here))
    parts.push(folded('What it cost', costTable(results, here)))
    const seconds = secondsTable(results, here)
    if (seconds !== null) parts.push(folded('Random reads and writes in each second of the run', seconds))
  }
  parts.push('#### Who ran, and how: data', systemsList(results))
  if (failures.length > 0) {
    parts.push(
      '#### What failed: data',
      failures.map((failure) => `- ${withoutTraceback(failure).split('\n')[0]}`).join('\n'),
    )
  }
  return `${parts.join('\n\n')}\n`
}

/** Of what a program in Python says, its last line. */
function withoutTraceback(failure: string): string {
  return failure.replace(/Traceback.*\n/s, '')
}

function titleOf({ latencyMs, memory }: Table): string {
  const latency = latencyMs === 0 ? ', no latency added' : `, ${latencyMs} ms added per request`
  return memory === null ? latency : `${latency}, --memory ${memory}`
}

function introduction({ commands, date, machine, minio, scale, treeBytes, withoutPeers }: DataResults): string {
  const { sizeBytes, treeFiles, manyFiles, runtimeSec } = scale
  const lines = [
    `${commands.map((command) => `\`${command}\``).join(', ')}, ${date.slice(0, 10)}: ${machine}, MinIO ${minio} on the loopback.`,
    'Median (least-most) of the rounds; what has no spread is from one. Cold: mounted again by a new daemon, the caches of the ' +
      'kernel, of the system and of the store dropped. What writes is timed up to an fsync: of the file itself, or, where it ' +
      "says sync, of the mount's root directory, or what a system has for that.",
    `The large file has ${formatCount(sizeBytes / MIB)} MiB that do not compress, and is written and read in calls of 1 MiB. ` +
      `Random reads and writes are fio's, for ${runtimeSec} s, and cairnfs has --memory 2G there unless told otherwise. The ` +
      `source tree has ${formatCount(treeFiles)} files with ${formatCount(treeBytes / MIB)} MiB, the one directory ` +
      `${formatCount(manyFiles)} files.`,
    ...(withoutPeers ? ['Run without peers: JuiceFS and the others are not in these tables.'] : []),
  ]
  return lines.map(wrap).join('\n\n')
}

function figuresTable(results: DataResults, here: readonly DataMeasurement[]): string {
  const columns = results.systems.filter(({ id }) => select(here, { system: id }).length > 0)
  const rows = DATA.flatMap((workload) => {
    const verdicts = columns.map(({ id }) => judgeRounds(select(here, { system: id, workload: workload.id })))
    if (verdicts.every(({ kind }) => kind === 'nothing')) return []
    const cells = verdicts.map((verdict, index) =>
      isNotTried(results, here[0]!, columns[index]!.id, workload)
        ? 'not tried'
        : figureCell(verdict, workload, results),
    )
    return [[workload.title, ...cells]]
  })
  return table(['', ...columns.map(({ title }) => title)], rows)
}

function isNotTried({ notTried }: DataResults, { latencyMs, memory }: Table, system: string, { id }: DataWorkload) {
  return select(notTried, { latencyMs, memory, system }).some(({ workloads }) => workloads.includes(id))
}

/** A rate where that is what is looked for, else a time; or why there is none. */
export function figureCell(
  verdict: Verdict<DataMeasurement>,
  workload: DataWorkload,
  { scale, stepLimitSec }: Pick<DataResults, 'scale' | 'stepLimitSec'>,
): string {
  switch (verdict.kind) {
    case 'nothing':
      return '-'
    case 'failed':
      return 'failed'
    case 'over limit':
      return `> ${stepLimitSec} s`
    case 'measured': {
      const { rounds, seconds } = verdict
      const bytes = workload.bytes?.(scale)
      if (bytes !== undefined) return rates(rounds, (round) => bytes / MIB / round.seconds, ' MiB/s')
      if (rounds.every(({ perSec }) => perSec !== undefined)) {
        const syncs = rounds.flatMap(({ syncSec }) => syncSec ?? [])
        const sync = syncs.length === 0 ? '' : `; the fsync ${formatSeconds(summarize(syncs).median)}`
        return rates(rounds, ({ perSec }) => perSec!, '/s') + sync
      }
      const files = workload.files?.(scale)
      if (files !== undefined) return rates(rounds, (round) => files / round.seconds, '/s')
      const spread = rounds.length === 1 ? '' : ` (${formatSpread(seconds.least, seconds.most)})`
      return formatSeconds(seconds.median) + spread
    }
  }
}

function rates(rounds: readonly DataMeasurement[], rate: (round: DataMeasurement) => number, unit: string): string {
  const { median, least, most } = summarize(rounds.map(rate))
  const spread = rounds.length === 1 ? '' : ` (${formatCount(least)}-${formatCount(most)})`
  return formatCount(median) + unit + spread
}

function costTable(results: DataResults, here: readonly DataMeasurement[]): string {
  const rows = DATA.flatMap((workload) =>
    results.systems.flatMap(({ id, title: system }) => {
      const verdict = judgeRounds(select(here, { system: id, workload: workload.id }))
      if (verdict.kind !== 'measured') return []
      return [
        [workload.title, system, formatSeconds(verdict.seconds.median), requestsCell(verdict), ...costCells(verdict)],
      ]
    }),
  )
  return table(['', '', 'time', 'GET, PUT', 'all requests to the store', 'FUSE requests', 'CPU', 'peak memory'], rows)
}

function requestsCell({ rounds }: Measured<DataMeasurement>): string {
  const median = (api: string) => formatCount(summarize(rounds.map(({ cost }) => cost.requests[api] ?? 0)).median)
  return `${median('GetObject')}, ${median('PutObject')}`
}

/** Of the first round. Null when nothing of the kind was measured. */
function secondsTable(results: DataResults, here: readonly DataMeasurement[]): string | null {
  const rows = DATA.flatMap((workload) =>
    results.systems.flatMap(({ id, title: system }) => {
      const [first] = select(here, { system: id, workload: workload.id, outcome: 'measured' })
      if (first?.eachSec === undefined) return []
      return [[workload.title, system, first.eachSec.map(formatCount).join(' ')]]
    }),
  )
  return rows.length === 0 ? null : table(['', '', 'in each second of the first round'], rows)
}
