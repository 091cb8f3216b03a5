// Case-insensitive directories: what chattr(1) +F of ext4 does, and what the kernel may cache of them.
import { beforeEach, describe, expect, test } from 'vitest'
import { CASEFOLD_FLAG } from '../../src/meta/index.ts'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { checkConsistency } from './consistency.ts'
import { bytes, CALLER, errnoOf, mount, Paths, type World } from './world.ts'

const TTL_SEC = 3600
const RENAME_NOREPLACE = 1
const O_CREAT_EXCL = 0o301
let world: World
let paths: Paths
let gone: string[]

async function fold(path: string): Promise<void> {
  await paths.at(path, (ino) => world.fs.setFlags!(CALLER, ino, CASEFOLD_FLAG))
}

const flagsOf = (path: string) => paths.at(path, (ino) => world.fs.getFlags!(ino))

async function entry(path: string) {
  const found = await paths.in(path, (parent, name) => world.fs.lookup(CALLER, parent, name))
  world.fs.forget(found.attributes.ino, 1)
  return found
}

beforeEach(async () => {
  gone = []
  world = await mount({
    onNameGone: (parent, name) => {
      gone.push(`${parent}/${name}`)
    },
  })
  paths = new Paths(world.fs)
  await paths.mkdir('/d')
  await fold('/d')
  gone = []
})

describe('the flag', () => {
  test('is shown, inherited by directories and by nothing else', async () => {
    await paths.mkdir('/d/Sub')
    await paths.write('/d/file', '')
    expect(await flagsOf('/d')).toBe(CASEFOLD_FLAG)
    expect(await flagsOf('/d/sub')).toBe(CASEFOLD_FLAG)
    expect(await flagsOf('/d/file')).toBe(0)
    expect(await flagsOf('/')).toBe(0)
  })

  test('can be set and taken away while a directory is empty: ENOTEMPTY, ENOTDIR, EOPNOTSUPP', async () => {
    await paths.write('/d/file', '')
    const set = (path: string, flags: number) =>
      errnoOf(() => paths.at(path, (ino) => world.fs.setFlags!(CALLER, ino, flags)))
    expect(await set('/d', 0)).toBe('ENOTEMPTY')
    expect(await set('/d', CASEFOLD_FLAG), 'nothing changes').toBe('none')
    expect(await set('/d/file', CASEFOLD_FLAG)).toBe('ENOTDIR')
    expect(await set('/d', CASEFOLD_FLAG | 0x4)).toBe('EOPNOTSUPP')
    await paths.unlink('/d/file')
    expect(await set('/d', 0)).toBe('none')
    await paths.write('/d/A', 'upper')
    await paths.write('/d/a', 'lower')
    expect(await paths.text('/d/A')).toBe('upper')
  })

  test('has the kernel forget what was absent, before whoever set it is answered', async () => {
    await paths.mkdir('/d/sub')
    const sub = await paths.at('/d/sub', async (ino) => {
      await world.fs.setFlags!(CALLER, ino, 0)
      await world.fs.setFlags!(CALLER, ino, 0)
      expect(gone, 'nothing folds that did not').toEqual([])
      await world.fs.setFlags!(CALLER, ino, CASEFOLD_FLAG)
      return ino
    })
    expect(sub).toBeGreaterThan(ROOT_INO)
    expect(gone).toEqual([`${(await paths.stat('/d')).ino}/sub`])

    let tell = () => {}
    const waiting = await mount({
      onNameGone: (parent, name) => {
        gone.push(`${parent}/${name}`)
        return new Promise<void>((resolve) => (tell = resolve))
      },
    })
    let isAnswered = false
    // At the root no name can stand for it.
    const answered = Promise.resolve(waiting.fs.setFlags!(CALLER, ROOT_INO, CASEFOLD_FLAG))
    void answered.then(() => (isAnswered = true))
    await Promise.resolve()
    expect([gone.at(-1), isAnswered]).toEqual([`${ROOT_INO}/null`, false])
    tell()
    await answered
  })

  test('stays over checkpoints, crashes and mounts, at the root too', async () => {
    await paths.write('/d/File', 'x')
    await world.fs.sync()
    await world.abandon()
    const second = await mount({ store: world.store })
    expect(await new Paths(second.fs).text('/d/fILE')).toBe('x')
    await second.unmount()
    const third = await mount({ store: world.store })
    expect(await new Paths(third.fs).text('/D/fILE').catch(() => 'the root does not fold')).toBe(
      'the root does not fold',
    )
    expect(await new Paths(third.fs).text('/d/fILE')).toBe('x')
    await third.unmount()

    const folded = await mount({ casefold: true })
    await new Paths(folded.fs).write('/Top', 'y')
    expect(await new Paths(folded.fs).text('/tOP')).toBe('y')
  })
})

