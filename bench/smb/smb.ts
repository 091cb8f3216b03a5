// `npm run bench -- smb`: a large directory shared by Samba, with names matched by cairnfs and by Samba itself, in one run.
//
// Must stay true: all shares are served by one smbd and asked by the same client, over one connection each round; the order
// of the shares alternates.
import { DIRECTORY, type Minio } from '../minio.ts'
import { python } from '../programs/index.ts'
import { summarize } from '../statistics.ts'
import { cairnfs } from '../systems/cairnfs.ts'
import { ext4 } from '../systems/ext4.ts'
import type { Instance, Place, System } from '../systems/index.ts'
import { formatCount, formatSeconds, formatSpread } from '../units.ts'
import type { Workspace } from '../workspace.ts'
import { BY_DIRECTORY, BY_MODULE, COMMON, Samba, type Share } from './samba.ts'

export interface SmbOptions {
  entries: number
  rounds: number
  /** Of each kind in a round, where the directory matches names; where Samba looks through it, a tenth of them. */
  operations: number
  json: string | null
  write: boolean
}

type Operation = 'create' | 'open' | 'openExact' | 'openMissing' | 'list'

export interface SmbMeasurement {
  share: string
  round: number
  /** Each of them. */
  seconds: Record<Operation, number[]>
}

export interface SmbResults {
  benchmark: 'smb'
  commands: string[]
  date: string
  machine: string
  samba: string
  entries: number
  measurements: SmbMeasurement[]
}

/** Each share: what it is of, and how names are matched there. The first two are compared with `plain`. */
const COLUMNS: readonly { name: string; title: string; settings: readonly string[]; scans: boolean; of: string }[] = [
  { name: 'fold', title: 'cairnfs folds, `case sensitive = yes`', settings: BY_DIRECTORY, scans: false, of: 'fold' },
  { name: 'foldmodule', title: 'cairnfs folds, `glusterfs_fuse`', settings: BY_MODULE, scans: false, of: 'fold' },
  { name: 'plain', title: 'cairnfs, Samba matches', settings: COMMON, scans: true, of: 'plain' },
  { name: 'ext4', title: 'ext4, Samba matches', settings: COMMON, scans: true, of: 'ext4' },
]

const ROWS: readonly { operation: Operation; title: string }[] = [
  { operation: 'create', title: 'create a file' },
  { operation: 'open', title: 'open a file by a name of another case' },
  { operation: 'openExact', title: 'open a file by its stored name' },
  { operation: 'openMissing', title: 'open a name that is not there' },
  { operation: 'list', title: 'list the directory' },
]

const STEP_MS = 600_000

export interface SmbParts {
  workspace: Workspace
  minio: Minio
  say: (line: string) => void
}

/** Measures. What it makes is taken away by the workspace. */
export async function measureSmb(parts: SmbParts, options: SmbOptions): Promise<SmbMeasurement[]> {
  const { workspace, say } = parts
  const { entries, rounds, operations } = options
  const [volume, local] = [await open(parts, cairnfs, entries), await open(parts, ext4, entries)]
  const [root, localRoot] = [volume.mountpoints[0]!, local.mountpoints[0]!]
  const folders = { fold: `${root}/fold`, plain: `${root}/plain`, ext4: `${localRoot}/plain` }
  const run = (program: string, ...args: string[]) =>
    workspace.expect({ program, args }, { limitMs: STEP_MS, mountpoints: [root, localRoot] })
  await run('mkdir', ...Object.values(folders))
  await run('chattr', '+F', folders.fold)
  for (const folder of Object.values(folders)) {
    say(`filling ${folder}`)
    await workspace.expect(python('create.py', `${folder}/${DIRECTORY}`, entries), { limitMs: STEP_MS })
  }
  for (const instance of [volume, local]) await workspace.expect(instance.barrier, { limitMs: STEP_MS })
  const shares: Share[] = COLUMNS.map(({ name, settings, of }) => ({
    name,
    path: `${folders[of as keyof typeof folders]}/${DIRECTORY}`,
    settings,
  }))
  const samba = await Samba.start(workspace, shares)

  const measurements: SmbMeasurement[] = []
  for (let round = 1; round <= rounds; round++) {
    for (const { name, scans } of round % 2 === 1 ? COLUMNS : COLUMNS.toReversed()) {
      say(`round ${round} of ${rounds}: ${name}`)
      const count = scans ? Math.max(1, Math.round(operations / 10)) : operations
      const first = (round - 1) * operations
      const program = samba.reaching(python('smb.py', samba.configuration, name, entries, count, first))
      const seconds = JSON.parse(await workspace.expect(program, { limitMs: STEP_MS })) as SmbMeasurement['seconds']
      const listing = await workspace.run(samba.smbclient(name, 'ls *'), { limitMs: STEP_MS })
      const listed = listing.stdout.match(/^ {2}file-/gm)?.length
      if (listed !== entries) throw new Error(`${name}: ${listed} of ${entries} files listed: ${listing.stderr}`)
      measurements.push({ share: name, round, seconds: { ...seconds, list: [listing.seconds] } })
    }
  }
  await samba.stop()
  await volume.stop({ force: false })
  await local.stop({ force: false })
  return measurements
}

async function open({ workspace, minio }: SmbParts, system: System, entries: number): Promise<Instance> {
  const name = `${system.id}-smb`
  const bucket = `cairnfs-bench-${workspace.name}-${name}`
  const place: Place = {
    ...{ workspace, minio, endpoint: minio.endpoint, name, folder: workspace.makeFolder(name), bucket },
    // Two directories of so many.
    entries: 2 * entries,
  }
  workspace.onCleanUp(bucket, () => minio.removeBucket(bucket))
  return system.open(place)
}

/** Of single operations some always take very long: a tenth of them at either end is left out. */
function middle(seconds: readonly number[]): { median: number; low: number; high: number } {
  const sorted = seconds.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!
  return { median: summarize(seconds).median, low: at(0.1), high: at(0.9) }
}

/** The report, in Markdown. */
export function writeSmbReport({ commands, date, machine, samba, entries, measurements }: SmbResults): string {
  const all = (share: string, operation: Operation) =>
    measurements.filter((each) => each.share === share).flatMap(({ seconds }) => seconds[operation])
  const rounds = Math.max(...measurements.map(({ round }) => round))
  const factor = (share: string, operation: Operation) => {
    const [slow, fast] = [all('plain', operation), all(share, operation)].map((each) => summarize(each).median)
    return Math.round(slow! / fast!)
  }
  const rows = ROWS.map(({ operation, title }) => {
    const cells = COLUMNS.map(({ name }) => {
      const { median, low, high } = middle(all(name, operation))
      return `${formatSeconds(median)} (${formatSpread(low, high)})`
    })
    return [title, ...cells]
  })
  const table = [['', ...COLUMNS.map(({ title }) => title)], COLUMNS.map(() => '---').concat('---'), ...rows]
  const factors = COLUMNS.filter(({ scans }) => !scans).map(
    ({ name, title }) =>
      `${title}: creating ${factor(name, 'create')} times, opening by another case ${factor(name, 'open')} times`,
  )
  return [
    `${formatCount(entries)} files in the directory; medians of single operations (from the fastest tenth to the slowest) in ${rounds} rounds.`,
    '',
    ...table.map((cells) => `| ${cells.join(' | ')} |`),
    '',
    `Faster than on a plain directory of cairnfs, where Samba matches: ${factors.join('; ')}.`,
    '',
    `${machine}; ${samba}; ${date.slice(0, 10)}. Made by \`${commands.join('`, `')}\`.`,
    '',
  ].join('\n')
}
