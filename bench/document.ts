// Puts a report into docs/BENCHMARKS.md, between the marks of its benchmark, and its chart beside it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { drawResults } from './chart.ts'
import { writeReport } from './report.ts'
import type { Results } from './results.ts'

const DOCUMENT = 'docs/BENCHMARKS.md'

/** The files that were written, from the top of the repository. */
export function writeDocument(repository: string, results: Results): string[] {
  const chart = drawResults(results)
  const chartName = `${results.benchmark}.svg`
  const image = chart === null ? '' : `![${results.benchmark}: times as bars](${chartName})\n\n`
  const path = join(repository, DOCUMENT)
  writeFileSync(path, replaceMarked(readFileSync(path, 'utf8'), results.benchmark, image + writeReport(results)))
  if (chart === null) return [DOCUMENT]
  writeFileSync(join(repository, 'docs', chartName), chart)
  return [DOCUMENT, `docs/${chartName}`]
}

/** `text` with what stands between the marks of `benchmark` replaced. */
export function replaceMarked(text: string, benchmark: string, content: string): string {
  const begin = `<!-- bench: ${benchmark} -->\n`
  const end = `<!-- end of bench: ${benchmark} -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`${DOCUMENT} lacks the lines ${begin.trim()} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}
