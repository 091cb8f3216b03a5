// What `bench -- data` says of results: tables, and promises kept or not by the numbers that were measured.
import { describe, expect, test } from 'vitest'
import { drawDataResults } from '../../bench/data/chart.ts'
import { reportDataPromises } from '../../bench/data/promises.ts'
import { writeDataReport } from '../../bench/data/report.ts'
import { type DataMeasurement, type DataResults, mergeDataResults } from '../../bench/data/results.ts'
import { type Cost, NO_COST } from '../../bench/results.ts'

function of(system: string, workload: string, seconds: number, part: Partial<DataMeasurement> = {}): DataMeasurement {
  return {
    ...{ system, workload, seconds, latencyMs: 0, memory: null, round: 1, outcome: 'measured' as const, cost: NO_COST },
    mountMemory: system === 'cairnfs' ? '1G' : null,
    ...part,
  }
}

const cost = (part: Partial<Cost>) => ({ cost: { ...NO_COST, ...part } })
const mib = (count: number) => cost({ peakRssBytes: count * 2 ** 20 })

function results(measurements: DataMeasurement[], part: Partial<DataResults> = {}): DataResults {
  return {
    ...{ benchmark: 'data', commands: ['npm run bench -- data'], date: '2026-11-28T05:00:00.000Z', machine: '2 cores' },
    ...{ minio: 'of 2026-02-12', stepLimitSec: 300, withoutPeers: false, absent: [], notTried: [], failures: [] },
    scale: { sizeBytes: 2 ** 30, treeFiles: 10_000, manyFiles: 100_000, runtimeSec: 2 },
    treeBytes: 100 * 2 ** 20,
    systems: [
      { id: 'cairnfs', title: 'cairnfs', version: '0.1.0' },
      { id: 'juicefs', title: 'JuiceFS', version: '1.4.2' },
      { id: 's3fs', title: 's3fs', version: '1.90' },
      { id: 'rclone', title: 'rclone', version: '1.75' },
      { id: 'raw', title: 'raw client', version: '' },
      { id: 'ext4', title: 'ext4', version: '1.47.0' },
    ],
    measurements,
    ...part,
  }
}

