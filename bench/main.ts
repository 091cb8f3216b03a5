// `npm run bench -- listing`: large directories on cairnfs and on its peers, side by side on one MinIO; `smb`: one that Samba
// shares, smb/; `data`: reading and writing, data/. scripts/bench starts this, with all that it needs; --help tells the options.
//
// What is where:
//   systems/     what is compared, one file each (System, Instance: systems/system.ts)
//   workloads/   what is done, one file each (Workload: workloads/workload.ts); programs/ are what they run
//   plan.ts      what is tried: sizes, latencies, systems, workloads, rounds; estimate.ts how long that may take
//   runner.ts    which runs when: rounds, cold and warm, limits
//   measure.ts   one step, and what it costs: minio.ts, fuse-requests.ts, processes.ts
//   workspace.ts what a run owns, and how all of it goes away
//   report.ts, chart.ts, document.ts   from results (results.ts) to docs/BENCHMARKS.md
//
// Must stay true: standard output is the report and nothing else; whatever happens, no mount, process, folder or bucket
// is left; the exit status is 0 only when everything was measured.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { CommanderError, InvalidArgumentError } from 'commander'
import { type DataOptions, makeSources, measureData } from './data/data.ts'
import { describeDataPlan, makeDataPlan } from './data/plan.ts'
import { writeDataReport } from './data/report.ts'
import { type DataResults, mergeDataResults } from './data/results.ts'
import { describeForData } from './data/systems.ts'
import { writeDataDocument, writeDocument, writeSmbDocument } from './document.ts'
import { describePlan } from './estimate.ts'
import { FuseRequests } from './fuse-requests.ts'
import { Meter } from './measure.ts'
import { Minio } from './minio.ts'
import { type ListingOptions, makeProgram } from './options.ts'
import { makePlan } from './plan.ts'
import { REPOSITORY } from './programs/index.ts'
import { Progress } from './progress.ts'
import { writeReport } from './report.ts'
import { mergeResults, type Results } from './results.ts'
import { Runner } from './runner.ts'
import { measureSmb, type SmbOptions, type SmbResults, writeSmbReport } from './smb/smb.ts'
import { NO_PEERS, type System } from './systems/index.ts'
import { LISTING } from './workloads/index.ts'
import { Interrupted, Workspace } from './workspace.ts'

/** Which systems are to run. */
interface Wished {
  systems: readonly System[]
}

/** Who must be there: a table without them compares nothing. Peers may be done without, if that is said. */
const NEEDED = ['cairnfs', 'juicefs']
/** Above what is left of building and starting, one process or two. */
const BUSY_LOAD = 2
const say = (line: string) => process.stderr.write(`bench: ${line}\n`)

async function listing(options: ListingOptions): Promise<void> {
  if (options.isPlanOnly) {
    const describe = (systems: System[]) => describePlan(makePlan({ ...options, systems }).parts, options.onceOverSec)
    return tellPlan(options, describe)
  }
  await inWorkspace(async (workspace, minio) => {
    const results = await measure(options, workspace, minio)
    tellWritten(options.write ? writeDocument(REPOSITORY, results) : [])
    process.stdout.write(writeReport(results))
    if (results.failures.length > 0) process.exitCode = 1
  })
}

