// Volumes for tests: a store of its own, formatted and mounted by the built CLI (dist/main.js), as a user would.
//
// Must stay true:
// - The test process never touches a mount: it reads mountinfo and /proc, and starts children under the watchdog of
//   MountHarness.
// - After `cleanUp` nothing is left: mounts, daemons, folders, buckets, and what daemons that were killed left in
//   /run/cairnfs and /var/log/cairnfs. Daemons are found by a mark in their environment, so that one whose mount never
//   came about is found too, and only those started here are ended, by their pid.
import { randomBytes, randomUUID } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import type { MountStatus } from '../../src/cli/control-protocol.ts'
import { findMount } from '../../src/fuse/index.ts'
import { createTestBucket, minio } from '../s3/minio.ts'
import { MountHarness, type RunOptions, type RunResult, shellQuote, until } from './harness.ts'

const MAIN = join(import.meta.dirname, '../../dist/main.js')
const MARK = 'CAIRNFS_TEST_DAEMON'
const RUN = '/run/cairnfs'
const LOGS = '/var/log/cairnfs'
/** What an unmount may take: it sends everything that is dirty. */
const UNMOUNT_MS = 120_000

/** A store that nobody else uses. */
export interface TestStore {
  /** STORE on the command line. */
  name: string
  /** Options that `format` and `mount` both need for it. */
  options: string[]
  remove(): Promise<void>
}

export interface StoreKind {
  title: 'a local folder' | 'MinIO'
  /** Why there is none here. */
  missing: string | null
  create(harness: MountHarness): Promise<TestStore>
}

export const STORE_KINDS: readonly StoreKind[] = [
  {
    title: 'a local folder',
    missing: null,
    create: async (harness) => ({
      name: `file://${join(harness.folder(), 'store')}`,
      options: [],
      remove: async () => {}, // The harness removes its folders.
    }),
  },
  {
    title: 'MinIO',
    missing: minio === undefined ? 'no MinIO: eval "$(scripts/minio start)"' : null,
    create: async () => {
      const { name, options, remove } = await createTestBucket(minio!)
      return {
        name: `${name}/volume`,
        options: ['--endpoint', options.endpoint!, '--path-style', '--region', options.region!],
        remove,
      }
    },
  },
]

/** With `scripts/test --full`; docs/TESTING.md says what is brief otherwise. */
export const isFull = process.env.CAIRNFS_TEST_FULL === 'true'

/** The kind of store with this title, where that is to be had, for what does not depend on it; every kind with `--full`. */
export function brieflyOn(title: StoreKind['title']): readonly StoreKind[] {
  const wanted = STORE_KINDS.filter((kind) => kind.title === title && kind.missing === null)
  if (isFull) return STORE_KINDS
  return wanted.length > 0 ? wanted : STORE_KINDS.filter(({ missing }) => missing === null)
}

/** The same tests over every kind of store, or over those given. Where there is none they are skipped, and the reason is
 *  printed. */
export function describeStores(promise: string, tests: (kind: StoreKind) => void, kinds = STORE_KINDS): void {
  const root = process.geteuid!() === 0 ? null : 'root only: /dev/fuse and foreign owners need it'
  for (const kind of kinds) {
    const reason = root ?? kind.missing
    if (reason !== null) process.stderr.write(`skipped: ${promise} on ${kind.title}: ${reason}\n`)
    describe.skipIf(reason !== null)(`${promise}, on ${kind.title}${reason === null ? '' : ` (${reason})`}`, () =>
      tests(kind),
    )
  }
}

/** The name of the host that is not this one. */
export const ANOTHER_HOST = 'another-host'

/** A volume mounted there. */
export interface AnotherHost {
  /** Of its daemon. */
  pid: number
  /** Runs a script that finds its mount at $MNT. */
  run(script: string): Promise<RunResult>
}

/** Writes and fsyncs a file; the status of the shell tells whether that was acknowledged. */
export const writeAndFsync = (name: string) =>
  `python3 -c 'import os; f = os.open("${name}", os.O_CREAT | os.O_WRONLY); os.write(f, b"x"); os.fsync(f)'`

/** Makes volumes, and takes all of them away. One for a test file; `cleanUp` after each test. */
export class Volumes {
  readonly harness = new MountHarness()
  readonly #volumes: TestVolume[] = []

