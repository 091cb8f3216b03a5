// Runs the plan: every system's work, for each table, in rounds.
//
// Must stay true:
// - Each run of a system is on a fresh volume. In odd rounds the systems run in their order, in even rounds in the reverse.
// - Cold is mounted again after everything cached was dropped; the program that is measured is in memory. So is what wants
//   another --memory than what ran before it, with every system.
// - What work needs is made before it, without being measured if nobody wants it measured; what could not be made fails
//   what needs it, and nothing else.
// - What a system still has to send before it is mounted again is waited for, in no step's time.
// - A step has a limit. What was over it once is not run again in the same table.
import { Endpoints } from '../endpoints.ts'
import type { Meter, StepResult } from '../measure.ts'
import type { Minio } from '../minio.ts'
import { NO_COST } from '../results.ts'
import type { Instance, Place } from '../systems/index.ts'
import { sleep } from '../waiting.ts'
import { Interrupted, type Workspace } from '../workspace.ts'
import { type DataPart, type DataTask, describeTable } from './plan.ts'
import { onRaw } from './raw.ts'
import { type DataMeasurement, isSameTable, type Table } from './results.ts'
import { SENDS_AFTER_MS } from './systems.ts'
import type { DataWorkload, Scene } from './workload.ts'

const SHORT_MS = 60_000
/** cairnfs's own. */
const DEFAULT_MEMORY = '1G'
/** For what a system has still to send, and how late a request may come. */
const SEND_MS = 180_000
const SENT_WITHIN_MS = 1000
/** What cairnfs names its segments, in the bucket. */
const SEGMENTS = 'volume/segments/'

export interface DataRunnerParts {
  workspace: Workspace
  minio: Minio
  meter: Pick<Meter, 'measure'>
  /** All but the directory. */
  scene: Omit<Scene, 'directory'>
  parts: readonly DataPart[]
  stepLimitMs: number
  /** What is being done, in words. */
  onBegin: (what: string) => void
  /** A task has been done. */
  onDone: (task: DataTask, table: Table) => void
  onMeasurement: (measurement: DataMeasurement) => void
  onFailure: (what: string) => void
}

/** A system at work. */
interface Work {
  task: DataTask
  table: Table
  round: number
  place: Place
  instance: Instance
  scene: Scene
  /** What has run on the volume. */
  done: Set<DataWorkload>
  /** What went wrong there. */
  broken: Set<DataWorkload>
  mountMemory: string | null
}

export class DataRunner {
  readonly #parts: DataRunnerParts
  readonly #endpoints: Endpoints
  readonly #overLimit: (Table & { system: string; workload: string })[] = []
  #instances = 0

  constructor(parts: DataRunnerParts) {
    this.#parts = parts
    this.#endpoints = new Endpoints(parts)
  }

  async run(): Promise<void> {
    for (const part of this.#parts.parts) {
      const endpoint = await this.#endpoints.of(part.latencyMs)
      const table = { latencyMs: part.latencyMs, memory: part.memory }
      for (let round = 1; round <= part.rounds; round++) {
        const tasks = round % 2 === 1 ? part.tasks : part.tasks.toReversed()
        for (const task of tasks.filter(({ rounds }) => round <= rounds)) {
          await this.#runTask(task, table, round, endpoint)
          this.#parts.onDone(task, table)
        }
      }
    }
  }

  async #runTask(task: DataTask, table: Table, round: number, endpoint: string): Promise<void> {
    const { workspace, minio, scene } = this.#parts
    const { system } = task
    const name = `${system.id}-data-${++this.#instances}`
    const place: Place = {
      ...{ workspace, minio, endpoint, name, folder: workspace.makeFolder(name) },
      bucket: `cairnfs-bench-${workspace.name}-${name}`,
      entries: 2 * (scene.treeFiles + scene.manyFiles),
      ...(table.memory === null ? {} : { memory: table.memory }),
    }
    const settled = workspace.onCleanUp(name, () => this.#clear(place))
    let instance: Instance | null = null
    try {
      // Systems whose directory is shared elsewhere expect a bucket; so does one that is none.
      if (system.filling !== 'created' || system.isFilesystem === false) await minio.createBucket(place.bucket)
      instance = await system.open(place)
      const { directory, mountpoints } = instance
      if (system.isFilesystem !== false) {
        await workspace.expect({ program: 'mkdir', args: [directory] }, { limitMs: SHORT_MS, mountpoints })
      }
      const work = {
        ...{ task, table, round, place, instance, scene: { ...scene, directory }, done: new Set<DataWorkload>() },
        ...{ broken: new Set<DataWorkload>(), mountMemory: memoryOf(system.id, place) },
      }
      for (const workload of task.workloads) await this.#runWorkload(work, workload, { isMeasured: true })
      await instance.stop({ force: false })
    } catch (error) {
      if (error instanceof Interrupted) throw error
      this.#fail(task, table, round, 'run', error)
      await instance?.stop({ force: true })
    }
    await this.#clear(place)
    settled()
  }

