// One seed, one world: a volume in a simulated bucket, mounted by one process after the other, and sometimes by two at
// once. Each life begins with a mount, which must find what the promises allow; runs programs; and ends by a kill at any
// moment, by a clean unmount, or by somebody else taking the volume. At the end the store is well again: everything is
// mounted once more, compared and checked.

import { FsError, type Random, seededRandom } from '../../src/platform/index.ts'
import { type ObjectStore, StoreError, withRetry } from '../../src/store/index.ts'
import type { Judgement } from '../../src/tables/index.ts'
import { openVolume, readVolumeJson, type Volume } from '../../src/volume/index.ts'
import { openParts } from '../../src/volume/open.ts'
import { Bucket, isClear, NO_FAULTS } from './bucket.ts'
import { Client } from './client.ts'
import { counted } from './counted-store.ts'
import { disturb, keepUp, type Mounted, type Opened } from './disturb.ts'
import { explore } from './explore.ts'
import { checkAtRest, sealedCommit } from './final-check.ts'
import { Machine } from './machine.ts'
import {
  COMMIT_SLACK_MS,
  format,
  LEASE_MS,
  ONLOOKER_MEMORY_BYTES,
  openOptions,
  SEGMENT_BYTES,
  SELF,
} from './mounting.ts'
import { lookOn } from './onlooker.ts'
import { type Found, Oracle } from './oracle.ts'
import { Process } from './process.ts'
import { Scheduler } from './scheduler.ts'
import { commandFor, emptySummary, Violation, type WorldOptions, type WorldSummary } from './summary.ts'
import { type Traits, traitsOf } from './traits.ts'
import { Watch } from './watch.ts'

/** Longer than any chain of retries may take. */
const HANG_MS = 30 * 60_000