  /** A new volume, formatted and mounted. */
  async create(kind: StoreKind, options: { format?: string[]; mount?: string[] } = {}): Promise<TestVolume> {
    const store = await kind.create(this.harness)
    const volume = new TestVolume(this.harness, store, options.mount ?? [])
    this.#volumes.push(volume)
    await volume.format(options.format ?? [])
    await volume.mount()
    return volume
  }

  async cleanUp(): Promise<void> {
    const volumes = this.#volumes.splice(0)
    for (const volume of volumes) {
      await volume.killMarked()
      volume.removeSocket()
    }
    await this.harness.cleanUp()
    for (const volume of volumes) {
      volume.removeRuntimeFiles()
      await volume.store.remove()
    }
  }
}

export class TestVolume {
  readonly name: string
  readonly mountpoint: string
  readonly store: TestStore
  readonly #harness: MountHarness
  readonly #mountOptions: string[]
  #pid: number | null = null
  /** Of daemons that were killed; another mount may have got the name since. */
  readonly #deadSockets: { path: string; ino: number }[] = []
  readonly #leftovers = new Set<string>()

  constructor(harness: MountHarness, store: TestStore, mountOptions: string[], name?: string) {
    this.name = name ?? `cairnfs-test-${randomBytes(6).toString('hex')}`
    this.#harness = harness
    this.store = store
    this.#mountOptions = mountOptions
    this.mountpoint = harness.mountpoint()
    this.#leftovers.add(join(LOGS, `${this.name}.log`))
  }

