// The same random calls on a mount and on ext4: results, errors, attributes, contents, times and what is stored must be
// alike, after each call and after a remount (test/differential/). A difference is reduced to the fewest calls that show it.
//
// CAIRNFS_DIFFERENTIAL_SECONDS: how long, on each store; CAIRNFS_DIFFERENTIAL_SEED: where sequences begin (scripts/soak).
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { mountExt4 } from './reference.ts'
import { describeStores, Volumes } from './volume-fixture.ts'

const PROGRAM = join(import.meta.dirname, '../differential/differential.py')
const given = process.env.CAIRNFS_DIFFERENTIAL_SECONDS
const seed = process.env.CAIRNFS_DIFFERENTIAL_SEED ?? '1'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores('random calls of four processes', (kind) => {
  test('do what they do on ext4, and a remount shows what they did', async () => {
    const seconds = Number(given ?? (kind.title === 'MinIO' ? 20 : 40))
    const reference = await mountExt4(volumes.harness)
    const volume = await volumes.create(kind, { mount: ['--memory', '256M', '--acl'] })
    const compare = async (...more: string[]) => {
      const directories = `--reference '${reference}/t' --mount '${volume.mountpoint}/t'`
      const script = `/usr/bin/python3 '${PROGRAM}' ${directories} ${more.join(' ')} 2>&1`
      const { stdout, status } = await volume.run(script, { timeoutMs: 1000 * seconds + 240_000, cwd: '/' })
      expect(stdout, 'what the comparison says').toMatch(/^\{.*"differences": 0\}\n$/)
      expect(status).toBe(0)
      return stdout
    }
    await volume.shell(`mkdir '${reference}/t' '${volume.mountpoint}/t'`, { cwd: '/' })
    process.stderr.write(`${kind.title}: ${await compare('--seconds', String(seconds), '--seed', seed)}`)
    await volume.remountCold()
    await compare('--again')
    await volume.unmount()
  })
})
