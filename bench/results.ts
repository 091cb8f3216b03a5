// What a run found, as it is kept in JSON: everything that a report is made from.
import type { RequestCounts } from './minio.ts'
import type { NotTried } from './plan.ts'
import type { Temperature } from './workloads/index.ts'

/** Where in the run something was measured. */
export interface Cell {
  entries: number
  /** Added to every request to the store. */
  latencyMs: number
  /** From 1. */
  round: number
}

export interface Measurement extends Cell {
  system: string
  workload: string
  temperature: Temperature
  /** `over limit`: it was ended then, or not begun because a smaller one had been. */
  outcome: 'measured' | 'over limit' | 'failed'
  /** Up to the barrier, where the work writes; of one name for lookups. */
  seconds: number
  /** Of `create`: files a second at the beginning and at the end. */
  firstPerSec?: number
  lastPerSec?: number
  cost: Cost
}

export interface Cost {
  /** Of the system's processes. */
  daemonCpuSec: number
  /** Of the program that did the work. */
  commandCpuSec: number
  /** The sum over the system's processes of the most that each held. */
  peakRssBytes: number
  /** By MinIO's count. */
  requests: RequestCounts
  /** Null where they are not counted: no FUSE, or an older kernel. */
  fuseRequests: number | null
}

export const NO_COST: Cost = {
  daemonCpuSec: 0,
  commandCpuSec: 0,
  peakRssBytes: 0,
  requests: {},
  fuseRequests: null,
}

export interface Results {
  benchmark: string
  /** What made them, to be typed at the top of the repository. */
  commands: string[]
  date: string
  machine: string
  minio: string
  stepLimitSec: number
  /** What took longer was measured in one round only, where that could be. */
  onceOverSec: number
  withoutPeers: boolean
  systems: { id: string; title: string; version: string; note?: string; limit?: string }[]
  /** Peers that were wanted and are not here. */
  absent: { id: string; title: string; reason: string }[]
  /** What takes too long by a system's limits (its `limit` says why). */
  notTried: NotTried[]
  measurements: Measurement[]
  /** What went wrong; such figures are missing above. */
  failures: string[]
}

/** Results of several runs as those of one. Throws when two of them have the same latency and size: what stands in one
 *  table was measured side by side. */
export function mergeResults([first, ...others]: readonly [Results, ...Results[]]): Results {
  let merged = first
  for (const next of others) merged = mergeTwo(merged, next)
  return merged
}

function mergeTwo(a: Results, b: Results): Results {
  const tables = new Set(a.measurements.map(tableOf))
  const both = new Set(b.measurements.map(tableOf).filter((table) => tables.has(table)))
  if (both.size > 0) throw new Error(`more than one run has ${[...both].join(' and ')}`)
  const isMissing = <T extends { id: string }>(list: readonly { id: string }[], { id }: T) =>
    !list.some((each) => each.id === id)
  const systems = [...a.systems, ...b.systems.filter((system) => isMissing(a.systems, system))]
  const absent = [...a.absent, ...b.absent.filter((system) => isMissing(a.absent, system))]
  return {
    ...a,
    commands: [...a.commands, ...b.commands],
    withoutPeers: a.withoutPeers && b.withoutPeers,
    systems,
    absent: absent.filter((system) => isMissing(systems, system)),
    notTried: [...a.notTried, ...b.notTried],
    measurements: [...a.measurements, ...b.measurements],
    failures: [...a.failures, ...b.failures],
  }
}

const tableOf = ({ entries, latencyMs }: Cell): string => `${entries} entries, ${latencyMs} ms`
