// The bench itself, on a small directory: it measures what it says, and leaves nothing, also when it is interrupted.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { DataResults } from '../../bench/data/results.ts'
import { markedProcesses } from '../../bench/processes.ts'
import type { Results } from '../../bench/results.ts'
import { parseMountinfo } from '../../src/fuse/index.ts'
import { minio } from '../s3/minio.ts'
import { compile } from './harness.ts'

const REPOSITORY = join(import.meta.dirname, '../..')
const LIMIT_MS = 300_000
const WORK = ['--workloads', 'create,mount,ls-lU,stat-missing,rm', '--without-peers', '--rounds', '1']

const reason =
  minio === undefined
    ? 'needs MinIO: eval "$(scripts/minio start)"'
    : process.geteuid!() === 0
      ? null
      : "needs root: the kernel's caches are dropped"
if (reason !== null) process.stderr.write(`skipped: the bench: ${reason}\n`)

let compiled: ReturnType<typeof compile>
/** Everything of a run lies here. */
let folder: string
const children = new Set<ReturnType<typeof spawn>>()

beforeAll(() => {
  const bench = join(REPOSITORY, 'bench')
  if (reason === null)
    compiled = compile(
      ['main.ts', 'programs/list-bucket.ts', 'programs/grow.ts', 'programs/raw-store.ts'].map((file) =>
        join(bench, file),
      ),
    )
  folder = mkdtempSync(join(tmpdir(), 'cairnfs-test-'))
})
afterEach(() => {
  for (const child of children) child.kill('SIGTERM')
})
afterAll(() => {
  compiled?.remove()
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

/** Runs the bench; interrupts it when `interruptAt` appears in what it says. */
function bench(args: string[], options: { interruptAt?: string; env?: Record<string, string> } = {}): Promise<Ended> {
  const child = spawn(process.execPath, [compiled.files[0]!, ...args], {
    cwd: REPOSITORY,
    env: { ...process.env, TMPDIR: folder, CAIRNFS_PEER_JUICEFS: '', ...options.env },
    timeout: LIMIT_MS,
  })
  children.add(child)
  const ended: Ended = { status: null, stdout: '', stderr: '' }
  let isInterrupted = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    ended.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    ended.stderr += text
    if (isInterrupted || options.interruptAt === undefined || !ended.stderr.includes(options.interruptAt)) return
    isInterrupted = true
    child.kill('SIGINT')
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => {
      children.delete(child)
      resolve({ ...ended, status })
    })
  })
}

/** What the locks of slots say of their owners. */
function locks(): string[] {
  if (!existsSync('/run/cairnfs')) return []
  const names = readdirSync('/run/cairnfs').filter((name) => name.endsWith('.lock'))
  return names.map((name) => readFileSync(join('/run/cairnfs', name), 'utf8'))
}

/** What there is of runs of the bench; empty is good. */
async function leftOvers(): Promise<string[]> {
  const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).map(({ mountpoint }) => mountpoint)
  const client = new S3Client({ endpoint: minio!.endpoint, region: 'us-east-1', forcePathStyle: true })
  const { Buckets } = await client.send(new ListBucketsCommand())
  client.destroy()
  return [
    ...mounts.filter((mountpoint) => mountpoint.startsWith(folder)),
    ...markedProcesses('TMPDIR', folder).map((pid) => `process ${pid}`),
    ...readdirSync(folder).filter((name) => name.startsWith('cairnfs-bench-')),
    ...locks().filter((text) => text.includes(folder)),
    ...(Buckets ?? []).map(({ Name }) => Name!).filter((name) => name.startsWith('cairnfs-bench-')),
  ]
}

