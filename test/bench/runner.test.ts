// Which steps the runner runs, on systems that only note what is asked of them.
import { mkdirSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { Step, StepResult } from '../../bench/measure.ts'
import type { Minio } from '../../bench/minio.ts'
import { makePlan, type Wishes } from '../../bench/plan.ts'
import { Progress } from '../../bench/progress.ts'
import { type Measurement, NO_COST } from '../../bench/results.ts'
import { Runner, type RunnerSettings } from '../../bench/runner.ts'
import { type Instance, NO_LIMITS, type Place, type System } from '../../bench/systems/index.ts'
import { LISTING } from '../../bench/workloads/index.ts'
import { Workspace } from '../../bench/workspace.ts'

const SETTINGS: Omit<RunnerSettings, 'parts'> = { stepLimitMs: 180_000, fillLimitMs: 1_800_000, onceOverMs: 90_000 }

const workspaces: Workspace[] = []
afterEach(async () => {
  for (const workspace of workspaces.splice(0)) expect(await workspace.cleanUp()).toEqual([])
})

/** What was done, in words, in order. */
class World {
  readonly log: string[] = []
  readonly measurements: Measurement[] = []
  readonly failures: string[] = []
  /** Buckets. */
  readonly removed: string[] = []
  /** Of each step that ran. */
  readonly limitsMs: number[] = []
  /** What a step of a system takes; a negative time is one that was ended at its limit; an Error is thrown. */
  secondsOf: (system: string, step: string) => number | Error = () => 1
  readonly workspace = new Workspace()
  readonly minio = {
    endpoint: 'http://127.0.0.1:1',
    createBucket: async (bucket: string) => {
      this.log.push(`bucket ${bucket.replace(/bench-\w+/, 'bench')}`)
    },
    removeBucket: async (bucket: string) => {
      this.removed.push(bucket)
    },
    fill: async () => {},
  } as unknown as Minio

  constructor() {
    workspaces.push(this.workspace)
  }

  system(id: string, part: Partial<System> & { canLoad?: boolean } = {}): System {
    return {
      id,
      title: id,
      limits: NO_LIMITS,
      filling: 'created',
      probe: async () => ({ version: '1' }),
      open: async (place) => this.#open(id, place, part.canLoad === true),
      ...part,
    }
  }

  async run(systems: System[], workloads: string[], wishes: Partial<Wishes> = {}): Promise<void> {
    const { parts } = makePlan({
      ...{ entries: [1000], latenciesMs: null, rounds: 1, mostEntries: new Map(), systems },
      workloads: LISTING.filter(({ id }) => workloads.includes(id)),
      ...wishes,
    })
    const runner = new Runner({
      workspace: this.workspace,
      minio: this.minio,
      meter: { measure: (instance, step) => this.#measure(instance, step) },
      progress: new Progress(60, () => {}),
      filler: LISTING[0]!,
      settings: { ...SETTINGS, parts },
      onMeasurement: (measurement) => this.measurements.push(measurement),
      onFailure: (what) => this.failures.push(what),
    })
    await runner.run()
  }

  #open(id: string, { folder, entries }: Place, canLoad: boolean): Instance {
    mkdirSync(folder, { recursive: true })
    const note = (what: string) => async () => {
      this.log.push(`${id}: ${what}`)
    }
    this.log.push(`${id}: open ${entries}`)
    return {
      directory: id,
      mountpoints: [],
      barrier: { program: 'barrier', args: [] },
      unmountCold: note('unmount'),
      mountAgain: note('mount'),
      daemons: () => [],
      connection: () => null,
      recover: note('recover'),
      stop: async ({ force }) => note(force ? 'stop by force' : 'stop')(),
      ...(canLoad ? { load: note('load') } : {}),
    }
  }

  async #measure({ directory }: Instance, { before, command, barrier, limitMs }: Step): Promise<StepResult> {
    this.limitsMs.push(limitMs)
    await before?.()
    const name = command.program.startsWith('/') ? command.args[0]!.replace(/^.*\/(\w+)\.py$/, '$1') : command.program
    this.log.push(`${directory}: ${name}${barrier === null ? '' : ' and barrier'}`)
    const seconds = this.secondsOf(directory, name)
    if (seconds instanceof Error) throw seconds
    return { seconds: Math.abs(seconds), isOverLimit: seconds < 0, cost: NO_COST }
  }
}

