// `npm run bench -- data`: what is tried, and which steps run, on systems that only note what is asked of them.
import { mkdirSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { DataOptions } from '../../bench/data/data.ts'
import { type DataWishes, describeDataPlan, makeDataPlan } from '../../bench/data/plan.ts'
import type { DataMeasurement } from '../../bench/data/results.ts'
import { DataRunner } from '../../bench/data/runner.ts'
import { DATA_NO_PEERS, DATA_SYSTEMS, NOT_TRIED } from '../../bench/data/systems.ts'
import { DATA } from '../../bench/data/workloads.ts'
import type { Step, StepResult } from '../../bench/measure.ts'
import type { Minio } from '../../bench/minio.ts'
import { makeProgram } from '../../bench/options.ts'
import { NO_COST } from '../../bench/results.ts'
import { type Instance, NO_LIMITS, type Place, type System } from '../../bench/systems/index.ts'
import { printedFigures } from '../../bench/workloads/index.ts'
import { Workspace } from '../../bench/workspace.ts'

const SCALE = { sizeBytes: 2 ** 30, treeFiles: 10_000, manyFiles: 100_000, runtimeSec: 10 }

const workspaces: Workspace[] = []
afterEach(async () => {
  for (const workspace of workspaces.splice(0)) expect(await workspace.cleanUp()).toEqual([])
})

const wishes = (part: Partial<DataWishes> = {}): DataWishes => ({
  ...{ latenciesMs: null, memory: null, rounds: null, systems: DATA_SYSTEMS, workloads: DATA },
  ...part,
})

async function parse(...args: string[]): Promise<DataOptions> {
  const data = vi.fn(async (_: DataOptions) => {})
  const program = makeProgram({ listing: async () => {}, smb: async () => {}, data, report: async () => {} })
  for (const command of [program, ...program.commands]) command.configureOutput({ writeErr: () => {} })
  await program.parseAsync(['node', 'bench', 'data', ...args])
  return data.mock.calls[0]![0]
}

describe('npm run bench -- data', () => {
  test('runs the plan of everything unless told otherwise', async () => {
    expect(await parse()).toEqual({
      ...{ scale: SCALE, memory: null, latenciesMs: null, rounds: null, systems: DATA_SYSTEMS, workloads: DATA },
      ...{ stepLimitSec: 300, withoutPeers: false, isPlanOnly: false, json: null, write: false },
    })
  })

  test('takes sizes as people write them, and lists in their order', async () => {
    const options = await parse(
      '--size',
      '64M',
      '--memory',
      '256M',
      '--systems',
      'ext4,raw',
      '--workloads',
      'tree,write',
    )
    expect(options.scale.sizeBytes).toBe(64 << 20)
    expect(options.memory).toBe('256M')
    expect(options.systems.map(({ id }) => id)).toEqual(['raw', 'ext4'])
    expect(options.workloads.map(({ id }) => id)).toEqual(['write', 'tree'])
    expect((await parse('--without-peers')).systems).toEqual(DATA_NO_PEERS)
  })

  test.each([
    ['--memory', 'much'],
    ['--memory', '1M'],
    ['--size', 'huge'],
    ['--runtime', '0'],
    ['--systems', 'grown'],
  ])('refuses %s %s by name', async (...args) => {
    await expect(parse(...args)).rejects.toThrow(/is not a size|at least 64M|a number from|is none of/)
    await expect(parse(...args)).rejects.toThrow(args[0])
  })
})

describe('the plan of data', () => {
  test('has all that is promised, and ends within the hour', () => {
    const { parts } = makeDataPlan(wishes())
    expect(parts.map(({ latencyMs, memory }) => `${latencyMs} ${memory}`)).toEqual([
      '0 null',
      '10 null',
      '30 null',
      '1 null',
      '0 256M',
    ])
    expect(describeDataPlan(parts, SCALE)).toMatch(/in all about [1-5]?\d min\n$/)
    const many = parts.flatMap((part) =>
      part.tasks.filter(({ workloads }) => workloads[0]!.isOfSegments).map(() => part.memory),
    )
    expect(many).toEqual(['256M'])
  })

  test('runs on the raw client what it has, and segments are counted on a volume of their own, of cairnfs', () => {
    const { parts } = makeDataPlan(wishes({ latenciesMs: [0], rounds: 2 }))
    const tasks = parts[0]!.tasks.map(
      ({ system, workloads }) => `${system.id}: ${workloads.map(({ id }) => id).join(' ')}`,
    )
    expect(tasks).toContain('raw: write read-cold')
    expect(tasks.filter((line) => line.includes('many'))).toEqual(['cairnfs: many'])
  })

  test('leaves out what takes too long, and tells', () => {
    const { parts, notTried } = makeDataPlan(wishes({ latenciesMs: [0, 10] }))
    expect(notTried).toContainEqual({
      latencyMs: 0,
      memory: null,
      system: 's3fs',
      workloads: NOT_TRIED.s3fs!.workloads,
    })
    expect(parts[1]!.tasks.map(({ system }) => system.id)).not.toContain('ext4')
  })
})

test('systems and work have ids of their own', () => {
  for (const list of [DATA_SYSTEMS, DATA]) expect(new Set(list.map(({ id }) => id)).size).toBe(list.length)
})

test('figures that programs print are taken over', () => {
  const printed = { seconds: 2, perSec: 10, eachSec: [9, 11], syncSec: 0.5 }
  expect(printedFigures({ lines: 1, lastLine: JSON.stringify({ ...printed, other: 1 }) })).toEqual(printed)
})

/** What was done, in words, in order. */
class World {
  readonly log: string[] = []
  readonly measurements: DataMeasurement[] = []
  readonly failures: string[] = []
  readonly workspace = new Workspace()
  /** What a step takes; a negative time is one that was ended at its limit; an Error is thrown. */
  secondsOf: (step: string) => number | Error = () => 1

  constructor() {
    workspaces.push(this.workspace)
  }

  system(id: string, part: Partial<System> = {}): System {
    return {
      ...{ id, title: id, limits: NO_LIMITS, filling: 'created' as const, probe: async () => ({ version: '1' }) },
      open: async (place) => this.#open(id, place),
      ...part,
    }
  }

  async run(systems: System[], workloads: string[], part: Partial<DataWishes> = {}): Promise<void> {
    const chosen = DATA.filter(({ id }) => workloads.includes(id))
    const { parts } = makeDataPlan(wishes({ latenciesMs: [0], systems, workloads: chosen, ...part }))
    const note = (what: string) => async (bucket: string) => {
      this.log.push(`${what} ${bucket.replace(/bench-\w+/, 'bench')}`)
    }
    const runner = new DataRunner({
      workspace: this.workspace,
      minio: {
        endpoint: 'http://127.0.0.1:1',
        ...{ createBucket: note('bucket'), removeBucket: async () => {}, countKeys: async () => 7 },
      } as unknown as Minio,
      meter: { measure: (instance, step) => this.#measure(instance, step) },
      scene: { ...SCALE, tar: 'tree.tar', treeBytes: 1000, repository: 'repository' },
      ...{ parts, stepLimitMs: 300_000, onBegin: () => {}, onDone: () => {} },
      onMeasurement: (measurement) => this.measurements.push(measurement),
      onFailure: (what) => this.failures.push(what),
    })
    await runner.run()
  }

  #open(id: string, place: Place): Instance {
    mkdirSync(place.folder, { recursive: true })
    const note = (what: string) => async () => {
      this.log.push(`${id}: ${what}`)
    }
    this.log.push(`${id}: open`)
    return {
      directory: `${place.folder}/many`,
      ...{ mountpoints: [], barrier: { program: 'barrier', args: [] }, daemons: () => [], connection: () => null },
      unmountCold: async () => {},
      mountAgain: () => note(place.memory === undefined ? 'mount' : `mount with ${place.memory}`)(),
      recover: note('recover'),
      stop: async ({ force }) => note(force ? 'stop by force' : 'stop')(),
    }
  }

  async #measure(_: Instance, { command, barrier }: Step): Promise<StepResult> {
    const [first, ...args] = command.args.map((word) => word.replace(/^.*\/([^/]+)$/, '$1'))
    const step = command.program.startsWith('/') ? `${first} ${args.join(' ')}` : command.program
    this.log.push(`${step}${barrier === null ? '' : ' and barrier'}`)
    const seconds = this.secondsOf(step)
    if (seconds instanceof Error) throw seconds
    return { seconds: Math.abs(seconds), isOverLimit: seconds < 0, perSec: 5, eachSec: [5], cost: NO_COST }
  }
}

