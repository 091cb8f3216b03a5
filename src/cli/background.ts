// Going to the background. The foreground process starts the daemon, the same program with the same arguments, as a child
// in a session of its own; the daemon tells over a pipe (descriptor 3) when the mount answers, or why it does not; the
// foreground process passes that on and ends.
//
// A process that stays in front (-f) becomes the daemon itself, by one exec: Node reads how many threads it has, and how
// much memory its collector, before a program can set it. A mount served by four threads can lock up (fuse/index.ts).
//
// Must stay true: arguments and environment hold no secret that the user did not put there; a daemon that ends in any way
// before it has told closes the pipe, so that nobody waits for ever.
import { spawn } from 'node:child_process'
import { closeSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { replaceProcess } from '../platform/index.ts'

/** Set in the daemon's environment, and taken out of it at once. */
const ROLE = 'CAIRNFS_DAEMON'
const THREADS = '16'
const THREADS_MIN = 8
/** For Node's collector: it is told only when its user has not. What a request leaves behind is garbage soon, but a commit's
 *  worth of it is not: with the 16 MiB for what is new that Node has by itself, that is copied again and again, and by four
 *  threads that wait for each other where there are two cores. Unpacking 10,000 files takes a quarter less with these. */
const COLLECTOR = ['--max-semi-space-size=32', '--v8-pool-size=1']
const REPORT_FD = 3

/** What a daemon tells, once. */
export type Report = { ready: true } | { ready: false; message: string; exitStatus: number }

/** Whether this process was started as a daemon; the first call takes the mark away. */
export function takeDaemonRole(): boolean {
  const isDaemon = process.env[ROLE] !== undefined
  delete process.env[ROLE]
  return isDaemon
}

/** The daemon's report to the process that started it. */
export function sendReport(report: Report): void {
  try {
    writeSync(REPORT_FD, JSON.stringify(report))
  } catch {
    // Nobody listens any more (it was interrupted): the mount goes on.
  }
  closeSync(REPORT_FD)
}

/** Starts the daemon and waits for its report. Resolves to it, or to what its end says. */
export async function startDaemon(): Promise<Report> {
  // Before there is a daemon: an interrupt while it is being started must end it too. It is heard after this turn.
  const interrupt = () => child.kill('SIGTERM')
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  const child = spawn(process.execPath, [...missingArguments(), ...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...threadPool(), [ROLE]: '1' },
  })
  const complaints = collect(child.stderr as Readable)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`cannot be started: ${error.message}`))
    child.once('exit', (status, signal) => resolve(signal === null ? `ended with status ${status}` : `got ${signal}`))
  })
  const text = await collect(child.stdio[REPORT_FD] as Readable)
  if (text !== '') {
    const report = JSON.parse(text) as Report
    // One that failed has something to clear away: when we return, nothing is left of it.
    if (!report.ready) await ended
    child.stderr?.destroy()
    child.unref()
    return report
  }
  const how = await ended
  const lastWords = (await complaints).trim().split('\n').at(-1)
  return {
    ready: false,
    exitStatus: 1,
    message: `the daemon ${how} before the mount answered: ${lastWords || 'see its log'}`,
  }
}

/** In front: makes sure that this process has threads and memory as a daemon needs them, by beginning it again if need be. */
export function becomeDaemon(): void {
  const missing = missingArguments()
  if (Object.keys(threadPool()).length === 0 && missing.length === 0) return
  const environment = Object.fromEntries(
    Object.entries({ ...process.env, ...threadPool() }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  )
  replaceProcess(process.execPath, [...missing, ...process.execArgv, ...process.argv.slice(1)], environment)
}

/** What to add to the environment for threads enough; nothing when they are set. */
function threadPool(): { UV_THREADPOOL_SIZE?: string } {
  return Number(process.env.UV_THREADPOOL_SIZE ?? 0) >= THREADS_MIN ? {} : { UV_THREADPOOL_SIZE: THREADS }
}

/** What to tell Node besides what it was told. */
function missingArguments(): string[] {
  const given = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
  return COLLECTOR.filter((flag) => {
    const [name] = flag.split('=') as [string]
    return !given.some((option) => option.replaceAll('_', '-').startsWith(name))
  })
}

function collect(stream: Readable): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    stream.once('close', () => resolve(text)).once('error', () => resolve(text))
  })
}

/** The exit status of a process that a signal ended, as the shell counts. */
export function signalStatus(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
