// The command line of the bench.
import { Command, Option } from 'commander'
import type { DataOptions } from './data/data.ts'
import { addDataCommand } from './data/options.ts'
import { choose, number, numbers, sorted, words } from './option-values.ts'
import type { Wishes } from './plan.ts'
import type { SmbOptions } from './smb/smb.ts'
import { NO_PEERS, SYSTEMS } from './systems/index.ts'
import { LISTING } from './workloads/index.ts'

export interface ListingOptions extends Wishes {
  stepLimitSec: number
  fillLimitSec: number
  onceOverSec: number
  withoutPeers: boolean
  /** Only say what would run. */
  isPlanOnly: boolean
  /** Where the results go as JSON. */
  json: string | null
  write: boolean
}

/** As commander gives them. */
interface Given {
  entries?: number[]
  latency?: number[]
  rounds?: number
  systems?: string[]
  workloads?: string[]
  stepLimit: number
  fillLimit: number
  onceOver: number
  plan?: boolean
  most: Map<string, number>
  withoutPeers?: boolean
  json?: string
  write?: boolean
}

export interface Actions {
  listing(options: ListingOptions): Promise<void>
  smb(options: SmbOptions): Promise<void>
  data(options: DataOptions): Promise<void>
  /** A report of results that were kept as JSON; at least one file. */
  report(files: string[], options: { write: boolean }): Promise<void>
}

const EXAMPLES = `
Examples:
  npm run bench -- listing --plan
  npm run bench -- listing --entries 10000 --latency 0 --without-peers
  npm run bench -- data --size 100M --files 1000 --many 1000 --systems cairnfs,ext4,raw --without-peers --plan

npm run bench -- COMMAND --help tells the rest.`

export function makeProgram(actions: Actions): Command {
  const program = new Command('npm run bench --')
    .description('Benchmarks of cairnfs and of its peers, side by side on one MinIO. Reports in Markdown.')
    .helpCommand(false)
    .exitOverride()
    .addHelpText('after', EXAMPLES)
  program
    .command('listing')
    .description('large directories: create, list, look up, remove')
    .option('--entries <N,...>', 'sizes of directories (default: what --plan says)', numbers(1))
    .option('--latency <MS,...>', 'added to each request to the store (default: what --plan says)', numbers(0))
    .option('--rounds <N>', 'how often everything runs (default: 3, of a million files 1)', number(1))
    .option('--systems <ID,...>', `of ${SYSTEMS.map(({ id }) => id).join(', ')} (default: all that are here)`, words)
    .option('--workloads <ID,...>', `of ${LISTING.map(({ id }) => id).join(', ')} (default: all)`, words)
    .option('--without-peers', 'cairnfs by both bindings, the bucket and ext4 alone')
    .option('--step-limit <S>', 'a step that takes longer is ended', number(1), 600)
    .option(
      '--fill-limit <S>',
      'the same for creating where there is no faster way to fill a directory',
      number(1),
      1800,
    )
    .option('--once-over <S>', 'what took longer is measured in one round only, where that can be', number(1), 60)
    .addOption(
      new Option(
        '--most <ID=N,...>',
        'this system runs everything up to that size, and nothing above, in the place of its limits',
      )
        .argParser(limits)
        .default(new Map<string, number>(), 'none'),
    )
    .option('--plan', 'say what would run, and how long it may take')
    .option('--json <FILE>', 'keep the results there, as they come')
    .option('--write', 'put the report into docs/BENCHMARKS.md')
    .action((given: Given) => actions.listing(readOptions(given)))
  program
    .command('smb')
    .description('a large directory shared by Samba, whose names cairnfs matches or Samba itself')
    .option('--entries <N>', 'files in the directory', number(1), 100_000)
    .option('--rounds <N>', 'how often everything runs', number(1), 3)
    .option('--operations <N>', 'of each kind in a round; a tenth where Samba looks through all names', number(10), 200)
    .option('--json <FILE>', 'keep the results there')
    .option('--write', 'put the report into docs/SAMBA.md')
    .action((given: Omit<SmbOptions, 'json' | 'write'> & { json?: string; write?: boolean }) =>
      actions.smb({ ...given, json: given.json ?? null, write: given.write ?? false }),
    )
  addDataCommand(program, actions.data)
  program
    .command('report <FILE...>')
    .description('the report of results that --json has kept, of one run or of several that have no table in common')
    .option('--write', 'put it into docs/BENCHMARKS.md')
    .action((files: string[], { write = false }: { write?: boolean }) => actions.report(files, { write }))
  return program
}

function readOptions(given: Given): ListingOptions {
  const { withoutPeers = false, write = false } = given
  const offered = withoutPeers ? NO_PEERS : SYSTEMS
  return {
    entries: sorted(given.entries),
    latenciesMs: sorted(given.latency),
    rounds: given.rounds ?? null,
    systems: given.systems === undefined ? offered : choose('--systems', given.systems, offered),
    workloads: given.workloads === undefined ? LISTING : choose('--workloads', given.workloads, LISTING),
    stepLimitSec: given.stepLimit,
    fillLimitSec: Math.max(given.fillLimit, given.stepLimit),
    onceOverSec: given.onceOver,
    isPlanOnly: given.plan ?? false,
    mostEntries: given.most,
    withoutPeers,
    json: given.json ?? null,
    write,
  }
}

function limits(text: string): Map<string, number> {
  return new Map(
    words(text).map((word) => {
      const [id, value = ''] = word.split('=') as [string, string?]
      choose('--most', [id], SYSTEMS)
      return [id, number(1)(value)]
    }),
  )
}
