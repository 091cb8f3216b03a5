// What reading and writing must show (issue 6), and what the results say of it: a table of promised and seen. A promise
// whose work was not measured is left out. Figures that depend on sizes are scaled to those of the run.
import { parseSize } from '../../src/cli/units.ts'
import { table } from '../markdown.ts'
import { type Measured, measuredOf, select, summarize } from '../statistics.ts'
import { formatCount, formatSeconds } from '../units.ts'
import { PROXY_ALONE_MS } from './plan.ts'
import type { DataMeasurement, DataResults } from './results.ts'
import { SENDS_AFTER_MS } from './systems.ts'

interface Seen {
  text: string
  isKept: boolean
}

interface Promised {
  text: string
  /** Null: it was not measured. */
  see(results: DataResults): Seen | null
}

type Work = Partial<Pick<DataMeasurement, 'system' | 'workload' | 'latencyMs'>>

const SEGMENT_BYTES = 8 << 20
const GIB = 2 ** 30
const MIB = 2 ** 20
/** Round trips are seen as time, that of so much latency. */
const TRIP_MS = 30
const TRIPS = 2
/** By which times of single requests differ from round to round, in round trips: 15 ms. */
const TRIPS_NOISE = 0.5
/** A shorter file is over before the daemon has warmed up, and says nothing of a GiB. */
const LARGE_BYTES = GIB / 4
/** What resident memory may have beyond --memory. */
const RSS_BEYOND_BYTES = 200 * MIB
/** What is no peer. */
const NO_PEERS = ['cairnfs', 'cairnfs-native', 'raw', 'ext4']

const PROMISES: readonly Promised[] = [
  ...[
    { workload: 'read-cold', what: 'cold sequential read', cpuSec: 1.7 },
    { workload: 'write', what: 'write of a large file, and fsync', cpuSec: 2.4 },
  ].flatMap(({ workload, what, cpuSec }): Promised[] => [
    {
      text: `${what}: at least 0.8 of the raw client's rate`,
      see: times({ system: 'raw', workload }, { workload }, 0.8),
    },
    {
      text: `${what}: ahead of every peer${workload === 'write' ? ' whose fsync sends it' : ''}`,
      see: aheadOfPeers(workload),
    },
    { text: `${what}: at most ${cpuSec} s of CPU for a GiB`, see: cpu(workload, cpuSec) },
  ]),
  {
    text: 'cold sequential read, 30 ms added per request: at least 0.8 of the rate without',
    see: times({ workload: 'read-cold' }, { workload: 'read-cold', latencyMs: TRIP_MS }, 0.8),
  },
  {
    text: 'the same: at least 0.8 of the rate with 1 ms, through the same proxy, which takes its part of the processor',
    see: times(
      { workload: 'read-cold', latencyMs: PROXY_ALONE_MS },
      { workload: 'read-cold', latencyMs: TRIP_MS },
      0.8,
    ),
  },
  { text: 'the first byte of a cold file in a listed directory: within 2 round trips (of 30 ms)', see: firstByte },
  ...[
    { latencyMs: 0, least: 10, added: '' },
    { latencyMs: 10, least: 40, added: ', 10 ms added per request' },
  ].flatMap(({ latencyMs, least, added }): Promised[] =>
    [
      { workload: 'tree', what: 'unpack a source tree, and sync' },
      { workload: 'tree-read', what: '`tar c` of it, cold' },
    ].map(({ workload, what }) => ({
      text: `${what}${added}: at least ${least} times faster than JuiceFS`,
      see: times({ system: 'juicefs', workload, latencyMs }, { workload, latencyMs }, least),
    })),
  ),
  {
    text: 'unpack a source tree, and sync: at most 1.1 x bytes / 8 MiB + 20 PUT',
    see: requests('tree', 'PutObject', ({ treeBytes }) => Math.ceil((1.1 * treeBytes) / SEGMENT_BYTES) + 20),
  },
  {
    text: 'cold sequential read: at most 1.05 x bytes / 8 MiB + 4 GET',
    see: requests('read-cold', 'GetObject', ({ scale }) => Math.ceil((1.05 * scale.sizeBytes) / SEGMENT_BYTES) + 4),
  },
  {
    text: '`tar c` of a source tree, cold: at most 2 GET for each segment that it can fill, one of metadata, and 10',
    see: requests('tree-read', 'GetObject', ({ treeBytes }) => 2 * (Math.ceil(treeBytes / SEGMENT_BYTES) + 1) + 10),
  },
  {
    text: '200 files of 4 KiB, an fsync of each: at least 1.3 times the rate of JuiceFS',
    see: times({ system: 'juicefs', workload: 'fsync-each' }, { workload: 'fsync-each' }, 1.3),
  },
  {
    text: '200 files of 4 KiB, an fsync of each: 1 PUT for each',
    see: requests('fsync-each', 'PutObject', () => 200),
  },
  ...[1, 16].flatMap((jobs): Promised[] => {
    const workload = `random-read-${jobs}`
    const what = `random reads of 4 KiB, ${jobs} ${jobs === 1 ? 'job' : 'jobs'}`
    return [
      { text: `${what}: at least 3 times JuiceFS's`, see: operations(workload, 'juicefs', 3) },
      { text: `${what}: not behind s3fs`, see: operations(workload, 's3fs', 1) },
    ]
  }),
  {
    text: "random writes of 4 KiB with one fsync at the end: at least 20 times JuiceFS's, the fsync counted",
    see: operations('random-write', 'juicefs', 20),
  },
  {
    text: '`tar c` of one directory of many files, cold, --memory 256M: at most 2 GET for each segment, and 10',
    see: manyGets,
  },
  { text: 'peak memory in everything: at most --memory and 200 MiB', see: (results) => memory(results, () => true) },
  {
    text: 'peak memory with --memory 256M: at most 456 MiB',
    see: (results) => memory(results, ({ mountMemory }) => mountMemory === '256M'),
  },
]