async function smb(options: SmbOptions): Promise<void> {
  await inWorkspace(async (workspace, minio) => {
    const version = await workspace.expect({ program: 'smbd', args: ['--version'] }, { limitMs: 10_000 })
    const results: SmbResults = {
      benchmark: 'smb',
      commands: [commandLine()],
      date: new Date().toISOString(),
      machine: describeMachine(),
      samba: version.trim().replace('Version', 'Samba'),
      entries: options.entries,
      measurements: await measureSmb({ workspace, minio, say }, options),
    }
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`)
    if (options.write) writeSmbDocument(REPOSITORY, results)
    process.stdout.write(writeSmbReport(results))
  })
}

async function data(options: DataOptions): Promise<void> {
  const { scale, json, stepLimitSec } = options
  const planFor = (systems: System[]) => makeDataPlan({ ...options, systems })
  if (options.isPlanOnly) {
    return tellPlan(options, (systems) => describeDataPlan(planFor(systems).parts, scale))
  }
  await inWorkspace(async (workspace, minio) => {
    const { here, systems, absent } = await findSystems(options, workspace)
    const { parts, notTried } = planFor(here)
    if (parts.length === 0) throw new Error('nothing to run')
    const scene = await makeSources(workspace, scale)
    const results: DataResults = {
      ...{ benchmark: 'data', ...(await describeRun(options, minio)), scale, treeBytes: scene.treeBytes },
      ...{ systems: systems.map(describeForData), absent, notTried, measurements: [] },
    }
    const keep = () => {
      if (json !== null) writeFileSync(json, `${JSON.stringify(results, null, 1)}\n`)
    }
    const meter = new Meter(workspace, minio, await FuseRequests.open(workspace))
    const onMeasurement = (measurement: DataResults['measurements'][number]) => {
      results.measurements.push(measurement)
      keep()
    }
    const onFailure = (what: string) => {
      results.failures.push(what)
      say(`failed: ${what}`)
      keep()
    }
    await measureData({ workspace, minio, meter, say, onMeasurement, onFailure }, { parts, scene, stepLimitSec })
    keep()
    tellWritten(options.write ? writeDataDocument(REPOSITORY, results) : [])
    process.stdout.write(writeDataReport(results))
    if (results.failures.length > 0) process.exitCode = 1
  })
}

/** Runs what leaves things behind, and takes them away. */
async function inWorkspace(work: (workspace: Workspace, minio: Minio) => Promise<void>): Promise<void> {
  const { CAIRNFS_TEST_S3: endpoint, AWS_ACCESS_KEY_ID } = process.env
  if (!endpoint || !AWS_ACCESS_KEY_ID)
    throw new Error('no MinIO: run it by scripts/bench, or eval "$(scripts/minio start)"')
  if (process.geteuid!() !== 0) throw new Error("dropping the kernel's caches needs root")
  const workspace = new Workspace()
  const minio = new Minio(endpoint)
  // They stay handled: a second one does not end the cleaning up.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!workspace.isInterrupted) say('interrupted: taking everything away')
      workspace.interrupt()
    })
  }
  try {
    await work(workspace, minio)
  } finally {
    const failures = await workspace.cleanUp()
    minio.close()
    for (const failure of failures) say(`could not be taken away: ${failure}`)
    if (failures.length > 0) process.exitCode = 1
  }
}

async function tellPlan(wished: Wished, describe: (here: System[]) => string): Promise<void> {
  const workspace = new Workspace()
  try {
    process.stdout.write(describe((await findSystems(wished, workspace)).here))
  } finally {
    await workspace.cleanUp()
  }
}

async function measure(options: ListingOptions, workspace: Workspace, minio: Minio): Promise<Results> {
  const { here, ...found } = await findSystems(options, workspace)
  const { parts, notTried } = makePlan({ ...options, systems: here })
  if (parts.length === 0)
    throw new Error('nothing to run: all of it is beyond the limits of systems, which --most lifts')
  const results: Results = {
    ...{ benchmark: 'listing', ...(await describeRun(options, minio)), onceOverSec: options.onceOverSec },
    ...{ ...found, notTried, measurements: [] },
  }
  const keep = () => {
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`)
  }
  const runner = new Runner({
    workspace,
    minio,
    meter: new Meter(workspace, minio, await FuseRequests.open(workspace)),
    progress: new Progress(options.onceOverSec, say),
    filler: LISTING.find(({ kind }) => kind === 'create')!,
    settings: {
      parts,
      stepLimitMs: options.stepLimitSec * 1000,
      fillLimitMs: options.fillLimitSec * 1000,
      onceOverMs: options.onceOverSec * 1000,
    },
    onMeasurement: (measurement) => {
      results.measurements.push(measurement)
      keep()
    },
    onFailure: (what) => {
      results.failures.push(what)
      say(`failed: ${what}`)
      keep()
    },
  })
  await runner.run()
  keep()
  return results
}

