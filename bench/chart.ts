// A chart in SVG: for some of the work a group of lines, one for each system: a dot at its time on one logarithmic axis,
// a bar from the least to the most of its rounds, further left is faster. It brings its own light background, so that it
// reads the same on a white and on a dark page.
import type { Measurement, Results } from './results.ts'
import { judgeRounds, measuredOf, type Query, type Summary, select } from './statistics.ts'
import { formatCount, formatSeconds } from './units.ts'

/** The size that is shown of work of one size, if it was measured; else the largest. */
const PREFERRED_ENTRIES = 100_000

const WIDTH = 800
const LABELS = 130
const PLOT = 560
const ROW = 18
const LINE = 17
const TEXT = '#1f2933'
const QUIET = '#5f6b7a'
const GRID = '#dde3ea'
const OURS = '#1463c4'
const PEERS = '#7a8794'
/** What is no peer: a floor or a ceiling. */
const MARKS = '#b0782a'

export interface Dot {
  label: string
  /** Null: over the limit; `text` tells. */
  seconds: Summary | null
  text: string
  kind: 'ours' | 'peer' | 'mark'
}

export interface Group {
  title: string
  dots: Dot[]
}

/** The SVG, or null when nothing was measured that it shows. */
export function drawResults(results: Results): string | null {
  const measurements = select(results.measurements, { latencyMs: 0 })
  const sizesOf = (workload: string): number[] =>
    [...new Set(select(measurements, { workload }).map(({ entries }) => entries))].toSorted((a, b) => a - b)
  const listed = sizesOf('ls-lU')
  const sizes = listed.filter((size) => [listed[0], PREFERRED_ENTRIES, listed.at(-1)].includes(size))
  const one = (workload: string): number[] => {
    const measured = sizesOf(workload)
    return measured.includes(PREFERRED_ENTRIES) ? [PREFERRED_ENTRIES] : measured.slice(-1)
  }
  const works: (Query & { entries: number; title: string })[] = [
    ...sizes.map((entries) => work('ls-lU', 'cold', entries, 'ls -lU, cold')),
    ...one('ls-lU').map((entries) => work('ls-lU', 'warm', entries, 'ls -lU, warm')),
    ...one('create').map((entries) => work('create', 'warm', entries, 'create, and sync')),
    ...one('rm').map((entries) => work('rm', 'cold', entries, 'rm -rf, and sync')),
  ]
  const groups = works.flatMap(({ title, ...query }) => {
    const dots = dotsOf(results, select(measurements, query))
    return dots.length === 0 ? [] : [{ title, dots }]
  })
  if (!groups.some(({ dots }) => dots.some(({ seconds }) => seconds !== null))) return null
  const where = [
    `Empty files in one directory, with one MinIO (${results.minio}) on the loopback; ${results.date.slice(0, 10)}`,
    results.machine,
  ]
  return draw({ title: 'Large directories: time, shorter is better (logarithmic)', where }, groups)
}

function work(workload: string, temperature: 'cold' | 'warm', entries: number, what: string) {
  return { workload, temperature, entries, title: `${what}: ${formatCount(entries)} files` }
}

/** Of one piece of work, measured in rounds: a dot for each system that has a time, or none within the limit. */
export function dotsOf<M extends Pick<Measurement, 'system' | 'outcome' | 'seconds' | 'cost'>>(
  { systems, stepLimitSec }: Pick<Results, 'systems' | 'stepLimitSec'>,
  measurements: readonly M[],
): Dot[] {
  const of = (id: string) => measurements.filter(({ system }) => system === id)
  return systems.flatMap(({ id, title: label }): Dot[] => {
    const kind =
      id === 'cairnfs' || id === 'cairnfs-native' || id === 'grown'
        ? 'ours'
        : id === 'bucket' || id === 'ext4' || id === 'raw'
          ? 'mark'
          : 'peer'
    const measured = measuredOf(of(id), {})
    if (measured !== null) {
      return [{ label, seconds: measured.seconds, text: formatSeconds(measured.seconds.median), kind }]
    }
    const isOver = judgeRounds(of(id)).kind === 'over limit'
    return isOver ? [{ label, seconds: null, text: `> ${stepLimitSec} s`, kind }] : []
  })
}

