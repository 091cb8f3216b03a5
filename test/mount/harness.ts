// What tests of real mounts share: a server in a process of its own, commands against the mount in other processes, and
// a watchdog over both.
//
// Must stay true:
// - The test process never touches a mount, not even with stat: it reads mountinfo and starts children.
// - Nothing here waits without a deadline. A command that outlives its own has its mount's connection aborted, which
//   frees it however it hangs in the kernel; `cleanUp` then takes away mounts, processes and folders, in this order.
// - Only processes started here are ended, by their pid.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { abortConnection, findMount, unmountAt } from '../../src/fuse/index.ts'

const REPOSITORY = join(import.meta.dirname, '../..')
const COMMAND_MS = 60_000
const START_MS = 20_000
const END_MS = 20_000

/** Compiles TypeScript entry files with all they import, since Node 20 runs none. The result lies where node_modules
 *  resolves. Types are not checked here. Returns the compiled file of each. Call `remove` at the end. */
export function compile(entries: string[]): { files: string[]; remove: () => void } {
  const cache = join(REPOSITORY, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const out = mkdtempSync(join(cache, 'cairnfs-test-'))
  chmodSync(out, 0o755) // other users run it too
  const options = { noEmit: false, noCheck: true, outDir: out, rootDir: REPOSITORY }
  writeFileSync(
    join(out, 'tsconfig.json'),
    JSON.stringify({
      extends: join(REPOSITORY, 'tsconfig.json'),
      compilerOptions: options,
      files: entries,
      include: [],
    }),
  )
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  execFileSync(process.execPath, [join(REPOSITORY, 'node_modules/typescript/bin/tsc'), '-p', out], { stdio: 'inherit' })
  const files = entries.map((entry) => join(out, relative(REPOSITORY, entry)).replace(/\.ts$/, '.js'))
  return { files, remove: () => rmSync(out, { recursive: true, force: true }) }
}

export interface RunOptions {
  timeoutMs?: number
  uid?: number
  gid?: number
  env?: Record<string, string>
}

export interface RunResult {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  durationMs: number
  timedOut: boolean
}

/** A message that a server prints: one JSON object a line. */
export type Message = Record<string, unknown>

export interface Server {
  readonly pid: number
  readonly messages: readonly Message[]
  /** The first message that has `key`, now or later. Rejects when the server ends without one, or after a deadline. */
  message(key: string, timeoutMs?: number): Promise<Message>
  kill(signal: NodeJS.Signals): void
  /** The exit status; waits for it. */
  exited(timeoutMs?: number): Promise<number | null>
  /** CPU time it has used so far, user and system. */
  cpuMs(): number
  /** Its resident memory. */
  rssBytes(): number
}

export class MountHarness {
  readonly #folders: string[] = []
  readonly #mountpoints: string[] = []
  readonly #children = new Set<ChildProcess>()
  readonly #servers: ServerProcess[] = []

  /** A new folder, removed by cleanUp. */
  folder(mode = 0o755): string {
    const path = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
    chmodSync(path, mode)
    this.#folders.push(path)
    return path
  }

  /** A new empty folder that is unmounted by cleanUp, whatever is mounted there then. */
  mountpoint(name = 'mnt'): string {
    const path = join(this.folder(), name)
    mkdirSync(path)
    this.#mountpoints.push(path)
    return path
  }

  /** Starts a process that prints JSON lines. */
  serve(command: string, args: string[], { uid, gid, env }: RunOptions = {}): Server {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '8', ...env },
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    })
    this.#children.add(child)
    const server = new ServerProcess(child)
    this.#servers.push(server)
    return server
  }

  /** Runs `script` in bash, in `cwd` if that is given (a mount may be: the child changes into it). When its time is up,
   *  the connections of all mountpoints are aborted and the process is killed. */
  async run(script: string, options: RunOptions & { cwd?: string } = {}): Promise<RunResult> {
    const started = performance.now()
    const { cwd, uid, gid, timeoutMs = COMMAND_MS } = options
    const preamble = cwd === undefined ? '' : `cd ${shellQuote(cwd)} || exit 99\n`
    const child = spawn('bash', ['-c', `set -o pipefail\n${preamble}${script}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: '/',
      detached: true,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    })
    this.#children.add(child)
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    return new Promise((resolve, reject) => {
      let timedOut = false
      const watchdog = setTimeout(() => {
        timedOut = true
        this.abortAll()
        killGroup(child)
      }, timeoutMs)
      child.on('error', reject)
      child.on('close', (status, signal) => {
        clearTimeout(watchdog)
        this.#children.delete(child)
        resolve({ status, signal, stdout, stderr, durationMs: performance.now() - started, timedOut })
      })
    })
  }

  /** Runs `script` and gives its output; fails unless it ends with status 0 in time. */
  async shell(script: string, options: RunOptions & { cwd?: string } = {}): Promise<string> {
    const result = await this.run(script, options)
    if (result.status !== 0) {
      const how = result.timedOut ? 'timed out' : `ended with ${result.status ?? result.signal}`
      throw new Error(`${script}\n${how}: ${result.stderr}${result.stdout}`)
    }
    return result.stdout
  }

  /** Aborts the connection of every FUSE mount at our mountpoints, and those our servers have told of, which may lie
   *  in namespaces of their own. */
  abortAll(): void {
    const entries = this.#mountpoints.flatMap((mountpoint) => findMount(mountpoint) ?? [])
    const ours = entries.filter(({ type }) => type.startsWith('fuse')).map(({ majorMinor }) => majorMinor)
    const told = this.#servers.flatMap((server) => (server.hasExited ? [] : (server.majorMinor ?? [])))
    for (const majorMinor of new Set([...ours, ...told])) {
      try {
        abortConnection(majorMinor)
      } catch {
        // The connection is gone already, which is what was wanted.
      }
    }
  }

  /** Leaves nothing behind: to be called after each test. */
  async cleanUp(): Promise<void> {
    this.abortAll()
    for (const mountpoint of this.#mountpoints.splice(0)) {
      while (findMount(mountpoint) !== undefined) await unmountAt(mountpoint, { mode: 'lazy' })
    }
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await new Promise((resolve) => child.once('exit', resolve))
      }
    }
    this.#children.clear()
    this.#servers.length = 0
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  }
}

/** Waits until `condition` holds, asking every 10 ms. */
export async function until(condition: () => boolean, what: string, timeoutMs = END_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

class ServerProcess implements Server {
  readonly messages: Message[] = []
  readonly #child: ChildProcess
  #stderr = ''
  #line = ''

  constructor(child: ChildProcess) {
    this.#child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#line + text).split('\n')
      this.#line = lines.pop() ?? ''
      for (const line of lines) if (line.startsWith('{')) this.messages.push(JSON.parse(line) as Message)
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get majorMinor(): string | undefined {
    return this.messages.find((message) => 'majorMinor' in message)?.majorMinor as string | undefined
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async message(key: string, timeoutMs = START_MS): Promise<Message> {
    const find = () => this.messages.find((message) => key in message)
    await until(() => find() !== undefined || this.hasExited, `"${key}" from the server`, timeoutMs)
    // What it printed last may still be in the pipe when its end is known.
    if (find() === undefined) await until(() => find() !== undefined, `"${key}"; ${this.#describe()}`, 500)
    return find()!
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async exited(timeoutMs = END_MS): Promise<number | null> {
    await until(() => this.hasExited, 'the server to end', timeoutMs)
    return this.#child.exitCode
  }

  cpuMs(): number {
    // proc_pid_stat(5): utime and stime are fields 14 and 15; the name in parentheses may hold anything. 100 ticks/s.
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  }

  rssBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  }

  #describe(): string {
    const end = this.#child.exitCode ?? this.#child.signalCode
    return `server ended with ${end}: ${JSON.stringify(this.messages)} ${this.#stderr}`
  }
}

/** Kills a detached child with all it started. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}