describe.skipIf(reason !== null)(`npm run bench -- listing${reason === null ? '' : ` (${reason})`}`, () => {
  test('measures cairnfs, grown or not, beside the bucket, reports it, and leaves nothing', async () => {
    const json = join(folder, 'results.json')
    const sizes = ['--entries', '500', '--latency', '20', '--systems', 'cairnfs,grown,bucket']
    const most = ['--most', 'grown=500,bucket=500']
    const { status, stdout, stderr } = await bench(['listing', ...sizes, ...most, ...WORK, '--json', json])
    expect({ status, stderr }).toMatchObject({ status: 0 })
    const { measurements, failures } = JSON.parse(readFileSync(json, 'utf8')) as Results
    expect(failures).toEqual([])
    const find = (wantedSystem: string, wantedWorkload: string) =>
      measurements.find(({ system, workload }) => system === wantedSystem && workload === wantedWorkload)!
    expect(measurements.map(({ outcome }) => outcome)).toEqual(Array(14).fill('measured'))
    // volume.json, root and the like.
    expect(find('cairnfs', 'mount').cost.requests.GetObject).toBeGreaterThan(0)
    const create = find('cairnfs', 'create')
    expect(create.cost.requests.PutObject).toBeGreaterThan(0)
    expect(create.cost.daemonCpuSec).toBeGreaterThan(0)
    expect(create.cost.peakRssBytes).toBeGreaterThan(2 ** 25)
    expect(create.cost.fuseRequests ?? 500).toBeGreaterThanOrEqual(500)
    expect(create.firstPerSec).toBeGreaterThan(0)
    // A HEAD for each key, of which 20 at a time are held, and one of the directory.
    const heads = find('bucket', 'ls-lU')
    expect(heads.cost.requests).toMatchObject({ HeadObject: 501 })
    expect(heads.seconds).toBeGreaterThan(0.5)
    expect(stdout).toContain('#### 500 files, 20 ms added per request')
    expect(stdout).toContain('Run without peers')
    expect(await leftOvers()).toEqual([])
  })

  test('leaves nothing when it is interrupted at work', async () => {
    const args = ['listing', '--entries', '3000', '--latency', '0', ...WORK]
    const { status, stdout, stderr } = await bench(args, { interruptAt: 'ls-lU' })
    expect({ status, stderr }).toMatchObject({ status: 130 })
    expect(stdout).toBe('')
    expect(await leftOvers()).toEqual([])
  })

  test('leaves nothing when a system fails, and says what failed', async () => {
    const fake = join(folder, 'rclone')
    writeFileSync(fake, '#!/bin/sh\n[ "$1" = version ] && echo 1.0.0 && exit\necho no good >&2\nexit 1\n', {
      mode: 0o755,
    })
    const args = ['listing', '--entries', '20', '--latency', '0', '--rounds', '1', '--systems', 'rclone']
    const { status, stdout, stderr } = await bench(args, { env: { CAIRNFS_PEER_RCLONE: fake } })
    expect({ status, stderr }).toMatchObject({ status: 1 })
    expect(stdout).toMatch(
      /#### What failed\n\n- rclone, 20 entries, 0 ms, round 1, run: .*rclone did not come up: no good/,
    )
    expect(await leftOvers()).toEqual([])
  })

  test('says so when limits leave nothing to run', async () => {
    const args = ['listing', '--entries', '50', '--latency', '5', '--systems', 'ext4', '--without-peers']
    const { status, stderr } = await bench(args)
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining('which --most lifts') })
    expect(await leftOvers()).toEqual([])
  })

  test('fails without JuiceFS, unless that is said', async () => {
    const { status, stderr } = await bench(['listing', '--entries', '10'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/JuiceFS is missing: .*--without-peers/)
    expect(await leftOvers()).toEqual([])
  })
})

describe.skipIf(reason !== null)(`npm run bench -- data${reason === null ? '' : ` (${reason})`}`, () => {
  test('measures cairnfs beside the raw client and ext4, reports it, and leaves nothing', async () => {
    const json = join(folder, 'data.json')
    const work = 'write,read-cold,read-warm,first-byte,small,fsync-each,tree,tree-read,tree-rm,many'
    const sizes = ['--size', '9M', '--files', '100', '--many', '50', '--latency', '20', '--systems', 'cairnfs,raw,ext4']
    const options = [...sizes, '--workloads', work, '--without-peers', '--json', json]
    const { status, stdout, stderr } = await bench(['data', ...options])
    expect({ status, stderr }).toMatchObject({ status: 0 })
    const { measurements } = JSON.parse(readFileSync(json, 'utf8')) as DataResults
    expect(measurements.map(({ outcome }) => outcome)).toEqual(Array(12).fill('measured'))
    const find = (wantedSystem: string, wantedWorkload: string) =>
      measurements.find(({ system, workload }) => system === wantedSystem && workload === wantedWorkload)!
    // Two segments each.
    expect(find('raw', 'write').cost.requests.PutObject).toBe(2)
    expect(find('raw', 'read-cold').cost.requests.GetObject).toBe(2)
    expect(find('cairnfs', 'write').cost.requests.PutObject).toBeGreaterThanOrEqual(2)
    expect(find('cairnfs', 'read-cold').cost.requests.GetObject).toBeGreaterThanOrEqual(2)
    expect(find('cairnfs', 'fsync-each').seconds).toBeGreaterThan(200 * 0.019)
    expect(find('cairnfs', 'many')).toMatchObject({ mountMemory: '256M', segments: expect.any(Number) })
    expect(find('cairnfs', 'many').segments).toBeGreaterThan(0)
    expect(stdout).toContain('#### Data, 20 ms added per request')
    expect(await leftOvers()).toEqual([])
  })

  test('refuses to report what holds no results', async () => {
    const { status, stdout, stderr } = await bench(['report', 'package.json'])
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe('bench: package.json does not hold what --json of listing or data has kept\n')
  })

  test('reports results that were kept', async () => {
    const { status, stdout } = await bench(['report', join(folder, 'data.json')])
    expect(status).toBe(0)
    expect(stdout).toContain('#### Data, 20 ms added per request')
  })
})
