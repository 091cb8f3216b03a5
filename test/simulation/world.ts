// One seed, one world: a volume in a simulated bucket, mounted by one process after the other, and sometimes by two at
// once. Each life begins with a mount, which must find what the promises allow; runs programs; and ends by a kill at any
// moment, by a clean unmount, or by somebody else taking the volume. At the end the store is well again: everything is
// mounted once more, compared and checked.
import { FsError, type Random, seededRandom } from '../../src/platform/index.ts'
import { StoreError, withRetry } from '../../src/store/index.ts'
import { formatVolume, openVolume, readVolumeJson, type Volume, type VolumeWriter } from '../../src/volume/index.ts'
import { Bucket, type FaultRates, NO_FAULTS } from './bucket.ts'
import { Client } from './client.ts'
import { explore } from './explore.ts'
import { type Found, Oracle } from './oracle.ts'
import { Process } from './process.ts'
import { Scheduler } from './scheduler.ts'

const SELF: VolumeWriter['self'] = { host: 'host', bootId: 'boot', pid: 1, since: '2026-01-01T00:00:00Z', lock: null }
const LEASE_MS = 30_000
/** Longer than any chain of retries may take. */
const HANG_MS = 30 * 60_000
const SEGMENT_BYTES = 64 * 1024

export interface WorldOptions {
  seed: number
  /** Prints what happens. */
  verbose?: boolean
}

/** What a world went through, for the sums of a run. */
export interface WorldSummary {
  events: number
  operations: number
  acknowledged: number
  kills: number
  takeOvers: number
  digest: string
}

