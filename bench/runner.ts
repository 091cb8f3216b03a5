// Runs the plan: every system's workloads, for each size and latency, in rounds.
//
// Must stay true:
// - Each run of a system is on a fresh volume, but for those that only read, whose directory all rounds share; in odd
//   rounds the systems run in their order, in even rounds in the reverse, so that drift of the machine hits none of them
//   alone.
// - Cold is mounted again after everything cached was dropped, with the directory's own attributes known and nothing in
//   it; the program that is measured is in memory.
// - A step has a limit. What was over it once is not run again as large or larger: the report says so. What took long is
//   measured once, not in every round.
// - A system that fails is told of, and the others go on.
import { Endpoints } from './endpoints.ts'
import type { Meter, Step, StepResult } from './measure.ts'
import type { Minio } from './minio.ts'
import type { Part, Task } from './plan.ts'
import type { Progress } from './progress.ts'
import { type Cell, type Measurement, NO_COST } from './results.ts'
import type { Instance, Place, SharedDirectory, System } from './systems/index.ts'
import type { Temperature, Workload } from './workloads/index.ts'
import { Interrupted, type Workspace } from './workspace.ts'

const WARM_UP_MS = 60_000

export interface RunnerSettings {
  parts: readonly Part[]
  stepLimitMs: number
  /** What filling a directory may take where there is no faster way. */
  fillLimitMs: number
  /** What took longer is not measured again in later rounds, where that can be. */
  onceOverMs: number
}

export interface RunnerParts {
  workspace: Workspace
  minio: Minio
  meter: Pick<Meter, 'measure'>
  progress: Progress
  /** The one that makes the directory, when it is not to be measured. */
  filler: Workload
  settings: RunnerSettings
  onMeasurement: (measurement: Measurement) => void
  onFailure: (what: string) => void
}

/** A system at work in a cell. */
interface Work extends Task {
  instance: Instance
  cell: Cell
}