describe('a name', () => {
  test('is found under any spelling, and keeps the one it was given', async () => {
    await paths.write('/d/Straße.TXT', 'x')
    for (const spelling of ['Straße.TXT', 'STRASSE.txt', 'strasse.txt', 'STRA\u1E9EE.TXT'])
      expect(await paths.text(`/d/${spelling}`), spelling).toBe('x')
    expect(await paths.list('/d')).toEqual(['Straße.TXT'])
  })

  test('is one with all that fold alike: EEXIST, also for mkdir, symlink, link', async () => {
    await paths.write('/d/Name', '')
    await paths.write('/other', '')
    expect(
      await errnoOf(() =>
        paths.in('/d/NAME', (parent, name) => world.fs.create(CALLER, parent, name, 0o644, { flags: O_CREAT_EXCL })),
      ),
    ).toBe('EEXIST')
    expect(await errnoOf(() => paths.mkdir('/d/NAME'))).toBe('EEXIST')
    expect(await errnoOf(() => paths.symlink('/d/NAME', 't'))).toBe('EEXIST')
    expect(await errnoOf(() => paths.link('/other', '/d/NAME'))).toBe('EEXIST')
    expect(await errnoOf(() => paths.rename('/other', '/d/NAME', RENAME_NOREPLACE))).toBe('EEXIST')
  })

  test('that is not UTF-8 has one spelling', async () => {
    const { ino } = await paths.stat('/d')
    const latin = Buffer.from([0x47, 0xfc])
    await world.fs.mknod(CALLER, ino, latin, 0o100644, 0)
    expect(await errnoOf(() => world.fs.lookup(CALLER, ino, latin))).toBe('none')
    expect(await errnoOf(() => world.fs.lookup(CALLER, ino, Buffer.from([0x67, 0xfc])))).toBe('ENOENT')
  })

  test('opened by O_CREAT under another spelling is the same file', async () => {
    await paths.write('/d/Name', 'first')
    await paths.write('/d/NAME', 'second')
    expect(await paths.list('/d')).toEqual(['Name'])
    expect(await paths.text('/d/name')).toBe('second')
  })

  test('is removed under any spelling', async () => {
    await paths.write('/d/File', '')
    await paths.mkdir('/d/Dir')
    await paths.unlink('/d/FILE')
    await paths.rmdir('/d/DIR')
    expect(await paths.list('/d')).toEqual([])
  })
})

