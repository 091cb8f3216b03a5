// The command line of `bench -- data`.
import { type Command, Option } from 'commander'
import { ofOption, parseSize } from '../../src/cli/units.ts'
import { choose, number, numbers, sorted, words } from '../option-values.ts'
import type { DataOptions } from './data.ts'
import { DATA_NO_PEERS, DATA_SYSTEMS } from './systems.ts'
import { DATA } from './workloads.ts'

interface Given {
  size: number
  files: number
  many: number
  runtime: number
  memory?: string
  latency?: number[]
  rounds?: number
  systems?: string[]
  workloads?: string[]
  stepLimit: number
  withoutPeers?: boolean
  plan?: boolean
  json?: string
  write?: boolean
}

export function addDataCommand(program: Command, action: (options: DataOptions) => Promise<void>): void {
  program
    .command('data')
    .description('reading and writing: large files, random I/O, small files, source trees')
    .addOption(
      new Option('--size <SIZE>', 'of the large file').argParser(ofOption('size', parseSize)).default(2 ** 30, '1G'),
    )
    .option('--files <N>', 'of the source tree', number(10), 10_000)
    .option('--many <N>', 'files of 10 KiB in one directory, for the workload many', number(1), 100_000)
    .option('--runtime <S>', 'of random reads and writes', number(1), 10)
    .option('--memory <SIZE>', "cairnfs's --memory in everything (default: what --plan says)", checkedSize)
    .option('--latency <MS,...>', 'added to each request to the store (default: what --plan says)', numbers(0))
    .option('--rounds <N>', 'how often everything runs (default: what --plan says)', number(1))
    .option('--systems <ID,...>', `of ${DATA_SYSTEMS.map(({ id }) => id).join(', ')} (default: all here)`, words)
    .option('--workloads <ID,...>', `of ${DATA.map(({ id }) => id).join(', ')} (default: all)`, words)
    .option('--without-peers', 'cairnfs by both bindings, the raw client and ext4 alone')
    .option('--step-limit <S>', 'a step that takes longer is ended', number(1), 300)
    .option('--plan', 'say what would run, and how long it may take')
    .option('--json <FILE>', 'keep the results there, as they come')
    .option('--write', 'put the report into docs/BENCHMARKS.md')
    .action((given: Given) => action(readOptions(given)))
}

/** As cairnfs will read it. */
function checkedSize(text: string): string {
  if (ofOption('memory', parseSize)(text) < 64 * 1024 ** 2) throw new Error('--memory: cairnfs needs at least 64M')
  return text
}

function readOptions(given: Given): DataOptions {
  const { withoutPeers = false } = given
  const offered = withoutPeers ? DATA_NO_PEERS : DATA_SYSTEMS
  return {
    scale: { sizeBytes: given.size, treeFiles: given.files, manyFiles: given.many, runtimeSec: given.runtime },
    memory: given.memory ?? null,
    latenciesMs: sorted(given.latency),
    rounds: given.rounds ?? null,
    systems: given.systems === undefined ? offered : choose('--systems', given.systems, offered),
    workloads: given.workloads === undefined ? DATA : choose('--workloads', given.workloads, DATA),
    stepLimitSec: given.stepLimit,
    withoutPeers,
    isPlanOnly: given.plan ?? false,
    json: given.json ?? null,
    write: given.write ?? false,
  }
}
