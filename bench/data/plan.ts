// What is tried: for each table which systems do which work in how many rounds, and how long that may take.
import { formatMinutes } from '../estimate.ts'
import type { System } from '../systems/index.ts'
import type { DataNotTried, Table } from './results.ts'
import { NOT_TRIED, SENDS_AFTER_MS } from './systems.ts'
import type { DataWorkload, Scale } from './workload.ts'
import { MANY_MEMORY } from './workloads.ts'

export interface DataPart extends Table {
  rounds: number
  /** In their order; each with at least one workload. */
  tasks: DataTask[]
}

export interface DataTask {
  system: System
  workloads: readonly DataWorkload[]
  /** In the first so many of the part. */
  rounds: number
}

export interface DataWishes {
  /** Null: the tables of the whole benchmark. */
  latenciesMs: readonly number[] | null
  /** Null: the whole benchmark's, or where latencies are told cairnfs's default. */
  memory: string | null
  rounds: number | null
  systems: readonly System[]
  workloads: readonly DataWorkload[]
}

interface Outline extends Table {
  rounds: number
  /** Null: all. */
  systems: readonly string[] | null
  workloads: readonly string[] | null
}

/** What promises speak of: it runs in each round of the whole benchmark, others in the first one. */
const IN_ALL_ROUNDS = ['cairnfs', 'raw', 'juicefs', 'ext4']
const LATE = ['cairnfs', 'juicefs', 'zerofs', 'geesefs', 'raw']

/** Next to no latency, through the proxy that adds it: what that takes of the processor is no latency. */
export const PROXY_ALONE_MS = 1

const WHOLE: readonly Outline[] = [
  { latencyMs: 0, memory: null, rounds: 2, systems: null, workloads: null },
  {
    ...{ latencyMs: 10, memory: null, rounds: 1, systems: LATE },
    workloads: ['write', 'read-cold', 'first-byte', 'small', 'small-read', 'tree', 'tree-read'],
  },
  {
    ...{ latencyMs: 30, memory: null, rounds: 2, systems: ['cairnfs', 'raw'] },
    workloads: ['write', 'read-cold', 'read-4', 'first-byte'],
  },
  {
    ...{ latencyMs: PROXY_ALONE_MS, memory: null, rounds: 2, systems: ['cairnfs', 'raw'] },
    workloads: ['write', 'read-cold'],
  },
  { latencyMs: 0, memory: MANY_MEMORY, rounds: 1, systems: ['cairnfs'], workloads: null },
]

/** What sends no requests to which latency could be added. */
const WITHOUT_STORE = ['ext4', 'seaweedfs']

/** Parts in the order in which they run. */
export function makeDataPlan(wishes: DataWishes): { parts: DataPart[]; notTried: DataNotTried[] } {
  const { latenciesMs, memory, rounds, systems, workloads } = wishes
  const outlines: readonly Outline[] =
    latenciesMs === null && memory === null
      ? WHOLE
      : (latenciesMs ?? [0]).map((latencyMs) => ({ latencyMs, memory, rounds: 1, systems: null, workloads: null }))
  const [parts, notTried]: [DataPart[], DataNotTried[]] = [[], []]
  for (const outline of outlines) {
    const { latencyMs, memory: memoryHere } = outline
    const tasks: DataTask[] = []
    const roundsHere = rounds ?? outline.rounds
    for (const system of systems) {
      if (outline.systems?.includes(system.id) === false) continue
      if (latencyMs > 0 && WITHOUT_STORE.includes(system.id)) continue
      const offered = workloads.filter(
        (workload) => outline.workloads?.includes(workload.id) !== false && isFor(system, workload),
      )
      const tried = offered.filter(({ id }) => NOT_TRIED[system.id]?.workloads.includes(id) !== true)
      const left = offered.filter((workload) => !tried.includes(workload))
      const roundsOf = rounds ?? (IN_ALL_ROUNDS.includes(system.id) ? roundsHere : 1)
      // Segments are counted on a volume that holds nothing else.
      const groups = [
        tried.filter(({ isOfSegments }) => !isOfSegments),
        tried.filter(({ isOfSegments }) => isOfSegments),
      ]
      for (const group of groups) {
        if (group.length > 0) tasks.push({ system, workloads: group, rounds: group[0]!.isOfSegments ? 1 : roundsOf })
      }
      if (left.length > 0) {
        notTried.push({ latencyMs, memory: memoryHere, system: system.id, workloads: left.map(({ id }) => id) })
      }
    }
    if (tasks.length > 0) parts.push({ latencyMs, memory: memoryHere, rounds: roundsHere, tasks })
  }
  // In the whole benchmark one table has it.
  if (outlines === WHOLE) dropTwice(parts)
  return { parts, notTried }
}

function isFor({ id, isFilesystem = true }: System, { onStore, isOfSegments }: DataWorkload): boolean {
  if (isOfSegments) return id === 'cairnfs'
  return isFilesystem || onStore !== null
}

