// test/conformance/ over mounts: what man pages and POSIX say of each system call, as root and as users, over a folder (with
// scripts/test --full over MinIO too), and over a local filesystem as the reference, where no case may fail either.
//
// What all cases left must be there after a crash that follows a sync, and after an unmount.
//
// Must stay true: nothing is left out in silence. The table at the end says of each call what was run, what passed, and
// what did not apply and why.
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { MountHarness, shellQuote } from './harness.ts'
import { differences, type Manifest, manifestCommand, parseManifest } from './programs/manifest.ts'
import { mountExt4, NoExt4 } from './reference.ts'
import { brieflyOn, describeStores, dropCaches, type StoreKind, type TestVolume, Volumes } from './volume-fixture.ts'

const RUNNER = join(import.meta.dirname, '../conformance/runner.py')
const RUN_MS = 300_000
const CASES_MIN = 400

interface CaseResult {
  call: string
  case: string
  user: string
  result: 'passed' | 'failed' | 'not applicable'
  why: string
}

const volumes = new Volumes()
const reference = new MountHarness()
const tables: [where: string, results: CaseResult[]][] = []

afterEach(async () => {
  await volumes.cleanUp()
  await reference.cleanUp()
})
afterAll(() => {
  process.stdout.write(`${[...table(), ...reasons()].join('\n')}\n`)
})

/** Runs the suite in a directory, and says which cases failed. */
async function run(harness: MountHarness, where: string, folder: string, on: string, ...options: string[]) {
  const words = ['python3', RUNNER, folder, '--json', '--on', on, ...options].map(shellQuote).join(' ')
  const { status, stdout, stderr } = await harness.run(words, { timeoutMs: RUN_MS })
  if (status !== 0 && status !== 1) throw new Error(`the suite ended with ${status}: ${stderr}`)
  const results = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CaseResult)
  tables.push([where, results])
  expect(new Set(results.map((each) => `${each.call} ${each.case}`)).size).toBeGreaterThan(CASES_MIN)
  expect(results.filter(({ result }) => result === 'failed').map(describeCase)).toEqual([])
}

const describeCase = ({ call, case: words, user, why }: CaseResult) => `${call}: ${words} (as ${user}): ${why}`

test('every case of the conformance suite holds on a local filesystem (needs root)', async (context) => {
  if (process.geteuid!() !== 0) context.skip('only root mounts a reference and runs as users')
  try {
    return await run(reference, 'ext4', await mountExt4(reference), 'ext4')
  } catch (error) {
    if (!(error instanceof NoExt4)) throw error
    process.stderr.write(`the reference is tmpfs: ${error.message}\n`)
  }
  const mountpoint = reference.mountpoint()
  await reference.shell(`mount -t tmpfs none ${shellQuote(mountpoint)}`)
  await run(reference, 'tmpfs', mountpoint, 'tmpfs')
})

const doWhatIsSaid = (kind: StoreKind) =>
  test('do what man pages and POSIX say, in every case of the conformance suite, and a new mount shows what they left', async () => {
    const volume = await volumes.create(kind, { mount: ['--acl'] })
    await run(volumes.harness, kind.title, volume.mountpoint, 'cairnfs', '--keep')
    await volume.sync()
    const left = await manifestOf(volume)
    await volume.crash()
    await dropCaches(volumes.harness)
    await volume.mount()
    expect(differences(left, await manifestOf(volume), { directorySizes: true }), 'after a crash').toEqual([])
    await volume.remountCold()
    expect(differences(left, await manifestOf(volume), { directorySizes: true }), 'after an unmount').toEqual([])
    await volume.unmount()
    const { name, options } = volume.store
    expect(await volume.cairnfs(['fsck', name, '--data', ...options], RUN_MS)).toContain('clean')
  })
describeStores('system calls', doWhatIsSaid, brieflyOn('a local folder'))

async function manifestOf(volume: TestVolume): Promise<Manifest> {
  return parseManifest(await volume.shell(manifestCommand('.', '--xattrs'), { timeoutMs: RUN_MS }))
}

/** A line for each call, with the counts of each filesystem. */
function table(): string[] {
  const calls = [...new Set(tables.flatMap(([, results]) => results.map(({ call }) => call)))].sort()
  const line = (name: string, cells: string[]) => name.padEnd(18) + cells.map((cell) => cell.padStart(26)).join('')
  const counts = (results: CaseResult[]) => {
    const count = (wanted: string) => results.filter(({ result }) => result === wanted).length
    return `${results.length} / ${count('passed')} / ${count('failed')} / ${count('not applicable')}`
  }
  return [
    'Conformance: run / passed / failed / not applicable',
    line(
      '',
      tables.map(([where]) => where),
    ),
    ...[...calls, 'all'].map((call) =>
      line(
        call,
        tables.map(([, results]) => counts(results.filter((each) => call === 'all' || each.call === call))),
      ),
    ),
  ]
}

/** Why what did not apply did not: the cases of each call, and where. */
function reasons(): string[] {
  const found = new Map<string, Map<string, Set<string>>>()
  for (const [where, results] of tables) {
    for (const { call, case: words, why } of results.filter(({ result }) => result === 'not applicable')) {
      const cases = found.get(why) ?? new Map<string, Set<string>>()
      const places = cases.get(`${call}: ${words}`) ?? new Set()
      found.set(why, cases.set(`${call}: ${words}`, places.add(where)))
    }
  }
  return [...found].flatMap(([why, cases]) => [
    `not applicable, ${why}:`,
    ...[...cases].map(([words, places]) => `    ${words} (on ${[...places].join(', ')})`),
  ])
}
