// What a run of `bench -- data` found, as it is kept in JSON.
import type { Measurement, Results } from '../results.ts'
import type { Scale } from './workload.ts'

/** What one table of the report shows. */
export interface Table {
  /** Added to every request to the store. */
  latencyMs: number
  /** cairnfs's --memory for everything in it; null: its default, or what a workload says. */
  memory: string | null
}

export interface DataMeasurement
  extends Table,
    Pick<Measurement, 'system' | 'workload' | 'outcome' | 'seconds' | 'cost'> {
  /** From 1. */
  round: number
  /** What cairnfs was mounted with; null for the others. */
  mountMemory: string | null
  /** Of random reads and writes: how many a second in all, and in each second; the fsync after writes, part of `seconds`. */
  perSec?: number
  eachSec?: number[]
  syncSec?: number
  /** Of the volume, where they are counted. */
  segments?: number
}

export interface DataNotTried extends Table {
  system: string
  workloads: string[]
}

export interface DataResults extends Omit<Results, 'measurements' | 'notTried' | 'onceOverSec'> {
  benchmark: 'data'
  scale: Scale
  /** Of the source tree that `scale` says. */
  treeBytes: number
  notTried: DataNotTried[]
  measurements: DataMeasurement[]
}

export const isSameTable = (a: Table, b: Table): boolean => a.latencyMs === b.latencyMs && a.memory === b.memory

/** Tables in the order of a reader: by latency, and with the default memory first. */
export function tablesOf(measurements: readonly Table[]): Table[] {
  const tables: Table[] = []
  for (const { latencyMs, memory } of measurements) {
    if (!tables.some((table) => isSameTable(table, { latencyMs, memory }))) tables.push({ latencyMs, memory })
  }
  return tables.toSorted((a, b) => rank(a.memory) - rank(b.memory) || a.latencyMs - b.latencyMs)
}

const rank = (memory: string | null): number => (memory === null ? 0 : 1)

/** Results of several runs as those of one. Throws when they differ in scale, or when two have the same table: what
 *  stands in one was measured side by side. */
export function mergeDataResults([first, ...others]: readonly [DataResults, ...DataResults[]]): DataResults {
  let merged = first
  for (const next of others) merged = mergeTwo(merged, next)
  return merged
}

function mergeTwo(a: DataResults, b: DataResults): DataResults {
  if (JSON.stringify([a.scale, a.treeBytes]) !== JSON.stringify([b.scale, b.treeBytes])) {
    throw new Error('the runs differ in sizes or in the time of random work')
  }
  for (const table of tablesOf(b.measurements)) {
    if (!a.measurements.some((each) => isSameTable(each, table))) continue
    throw new Error(
      `more than one run has ${table.latencyMs} ms with --memory ${table.memory ?? 'as it is by default'}`,
    )
  }
  const add = <T extends { id: string }>(list: readonly T[], more: readonly T[]): T[] => [
    ...list,
    ...more.filter(({ id }) => !list.some((each) => each.id === id)),
  ]
  const systems = add(a.systems, b.systems)
  return {
    ...a,
    commands: [...a.commands, ...b.commands],
    withoutPeers: a.withoutPeers && b.withoutPeers,
    systems,
    absent: add(a.absent, b.absent).filter(({ id }) => !systems.some((each) => each.id === id)),
    notTried: [...a.notTried, ...b.notTried],
    measurements: [...a.measurements, ...b.measurements],
    failures: [...a.failures, ...b.failures],
  }
}
