// The report in Markdown: for each latency and size a table of times, and one of costs.
import { RATIOS } from './ratios.ts'
import type { Measurement, Results } from './results.ts'
import { judgeRounds, summarize, type Verdict } from './statistics.ts'
import { formatCount, formatMebibytes, formatSeconds, formatSpread } from './units.ts'
import { LISTING, type Temperature, type Workload } from './workloads/index.ts'

interface Column {
  id: string
  title: string
  /** It was not run: JuiceFS's times, by a ratio, stand for it. */
  isByRatio: boolean
}

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
const COSTED: readonly string[] = ['create', 'first-entry', 'ls-lU', 'stat-missing', 'rm']

/** The whole report, without a title of its own. */
export function writeReport(results: Results): string {
  const sizes = distinct(results.measurements.map(({ entries }) => entries))
  const latencies = distinct(results.measurements.map(({ latencyMs }) => latencyMs))
  const parts = [introduction(results)]
  for (const latencyMs of latencies) {
    for (const entries of sizes) {
      const here = results.measurements.filter((each) => each.latencyMs === latencyMs && each.entries === entries)
      if (here.length === 0) continue
      parts.push(`#### ${formatCount(entries)} entries${latencyMs === 0 ? '' : `, ${latencyMs} ms added per request`}`)
      parts.push(timesTable(results, here))
      if (latencyMs === 0) parts.push('What it cost:', costTable(results, here))
    }
  }
  if (results.failures.length > 0) {
    parts.push('What failed:', results.failures.map((failure) => `- ${failure.split('\n')[0]}`).join('\n'))
  }
  return `${parts.join('\n\n')}\n`
}

function introduction({ commands, date, machine, minio, rounds, systems, absent, withoutPeers }: Results): string {
  const versions = systems.filter(({ version }) => version !== '').map(({ title, version }) => `${title} ${version}`)
  const lines = [
    `${commands.map((command) => `\`${command}\``).join(', ')}, ${date.slice(0, 10)}: ${machine}, MinIO ${minio} on the loopback; ${versions.join(', ')}. ` +
      `${rounds === 1 ? 'One round' : `${rounds} rounds in alternating order`}, each on a fresh volume; median ` +
      "(least-most). Cold: mounted again, the kernel's caches and its own dropped, the directory itself looked up; warm: " +
      "once more right after. What writes is timed up to the barrier, an fsync of the mount's root directory. Lookups " +
      'are the time of one, warm ones the mean of up to 1,000 names that were not asked for before. Requests are those that ' +
      'MinIO counted, CPU and memory those of the daemons.',
    ...(withoutPeers ? ['Run without peers: JuiceFS and the others are not in this table.'] : []),
    ...systems.flatMap(({ note }) => (note === undefined ? [] : [note])),
    ...absent.map(({ id, title, reason }) =>
      hasRatio(id)
        ? `${title} did not run (${reason}): where "~" stands, JuiceFS's time here times the ratio that was measured ` +
          'side by side on 2026-11-21.'
        : `${title} did not run: ${reason}.`,
    ),
  ]
  return lines.map(wrap).join('\n\n')
}

/** A paragraph in lines as long as the document's. */
function wrap(paragraph: string): string {
  return paragraph.replace(/(?=.{121})(.{1,120}) /g, '$1\n')
}

function timesTable(results: Results, here: readonly Measurement[]): string {
  const columns = columnsOf(results, here)
  const rows = ROWS.flatMap((row) => {
    const cells = columns.map((column) => timeCell(results, here, row, column))
    if (isEmpty(cells)) return []
    const rates = row.workload.kind === 'create' ? columns.map(ratesCell) : []
    return [[row.title, ...cells], ...(isEmpty(rates) ? [] : [['- files a second: first, last', ...rates]])]
  })
  return table(['', ...columns.map(({ title }) => title)], rows)

  function ratesCell({ id, isByRatio }: Column): string {
    const rounds = isByRatio ? [] : roundsOf(here, id, 'create', 'warm')
    const rates = rounds.flatMap(({ firstPerSec, lastPerSec }) =>
      firstPerSec === undefined || lastPerSec === undefined ? [] : [[firstPerSec, lastPerSec]],
    )
    if (rates.length === 0) return '-'
    return [0, 1].map((end) => formatCount(summarize(rates.map((pair) => pair[end]!)).median)).join(', ')
  }
}

