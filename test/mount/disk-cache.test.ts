// The disk cache of a real mount: filled by reading and writing, used by the next mount without a GET of segments, and never in
// the way, whatever becomes of its folder.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { describeStores, STORE_KINDS, type StoreKind, type TestVolume, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

const SUMS = 'find . -type f | sort | xargs sha256sum'
/** 20 MiB in one file, which no page of is like another, and some small ones. */
const FILL = `python3 -c '
import random
random.seed(4)
open("large", "wb").write(random.randbytes(20 << 20))
for i in range(200): open(f"small-{i}", "wb").write(random.randbytes(9000))
'`

/** Files of segments in the folder. */
function cached(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => /\.(end|part)$/.test(path) && statSync(path).isFile())
}

async function diskCache(volume: TestVolume) {
  const { diskCache } = await volume.status()
  expect(diskCache).not.toBeNull()
  return diskCache!
}

/** Reads everything, cold; how many reads of segments went to the store for that, since the mount. */
async function readAll(volume: TestVolume, sums: string): Promise<number> {
  expect(await volume.shell(SUMS)).toBe(sums)
  const { misses } = await diskCache(volume)
  return misses
}

describeStores('a disk cache', (kind) => {
  test('is filled by reading and used by the next mount: no GET of a segment, after kill -9 either', async () => {
    const volume = await volumes.create(kind)
    const folder = join(volumes.harness.folder(), 'not', 'there', 'yet')
    await volume.shell(FILL)
    const sums = await volume.shell(SUMS)
    expect((await volume.status()).diskCache).toBeNull()
    const options = ['--cache-dir', folder]
    await volume.remountCold(options)
    expect(await readAll(volume, sums)).toBeGreaterThan(2)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(readFileSync(join(folder, 'CACHEDIR.TAG'), 'utf8')).toMatch(/^Signature: 8a477f597d28d172789f06886806bc55\n/)

    await volume.remountCold(options)
    const { get } = (await volume.status()).requests
    expect(await readAll(volume, sums)).toBe(0)
    expect((await volume.status()).requests.get).toBe(get)
    expect(await volume.cairnfs(['status', volume.mountpoint])).toMatch(
      /^disk cache +\d.* of 10 GiB in .*\b0 B written$/m,
    )

    await volume.crash()
    const half = join(dirname(dirname(cached(folder)[0]!)), 'tmp', 'half-written')
    writeFileSync(half, 'half')
    await volumes.harness.shell('echo 3 > /proc/sys/vm/drop_caches')
    await volume.mount(options)
    expect(await readAll(volume, sums)).toBe(0)
    expect(existsSync(half)).toBe(false)
    expect(volume.log()).not.toMatch(/disk cache/)
  })

  test('keeps what was just written', async () => {
    const folder = volumes.harness.folder(0o700)
    const volume = await volumes.create(kind, { mount: ['-o', `cache_dir=${folder},cache_size=1GiB`] })
    await volume.shell(FILL)
    const sums = await volume.shell(SUMS)
    await volume.remountCold()
    expect(await readAll(volume, sums)).toBe(0)
    expect((await diskCache(volume)).limitBytes).toBe(1 << 30)
  })
})

// What happens to the folder is the same whatever store lies behind.
const LOCAL = STORE_KINDS.filter(({ title }) => title === 'a local folder')

