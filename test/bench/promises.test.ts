// What the report says of promises: kept or not, by the numbers that were measured.
import { describe, expect, test } from 'vitest'
import { reportPromises } from '../../bench/promises.ts'
import { type Measurement, NO_COST } from '../../bench/results.ts'
import { measurement, results } from './results.ts'

const of = (system: string, part: Partial<Measurement> = {}) => measurement({ system, ...part })
const gets = (GetObject: number) => ({ cost: { ...NO_COST, requests: { GetObject, PutObject: 500 } } })
const fuse = (fuseRequests: number) => ({ temperature: 'warm' as const, cost: { ...NO_COST, fuseRequests } })
const create = { workload: 'create', temperature: 'warm' } as const
const late = { workload: 'first-entry', latencyMs: 30 } as const

/** Rows as "promised: seen: kept", of those whose promise has these words. */
function rowsOf(measurements: Measurement[], words: string): string[] {
  const text = reportPromises(results({ measurements })) ?? ''
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && line.includes(words))
    .map((line) => line.slice(2, -2).split(' | ').slice(1).join(': '))
}

describe('promises', () => {
  test.each<[string, Measurement[], string[], Measurement[], string[]]>([
    [
      'time of JuiceFS',
      [of('cairnfs', { seconds: 0.4 }), of('juicefs', { seconds: 0.5 })],
      ['0.80 (0.400 s and 0.500 s): yes'],
      [of('cairnfs', { seconds: 0.41 }), of('juicefs', { seconds: 0.5 })],
      ['0.82 (0.410 s and 0.500 s): **no**'],
    ],
    ['at most 12 GET', [of('cairnfs', gets(12))], ['12 GET: yes'], [of('cairnfs', gets(13))], ['13 GET: **no**']],
    ['at most 40 GET', [of('grown', gets(40))], ['40 GET: yes'], [of('grown', gets(41))], ['41 GET: **no**']],
    [
      'within 4 round trips',
      [of('cairnfs', { workload: 'first-entry', seconds: 0.01 }), of('cairnfs', { ...late, seconds: 0.13 })],
      ['4.0 (0.130 s): yes'],
      [of('cairnfs', { workload: 'first-entry', seconds: 0.01 }), of('cairnfs', { ...late, seconds: 0.16 })],
      ['5.0 (0.160 s): **no**'],
    ],
    [
      '30 ms added per request: under 1 s',
      [of('cairnfs', { latencyMs: 30, seconds: 0.999 })],
      ['0.999 s: yes'],
      [of('cairnfs', { latencyMs: 30, seconds: 1.01 })],
      ['1.01 s: **no**'],
    ],
    [
      'times of ext4',
      [of('cairnfs', { temperature: 'warm', seconds: 0.2 }), of('ext4', { temperature: 'warm', seconds: 0.1 })],
      ['2.00 (0.200 s and 0.100 s): yes'],
      [of('cairnfs', { temperature: 'warm', seconds: 0.3 }), of('ext4', { temperature: 'warm', seconds: 0.1 })],
      ['3.00 (0.300 s and 0.100 s): **no**'],
    ],
    ['no FUSE request', [of('cairnfs', fuse(1))], ['1: yes'], [of('cairnfs', fuse(2))], ['2: **no**']],
    [
      '1,000,000, cold',
      [of('cairnfs', { entries: 1_000_000, seconds: 5.9 })],
      ['5.90 s: yes'],
      [of('cairnfs', { entries: 1_000_000, seconds: 6.1 })],
      ['6.10 s: **no**'],
    ],
    [
      'create 100,000: at least',
      [of('cairnfs', { ...create, seconds: 12.5 })],
      ['8,000: yes'],
      [of('cairnfs', { ...create, seconds: 20 })],
      ['5,000: **no**'],
    ],
    [
      '`rm -rf` of 100,000: at least',
      [of('cairnfs', { workload: 'rm', seconds: 10 })],
      ['10,000: yes'],
      [of('cairnfs', { workload: 'rm', seconds: 20 })],
      ['5,000: **no**'],
    ],
    [
      'the last 10,000 at 0.9',
      [of('cairnfs', { ...create, firstPerSec: 100, lastPerSec: 90 })],
      ['0.90: yes'],
      [of('cairnfs', { workload: 'rm', firstPerSec: 100, lastPerSec: 80 })],
      ['0.80: **no**'],
    ],
    [
      '50 times faster',
      [of('cairnfs', { seconds: 1 }), of('s3fs', { seconds: 50 })],
      ['50 times (1.00 s and 50.0 s): yes'],
      [10_000, 100_000].flatMap((entries) => [
        of('cairnfs', { seconds: 1, entries }),
        of('s3fs', { seconds: 40, entries }),
      ]),
      Array(2).fill('40 times (1.00 s and 40.0 s): **no**'),
    ],
  ])('%s: the row says whether it is kept', (words, kept, rowsKept, broken, rowsBroken) => {
    expect(rowsOf(kept, words)).toEqual(rowsKept)
    expect(rowsOf(broken, words)).toEqual(rowsBroken)
  })

  test('are of medians, and of the most GETs of all rounds', () => {
    const rounds = [0.1, 0.2, 0.9].map((seconds, index) => of('cairnfs', { seconds, round: index + 1, ...gets(index) }))
    expect(rowsOf([...rounds, of('juicefs', { seconds: 1 })], 'time of JuiceFS')).toEqual([
      '0.20 (0.200 s and 1.00 s): yes',
    ])
    expect(rowsOf(rounds, 'at most 12 GET')).toEqual(['2 GET: yes'])
  })

  test('whose work was not measured, or failed, have no row', () => {
    expect(rowsOf([of('cairnfs'), of('juicefs', { outcome: 'failed' })], 'JuiceFS')).toEqual([])
    expect(reportPromises(results({ measurements: [of('ext4')] }))).toBeNull()
  })
})
