// What large directories must show (issue 5), and what the results say of it: a table of promised and seen. A promise whose
// work was not measured is left out.
import { table } from './markdown.ts'
import type { Measurement, Results } from './results.ts'
import { type Measured, measuredOf, type Query, summarize } from './statistics.ts'
import { formatCount, formatSeconds } from './units.ts'

interface Seen {
  text: string
  isKept: boolean
}

interface Promised {
  text: string
  /** Null: it was not measured. */
  see(measurements: readonly Measurement[]): Seen | null
}

const LISTED = 100_000
/** Round trips are seen as time, that of so much latency. */
const TRIP_MS = 30
const TRIPS = 4
/** By which times of single requests differ from round to round, in round trips: 15 ms. */
const TRIPS_NOISE = 0.5

const PROMISES: readonly Promised[] = [
  {
    text: '`ls -lU` of 100,000, cold: at most 0.8 of the time of JuiceFS with Redis',
    see: ratio({ system: 'cairnfs' }, { system: 'juicefs' }, 0.8),
  },
  { text: '`ls -lU` of 100,000, cold: at most 12 GET', see: gets({ system: 'cairnfs' }, 12) },
  {
    text: 'the first of 100,000 entries, cold: within 4 round trips (of 30 ms)',
    see: (measurements) => {
      const first = { system: 'cairnfs', workload: 'first-entry', temperature: 'cold', entries: LISTED } as const
      const plain = measuredOf(measurements, { ...first, latencyMs: 0 })
      const late = measuredOf(measurements, { ...first, latencyMs: TRIP_MS })
      if (plain === null || late === null) return null
      const trips = Math.max(0, (late.seconds.median - plain.seconds.median) / (TRIP_MS / 1000))
      return {
        text: `${trips.toFixed(1)} (${formatSeconds(late.seconds.median)})`,
        isKept: trips <= TRIPS + TRIPS_NOISE,
      }
    },
  },
  {
    text: '`ls -lU` of 100,000, cold, 30 ms added per request: under 1 s',
    see: within({ system: 'cairnfs', latencyMs: 30 }, 1),
  },
  {
    text: '`ls -lU` of 100,000, warm: within 2 times of ext4',
    see: ratio({ system: 'cairnfs', temperature: 'warm' }, { system: 'ext4', temperature: 'warm' }, 2),
  },
  {
    text: '`ls -lU` of 100,000, warm: no FUSE request but the first',
    see: (measurements) => {
      const warm = measuredOf(measurements, listing({ system: 'cairnfs', temperature: 'warm' }))
      const counts = warm?.rounds.flatMap(({ cost }) => cost.fuseRequests ?? []) ?? []
      if (counts.length === 0) return null
      const most = Math.max(...counts)
      return { text: formatCount(most), isKept: most <= 1 }
    },
  },
  {
    text: '`ls -lU` of 1,000,000, cold: under 6 s',
    see: within({ system: 'cairnfs', entries: 1_000_000 }, 6),
  },
  {
    text: '`ls -lU` of 100,000, cold, grown by 100 at each of 1,000 checkpoints: at most 40 GET',
    see: gets({ system: 'grown' }, 40),
  },
  { text: 'create 100,000: at least 8,000 a second', see: rate('create', 'warm') },
  { text: 'create 100,000: the last 10,000 at 0.9 of the rate of the first 10,000', see: steadiness('create', 'warm') },
  { text: '`rm -rf` of 100,000: at least 8,000 a second', see: rate('rm', 'cold') },
  {
    text: '`rm -rf` of 100,000: the last 10,000 at 0.9 of the rate of the first 10,000',
    see: steadiness('rm', 'cold'),
  },
  ...[10_000, LISTED].map((entries) => ({
    text: `\`ls -lU\` of ${formatCount(entries)}, cold: at least 50 times faster than s3fs`,
    see: (measurements: readonly Measurement[]) => {
      const pair = both(measurements, { system: 'cairnfs', entries }, { system: 's3fs', entries })
      if (pair === null) return null
      const times = pair[1].seconds.median / pair[0].seconds.median
      return { text: `${formatCount(times)} times (${timesOf(pair)})`, isKept: times >= 50 }
    },
  })),
]

/** Null when nothing of it was measured. */
export function reportPromises({ measurements }: Results): string | null {
  const rows = PROMISES.flatMap(({ text, see }) => {
    const seen = see(measurements)
    return seen === null ? [] : [[text, seen.text, seen.isKept ? 'yes' : '**no**']]
  })
  return rows.length === 0 ? null : table(['promised', 'seen', 'kept'], rows)
}

/** A cold `ls -lU` of 100,000 files without latency, but for what `query` says. */
function listing(query: Query): Query {
  return { workload: 'ls-lU', temperature: 'cold', entries: LISTED, latencyMs: 0, ...query }
}

function both(measurements: readonly Measurement[], ours: Query, theirs: Query): [Measured, Measured] | null {
  const [one, other] = [measuredOf(measurements, listing(ours)), measuredOf(measurements, listing(theirs))]
  return one === null || other === null ? null : [one, other]
}

function timesOf(pair: readonly Measured[]): string {
  return pair.map(({ seconds }) => formatSeconds(seconds.median)).join(' and ')
}

function ratio(ours: Query, theirs: Query, most: number): Promised['see'] {
  return (measurements) => {
    const pair = both(measurements, ours, theirs)
    if (pair === null) return null
    const share = pair[0].seconds.median / pair[1].seconds.median
    return { text: `${share.toFixed(2)} (${timesOf(pair)})`, isKept: share <= most }
  }
}

function within(query: Query, mostSec: number): Promised['see'] {
  return (measurements) => {
    const verdict = measuredOf(measurements, listing(query))
    if (verdict === null) return null
    const { median } = verdict.seconds
    return { text: formatSeconds(median), isKept: median < mostSec }
  }
}

/** The most of all rounds: counts do not drift. */
function gets(query: Query, most: number): Promised['see'] {
  return (measurements) => {
    const verdict = measuredOf(measurements, listing(query))
    if (verdict === null) return null
    const count = Math.max(...verdict.rounds.map(({ cost }) => cost.requests.GetObject ?? 0))
    return { text: `${count} GET`, isKept: count <= most }
  }
}

function rate(workload: string, temperature: 'cold' | 'warm'): Promised['see'] {
  return (measurements) => {
    const verdict = measuredOf(measurements, listing({ system: 'cairnfs', workload, temperature }))
    if (verdict === null) return null
    const perSec = LISTED / verdict.seconds.median
    return { text: formatCount(perSec), isKept: perSec >= 8000 }
  }
}

function steadiness(workload: string, temperature: 'cold' | 'warm'): Promised['see'] {
  return (measurements) => {
    const verdict = measuredOf(measurements, listing({ system: 'cairnfs', workload, temperature }))
    const shares = verdict?.rounds.flatMap(({ firstPerSec, lastPerSec }) =>
      firstPerSec === undefined || lastPerSec === undefined ? [] : [lastPerSec / firstPerSec],
    )
    if (shares === undefined || shares.length === 0) return null
    const { median } = summarize(shares)
    return { text: median.toFixed(2), isKept: median >= 0.9 }
  }
}