  /** Of the daemon that serves it now. */
  get pid(): number {
    if (this.#pid === null) throw new Error('not mounted')
    return this.#pid
  }

  async format(options: string[]): Promise<void> {
    const told = await this.cairnfs(['format', this.store.name, '--name', this.name, ...this.store.options, ...options])
    this.#leftovers.add(join(RUN, `${/uuid (\S+)/.exec(told)?.[1]}-0.lock`))
  }

  /** Mounts; resolves when the mount answers. */
  async mount(options: string[] = []): Promise<void> {
    const all = [...this.store.options, ...this.#mountOptions, ...options]
    await this.cairnfs(['mount', this.store.name, this.mountpoint, ...all])
    const { pid } = await this.status()
    this.#pid = pid
  }

  /** What a second mount of the same volume says, at a mountpoint of its own. */
  tryMountElsewhere(): Promise<RunResult> {
    const { name, options } = this.store
    const args = ['mount', name, this.#harness.mountpoint('elsewhere'), ...options, ...this.#mountOptions]
    const command = [process.execPath, MAIN, ...args].map(shellQuote).join(' ')
    return this.#harness.run(command, { env: { [MARK]: this.name } })
  }

  /** The same volume mounted a second time. Taken away with this one. */
  async mountElsewhere(options: string[]): Promise<TestVolume> {
    const second = new TestVolume(this.#harness, this.store, this.#mountOptions, this.name)
    await second.mount(options)
    return second
  }

  /** Mounts the volume as another host would, which has another name, boot and /run, and runs a script in the mount. The
   *  mount is seen in a namespace of its own, which ends with its daemon. */
  async mountOnAnotherHost(script: string, options: string[] = []): Promise<AnotherHost> {
    const mountpoint = this.#harness.mountpoint('another-host')
    const bootId = join(mountpoint, '../boot-id')
    writeFileSync(bootId, `${randomUUID()}\n`)
    const args = ['mount', this.store.name, mountpoint, ...this.store.options, ...this.#mountOptions, ...options]
    const inNamespace = [
      `hostname ${ANOTHER_HOST}`,
      `mount -t tmpfs -o mode=755 none ${RUN}`,
      `mount --bind ${shellQuote(bootId)} /proc/sys/kernel/random/boot_id`,
      [process.execPath, MAIN, ...args].map(shellQuote).join(' '),
      `cd ${shellQuote(mountpoint)}`,
      script,
    ]
    const command = `mkdir -p ${RUN}; unshare --mount --uts bash -ec ${shellQuote(inNamespace.join('\n'))}`
    await this.#explained(() => this.#harness.shell(command, { env: { [MARK]: this.name } }))
    const { length, [length - 1]: pid } = markedProcesses(this.name).filter((each) => each !== this.#pid)
    expect(length, 'daemons on another host').toBe(1)
    return {
      pid: pid as number,
      run: (inside) => {
        const enter = ['nsenter', `--target=${pid}`, '--mount', 'env', `MNT=${mountpoint}`, 'bash', '-c', inside]
        return this.#harness.run(enter.map(shellQuote).join(' '))
      },
    }
  }

  /** Unmounts, and checks that nothing of it is left. */
  async unmount(): Promise<void> {
    const { pid } = this
    await this.cairnfs(['umount', this.mountpoint], UNMOUNT_MS)
    expect(findMount(this.mountpoint), 'the mount after cairnfs umount').toBeUndefined()
    expect(isRunning(pid), 'the daemon after cairnfs umount').toBe(false)
    this.#pid = null
  }

  /** Unmounts, drops the kernel's caches, and mounts again with a new daemon. */
  async remountCold(options: string[] = []): Promise<void> {
    const { pid } = this
    await this.unmount()
    await dropCaches(this.#harness)
    await this.mount(options)
    expect(this.pid).not.toBe(pid)
  }

  /** The barrier: everything is durable. */
  async sync(): Promise<void> {
    await this.cairnfs(['sync', this.mountpoint], UNMOUNT_MS)
  }

  async status(): Promise<MountStatus> {
    return JSON.parse(await this.cairnfs(['status', this.mountpoint, '--json'])) as MountStatus
  }

  /** Ends the daemon as a crash would. Its mount stays, dead; the next `mount` replaces it. */
  async crash(): Promise<void> {
    const { pid } = this
    const socket = this.#socketPath()
    process.kill(pid, 'SIGKILL')
    await until(() => !isRunning(pid), `the end of daemon ${pid}`)
    if (socket !== null) this.#deadSockets.push({ path: socket, ino: lstatSync(socket).ino })
    this.#pid = null
  }

  /** Runs a script in bash inside the mount; fails unless it ends with status 0 in time. */
  async shell(script: string, options: RunOptions & { cwd?: string } = {}): Promise<string> {
    return this.#explained(() => this.#harness.shell(`set -e\n${script}`, { cwd: this.mountpoint, ...options }))
  }

  /** Runs a script in bash inside the mount. */
  run(script: string, options: RunOptions & { cwd?: string } = {}): Promise<RunResult> {
    return this.#harness.run(script, { cwd: this.mountpoint, ...options })
  }

  /** Runs the built command. */
  cairnfs(args: string[], timeoutMs?: number): Promise<string> {
    const command = [process.execPath, MAIN, ...args].map(shellQuote).join(' ')
    const options = { env: { [MARK]: this.name }, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
    return this.#explained(() => this.#harness.shell(command, options))
  }

  /** All that its daemons logged. */
  log(): string {
    return readFileSync(join(LOGS, `${this.name}.log`), 'utf8')
  }

  /** Ends daemons of this volume that still run. */
  async killMarked(): Promise<void> {
    const pids = markedProcesses(this.name)
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
    await until(() => !pids.some(isRunning), 'the end of daemons that were killed')
  }

  /** Of a daemon that was killed. Only while its mount is there: then the device number, its name, is no other's. */
  removeSocket(): void {
    const path = this.#socketPath()
    if (path !== null) rmSync(path, { force: true })
  }

  removeRuntimeFiles(): void {
    for (const { path, ino } of this.#deadSockets) {
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path)
    }
    for (const path of this.#leftovers) rmSync(path, { force: true })
  }

  /** Of the daemon that serves the mountpoint. */
  #socketPath(): string | null {
    const entry = findMount(this.mountpoint)
    return entry === undefined ? null : join(RUN, `${entry.majorMinor.replace(':', '-')}.sock`)
  }

  /** Adds the end of the daemon's log to an error: what a program complains about is told there. */
  async #explained<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      throw new Error(`${(error as Error).message}\n--- the log's end:\n${this.#logEnd()}`, { cause: error })
    }
  }

  #logEnd(): string {
    try {
      return readFileSync(join(LOGS, `${this.name}.log`), 'utf8')
        .split('\n')
        .slice(-20)
        .join('\n')
    } catch (error) {
      return `none: ${(error as Error).message}`
    }
  }
}

/** Drops what the kernel caches, as root. Dirty pages stay: only the barrier is asked to make things durable. */
export async function dropCaches(harness: MountHarness): Promise<void> {
  await harness.shell('echo 3 > /proc/sys/vm/drop_caches')
}

/** Whether a process runs; one that waits to be collected by its parent has ended. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    // No such process.
    return false
  }
}

function markedProcesses(name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${name}`)
      } catch {
        // It has ended meanwhile.
        return false
      }
    })
    .map(Number)
}
