// Runs the workloads on every system, for each latency and size, in rounds.
//
// Must stay true:
// - Each run of a system is on a fresh volume; in odd rounds the systems run in their order, in even rounds in the
//   reverse, so that drift of the machine hits none of them alone.
// - Cold is after remountCold, with the directory's own attributes known and nothing in it.
// - A step has a limit. What was over it once is not run again as large or larger: the report says so.
// - A system that fails is told of, and the others go on.
import { DelayProxy } from './delay-proxy.ts'
import type { Meter, Step, StepResult } from './measure.ts'
import type { Minio } from './minio.ts'
import type { Progress } from './progress.ts'
import { type Cell, type Measurement, NO_COST } from './results.ts'
import type { Instance, Place, System } from './systems/index.ts'
import type { Temperature, Workload } from './workloads/index.ts'
import { Interrupted, type Workspace } from './workspace.ts'

export interface RunnerSettings {
  entries: readonly number[]
  latenciesMs: readonly number[]
  rounds: number
  stepLimitMs: number
  /** What filling a directory may take where there is no faster way. */
  fillLimitMs: number
  /** In the place of a system's own mostEntries. */
  mostEntries: ReadonlyMap<string, number>
}

export interface RunnerParts {
  workspace: Workspace
  minio: Minio
  meter: Pick<Meter, 'measure'>
  progress: Progress
  systems: readonly System[]
  /** In the order in which they run: one that creates, those that read, one that removes. */
  workloads: readonly Workload[]
  /** The one that makes the directory, when it is not to be measured. */
  filler: Workload
  settings: RunnerSettings
  onMeasurement: (measurement: Measurement) => void
  onFailure: (what: string) => void
}

/** A system at work in a cell. */
interface Work {
  system: System
  instance: Instance
  cell: Cell
}