/** Which systems are here. */
async function findSystems(
  options: Wished,
  workspace: Workspace,
): Promise<Pick<Results, 'systems' | 'absent'> & { here: System[] }> {
  const [here, systems, absent]: [System[], Results['systems'], Results['absent']] = [[], [], []]
  for (const system of options.systems) {
    const found = await system.probe(workspace)
    if ('missing' in found) absent.push(refuse(system, found.missing))
    else {
      here.push(system)
      systems.push(describe(system, found.version))
    }
  }
  for (const { title, reason } of absent) say(`${title} does not run: ${reason}`)
  return { here, systems, absent }
}

/** On what it runs, and how. */
async function describeRun(
  { stepLimitSec, withoutPeers }: Pick<Results, 'stepLimitSec' | 'withoutPeers'>,
  minio: Minio,
) {
  return {
    ...{ commands: [commandLine()], date: new Date().toISOString(), machine: describeMachine() },
    ...{ minio: minioVersion(await minio.version()), stepLimitSec, withoutPeers, failures: [] as string[] },
  }
}

/** What was typed, but for what becomes of the results. */
function commandLine(): string {
  const words = process.argv.slice(2)
  const isOutput = (word: string | undefined) => word === '--write' || word?.startsWith('--json') === true
  return ['npm run bench --', ...words.filter((word, index) => !isOutput(word) && words[index - 1] !== '--json')].join(
    ' ',
  )
}

function describeMachine(): string {
  const [load] = loadavg() as [number]
  if (load > BUSY_LOAD) say(`this machine is busy, with a load of ${load.toFixed(1)}: the figures are worth little`)
  return [
    `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `kernel ${release().split('-')[0]}, Node ${process.versions.node}`,
    ...(load > BUSY_LOAD ? [`busy with other things (load ${load.toFixed(1)} at the beginning)`] : []),
  ].join(', ')
}

/** One that may be missing; throws for one that may not. */
function refuse({ id, title }: System, reason: string): Results['absent'][number] {
  if (NEEDED.includes(id)) {
    const isPeer = !NO_PEERS.some((system) => system.id === id)
    throw new Error(`${title} is missing: ${reason}${isPeer ? '; --without-peers does without' : ''}`)
  }
  return { id, title, reason }
}

function describe({ id, title, note, limits }: System, version: string): Results['systems'][number] {
  const { reason } = limits
  return { id, title, version, ...(note === undefined ? {} : { note }), ...(reason === null ? {} : { limit: reason }) }
}

/** A MinIO that `go install` built does not know its version: then the one that scripts/minio builds. */
function minioVersion(told: string): string {
  if (!told.startsWith('DEVELOPMENT')) return told
  const built = /^readonly module=.*@v[\d.]+-(\d{4})(\d\d)(\d\d)/m.exec(
    readFileSync(join(REPOSITORY, 'scripts/minio'), 'utf8'),
  )
  return built === null ? told : `of ${built.slice(1).join('-')}`
}

async function report(files: string[], { write }: { write: boolean }): Promise<void> {
  const read = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as { benchmark: string })
  for (const [index, { benchmark }] of read.entries()) {
    if (benchmark !== 'listing' && benchmark !== 'data')
      throw new Error(`${files[index]} does not hold what --json of listing or data has kept`)
  }
  const kinds = new Set(read.map(({ benchmark }) => benchmark))
  if (kinds.size > 1) throw new Error(`these are of different benchmarks: ${[...kinds].join(', ')}`)
  if (kinds.has('data')) {
    const results = mergeDataResults(read as [DataResults, ...DataResults[]])
    tellWritten(write ? writeDataDocument(REPOSITORY, results) : [])
    process.stdout.write(writeDataReport(results))
    return
  }
  const results = mergeResults(read as [Results, ...Results[]])
  tellWritten(write ? writeDocument(REPOSITORY, results) : [])
  process.stdout.write(writeReport(results))
}

function tellWritten(paths: readonly string[]): void {
  for (const path of paths) say(`wrote ${path}`)
}

// Of Node and the SDK: nothing that a reader could do something about.
process.removeAllListeners('warning')
try {
  await makeProgram({ listing, smb, data, report }).parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError && !(error instanceof InvalidArgumentError)) process.exitCode = error.exitCode
  else {
    say((error as Error).message)
    process.exitCode = error instanceof Interrupted ? 130 : 1
  }
}
