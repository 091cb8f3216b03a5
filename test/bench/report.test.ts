// What a report makes of results: medians, limits, ratios, marks in the document, and the chart.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { replaceMarked } from '../../bench/document.ts'
import { writeReport } from '../../bench/report.ts'
import { mergeResults } from '../../bench/results.ts'
import { judgeRounds, summarize } from '../../bench/statistics.ts'
import { formatSeconds, formatSpread } from '../../bench/units.ts'
import { measurement, results } from './results.ts'

/** The cells of the first row that begins with `title`, without it. */
function cellsOf(report: string, title: string): string[] | undefined {
  const line = report.split('\n').find((each) => each.startsWith(`| ${title} |`))
  return line
    ?.split('|')
    .slice(2, -1)
    .map((cell) => cell.trim())
}

describe('statistics', () => {
  test('the median is the middle one, or the mean of the two in the middle', () => {
    expect(summarize([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 })
    expect(summarize([4, 1, 2, 3])).toEqual({ median: 2.5, least: 1, most: 4 })
    expect(summarize([10, 9])).toEqual({ median: 9.5, least: 9, most: 10 })
  })

  test('one round over the limit, or failed, stands for all', () => {
    const fine = measurement({})
    expect(judgeRounds([]).kind).toBe('nothing')
    expect(judgeRounds([fine, fine]).kind).toBe('measured')
    expect(judgeRounds([fine, measurement({ outcome: 'over limit' })]).kind).toBe('over limit')
    expect(judgeRounds([measurement({ outcome: 'over limit' }), measurement({ outcome: 'failed' })]).kind).toBe(
      'failed',
    )
  })
})

describe('units', () => {
  test.each([
    [181.2, '181 s'],
    [52.14, '52.1 s'],
    [1.234, '1.23 s'],
    [0.9996, '1.00 s'],
    [0.63, '0.630 s'],
    [0.0996, '0.100 s'],
    [0.0053, '5.30 ms'],
    [0.000_041, '41.0 us'],
  ])('%d seconds read %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text)
  })

  test('a spread has one unit', () => {
    expect(formatSpread(0.09, 0.63)).toBe('0.090-0.630')
    expect(formatSpread(0.0009, 0.0053)).toBe('0.900-5.30')
  })
})