/** A promise was broken. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

interface Mounted {
  process: Process
  volume: Volume
  oracle: Oracle
  client: Client
}

export class World {
  readonly #options: WorldOptions
  readonly #random: Random
  readonly #scheduler: Scheduler
  readonly #bucket: Bucket
  readonly #summary: WorldSummary = { events: 0, operations: 0, acknowledged: 0, kills: 0, takeOvers: 0, digest: '' }
  #processes = 0
  readonly #faults: FaultRates
  readonly #memoryBytes: number
  readonly #commitMs: number
  readonly #inlineBytesMax: number

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#scheduler = new Scheduler(this.#random)
    this.#bucket = new Bucket(this.#scheduler)
    const { next } = { next: () => this.#random.next() }
    const mood = next()
    const rate = (most: number) => (mood < 0.3 ? 0 : next() * most)
    this.#faults = {
      before: rate(0.1),
      after: rate(0.1),
      silent: rate(0.01),
      conflict: rate(0.05),
      garbled: rate(0.02),
      slow: rate(0.2),
      slowMs: next() < 0.5 ? 500 : 20_000,
    }
    this.#memoryBytes = next() < 0.4 ? 4 << 20 : 64 << 20
    this.#commitMs = next() < 0.5 ? 1000 : 5000
    this.#inlineBytesMax = next() < 0.5 ? 4096 : 1 << 20
  }

  async play(): Promise<WorldSummary> {
    const { seed } = this.#options
    try {
      await this.#lives()
    } catch (error) {
      const trace = this.#scheduler.recent.slice(-(this.#options.verbose ? 400 : 30)).join('\n  ')
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      throw new Violation(`seed ${seed}: ${message}\n  ${trace}`, { cause: error })
    }
    this.#summary.events = this.#scheduler.events
    this.#summary.digest = this.#scheduler.digest()
    return this.#summary
  }

  #wait<T>(promise: Promise<T>, what: string): Promise<T> {
    return this.#scheduler.until(promise, HANG_MS, what)
  }

  #process(): Process {
    return new Process(`p${++this.#processes}`, this.#scheduler)
  }

  #say(message: string): void {
    this.#scheduler.note(message)
    if (this.#options.verbose) console.log(`${(this.#scheduler.nowMs / 1000).toFixed(3)} ${message}`)
  }

  async #lives(): Promise<void> {
    const random = this.#random
    await this.#format()
    let before: Oracle | null = null
    for (let lives = 2 + Math.floor(random.next() * 3); lives > 0; lives--) before = await this.#life(before)
    await this.#end(before)
  }

  async #format(): Promise<void> {
    const process = this.#process()
    await this.#wait(
      formatVolume({
        store: this.#store(process),
        name: 'simulated',
        segmentSizeBytes: 256 * 1024,
        force: false,
        clock: process.clock,
        random: this.#random,
        self: SELF,
        rootOwner: { uid: 0, gid: 0 },
        leaseMs: LEASE_MS,
        judge: async () => 'dead',
        log: () => {},
        probe: null,
      }),
      'format',
    )
    process.kill()
  }

  #store(process: Process) {
    return withRetry(this.#bucket.storeFor(process), { clock: process.clock, random: this.#random })
  }

  /** Mounts, and compares what is found with what may be. */
  async #mount(before: Oracle | null, takeOver: boolean): Promise<Mounted | null> {
    const process = this.#process()
    const store = this.#store(process)
    const { name } = process
    const judged = this.#random.next() < 0.7 ? 'dead' : 'unknown'
    const open = async (): Promise<Volume> => {
      const identity = await readVolumeJson(store)
      return openVolume({
        store,
        identity: { ...identity, json: { ...identity.json, segmentSize: SEGMENT_BYTES } },
        writer: {
          self: SELF,
          leaseMs: LEASE_MS,
          judge: async () => judged,
          takeOver,
          probe: null,
          onFailure: (error: FsError) => this.#say(`${name} failed: ${error.message}`),
        },
        clock: process.clock,
        random: this.#random,
        log: (level, message) => this.#say(`${name} ${level}: ${message}`),
        memoryBytes: this.#memoryBytes,
        commitMs: this.#commitMs,
        parallelism: 4,
        rootOwner: { uid: 0, gid: 0 },
        inlineBytesMax: this.#inlineBytesMax,
      })
    }
    let volume: Volume
    try {
      volume = await this.#wait(open(), `mount by ${name}`)
    } catch (error) {
      if ((error as Error).message?.includes('hangs')) throw error
      this.#say(`${name} could not mount: ${(error as Error).message}`)
      process.kill()
      return null
    }
    this.#say(`${name} mounted, replayed ${volume.status.replayedCommits}`)
    // What it finds is read in calm weather: reading has its own chances elsewhere.
    const found = await this.#explore(volume, name)
    const wrong = before?.recovered(found) ?? null
    if (wrong !== null) throw new Error(`after the mount by ${name}: ${wrong}`)
    const oracle = new Oracle(found, () => this.#scheduler.nowMs)
    const client = new Client({
      fs: volume.filesystem,
      oracle,
      process,
      random: this.#random,
      now: () => this.#scheduler.nowMs,
      note: (what) => this.#scheduler.note(`${name}: ${what}`),
      fail: (message) => this.#scheduler.fail(new Error(message)),
      smallBytes: 300,
      largeBytes: this.#random.next() < 0.5 ? 3000 : 90_000,
      meanPauseMs: this.#random.next() < 0.5 ? 50 : 1500,
    })
    return { process, volume, oracle, client }
  }

  async #explore(volume: Volume, name: string): Promise<Found> {
    const { rates, outageUntilMs } = this.#bucket
    this.#bucket.rates = NO_FAULTS
    this.#bucket.outageUntilMs = 0
    const found = await this.#wait(explore(volume.filesystem), `reading all by ${name}`)
    this.#bucket.rates = rates
    this.#bucket.outageUntilMs = outageUntilMs
    return found
  }

  /** One mount, to its end. Gives the oracle of what the next mount must find. */
  async #life(before: Oracle | null): Promise<Oracle | null> {
    const random = this.#random
    this.#bucket.rates = random.next() < 0.7 ? this.#faults : NO_FAULTS
    const mounted = await this.#mount(before, false)
    if (mounted === null) {
      this.#bucket.rates = NO_FAULTS
      return before
    }
    const dice = random.next()
    if (dice < 0.55) await this.#killed(mounted)
    else if (dice < 0.75) return this.#takenOver(mounted)
    else await this.#unmounted(mounted)
    return mounted.oracle
  }

  #programs({ client }: Mounted): Promise<unknown> {
    const { random } = this.#scheduler
    const programs = 1 + Math.floor(random.next() * 3)
    const steps = 20 + Math.floor(random.next() * 60)
    return Promise.all(Array.from({ length: programs }, () => client.run(steps)))
  }

  #count({ client }: Mounted): void {
    this.#summary.operations += client.operations
    this.#summary.acknowledged += client.acknowledged
  }

  /** Runs until it is killed, at any moment. */
  async #killed(mounted: Mounted): Promise<void> {
    const { client, process } = mounted
    const { random } = this.#scheduler
    const killed = new Promise<void>((resolve) => {
      const kill = () => {
        // What an operation did that is not answered yet is not known: the kill waits for its answer.
        if (client.isBusy) {
          this.#scheduler.after(0.5, 'kill waits', kill)
          return
        }
        process.kill()
        resolve()
      }
      this.#scheduler.after(random.next() ** 2 * 150_000, 'kill', kill)
    })
    this.#disturb(mounted)
    const done = this.#programs(mounted).then(() => process.clock.sleep(random.next() * 60_000))
    await this.#wait(Promise.race([killed, done]), 'a life')
    // A program may have come to its end first.
    if (process.isAlive) await this.#wait(killed, 'the kill')
    this.#summary.kills++
    this.#count(mounted)
  }

  /** Outages, partitions and jumps of the wall clock. */
  #disturb({ process }: Mounted): void {
    const { random } = this.#scheduler
    if (random.next() < 0.2) {
      this.#scheduler.after(random.next() * 60_000, 'outage', () => {
        if (!process.isAlive) return
        this.#bucket.outageUntilMs = this.#scheduler.nowMs + random.next() * 100_000
      })
    }
    if (random.next() < 0.3)
      this.#scheduler.after(random.next() * 60_000, 'clock jumps', () => process.jump((random.next() - 0.5) * 1e8))
  }

  async #unmounted(mounted: Mounted): Promise<void> {
    const { client, oracle, process, volume } = mounted
    await this.#wait(this.#programs(mounted), 'programs')
    this.#bucket.rates = this.#random.next() < 0.5 ? this.#bucket.rates : NO_FAULTS
    await this.#wait(client.finish(), 'the last syncs')
    this.#count(mounted)
    if (volume.status.failure === null) await this.#compare(mounted)
    const everything = oracle.mark('all')
    try {
      await this.#wait(volume.close(), 'unmount')
      const wrong = oracle.acknowledge(everything)
      if (wrong !== null) throw new Error(`unmount: ${wrong}`)
      for (const ino of oracle.files.keys()) oracle.unhold(ino)
    } catch (error) {
      if (!(error instanceof FsError) && !(error instanceof StoreError)) throw error
      this.#say(`${process.name} could not unmount: ${error.message}`)
      volume.abandon()
    }
    process.kill()
  }

  async #compare({ oracle, volume }: Mounted): Promise<void> {
    const found = await this.#explore(volume, 'the program')
    const wrong = oracle.visible(found)
    if (wrong !== null) throw new Error(`before the unmount ${wrong}`)
  }

  /** Somebody else takes the volume while programs run on. */
  async #takenOver(first: Mounted): Promise<Oracle | null> {
    const { random } = this.#scheduler
    const { process } = first
    const running = this.#programs(first)
    running.catch((error: unknown) => this.#scheduler.fail(error))
    await this.#wait(process.clock.sleep(random.next() * 20_000), 'a while')
    const how = random.next()
    if (how < 0.3) process.stop()
    else if (how < 0.5) process.isPartitioned = true
    const second = await this.#mount(first.oracle, true)
    if (second === null) {
      process.goOn()
      process.kill()
      return first.oracle
    }
    this.#summary.takeOvers++
    process.goOn()
    process.isPartitioned = false
    const both = Promise.all([running, this.#programs(second)])
    await this.#wait(both, 'programs of both')
    await this.#wait(second.process.clock.sleep(LEASE_MS * 4), 'the lease')
    const { status } = first.volume
    if (status.failure === null) throw new Error(`${process.name} does not know that it lost the volume`)
    this.#count(first)
    this.#count(second)
    process.kill()
    second.process.kill()
    return second.oracle
  }

  async #end(before: Oracle | null): Promise<void> {
    this.#bucket.rates = NO_FAULTS
    this.#bucket.outageUntilMs = 0
    let last = await this.#mount(before, false)
    // A heartbeat that was on its way when its process died looks like a sign of life.
    for (let tries = 0; last === null && tries < 3; tries++) last = await this.#mount(before, false)
    if (last === null) throw new Error('the volume cannot be mounted in calm weather')
    await this.#wait(last.volume.close(), 'the last unmount')
    last.process.kill()
    const again = await this.#mount(last.oracle, false)
    if (again === null) throw new Error('the volume cannot be mounted again')
    const replayed = again.volume.status.replayedCommits
    if (replayed !== 0) throw new Error(`${replayed} commits were replayed after a clean unmount`)
    await this.#wait(again.volume.close(), 'the very last unmount')
    again.process.kill()
  }
}

export function play(options: WorldOptions): Promise<WorldSummary> {
  return new World(options).play()
}