/** Null when nothing of it was measured. */
export function reportDataPromises(results: DataResults): string | null {
  const rows = PROMISES.flatMap(({ text, see }) => {
    const seen = see(results)
    return seen === null ? [] : [[text, seen.text, seen.isKept ? 'yes' : '**no**']]
  })
  return rows.length === 0 ? null : table(['promised', 'seen', 'kept'], rows)
}

/** Of cairnfs without latency and with the memory that is the table's default, but for what `work` says. */
function measured({ measurements }: DataResults, work: Work): Measured<DataMeasurement> | null {
  return measuredOf(measurements, { system: 'cairnfs', latencyMs: 0, memory: null, ...work })
}

/** How many times the one takes of the other's time. */
function times(slow: Work, fast: Work, least: number): Promised['see'] {
  return (results) => {
    const [one, other] = [measured(results, slow), measured(results, fast)]
    if (one === null || other === null) return null
    const factor = one.seconds.median / other.seconds.median
    const both = [other, one].map(({ seconds }) => formatSeconds(seconds.median)).join(' and ')
    return { text: `${formatFactor(factor)} (${both})`, isKept: factor >= least }
  }
}

/** Whose fsync sends nothing has not written by then. */
function aheadOfPeers(workload: string): Promised['see'] {
  const isPeer = (id: string) => !NO_PEERS.includes(id) && (workload !== 'write' || SENDS_AFTER_MS[id] === undefined)
  return (results) => {
    const ours = measured(results, { workload })
    const peers = results.systems.flatMap(({ id, title }) => {
      const theirs = isPeer(id) ? measured(results, { system: id, workload }) : null
      return theirs === null ? [] : [{ title, sec: theirs.seconds.median }]
    })
    const [fastest] = peers.toSorted((a, b) => a.sec - b.sec)
    if (ours === null || fastest === undefined) return null
    const { median } = ours.seconds
    return {
      text: `${formatSeconds(median)}; ${fastest.title} ${formatSeconds(fastest.sec)}`,
      isKept: median < fastest.sec,
    }
  }
}

