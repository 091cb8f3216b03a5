// An instance that is a mount: its daemons come and go with it, in the foreground, as children of the bench. What a
// system needs beside its mount (a database) it starts itself, under the same mark; the runner ends it.
import type { ChildProcess } from 'node:child_process'
import { lstatSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findMount } from '../../src/fuse/index.ts'
import { DIRECTORY } from '../minio.ts'
import { holdsWithin, sleep, until } from '../waiting.ts'
import { type Command, forceUnmount, logEnd } from '../workspace.ts'
import type { Instance, Place } from './system.ts'

const START_MS = 60_000
const UNMOUNT_MS = 300_000
const END_MS = 60_000
/** A daemon that was asked to end by a signal gets less: after that it is killed. */
const TERM_MS = 10_000
/** For so long a mount may be in use, by a daemon that looks at its own mount after it came up. */
const BUSY_MS = 10_000
const BUSY_STEP_MS = 50

export interface MountPlan {
  /** In their order; the last one mounts. A daemon stays, and is ready when `isReady` says so (the last: when the mount
   *  is there); a command ends. */
  steps(mountpoint: string): MountStep[]
  /** Makes everything durable; by default fsync(2) of the mount's root directory. */
  barrier?(mountpoint: string): Command
  /** Takes the mount away in order; by default umount(8). */
  unmount?(mountpoint: string): Command
  /** What to try before the mount is taken away by force. */
  unmountByForce?(mountpoint: string): Command
  /** Files outside the place's folder that an end by force leaves for the next mount, which there will not be: `device`
   *  is `MAJOR:MINOR` of the mount, if it is still there. */
  filesLeftByForce?(mountpoint: string, device: string | null): string[]
  /** Folders of caches on the disk, emptied when it is to be cold. */
  cacheFolders?: string[]
  /** See Instance. */
  load?(): Promise<void>
}

export type MountStep = { daemon: Command; isReady?: () => boolean } | { command: Command }

export class MountedInstance implements Instance {
  readonly mountpoints: string[]
  readonly directory: string
  readonly barrier: Command
  readonly load?: () => Promise<void>
  readonly #place: Place
  readonly #plan: MountPlan
  readonly #mountpoint: string
  readonly #log: string
  readonly #settled: () => void
  #daemons: ChildProcess[] = []
  /** By their inodes: another mount may have taken the path. */
  readonly #leftByForce: { path: string; ino: number }[] = []

