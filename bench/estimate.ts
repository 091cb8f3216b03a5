// How long work takes, roughly, for the time that is left and for --plan: as measured on 2 cores beside other work, on
// 2026-11-25. Nothing else depends on it.
import type { Part, Task } from './plan.ts'
import type { Cell } from './results.ts'

interface Pace {
  /** A fresh volume, and taking it away. */
  runSec: number
  /** Unmounting, dropping caches, mounting. */
  remountSec: number
  /** By workload, cold and warm together: what 100,000 files add. */
  sec: Readonly<Record<string, number>>
  /** Once, of a shared directory or one that is loaded: 100,000 files. */
  fillSec?: number
}

const UNKNOWN: Pace = { runSec: 3, remountSec: 2, sec: { create: 100, 'ls-lU': 40, rm: 100 } }
const PACES: Readonly<Record<string, Pace>> = {}

/** One run of one system; in rounds after the first nothing is left of what all rounds share. */
export function estimateSec({ system, workloads }: Task, { entries, latencyMs, round }: Cell): number {
  const { runSec, remountSec, sec, fillSec = 0 } = PACES[system.id] ?? UNKNOWN
  const size = entries / 100_000
  const isCreated = workloads.some(({ kind }) => kind === 'create')
  const isFilled = system.filling === 'created' ? !isCreated : round === 1 && latencyMs === 0
  const remounts = workloads.filter(({ kind }) => kind === 'read' || kind === 'remove').length
  const work = workloads.reduce((sum, { id }) => sum + (sec[id] ?? 0) * size, 0)
  return runSec + remounts * remountSec + work + (isFilled ? fillSec * size : 0)
}

/** The plan as a table: what runs, in the order in which it does, and how long it may take. */
export function describePlan(parts: readonly Part[]): string {
  let all = 0
  const lines = parts.flatMap((part) => {
    const { entries, latencyMs, rounds, tasks } = part
    const latency = latencyMs === 0 ? '' : `, ${latencyMs} ms added`
    const ofTasks = tasks.map((task) => {
      let seconds = 0
      for (let round = 1; round <= rounds; round++) seconds += estimateSec(task, { ...part, round })
      all += seconds
      return `  ${task.system.id.padEnd(10)} ${formatMinutes(seconds).padStart(8)}  ${task.workloads.map(({ id }) => id).join(' ')}`
    })
    return [`${entries.toLocaleString('en-US')} entries${latency}, rounds: ${rounds}`, ...ofTasks]
  })
  return `${[...lines, `in all about ${formatMinutes(all)}`].join('\n')}\n`
}

export function formatMinutes(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`
}