function cpu(workload: string, mostSec: number): Promised['see'] {
  return (results) => {
    if (results.scale.sizeBytes < LARGE_BYTES) return null
    const perGib = (system: string): number | null => {
      const verdict = measured(results, { system, workload })
      if (verdict === null) return null
      return summarize(verdict.rounds.map(({ cost }) => cost.daemonCpuSec)).median / (results.scale.sizeBytes / GIB)
    }
    const [ours, theirs] = [perGib('cairnfs'), perGib('juicefs')]
    if (ours === null) return null
    const beside = theirs === null ? '' : ` (JuiceFS ${theirs.toFixed(2)} s)`
    return { text: `${ours.toFixed(2)} s${beside}`, isKept: ours <= mostSec }
  }
}

function firstByte(results: DataResults): Seen | null {
  const plain = measured(results, { workload: 'first-byte' })
  const late = measured(results, { workload: 'first-byte', latencyMs: TRIP_MS })
  if (plain === null || late === null) return null
  const trips = Math.max(0, (late.seconds.median - plain.seconds.median) / (TRIP_MS / 1000))
  return { text: `${trips.toFixed(1)} (${formatSeconds(late.seconds.median)})`, isKept: trips <= TRIPS + TRIPS_NOISE }
}

/** The most of all rounds: counts do not drift. */
function requests(workload: string, api: string, most: (results: DataResults) => number): Promised['see'] {
  return (results) => {
    const verdict = measured(results, { workload })
    if (verdict === null) return null
    const count = Math.max(...verdict.rounds.map(({ cost }) => cost.requests[api] ?? 0))
    return { text: `${formatCount(count)} of ${formatCount(most(results))}`, isKept: count <= most(results) }
  }
}

/** How many a second, an fsync at the end counted. */
function operations(workload: string, peer: string, least: number): Promised['see'] {
  return (results) => {
    const rate = (system: string): number | null => {
      const verdict = measured(results, { system, workload })
      const rates = verdict?.rounds.flatMap(({ perSec, syncSec = 0, seconds }) =>
        perSec === undefined ? [] : [(perSec * (seconds - syncSec)) / seconds],
      )
      return rates === undefined || rates.length === 0 ? null : summarize(rates).median
    }
    const [ours, theirs] = [rate('cairnfs'), rate(peer)]
    if (ours === null || theirs === null) return null
    const factor = ours / theirs
    return {
      text: `${formatFactor(factor)} (${formatCount(ours)}/s and ${formatCount(theirs)}/s)`,
      isKept: factor >= least,
    }
  }
}

/** Whichever table has it. */
function manyGets({ measurements }: DataResults): Seen | null {
  const rounds = select(measurements, {
    system: 'cairnfs',
    workload: 'many',
    outcome: 'measured',
    latencyMs: 0,
  }).filter(({ mountMemory, segments }) => mountMemory === '256M' && segments !== undefined)
  if (rounds.length === 0) return null
  const budgets = rounds.map(({ cost, segments = 0 }) => ({
    gets: cost.requests.GetObject ?? 0,
    allowed: 2 * segments + 10,
    segments,
  }))
  const worst = budgets.toSorted((a, b) => b.gets - b.allowed - (a.gets - a.allowed))[0]!
  const text = `${formatCount(worst.gets)} GET of ${formatCount(worst.allowed)}, ${formatCount(worst.segments)} segments`
  return { text, isKept: worst.gets <= worst.allowed }
}

/** The work that comes nearest to the limit, or goes beyond it most. */
function memory({ measurements }: DataResults, isCounted: (measurement: DataMeasurement) => boolean): Seen | null {
  const peaks = select(measurements, { system: 'cairnfs', outcome: 'measured' }).flatMap((measurement) => {
    const { workload, mountMemory, cost } = measurement
    if (mountMemory === null || !isCounted(measurement)) return []
    const beyondBytes = cost.peakRssBytes - parseSize(mountMemory)
    return [{ workload, mountMemory, beyondBytes, peakBytes: cost.peakRssBytes }]
  })
  const [most] = peaks.toSorted((a, b) => b.beyondBytes - a.beyondBytes)
  if (most === undefined) return null
  const { workload, mountMemory, beyondBytes, peakBytes } = most
  return {
    text: `${formatCount(peakBytes / MIB)} MiB with --memory ${mountMemory} (${workload})`,
    isKept: beyondBytes <= RSS_BEYOND_BYTES,
  }
}

function formatFactor(factor: number): string {
  return factor >= 9.95 ? formatCount(factor) : factor.toFixed(2)
}
