// A real tree of more than 10,000 files, with one of everything that a copy can lose, goes in and comes back the same
// from a volume that a new daemon mounted with nothing cached.
//
// Must stay true: the manifests that are compared are made in child processes; what they notice is itself tested here.
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { MountHarness, shellQuote } from './harness.ts'
import {
  differences,
  type Manifest,
  manifestCommand,
  OF_THE_COPY,
  PROGRAMS,
  readManifest,
} from './programs/manifest.ts'
import {
  brieflyOn,
  describeStores,
  isFull,
  STORE_KINDS,
  type StoreKind,
  type TestVolume,
  Volumes,
} from './volume-fixture.ts'

const FILES = 10_500
/** Through fuse-native, which is slow. */
const FILES_BRIEFLY = 3000
const REAL = join(import.meta.dirname, '../../node_modules')
/** Under the load of others; alone it takes seconds. */
const COPY_MS = 240_000

const scratch = new MountHarness()
const volumes = new Volumes()
let folder: string
let source: string

beforeAll(async () => {
  folder = scratch.folder()
  source = join(folder, 'tree')
  await scratch.shell(`python3 ${PROGRAMS}/make-tree.py ${source} ${REAL} ${FILES}`, { timeoutMs: COPY_MS })
})
afterEach(() => volumes.cleanUp())
afterAll(() => scratch.cleanUp())

/** The manifest of a tree, made by a child process. */
async function manifest(path: string): Promise<Manifest> {
  const out = join(folder, 'manifest')
  await scratch.shell(`${manifestCommand(shellQuote(path))} > ${out}`, { timeoutMs: COPY_MS })
  return readManifest(out)
}

/** A copy that is made in a new volume is the same as the tree, and again from a cold mount. */
async function comesBack(kind: StoreKind, copy: (volume: TestVolume) => Promise<unknown>): Promise<void> {
  const original = await manifest(source)
  expect([...original.values()].filter((fields) => fields.get('type') === 'file').length).toBeGreaterThan(10_000)

  const volume = await volumes.create(kind)
  await copy(volume)
  await staysTheSame(volume, original)
}

/** The volume's tree is the same as the original, and again from a cold mount. Returns it. */
async function staysTheSame(volume: TestVolume, original: Manifest): Promise<Manifest> {
  const target = join(volume.mountpoint, 'tree')
  const before = await manifest(target)
  expect(differences(original, before, { ignore: OF_THE_COPY })).toEqual([])
  expect(holesKept(before)).toBe(true)

  await volume.remountCold()
  // Inode numbers, blocks and the times of change and access too: nothing but the daemon has changed.
  expect(differences(before, await manifest(target), { directorySizes: true })).toEqual([])
  return before
}

const THE_SAME = 'a tree of more than 10,000 files is the same after unmount and cold remount'

describeStores(
  THE_SAME,
  (kind) => {
    test('copied by cp -a', () =>
      comesBack(kind, (volume) => volume.shell(`cp -a ${source} tree`, { timeoutMs: COPY_MS })))
  },
  brieflyOn('a local folder'),
)

describeStores(
  THE_SAME,
  (kind) => {
    test('unpacked by tar', () =>
      comesBack(kind, (volume) =>
        volume.shell(
          `mkdir tree; tar -C ${source} --format=posix --sparse -cf - . | tar -C tree --numeric-owner -xpf - --warning=no-timestamp`,
          { timeoutMs: COPY_MS },
        ),
      ))
  },
  brieflyOn('MinIO'),
)

/** fuse-native carries names as text and times in milliseconds from 1970 on: what is left of the tree must be the same. */
describeStores(
  'through fuse-native, what is left of the tree is the same after unmount and cold remount',
  (kind) => {
    test('copied by cp -a', async () => {
      const utf8 = join(folder, 'utf8')
      const make = `python3 ${PROGRAMS}/make-tree.py ${utf8} ${REAL} ${isFull ? FILES : FILES_BRIEFLY}`
      await scratch.shell(`${make}; python3 ${PROGRAMS}/only-utf8.py ${utf8}`, { timeoutMs: COPY_MS })
      const original = inMilliseconds(await manifest(utf8))
      const volume = await volumes.create(kind, { mount: ['--binding', 'fuse-native'] })
      await volume.shell(`cp -a ${utf8} tree`, { timeoutMs: COPY_MS })
      const before = await staysTheSame(volume, original)
      // And the other binding shows the same, but for what is too fine for this one.
      await volume.unmount()
      await volume.mount(['--binding', 'kernel'])
      const others = inMilliseconds(await manifest(join(volume.mountpoint, 'tree')))
      const ignore = ['atime', 'ctime']
      expect(differences(inMilliseconds(before), others, { directorySizes: true, ignore })).toEqual([])
    })
  },
  STORE_KINDS.slice(0, 1),
)