export class Runner {
  readonly #parts: RunnerParts
  readonly #settings: RunnerSettings
  /** Buckets with keys, by the number of them: all rounds read the same. */
  readonly #keys = new Map<number, string>()
  readonly #overLimit: Measurement[] = []
  #instances = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.#settings = parts.settings
  }

  async run(): Promise<void> {
    const { entries, latenciesMs, rounds } = this.#settings
    const { systems, progress } = this.#parts
    const wanted = (system: System, size: number) =>
      size <= (this.#settings.mostEntries.get(system.id) ?? system.mostEntries)
    const sizes = entries.flatMap((size) => systems.filter((system) => wanted(system, size)).map(() => size))
    progress.expect(sizes.reduce((sum, size) => sum + size, 0) * rounds * latenciesMs.length)
    for (const latencyMs of latenciesMs) {
      const endpoint = await this.#endpoint(latencyMs)
      for (const size of entries) {
        for (let round = 1; round <= rounds; round++) {
          const ordered = round % 2 === 1 ? systems : systems.toReversed()
          for (const system of ordered.filter((each) => wanted(each, size))) {
            await this.#runSystem(system, { entries: size, latencyMs, round }, endpoint)
            progress.done(size)
          }
        }
      }
    }
  }

  /** MinIO itself, or a proxy in front of it that stays for the rest of the run. */
  async #endpoint(latencyMs: number): Promise<string> {
    const { minio, workspace } = this.#parts
    if (latencyMs === 0) return minio.endpoint
    const proxy = await DelayProxy.start(minio.endpoint, latencyMs)
    workspace.onCleanUp('the proxy', () => proxy.close())
    return proxy.endpoint
  }

  async #runSystem(system: System, cell: Cell, endpoint: string): Promise<void> {
    const { workspace } = this.#parts
    let instance: Instance | null = null
    const place = await this.#place(system, cell, endpoint)
    const settled = workspace.onCleanUp(place.name, () => this.#clear(system, place))
    this.#parts.progress.tell(system, cell, 'a fresh volume')
    try {
      instance = await system.open(place)
      await this.#runWorkloads({ system, instance, cell })
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
      system.filling === 'keys' ? await this.#bucketOfKeys(system, entries) : `cairnfs-bench-${workspace.name}-${name}`
    return { workspace, minio, endpoint, name, folder: workspace.makeFolder(name), bucket, entries }
  }

  /** Takes away what a system had, once it is unmounted. */
  async #clear(system: System, { name, folder, bucket }: Place): Promise<void> {
    const { workspace, minio } = this.#parts
    await workspace.killAll(workspace.processesOf(name))
    await workspace.removeFolder(folder)
    if (system.filling === 'created') await minio.removeBucket(bucket)
  }

  async #bucketOfKeys(system: System, entries: number): Promise<string> {
    const { workspace, minio, progress } = this.#parts
    const known = this.#keys.get(entries)
    if (known !== undefined) return known
    progress.tell(system, { entries, latencyMs: 0, round: 1 }, 'filling a bucket with keys')
    const bucket = `cairnfs-bench-${workspace.name}-keys-${entries}`
    workspace.onCleanUp(bucket, () => minio.removeBucket(bucket))
    await minio.createBucket(bucket)
    await minio.fill(bucket, entries, () => workspace.isInterrupted)
    workspace.refuseWhenInterrupted()
    this.#keys.set(entries, bucket)
    return bucket
  }

  async #runWorkloads(work: Work): Promise<void> {
    const { workloads } = this.#parts
    if (work.system.filling === 'created') await this.#fill(work)
    for (const workload of workloads.filter(({ kind }) => kind === 'read')) await this.#read(work, workload)
    const remove = workloads.find(({ kind }) => kind === 'remove')
    if (remove !== undefined && work.system.filling === 'created') {
      await work.instance.remountCold()
      await this.#step(work, remove, 'cold', { barrier: work.instance.barrier })
    }
  }

  /** Makes the directory: by creating its files, measured if that is wanted, or faster where the system can. */
  async #fill(work: Work): Promise<void> {
    const { workloads, filler } = this.#parts
    const { instance } = work
    const create = workloads.find(({ kind }) => kind === 'create')
    if (create !== undefined || instance.load === undefined) {
      const limitMs = instance.load === undefined ? this.#settings.fillLimitMs : this.#settings.stepLimitMs
      const options = { barrier: instance.barrier, limitMs, isSilent: create === undefined }
      const isFilled = await this.#step(work, create ?? filler, 'warm', options)
      if (isFilled) return
      if (instance.load === undefined) throw new Error(`could not be filled in ${limitMs / 1000} s`)
    }
    this.#parts.progress.tell(work.system, work.cell, 'loading the directory')
    await instance.load()
  }

  async #read(work: Work, workload: Workload): Promise<void> {
    if (!this.#isHopeless(work, workload, 'cold')) await work.instance.remountCold()
    for (const temperature of workload.temperatures) {
      const isDone = await this.#step(work, workload, temperature, { barrier: null })
      if (!isDone) return
    }
  }

  /** Runs a workload and tells what it measured. False when the program did not get to its end. */
  async #step(
    work: Work,
    workload: Workload,
    temperature: Temperature,
    options: Pick<Step, 'barrier'> & { limitMs?: number; isSilent?: boolean },
  ): Promise<boolean> {
    const { system, instance, cell } = work
    const { stepLimitMs } = this.#settings
    const { limitMs = stepLimitMs, isSilent = false } = options
    const tell = (outcome: Measurement['outcome'], result: Omit<StepResult, 'isOverLimit'>) => {
      const { seconds, cost, firstPerSec, lastPerSec } = result
      const rates = firstPerSec === undefined || lastPerSec === undefined ? {} : { firstPerSec, lastPerSec }
      const measurement: Measurement = {
        ...{ system: system.id, workload: workload.id, temperature, ...cell, outcome, seconds, ...rates, cost },
      }
      if (outcome === 'over limit') this.#overLimit.push(measurement)
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
      const result = await this.#parts.meter.measure(instance, { ...task, barrier: options.barrier, limitMs })
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

  #fail(system: System, { entries, latencyMs, round }: Cell, what: string, error: unknown): void {
    const where = `${system.id}, ${entries} entries, ${latencyMs} ms, round ${round}, ${what}`
    this.#parts.onFailure(`${where}: ${(error as Error).message}`)
  }
}
