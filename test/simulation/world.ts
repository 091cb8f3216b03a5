// One seed, one world: a volume in a simulated bucket, mounted by one process after the other, and sometimes by two at
// once. Each life begins with a mount, which must find what the promises allow; runs programs; and ends by a kill at any
// moment, by a clean unmount, or by somebody else taking the volume. At the end the store is well again: everything is
// mounted once more, compared and checked.

import { PINNED_TABLES, TABLE_KINDS, USAGE } from '../../src/meta/index.ts'
import { FsError, type Random, seededRandom } from '../../src/platform/index.ts'
import { createSegmentStore, parseSegmentKey } from '../../src/segments/index.ts'
import { StoreError, withRetry } from '../../src/store/index.ts'
import { type Database, type Judgement, openDatabaseReadOnly } from '../../src/tables/index.ts'
import { decodeRoot } from '../../src/tables/root.ts'
import {
  checkVolume,
  formatVolume,
  openVolume,
  readVolumeJson,
  type Volume,
  type VolumeWriter,
} from '../../src/volume/index.ts'
import { checkConsistency } from '../vfs/consistency.ts'
import { Bucket, type FaultRates, NO_FAULTS } from './bucket.ts'
import { Client } from './client.ts'
import { explore } from './explore.ts'
import { Machine } from './machine.ts'
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
  /** The store is a folder on a simulated disk, whose power is cut (disk.ts), in place of a bucket. */
  disk?: boolean
  /** Prints what happens. */
  verbose?: boolean
  /** Called before each mount with what the store holds then, other mounts and late requests going on. */
  onMount?: (objects: ReadonlyMap<string, { body: Buffer }>) => Promise<void>
}

