// What the bench tries, and how long it says that it may take.
import { describe, expect, test } from 'vitest'
import { describePlan, estimateSec } from '../../bench/estimate.ts'
import { makePlan, type Part, type Wishes } from '../../bench/plan.ts'
import { Progress } from '../../bench/progress.ts'
import { NO_LIMITS, SYSTEMS, type System } from '../../bench/systems/index.ts'
import { LISTING } from '../../bench/workloads/index.ts'

const ALL: Wishes = {
  ...{ entries: null, latenciesMs: null, rounds: null, systems: SYSTEMS, workloads: LISTING, mostEntries: new Map() },
}

const system = (id: string, part: Partial<System> = {}): System => ({
  ...{ id, title: id, limits: NO_LIMITS, filling: 'created', probe: async () => ({ version: '1' }) },
  open: () => Promise.reject(new Error('is not to be opened')),
  ...part,
})

const idsOf = (part: Part | undefined, systemId: string): string[] =>
  part?.tasks.find(({ system: { id } }) => id === systemId)?.workloads.map(({ id }) => id) ?? []
const all = LISTING.map(({ id }) => id)
const reads = LISTING.filter(({ kind }) => kind === 'mount' || kind === 'read').map(({ id }) => id)

describe('the plan of everything', () => {
  const { parts, notTried } = makePlan(ALL)
  const part = (entries: number, latencyMs: number) =>
    parts.find((each) => each.entries === entries && each.latencyMs === latencyMs)

  test('has what the promises are about', () => {
    for (const size of [10_000, 30_000, 100_000]) {
      expect(part(size, 0)?.rounds).toBe(3)
      for (const id of ['cairnfs', 'juicefs', 'ext4']) expect(idsOf(part(size, 0), id)).toEqual(all)
      expect(idsOf(part(10_000, 0), 'bucket')).not.toContain('mount')
      for (const id of ['s3fs', 'bucket']) expect(idsOf(part(size, 0), id)).toContain('ls-lU')
    }
    expect(idsOf(part(10_000, 0), 'rclone')).toEqual(reads)
    expect(idsOf(part(10_000, 0), 's3fs')).toEqual(reads)
    for (const latency of [10, 30]) {
      expect(part(100_000, latency)?.tasks.map((task) => task.system.id)).toEqual(['cairnfs', 'juicefs', 'bucket'])
      expect(idsOf(part(100_000, latency), 'cairnfs')).toEqual(all)
      expect(idsOf(part(100_000, latency), 'juicefs')).toContain('ls-lU')
    }
    expect(idsOf(part(1_000_000, 0), 'cairnfs')).toEqual(all)
    expect(idsOf(part(1_000_000, 0), 'juicefs')).toEqual(reads.filter((id) => id !== 'find-size'))
  })

  test('says what it leaves out, of what a system has', () => {
    expect(notTried).toContainEqual({
      entries: 1_000_000,
      latencyMs: 0,
      system: 'juicefs',
      workloads: ['create', 'find-size', 'rm'],
    })
    expect(notTried).toContainEqual({ entries: 30_000, latencyMs: 0, system: 'rclone', workloads: reads })
    expect(notTried.filter((each) => each.system === 'cairnfs')).toEqual([])
    for (const { system: id } of notTried) expect(SYSTEMS.find((each) => each.id === id)!.limits.reason).not.toBeNull()
  })

  test('tells how long it may take', () => {
    const text = describePlan(parts, 60)
    expect(text).toContain('100,000 entries, 30 ms added, rounds: 3\n')
    expect(text).toMatch(/\nin all about \d+ min\n$/)
  })
})

