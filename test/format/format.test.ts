// docs/FORMAT.md tells the truth: a decoder written from it alone lists volumes as the filesystem does, after a clean
// unmount and after crashes; the page's byte tables are those that the decoder reads by; its constants are the objects'.
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MountedFilesystem } from '../../src/vfs/index.ts'
import { VolumeDecoder } from './decoder.ts'
import { crc32c, FormatError, LAYOUTS, nameKey, siphash24 } from './layouts.ts'
import { decodeRoot, decodeVolumeJson } from './structures.ts'
import { COLLIDING, format, HASH_KEY, open, Program } from './volume.ts'

const TOP = join(import.meta.dirname, '../..')
const MANY = 5_000
const MIB = 1 << 20

const scratch = mkdtempSync(join(tmpdir(), 'cairnfs-format-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const folder = join(scratch, 'volume')
/** Copies of the volume at its stations, and what the filesystem said then. */
const stations: Record<string, { folder: string; said: Awaited<ReturnType<Program['list']>> }> = {}

function keep(name: string, said: Awaited<ReturnType<Program['list']>>): void {
  const copy = join(scratch, name)
  cpSync(folder, copy, { recursive: true })
  stations[name] = { folder: copy, said }
}

async function populate(program: Program): Promise<void> {
  await program.mkdir('/many')
  for (let index = 0; index < MANY; index++) {
    const body: [number, Buffer][] = index % 50 === 0 ? [[0, Buffer.from(`content of ${index}`)]] : []
    await program.write(`/many/a name of usual length ${index}`, body)
  }
  await program.mkdir('/d')
  for (const path of ['/d/e', '/d/e/f', '/d/empty', '/d/gone', '/d/moved']) await program.mkdir(path, 0o2770)
  await program.rmdir('/d/gone')
  await program.rename('/d/moved', '/d/e/f/moved')
  await program.write('/d/e/one', [[0, Buffer.from('linked')]])
  await program.link('/d/e/one', '/d/two')
  await program.link('/d/two', '/three')
  await program.write('/d/once shared', [[0, Buffer.from('one name is left')]])
  await program.link('/d/once shared', '/d/second name')
  await program.unlink('/d/once shared')
  await program.symlink('/d/link', '../somewhere/else')
  await program.symlink('/d/long link', 'x'.repeat(4095))
  await program.symlink('/d/linked link', '\xff\xfe')
  await program.link('/d/linked link', '/d/second link')
  for (const [index, type] of [0o010000, 0o020000, 0o060000, 0o140000].entries())
    await program.mknod(`/d/special ${index}`, type | 0o640, index * 0x101)
  await program.write('/d/\xff\xfe not UTF-8 \x01', [[0, Buffer.from('?')]])
  await program.write(`/d/${'n'.repeat(255)}`, [])
  for (const name of COLLIDING) await program.write(`/d/${name}`, [[0, Buffer.from(name)]])
  await program.write('/d/attributes', [[0, Buffer.from('#!')]])
  await program.set('/d/attributes', { mode: 0o104755, uid: 4_000_000_000, gid: 54_321 })
  await program.set('/d/attributes', { mtime: { sec: -1_000_000_001, nsec: 123_456_789 } })
  for (const path of ['/d/attributes', '/d/e', '', '/d/two', '/d/link']) {
    await program.setXattr(path, 'trusted.small', Buffer.from(path))
    await program.setXattr(path, 'trusted.\xff\xfe', Buffer.alloc(0))
  }
  for (const path of ['/d/attributes', '/d/e', '/three'])
    for (const size of [1023, 16_000, 16_001, 65_536])
      await program.setXattr(path, `user.of ${size} bytes`, randomBytes(size))
  await program.set('/d/e/f', { mtime: { sec: 2 ** 33, nsec: 999_999_999 } })

  await program.write('/large', [[0, randomBytes(5 * MIB + 17)]], { fsync: true })
  for (let index = 0; index < 9; index++) {
    const piece: [number, Buffer] = [index * 500_001 + 7, randomBytes(index * 9_973 + 1)]
    await program.write('/large', [piece], { fsync: index % 2 === 0 })
  }
  await program.write('/copy', [])
  await program.copy('/large', '/copy')
  await program.write('/four', [], {})
  for (let index = 0; index < 4; index++) await program.write('/four', [[index * MIB, randomBytes(40_000)]])
  await program.write('/sparse', [
    [0, Buffer.from('beginning')],
    [10 * MIB + 1, Buffer.from('middle')],
  ])
  await program.set('/sparse', { sizeBytes: 3 * 2 ** 24 + 5 })
  await program.write('/cut', [[0, randomBytes(200_000)]], { fsync: true })
  await program.set('/cut', { sizeBytes: 100_003 })
  await program.write('/cut', [[150_000, Buffer.from('after the cut')]])
}

/** What a second mount does before it crashes. Leaves an open file without a name. */
async function change(program: Program, round: number): Promise<void> {
  for (let index = 0; index < 40; index++) await program.unlink(`/many/a name of usual length ${round * 40 + index}`)
  for (let index = 0; index < 60; index++)
    await program.write(`/many/new ${round} ${index}`, [[index, Buffer.from('!')]])
  await program.write('/large', [[MIB + round, randomBytes(70_000)]], { fsync: true })
  await program.set('/large', { sizeBytes: 4 * MIB + 1 - round })
  await program.write('/d/attributes', [[1, Buffer.from(`round ${round}`)]])
  await program.write('/d/new', [[0, randomBytes(33_000)]])
  await program.setXattr('/d/new', 'user.large', randomBytes(20_000 + round))
  await program.setXattr('/d/e', 'user.of 16000 bytes', randomBytes(round))
  await program.rename('/d/new', '/d/attributes')
  await program.copy('/large', '/copy')
  await program.mkdir(`/born in round ${round}`)
  await program.write(`/born in round ${round}/file`, [[0, Buffer.from('new')]])
  await program.rename('/d/e', `/born in round ${round}/e`)
  await program.rename(`/born in round ${round}/e`, '/d/e')
  if (round === 0) await program.rmdir('/d/empty')
  await program.link('/four', `/four again ${round}`)
  await program.write('/orphan', [[0, randomBytes(50_000)]], { fsync: true, keepOpen: true })
  await program.unlink('/orphan')
  await program.sync()
  // Three commits at least, so that seals and gaps have a place to be.
  await program.write('/last', [[round * 10, Buffer.from('the last words')]], { fsync: true })
  await program.sync()
}

beforeAll(async () => {
  await format(folder)
  let program = new Program(await open(folder))
  await populate(program)
  await program.sync()
  let said = await program.list()
  await program.volume.close()
  keep('unmounted', said)

  for (const [round, name] of ['crashed', 'crashed twice'].entries()) {
    program = new Program(await open(folder))
    await change(program, round)
    said = await program.list()
    await program.mkdir('/not durable')
    await program.write('/four', [[1, Buffer.from('not durable')]])
    program.volume.abandon()
    keep(name, said)
  }

  program = new Program(await open(folder))
  said = await program.list()
  await program.volume.close()
  keep('unmounted again', said)

  program = new Program(await open(folder))
  await change(program, 2)
  const checkpoint = (program.fs as MountedFilesystem).checkpointNow()
  // Commits with data of their own come while the checkpoint is on its way.
  for (let index = 0; index < 12; index++)
    await program.write('/d/attributes', [[index * 3, Buffer.from(`during it ${index}`)]], { fsync: true })
  await checkpoint
  await program.write('/last', [[5, Buffer.from('after it')]], { fsync: true })
  said = await program.list()
  program.volume.abandon()
  keep('crashed after a checkpoint', said)
}, 300_000)

const station = (name: string) => {
  const found = stations[name]
  if (found === undefined) throw new Error(`no station ${name}`)
  return found
}

describe('a decoder written from docs/FORMAT.md alone', () => {
  test.each(['unmounted', 'crashed', 'crashed twice', 'unmounted again', 'crashed after a checkpoint'])(
    'lists the tree that the filesystem shows: %s',
    (name) => {
      const { folder: copy, said } = station(name)
      const decoder = new VolumeDecoder(copy)
      const listed = decoder.list()
      expect(listed.map(({ path }) => path)).toEqual(said.map(({ path }) => path))
      for (const [index, entry] of listed.entries()) expect(entry).toEqual(said[index])
      expect(listed.length).toBeGreaterThan(MANY - 100)
    },
  )

  test('meets what there is to meet', () => {
    const clean = new VolumeDecoder(station('unmounted').folder)
    clean.list()
    expect(clean.commits).toHaveLength(0)
    expect(clean.met).toMatchObject({ seals: 0, extentsInCommits: 0, shared: 6, ordinals: 1 })
    expect(clean.met.innerPages).toBeGreaterThan(0)
    expect(clean.met.tableExtents).toBeGreaterThan(4)
    expect(clean.met.sharedExtents).toBeGreaterThan(0)
    expect(clean.met.inlineXattrs).toBeGreaterThan(10)
    expect(clean.met.tableXattrs).toBeGreaterThan(10)

    const crashed = new VolumeDecoder(station('crashed').folder)
    crashed.list()
    expect(crashed.commits.length).toBeGreaterThan(2)
    expect(crashed.met.extentsInCommits).toBeGreaterThan(0)
    expect(crashed.table(6, 0).size).toBe(1)

    const twice = new VolumeDecoder(station('crashed twice').folder)
    twice.list()
    expect(twice.met.seals).toBe(1)
    expect(twice.root.tenures).toHaveLength(2)

    const between = new VolumeDecoder(station('crashed after a checkpoint').folder)
    between.list()
    expect(between.root.tenures[0]!.firstSeq).toBeGreaterThan(1)
    expect(between.commits.length).toBeGreaterThan(0)
    // Its pages hold commits that root does not name as contained: some extents in pages point into data of commits.
    const pagesOnly = mkdtempSync(join(scratch, 'pages-'))
    cpSync(station('crashed after a checkpoint').folder, pagesOnly, { recursive: true })
    rmSync(join(pagesOnly, 'journal'), { recursive: true })
    const usage = [...new VolumeDecoder(pagesOnly).table(7, 0).values()]
    expect(usage.some((row) => row[8] === 1)).toBe(true)
  })

  test('finds the checkpoint copies of root and volume.json', () => {
    const { folder: copy } = station('unmounted again')
    const decoder = new VolumeDecoder(copy)
    decoder.list()
    expect(decoder.trailers.length).toBeGreaterThan(0)
    const volumeJson = readFileSync(join(copy, 'volume.json'))
    const copies = decoder.trailers.map((trailer) => {
      expect(trailer.volumeJson.equals(volumeJson)).toBe(true)
      return decodeRoot(trailer.root, decoder.json.uuid)
    })
    const newest = copies.reduce((a, b) => (a.number > b.number ? a : b))
    expect(newest.tables).toEqual(decoder.root.tables)
    expect(newest.number).toBeLessThanOrEqual(decoder.root.number)
  })
})

describe('damage and foreign objects are refused', () => {
  const damaged = (name: string, key: (folder: string) => string, change: (bytes: Buffer) => Buffer | null) => {
    const copy = mkdtempSync(join(scratch, 'damaged-'))
    cpSync(station(name).folder, copy, { recursive: true })
    const path = join(copy, key(copy))
    const changed = change(readFileSync(path))
    if (changed === null) rmSync(path)
    else writeFileSync(path, changed)
    return () => new VolumeDecoder(copy).list()
  }
  const flip = (at: number) => (bytes: Buffer) => {
    bytes[at < 0 ? bytes.length + at : at]! ^= 0x10
    return bytes
  }
  const tenure = (copy: string, index: number) => {
    const { root } = new VolumeDecoder(copy)
    return join('journal/000', root.tenures[index]!.epoch.toString(16).padStart(14, '0'))
  }
  const commit = (index: number, seq: number) => (copy: string) =>
    join(
      tenure(copy, index),
      readdirSync(join(copy, tenure(copy, index)))
        .sort()
        .at(seq)!,
    )

  test.each([
    ['root', 'unmounted', () => 'root', flip(100), /^root: crc/],
    ['the end of root', 'unmounted', () => 'root', (bytes: Buffer) => bytes.subarray(0, -1), /^root: wrong length/],
    ['another volume', 'unmounted', () => 'root', flip(8), /^root: of another volume/],
    ['a commit', 'crashed', commit(0, 0), flip(-1), /: crc/],
    ['the head of a commit', 'crashed', commit(0, 1), flip(30), /: crc/],
    ['a commit before a seal', 'crashed twice', commit(0, 1), () => null, /is missing before the seal/],
    ['a seal', 'crashed twice', commit(0, -1), flip(70), /: crc/],
    ['a missing seal', 'crashed twice', commit(0, -1), () => null, /is missing before the seal/],
  ])('%s', (_what, name, key, change, message) => {
    const read = damaged(name, key, change)
    expect(read).toThrow(FormatError)
    expect(read).toThrow(message)
  })

  test('any byte of any segment in use', () => {
    const { folder: copy } = station('unmounted')
    const decoder = new VolumeDecoder(copy)
    const id = decoder.root.tables[0]!.pointer.segment.toString(16).padStart(14, '0')
    const key = `segments/${id.slice(-2)}/${id}`
    const { length } = readFileSync(join(copy, key))
    for (const at of [0, 5, 20, 39, 40, 1000, length >> 1, length - 100, length - 49, length - 40, length - 1])
      expect(
        damaged('unmounted', () => key, flip(at)),
        `byte ${at} of ${length}`,
      ).toThrow(FormatError)
  })

  test('unknown feature bits and newer versions', () => {
    const json = JSON.parse(readFileSync(join(station('unmounted').folder, 'volume.json'), 'utf8')) as object
    const read = (change: object) => () => decodeVolumeJson(Buffer.from(JSON.stringify({ ...json, ...change })))
    expect(read({})).not.toThrow()
    expect(read({ features: { compat: 4, roCompat: 4, incompat: 0 } })).not.toThrow()
    expect(read({ features: { compat: 0, roCompat: 0, incompat: 1 } })).toThrow(FormatError)
    expect(read({ formatVersion: 1 })).toThrow(FormatError)
  })
})

describe('docs/FORMAT.md', () => {
  const page = readFileSync(join(TOP, 'docs/FORMAT.md'), 'utf8')
  /** The byte tables, as `offset size field [signed]` lines by the heading above each. */
  const tables = new Map<string, string[]>()
  let title = ''
  let isByteTable = false
  for (const line of page.split('\n')) {
    const heading = /^#+ (.*)/.exec(line)
    if (heading !== null) title = heading[1]!
    if (line === '| offset | size | field | meaning |') {
      isByteTable = true
      tables.set(title, [])
    } else if (!line.startsWith('|')) isByteTable = false
    else if (isByteTable && !line.startsWith('|---')) {
      const [, offset, size, field, meaning = ''] = line.split('|').map((cell) => cell.trim())
      tables.get(title)?.push(`${offset} ${size} ${field}${meaning.startsWith('signed') ? ' signed' : ''}`)
    }
  }

  test('has exactly the byte tables that the decoder reads by', () => {
    const byDecoder = LAYOUTS.map(({ title: name, fields }) => [
      name,
      fields.map(({ offset, size, name: field, isSigned }) => `${offset} ${size} ${field}${isSigned ? ' signed' : ''}`),
    ])
    expect(Object.fromEntries(tables)).toEqual(Object.fromEntries(byDecoder))
    expect(tables.size).toBeGreaterThan(20)
  })

  test('gives the magic numbers, kinds and versions that the objects begin with', () => {
    const { folder: copy } = station('crashed twice')
    const magics = [...page.matchAll(/\| magic \| `"(.{4})"` \|/g)].map((match) => match[1])
    expect(new Set(magics)).toEqual(new Set(['CRNR', 'CSEG', 'CSGF', 'CRNJ']))
    const found = new Set<string>()
    const objects = readdirSync(copy, { recursive: true, withFileTypes: true, encoding: 'utf8' })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('.cairnfs'))
      .map((entry) => join(entry.parentPath, entry.name))
    for (const path of objects) {
      if (path.endsWith('.json')) continue
      const bytes = readFileSync(path)
      found.add(`${bytes.toString('latin1', 0, 4)} ${bytes[4]} ${bytes[5]}`)
      if (bytes.toString('latin1', 0, 4) === 'CSEG')
        found.add(bytes.toString('latin1', bytes.length - 8, bytes.length - 4))
    }
    expect([...found].sort()).toEqual(['CRNJ 3 1', 'CRNJ 4 1', 'CRNR 1 1', 'CSEG 1 1', 'CSEG 2 1', 'CSGF'])
    for (const path of objects)
      expect(
        keyPatterns.some((pattern) => pattern.test(path.slice(copy.length + 1))),
        path,
      )
  })

  const keyPatterns = [
    /^volume\.json$/,
    /^root$/,
    /^writers\/\d+\.json$/,
    /^journal\/[0-9a-f]{3}\/[0-9a-f]{14}\/[0-9a-f]{14}$/,
    /^segments\/([0-9a-f]{2})\/[0-9a-f]{12}\1$/,
  ]

  test('names every field of the JSON objects', () => {
    const { folder: copy } = station('crashed')
    for (const key of ['volume.json', 'writers/0.json']) {
      const fields = Object.keys(JSON.parse(readFileSync(join(copy, key), 'utf8')) as object)
      for (const field of fields) expect(page, `${key} has ${field}`).toMatch(new RegExp(`\`${field}\``))
    }
  })

  test("gives the checksums' test vectors", () => {
    expect(page).toContain(`crc32c("123456789") = 0x${crc32c(Buffer.from('123456789')).toString(16)}`)
    expect(crc32c(Buffer.alloc(0))).toBe(0)
    const message = Buffer.from(Array.from({ length: 15 }, (_, index) => index))
    const hex = (hash: bigint) => `\`0x${hash.toString(16).padStart(16, '0')}\``
    expect(page).toContain(hex(siphash24(HASH_KEY, message)))
    expect(page).toContain(hex(siphash24(HASH_KEY, Buffer.alloc(0))))
    const readme = Buffer.from('README.md')
    expect(page).toContain(`${hex(siphash24(HASH_KEY, readme))} and the key ${nameKey(HASH_KEY, readme)}`)
  })
})
