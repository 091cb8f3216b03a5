// What one run of the bench owns: a folder, and the processes it starts. Everything it leaves behind for a moment
// (mounts, daemons, buckets) is registered here with what takes it away.
//
// Must stay true:
// - This process never touches a mount: it reads mountinfo, and starts children, each with a limit. One that outlives
//   its limit is killed; if it hangs in the kernel, its mount's connection is aborted, which frees it.
// - Only processes started here are ended: children by their pid, what they left behind by the run's mark in its
//   environment.
// - cleanUp takes everything away, in the reverse order, whether the run ended, failed or was interrupted.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { abortConnection, findMount, unmountAt } from '../src/fuse/index.ts'
import { isRunning, markedProcesses } from './processes.ts'
import { holdsWithin } from './waiting.ts'

/** In the environment of every process that is started: the run, and the part of it that uses the process up. */
const RUN_MARK = 'CAIRNFS_BENCH_RUN'
const PART_MARK = 'CAIRNFS_BENCH_PART'
/** What a killed process may take to end before its mount is taken for hung. */
const END_MS = 3_000

const REMOVE_MS = 120_000

/** A program and its arguments. */
export interface Command {
  program: string
  args: string[]
  env?: Record<string, string>
  /** What the program is told its own name is. */
  argv0?: string
}

export interface RunOptions {
  limitMs: number
  /** Where its output goes; by default it is collected. */
  outputFile?: string
  /** Mounts it may hang in. */
  mountpoints?: string[]
}

export interface RunResult {
  status: number | null
  /** Standard output, unless it went to a file. */
  stdout: string
  stderr: string
  seconds: number
  isOverLimit: boolean
}

/** The run was told to end. */
export class Interrupted extends Error {}

export class Workspace {
  readonly name = randomBytes(4).toString('hex')
  readonly folder = mkdtempSync(join(tmpdir(), 'cairnfs-bench-'))
  readonly #running = new Set<ChildProcess>()
  /** Programs that stay, with their parts: they may overwrite their environment, by which others are found. */
  readonly #started = new Map<ChildProcess, string>()
  readonly #cleanUps: { what: string; action: () => Promise<void> | void }[] = []
  #isInterrupted = false
  #isCleaningUp = false

