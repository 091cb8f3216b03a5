// The command line of the bench, and the lists that it chooses from.
import { describe, expect, test, vi } from 'vitest'
import { type ListingOptions, makeProgram } from '../../bench/options.ts'
import { EARLIER } from '../../bench/ratios.ts'
import type { SmbOptions } from '../../bench/smb/smb.ts'
import { NO_PEERS, SYSTEMS } from '../../bench/systems/index.ts'
import { LISTING } from '../../bench/workloads/index.ts'

async function parse(...args: string[]): Promise<ListingOptions> {
  const listing = vi.fn(async (_: ListingOptions) => {})
  const program = makeProgram({ listing, smb: async () => {}, data: async () => {}, report: async () => {} })
  for (const command of [program, ...program.commands]) command.configureOutput({ writeErr: () => {} })
  await program.parseAsync(['node', 'bench', 'listing', ...args])
  return listing.mock.calls[0]![0]
}

describe('npm run bench -- listing', () => {
  test('runs what the plan of everything says unless told otherwise', async () => {
    expect(await parse()).toEqual({
      entries: null,
      latenciesMs: null,
      rounds: null,
      systems: SYSTEMS,
      workloads: LISTING,
      stepLimitSec: 600,
      fillLimitSec: 1800,
      onceOverSec: 60,
      isPlanOnly: false,
      mostEntries: new Map(),
      withoutPeers: false,
      json: null,
      write: false,
    })
  })

  test('takes lists, and puts them into order', async () => {
    const options = await parse(
      '--entries',
      '30_000,500',
      '--latency',
      '30,0',
      '--systems',
      'ext4,cairnfs',
      '--most',
      's3fs=5',
    )
    expect(options.entries).toEqual([500, 30_000])
    expect(options.latenciesMs).toEqual([0, 30])
    expect(options.systems.map(({ id }) => id)).toEqual(['cairnfs', 'ext4'])
    expect(options.mostEntries).toEqual(new Map([['s3fs', 5]]))
  })

  test('without peers has none to choose from', async () => {
    expect((await parse('--without-peers')).systems).toEqual(NO_PEERS)
    await expect(parse('--without-peers', '--systems', 'juicefs')).rejects.toThrow(
      'juicefs is none of cairnfs, cairnfs-native, grown, bucket',
    )
  })

  test('filling may take at least as long as a step', async () => {
    expect((await parse('--step-limit', '3600')).fillLimitSec).toBe(3600)
  })

  test.each([
    ['--entries', '0'],
    ['--entries', 'many'],
    ['--rounds', '1.5'],
    ['--latency', '-1'],
    ['--most', 's3fs'],
    ['--most', 'nfs=5'],
    ['--workloads', 'ls'],
  ])('refuses %s %s', async (...args) => {
    await expect(parse(...args)).rejects.toThrow(/a number from|is none of/)
  })
})

test('systems and workloads have ids of their own, and ratios are of some that exist', () => {
  for (const list of [SYSTEMS, LISTING]) expect(new Set(list.map(({ id }) => id)).size).toBe(list.length)
  for (const { others, workload, temperature } of EARLIER) {
    expect(SYSTEMS.map(({ id }) => id)).toEqual(expect.arrayContaining(Object.keys(others)))
    expect(LISTING.find(({ id }) => id === workload)?.temperatures).toContain(temperature)
  }
})

test('npm run bench -- smb runs on 100,000 files unless told otherwise', async () => {
  const smb = vi.fn(async (_: SmbOptions) => {})
  const program = makeProgram({ listing: async () => {}, smb, data: async () => {}, report: async () => {} })
  await program.parseAsync(['node', 'bench', 'smb', '--rounds', '2', '--json', 'x'])
  const rest = { operations: 200, json: 'x', write: false }
  expect(smb).toHaveBeenCalledWith({ entries: 100_000, rounds: 2, ...rest })
})
