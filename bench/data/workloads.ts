// The workloads of `bench -- data`, in the order in which they run and are reported.
import { python } from '../programs/index.ts'
import { type Figures, type Output, printedFigures } from '../workloads/index.ts'
import type { DataWorkload, Scene } from './workload.ts'

const MANY_FILE_BYTES = 10 << 10
const SMALL_FILE_BYTES = 4 << 10
const SMALL_FILES = 1000
const SYNCED_FILES = 200
const QUARTERS = [0, 1, 2, 3]
/** What random reads are promised with. */
const RANDOM_MEMORY = '2G'
export const MANY_MEMORY = '256M'

const PRINTED = { judge: printedFigures, hasBarrier: false, onStore: null }

const quarters = ({ directory }: Scene): string[] => QUARTERS.map((index) => `${directory}/quarter-${index}`)

const write: DataWorkload = {
  ...PRINTED,
  id: 'write',
  title: 'write a large file, and fsync',
  temperature: 'warm',
  needs: null,
  command: ({ directory, sizeBytes }) => python('write_file.py', sizeBytes, `${directory}/large`),
  onStore: 'write',
  bytes: ({ sizeBytes }) => sizeBytes,
}

const readCold: DataWorkload = {
  ...PRINTED,
  id: 'read-cold',
  title: 'read it, cold',
  temperature: 'cold',
  needs: write,
  command: ({ directory, sizeBytes }) => python('read_files.py', sizeBytes, `${directory}/large`),
  onStore: 'read',
  bytes: ({ sizeBytes }) => sizeBytes,
}

const readWarm: DataWorkload = {
  ...readCold,
  id: 'read-warm',
  title: 'read it again, warm',
  temperature: 'warm',
  needs: readCold,
  onStore: null,
}

/** Nobody measures it. */
const writeQuarters: DataWorkload = {
  ...PRINTED,
  id: 'write-4',
  title: 'write four files',
  temperature: 'warm',
  needs: null,
  command: (scene) => python('write_file.py', quarterBytes(scene), ...quarters(scene)),
}

const readQuarters: DataWorkload = {
  ...PRINTED,
  id: 'read-4',
  title: 'read four files of a quarter of it at once, cold',
  temperature: 'cold',
  needs: writeQuarters,
  command: (scene) => python('read_files.py', quarterBytes(scene), ...quarters(scene)),
  bytes: ({ sizeBytes }) => sizeBytes,
}

const firstByte: DataWorkload = {
  ...PRINTED,
  id: 'first-byte',
  title: 'the first byte of the large file, cold, its directory listed',
  temperature: 'cold',
  needs: write,
  command: ({ directory }) => python('first_byte.py', directory, 'large'),
}

const randomRead = (jobs: number): DataWorkload => ({
  ...PRINTED,
  id: `random-read-${jobs}`,
  title: `random reads of 4 KiB from it, cold, ${jobs} ${jobs === 1 ? 'job' : 'jobs'}`,
  temperature: 'cold',
  needs: write,
  command: (scene) => randomIo('read', scene, jobs),
  memory: RANDOM_MEMORY,
})

const randomWrite: DataWorkload = {
  ...PRINTED,
  id: 'random-write',
  title: 'random writes of 4 KiB into it, cold',
  temperature: 'cold',
  needs: write,
  command: (scene) => randomIo('write', scene, 1),
  memory: RANDOM_MEMORY,
}

const small: DataWorkload = {
  ...PRINTED,
  id: 'small',
  title: '1,000 files of 4 KiB, and sync',
  temperature: 'warm',
  needs: null,
  command: ({ directory }) => smallFiles('write', `${directory}/small`, SMALL_FILES, SMALL_FILE_BYTES),
  hasBarrier: true,
  files: () => SMALL_FILES,
}

const fsyncEach: DataWorkload = {
  ...PRINTED,
  id: 'fsync-each',
  title: '200 files of 4 KiB, an fsync of each',
  temperature: 'warm',
  needs: null,
  command: ({ directory }) => smallFiles('fsync', `${directory}/synced`, SYNCED_FILES, SMALL_FILE_BYTES),
  files: () => SYNCED_FILES,
}

const smallRead: DataWorkload = {
  ...PRINTED,
  id: 'small-read',
  title: 'read the 1,000, cold',
  temperature: 'cold',
  needs: small,
  command: ({ directory }) => smallFiles('read', `${directory}/small`, SMALL_FILES, SMALL_FILE_BYTES),
  files: () => SMALL_FILES,
}

const TAR = { program: 'tar', args: ['--version'] }
const GIT_ENVIRONMENT = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }

