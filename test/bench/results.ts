// Results as a run might have found them.
import { type Measurement, NO_COST, type Results } from '../../bench/results.ts'

export function measurement(part: Partial<Measurement>): Measurement {
  return {
    ...{ system: 'cairnfs', workload: 'ls-lU', temperature: 'cold', entries: 100_000, latencyMs: 0, round: 1 },
    ...{ outcome: 'measured', seconds: 0.5, cost: NO_COST },
    ...part,
  }
}

export function results(part: Partial<Results>): Results {
  return {
    benchmark: 'listing',
    commands: ['npm run bench -- listing'],
    date: '2026-11-24T20:00:00.000Z',
    machine: '2 cores, 24 GiB, kernel 6.18, Node 20.20.2',
    minio: 'of 2026-02-12',
    stepLimitSec: 180,
    onceOverSec: 90,
    withoutPeers: false,
    systems: [
      { id: 'cairnfs', title: 'cairnfs', version: '0.1.0' },
      { id: 'juicefs', title: 'JuiceFS', version: '1.4.2', note: 'JuiceFS needs a Redis.' },
      { id: 's3fs', title: 's3fs', version: '1.90' },
    ],
    absent: [],
    notTried: [],
    measurements: [],
    failures: [],
    ...part,
  }
}
