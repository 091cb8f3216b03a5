// A chart in SVG: for some of the work a group of horizontal bars, one for each system, shorter is faster. The axis of a
// group is linear and ends at a multiple of the first system's time: longer bars are cut, and their numbers tell.

import type { Results } from './results.ts'
import { judgeRounds } from './statistics.ts'
import { formatCount, formatSeconds } from './units.ts'
import type { Temperature } from './workloads/index.ts'

/** What is shown, with a title in plain text. */
const GROUPS: readonly { workload: string; temperature: Temperature; title: string }[] = [
  { workload: 'ls-lU', temperature: 'cold', title: 'ls -lU, cold' },
  { workload: 'ls-lU', temperature: 'warm', title: 'ls -lU, warm' },
  { workload: 'create', temperature: 'warm', title: 'create, and sync' },
  { workload: 'rm', temperature: 'cold', title: 'rm -rf, and sync' },
]
/** The size that is shown, if it was measured; else the largest. */
const PREFERRED_ENTRIES = 100_000
/** The axis ends at so many times of cairnfs. */
const AXIS_TIMES = 12

const WIDTH = 760
const LABELS = 130
const BARS = 470
const ROW = 20
const BAR = 14

export interface Bar {
  label: string
  /** Null: over the limit, or failed; `text` tells. */
  seconds: number | null
  text: string
  isOurs: boolean
}

export interface Group {
  title: string
  bars: Bar[]
}

/** The SVG, or null when nothing was measured that it shows. */
export function drawResults(results: Results): string | null {
  const plain = results.measurements.filter(({ latencyMs }) => latencyMs === 0)
  const sizes = plain.map(({ entries }) => entries)
  const entries = sizes.includes(PREFERRED_ENTRIES) ? PREFERRED_ENTRIES : Math.max(...sizes)
  const groups = GROUPS.flatMap(({ workload, temperature, title }) => {
    const bars = results.systems.flatMap(({ id, title: label }): Bar[] => {
      const rounds = plain.filter(
        (each) =>
          each.system === id &&
          each.workload === workload &&
          each.temperature === temperature &&
          each.entries === entries,
      )
      const verdict = judgeRounds(rounds)
      const isOurs = id === 'cairnfs'
      if (verdict.kind === 'measured') {
        const seconds = verdict.seconds.median
        return [{ label, seconds, text: formatSeconds(seconds), isOurs }]
      }
      if (verdict.kind === 'over limit') {
        return [{ label, seconds: null, text: `> ${results.stepLimitSec} s`, isOurs }]
      }
      return []
    })
    return bars.length === 0 ? [] : [{ title, bars }]
  })
  return groups.length === 0 ? null : draw(`${formatCount(entries)} empty files in one directory`, groups)
}

export function draw(title: string, groups: readonly Group[]): string {
  const parts: string[] = []
  let y = 50
  for (const { title: name, bars } of groups) {
    parts.push(text(16, y, name, 'font-weight="600"'))
    y += 10
    const ours = bars.find(({ isOurs }) => isOurs)?.seconds
    const known = bars.flatMap(({ seconds }) => seconds ?? [])
    const longest = Math.max(...known, 0)
    const isCut = ours !== undefined && ours !== null && longest > ours * AXIS_TIMES
    const axis = isCut ? ours * AXIS_TIMES : longest
    for (const bar of bars) {
      parts.push(...drawBar(bar, y, axis))
      y += ROW
    }
    y += 22
  }
  const height = y
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      'font-family="system-ui, sans-serif" font-size="13" role="img">',
    `<title>${escaped(title)}: time, shorter is better</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(16, 24, `${title}: time, shorter is better`, 'font-size="15" font-weight="600"'),
    ...parts,
    '</svg>',
  ].join('\n')}\n`
}

function drawBar({ label, seconds, text: value, isOurs }: Bar, y: number, axis: number): string[] {
  const isLonger = seconds === null || seconds > axis
  const width = isLonger ? BARS : Math.max(2, axis === 0 ? 0 : (seconds / axis) * BARS)
  const middle = y + BAR - 3
  const cut = LABELS + BARS - 24
  return [
    text(LABELS - 8, middle, label, `text-anchor="end"${isOurs ? ' font-weight="600"' : ''}`),
    `<rect x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${isOurs ? '#1d6fd1' : '#9aa7b5'}"/>`,
    // A gap, where the bar is not drawn in full.
    ...(isLonger ? [`<path d="M${cut} ${y + BAR + 1}l6 ${-BAR - 2}h6l-6 ${BAR + 2}z" fill="#ffffff"/>`] : []),
    text(LABELS + width + 8, middle, value),
  ]
}

function text(x: number, y: number, words: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}" fill="#1f2933"${attributes === '' ? '' : ` ${attributes}`}>${escaped(words)}</text>`
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
