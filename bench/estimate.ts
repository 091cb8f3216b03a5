// How long work takes, roughly, for the time that is left and for --plan: as measured on 2 cores beside other work, on
// 2026-11-25. Nothing else depends on it.
import type { Part, Task } from './plan.ts'
import type { Cell } from './results.ts'
import type { Workload } from './workloads/index.ts'

interface Pace {
  /** A fresh volume, and taking it away. */
  runSec: number
  /** Unmounting, dropping caches, mounting, and counting what a step cost. */
  remountSec: number
  /** By workload, cold and warm together: what 100,000 files add. */
  sec: Readonly<Record<string, number>>
  /** Once, of a shared directory or one that is loaded: 100,000 files. */
  fillSec?: number
}

const UNKNOWN: Pace = { runSec: 3, remountSec: 2, sec: { create: 100, 'ls-lU': 40, rm: 100 } }
const PACES: Readonly<Record<string, Pace>> = {
  cairnfs: { runSec: 2, remountSec: 2.6, sec: { create: 11, 'ls-f': 0.6, 'ls-lU': 1, 'find-size': 1, rm: 10 } },
  'cairnfs-native': {
    runSec: 2,
    remountSec: 2.6,
    sec: { create: 16, 'ls-f': 1.2, 'ls-lU': 15, 'find-size': 15, rm: 25 },
  },
  grown: { runSec: 2, remountSec: 2.6, sec: { 'ls-f': 0.6, 'ls-lU': 1, 'find-size': 1 }, fillSec: 90 },
  juicefs: {
    ...{ runSec: 2, remountSec: 1.4, fillSec: 3 },
    sec: { create: 65, 'ls-f': 0.5, 'ls-lU': 1.5, 'find-size': 15, rm: 60 },
  },
  seaweedfs: { runSec: 5, remountSec: 2, sec: { create: 105, 'ls-f': 3, 'ls-lU': 35, 'find-size': 3, rm: 60 } },
  // First of those that read keys: it fills their bucket.
  s3fs: {
    ...{ runSec: 3, remountSec: 1.4, fillSec: 100 },
    sec: { 'first-entry': 55, 'ls-f': 60, 'ls-lU': 70, 'find-size': 70 },
  },
  rclone: {
    ...{ runSec: 1, remountSec: 1.4 },
    sec: { 'first-entry': 20, 'ls-f': 20, 'ls-lU': 130, 'find-size': 120, stat: 20, 'stat-missing': 20 },
  },
  bucket: { runSec: 1, remountSec: 1, sec: { 'ls-f': 7, 'ls-lU': 100, 'find-size': 7 } },
  ext4: { runSec: 2, remountSec: 1.4, sec: { create: 8, 'ls-f': 0.5, 'ls-lU': 2, 'find-size': 2, rm: 3 } },
}

/** One run of one system: in rounds after the first without what all rounds share, and without what takes longer than
 *  `onceOverSec`. */
export function estimateSec({ system, workloads }: Task, cell: Cell, onceOverSec: number): number {
  const { runSec, remountSec, sec, fillSec } = PACES[system.id] ?? UNKNOWN
  const size = cell.entries / 100_000
  const secOf = (id: string) => (sec[id] ?? 0) * size
  const isOnce = ({ id, kind }: Workload) => secOf(id) > onceOverSec && (kind !== 'create' || fillSec !== undefined)
  const run = cell.round === 1 ? workloads : workloads.filter((workload) => !isOnce(workload))
  const isFilled =
    system.filling === 'created' ? !run.some(({ kind }) => kind === 'create') : cell.round === 1 && cell.latencyMs === 0
  const remounts = run.filter(({ kind }) => kind === 'read' || kind === 'remove').length
  const work = run.reduce((sum, { id }) => sum + secOf(id), 0)
  return runSec + remounts * remountSec + work + (isFilled ? (fillSec ?? 0) * size : 0)
}

/** The plan as a table: what runs, in the order in which it does, and how long it may take. */
export function describePlan(parts: readonly Part[], onceOverSec: number): string {
  let all = 0
  const lines = parts.flatMap((part) => {
    const { entries, latencyMs, rounds, tasks } = part
    const latency = latencyMs === 0 ? '' : `, ${latencyMs} ms added`
    const ofTasks = tasks.map((task) => {
      let seconds = 0
      for (let round = 1; round <= rounds; round++) seconds += estimateSec(task, { ...part, round }, onceOverSec)
      all += seconds
      return `  ${task.system.id.padEnd(14)} ${formatMinutes(seconds).padStart(8)}  ${task.workloads.map(({ id }) => id).join(' ')}`
    })
    return [`${entries.toLocaleString('en-US')} entries${latency}, rounds: ${rounds}`, ...ofTasks]
  })
  return `${[...lines, `in all about ${formatMinutes(all)}`].join('\n')}\n`
}

export function formatMinutes(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`
}
