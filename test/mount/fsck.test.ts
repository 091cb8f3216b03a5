// fsck by command, on real volumes: mounted, unmounted, after a kill, damaged; what it prints, and its exit status.
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type ObjectStore, openStore } from '../../src/store/index.ts'
import type { FsckReport } from '../../src/volume/index.ts'
import { type RunResult, shellQuote } from './harness.ts'
import { describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const MAIN = join(import.meta.dirname, '../../dist/main.js')
const volumes = new Volumes()

afterEach(() => volumes.cleanUp())

function fsck(volume: TestVolume, options: string[]): Promise<RunResult> {
  const { name, options: ofStore } = volume.store
  return volumes.harness.run([process.execPath, MAIN, 'fsck', name, ...ofStore, ...options].map(shellQuote).join(' '))
}

async function report(volume: TestVolume, options: string[], status: number): Promise<FsckReport> {
  const ran = await fsck(volume, ['--json', ...options])
  expect(ran.stderr).toBe('')
  expect(ran.status).toBe(status)
  return JSON.parse(ran.stdout) as FsckReport
}

async function damage(volume: TestVolume, work: (store: ObjectStore) => Promise<void>): Promise<void> {
  const { name, options } = volume.store
  const of = (option: string) => options[options.indexOf(option) + 1]!
  const isRemote = options.includes('--endpoint')
  const store = await openStore(
    name,
    isRemote ? { endpoint: of('--endpoint'), region: of('--region'), pathStyle: true } : {},
  )
  await work(store)
  await store.close()
}

/** The first one holds the sums. */
async function lastDataSegment(store: ObjectStore): Promise<string> {
  const keys = (await store.list('segments/')).objects.map(({ key }) => key).sort()
  for (const key of keys.reverse()) if ((await store.get(key)).body[4] === 1) return key
  throw new Error('there is no data')
}

describeStores('fsck checks and mends', (kind) => {
  test('a volume that is mounted, killed, unmounted, damaged and mended', async () => {
    const volume = await volumes.create(kind, { format: ['--segment-size', '1M'] })
    await volume.shell(
      `mkdir -p a/b && for i in $(seq 40); do head -c 100000 /dev/urandom >a/b/f$i; done
       ln a/b/f1 hard; ln -s a/b soft; sha256sum a/b/* hard >sums`,
    )
    await volume.sync()

    const mounted = await report(volume, ['--data'], 0)
    expect(mounted.findings).toEqual([])
    expect(mounted).toMatchObject({ name: volume.name, mounted: true })
    expect(mounted.counts.files).toBe(41)
    expect(mounted.counts.dataBytesRead).toBe(mounted.counts.dataBytes)
    const refused = await fsck(volume, ['--repair'])
    expect(refused.status).toBe(8)
    expect(refused.stderr).toContain('is mounted')

    await volume.crash()
    const crashed = await report(volume, [], 0)
    expect(crashed).toMatchObject({ mounted: false })
    await volume.mount()
    await volume.shell('sha256sum -c --quiet sums')
    await volume.unmount()
    const clean = await fsck(volume, ['--data'])
    expect(clean).toMatchObject({ status: 0, stderr: '' })
    expect(clean.stdout).toMatch(/: clean\n$/)

    await damage(volume, async (store) => {
      await store.delete([await lastDataSegment(store), 'root'])
      await store.put('holiday.jpg', [Buffer.from('x')])
    })
    const found = await report(volume, [], 4)
    const kinds = new Set(found.findings.map((finding) => finding.kind))
    expect(kinds).toEqual(new Set(['lost-root', 'lost-segment', 'foreign-object']))
    const told = await fsck(volume, [])
    expect(told.stdout).toMatch(/^lost-segment: \/a\/b\/f\d+: .* bytes \(.*; --repair: /m)
    expect(told.stdout).toMatch(/nothing was changed: to mend, repeat with --repair\n$/)

    const mended = await fsck(volume, ['--repair'])
    expect(mended.status).toBe(1)
    expect(mended.stdout).toMatch(/all mended\n$/)
    const after = await report(volume, ['--data'], 0)
    const lost = new Set(after.findings.flatMap((each) => (each.kind === 'lost-data' ? [each.path!] : [])))
    expect(lost.size).toBeGreaterThan(0)

    await volume.mount()
    const checked = await volume.run('sha256sum -c sums')
    const failed = [...checked.stdout.matchAll(/^(\S+): FAILED/gm)].map((match) => `/${match[1]}`)
    const isLost = (path: string) => lost.has(path) || (path === '/hard' && lost.has('/a/b/f1'))
    expect(failed.filter((path) => !isLost(path))).toEqual([])
    expect(failed.length).toBeGreaterThanOrEqual(lost.size)
    expect(checked.stdout).toMatch(/: OK$/m)
    await volume.shell(`rm ${[...lost].map((path) => shellQuote(path.slice(1))).join(' ')}`)
    await volume.unmount()
    expect((await report(volume, ['--data'], 0)).findings.map((finding) => finding.kind)).not.toContain('lost-segment')
  })
})

test('wrong usage, and a store that is not there, have their own exit status', async () => {
  const run = (args: string) => volumes.harness.run(`${process.execPath} ${MAIN} fsck ${args}`)
  expect(await run('--bogus')).toMatchObject({ status: 16 })
  expect(await run('file:///tmp/x --memory 1')).toMatchObject({ status: 16 })
  expect(await run('no-such-store')).toMatchObject({ status: 16 })
  expect(await run('file:///no/such/folder')).toMatchObject({ status: 8 })
  expect((await run('--help')).stdout).toMatch(/^ {2}cairnfs fsck s3:.*--repair$/m)
})
