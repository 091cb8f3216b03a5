// The chart: what it shows of results, and where.
import { describe, expect, test } from 'vitest'
import { drawResults } from '../../bench/chart.ts'
import { measurement, results } from './results.ts'

const measured = (system: string, seconds: number, part = {}) => measurement({ system, seconds, ...part })
const dots = (svg: string) => [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x))
const groups = (svg: string) => [...svg.matchAll(/font-weight="600">([^<]*: [\d,]+ files)</g)].map(([, title]) => title)

describe('the chart', () => {
  test('has a dot for each system, where its median lies on a logarithmic axis, and a bar for the spread', () => {
    const rounds = [1, 10, 100].map((seconds, index) => measured('juicefs', seconds, { round: index + 1 }))
    const svg = drawResults(results({ measurements: [measured('cairnfs', 0.1), ...rounds] }))!
    const [ours, theirs] = dots(svg) as [number, number]
    const [, bar] = [...svg.matchAll(/<line x1="([\d.]+)" y1="\d+" x2="([\d.]+)" [^>]*stroke-width="4"/g)]
    const [, least, most] = bar!
    // From 0.1 s to 100 s: three decades of the same length.
    const decade = (theirs - ours) / 2
    expect(Number(least) - ours).toBeCloseTo(decade, 0)
    expect(Number(most) - ours).toBeCloseTo(3 * decade, 0)
    for (const label of ['>100 ms<', '>1 s<', '>10 s<', '>100 s<', '>10.0 s<']) expect(svg).toContain(label)
  })

  test('says what was measured, on what and when', () => {
    const svg = drawResults(results({ measurements: [measured('cairnfs', 0.5)] }))!
    expect(svg).toContain('>Large directories: time, shorter is better (logarithmic)<')
    expect(svg).toContain('>Empty files in one directory, with one MinIO (of 2026-02-12) on the loopback; 2026-11-24<')
    expect(svg).toContain('>2 cores, 24 GiB, kernel 6.18, Node 20.20.2<')
    expect(groups(svg)).toEqual(['ls -lU, cold: 100,000 files'])
  })

  test('shows cold listings of the fewest, 100,000 and the most files, the rest at 100,000, without added latency', () => {
    const sizes = [10_000, 30_000, 100_000, 1_000_000].flatMap((entries) => [
      measured('cairnfs', 1, { entries }),
      measured('cairnfs', 1, { entries, temperature: 'warm' }),
      measured('cairnfs', 1, { entries, workload: 'rm' }),
      measured('cairnfs', 1, { entries: entries / 2, latencyMs: 30 }),
    ])
    const svg = drawResults(
      results({
        measurements: [...sizes, measured('cairnfs', 1, { entries: 5, workload: 'create', temperature: 'warm' })],
      }),
    )!
    expect(groups(svg)).toEqual([
      ...['10,000', '100,000', '1,000,000'].map((size) => `ls -lU, cold: ${size} files`),
      'ls -lU, warm: 100,000 files',
      'create, and sync: 5 files',
      'rm -rf, and sync: 100,000 files',
    ])
  })

  test('has a dashed line to its end for what was over the limit', () => {
    const over = measurement({ system: 's3fs', outcome: 'over limit', seconds: 180 })
    const svg = drawResults(results({ measurements: [measured('cairnfs', 0.5), over] }))!
    expect(dots(svg)).toHaveLength(1)
    expect(svg).toMatch(/<line x1="130" y1="(\d+)" x2="690" y2="\1" [^>]*stroke-dasharray/)
    expect(svg).toContain('>&gt; 180 s<')
  })

  test('brings its own background', () => {
    const svg = drawResults(results({ measurements: [measured('cairnfs', 0.5)] }))!
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!
    expect(svg).toContain(`width="${Number(width) - 1}" height="${Number(height) - 1}" rx="6" fill="#ffffff"`)
  })

  test('is well-formed', () => {
    const svg = drawResults(results({ measurements: [measured('cairnfs', 0.5), measured('juicefs', 1)] }))!
    const open: string[] = []
    for (const [, closing, name, selfClosing] of svg.matchAll(/<(\/?)(\w+)(?:\s[\w:-]+="[^"<]*")*\s*(\/?)>/g)) {
      if (closing === '/') expect(open.pop()).toBe(name)
      else if (selfClosing !== '/') open.push(name!)
    }
    expect(open).toEqual([])
    expect(svg.replaceAll(/<[^<>]*>/g, '')).not.toMatch(/[<>]/)
  })

  test('is none when nothing was measured that it shows', () => {
    expect(drawResults(results({ measurements: [measurement({ workload: 'stat' })] }))).toBeNull()
    expect(drawResults(results({ measurements: [measurement({ outcome: 'over limit' })] }))).toBeNull()
  })
})
