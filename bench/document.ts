// Puts a report into docs/BENCHMARKS.md, between the marks of its benchmark, its chart beside it, and the chart into
// README.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { drawResults } from './chart.ts'
import { drawDataResults } from './data/chart.ts'
import { writeDataReport } from './data/report.ts'
import type { DataResults } from './data/results.ts'
import { writeReport } from './report.ts'
import type { Results } from './results.ts'
import { type SmbResults, writeSmbReport } from './smb/smb.ts'

const SAMBA = 'docs/SAMBA.md'
const DOCUMENT = 'docs/BENCHMARKS.md'
const README = 'README.md'
/** Of their headings in the document. */
const ANCHORS = { listing: 'large-directories-beside-others', data: 'reading-and-writing-beside-others' }

/** The files that were written, from the top of the repository. */
export function writeDocument(repository: string, results: Results): string[] {
  return writeWithChart(repository, 'listing', { report: writeReport(results), chart: drawResults(results) })
}

/** The same for `data`. */
export function writeDataDocument(repository: string, results: DataResults): string[] {
  return writeWithChart(repository, 'data', {
    report: writeDataReport(results),
    chart: drawDataResults(results),
  })
}

function writeWithChart(
  repository: string,
  benchmark: keyof typeof ANCHORS,
  { report, chart }: { report: string; chart: string | null },
): string[] {
  const chartName = `${benchmark}.svg`
  const picture = (folder: string) => `![Times of cairnfs and its peers, as a chart](${folder}${chartName})`
  const write = (file: string, content: string) => {
    const path = join(repository, file)
    writeFileSync(path, replaceMarked(readFileSync(path, 'utf8'), { file, benchmark, content }))
  }
  write(DOCUMENT, (chart === null ? '' : `${picture('')}\n\n`) + report)
  if (chart === null) return [DOCUMENT]
  write(README, `[${picture('docs/')}](${DOCUMENT}#${ANCHORS[benchmark]})\n`)
  writeFileSync(join(repository, 'docs', chartName), chart)
  return [DOCUMENT, README, `docs/${chartName}`]
}

/** Puts the report of `smb` into docs/SAMBA.md. */
export function writeSmbDocument(repository: string, results: SmbResults): void {
  const path = join(repository, SAMBA)
  const { benchmark } = results
  const marks = { file: SAMBA, benchmark, content: writeSmbReport(results) }
  writeFileSync(path, replaceMarked(readFileSync(path, 'utf8'), marks))
}

/** `text` with what stands between the marks of `benchmark` replaced. */
export function replaceMarked(
  text: string,
  { file, benchmark, content }: { file: string; benchmark: string; content: string },
): string {
  const begin = `<!-- bench: ${benchmark} -->\n`
  const end = `<!-- end of bench: ${benchmark} -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`${file} lacks the lines ${begin.trim()} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}