/** At least one dot has a time. */
export function draw({ title, where }: { title: string; where: readonly string[] }, groups: readonly Group[]): string {
  const times = groups.flatMap(({ dots }) => dots.flatMap(({ seconds }) => (seconds === null ? [] : [seconds])))
  const first = Math.floor(Math.log10(Math.min(...times.map(({ least }) => least))))
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...times.map(({ most }) => most)))))
  const place = (seconds: number): number => LABELS + ((Math.log10(seconds) - first) / (last - first)) * PLOT
  const rows: string[] = []
  const top = 50 + LINE * where.length
  let y = top
  for (const { title: name, dots } of groups) {
    y += 20
    rows.push(text(LABELS, y, name, `font-weight="600"`))
    y += 8
    for (const dot of dots) {
      y += ROW
      rows.push(...drawDot(dot, y - 5, place))
    }
    y += 10
  }
  const axis = Array.from({ length: last - first + 1 }, (_, index) => first + index).flatMap((power) => {
    const x = place(10 ** power).toFixed(1)
    return [
      `<line x1="${x}" y1="${top}" x2="${x}" y2="${y}" stroke="${GRID}"/>`,
      text(Number(x), y + 16, decade(power), `fill="${QUIET}" text-anchor="middle"`),
    ]
  })
  const height = y + 30
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      'font-family="system-ui, sans-serif" font-size="13" role="img">',
    `<title>${escaped([title, ...where].join('. '))}</title>`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6" fill="#ffffff" stroke="${GRID}"/>`,
    text(16, 28, title, 'font-size="16" font-weight="600"'),
    ...where.map((line, index) => text(16, 48 + index * LINE, line, `fill="${QUIET}"`)),
    ...axis,
    ...rows,
    '</svg>',
  ].join('\n')}\n`
}

function drawDot({ label, seconds, text: value, kind }: Dot, y: number, place: (seconds: number) => number): string[] {
  const color = { ours: OURS, peer: PEERS, mark: MARKS }[kind]
  const weight = kind === 'ours' ? ' font-weight="600"' : ''
  const end = LABELS + PLOT
  const name = text(LABELS - 10, y + 5, label, `text-anchor="end"${weight}`)
  if (seconds === null) {
    // Beyond the end of the axis, wherever that may be.
    return [
      name,
      `<line x1="${LABELS}" y1="${y}" x2="${end}" y2="${y}" stroke="${color}" stroke-dasharray="2 4"/>`,
      text(end + 12, y + 5, value, weight.trim()),
    ]
  }
  const [least, median, most] = [seconds.least, seconds.median, seconds.most].map((each) => place(each).toFixed(1))
  return [
    name,
    `<line x1="${LABELS}" y1="${y}" x2="${median}" y2="${y}" stroke="${color}" stroke-opacity="0.35"/>`,
    `<line x1="${least}" y1="${y}" x2="${most}" y2="${y}" stroke="${color}" stroke-width="4" stroke-linecap="round"/>`,
    `<circle cx="${median}" cy="${y}" r="5" fill="${color}"/>`,
    text(Number(most) + 12, y + 5, value, weight.trim()),
  ]
}

function decade(power: number): string {
  if (power >= 0) return `${10 ** power} s`
  return power >= -3 ? `${10 ** (power + 3)} ms` : `${Number((10 ** (power + 6)).toPrecision(3))} us`
}

function text(x: number, y: number, words: string, attributes = ''): string {
  const fill = attributes.includes('fill=') ? '' : ` fill="${TEXT}"`
  return `<text x="${x.toFixed(1)}" y="${y}"${fill}${attributes === '' ? '' : ` ${attributes}`}>${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