const isEmpty = (cells: readonly string[]): boolean => cells.every((cell) => cell === '-')

function timeCell(results: Results, here: readonly Measurement[], row: Row, { id, isByRatio }: Column): string {
  if (isByRatio) {
    const seconds = secondsByRatio(here, id, row)
    return seconds === null ? '-' : `~ ${formatSeconds(seconds)}`
  }
  return verdictCell(verdictOf(here, id, row), results.stepLimitSec)
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

function costTable(results: Results, here: readonly Measurement[]): string {
  const columns = columnsOf(results, here).filter(({ isByRatio }) => !isByRatio)
  const rows = ROWS.filter(({ workload }) => COSTED.includes(workload.id)).flatMap((row) => {
    const cells = columns.map(({ id }) => costCell(verdictOf(here, id, row)))
    return isEmpty(cells) ? [] : [[row.title, ...cells]]
  })
  return table(['', ...columns.map(({ title }) => title)], rows)
}

function costCell(verdict: Verdict): string {
  if (verdict.kind !== 'measured') return '-'
  const median = (of: (measurement: Measurement) => number) => summarize(verdict.rounds.map(of)).median
  const requests = median(({ cost }) => total(cost.requests))
  const fuse = verdict.rounds.flatMap(({ cost }) => cost.fuseRequests ?? [])
  const hasDaemon = verdict.rounds.some(({ cost }) => cost.peakRssBytes > 0)
  const cpu = median(({ cost }) => (hasDaemon ? cost.daemonCpuSec : cost.commandCpuSec))
  return [
    `${formatCount(requests)} S3`,
    ...(fuse.length === 0 ? [] : [`${formatCount(summarize(fuse).median)} FUSE`]),
    `${cpu.toFixed(2)} s CPU`,
    ...(hasDaemon ? [formatMebibytes(median(({ cost }) => cost.peakRssBytes))] : []),
  ].join(', ')
}

/** Those that were measured here, and absent ones that a ratio stands for. */
function columnsOf({ systems, absent }: Results, here: readonly Measurement[]): Column[] {
  const measured = systems
    .filter(({ id }) => here.some(({ system }) => system === id))
    .map(({ id, title }) => ({ id, title, isByRatio: false }))
  const byRatio = absent
    .filter(({ id }) => ROWS.some((row) => secondsByRatio(here, id, row) !== null))
    .map(({ id, title }) => ({ id, title: `${title} (by ratio)`, isByRatio: true }))
  return [...measured, ...byRatio]
}

/** Null where there is no ratio for this, or no time of JuiceFS's. Without added latency alone: a ratio is no constant. */
export function secondsByRatio(
  here: readonly Measurement[],
  id: string,
  { workload, temperature }: Pick<Row, 'temperature'> & { workload: Pick<Workload, 'id'> },
): number | null {
  const verdict = judgeRounds(roundsOf(here, 'juicefs', workload.id, temperature))
  if (verdict.kind !== 'measured' || verdict.rounds[0]!.latencyMs !== 0) return null
  const ratio = RATIOS.find(
    (each) =>
      each.system === id &&
      each.workload === workload.id &&
      each.temperature === temperature &&
      each.entries === verdict.rounds[0]!.entries,
  )
  return ratio === undefined ? null : ratio.toJuicefs * verdict.seconds.median
}

function verdictOf(here: readonly Measurement[], id: string, { workload, temperature }: Row): Verdict {
  return judgeRounds(roundsOf(here, id, workload.id, temperature))
}

function roundsOf(here: readonly Measurement[], system: string, workload: string, temperature: Temperature) {
  return here.filter((each) => each.system === system && each.workload === workload && each.temperature === temperature)
}

const hasRatio = (id: string): boolean => RATIOS.some(({ system }) => system === id)
const total = (requests: Record<string, number>): number => Object.values(requests).reduce((sum, each) => sum + each, 0)
const distinct = (numbers: readonly number[]): number[] => [...new Set(numbers)].toSorted((a, b) => a - b)

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}