/** What a world went through, for the sums of a run. */
export interface WorldSummary {
  events: number
  operations: number
  acknowledged: number
  kills: number
  powerCuts: number
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
  readonly #machine: Machine | null
  readonly #summary: WorldSummary = {
    events: 0,
    operations: 0,
    acknowledged: 0,
    kills: 0,
    powerCuts: 0,
    takeOvers: 0,
    digest: '',
  }
  #processes = 0
  /** Nothing ever fails, nobody is killed. */
  readonly #isCalm: boolean
  readonly #faults: FaultRates
  readonly #memoryBytes: number
  readonly #commitMs: number
  readonly #inlineBytesMax: number
  /** How long what nothing refers to is kept. */
  readonly #graceMs: number

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#scheduler = new Scheduler(this.#random)
    this.#bucket = new Bucket(this.#scheduler)
    this.#machine = options.disk === true ? new Machine(this.#scheduler, this.#random) : null
    if (this.#machine !== null) this.#machine.disk.errorRate = () => this.#bucket.rates.before / 5
    const { next } = { next: () => this.#random.next() }
    const mood = next()
    this.#isCalm = next() < 0.1
    const rate = (most: number) => (mood < 0.3 ? 0 : next() * most)
    this.#faults = {
      before: rate(0.1),
      after: rate(0.1),
      silent: rate(0.01),
      conflict: rate(0.05),
      garbled: rate(next() < 0.3 ? 0.2 : 0.02),
      slow: rate(0.2),
      slowMs: next() < 0.5 ? 500 : 20_000,
    }
    this.#memoryBytes = next() < 0.4 ? 4 << 20 : 64 << 20
    this.#commitMs = next() < 0.5 ? 1000 : 5000
    this.#inlineBytesMax = next() < 0.5 ? 4096 : 1 << 20
    this.#graceMs = [0, 5_000, 3_600_000][Math.floor(next() * 3)] as number
  }

  async play(): Promise<WorldSummary> {
    const { seed } = this.#options
    // What nobody waits for fails too: an assertion in the background.
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', (error) => this.#scheduler.fail(error))
    try {
      await this.#lives()
    } catch (error) {
      const trace = this.#scheduler.recent.slice(-(this.#options.verbose ? 10_000 : 30)).join('\n  ')
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      throw new Violation(`seed ${seed}${this.#machine === null ? '' : ' over a folder'}: ${message}\n  ${trace}`, {
        cause: error,
      })
    } finally {
      process.removeAllListeners('unhandledRejection')
      for (const listener of others) process.on('unhandledRejection', listener)
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
    const store = (this.#machine ?? this.#bucket).storeFor(process)
    return withRetry(store, { clock: process.clock, random: this.#random })
  }

  /** All that ran is dead; with a disk the power may have gone. */
  #maybeCutPower(): void {
    if (this.#machine === null || this.#random.next() < 0.3) return
    this.#machine.disk.cutPower()
    this.#summary.powerCuts++
  }

  /** Waits for what a process does. With a disk its machine sometimes loses power before that has ended: null. */
  async #unlessCut<T>(process: Process, work: Promise<T>, what: string): Promise<T | null> {
    if (this.#machine === null || this.#isCalm || this.#random.next() < 0.6) return this.#wait(work, what)
    let cut = () => {}
    const isCut = new Promise<null>((resolve) => {
      const event = this.#scheduler.after(this.#random.next() ** 2 * 500, 'power fails', () => {
        process.kill()
        resolve(null)
      })
      cut = () => event.cancel()
    })
    const outcome = await this.#wait(Promise.race([work, isCut]), what)
    cut()
    return outcome
  }

  /** Mounts, and compares what is found with what may be. */
  async #mount(before: Oracle | null, takeOver: boolean, isHolderAlive = false): Promise<Mounted | null> {
    await this.#options.onMount?.(new Map(this.#machine?.objects() ?? this.#bucket.entries))
    const process = this.#process()
    const judged = this.#random.next() < 0.7 ? (isHolderAlive ? 'alive' : 'dead') : 'unknown'
    const volume = await this.#wait(this.#open(process, judged, takeOver), `mount by ${process.name}`)
    return volume === null ? null : this.#meet(process, volume, before)
  }

  /** Null where the volume cannot be opened. */
  async #open(process: Process, judged: Judgement, takeOver: boolean): Promise<Volume | null> {
    const store = this.#store(process)
    const { name } = process
    try {
      const identity = await readVolumeJson(store)
      return await openVolume({
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
        graceMs: this.#graceMs,
      })
    } catch (error) {
      if (!(error instanceof FsError) && !(error instanceof StoreError)) throw error
      this.#say(`${name} could not mount: ${error.message}`)
      process.kill()
      return null
    }
  }

  /** Reads all, compares it with what may be found, and begins an oracle with it. */
  async #meet(process: Process, volume: Volume, before: Oracle | null): Promise<Mounted & { found: Found }> {
    const { name } = process
    this.#say(`${name} mounted, replayed ${volume.status.replayedCommits}`)
    // What it finds is read in calm weather: reading has its own chances elsewhere.
    const found = await this.#explore(volume, name)
    const wrong = before?.recovered(found) ?? null
    if (wrong !== null) throw new Error(`after the mount by ${name}: ${wrong}`)
    return { ...this.#programsOn(process, volume, found), found }
  }

  #programsOn(process: Process, volume: Volume, found: Found): Mounted {
    const { name } = process
    const oracle = new Oracle(found, () => this.#scheduler.nowMs)
    const client = new Client({
      fs: volume.filesystem,
      oracle,
      process,
      random: this.#random,
      now: () => this.#scheduler.nowMs,
      isLost: () => volume.status.failure?.message.includes('taken over') === true,
      note: (what) => this.#scheduler.note(`${name}: ${what}`),
      fail: (message) => this.#scheduler.fail(new Error(message)),
      smallBytes: 300,
      largeBytes: this.#random.next() < 0.5 ? 3000 : 90_000,
      meanPauseMs: this.#random.next() < 0.5 ? 50 : 1500,
    })
    return { process, volume, oracle, client }
  }

  /** Two mount at once, each sure that the holder is dead; one may be stopped on the way. Both may get the volume, one
   *  after the other: then whoever was served last has it. */
  async #raced(before: Oracle | null): Promise<Oracle | null> {
    const { random } = this.#scheduler
    const served: { process: Process; volume: Volume }[] = []
    const racers = [this.#process(), this.#process()]
    const races = racers.map(async (process) => {
      const volume = await this.#open(process, 'dead', false)
      if (volume !== null) served.push({ process, volume })
    })
    const [slow] = racers
    if (random.next() < 0.7) {
      this.#scheduler.after(random.next() * 200, 'stop', () => slow?.stop())
      this.#scheduler.after(200 + random.next() ** 2 * 20_000, 'go on', () => slow?.goOn())
    }
    await this.#wait(Promise.all(races), 'two mounts at once')
    // Who took it first may have been served last.
    const [earlier, later] = served.sort((a, b) => a.volume.status.epoch - b.volume.status.epoch)
    if (earlier === undefined) return before
    // Nothing was changed meanwhile: what the later one finds, the earlier one has seen.
    const winner = later ?? earlier
    if (winner.volume.status.failure !== null) {
      // The other raised the epoch after it, and gave up.
      for (const { process } of served) process.kill()
      this.#maybeCutPower()
      return before
    }
    const second = await this.#meet(winner.process, winner.volume, before)
    if (later === undefined) {
      await this.#killed(second)
      return second.oracle
    }
    const first = this.#programsOn(earlier.process, earlier.volume, second.found)
    first.oracle.recovered(second.found)
    return this.#bothRun(first, second, first.client.run(20))
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
    this.#bucket.rates = random.next() < 0.7 && !this.#isCalm ? this.#faults : NO_FAULTS
    if (random.next() < 0.15 && !this.#isCalm) return this.#raced(before)
    if (this.#machine !== null && random.next() < 0.2) {
      const process = this.#process()
      await this.#unlessCut(process, this.#open(process, 'dead', false), 'a mount')
      process.kill()
      this.#maybeCutPower()
    }
    const mounted = await this.#mount(before, false)
    if (mounted === null) {
      this.#bucket.rates = NO_FAULTS
      return before
    }
    const dice = this.#isCalm ? 1 : random.next()
    if (dice < 0.55) {
      await this.#killed(mounted)
    } else if (dice < 0.75) {
      return this.#takenOver(mounted)
    } else await this.#unmounted(mounted, true)
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
        this.#maybeCutPower()
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

  /** Outages, jumps of the wall clock, and somebody who tries to mend a mount that failed. */
  #disturb({ process, volume }: Mounted): void {
    const { random } = this.#scheduler
    const mend = () => {
      if (!process.isAlive) return
      if (volume.status.failure !== null) {
        this.#say(`${process.name} is to resume`)
        volume.resume().then(
          () => this.#say(`${process.name} has resumed`),
          (error: Error) => this.#say(`${process.name} cannot resume: ${error.message}`),
        )
      }
      this.#scheduler.after(20_000 + random.next() * 60_000, 'mend', mend)
    }
    this.#scheduler.after(20_000, 'mend', mend)
    if (random.next() < 0.2 && !this.#isCalm) {
      this.#scheduler.after(random.next() * 60_000, 'outage', () => {
        if (!process.isAlive) return
        this.#bucket.outageUntilMs = this.#scheduler.nowMs + random.next() * 100_000
      })
    }
    if (random.next() < 0.3)
      this.#scheduler.after(random.next() * 60_000, 'clock jumps', () => process.jump((random.next() - 0.5) * 1e8))
  }

  /** `alone`: no other process runs, and the power may fail. */
  async #unmounted(mounted: Mounted, alone: boolean): Promise<void> {
    const { client, oracle, process, volume } = mounted
    this.#disturb(mounted)
    await this.#wait(this.#programs(mounted), 'programs')
    this.#bucket.rates = this.#random.next() < 0.5 ? this.#bucket.rates : NO_FAULTS
    await this.#wait(client.finish(), 'the last syncs')
    this.#count(mounted)
    if (volume.status.failure === null) await this.#compare(mounted)
    const everything = oracle.mark('all')
    try {
      const closing = volume.close().then(() => true)
      const isClosed = await (alone ? this.#unlessCut(process, closing, 'unmount') : this.#wait(closing, 'unmount'))
      if (isClosed) {
        const wrong = oracle.acknowledge(everything)
        if (wrong !== null) throw new Error(`unmount: ${wrong}`)
        for (const ino of oracle.files.keys()) oracle.unhold(ino)
      }
    } catch (error) {
      if (!(error instanceof FsError) && !(error instanceof StoreError)) throw error
      this.#say(`${process.name} could not unmount: ${error.message}`)
      volume.abandon()
    }
    process.kill()
    if (alone) this.#maybeCutPower()
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
    if (random.next() < 0.2 && first.volume.status.failure === null && this.#bucket.rates === NO_FAULTS) {
      const intruder = await this.#mount(null, false, true)
      if (intruder !== null) throw new Error(`${intruder.process.name} took the volume from a holder that lives`)
    }
    const how = random.next()
    if (how < 0.2) process.stop()
    else if (how < 0.4) process.isPartitioned = true
    else if (how < 0.7) {
      process.lagMs = random.next() * 40_000
      await this.#wait(process.clock.sleep(random.next() * 3_000), 'a while')
    }
    const second = await this.#mount(first.oracle, true)
    if (second === null) {
      process.goOn()
      process.kill()
      return first.oracle
    }
    this.#summary.takeOvers++
    process.goOn()
    process.isPartitioned = false
    return this.#bothRun(first, second, running)
  }

  /** The first has lost the volume to the second, and will learn it. */
  async #bothRun(first: Mounted, second: Mounted, running: Promise<unknown>): Promise<Oracle> {
    const { random } = this.#scheduler
    const { process } = first
    if (random.next() < 0.4) {
      // Its checkpoint, and the trim, come at once; the first may still have requests under way.
      await this.#unmounted(second, false)
      await this.#wait(running, 'programs of the first')
      await this.#wait(first.process.clock.sleep(LEASE_MS * 4), 'the lease')
      this.#count(first)
      first.process.kill()
      this.#maybeCutPower()
      return second.oracle
    }
    const both = Promise.all([running, this.#programs(second)])
    await this.#wait(both, 'programs of both')
    await this.#wait(second.process.clock.sleep(LEASE_MS * 4), 'the lease')
    const { status } = first.volume
    if (status.failure === null) throw new Error(`${process.name} does not know that it lost the volume`)
    this.#count(first)
    this.#count(second)
    process.kill()
    second.process.kill()
    this.#maybeCutPower()
    return second.oracle
  }

  /** Recounts what the tables say. */
  async #check(): Promise<void> {
    const process = this.#process()
    const store = this.#store(process)
    const identity = await this.#wait(readVolumeJson(store), 'volume.json')
    const segments = createSegmentStore({
      store,
      volumeUuid: identity.uuid,
      segmentSizeBytes: SEGMENT_BYTES,
      cacheBytes: 64 << 20,
      clock: process.clock,
    })
    const database = openDatabaseReadOnly({
      store,
      segments,
      kinds: TABLE_KINDS,
      pinned: PINNED_TABLES,
      volumeUuid: identity.uuid,
      volumeJson: identity.bytes,
      clock: process.clock,
      random: this.#random,
      log: () => {},
      pageCacheBytes: 64 << 20,
      changeBytesMax: 64 << 20,
    })
    const opened = await this.#wait(database, 'opening read-only')
    await this.#wait(checkConsistency(opened), 'the recount')
    const fsck = checkVolume({
      store,
      clock: process.clock,
      random: this.#random,
      log: () => {},
      memoryBytes: 64 << 20,
      parallelism: 4,
      readsData: true,
      judge: async () => 'dead',
      onProgress: () => {},
    })
    const { findings } = await this.#wait(fsck, 'fsck')
    const damage = findings.find(({ severity }) => severity === 'damage')
    if (damage !== undefined) throw new Error(`fsck: ${damage.kind}: ${damage.message}`)
    if (this.#isCalm) await this.#wait(this.#checkLeftovers(opened, identity.uuid), 'looking for leftovers')
    process.kill()
  }

  /** Where nothing ever failed or was killed, every segment in the bucket is named. */
  async #checkLeftovers(database: Database, uuid: Buffer): Promise<void> {
    const entries = this.#machine?.objects() ?? this.#bucket.entries
    const named = new Set<number>(decodeRoot(entries.get('root')?.body as Buffer, uuid).pageSegments.keys())
    await database.run(() =>
      database.table(USAGE).scan(0, Number.MAX_SAFE_INTEGER, (id) => {
        named.add(id)
        return true
      }),
    )
    for (const key of entries.keys()) {
      const id = parseSegmentKey(key)
      if (id !== null && !named.has(id)) throw new Error(`${key} is left over, and nobody will delete it`)
    }
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
    await this.#check()
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