describe('a plan', () => {
  const one = { ...ALL, systems: [system('a')] }

  test('of sizes and latencies has each size under each latency, 100,000 files and none unless told', () => {
    const cells = (wishes: Partial<Wishes>) =>
      makePlan({ ...one, ...wishes }).parts.map(({ entries, latencyMs }) => [entries, latencyMs])
    expect(cells({ entries: [1, 2], latenciesMs: [0, 10] })).toEqual([
      ...[1, 2].map((size) => [size, 0]),
      ...[1, 2].map((size) => [size, 10]),
    ])
    expect(cells({ latenciesMs: [5] })).toEqual([[100_000, 5]])
    expect(cells({ entries: [7] })).toEqual([[7, 0]])
  })

  test('has as many rounds as wanted, else one of a million files', () => {
    const rounds = (wishes: Partial<Wishes>) =>
      makePlan({ ...one, entries: [100, 1_000_000], ...wishes }).parts.map((part) => part.rounds)
    expect(rounds({})).toEqual([3, 1])
    expect(rounds({ rounds: 2 })).toEqual([2, 2])
  })

  test('keeps to the limits of a system, or to what is wanted in their place', () => {
    const limits = { entries: 100, entriesFrom: 10, entriesOf: { rm: 50 }, withLatency: ['ls-lU'], reason: 'slow' }
    const plan = (wishes: Partial<Wishes>) => makePlan({ ...ALL, systems: [system('a', { limits })], ...wishes })
    const sizes = [5, 50, 100, 101]
    expect(plan({ entries: sizes }).parts.map(({ entries }) => entries)).toEqual([50, 100])
    expect(idsOf(plan({ entries: sizes }).parts[1], 'a')).toEqual(all.filter((id) => id !== 'rm'))
    expect(idsOf(plan({ entries: [50], latenciesMs: [1] }).parts[0], 'a')).toEqual(['ls-lU'])
    const most = plan({ entries: sizes, latenciesMs: [1], mostEntries: new Map([['a', 100]]) })
    expect(most.parts.map(({ entries, tasks }) => [entries, tasks[0]!.workloads.length])).toEqual(
      [5, 50, 100].map((size) => [size, all.length]),
    )
    expect(most.notTried.map(({ entries }) => entries)).toEqual([101])
  })
})

describe('the estimate', () => {
  const cairnfs = SYSTEMS.find(({ id }) => id === 'cairnfs')!
  const juicefs = SYSTEMS.find(({ id }) => id === 'juicefs')!
  const task = (of: System, ...ids: string[]) => ({
    system: of,
    workloads: LISTING.filter(({ id }) => ids.includes(id)),
  })
  const seconds = (of: System, round: number, onceOverSec: number, ...ids: string[]) =>
    estimateSec(task(of, ...ids), { entries: 1_000_000, latencyMs: 0, round }, onceOverSec)

  test('leaves out what was measured once, and loads where creating was', () => {
    for (const id of ['create', 'rm']) expect(seconds(juicefs, 1, 60, id)).toBeGreaterThan(300)
    for (const id of ['create', 'rm']) expect(seconds(juicefs, 2, 60, id)).toBeLessThan(100)
    for (const id of ['create', 'rm']) expect(seconds(juicefs, 2, 3600, id)).toBeGreaterThan(300)
    // It has no other way to be filled.
    expect(seconds(cairnfs, 2, 60, 'create')).toBe(seconds(cairnfs, 1, 60, 'create'))
  })
})

describe('the time that is left', () => {
  test('is the estimate at first, and then in proportion to what was needed so far', () => {
    const lines: string[] = []
    let now = 0
    const progress = new Progress(
      1000,
      (line) => void lines.push(line),
      () => now,
    )
    const { parts } = makePlan({ ...ALL, entries: [100_000], rounds: 4, systems: [system('a')] })
    progress.expect(parts)
    const left = () => {
      progress.tell(system('a'), { entries: 100_000, latencyMs: 0, round: 2 }, 'x')
      return Number(/about (\d+) min left/.exec(lines.at(-1)!)?.[1])
    }
    const first = left()
    expect(lines[0]).toContain('100,000 entries, round 2 of 4: a: x (about ')
    now = 40 * 60_000
    progress.done(parts[0]!.tasks[0]!, { entries: 100_000, latencyMs: 0, round: 1 })
    expect(left()).toBe(120)
    expect(first).not.toBe(120)
    // Meanwhile it goes down, by no more than what is under way should take.
    progress.begin(parts[0]!.tasks[0]!, { entries: 100_000, latencyMs: 0, round: 2 })
    now = 50 * 60_000
    expect(left()).toBe(110)
    now = 200 * 60_000
    expect(left()).toBe(80)
    for (const round of [2, 3, 4]) progress.done(parts[0]!.tasks[0]!, { entries: 100_000, latencyMs: 0, round })
    expect(left()).toBeNaN()
  })
})