const cold = (id: string) => [`${id}: unmount`, `${id}: mount`]

describe('the runner', () => {
  test('measures cold after a remount, warm right after, and barriers where something is written', async () => {
    const world = new World()
    await world.run([world.system('a')], ['create', 'ls-lU', 'rm'])
    expect(world.log).toEqual([
      'a: open 1000',
      'a: create and barrier',
      'a: unmount',
      'a: mount',
      'a: ls',
      'a: ls',
      'a: unmount',
      'a: mount',
      'a: remove and barrier',
      'a: stop',
    ])
    expect(world.measurements.map(({ workload, temperature }) => `${workload} ${temperature}`)).toEqual([
      'create warm',
      'ls-lU cold',
      'ls-lU warm',
      'rm cold',
    ])
    expect(world.failures).toEqual([])
  })

  test('alternates the order of the systems from round to round, for each latency and size', async () => {
    const world = new World()
    await world.run([world.system('a'), world.system('b')], ['create'], { rounds: 3, entries: [10, 20] })
    expect(world.log.filter((line) => line.includes('open'))).toEqual(
      [10, 20].flatMap((size) => ['a', 'b', 'b', 'a', 'a', 'b'].map((id) => `${id}: open ${size}`)),
    )
  })

  test('does not try what is too large for a system, unless told', async () => {
    const world = new World()
    const small = world.system('a', { limits: { ...NO_LIMITS, entries: 10 } })
    await world.run([small], ['create'], { entries: [10, 20] })
    await world.run([small], ['create'], { entries: [30], mostEntries: new Map([['a', 30]]) })
    expect(world.log.filter((line) => line.includes('open'))).toEqual(['a: open 10', 'a: open 30'])
  })

  test('runs no step again that was over the limit, be it as large or larger, and says so each time', async () => {
    const world = new World()
    world.secondsOf = (_, step) => (step === 'ls' ? -180 : 1)
    await world.run([world.system('a')], ['create', 'ls-lU'], { rounds: 2, entries: [10, 20] })
    expect(world.log.filter((line) => line === 'a: ls')).toHaveLength(1)
    expect(world.log.filter((line) => line === 'a: recover')).toHaveLength(1)
    expect(world.measurements.filter(({ workload }) => workload === 'ls-lU').map(({ outcome }) => outcome)).toEqual(
      Array(4).fill('over limit'),
    )
  })

  test('a directory that takes too long to create is loaded where that can be, and else created all the same', async () => {
    const world = new World()
    world.secondsOf = (system, step) => (step === 'create' ? (system === 'a' ? -180 : 200) : 1)
    await world.run([world.system('a', { canLoad: true }), world.system('b')], ['create', 'ls-f'])
    expect(world.log).toEqual([
      ...['a: open 1000', 'a: create and barrier', 'a: recover', 'a: load', ...cold('a'), 'a: ls', 'a: ls', 'a: stop'],
      ...['b: open 1000', 'b: create and barrier', ...cold('b'), 'b: ls', 'b: ls', 'b: stop'],
    ])
    expect(world.measurements.filter(({ workload }) => workload === 'create').map(({ outcome }) => outcome)).toEqual([
      'over limit',
      'over limit',
    ])
    expect(world.limitsMs).toEqual([180_000, 180_000, 180_000, 1_800_000, 180_000, 180_000])
  })

  test('fills a directory without measuring it when create is not asked for', async () => {
    const world = new World()
    await world.run([world.system('a', { canLoad: true }), world.system('b')], ['ls-f'])
    expect(world.log.filter((line) => /load|create/.test(line))).toEqual(['a: load', 'b: create and barrier'])
    expect(world.measurements.map(({ workload }) => workload)).toEqual(Array(4).fill('ls-f'))
  })

  test('systems that read a shared directory fill it once, and neither create nor remove', async () => {
    const world = new World()
    const filled: string[] = []
    const keys: Partial<System> = {
      filling: {
        id: 'keys',
        doing: 'filling',
        fill: async ({ bucket }) => void filled.push(bucket.replace(/bench-\w+/, 'bench')),
      },
    }
    await world.run([world.system('a', keys), world.system('b', keys)], ['create', 'ls-f', 'rm'], { rounds: 2 })
    expect(world.log.filter((line) => line.startsWith('bucket'))).toEqual(['bucket cairnfs-bench-keys-1000'])
    expect(filled).toEqual(['cairnfs-bench-keys-1000'])
    expect(new Set(world.measurements.map(({ workload }) => workload))).toEqual(new Set(['ls-f']))
  })

  test('goes on with the others when a shared directory cannot be filled, and tries again in the next round', async () => {
    const world = new World()
    const filling = { id: 'keys', doing: 'filling', fill: () => Promise.reject(new Error('it broke')) }
    await world.run([world.system('a', { filling }), world.system('b')], ['ls-f'], { rounds: 2 })
    expect(world.failures).toEqual([1, 2].map((round) => `a, 1000 entries, 0 ms, round ${round}, filling: it broke`))
    expect(world.removed.filter((bucket) => bucket.endsWith('keys-1000'))).toHaveLength(2)
    expect(world.measurements).toHaveLength(4)
  })

  test('measures mounting first, and what is cold after it', async () => {
    const world = new World()
    await world.run([world.system('a')], ['mount', 'ls-f', 'find-size'])
    expect(world.log).toEqual([
      ...['a: open 1000', 'a: create and barrier', ...cold('a'), 'a: stat', 'a: ls', 'a: ls'],
      ...[...cold('a'), 'a: find', 'a: find', 'a: stop'],
    ])
  })

  test('measures once what takes long, and loads where creating does', async () => {
    const world = new World()
    world.secondsOf = (system, step) => (step === 'ls' || (system === 'a' && step === 'create') ? 91 : 1)
    await world.run([world.system('a', { canLoad: true }), world.system('b')], ['create', 'ls-lU', 'find-size'], {
      rounds: 2,
    })
    const done = world.measurements.map(({ system, round, workload }) => `${system} ${round} ${workload}`)
    expect(done.filter((line) => line.includes('find-size'))).toHaveLength(8)
    expect(done.filter((line) => line.includes('ls-lU'))).toEqual(['a 1 ls-lU', 'a 1 ls-lU', 'b 1 ls-lU', 'b 1 ls-lU'])
    expect(done.filter((line) => line.includes('create'))).toEqual(['a 1 create', 'b 1 create', 'b 2 create'])
    expect(world.log.filter((line) => line === 'a: load')).toHaveLength(1)
  })

  test('goes on with the others when a step fails, and tells', async () => {
    const world = new World()
    world.secondsOf = (system, step) => (system === 'a' && step === 'find' ? new Error('it broke') : 1)
    await world.run([world.system('a'), world.system('b')], ['create', 'find-size', 'rm'])
    expect(world.failures).toEqual(['a, 1000 entries, 0 ms, round 1, find-size, cold: it broke'])
    expect(world.log).toContain('a: recover')
    expect(world.measurements.filter(({ workload }) => workload === 'rm')).toHaveLength(2)
    expect(world.measurements.filter(({ outcome }) => outcome === 'failed')).toHaveLength(1)
  })

  test('takes a system away by force whose directory cannot be made', async () => {
    const world = new World()
    world.secondsOf = (system) => (system === 'a' ? new Error('it broke') : 1)
    await world.run([world.system('a'), world.system('b')], ['create'])
    expect(world.failures).toEqual(['a, 1000 entries, 0 ms, round 1, run: it broke'])
    expect(world.log.slice(-4)).toEqual(['a: stop by force', 'b: open 1000', 'b: create and barrier', 'b: stop'])
  })

  test('ends when it is interrupted', async () => {
    const world = new World()
    world.secondsOf = () => {
      world.workspace.interrupt()
      world.workspace.refuseWhenInterrupted()
      return 1
    }
    await expect(world.run([world.system('a'), world.system('b')], ['create'])).rejects.toThrow('interrupted')
    expect(world.log).toEqual(['a: open 1000', 'a: create and barrier'])
  })
})
