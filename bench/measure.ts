// One step: a program runs on a directory, and what it cost everybody is counted.
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { FuseRequests } from './fuse-requests.ts'
import { type Minio, requestsBetween } from './minio.ts'
import { cpuSec, endedChildrenCpuSec, peakRssBytes, resetPeakRss } from './processes.ts'
import type { Cost } from './results.ts'
import type { Instance } from './systems/index.ts'
import { sleep } from './waiting.ts'
import type { Figures, Output } from './workloads/index.ts'
import type { Command, RunResult, Workspace } from './workspace.ts'

export interface Step {
  /** Comes first, and counts. */
  before?: () => Promise<void>
  command: Command
  /** Runs after it, and counts. */
  barrier: Command | null
  limitMs: number
  judge: (output: Output) => Figures
}

export interface StepResult extends Figures {
  seconds: number
  isOverLimit: boolean
  cost: Cost
}

/** What daemons still do after they came up belongs to mounting: they are at rest when they use a tick of CPU at most in
 *  so long, and are waited for so long at most. */
const REST_STEP_MS = 100
const TICK_SEC = 0.01
const REST_MS = 2_000

export class Meter {
  readonly #workspace: Workspace
  readonly #minio: Minio
  readonly #fuse: FuseRequests | null

  constructor(workspace: Workspace, minio: Minio, fuse: FuseRequests | null) {
    this.#workspace = workspace
    this.#minio = minio
    this.#fuse = fuse
  }

  /** Runs a step. Rejects when its program fails, or did not see what is there. */
  async measure(instance: Instance, step: Step): Promise<StepResult> {
    const { mountpoints } = instance
    const outputFile = join(this.#workspace.folder, 'output')
    const pids = instance.daemons()
    await rest(pids)
    const requestsBefore = await this.#minio.settledRequests()
    for (const pid of pids) resetPeakRss(pid)
    const connection = this.#fuse === null || step.before !== undefined ? null : instance.connection()
    if (connection !== null) this.#fuse!.begin(connection)
    const daemonsBefore = new Map(pids.map((pid) => [pid, cpuSec(pid)]))
    const childrenBefore = endedChildrenCpuSec()

    const began = performance.now()
    await step.before?.()
    const beforeSec = step.before === undefined ? 0 : (performance.now() - began) / 1000
    const result = await this.#workspace.run(step.command, { limitMs: step.limitMs, outputFile, mountpoints })
    const barrier =
      step.barrier === null || result.isOverLimit
        ? null
        : await this.#workspace.run(step.barrier, { limitMs: step.limitMs, mountpoints })

    const commandCpuSec = endedChildrenCpuSec() - childrenBefore
    const fuseRequests = connection === null ? null : this.#fuse!.end()
    const after = instance.daemons()
    const daemonCpuSec = sum(after.map((pid) => cpuSec(pid) - (daemonsBefore.get(pid) ?? 0)))
    const peak = sum(after.map(peakRssBytes))
    const requests = requestsBetween(requestsBefore, await this.#minio.settledRequests())
    const cost = { daemonCpuSec, commandCpuSec, peakRssBytes: peak, requests, fuseRequests }

    const isOverLimit = result.isOverLimit || barrier?.isOverLimit === true
    const aroundSec = beforeSec + (barrier?.seconds ?? 0)
    if (isOverLimit) return { seconds: aroundSec + result.seconds, isOverLimit, cost }
    for (const each of [result, barrier]) if (each !== null) expectSuccess(each)
    const figures = step.judge(await readOutput(outputFile))
    return { ...figures, seconds: aroundSec + (figures.seconds ?? result.seconds), isOverLimit, cost }
  }
}

async function rest(pids: readonly number[]): Promise<void> {
  const used = () => sum(pids.map(cpuSec))
  for (const deadline = performance.now() + REST_MS; pids.length > 0 && performance.now() < deadline; ) {
    const before = used()
    await sleep(REST_STEP_MS)
    if (used() - before < 1.5 * TICK_SEC) return
  }
}

function expectSuccess({ status, stderr }: RunResult): void {
  if (status !== 0) throw new Error(`ended with status ${status}: ${stderr.trim().slice(-500)}`)
}

/** Counts the lines of a file, which may be large, and keeps the last. */
async function readOutput(path: string): Promise<Output> {
  let [lines, rest, lastLine] = [0, '', '']
  for await (const chunk of createReadStream(path, { encoding: 'latin1', highWaterMark: 1 << 20 })) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    lines += parts.length
    lastLine = parts.at(-1) ?? lastLine
  }
  return { lines, lastLine }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0)
