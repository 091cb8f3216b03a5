// kill -9 at random moments under an unpacker that fsyncs now and then: what was fsynced is there, byte for byte, and
// the names are a prefix of their order.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { seededRandom } from '../../src/platform/index.ts'
import { until } from './harness.ts'
import { describeStores, dropCaches, Volumes } from './volume-fixture.ts'

const KILLS = 10
const PROGRAMS = join(import.meta.dirname, 'programs')
const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const linesOf = (path: string) => (existsSync(path) ? readFileSync(path, 'latin1').split('\n').length - 1 : 0)

describeStores(`after ${KILLS} kills`, (kind) => {
  test('every fsynced file has its bytes and the names are a prefix of their order', async () => {
    const seed = Number(process.env.CAIRNFS_TEST_SEED ?? Date.now() % 1_000_000)
    process.stderr.write(`kills: CAIRNFS_TEST_SEED=${seed}\n`)
    const random = seededRandom(seed)
    const volume = await volumes.create(kind, { mount: ['--commit', '1'] })
    const outside = volumes.harness.folder()
    let replayed = 0
    let lostFiles = 0
    for (let kill = 1; kill <= KILLS; kill++) {
      const folder = `round${kill}`
      const log = join(outside, `log${kill}`)
      await volume.shell(`mkdir ${folder}`)
      await volume.sync()
      const unpacker = volume.run(`python3 ${PROGRAMS}/unpacker.py ${folder} ${seed + kill} ${log}`, {
        cwd: volume.mountpoint,
      })
      const fsynced = 1 + Math.floor(random.next() * 8)
      await until(() => linesOf(log) >= fsynced, `${fsynced} fsynced files`)
      await new Promise((resolve) => setTimeout(resolve, random.next() * 400))
      await volume.crash()
      const written = Number((await unpacker).stdout)
      await dropCaches(volumes.harness)
      await volume.mount()
      const reasons = volume.log().match(/lock file is free, not waiting for the lease/g) ?? []
      expect(reasons.length, 'mounts that said why they did not wait for the lease').toBe(kill)
      replayed += (await volume.status()).journal.replayedCommits
      const verify = await volume.shell(`python3 ${PROGRAMS}/verify_unpacked.py ${folder} ${seed + kill} ${log}`)
      const { last, problems } = JSON.parse(verify) as { last: number; problems: string[] }
      expect(problems, `kill ${kill} of seed ${seed}`).toEqual([])
      lostFiles += Math.max(0, written - last)
      await volume.shell(`rm -rf ${folder}`)
    }
    process.stderr.write(
      `kills: ${replayed} journal objects replayed, ${lostFiles} unlogged files lost in ${KILLS} kills\n`,
    )
    expect(replayed, 'journal objects replayed').toBeGreaterThan(0)
    expect(lostFiles, 'unlogged files lost').toBeGreaterThan(0)
    await volume.unmount()
  })
})