const whateverHappens = (kind: StoreKind) => {
  test('that is damaged, emptied or taken away is never seen by who reads', async () => {
    const folder = volumes.harness.folder(0o700)
    const volume = await volumes.create(kind, { mount: ['--cache-dir', folder] })
    await volume.shell(FILL)
    const sums = await volume.shell(SUMS)
    await volume.remountCold()
    for (const path of cached(folder)) {
      const bytes = readFileSync(path)
      for (let at = 0; at < bytes.length; at += 50_000) bytes[at]! ^= 1
      writeFileSync(path, bytes)
    }
    expect(await readAll(volume, sums)).toBeGreaterThan(2)
    expect((await diskCache(volume)).damaged).toBeGreaterThan(2)
    expect(volume.log().match(/the disk cache is damaged/g)).toHaveLength(1)
    expect((await diskCache(volume)).bytes).toBeGreaterThan(20 << 20)

    await volume.remountCold()
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true })
    await readAll(volume, sums)
    await volume.remountCold()
    rmSync(folder, { recursive: true })
    await readAll(volume, sums)
    expect(existsSync(folder)).toBe(false)
    mkdirSync(folder, { mode: 0o700 })
    await volume.remountCold()
    await readAll(volume, sums)
  })

  test('on a disk that is full keeps what there is room for', async () => {
    const folder = volumes.harness.mountpoint('small-disk')
    await volumes.harness.shell(`mount -t tmpfs -o size=14m,mode=700 none ${folder}`)
    const volume = await volumes.create(kind, { mount: ['--cache-dir', folder, '--cache-size', '1G'] })
    await volume.shell(FILL)
    const sums = await volume.shell(SUMS)
    await volume.remountCold()
    expect(await readAll(volume, sums)).toBeGreaterThan(0)
    expect(volume.log().match(/the disk cache cannot be used for a while.*ENOSPC/g)?.length).toBeGreaterThanOrEqual(1)
    expect(cached(folder).length).toBeGreaterThan(0)
    // There is room for what the next mount notes, and that uses what was kept.
    await volume.remountCold()
    await readAll(volume, sums)
    expect((await diskCache(volume)).hits).toBeGreaterThan(0)
    await volume.shell('echo more > more && sync more')
    await volume.unmount()
  })

  test('is shared by two mounts at a time', async () => {
    const folder = volumes.harness.folder(0o700)
    const volume = await volumes.create(kind, { mount: ['--cache-dir', folder] })
    await volume.shell(FILL)
    const sums = await volume.shell(SUMS)
    await volume.remountCold()
    const reader = await volume.mountElsewhere(['--read-only'])
    const read = await Promise.all([volume.shell(SUMS), reader.shell(SUMS), reader.shell(SUMS)])
    expect(read).toEqual([sums, sums, sums])
    expect([await diskCache(volume), await diskCache(reader)]).toMatchObject([{ misses: 0 }, { misses: 0 }])
    await reader.unmount()
  })

  test('is refused in one line where it cannot be, before anything is mounted', async () => {
    const volume = await volumes.create(kind)
    const { name, options } = volume.store
    await volume.unmount()
    const other = await volumes.create(kind)
    const parent = volumes.harness.folder(0o700)
    const refusal = async (given: string) => {
      const script = `"$NODE" "$MAIN" mount '${name}' '${volume.mountpoint}' ${options.join(' ')} ${given}`
      const env = { NODE: process.execPath, MAIN: join(import.meta.dirname, '../../dist/main.js') }
      const { status, stderr } = await volumes.harness.run(script, { env })
      expect(status, stderr).not.toBe(0)
      expect(stderr.trim().split('\n')).toHaveLength(1)
      return stderr
    }
    mkdirSync(join(parent, 'others', 'photos'), { recursive: true, mode: 0o700 })
    mkdirSync(join(parent, 'open'))
    await volumes.harness.shell(
      `chmod 777 ${parent}/open; mkdir -m 700 ${parent}/foreign; chown 1234 ${parent}/foreign`,
    )
    writeFileSync(join(parent, 'file'), '')
    expect(await refusal(`--cache-dir ${volume.mountpoint}/cache`)).toMatch(
      /lies inside the mountpoint .*: choose another/,
    )
    expect(await refusal(`--cache-dir ${parent}/others`)).toMatch(/holds other things \(photos\): name an empty folder/)
    expect(await refusal(`--cache-dir ${parent}/open`)).toMatch(/may be written to by others: chmod 700/)
    expect(await refusal(`--cache-dir ${parent}/foreign`)).toMatch(/belongs to user 1234/)
    expect(await refusal(`--cache-dir ${parent}/file`)).toMatch(/is not a folder/)
    expect(await refusal(`--cache-dir ${other.mountpoint}/cache`)).toMatch(
      new RegExp(`lies on ${other.mountpoint}, a mount of cairnfs: choose`),
    )
    expect(await other.shell('ls -A')).toBe('')
    expect(await refusal('--cache-dir /proc/cache')).toMatch(/cannot be used \(\w+\)/)
    expect(await refusal('-o cache_size=1G')).toMatch(/with --cache-dir/)
    expect(await refusal(`--cache-dir ${parent}/new --cache-size 1M`)).toMatch(/at least 64M/)
    if (name.startsWith('file:')) {
      expect(await refusal(`--cache-dir ${name.replace('file://', '')}/segments`)).toMatch(/lies inside the store/)
    }
    expect(readdirSync(parent).sort()).toEqual(['file', 'foreign', 'open', 'others'])
  })
}
describeStores('a disk cache, whatever happens to its folder', whateverHappens, LOCAL)