/** Times as fuse-native has them. */
function inMilliseconds(tree: Manifest): Manifest {
  const cut = (ns: string) =>
    ns.startsWith('-') ? '0' : `${ns.length > 6 ? ns.slice(0, -6) : ''}000000`.replace(/^0+$/, '0')
  return new Map([...tree].map(([path, fields]) => [path, new Map([...fields, ['mtime', cut(fields.get('mtime')!)]])]))
}

/** Holes take no blocks: of 64 MiB with three islands of data, and of 32 MiB without any. */
function holesKept(tree: Manifest): boolean {
  const bytes = (path: string) => Number(tree.get(path)?.get('blocks')) * 512
  return bytes('planted/sparse') < 300_000 && bytes('planted/only-a-hole') < 100_000
}

/** A change, and the entry and field in which it must be noticed. */
const CHANGES: [what: string, script: string, noticed: RegExp][] = [
  ['a byte', `printf XY | dd of=planted/large-20MB bs=1 seek=12345678 conv=notrunc`, /^planted\/large-20MB: sha256 /],
  [
    'a byte in a hole',
    `printf X | dd of=planted/only-a-hole bs=1 seek=123456 conv=notrunc`,
    /^planted\/only-a-hole: sha256 /,
  ],
  [
    'a nanosecond',
    `touch -d @1234567890.123456788 planted/mtime-1234567890123456789`,
    /^planted\/mtime-1.*: mtime is .*88, not .*89/,
  ],
  ["a directory's time", `touch -d @5 planted/dir-$'\\xff'`, /^planted\/dir-\\udcff: mtime /],
  ["a symlink's time", `touch -h -d @5 planted/symlink-dangling`, /^planted\/symlink-dangling: mtime /],
  ['a mode', `chmod 0755 planted/mode-4755`, /^planted\/mode-4755: mode is 0755, not 4755/],
  ['an owner', `chown 12346 planted/foreign`, /^planted\/foreign: uid is 12346, not 12345/],
  ['a group', `chgrp 54320 planted/foreign`, /^planted\/foreign: gid is 54320, not 54321/],
  ["a symlink's owner", `chown -h 0 planted/symlink-relative`, /^planted\/symlink-relative: uid is 0, not 12345/],
  ['a target', `ln -sfn links/two planted/symlink-up`, /^planted\/symlink-up: target is links\/two, not /],
  ['a hard link that became a copy', `cp -p planted/three t; mv t planted/three`, /^planted\/three: nlink is 1, not 3/],
  ['a missing empty directory', `rmdir planted/empty/sibling`, /^planted\/empty\/sibling: missing/],
  ['a new name', `touch planted/new`, /^planted\/new: should not be there/],
  ['a name that is not UTF-8', `mv planted/$'\\x80' planted/$'\\x81'`, /^planted\/\\udc80: missing/],
  ['another kind', `rm planted/fifo; touch planted/fifo`, /^planted\/fifo: type is file, not fifo/],
]

test('the comparison notices every kind of change', async () => {
  const small = join(folder, 'small')
  const copy = join(folder, 'copy')
  await scratch.shell(`python3 ${PROGRAMS}/make-tree.py ${small} ${REAL} 300; cp -a ${small} ${copy}`)
  const original = await manifest(small)
  expect(differences(original, await manifest(copy), { ignore: OF_THE_COPY })).toEqual([])
  await scratch.shell(`set -e\n${CHANGES.map(([, script]) => script).join('\n')}`, { cwd: copy })
  const found = differences(original, await manifest(copy), { ignore: OF_THE_COPY, limit: 1000 })
  for (const [what, , noticed] of CHANGES) {
    expect(
      found.some((line) => noticed.test(line)),
      `${what}: ${found.join('; ')}`,
    ).toBe(true)
  }
})