export class World {
  readonly #options: WorldOptions
  readonly #random: Random
  readonly #scheduler: Scheduler
  readonly #bucket: Bucket
  readonly #machine: Machine | null
  readonly #summary = emptySummary()
  readonly #traits: Traits
  /** For what was added later, so that older worlds stay as they are. */
  readonly #more: Random
  #processes = 0
  /** Who began last to open the volume for writing. */
  #latest: Process | null = null
  /** Those that unmounted cleanly and gave no request up. */
  readonly #leftClean = new Set<Process>()
  readonly #onlookers: Promise<void>[] = []
  #watch: Watch | null = null
  #uuid: Buffer | null = null
  /** Whether something was wrong with the store since this life began. */
  #wasRough = false

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#more = seededRandom(options.seed ^ 0xadded)
    this.#scheduler = new Scheduler(this.#random)
    this.#bucket = new Bucket(this.#scheduler)
    this.#machine = options.disk === true ? new Machine(this.#scheduler, this.#random) : null
    if (this.#machine !== null) this.#machine.disk.errorRate = () => this.#bucket.rates.before / 5
    this.#traits = traitsOf(options.seed, this.#random)
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
      const where = this.#machine === null ? '' : ' over a folder'
      const again = `Again: ${commandFor(this.#options)}`
      throw new Violation(`seed ${seed}${where}: ${message}\n  ${trace}\n  ${again}`, { cause: error })
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
    await this.#wait(format(this.#store(process), process.clock, this.#random), 'format')
    const identity = await this.#wait(readVolumeJson(this.#store(process)), 'volume.json')
    this.#uuid = identity.uuid
    this.#watch = new Watch({
      bucket: this.#bucket,
      identity,
      process: this.#spared(),
      random: this.#random,
      fail: (error) => this.#scheduler.fail(error),
    })
    process.kill()
  }

  #spared(): Process {
    return Object.assign(this.#process(), { isSpared: true })
  }

  #store(process: Process): ObjectStore {
    const store = (this.#machine ?? this.#bucket).storeFor(process)
    const retrying = withRetry(store, { clock: process.clock, random: this.#random })
    return counted(retrying, () => process.troubles++)
  }

  /** All that ran is dead; with a disk the power may have gone. */
  #maybeCutPower(): void {
    if (this.#machine === null || this.#random.next() < 0.3) return
    this.#machine.disk.cutPower()
    this.#summary.powerCuts++
  }

  /** Waits for what a process does. With a disk its machine sometimes loses power before that has ended: null. */
  async #unlessCut<T>(process: Process, work: Promise<T>, what: string): Promise<T | null> {
    if (this.#machine === null || this.#traits.isCalm || this.#random.next() < 0.6) return this.#wait(work, what)
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
    const { rates } = this.#bucket
    const { garbledAtMount } = this.#traits
    if (garbledAtMount > 0) {
      this.#bucket.rates = { ...rates, garbled: garbledAtMount }
      this.#bucket.garbledOnce = new Set()
    }
    const opened = await this.#wait(this.#open(process, judged, takeOver), `mount by ${process.name}`)
    this.#bucket.rates = rates
    if (opened !== null) return this.#meet(process, opened, before)
    this.#bucket.garbledOnce = null
    if (process.troubles + process.garbled === 0 && (judged === 'dead' || takeOver))
      throw new Error(`${process.name} cannot mount though every request was answered`)
    return null
  }

  #openOptions(process: Process) {
    const log = (level: string, message: string) => this.#say(`${process.name} ${level}: ${message}`)
    return openOptions({ store: this.#store(process), clock: process.clock, random: this.#random, log }, this.#traits)
  }

  /** Null where the volume cannot be opened. */
  async #open(process: Process, judged: Judgement, takeOver: boolean): Promise<Opened | null> {
    const { name } = process
    this.#latest = process
    try {
      return await openParts({
        ...(await this.#openOptions(process)),
        // On a disk, so fast, little memory soon makes all be written, held by O_TRUNC or not: the oracle knows nothing of it.
        memoryBytes: Math.max(this.#traits.memoryBytes, this.#machine === null ? 0 : 4 << 20),
        writer: {
          self: SELF,
          leaseMs: LEASE_MS,
          judge: async () => judged,
          takeOver,
          probe: null,
          onFailure: (error: FsError) => this.#say(`${name} failed: ${error.message}`),
        },
      })
    } catch (error) {
      if (!(error instanceof FsError) && !(error instanceof StoreError)) throw error
      this.#say(`${name} could not mount: ${error.message}`)
      process.kill()
      return null
    }
  }

  /** Reads all, compares it with what may be found, and begins an oracle with it. */
  async #meet(process: Process, opened: Opened, before: Oracle | null): Promise<Mounted & { found: Found }> {
    const { volume } = opened
    const { name } = process
    this.#say(`${name} mounted, replayed ${volume.status.replayedCommits}`)
    // What it finds is read in calm weather: reading has its own chances elsewhere.
    const found = await this.#explore(volume, name)
    // Enough was read again; from now on nothing may fail without a reason.
    process.garbled = 0
    const wrong = before?.recovered(found) ?? null
    if (wrong !== null) throw new Error(`after the mount by ${name}: ${wrong}`)
    return { ...this.#programsOn(process, opened, found), found }
  }

  #programsOn(process: Process, opened: Opened, found: Found): Mounted {
    const { name } = process
    const { filesystem, volume } = opened
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
      ...this.#traits,
      isPressed: this.#traits.memoryBytes < 1 << 20,
      isSole: () => this.#latest === process,
      hadTrouble: () => process.troubles + process.garbled > 0,
      hasFailed: () => volume.status.failure !== null,
    })
    return { process, volume, filesystem, oracle, client, isLeaving: false }
  }

  /** Two mount at once, each sure that the holder is dead; one may be stopped on the way. Both may get the volume, one
   *  after the other: then whoever was served last has it. */
  async #raced(before: Oracle | null): Promise<Oracle | null> {
    const { random } = this.#scheduler
    const served: (Opened & { process: Process })[] = []
    const racers = [this.#process(), this.#process()]
    const races = racers.map(async (process) => {
      const opened = await this.#open(process, 'dead', false)
      if (opened !== null) served.push({ process, ...opened })
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
    this.#latest = winner.process
    const second = await this.#meet(winner.process, winner, before)
    if (later === undefined) {
      await this.#killed(second)
      return second.oracle
    }
    const first = this.#programsOn(earlier.process, earlier, second.found)
    first.oracle.recovered(second.found)
    return this.#bothRun(first, second, first.client.run(20))
  }

  /** Killed while it mounts: it changes nothing. */
  async #diesMounting(takeOver: boolean): Promise<void> {
    const process = this.#process()
    const opening = this.#open(process, 'dead', takeOver)
    const killed = new Promise<void>((resolve) => {
      this.#scheduler.after(this.#more.next() ** 2 * 1000, 'kill', () => {
        process.kill()
        resolve()
      })
    })
    await this.#wait(Promise.race([killed, opening]), 'a mount that dies')
    await this.#wait(killed, 'the kill')
  }

  /** An object of the journal that `root` counts on is gone: then the volume cannot be mounted. */
  async #loseCommit(): Promise<void> {
    const { entries } = this.#bucket
    const key = sealedCommit(entries.get('root')?.body as Buffer, this.#uuid as Buffer, this.#more)
    const entry = key === null ? undefined : entries.get(key)
    if (key === null || entry === undefined) return
    entries.delete(key)
    const process = this.#process()
    const opened = await this.#wait(this.#open(process, 'dead', true), 'a mount without a commit')
    if (opened !== null && !entries.has(key)) throw new Error(`${process.name} mounted though ${key} is gone`)
    process.kill()
    entries.set(key, entry)
  }

  async #explore(volume: Volume, name: string): Promise<Found> {
    const { rates, outageUntilMs } = this.#bucket
    this.#calm()
    this.#bucket.rates = { ...NO_FAULTS, garbled: this.#traits.garbledAtMount }
    this.#bucket.garbledOnce ??= new Set()
    const found = await this.#wait(explore(volume.filesystem, this.#traits.xattrs !== null), `reading all by ${name}`)
    this.#bucket.garbledOnce = null
    this.#bucket.rates = rates
    this.#bucket.outageUntilMs = outageUntilMs
    return found
  }

  /** The store is well again. */
  #calm(): void {
    this.#bucket.rates = NO_FAULTS
    this.#bucket.outageUntilMs = 0
  }

  /** One mount, to its end. Gives the oracle of what the next mount must find. */
  async #life(before: Oracle | null): Promise<Oracle | null> {
    const random = this.#random
    this.#bucket.rates = random.next() < 0.7 ? this.#traits.faults : NO_FAULTS
    this.#wasRough = !isClear(this.#bucket.rates)
    if (this.#more.next() < 0.15 && !this.#traits.isCalm) await this.#diesMounting(false)
    if (random.next() < 0.15 && !this.#traits.isCalm) return this.#raced(before)
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
    const dice = this.#traits.isCalm ? 1 : random.next()
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
        this.#expectCommits(mounted)
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

  /** In calm weather a commit begins every interval over all that is dirty, and ends soon. */
  #expectCommits({ oracle, process, volume }: Mounted): void {
    if (
      this.#wasRough ||
      process.troubles + process.garbled > 0 ||
      volume.status.failure !== null ||
      this.#latest !== process
    )
      return
    oracle.committedBefore(this.#scheduler.nowMs - this.#traits.commitMs - COMMIT_SLACK_MS)
  }

  #disturb(mounted: Mounted): void {
    const around = {
      scheduler: this.#scheduler,
      traits: this.#traits,
      say: (message: string) => this.#say(message),
      cutOff: (ms: number) => {
        this.#wasRough = true
        this.#bucket.outageUntilMs = this.#scheduler.nowMs + ms
      },
    }
    keepUp(mounted, around)
    this.#invite(mounted)
    disturb(mounted, around)
  }

  /** Somebody mounts it read-only. */
  #invite({ oracle, process: writer }: Mounted): void {
    // Who looks on would be on the machine whose power goes.
    if (!this.#traits.hasOnlookers || this.#machine !== null) return
    const { upkeepMs } = this.#traits
    // Where `root` changes often, several: one may meet the change while it mounts.
    for (let count = upkeepMs !== null && upkeepMs < 3_000 ? 3 : 1; count > 0; count--)
      this.#scheduler.after(this.#scheduler.random.next() * 30_000, 'somebody looks on', () => {
        if (writer.isAlive && this.#latest === writer) this.#onlookers.push(this.#lookOn(writer, oracle))
      })
  }

  #lookOn(writer: Process, oracle: Oracle): Promise<void> {
    const process = this.#spared()
    const looking = lookOn({
      process,
      oracle,
      random: this.#random,
      graceMs: this.#traits.graceMs,
      withXattrs: this.#traits.xattrs !== null,
      isStillTheirs: () => this.#latest === writer,
      open: async () =>
        openVolume({ ...(await this.#openOptions(process)), memoryBytes: ONLOOKER_MEMORY_BYTES, writer: null }),
    })
    return looking.then(
      (looks) => {
        this.#summary.looks += looks
      },
      (error) => this.#scheduler.fail(error),
    )
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
    // It takes along what O_TRUNC held back, and may die on the way.
    for (const ino of oracle.files.keys()) oracle.unhold(ino)
    mounted.isLeaving = true
    try {
      const closing = volume.close().then(() => true)
      const isClosed = await (alone ? this.#unlessCut(process, closing, 'unmount') : this.#wait(closing, 'unmount'))
      if (isClosed) {
        const wrong = oracle.acknowledge(everything)
        if (wrong !== null) throw new Error(`unmount: ${wrong}`)
        if (process.troubles + process.garbled === 0) this.#leftClean.add(process)
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
    if (this.#more.next() < 0.4) await this.#diesMounting(true)
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
      this.#calm()
      await this.#wait(first.process.clock.sleep(LEASE_MS * 4), 'the lease')
      this.#count(first)
      first.process.kill()
      this.#maybeCutPower()
      return second.oracle
    }
    const both = Promise.all([running, this.#programs(second)])
    await this.#wait(both, 'programs of both')
    // A heartbeat that gets no answer, twice in a row, would tell it later.
    this.#calm()
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

  async #check(): Promise<void> {
    const process = this.#process()
    const check = checkAtRest({
      store: this.#store(process),
      keys: [...(this.#machine?.objects() ?? this.#bucket.entries).keys()],
      process,
      random: this.#random,
      segmentBytes: SEGMENT_BYTES,
      mayBeLeft: (key) => {
        const by = this.#bucket.putBy.get(key)
        return by === undefined ? !this.#traits.isCalm : !this.#leftClean.has(by)
      },
    })
    await this.#wait(check, 'the last check')
    process.kill()
  }

  async #end(before: Oracle | null): Promise<void> {
    this.#calm()
    if (!this.#traits.isCalm && this.#machine === null) await this.#loseCommit()
    let last = await this.#mount(before, false)
    // A heartbeat that was on its way when its process died looks like a sign of life.
    for (let tries = 0; last === null && tries < 3; tries++) last = await this.#mount(before, false)
    if (last === null) throw new Error('the volume cannot be mounted in calm weather')
    await this.#wait(last.volume.close(), 'the last unmount')
    last.process.kill()
    this.#leftClean.add(last.process)
    await this.#check()
    const again = await this.#mount(last.oracle, false)
    if (again === null) throw new Error('the volume cannot be mounted again')
    const replayed = again.volume.status.replayedCommits
    if (replayed !== 0) throw new Error(`${replayed} commits were replayed after a clean unmount`)
    await this.#wait(again.volume.close(), 'the very last unmount')
    again.process.kill()
    await this.#wait(Promise.all(this.#onlookers), 'those who look on')
    await this.#watch?.settled()
  }
}

export function play(options: WorldOptions): Promise<WorldSummary> {
  return new World(options).play()
}
