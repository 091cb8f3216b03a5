// `npm run bench -- data`: reading and writing files on cairnfs and on its peers, side by side on one MinIO.
//
// What is where: workload.ts and workloads.ts what is done; plan.ts what is tried; runner.ts which runs when; results.ts
// what was found; report.ts and promises.ts what becomes of it; raw.ts the ceiling beside ext4.
import { join } from 'node:path'
import { formatMinutes } from '../estimate.ts'
import type { Meter } from '../measure.ts'
import type { Minio } from '../minio.ts'
import { python } from '../programs/index.ts'
import type { Workspace } from '../workspace.ts'
import { type DataPart, type DataWishes, estimateDataSec } from './plan.ts'
import type { DataMeasurement } from './results.ts'
import { DataRunner } from './runner.ts'
import type { Scale, Scene } from './workload.ts'

export interface DataOptions extends DataWishes {
  scale: Scale
  stepLimitSec: number
  withoutPeers: boolean
  /** Only say what would run. */
  isPlanOnly: boolean
  json: string | null
  write: boolean
}

const MAKE_MS = 300_000
/** Of a tree of its own. */
const REPOSITORY_FILES = 500

export interface DataRun {
  workspace: Workspace
  minio: Minio
  meter: Meter
  say: (line: string) => void
  onMeasurement: (measurement: DataMeasurement) => void
  onFailure: (what: string) => void
}

/** What is copied into mounts, made on the local disk. */
export async function makeSources(workspace: Workspace, scale: Scale): Promise<Omit<Scene, 'directory'>> {
  const folder = workspace.makeFolder('sources')
  const [tar, repository, worktree] = ['tree.tar', 'repository.git', 'worktree'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const made = await workspace.expect(python('make_tree.py', tar, scale.treeFiles), { limitMs: MAKE_MS })
  const small = join(folder, 'small.tar')
  await workspace.expect(python('make_tree.py', small, Math.min(REPOSITORY_FILES, scale.treeFiles)), {
    limitMs: MAKE_MS,
  })
  const script = [
    'set -e',
    'export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null',
    'git init --quiet "$2"',
    'tar --extract --no-same-owner --file "$1" --directory "$2"',
    'git -C "$2" add --all',
    'git -C "$2" -c user.name=bench -c user.email=bench@localhost commit --quiet --message tree',
    'git clone --quiet --bare "$2" "$3"',
    'rm -rf "$2" "$1"',
  ].join('\n')
  await workspace.expect(
    { program: 'bash', args: ['-c', script, 'bash', small, worktree, repository] },
    { limitMs: MAKE_MS },
  )
  return { ...scale, tar, treeBytes: (JSON.parse(made) as { bytes: number }).bytes, repository }
}

/** Measures the plan's parts. What is made is taken away by the workspace. */
export async function measureData(
  { workspace, minio, meter, say, onMeasurement, onFailure }: DataRun,
  { parts, scene, stepLimitSec }: { parts: readonly DataPart[]; scene: Omit<Scene, 'directory'>; stepLimitSec: number },
): Promise<void> {
  const secOf = (part: DataPart) =>
    part.tasks.reduce((sum, task) => sum + task.rounds * estimateDataSec(task, part, scene), 0)
  let leftSec = parts.reduce((sum, part) => sum + secOf(part), 0)
  const runner = new DataRunner({
    ...{ workspace, minio, meter, scene, parts, onMeasurement, onFailure, stepLimitMs: stepLimitSec * 1000 },
    onBegin: (what) => say(`${what} (about ${formatMinutes(Math.max(1, leftSec))} left)`),
    onDone: (task, table) => {
      leftSec -= estimateDataSec(task, table, scene)
    },
  })
  await runner.run()
}