describe('the report', () => {
  const rounds = (system: string, seconds: number[], part = {}) =>
    seconds.map((each, index) => measurement({ system, seconds: each, round: index + 1, ...part }))

  test('has a column for each system that was measured, and median (least-most) in a row', () => {
    const report = writeReport(
      results({ measurements: [...rounds('cairnfs', [0.53, 0.51, 0.55]), ...rounds('juicefs', [0.7, 0.6, 0.65])] }),
    )
    expect(report).toContain('#### 100,000 files\n')
    expect(report).toContain('| cairnfs | JuiceFS |')
    expect(report).not.toContain('| s3fs |')
    expect(cellsOf(report, '`ls -lU`, cold')).toEqual(['0.530 s (0.510-0.550)', '0.650 s (0.600-0.700)'])
    expect(cellsOf(report, '`ls -lU`, warm')).toBeUndefined()
    expect(report).toContain('JuiceFS needs a Redis.')
  })

  test('has lines as long as the document, but for tables', () => {
    const lines = writeReport(results({ measurements: [measurement({})] })).split('\n')
    expect(lines.filter((line) => line.length > 120 && !line.startsWith('|'))).toEqual([])
    expect(lines.filter((line) => line.length > 100).length).toBeGreaterThan(2)
    expect(lines.join(' ')).toContain('Requests to the store are those that MinIO counted')
  })

  test('says what was over the limit, what failed and what was not run', () => {
    const report = writeReport(
      results({
        measurements: [
          ...rounds('cairnfs', [0.5]),
          ...rounds('cairnfs', [1], { temperature: 'warm' }),
          ...rounds('juicefs', [0], { outcome: 'failed' }),
          ...rounds('s3fs', [180], { outcome: 'over limit' }),
        ],
        failures: ['juicefs: it broke\nand more'],
      }),
    )
    expect(cellsOf(report, '`ls -lU`, cold')).toEqual(['0.500 s', 'failed', '> 180 s'])
    expect(cellsOf(report, '`ls -lU`, warm')).toEqual(['1.00 s', '-', '-'])
    expect(report).toContain('- juicefs: it broke\n')
    expect(report).not.toContain('and more')
  })

  test('has tables for each latency and size, smaller ones first', () => {
    const report = writeReport(
      results({
        measurements: [
          measurement({ entries: 1_000_000, latencyMs: 30 }),
          measurement({ entries: 30_000, latencyMs: 30 }),
          measurement({ entries: 1_000_000 }),
        ],
      }),
    )
    expect(report.match(/^#### .*$/gm)).toEqual([
      '#### Promised, and seen',
      '#### 1,000,000 files',
      '#### 30,000 files, 30 ms added per request',
      '#### 1,000,000 files, 30 ms added per request',
      '#### Who ran, and how',
    ])
  })

  test('says what was not tried, and why', () => {
    const limited = results({}).systems.map((system) =>
      system.id === 's3fs' ? { ...system, limit: 'it is slow' } : system,
    )
    const both = [
      ...rounds('cairnfs', [0.5]),
      ...rounds('cairnfs', [0.5], { workload: 'ls-f' }),
      ...rounds('cairnfs', [0.5], { workload: 'ls-f', temperature: 'warm' }),
      ...rounds('s3fs', [9]),
    ]
    const notTried = [
      { system: 's3fs', entries: 100_000, latencyMs: 0, workloads: ['ls-f'] },
      { system: 's3fs', entries: 100_000, latencyMs: 10, workloads: ['ls-lU'] },
    ]
    const report = writeReport(results({ systems: limited, measurements: both, notTried }))
    expect(cellsOf(report, '`ls -f`, cold')).toEqual(['0.500 s', 'not tried'])
    // It never has anything warm.
    expect(cellsOf(report, '`ls -f`, warm')).toEqual(['0.500 s', '-'])
    expect(cellsOf(report, '`ls -lU`, cold')).toEqual(['0.500 s', '9.00 s'])
    expect(report.replaceAll('\n  ', ' ')).toContain(
      '- **s3fs** 1.90. Not tried where the tables say so, or have no column for it: it is slow.',
    )
    expect(writeReport(results({ systems: limited, measurements: both }))).not.toContain('it is slow')
  })

  test('gives requests, CPU and memory with their spread, and the rates of create and rm', () => {
    const cost = {
      daemonCpuSec: 1.25,
      commandCpuSec: 9,
      peakRssBytes: 200 * 2 ** 20,
      requests: { GetObject: 9, PutObject: 3 },
    }
    const create = { workload: 'create', temperature: 'warm', firstPerSec: 9123.4, lastPerSec: 8900 } as const
    const bucket = { id: 'bucket', title: 'keys', version: '' }
    const report = writeReport(
      results({
        systems: [...results({}).systems, bucket],
        measurements: [
          measurement({ ...create, cost: { ...cost, fuseRequests: 1234 } }),
          measurement({ ...create, round: 2, cost: { ...cost, requests: { PutObject: 14 }, fuseRequests: 1234 } }),
          measurement({ workload: 'rm', firstPerSec: 8000, lastPerSec: 7000 }),
          measurement({ system: 'bucket', cost: { ...cost, peakRssBytes: 0, fuseRequests: null } }),
        ],
      }),
    )
    expect(report).toContain('| create, and sync | cairnfs | 13 (12-14) | 1,234 | 1.25 s | 200 MiB |')
    // The program's own CPU, where there is no daemon.
    expect(report).toContain('| `ls -lU`, cold | keys | 12 | - | 9.00 s | - |')
    expect(report.match(/^\| - files a second: first, last .*$/gm)).toEqual([
      '| - files a second: first, last | 9,123, 8,900 | - |',
      '| - files a second: first, last | 8,000, 7,000 | - |',
    ])
  })

  test('lets an earlier ratio to JuiceFS stand for a peer that is not here, in a table of its own that says so', () => {
    const absent = [{ id: 'zerofs', title: 'ZeroFS', reason: 'CAIRNFS_PEER_ZEROFS names no binary' }]
    const plain = writeReport(results({ absent, measurements: [measurement({}), ...rounds('juicefs', [0.315])] }))
    expect(plain).toContain('| cairnfs | JuiceFS |')
    expect(plain).toContain('#### Not run here: others, by their ratio to JuiceFS in an earlier run')
    expect(plain).toContain('|  | JuiceFS then | ZeroFS then | to JuiceFS | so ZeroFS here | JuiceFS here |')
    expect(cellsOf(plain, '`ls -lU`, cold, 100,000')).toEqual(['0.630 s', '0.780 s', '1.24', '~ 0.390 s', '0.315 s'])
    expect(plain).toContain('ZeroFS did not run (CAIRNFS_PEER_ZEROFS names no binary)')
    for (const without of [
      results({ absent, measurements: rounds('juicefs', [0.63], { latencyMs: 30 }) }),
      results({ absent, measurements: [measurement({})] }),
      results({ measurements: rounds('juicefs', [0.63]) }),
    ]) {
      expect(writeReport(without)).not.toContain('by their ratio')
    }
  })

  test('says that it was run without peers', () => {
    expect(writeReport(results({ withoutPeers: true }))).toContain('Run without peers')
    expect(writeReport(results({}))).not.toContain('Run without peers')
  })
})