  /** Takes away what a system had, once it is unmounted. */
  async #clear({ name, folder, bucket }: Place): Promise<void> {
    const { workspace, minio } = this.#parts
    await workspace.killAll(workspace.processesOf(name))
    await workspace.removeFolder(folder)
    await minio.removeBucket(bucket)
  }

  /** Runs it, after what it needs. What went wrong is told, once. */
  async #runWorkload(work: Work, workload: DataWorkload, { isMeasured }: { isMeasured: boolean }): Promise<void> {
    const { needs } = workload
    if (needs !== null && !work.done.has(needs) && !work.broken.has(needs)) {
      await this.#runWorkload(work, needs, { isMeasured: false })
    }
    const tell = (outcome: DataMeasurement['outcome'], result: Omit<StepResult, 'isOverLimit'>, segments?: number) => {
      if (outcome === 'measured') work.done.add(workload)
      else work.broken.add(workload)
      if (isMeasured) this.#parts.onMeasurement(measurementOf(work, workload, outcome, result, segments))
    }
    const { task, table, round, instance } = work
    if (needs !== null && work.broken.has(needs)) return tell('failed', { seconds: 0, cost: NO_COST })
    const key = { ...table, system: task.system.id, workload: workload.id }
    if (
      this.#overLimit.some(
        (each) => isSameTable(each, key) && each.system === key.system && each.workload === key.workload,
      )
    )
      return tell('over limit', { seconds: this.#parts.stepLimitMs / 1000, cost: NO_COST })
    this.#parts.onBegin(
      `${describeTable(table)}, round ${round}: ${task.system.id}: ${workload.id}${isMeasured ? '' : ', not measured'}`,
    )
    try {
      const { segments, ...result } = await this.#measure(work, workload)
      if (result.isOverLimit) {
        this.#overLimit.push(key)
        await instance.recover()
      }
      tell(result.isOverLimit ? 'over limit' : 'measured', result, segments)
    } catch (error) {
      if (error instanceof Interrupted) throw error
      tell('failed', { seconds: 0, cost: NO_COST })
      this.#fail(task, table, round, workload.id, error)
      await instance.recover()
    }
  }

  async #measure(work: Work, workload: DataWorkload): Promise<StepResult & { segments?: number }> {
    const { task, table, place, instance, scene } = work
    const { workspace, meter, minio, stepLimitMs } = this.#parts
    const memory = table.memory ?? workload.memory
    if (workload.temperature === 'cold' || memory !== place.memory) {
      if (memory === undefined) delete place.memory
      else place.memory = memory
      await this.#sent(task.system.id)
      await instance.unmountCold()
      await instance.mountAgain()
      work.mountMemory = memoryOf(task.system.id, place)
    }
    if (workload.warmUp !== undefined) await workspace.expect(workload.warmUp, { limitMs: SHORT_MS })
    const segments = workload.isOfSegments ? { segments: await minio.countKeys(place.bucket, SEGMENTS) } : {}
    const isRaw = task.system.isFilesystem === false
    const result = await meter.measure(instance, {
      command: isRaw ? onRaw(workload.onStore!, place, scene.sizeBytes) : workload.command(scene),
      barrier: workload.hasBarrier ? instance.barrier : null,
      limitMs: stepLimitMs,
      judge: (output) => workload.judge(output, scene),
    })
    return { ...result, ...segments }
  }

  /** Waits for what a system still has to send. */
  async #sent(system: string): Promise<void> {
    const quietMs = SENDS_AFTER_MS[system]
    if (quietMs === undefined) return
    const { minio, workspace } = this.#parts
    const puts = async () => (await minio.settledRequests()).PutObject ?? 0
    for (const deadline = performance.now() + SEND_MS; performance.now() < deadline; ) {
      const before = await puts()
      await sleep(quietMs + SENT_WITHIN_MS)
      workspace.refuseWhenInterrupted()
      if ((await puts()) === before) return
    }
    throw new Error(`was still sending after ${SEND_MS / 1000} s`)
  }

  #fail({ system }: DataTask, table: Table, round: number, what: string, error: unknown): void {
    this.#parts.onFailure(`${system.id}, ${describeTable(table)}, round ${round}, ${what}: ${(error as Error).message}`)
  }
}

function memoryOf(system: string, { memory = DEFAULT_MEMORY }: Place): string | null {
  return system === 'cairnfs' || system === 'cairnfs-native' ? memory : null
}

function measurementOf(
  { task, table, round, mountMemory }: Work,
  { id }: DataWorkload,
  outcome: DataMeasurement['outcome'],
  { seconds, cost, perSec, eachSec, syncSec }: Omit<StepResult, 'isOverLimit'>,
  segments: number | undefined,
): DataMeasurement {
  return {
    ...{ system: task.system.id, workload: id, ...table, round, mountMemory, outcome, seconds, cost },
    ...(perSec === undefined ? {} : { perSec }),
    ...(eachSec === undefined ? {} : { eachSec }),
    ...(syncSec === undefined ? {} : { syncSec }),
    ...(segments === undefined ? {} : { segments }),
  }
}