describe('rename', () => {
  test('to another spelling of the same name changes the spelling alone', async () => {
    await paths.write('/d/readme', 'x')
    const { ino } = await paths.stat('/d/readme')
    await paths.rename('/d/ReadMe', '/d/README')
    expect(await paths.list('/d')).toEqual(['README'])
    expect((await paths.stat('/d/readme')).ino).toBe(ino)
    await paths.rename('/d/README', '/d/README')
    expect(gone, 'the old spelling, once').toEqual([`${(await paths.stat('/d')).ino}/readme`])
  })

  test('of a directory to another spelling keeps links and what is in it', async () => {
    await paths.mkdir('/d/sub')
    await paths.write('/d/sub/f', 'x')
    await paths.rename('/d/sub', '/d/SUB')
    expect(await paths.text('/d/Sub/F')).toBe('x')
    expect((await paths.stat('/d')).nlink).toBe(3)
  })

  test('onto another spelling of another file replaces it', async () => {
    await paths.write('/d/Target', 'old')
    await paths.write('/d/source', 'new')
    await paths.rename('/d/source', '/d/TARGET')
    expect(await paths.list('/d')).toEqual(['TARGET'])
    expect(await paths.text('/d/target')).toBe('new')
  })

  test('between directories that fold and that do not', async () => {
    await paths.write('/Name', 'x')
    await paths.rename('/Name', '/d/Name')
    expect(await paths.text('/d/NAME')).toBe('x')
    await paths.rename('/d/NAME', '/name')
    expect(await paths.text('/name')).toBe('x')
    expect(await paths.list('/d')).toEqual([])
  })

  test('onto a hard link of the same file does nothing', async () => {
    await paths.write('/d/One', 'x')
    await paths.link('/d/one', '/d/Two')
    await paths.rename('/d/ONE', '/d/TWO')
    expect((await paths.list('/d')).sort()).toEqual(['One', 'Two'])
  })
})

describe('what the kernel may cache', () => {
  test('is the stored spelling alone; other spellings and absent names are asked for each time', async () => {
    await paths.write('/d/Name', '')
    expect((await entry('/d/Name')).entryTtlSec).toBe(TTL_SEC)
    expect((await entry('/d/NAME')).entryTtlSec).toBe(0)
    const { ino } = await paths.stat('/d')
    await errnoOf(() => world.fs.lookup(CALLER, ino, bytes('absent')))
    expect(world.fs.negativeTtlSec(ino)).toBe(0)
    expect(world.fs.negativeTtlSec(ROOT_INO)).toBe(TTL_SEC)
    const created = await paths.in('/d/nAME', (parent, name) =>
      world.fs.create(CALLER, parent, name, 0o644, { flags: 1 }),
    )
    expect(created.entry.entryTtlSec).toBe(0)
  })

  test('is taken back when the name goes by another spelling, and only then', async () => {
    const { ino } = await paths.stat('/d')
    for (const name of ['a', 'b', 'c', 'E']) await paths.write(`/d/${name}`, '')
    await paths.mkdir('/d/Dir')
    await paths.unlink('/d/a')
    await paths.rename('/d/b', '/d/bb')
    expect(gone).toEqual([])
    await paths.unlink('/d/C')
    await paths.rmdir('/d/DIR')
    await paths.rename('/d/BB', '/d/e')
    expect(gone).toEqual([`${ino}/c`, `${ino}/Dir`, `${ino}/bb`, `${ino}/E`])
  })
})

