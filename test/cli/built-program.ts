// The cairnfs program as users run it, for tests: compiled once per file of tests, run in children, looked at from outside.
//
// Must stay true: `leftOvers` sees what a failed or ended mount may leave: mounts, daemons, sockets, locks, and slots in
// writers/ that name somebody. Sockets and locks of other tests are told apart by volume and by device.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findMount } from '../../src/fuse/index.ts'
import { compile, type MountHarness, type RunOptions, type RunResult, shellQuote, until } from '../mount/harness.ts'

const SOURCE = join(import.meta.dirname, '../../src')

export interface BuiltProgram {
  /** A shell command each. */
  cairnfs: string
  mountHelper: string
  remove(): void
}

export function buildProgram(): BuiltProgram {
  const { files, remove } = compile([join(SOURCE, 'main.ts'), join(SOURCE, 'mount-helper.ts')])
  // The program asks the package.json above it for its version.
  copyFileSync(join(SOURCE, '../package.json'), join(dirname(files[0]!), '../package.json'))
  const [cairnfs, mountHelper] = files.map((file) => `${shellQuote(process.execPath)} ${shellQuote(file)}`)
  return { cairnfs: cairnfs!, mountHelper: mountHelper!, remove }
}

/** A formatted volume in a local folder, and the commands on it. */
export class LocalVolume {
  readonly store: string
  readonly folder: string
  readonly mountpoint: string
  readonly #harness: MountHarness
  readonly #program: BuiltProgram

  constructor(harness: MountHarness, program: BuiltProgram) {
    this.#harness = harness
    this.#program = program
    this.folder = join(harness.folder(), 'store')
    this.store = `file://${this.folder}`
    this.mountpoint = harness.mountpoint()
  }

  /** Runs `cairnfs ARGS`; fails unless it ends with 0. Gives standard output. */
  cairnfs(args: string, options?: RunOptions): Promise<string> {
    return this.#harness.shell(`${this.#program.cairnfs} ${args}`, options)
  }

  /** As above, whatever comes of it. */
  tryCairnfs(args: string, options?: RunOptions): Promise<RunResult> {
    return this.#harness.run(`${this.#program.cairnfs} ${args}`, options)
  }

  format(args = ''): Promise<string> {
    return this.cairnfs(`format ${args} ${this.store}`)
  }

  mount(args = ''): Promise<string> {
    return this.cairnfs(`mount ${args} ${this.store} ${this.mountpoint}`)
  }

  umount(args = ''): Promise<string> {
    return this.cairnfs(`umount ${args} ${this.mountpoint}`)
  }

  async status(): Promise<{ pid: number; dirtyBytes: number } & Record<string, unknown>> {
    return JSON.parse(await this.cairnfs(`status --json ${this.mountpoint}`))
  }

  uuid(): string {
    return JSON.parse(readFileSync(join(this.folder, 'volume.json'), 'utf8')).uuid
  }

  slot(): { epoch: number; released: { lastSeq: number } | null; pid: number } {
    return JSON.parse(readFileSync(join(this.folder, 'writers/0.json'), 'utf8'))
  }

  get lockFile(): string {
    return `/run/cairnfs/${this.uuid()}-0.lock`
  }

  /** What is there that a volume nobody has mounted should not have; empty is good. */
  leftOvers(): string[] {
    const left: string[] = []
    if (findMount(this.mountpoint) !== undefined) left.push('mount')
    for (const pid of processesWith(this.folder)) left.push(`process ${pid}`)
    if (!existsSync(join(this.folder, 'volume.json'))) return left
    if (existsSync(this.lockFile)) left.push('lock')
    if (this.slot().released === null) left.push('slot')
    return left
  }
}

/** Processes in whose arguments `text` stands. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return []
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text) ? [Number(name)] : []
    } catch {
      // It has ended meanwhile.
      return []
    }
  })
}

export function sockets(): string[] {
  return existsSync('/run/cairnfs') ? readdirSync('/run/cairnfs').filter((name) => name.endsWith('.sock')) : []
}

export function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

export async function untilEnded(pid: number): Promise<void> {
  await until(() => !isRunning(pid), `process ${pid} to end`)
}

export function makeDirectory(path: string): string {
  mkdirSync(path, { recursive: true })
  return path
}