const tree: DataWorkload = {
  id: 'tree',
  title: 'unpack a source tree, and sync',
  temperature: 'warm',
  needs: null,
  command: ({ directory, tar }) => ({
    program: 'tar',
    args: ['--extract', '--no-same-owner', '--file', tar, '--directory', directory],
  }),
  hasBarrier: true,
  judge: () => ({}),
  warmUp: TAR,
  onStore: null,
}

const treeRead: DataWorkload = {
  id: 'tree-read',
  title: '`tar c` of it, cold',
  temperature: 'cold',
  needs: tree,
  command: ({ directory }) => tarOf(directory, 'tree'),
  hasBarrier: false,
  judge: (output, { treeBytes }) => expectBytes(output, treeBytes),
  warmUp: TAR,
  onStore: null,
}

const treeRemove: DataWorkload = {
  id: 'tree-rm',
  title: '`rm -rf` of it, cold, and sync',
  temperature: 'cold',
  needs: tree,
  command: ({ directory }) => ({ program: 'rm', args: ['-rf', `${directory}/tree`] }),
  hasBarrier: true,
  judge: () => ({}),
  warmUp: { program: 'rm', args: ['--version'] },
  onStore: null,
}

const gitClone: DataWorkload = {
  id: 'git-clone',
  title: '`git clone`, and sync',
  temperature: 'warm',
  needs: null,
  command: ({ directory, repository }) => git('clone', '--quiet', `file://${repository}`, `${directory}/clone`),
  hasBarrier: true,
  judge: () => ({}),
  warmUp: git('--version'),
  onStore: null,
}

const gitStatus: DataWorkload = {
  id: 'git-status',
  title: '`git status` of it, cold',
  temperature: 'cold',
  needs: gitClone,
  command: ({ directory }) => git('-c', 'safe.directory=*', '-C', `${directory}/clone`, 'status', '--short'),
  hasBarrier: false,
  judge: expectNothing,
  warmUp: git('--version'),
  onStore: null,
}

/** Nobody measures it. */
const makeMany: DataWorkload = {
  ...PRINTED,
  id: 'make-many',
  title: 'make a large directory',
  temperature: 'warm',
  needs: null,
  command: ({ directory, manyFiles }) => smallFiles('write', `${directory}/many`, manyFiles, MANY_FILE_BYTES),
  hasBarrier: true,
}

const many: DataWorkload = {
  id: 'many',
  title: '`tar c` of one directory of files of 10 KiB, cold',
  temperature: 'cold',
  needs: makeMany,
  command: ({ directory }) => tarOf(directory, 'many'),
  hasBarrier: false,
  judge: (output, { manyFiles }) => expectBytes(output, manyFiles * MANY_FILE_BYTES),
  warmUp: TAR,
  onStore: null,
  files: ({ manyFiles }) => manyFiles,
  memory: MANY_MEMORY,
  isOfSegments: true,
}

export const DATA: readonly DataWorkload[] = [
  ...[write, readCold, readWarm, readQuarters, firstByte, randomRead(1), randomRead(16), randomWrite],
  ...[small, fsyncEach, smallRead, tree, treeRead, treeRemove, gitClone, gitStatus, many],
]

function quarterBytes({ sizeBytes }: Scene): number {
  return Math.ceil(sizeBytes / QUARTERS.length)
}

function randomIo(kind: 'read' | 'write', { directory, sizeBytes, runtimeSec }: Scene, jobs: number) {
  return python('random_io.py', kind, `${directory}/large`, sizeBytes, jobs, runtimeSec)
}

function smallFiles(kind: 'write' | 'fsync' | 'read', directory: string, count: number, bytes: number) {
  return python('small_files.py', kind, directory, count, bytes)
}

/** Through a pipe: tar reads no file when its output is /dev/null. */
function tarOf(directory: string, name: string) {
  const script = 'set -o pipefail; tar --create --file - --directory "$1" "$2" | wc -c'
  return { program: 'bash', args: ['-c', script, 'bash', directory, name] }
}

function git(...args: string[]) {
  return { program: 'git', args, env: GIT_ENVIRONMENT }
}

/** The length of an archive: that of the files, and what it says of them. */
function expectBytes({ lastLine }: Output, least: number): Figures {
  if (Number(lastLine) < least) throw new Error(`an archive of ${lastLine} bytes, of files with ${least}`)
  return {}
}

function expectNothing({ lines, lastLine }: Output): Figures {
  if (lines > 0) throw new Error(`printed ${lines} lines; the last: ${lastLine}`)
  return {}
}