describe('results of several runs', () => {
  const zerofs = { id: 'zerofs', title: 'ZeroFS' }

  test('are reported as those of one', () => {
    const [cairnfs, ...others] = results({}).systems
    const merged = mergeResults([
      results({
        systems: [cairnfs!],
        absent: [{ ...zerofs, reason: 'is not there' }],
        measurements: [measurement({ latencyMs: 30 })],
        withoutPeers: true,
      }),
      results({
        commands: ['npm run bench -- listing --latency 0'],
        systems: [cairnfs!, ...others, { ...zerofs, version: '2.3.0' }],
        measurements: [measurement({ latencyMs: 0 })],
        failures: ['it broke'],
      }),
    ])
    expect(merged.commands).toEqual(['npm run bench -- listing', 'npm run bench -- listing --latency 0'])
    expect(merged.systems.map(({ id }) => id)).toEqual(['cairnfs', 'juicefs', 's3fs', 'zerofs'])
    expect(merged).toMatchObject({ absent: [], withoutPeers: false, failures: ['it broke'] })
    expect(merged.measurements.map(({ latencyMs }) => latencyMs)).toEqual([30, 0])
  })

  test('are refused where one table would come from two runs', () => {
    const each = results({ measurements: [measurement({})] })
    expect(() => mergeResults([each, each])).toThrow('more than one run has 100000 entries, 0 ms')
  })
})

describe('the document', () => {
  const listing = { file: 'README.md', benchmark: 'listing' }
  const text = 'before\n<!-- bench: listing -->\nold\n<!-- end of bench: listing -->\nafter\n'

  test('is changed between the marks of its benchmark alone, and again in the same way', () => {
    const once = replaceMarked(text, { ...listing, content: 'new\n' })
    expect(once).toBe('before\n<!-- bench: listing -->\n\nnew\n\n<!-- end of bench: listing -->\nafter\n')
    expect(replaceMarked(once, { ...listing, content: 'new\n' })).toBe(once)
  })

  test.each(['docs/BENCHMARKS.md', 'README.md'])('%s has the marks', (file) => {
    const text = readFileSync(join(import.meta.dirname, '../..', file), 'utf8')
    expect(replaceMarked(text, { ...listing, file, content: 'new' })).toContain('<!-- bench: listing -->\n\nnew\n')
  })

  test('without the marks is left alone', () => {
    expect(() => replaceMarked(text, { ...listing, benchmark: 'data', content: 'new' })).toThrow(
      'README.md lacks the lines',
    )
  })
})
