// What is tried: for each size under each latency, which systems do which work in how many rounds.
import type { Cell } from './results.ts'
import type { System } from './systems/index.ts'
import type { Workload } from './workloads/index.ts'

/** What one table of the report shows. */
export interface Part extends Omit<Cell, 'round'> {
  rounds: number
  /** In their order; each with at least one workload. */
  tasks: Task[]
}

export interface Task {
  system: System
  workloads: readonly Workload[]
}

/** What was wanted, and is not tried. */
export interface NotTried extends Omit<Cell, 'round'> {
  system: string
  workloads: string[]
}

export interface Wishes {
  /** Null: the parts of the whole benchmark. */
  entries: readonly number[] | null
  latenciesMs: readonly number[] | null
  rounds: number | null
  systems: readonly System[]
  workloads: readonly Workload[]
  /** In the place of all limits of a system. */
  mostEntries: ReadonlyMap<string, number>
}

const ROUNDS = 3
/** Of a million files: one, which takes as long as three of 100,000. */
const ROUNDS_OF_LARGE = 1
const LARGE = 1_000_000

const WHOLE: readonly Pick<Part, 'entries' | 'latencyMs'>[] = [
  { entries: 10_000, latencyMs: 0 },
  { entries: 30_000, latencyMs: 0 },
  { entries: 100_000, latencyMs: 0 },
  { entries: LARGE, latencyMs: 0 },
  { entries: 100_000, latencyMs: 10 },
  { entries: 100_000, latencyMs: 30 },
]

/** Parts in the order in which they run. */
export function makePlan(wishes: Wishes): { parts: Part[]; notTried: NotTried[] } {
  const { entries, latenciesMs, rounds, systems, workloads, mostEntries } = wishes
  const cells =
    entries === null && latenciesMs === null
      ? WHOLE
      : (latenciesMs ?? [0]).flatMap((latencyMs) =>
          (entries ?? [100_000]).map((size) => ({ entries: size, latencyMs })),
        )
  const [parts, notTried]: [Part[], NotTried[]] = [[], []]
  for (const cell of cells) {
    const tasks: Task[] = []
    for (const system of systems) {
      const most = mostEntries.get(system.id)
      const offered = workloads.filter((workload) => hasSuch(system, workload))
      const tried = offered.filter(({ id }) =>
        most === undefined ? isWithinLimits(system, id, cell) : cell.entries <= most,
      )
      const left = offered.filter((workload) => !tried.includes(workload))
      if (tried.length > 0) tasks.push({ system, workloads: tried })
      if (left.length > 0) notTried.push({ ...cell, system: system.id, workloads: left.map(({ id }) => id) })
    }
    const roundsHere = rounds ?? (cell.entries >= LARGE ? ROUNDS_OF_LARGE : ROUNDS)
    if (tasks.length > 0) parts.push({ ...cell, rounds: roundsHere, tasks })
  }
  return { parts, notTried }
}

/** What is shared is neither created nor removed, and with keys alone it depends on the work. */
function hasSuch({ filling, isFilesystem = true }: System, { kind, onBucket }: Workload): boolean {
  return (filling === 'created' || kind === 'mount' || kind === 'read') && (isFilesystem || onBucket !== null)
}

function isWithinLimits({ limits }: System, workload: string, { entries, latencyMs }: Omit<Cell, 'round'>): boolean {
  const { withLatency, entriesFrom = 0 } = limits
  if (entries < entriesFrom) return false
  if (latencyMs > 0 && withLatency !== 'all' && !withLatency.includes(workload)) return false
  return entries <= Math.min(limits.entries, limits.entriesOf?.[workload] ?? Number.POSITIVE_INFINITY)
}