/** What was seen of the promises that have these words, and whether they were kept. */
function rowsOf(measurements: DataMeasurement[], words: string): string[] {
  return (reportDataPromises(results(measurements)) ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| ') && line.includes(words))
    .map((line) => line.slice(2, -2).split(' | ').slice(1).join(': '))
}

const many = (GetObject: number) =>
  of('cairnfs', 'many', 9, { ...cost({ requests: { GetObject } }), mountMemory: '256M', memory: '256M', segments: 130 })
const random = (system: string, perSec: number) => of(system, 'random-read-16', 10, { perSec })
const writes = (system: string, perSec: number, syncSec: number) =>
  of(system, 'random-write', 10 + syncSec, { perSec, syncSec })
const late = (workload: string, seconds: number) => of('cairnfs', workload, seconds, { latencyMs: 30 })
const slow = { latencyMs: 10 }

describe('promises of data', () => {
  test.each<[string, DataMeasurement[], string[], DataMeasurement[], string[]]>([
    [
      "cold sequential read: at least 0.8 of the raw client's rate",
      [of('cairnfs', 'read-cold', 2.5), of('raw', 'read-cold', 2)],
      ['0.80 (2.50 s and 2.00 s): yes'],
      [of('cairnfs', 'read-cold', 2.6), of('raw', 'read-cold', 2)],
      ['0.77 (2.60 s and 2.00 s): **no**'],
    ],
    [
      'write of a large file, and fsync: ahead of every peer',
      // Its fsync has sent nothing.
      [
        ...[of('cairnfs', 'write', 5), of('juicefs', 'write', 6), of('s3fs', 'write', 7), of('ext4', 'write', 1)],
        of('rclone', 'write', 1),
      ],
      ['5.00 s; JuiceFS 6.00 s: yes'],
      [of('cairnfs', 'write', 5), of('juicefs', 'write', 6), of('s3fs', 'write', 4), of('raw', 'write', 1)],
      ['5.00 s; s3fs 4.00 s: **no**'],
    ],
    [
      '1.7 s of CPU for a GiB',
      [
        of('cairnfs', 'read-cold', 2, cost({ daemonCpuSec: 1.7 })),
        of('juicefs', 'read-cold', 2, cost({ daemonCpuSec: 2 })),
      ],
      ['1.70 s (JuiceFS 2.00 s): yes'],
      [of('cairnfs', 'read-cold', 2, cost({ daemonCpuSec: 1.71 }))],
      ['1.71 s: **no**'],
    ],
    [
      'at least 0.8 of the rate without',
      [of('cairnfs', 'read-cold', 2), late('read-cold', 2.5)],
      ['0.80 (2.50 s and 2.00 s): yes'],
      [of('cairnfs', 'read-cold', 2), late('read-cold', 3)],
      ['0.67 (3.00 s and 2.00 s): **no**'],
    ],
    [
      'of the rate with 1 ms',
      [of('cairnfs', 'read-cold', 2, { latencyMs: 1 }), late('read-cold', 2.5)],
      ['0.80 (2.50 s and 2.00 s): yes'],
      [of('cairnfs', 'read-cold', 2, { latencyMs: 1 }), late('read-cold', 3)],
      ['0.67 (3.00 s and 2.00 s): **no**'],
    ],
    [
      'within 2 round trips',
      [of('cairnfs', 'first-byte', 0.01), late('first-byte', 0.07)],
      ['2.0 (70.0 ms): yes'],
      [of('cairnfs', 'first-byte', 0.01), late('first-byte', 0.1)],
      ['3.0 (0.100 s): **no**'],
    ],
    [
      'at least 10 times faster',
      [of('cairnfs', 'tree', 4), of('juicefs', 'tree', 40)],
      ['10 (4.00 s and 40.0 s): yes'],
      [of('cairnfs', 'tree-read', 4), of('juicefs', 'tree-read', 39)],
      ['9.75 (4.00 s and 39.0 s): **no**'],
    ],
    [
      'at least 40 times faster',
      [of('cairnfs', 'tree', 4, slow), of('juicefs', 'tree', 160, slow)],
      ['40 (4.00 s and 160 s): yes'],
      [of('cairnfs', 'tree', 5, slow), of('juicefs', 'tree', 160, slow)],
      ['32 (5.00 s and 160 s): **no**'],
    ],
    [
      '1.1 x bytes / 8 MiB + 20 PUT',
      [of('cairnfs', 'tree', 4, cost({ requests: { PutObject: 34 } }))],
      ['34 of 34: yes'],
      [of('cairnfs', 'tree', 4, cost({ requests: { PutObject: 35 } }))],
      ['35 of 34: **no**'],
    ],
    [
      '1.05 x bytes / 8 MiB + 4 GET',
      [of('cairnfs', 'read-cold', 4, cost({ requests: { GetObject: 139 } }))],
      ['139 of 139: yes'],
      [of('cairnfs', 'read-cold', 4, cost({ requests: { GetObject: 140 } }))],
      ['140 of 139: **no**'],
    ],
    [
      "16 jobs: at least 3 times JuiceFS's",
      [random('cairnfs', 30_000), random('juicefs', 10_000)],
      ['3.00 (30,000/s and 10,000/s): yes'],
      [random('cairnfs', 29_000), random('juicefs', 10_000)],
      ['2.90 (29,000/s and 10,000/s): **no**'],
    ],
    [
      '16 jobs: not behind s3fs',
      [random('cairnfs', 500), random('s3fs', 500)],
      ['1.00 (500/s and 500/s): yes'],
      [random('cairnfs', 400), random('s3fs', 500)],
      ['0.80 (400/s and 500/s): **no**'],
    ],
    [
      'the fsync counted',
      [writes('cairnfs', 40_000, 10), writes('juicefs', 1000, 0)],
      ['20 (20,000/s and 1,000/s): yes'],
      [writes('cairnfs', 30_000, 10), writes('juicefs', 1000, 0)],
      ['15 (15,000/s and 1,000/s): **no**'],
    ],
    [
      'one directory of many files',
      [many(270)],
      ['270 GET of 270, 130 segments: yes'],
      [many(271)],
      ['271 GET of 270, 130 segments: **no**'],
    ],
    [
      'at most --memory and 200 MiB',
      [of('cairnfs', 'write', 1, mib(1224)), of('cairnfs', 'tree', 1, mib(900))],
      ['1,224 MiB with --memory 1G (write): yes'],
      [of('cairnfs', 'write', 1, mib(1224)), of('cairnfs', 'tree', 1, { ...mib(457), mountMemory: '256M' })],
      ['457 MiB with --memory 256M (tree): **no**'],
    ],
  ])('%s', (words, kept, seenKept, broken, seenBroken) => {
    expect(rowsOf(kept, words)).toEqual(seenKept)
    expect(rowsOf(broken, words)).toEqual(seenBroken)
  })

  test('are left out when their work was not measured', () => {
    expect(reportDataPromises(results([]))).toBeNull()
    const scale = { ...results([]).scale, sizeBytes: 10 * 2 ** 20 }
    expect(reportDataPromises(results([of('cairnfs', 'write', 1)], { scale })) ?? '').not.toContain('for a GiB')
    expect(rowsOf([of('cairnfs', 'tree', 4)], 'JuiceFS')).toEqual([])
    expect(rowsOf([of('cairnfs', 'tree', 4), of('juicefs', 'tree', 40, { outcome: 'failed' })], 'JuiceFS')).toEqual([])
  })
})

describe('the report of data', () => {
  test('tells rates where they are what is looked for, with the spread of rounds, and times else', () => {
    const text = writeDataReport(
      results([
        ...[of('cairnfs', 'write', 2), of('cairnfs', 'write', 4, { round: 2 }), of('juicefs', 'write', 8)],
        ...[of('cairnfs', 'tree', 4), of('juicefs', 'tree', 0, { outcome: 'over limit' })],
        ...[of('cairnfs', 'fsync-each', 0.5), of('s3fs', 'fsync-each', 0, { outcome: 'failed' })],
        of('cairnfs', 'random-write', 12.5, { perSec: 20_000, eachSec: [19_000, 21_000], syncSec: 2.5 }),
      ]),
    )
    expect(text).toContain('| write a large file, and fsync | 384 MiB/s (256-512) | 128 MiB/s | - |')
    expect(text).toContain('| unpack a source tree, and sync | 4.00 s | > 300 s | - |')
    expect(text).toContain('| 200 files of 4 KiB, an fsync of each | 400/s | - | failed |')
    expect(text).toContain('| random writes of 4 KiB into it, cold | 20,000/s; the fsync 2.50 s | - | - |')
    expect(text).toContain('| random writes of 4 KiB into it, cold | cairnfs | 19,000 21,000 |')
  })

  test('has a table for each latency, and for other memory, and says what was not tried', () => {
    const measurements = [
      of('cairnfs', 'write', 2, { memory: '256M' }),
      ...[of('cairnfs', 'write', 2, { latencyMs: 30 }), of('cairnfs', 'tree', 2), of('s3fs', 'write', 2)],
    ]
    const notTried = [{ latencyMs: 0, memory: null, system: 's3fs', workloads: ['tree'] }]
    const text = writeDataReport(
      results(measurements, {
        notTried,
        failures: ['it broke\nat length', 'a: Traceback (most recent):\n  File x\nOSError: no'],
      }),
    )
    expect([...text.matchAll(/^#### Data, (.*)$/gm)].map(([, title]) => title)).toEqual([
      ...['no latency added', '30 ms added per request', 'no latency added, --memory 256M'],
    ])
    expect(text).toContain('| unpack a source tree, and sync | 2.00 s | not tried |')
    expect(text).toContain('- it broke\n- a: OSError: no\n')
  })

  test('is of several runs when they have no table in common, and are of one scale', () => {
    const [one, other] = [results([of('cairnfs', 'write', 2)]), results([late('write', 2)])]
    expect(mergeDataResults([one, other]).measurements).toHaveLength(2)
    expect(mergeDataResults([one, other]).systems).toHaveLength(6)
    expect(() => mergeDataResults([one, one])).toThrow('more than one run has 0 ms')
    expect(() => mergeDataResults([one, { ...other, treeBytes: 1 }])).toThrow('differ')
  })
})

describe('the chart', () => {
  const groups = (svg: string) =>
    [...svg.matchAll(/<text x="130.0" [^>]*font-weight="600">([^<]*)</g)].map(([, title]) => title)

  test('shows work without latency and with the default memory, each system and the ceilings', () => {
    const svg = drawDataResults(
      results([
        ...[of('cairnfs', 'write', 2), of('raw', 'write', 1.5), of('juicefs', 'write', 3), late('write', 9)],
        ...[of('cairnfs', 'write', 8, { memory: '256M' }), of('cairnfs', 'tree', 0.5)],
        of('s3fs', 'tree', 300, { outcome: 'over limit' }),
      ]),
    )!
    expect(groups(svg)).toEqual(['write 1,024 MiB, and fsync', 'unpack a source tree of 10,000 files, and sync'])
    expect([...svg.matchAll(/<circle/g)]).toHaveLength(4)
    for (const words of ['>2.00 s<', '>1.50 s<', '>&gt; 300 s<', '2026-11-28']) expect(svg).toContain(words)
  })

  test('is none where nothing of that was measured', () => {
    expect(drawDataResults(results([late('write', 2), of('cairnfs', 'read-warm', 1)]))).toBeNull()
  })
})