describe('the runner of data', () => {
  test('mounts anew what is cold, and what wants other memory; a barrier comes where something is written', async () => {
    const world = new World()
    await world.run([world.system('cairnfs')], ['write', 'read-cold', 'read-warm', 'random-read-1', 'small', 'tree'])
    expect(world.log).toEqual([
      'cairnfs: open',
      'write_file.py 1073741824 large',
      'cairnfs: mount',
      'read_files.py 1073741824 large',
      'read_files.py 1073741824 large',
      'cairnfs: mount with 2G',
      'random_io.py read large 1073741824 1 10',
      'cairnfs: mount',
      'small_files.py write small 1000 4096 and barrier',
      'tar and barrier',
      'cairnfs: stop',
    ])
    const memory = world.measurements.map(({ workload, mountMemory }) => `${workload} ${mountMemory}`)
    expect(memory).toEqual(['write 1G', 'read-cold 1G', 'read-warm 1G', 'random-read-1 2G', 'small 1G', 'tree 1G'])
    expect(world.failures).toEqual([])
  })

  test('makes what work needs, and does not tell of it', async () => {
    const world = new World()
    await world.run([world.system('a')], ['read-warm', 'read-4'])
    expect(world.log.filter((line) => line.includes('.py'))).toEqual([
      'write_file.py 1073741824 large',
      'read_files.py 1073741824 large',
      'read_files.py 1073741824 large',
      'write_file.py 268435456 quarter-0 quarter-1 quarter-2 quarter-3',
      'read_files.py 268435456 quarter-0 quarter-1 quarter-2 quarter-3',
    ])
    expect(world.measurements.map(({ workload }) => workload)).toEqual(['read-warm', 'read-4'])
  })

  test('what could not be made fails what needs it, once, and nothing else', async () => {
    const world = new World()
    world.secondsOf = (step) => (step.startsWith('write_file') ? new Error('it broke') : 1)
    await world.run([world.system('a')], ['write', 'read-cold', 'first-byte', 'small'])
    expect(world.failures).toEqual(['a, 0 ms added, round 1, write: it broke'])
    expect(world.measurements.map(({ workload, outcome }) => `${workload} ${outcome}`)).toEqual([
      ...['write failed', 'read-cold failed', 'first-byte failed', 'small measured'],
    ])
    expect(world.log).toContain('a: recover')
  })

  test('what was over the limit is not run again, and is told of each time', async () => {
    const world = new World()
    world.secondsOf = (step) => (step.startsWith('small_files') ? -300 : 1)
    await world.run([world.system('cairnfs')], ['small'], { rounds: 2 })
    expect(world.log.filter((line) => line.startsWith('small_files'))).toHaveLength(1)
    expect(world.measurements.map(({ outcome }) => outcome)).toEqual(['over limit', 'over limit'])
  })

  test('alternates the order of the systems, and gives a bucket to those that expect one', async () => {
    const world = new World()
    const keys = { id: 'keys', doing: '', fill: async () => {} }
    await world.run([world.system('a', { filling: keys }), world.system('b')], ['write'], { rounds: 2 })
    expect(world.log.filter((line) => /open|bucket/.test(line))).toEqual([
      ...['bucket cairnfs-bench-a-data-1', 'a: open', 'b: open'],
      ...['b: open', 'bucket cairnfs-bench-a-data-4', 'a: open'],
    ])
  })

  test('runs our own client where there is no filesystem', async () => {
    const world = new World()
    await world.run([world.system('raw', { isFilesystem: false })], ['write', 'read-cold', 'small'])
    expect(world.log.filter((line) => line.startsWith('raw-store'))).toEqual([
      expect.stringMatching(/^raw-store.js write cairnfs-bench-\w+-raw-data-1 127.0.0.1:1 1073741824$/),
      expect.stringMatching(/^raw-store.js read cairnfs-bench-\w+-raw-data-1 127.0.0.1:1 1073741824$/),
    ])
  })

  test('counts the segments of a large directory', async () => {
    const world = new World()
    await world.run([world.system('cairnfs')], ['many'])
    expect(world.measurements).toMatchObject([{ workload: 'many', segments: 7, mountMemory: '256M' }])
  })
})