describe('until the kernel has forgotten a name that went by another spelling', () => {
  /** Tells it. */
  let tell: () => void

  beforeEach(async () => {
    const options = { onNameGone: () => new Promise<void>((resolve) => (tell = resolve)) }
    world = await mount(options)
    paths = new Paths(world.fs)
    await paths.mkdir('/d')
    await fold('/d')
    await paths.write('/d/Name', 'x')
  })

  /** Does `change` while the kernel knows the file, and says what the file's opener gets, and when. */
  async function openedMeanwhile(change: () => Promise<unknown>, open: (ino: Ino) => Promise<unknown> | unknown) {
    const found = await paths.in('/d/Name', (parent, name) => world.fs.lookup(CALLER, parent, name))
    const { ino } = found.attributes
    await change()
    let isAnswered = false
    const opening = errnoOf(() => open(ino)).finally(() => (isAnswered = true))
    await world.clock.yield()
    const waits = !isAnswered
    tell()
    const first = await opening
    const second = await errnoOf(() => open(ino))
    world.fs.forget(ino, 1)
    return { waits, first, second }
  }
  const open = (ino: Ino) => world.fs.open(CALLER, ino, { flags: 1 })

  test('a file that was renamed is opened anew by its name, once the kernel has', async () => {
    const renamed = await openedMeanwhile(() => paths.rename('/d/NAME', '/d/other'), open)
    expect(renamed).toEqual({ waits: true, first: 'ESTALE', second: 'none' })
  })

  test('a file that was removed, or replaced, is opened no more, but by who has it open', async () => {
    const stale = { waits: true, first: 'ESTALE', second: 'ESTALE' }
    expect(await openedMeanwhile(() => paths.unlink('/d/NAME'), open)).toEqual(stale)
    await paths.write('/d/Name', 'x')
    await paths.write('/d/new', 'y')
    expect(await openedMeanwhile(() => paths.rename('/d/new', '/d/NAME'), open)).toEqual(stale)
    expect(await paths.text('/d/name')).toBe('y')
    await paths.unlink('/d/name')
    await paths.write('/d/Name', 'x')
    const holding = async () => {
      const { attributes } = await entry('/d/Name')
      await world.fs.open(CALLER, attributes.ino, { flags: 0 })
      await paths.unlink('/d/NAME')
    }
    expect(await openedMeanwhile(holding, open)).toEqual({ ...stale, second: 'none' })
  })

  test('set-ID bits of a file that cannot be opened any more stay', async () => {
    const dropSetId = (ino: Ino) => world.fs.dropSetId(ino, { isByName: true })
    const rename = () => paths.rename('/d/NAME', '/d/other')
    await paths.at('/d/Name', (ino) => world.fs.setattr(CALLER, ino, { mode: 0o6755 }))
    const modes: number[] = []
    const stale = await openedMeanwhile(rename, async (ino) => {
      try {
        await dropSetId(ino)
      } finally {
        modes.push((await world.fs.getattr(ino)).attributes.mode & 0o7777)
      }
    })
    expect(stale).toEqual({ waits: true, first: 'ESTALE', second: 'none' })
    expect(modes).toEqual([0o6755, 0o755])
  })

  test('truncation by name waits too, by handle and of other files it does not', async () => {
    const truncate = (ino: Ino) => world.fs.setattr(CALLER, ino, { sizeBytes: 0 })
    const rename = () => paths.rename('/d/NAME', '/d/other')
    expect(await openedMeanwhile(rename, truncate)).toEqual({ waits: true, first: 'ESTALE', second: 'none' })
    await paths.write('/d/Name', 'x')
    await paths.unlink('/d/NAME')
    await paths.write('/d/third', 'x')
    await paths.at('/d/third', async (ino) => {
      expect(await errnoOf(() => open(ino))).toBe('none')
      expect(await errnoOf(() => truncate(ino))).toBe('none')
    })
  })

  test('who changed the directory and looks at it is answered when it has, others at once', async () => {
    const { ino } = await paths.stat('/d')
    await paths.unlink('/d/NAME')
    let isAnswered = false
    const other = { ...CALLER, pid: CALLER.pid + 1 }
    expect((await world.fs.getattr(ino, undefined, other)).attributes.ino).toBe(ino)
    const looking = Promise.resolve(world.fs.getattr(ino, undefined, CALLER)).then(() => (isAnswered = true))
    await Promise.resolve()
    expect(isAnswered).toBe(false)
    tell()
    await looking
    expect((await world.fs.getattr(ino, undefined, CALLER)).attributes.ino).toBe(ino)
  })
})

test('names that fold alike collide in no table, and the tables are consistent', async () => {
  const { ino } = await paths.stat('/d')
  for (let number = 0; number < 500; number++) {
    const name = `File-${number}-ÄÖÜ`
    await paths.write(`/d/${number % 2 === 0 ? name : name.toLowerCase()}`, String(number))
  }
  await world.fs.checkpointNow()
  for (let number = 0; number < 500; number += 7)
    expect(await paths.text(`/d/${`fILE-${number}-ÄöÜ`}`)).toBe(String(number))
  expect(await paths.list('/d')).toHaveLength(500)
  expect(ino as Ino).toBeGreaterThan(ROOT_INO)
  await world.fs.sync()
  await checkConsistency(world.database)
})
