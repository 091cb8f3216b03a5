// docs/HACKING.md does what it says: its blocks marked `sh test` are run as they stand, in order, in one shell.
//
// Must stay true: whatever a block left (a mount, a process, a folder) is gone afterwards, also when it failed or hung.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { abortConnection, parseMountinfo, unmountAt } from '../../src/fuse/index.ts'
import { MountHarness, until } from '../mount/harness.ts'

const TOP = join(import.meta.dirname, '../..')
const RUN_MS = 60_000

const harness = new MountHarness()
let folder = ''

/** The fenced blocks of a document whose info string is `info`. */
function blocks(text: string, info: string): string[] {
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)]
    .filter((match) => match[1] === info)
    .map((match) => match[2]!)
}

const mounts = () =>
  parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).filter((entry) => entry.mountpoint.startsWith(folder))

/** What the blocks have started, stopped daemons too: processes whose TMPDIR is the test's own folder. */
function startedPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`TMPDIR=${folder}`)
      } catch {
        return false // ended meanwhile, or not ours to read
      }
    })
}

beforeEach(() => {
  folder = harness.folder()
})

afterEach(async () => {
  for (const { majorMinor, mountpoint } of mounts()) {
    abortConnection(majorMinor)
    await unmountAt(mountpoint, { mode: 'lazy' })
  }
  for (const pid of startedPids()) process.kill(pid, 'SIGKILL')
  await harness.cleanUp()
})

test('only blocks marked as such are run', () => {
  expect(blocks('```sh\na\n```\n\n```sh test\nb\nc\n```\n```\nd\n```\n', 'sh test')).toEqual(['b\nc\n'])
})

test('the command blocks of HACKING.md work and leave nothing behind (needs root)', async (context) => {
  context.skip(process.geteuid!() !== 0, 'needs root: it aborts a connection')
  context.skip(!existsSync('/dev/fuse'), 'needs /dev/fuse')
  const script = blocks(readFileSync(join(TOP, 'docs/HACKING.md'), 'utf8'), 'sh test')
  expect(script.length).toBeGreaterThan(3)
  // A hung command is freed by the abort, and the processes of a failed one end with their group.
  const watchdog = setTimeout(() => {
    for (const { majorMinor } of mounts()) abortConnection(majorMinor)
  }, RUN_MS - 5000)
  const result = await harness
    .run(`set -eu\nunset \${!VITEST*} TEST NODE_ENV\n${script.join('\n')}`, {
      cwd: TOP,
      timeoutMs: RUN_MS,
      env: { TMPDIR: folder },
    })
    .finally(() => clearTimeout(watchdog))
  expect(result, result.stderr + result.stdout).toMatchObject({ status: 0, timedOut: false })
  expect(result.stdout).toContain('the reader is free again')
  expect(mounts()).toEqual([])
  await until(() => startedPids().length === 0, 'the end of all that was started')
  expect(await harness.shell('ls -A', { cwd: folder })).toBe('')
})