export class Runner {
  readonly #parts: RunnerParts
  readonly #settings: RunnerSettings
  /** Buckets with shared directories. */
  readonly #shared = new Set<string>()
  readonly #endpoints: Endpoints
  readonly #overLimit: Measurement[] = []
  readonly #measuredOnce: Measurement[] = []
  #emptyFolder: string | null = null
  #instances = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.#endpoints = new Endpoints(parts)
    this.#settings = parts.settings
  }

  async run(): Promise<void> {
    const { progress } = this.#parts
    progress.expect(this.#settings.parts)
    for (const { entries, latencyMs, rounds, tasks } of this.#settings.parts) {
      const endpoint = await this.#endpoints.of(latencyMs)
      for (let round = 1; round <= rounds; round++) {
        for (const task of round % 2 === 1 ? tasks : tasks.toReversed()) {
          progress.begin(task, { entries, latencyMs, round })
          await this.#runSystem(task, { entries, latencyMs, round }, endpoint)
          progress.done(task, { entries, latencyMs, round })
        }
      }
    }
  }

  async #runSystem(task: Task, cell: Cell, endpoint: string): Promise<void> {
    const { system } = task
    const { workspace } = this.#parts
    let instance: Instance | null = null
    let place: Place
    try {
      place = await this.#place(system, cell, endpoint)
    } catch (error) {
      if (error instanceof Interrupted) throw error
      this.#fail(system, cell, 'filling', error)
      return
    }
    const settled = workspace.onCleanUp(place.name, () => this.#clear(system, place))
    this.#parts.progress.tell(system, cell, 'a fresh volume')
    try {
      instance = await system.open(place)
      await this.#runWorkloads({ ...task, instance, cell })
      await instance.stop({ force: false })
    } catch (error) {
      if (error instanceof Interrupted) throw error
      this.#fail(system, cell, 'run', error)
      await instance?.stop({ force: true })
    }
    await this.#clear(system, place)
    settled()
  }

  async #place(system: System, { entries }: Cell, endpoint: string): Promise<Place> {
    const { workspace, minio } = this.#parts
    const name = `${system.id}-${++this.#instances}`
    const bucket =
      system.filling === 'created'
        ? `cairnfs-bench-${workspace.name}-${name}`
        : await this.#sharedBucket(system, system.filling, entries)
    return { workspace, minio, endpoint, name, folder: workspace.makeFolder(name), bucket, entries }
  }

  /** Takes away what a system had, once it is unmounted. */
  async #clear(system: System, { name, folder, bucket }: Place): Promise<void> {
    const { workspace, minio } = this.#parts
    await workspace.killAll(workspace.processesOf(name))
    await workspace.removeFolder(folder)
    if (system.filling === 'created') await minio.removeBucket(bucket)
  }

  async #sharedBucket(system: System, { id, doing, fill }: SharedDirectory, entries: number): Promise<string> {
    const { workspace, minio, progress } = this.#parts
    const bucket = `cairnfs-bench-${workspace.name}-${id}-${entries}`
    if (this.#shared.has(bucket)) return bucket
    progress.tell(system, { entries, latencyMs: 0, round: 1 }, doing)
    const settled = workspace.onCleanUp(bucket, () => minio.removeBucket(bucket))
    try {
      await minio.createBucket(bucket)
      await fill({ workspace, minio, bucket, entries })
      workspace.refuseWhenInterrupted()
    } catch (error) {
      await minio.removeBucket(bucket)
      settled()
      throw error
    }
    this.#shared.add(bucket)
    return bucket
  }

  async #runWorkloads(work: Work): Promise<void> {
    const { workloads, instance } = work
    if (work.system.filling === 'created') await this.#fill(work)
    let isCold = false
    const mount = workloads.find(({ kind }) => kind === 'mount')
    if (mount !== undefined) {
      await instance.unmountCold()
      isCold = await this.#step(work, mount, 'cold', { before: () => instance.mountAgain() })
    }
    for (const workload of workloads.filter(({ kind }) => kind === 'read')) {
      isCold = await this.#read(work, workload, isCold)
    }
    const remove = workloads.find(({ kind }) => kind === 'remove')
    if (remove === undefined || !this.#isWanted(work, remove, 'cold')) return
    if (!isCold && !this.#isHopeless(work, remove, 'cold')) await this.#remountCold(instance)
    await this.#step(work, remove, 'cold', { barrier: instance.barrier })
  }

  async #remountCold(instance: Instance): Promise<void> {
    await instance.unmountCold()
    await instance.mountAgain()
  }

  /** Makes the directory: by creating its files, measured if that is wanted, or faster where the system can. */
  async #fill(work: Work): Promise<void> {
    const { workloads, instance } = work
    const create = workloads.find(({ kind }) => kind === 'create')
    const isMeasured = create !== undefined && this.#isWanted(work, create, 'warm')
    if (isMeasured || instance.load === undefined) {
      const limitMs = instance.load === undefined ? this.#settings.fillLimitMs : this.#settings.stepLimitMs
      const options = { barrier: instance.barrier, limitMs, isSilent: create === undefined }
      const isFilled = await this.#step(work, create ?? this.#parts.filler, 'warm', options)
      if (isFilled) return
      if (instance.load === undefined) throw new Error(`could not be filled in ${limitMs / 1000} s`)
    }
    this.#parts.progress.tell(work.system, work.cell, 'loading the directory')
    await instance.load()
  }

  /** Whether it is still cold afterwards, as it was not run. */
  async #read(work: Work, workload: Workload, isCold: boolean): Promise<boolean> {
    if (!this.#isWanted(work, workload, 'cold')) return isCold
    const isHopeless = this.#isHopeless(work, workload, 'cold')
    if (!isCold && !isHopeless) await this.#remountCold(work.instance)
    for (const temperature of workload.temperatures) {
      if (!this.#isWanted(work, workload, temperature)) break
      const isDone = await this.#step(work, workload, temperature)
      if (!isDone) break
    }
    return isHopeless && isCold
  }

  /** Runs a workload and tells what it measured. False when the program did not get to its end. */
  async #step(
    work: Work,
    workload: Workload,
    temperature: Temperature,
    options: Partial<Pick<Step, 'barrier' | 'before' | 'limitMs'>> & { isSilent?: boolean } = {},
  ): Promise<boolean> {
    const { system, instance, cell } = work
    const { stepLimitMs } = this.#settings
    const { limitMs = stepLimitMs, isSilent = false, barrier = null, before } = options
    const tell = (outcome: Measurement['outcome'], result: Omit<StepResult, 'isOverLimit'>) => {
      const { seconds, cost, firstPerSec, lastPerSec } = result
      const rates = firstPerSec === undefined || lastPerSec === undefined ? {} : { firstPerSec, lastPerSec }
      const measurement: Measurement = {
        ...{ system: system.id, workload: workload.id, temperature, ...cell, outcome, seconds, ...rates, cost },
      }
      if (outcome === 'over limit') this.#overLimit.push(measurement)
      else if (seconds * 1000 > this.#settings.onceOverMs) this.#measuredOnce.push(measurement)
      if (!isSilent) this.#parts.onMeasurement(measurement)
    }

    const task: Pick<Step, 'command' | 'judge'> | null =
      instance.translate === undefined
        ? {
            command: workload.command(instance.directory, cell.entries, temperature),
            judge: (output) => workload.judge(output, cell.entries),
          }
        : instance.translate(workload, temperature)
    if (task === null) return true
    if (limitMs === stepLimitMs && this.#isHopeless(work, workload, temperature)) {
      tell('over limit', { seconds: stepLimitMs / 1000, cost: NO_COST })
      return false
    }
    this.#parts.progress.tell(system, cell, `${workload.id}, ${temperature}`)
    try {
      if (temperature === 'cold') await this.#warmUp(workload)
      const step = { ...task, barrier, limitMs, ...(before === undefined ? {} : { before }) }
      const result = await this.#parts.meter.measure(instance, step)
      tell(result.isOverLimit || result.seconds > stepLimitMs / 1000 ? 'over limit' : 'measured', result)
      if (result.isOverLimit) await instance.recover()
      return !result.isOverLimit
    } catch (error) {
      if (error instanceof Interrupted) throw error
      tell('failed', { seconds: 0, cost: NO_COST })
      if (workload.kind === 'create') throw error
      this.#fail(system, cell, `${workload.id}, ${temperature}`, error)
      await instance.recover()
      return false
    }
  }

  /** Dropping the kernel's caches took the program away as well. */
  async #warmUp({ warmUp }: Workload): Promise<void> {
    const { workspace } = this.#parts
    if (warmUp === undefined) return
    this.#emptyFolder ??= workspace.makeFolder('empty')
    await workspace.expect(warmUp(this.#emptyFolder), { limitMs: WARM_UP_MS })
  }

  /** Whether the same, or a smaller one of it, was over the limit before. */
  #isHopeless({ system, cell }: Work, workload: Workload, temperature: Temperature): boolean {
    return this.#overLimit.some(
      (before) =>
        before.system === system.id &&
        before.workload === workload.id &&
        before.temperature === temperature &&
        before.entries <= cell.entries &&
        before.latencyMs <= cell.latencyMs,
    )
  }

  /** Whether it is still to be measured: what took very long is not, in later rounds. */
  #isWanted({ system, cell }: Work, workload: Workload, temperature: Temperature): boolean {
    return !this.#measuredOnce.some(
      (before) =>
        before.system === system.id &&
        before.workload === workload.id &&
        before.temperature === temperature &&
        before.entries === cell.entries &&
        before.latencyMs === cell.latencyMs &&
        before.round !== cell.round,
    )
  }

  #fail(system: System, { entries, latencyMs, round }: Cell, what: string, error: unknown): void {
    const where = `${system.id}, ${entries} entries, ${latencyMs} ms, round ${round}, ${what}`
    this.#parts.onFailure(`${where}: ${(error as Error).message}`)
  }
}
