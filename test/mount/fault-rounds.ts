// A volume on MinIO whose mount reaches it through a proxy that breaks what passes, and programs that work in it meanwhile:
// one writes, fsyncs, renames and reads back, with a log outside the mount of what was acknowledged; one reads what is not
// in memory. They end with an error at the first call that fails.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, type TestContext } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../s3/fault-proxy.ts'
import { until } from './harness.ts'
import { PROGRAMS } from './programs/manifest.ts'
import { dropCaches, STORE_KINDS, type TestVolume, Volumes } from './volume-fixture.ts'

/** More than the mount keeps in memory. */
const MADE_FILES = 200
const MEMORY = ['--memory', '128M']
const PROGRAM_MS = 3_000_000

export interface WorkFigures {
  files: number
  fsyncs: number
  reads: number
  longestStepMs: number
  longestTryMs: number
  retries: number
}

/** The kind of store that has a real socket. */
export const minioKind = STORE_KINDS.find(({ title }) => title === 'MinIO')!

export class FaultyVolume {
  readonly volumes: Volumes
  readonly volume: TestVolume
  readonly proxy: FaultProxy
  readonly #seed: number
  readonly #log: string
  readonly #stop: string
  #working: Promise<{ done: number; longestMs: number }>[] = []
  #failure = ''

  private constructor(volumes: Volumes, volume: TestVolume, proxy: FaultProxy, seed: number) {
    this.volumes = volumes
    this.volume = volume
    this.proxy = proxy
    this.#seed = seed
    const outside = volumes.harness.folder()
    this.#log = join(outside, 'log')
    this.#stop = join(outside, 'stop')
  }

  /** A volume with files to read, mounted anew through a proxy, and programs at work in it; all of it for one test, which
   *  may be one of several at once: only its own context knows when it has ended. */
  static async start({ onTestFinished }: TestContext, seed: number): Promise<FaultyVolume> {
    const volumes = new Volumes()
    const proxy = await startFaultProxy(process.env.CAIRNFS_TEST_S3 ?? '')
    onTestFinished(async () => {
      await volumes.cleanUp()
      await proxy.close()
    })
    const volume = await volumes.create(minioKind, { mount: ['--commit', '1'] })
    await volume.shell(`mkdir made work listed; touch listed/{1..200}
      python3 ${PROGRAMS}/worker.py make made ${MADE_FILES}`)
    await volume.unmount()
    await volume.mount(['--endpoint', proxy.endpoint, ...MEMORY])
    const faulty = new FaultyVolume(volumes, volume, proxy, seed)
    expect(await faulty.list()).toBe('200')
    faulty.#begin()
    await faulty.goesOn()
    return faulty
  }

  /** Lists a directory that was listed before; the daemon is asked again when the kernel has forgotten it. */
  async list(): Promise<string> {
    return (await this.volume.shell('ls -l listed | grep -c ^-', { timeoutMs: 10_000 })).trim()
  }

  #begin(): void {
    const commands = [`write work ${this.#seed} ${this.#log} ${this.#stop}`, `read made ${MADE_FILES} ${this.#stop}`]
    this.#working = commands.map(async (command) => {
      const { status, stdout, stderr } = await this.volume.run(`exec python3 ${PROGRAMS}/worker.py ${command}`, {
        timeoutMs: PROGRAM_MS,
      })
      if (status === 0) return JSON.parse(stdout) as { done: number; longestMs: number }
      this.#failure ||= `${command}: ${stderr}${stdout}`
      return { done: 0, longestMs: 0 }
    })
  }

  get fsyncs(): number {
    return existsSync(this.#log) ? readFileSync(this.#log, 'latin1').split('\n').length - 1 : 0
  }

  /** Resolves when more has been acknowledged than now. */
  async goesOn(timeoutMs = 20_000): Promise<void> {
    const before = this.fsyncs
    try {
      await until(() => this.fsyncs > before + 2 || this.#failure !== '', 'work to go on', timeoutMs)
    } catch (error) {
      this.#failure ||= (error as Error).message
    }
    this.#check()
  }

  #check(): void {
    if (this.#failure !== '') throw new Error(`${this.#failure}\n--- the log:\n${this.volume.log()}`)
  }

  get retries(): number {
    return this.volume.log().match(/trying again/g)?.length ?? 0
  }

  /** Stops the programs, kills the daemon, and compares what a new one reads from MinIO itself with the log. */
  async verify(): Promise<WorkFigures> {
    writeFileSync(this.#stop, '')
    const [writer, reader] = (await Promise.all(this.#working)) as [
      { done: number; longestMs: number },
      { done: number; longestMs: number },
    ]
    this.#check()
    const { retries, fsyncs } = this
    expect((await this.volume.status()).failure).toBeNull()
    await this.volume.crash()
    await dropCaches(this.volumes.harness)
    await this.volume.mount()
    const told = await this.volume.shell(
      `python3 ${PROGRAMS}/verify_unpacked.py work ${this.#seed} ${this.#log}; touch ${this.#stop}`,
    )
    expect((JSON.parse(told) as { problems: string[] }).problems).toEqual([])
    await this.volume.unmount()
    return {
      files: writer.done,
      fsyncs,
      reads: reader.done,
      longestStepMs: Math.max(writer.longestMs, reader.longestMs),
      longestTryMs: Math.round(this.proxy.longestMs),
      retries,
    }
  }
}