  /** A new folder in the run's. */
  makeFolder(name: string): string {
    const path = join(this.folder, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** Registers what takes something away. The result takes it off the list, once that has been done. */
  onCleanUp(what: string, action: () => Promise<void> | void): () => void {
    const entry = { what, action }
    this.#cleanUps.push(entry)
    return () => {
      const index = this.#cleanUps.indexOf(entry)
      if (index >= 0) this.#cleanUps.splice(index, 1)
    }
  }

  /** Starts a program that stays, and logs to a file. Its CPU time and memory count for `part`. */
  start(command: Command, { part, log }: { part: string; log: string }): ChildProcess {
    this.refuseWhenInterrupted()
    const output = openSync(log, 'a')
    const child = this.#spawn(command, ['ignore', output, output], part)
    closeSync(output)
    this.#started.set(child, part)
    child.once('exit', () => this.#started.delete(child))
    // One that cannot be started has ended, too.
    child.on('error', (error) => {
      this.#started.delete(child)
      appendFileSync(log, `${error.message}\n`)
    })
    return child
  }

  /** The processes that were started for `part`, or left behind by those. */
  processesOf(part: string): number[] {
    const started = [...this.#started].flatMap(([{ pid }, of]) => (of === part && pid !== undefined ? [pid] : []))
    return [...new Set([...started, ...markedProcesses(PART_MARK, this.#partMark(part))])]
  }

  /** Runs a program until it ends or its time is up. */
  async run(command: Command, { limitMs, outputFile, mountpoints = [] }: RunOptions): Promise<RunResult> {
    this.refuseWhenInterrupted()
    const output = outputFile === undefined ? null : openSync(outputFile, 'w')
    const started = performance.now()
    const child = this.#spawn(command, ['ignore', output ?? 'pipe', 'pipe'], '')
    if (output !== null) closeSync(output)
    this.#running.add(child)
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        texts[name] += text
      })
    }
    let isOverLimit = false
    const watchdog = setTimeout(() => {
      isOverLimit = true
      void endChild(child, mountpoints)
    }, limitMs)
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', resolve)
    }).finally(() => {
      clearTimeout(watchdog)
      this.#running.delete(child)
    })
    const seconds = (performance.now() - started) / 1000
    this.refuseWhenInterrupted()
    return { status, ...texts, seconds, isOverLimit }
  }

  /** Runs a program and gives its output; rejects unless it ends with status 0 in time. */
  async expect(command: Command, options: RunOptions): Promise<string> {
    const { status, stdout, stderr, isOverLimit } = await this.run(command, options)
    if (status === 0) return stdout
    const how = isOverLimit ? `was not done after ${options.limitMs / 1000} s` : `ended with status ${status}`
    throw new Error(`${command.program} ${command.args.join(' ')} ${how}: ${(stderr + stdout).trim().slice(-2000)}`)
  }

  get isInterrupted(): boolean {
    return this.#isInterrupted
  }

  refuseWhenInterrupted(): void {
    if (this.#isInterrupted) throw new Interrupted('interrupted')
  }

  /** What runs is ended, and nothing new is started but by cleanUp, which is not interrupted. */
  interrupt(): void {
    if (this.#isCleaningUp) return
    this.#isInterrupted = true
    for (const child of this.#running) void endChild(child, [])
  }

  /** Takes away all that is left of the run. Tells what could not be. */
  async cleanUp(): Promise<string[]> {
    this.#isCleaningUp = true
    this.#isInterrupted = false
    const failures: string[] = []
    for (const { what, action } of this.#cleanUps.splice(0).reverse()) {
      try {
        await action()
      } catch (error) {
        failures.push(`${what}: ${(error as Error).message}`)
      }
    }
    const started = [...this.#started.keys()].flatMap(({ pid }) => pid ?? [])
    await this.killAll([...started, ...markedProcesses(RUN_MARK, this.name)])
    await this.removeFolder(this.folder).catch((error: Error) => failures.push(error.message))
    return failures
  }

  /** With what it holds, but nothing that is mounted there: a child does it, in case something still is. */
  async removeFolder(folder: string): Promise<void> {
    await this.expect({ program: 'rm', args: ['-rf', '--one-file-system', folder] }, { limitMs: REMOVE_MS })
  }

  /** Ends processes for good; those that ended meanwhile are left alone. */
  async killAll(pids: readonly number[]): Promise<void> {
    for (const pid of pids) kill(pid, 'SIGKILL')
    await holdsWithin(END_MS, () => !pids.some(isRunning))
  }

  /** No other run's. */
  #partMark(part: string): string {
    return `${this.name}/${part}`
  }

  #spawn({ program, args, env, argv0 }: Command, stdio: ('ignore' | 'pipe' | number)[], part: string): ChildProcess {
    return spawn(program, args, {
      stdio,
      // Not in a mount, nor in what cleanUp removes.
      cwd: '/',
      // Its own group: the keyboard's interrupt reaches the bench, which then ends its children in order.
      detached: true,
      env: {
        ...process.env,
        LC_ALL: 'C.UTF-8',
        TMPDIR: this.folder,
        ...env,
        [RUN_MARK]: this.name,
        [PART_MARK]: this.#partMark(part),
      },
      ...(argv0 === undefined ? {} : { argv0 }),
    })
  }
}

/** Takes a mount away, hung or dead. */
export async function forceUnmount(mountpoint: string): Promise<void> {
  abortMount(mountpoint)
  while (findMount(mountpoint) !== undefined) await unmountAt(mountpoint, { mode: 'lazy' })
}

/** The end of a log, for messages. */
export function logEnd(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').slice(-8).join('\n') : 'no log'
}

async function endChild(child: ChildProcess, mountpoints: readonly string[]): Promise<void> {
  const { pid } = child
  if (pid === undefined) return
  kill(-pid, 'SIGKILL')
  if (await holdsWithin(END_MS, () => child.exitCode !== null || child.signalCode !== null)) return
  for (const mountpoint of mountpoints) abortMount(mountpoint)
}

function abortMount(mountpoint: string): void {
  const entry = findMount(mountpoint)
  if (entry === undefined || !entry.type.startsWith('fuse')) return
  try {
    abortConnection(entry.majorMinor)
  } catch {
    // The connection is gone already, which is what was wanted.
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}