  private constructor(place: Place, plan: MountPlan) {
    this.#place = place
    this.#plan = plan
    this.#mountpoint = place.workspace.makeFolder(join(place.name, 'mnt'))
    this.#log = join(place.folder, 'daemon.log')
    this.mountpoints = [this.#mountpoint]
    this.directory = join(this.#mountpoint, DIRECTORY)
    this.barrier = plan.barrier?.(this.#mountpoint) ?? { program: 'sync', args: [this.#mountpoint] }
    if (plan.load !== undefined) {
      const { load } = plan
      this.load = async () => {
        await this.#unmount()
        await load()
        await this.#mount()
      }
    }
    this.#settled = place.workspace.onCleanUp(place.name, () => this.stop({ force: true }))
  }

  static async mount(place: Place, plan: MountPlan): Promise<MountedInstance> {
    const instance = new MountedInstance(place, plan)
    try {
      // What those before it left to be written is not to be written while we measure.
      await syncDisk(place)
      await instance.#mount()
    } catch (error) {
      await instance.stop({ force: true })
      throw error
    }
    return instance
  }

  async unmountCold(): Promise<void> {
    await this.#unmount()
    for (const folder of this.#plan.cacheFolders ?? []) rmSync(folder, { recursive: true, force: true })
    await dropCaches(this.#place)
  }

  async mountAgain(): Promise<void> {
    await this.#mount()
    await this.#expect({ program: 'stat', args: [this.directory] }, START_MS)
  }

  daemons(): number[] {
    return this.#place.workspace.processesOf(this.#place.name)
  }

  connection(): string | null {
    const entry = findMount(this.#mountpoint)
    return entry?.type.startsWith('fuse') ? entry.majorMinor : null
  }

  async recover(): Promise<void> {
    await this.#unmountByForce()
    await this.#mount()
  }

  async stop({ force }: { force: boolean }): Promise<void> {
    try {
      if (force) await this.#unmountByForce()
      else await this.#unmount()
    } catch (error) {
      await this.#unmountByForce()
      throw error
    } finally {
      for (const { path, ino } of this.#leftByForce) {
        if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path)
      }
      this.#settled()
    }
  }

  async #mount(): Promise<void> {
    const { workspace, name } = this.#place
    for (const step of this.#plan.steps(this.#mountpoint)) {
      if ('command' in step) {
        await this.#expect(step.command, START_MS)
        continue
      }
      const { daemon, isReady = () => findMount(this.#mountpoint) !== undefined } = step
      const child = workspace.start(daemon, { part: name, log: this.#log })
      this.#daemons.push(child)
      await holdsWithin(START_MS, () => isReady() || hasEnded(child))
      if (!isReady() || hasEnded(child)) {
        throw new Error(`${daemon.program} did not come up: ${logEnd(this.#log)}`)
      }
    }
    // It answers.
    await this.#expect({ program: 'stat', args: [this.#mountpoint] }, START_MS)
  }

  async #unmount(): Promise<void> {
    const command = this.#plan.unmount?.(this.#mountpoint) ?? { program: 'umount', args: [this.#mountpoint] }
    await this.#expectWhenFree(command)
    const [mounter, ...others] = this.#daemons.splice(0).reverse()
    if (mounter !== undefined) await until(END_MS, 'the end of the daemon', () => hasEnded(mounter))
    for (const daemon of others) {
      daemon.kill('SIGTERM')
      if (!(await holdsWithin(TERM_MS, () => hasEnded(daemon)))) daemon.kill('SIGKILL')
    }
  }

  async #unmountByForce(): Promise<void> {
    this.#noteFilesLeft()
    const command = this.#plan.unmountByForce?.(this.#mountpoint)
    if (command !== undefined && findMount(this.#mountpoint) !== undefined) {
      await this.#place.workspace.run(command, { limitMs: END_MS })
    }
    await forceUnmount(this.#mountpoint)
    for (const daemon of this.#daemons.splice(0)) {
      if (!(await holdsWithin(TERM_MS, () => hasEnded(daemon)))) daemon.kill('SIGKILL')
      await until(END_MS, 'the end of a daemon that was killed', () => hasEnded(daemon))
    }
  }

  #noteFilesLeft(): void {
    for (const path of this.#plan.filesLeftByForce?.(this.#mountpoint, this.connection()) ?? []) {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat !== undefined) this.#leftByForce.push({ path, ino: stat.ino })
    }
  }

  async #expectWhenFree(unmount: Command): Promise<void> {
    for (const deadline = performance.now() + BUSY_MS; ; await sleep(BUSY_STEP_MS)) {
      try {
        return await this.#expect(unmount, UNMOUNT_MS)
      } catch (error) {
        if (!/busy/.test((error as Error).message) || performance.now() > deadline) throw error
      }
    }
  }

  async #expect(command: Command, limitMs: number): Promise<void> {
    await this.#place.workspace.expect(command, { limitMs, mountpoints: this.mountpoints })
  }
}

/** Takes away what the kernel has cached, once it is on the disk: what the store still has to write would be written while
 *  we measure. */
export async function dropCaches(place: Place): Promise<void> {
  await syncDisk(place)
  const command = { program: 'bash', args: ['-c', 'echo 3 > /proc/sys/vm/drop_caches'] }
  await place.workspace.expect(command, { limitMs: UNMOUNT_MS })
}

/** The one under the store, and under what systems have beside it. Other mounts are none of our business. */
async function syncDisk({ workspace, folder }: Place): Promise<void> {
  await workspace.expect({ program: 'sync', args: ['--file-system', folder] }, { limitMs: UNMOUNT_MS })
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