function dropTwice(parts: DataPart[]): void {
  for (const part of parts) {
    if (part.memory !== MANY_MEMORY) part.tasks = part.tasks.filter(({ workloads }) => !workloads[0]!.isOfSegments)
  }
  parts.splice(0, parts.length, ...parts.filter(({ tasks }) => tasks.length > 0))
}

/** Seconds by workload, with 1 GiB and a tree of 10,000 files: as measured on 2 cores on 2026-11-21; for others what comes
 *  nearest. What writes a piece that others need takes so long, too, where it is not measured. */
interface Pace {
  runSec: number
  remountSec: number
  sec: Readonly<Record<string, number>>
}

const PACES: Readonly<Record<string, Pace>> = {
  cairnfs: {
    ...{ runSec: 3, remountSec: 3 },
    sec: { write: 6, 'write-4': 6, 'read-cold': 3, 'read-warm': 1, 'read-4': 3, small: 1, 'fsync-each': 1 },
  },
  'cairnfs-native': {
    ...{ runSec: 3, remountSec: 3 },
    sec: { write: 10, 'write-4': 10, 'read-cold': 6, 'read-warm': 3, 'read-4': 5, small: 2, 'fsync-each': 1, tree: 8 },
  },
  ext4: { runSec: 3, remountSec: 2, sec: { write: 5, 'write-4': 5, tree: 2, 'tree-read': 2 } },
  raw: { runSec: 1, remountSec: 1, sec: { write: 5, 'read-cold': 2 } },
}
const PEER: Pace = {
  ...{ runSec: 4, remountSec: 2 },
  sec: {
    ...{ write: 9, 'write-4': 9, 'read-cold': 3, 'read-warm': 2, 'read-4': 6, small: 4, 'fsync-each': 2 },
    ...{ 'small-read': 3, tree: 45, 'tree-read': 25, 'tree-rm': 12, 'git-clone': 2, 'git-status': 1 },
  },
}
const OURS = { tree: 4, 'tree-read': 2, 'tree-rm': 1, 'git-clone': 1, 'git-status': 1, 'make-many': 40, many: 15 }
/** Of work that asks the store for each file: so many requests one after another for each file of the tree. */
const LATE_TREE_REQUESTS = 1.1
const STEP_SEC = 0.7

/** What it still has to send is waited for, before each remount. */
const SENDING_SEC = 7

/** One run of one system. */
export function estimateDataSec({ system, workloads }: DataTask, { latencyMs }: Table, scale: Scale): number {
  const pace = PACES[system.id] ?? PEER
  const remountSec = pace.remountSec + (SENDS_AFTER_MS[system.id] === undefined ? 0 : SENDING_SEC)
  const isPeer = PACES[system.id] === undefined
  const sec = { ...OURS, ...pace.sec }
  let total = pace.runSec
  for (const workload of withNeeds(workloads)) {
    const { id, temperature } = workload
    const isOfTree = id.startsWith('tree')
    const share = isOfTree
      ? scale.treeFiles / 10_000
      : id.endsWith('many')
        ? scale.manyFiles / 100_000
        : /^(read|write)/.test(id)
          ? scale.sizeBytes / 2 ** 30
          : 1
    const late = isPeer && isOfTree ? (LATE_TREE_REQUESTS * scale.treeFiles * latencyMs) / 1000 : 0
    const work = id.startsWith('random') ? scale.runtimeSec + 1 : ((sec as Record<string, number>)[id] ?? 0.5) * share
    total += work + late + STEP_SEC + (temperature === 'cold' ? remountSec : 0)
  }
  return total
}

/** With what must have run before, each once. */
function withNeeds(workloads: readonly DataWorkload[]): Set<DataWorkload> {
  const all = new Set<DataWorkload>()
  const add = (workload: DataWorkload) => {
    if (workload.needs !== null) add(workload.needs)
    all.add(workload)
  }
  for (const workload of workloads) add(workload)
  return all
}

/** The plan as a table: what runs, in the order in which it does, and how long it may take. */
export function describeDataPlan(parts: readonly DataPart[], scale: Scale): string {
  let all = 0
  const lines = parts.flatMap((part) => {
    const ofTasks = part.tasks.map((task) => {
      const seconds = task.rounds * estimateDataSec(task, part, scale)
      all += seconds
      return `  ${task.system.id.padEnd(14)} ${formatMinutes(seconds).padStart(8)}  rounds: ${task.rounds}  ${task.workloads.map(({ id }) => id).join(' ')}`
    })
    return [describeTable(part), ...ofTasks]
  })
  return `${[...lines, `in all about ${formatMinutes(all)}`].join('\n')}\n`
}

export function describeTable({ latencyMs, memory }: Table): string {
  return `${latencyMs} ms added${memory === null ? '' : `, --memory ${memory}`}`
}
