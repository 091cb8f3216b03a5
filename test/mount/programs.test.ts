// Ordinary programs on a mounted volume: git, SQLite, cp, rsync, mv, find, du, tar, rm, make with cc, tsc. What they
// print and leave is compared with what they do on the local disk. The long versions are in test/long/.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { MountHarness, shellQuote } from './harness.ts'
import { gitWorks, makeRepository, repositoryIn } from './programs/git.ts'
import {
  differences,
  type Manifest,
  manifestCommand,
  OF_THE_COPY,
  PROGRAMS,
  readManifest,
} from './programs/manifest.ts'
import { transactionsComeBack, transactionsSurviveACrash } from './programs/sqlite.ts'
import { brieflyOn, describeStores, type TestVolume, Volumes } from './volume-fixture.ts'

const NODE_MODULES = join(import.meta.dirname, '../../node_modules')
const TSC = 'node node_modules/typescript/bin/tsc'
const COMMITS = 45
const OBJECTS = 5_000
const TRANSACTIONS = 300
const LONG_MS = 180_000

const scratch = new MountHarness()
const volumes = new Volumes()
let folder: string
let tree: string

beforeAll(async () => {
  folder = scratch.folder()
  tree = join(folder, 'tree')
  await scratch.shell(`python3 ${PROGRAMS}/make-tree.py ${tree} ${NODE_MODULES} 1500`)
  await makeRepository(scratch, repositoryIn(folder), COMMITS)
})
afterEach(() => volumes.cleanUp())
afterAll(() => scratch.cleanUp())

async function manifest(path: string): Promise<Manifest> {
  const out = join(folder, 'manifest')
  await scratch.shell(`${manifestCommand(shellQuote(path))} > ${out}`, { timeoutMs: LONG_MS })
  return readManifest(out)
}

/** Runs a script in a new folder of the local disk and in one of the volume: it must print the same and leave the same,
 *  but for the times; the volume's also after a cold remount. */
async function doesTheSame(volume: TestVolume, script: string): Promise<void> {
  const here = join(folder, 'here')
  const there = join(volume.mountpoint, 'there')
  const env = { TREE: tree, OUTSIDE: join(folder, 'outside'), PROGRAMS, NODE_MODULES }
  const all = `set -e\nexport LC_ALL=C; rm -rf $OUTSIDE; mkdir $OUTSIDE; cd "$DIR"\n${script}\nrm -rf $OUTSIDE`
  await scratch.shell(`rm -rf ${here}; mkdir ${here}`)
  await volume.shell('mkdir there')
  const expected = await scratch.shell(all, { env: { ...env, DIR: here }, timeoutMs: LONG_MS })
  expect(await volume.shell(all, { env: { ...env, DIR: there }, timeoutMs: LONG_MS })).toBe(expected)
  const ignore = [...OF_THE_COPY, 'mtime']
  const left = await manifest(there)
  expect(differences(await manifest(here), left, { ignore })).toEqual([])
  await volume.remountCold()
  expect(differences(left, await manifest(there), { directorySizes: true })).toEqual([])
}

describeStores('programs work', (kind) => {
  test('git clone, fsck and gc of a repository of more than 5,000 objects', async () => {
    const volume = await volumes.create(kind)
    await gitWorks(volume, { repository: repositoryIn(folder), objects: OBJECTS, timeoutMs: LONG_MS })
  })

  test.each(['WAL', 'DELETE'] as const)(
    'SQLite, journal mode %s: committed transactions survive kill -9',
    async (mode) => {
      const volume = await volumes.create(kind)
      const logFolder = join(folder, kind.title.replaceAll(' ', '-'))
      mkdirSync(logFolder, { recursive: true })
      await transactionsSurviveACrash(volume, { mode, after: 60, logFolder })
    },
  )
})

// What they ask for does not depend on the store.
describeStores(
  'programs work',
  (kind) => {
    test.each(['WAL', 'DELETE'] as const)('SQLite, journal mode %s: every transaction comes back', async (mode) => {
      const volume = await volumes.create(kind)
      await transactionsComeBack(volume, { mode, count: TRANSACTIONS, timeoutMs: LONG_MS })
    })

    test('mv, find, du, tar and rm -rf do what they do on the local disk', async () => {
      await doesTheSame(await volumes.create(kind), COMMANDS)
    })

    test('tsc, copied into the volume, compiles a project there', async () => {
      await doesTheSame(await volumes.create(kind), TS_BUILD)
    })
  },
  brieflyOn('a local folder'),
)

describeStores(
  'programs work',
  (kind) => {
    test('cp -a copies within the volume, and out of it again', async () => {
      const volume = await volumes.create(kind)
      await volume.shell(`cp -a ${tree} one; cp -a one two; cp -a two ${folder}/out`, { timeoutMs: LONG_MS })
      const original = await manifest(tree)
      const ignore = OF_THE_COPY
      expect(differences(original, await manifest(join(volume.mountpoint, 'two')), { ignore })).toEqual([])
      expect(differences(original, await manifest(join(folder, 'out')), { ignore })).toEqual([])
      await scratch.shell(`rm -rf ${folder}/out`)
    })

    test('rsync -a: a second run itemizes nothing, also after a cold remount', async () => {
      const volume = await volumes.create(kind)
      const first = await volume.shell(`rsync -aiHS ${tree}/ copy/`, { timeoutMs: LONG_MS })
      expect(first.split('\n').length).toBeGreaterThan(1500)
      expect(await volume.shell(`rsync -aiHS ${tree}/ copy/`)).toBe('')
      await volume.remountCold()
      expect(await volume.shell(`rsync -aiHS ${tree}/ copy/`)).toBe('')
      // By contents, and the other way round.
      expect(await volume.shell(`rsync -aiHSc --delete ${tree}/ copy/; rsync -aiHSc --delete copy/ ${tree}/`)).toBe('')
      expect(
        differences(await manifest(tree), await manifest(join(volume.mountpoint, 'copy')), { ignore: OF_THE_COPY }),
      ).toEqual([])
      // What changes is noticed, and only that.
      await volume.shell('printf X >> copy/planted/one-byte')
      expect(await volume.shell(`rsync -ai ${tree}/ copy/`)).toMatch(/^\S+ planted\/one-byte\n$/)
    })

    test('make and cc build static and shared programs that run, and rebuild what changed', async () => {
      await doesTheSame(await volumes.create(kind), C_BUILD)
    })
  },
  brieflyOn('MinIO'),
)

/** Fails where a command that must not work does. */
const FAILS = 'fails() { if "$@" 2>> $OUTSIDE/errors; then echo "$* did not fail"; exit 1; fi; }'

const COMMANDS = `${FAILS}
cp -a $TREE tree
# find
find tree | sort | sha256sum
find tree -type f -perm -4000 -printf '%p %m\\n' | sort
find tree -type f -links +1 -printf '%p %n\\n' | sort
find tree -size +20k -name '*.js' | sort | sha256sum
find tree -empty | sort | sha256sum
find tree -uid 12345 | sort
find tree ! -newermt 2000-01-01 | sort
find tree -type d -links 2 | sort | sha256sum
find tree -name symlink-long -prune -o -xtype l -print | sort
# du, which counts a file with several names once
find tree ! -type d -print0 | sort -z | du -b --files0-from=- | sha256sum
[ $(du -sk tree | cut -f1) -gt 20000 ]; [ $(du -sk tree | cut -f1) -lt 80000 ]
[ $(du -k tree/planted/sparse | cut -f1) -lt 300 ]
# mv: within a directory, between directories, over what is there, directories, out and back in
mkdir -p a/b c; echo 1 > a/one; echo 2 > a/two; echo 3 > c/two
mv a/one a/uno; mv a/uno c; mv -f a/two c/two; cat c/uno c/two; find a c | sort
mv -n c/uno c/two; cat c/two
mv tree/generated c/moved; mv -T c/moved a/b; ls a/b | sort
fails mv a a/b/below; fails mv -T c a; fails mv c/two a/b/nowhere/
mv tree/planted $OUTSIDE/planted; mv $OUTSIDE/planted c/planted; stat -c '%n %a %u:%g %h %y' c/planted/foreign* c/planted/three
for i in $(seq 200); do echo $i > c/new; mv -f c/new c/current; [ "$(cat c/current)" = $i ]; done
# tar, to a file in the volume, compared with what it was made from, and unpacked again
tar -cf t.tar --format=posix --sort=name --warning=no-timestamp c tree; tar -tf t.tar | sort | sha256sum; tar -df t.tar --warning=no-timestamp
tar -czf t.tgz a; mkdir unpacked; tar -xzf t.tgz -C unpacked; diff -r a unpacked/a; rm t.tar t.tgz
# rm -rf
cp -a tree doomed; chmod 000 doomed/real; rm -rf doomed; fails ls doomed
rm -rf unpacked tree; ls -A | sort; fails rmdir c; mkdir -p e/f/g; rmdir -p e/f/g; ls -A | sort
# files that are open while they are unlinked, or replaced
exec 5<> c/open; echo text >&5; rm c/open; cat /proc/self/fd/5; exec 5>&-
echo old > c/target; exec 6< c/target; echo new > c/source; mv c/source c/target; cat <&6; exec 6<&-; cat c/target
`

const C_BUILD = `
bash $PROGRAMS/make-c-project.sh
make -s -j2; ./bin/static; ./bin/shared
make -q && echo 'nothing to do'
for i in 1 2 3; do sleep 0.01; touch src/m5.c; make | wc -l; done
make -q && echo 'nothing to do'
echo 'int f13(int x) { return x; }' >> src/m12.c; make -s; ./bin/static; ./bin/shared
rm -rf obj bin; make -s; ./bin/shared; rm -rf obj bin
`

const TS_BUILD = `
bash $PROGRAMS/make-ts-project.sh $NODE_MODULES
${TSC} -p .; node out/main.js; find out -name '*.js' | sort
echo 'export const wrong: string = 1' > src/wrong.ts; if ${TSC} -p . ; then exit 1; fi; rm src/wrong.ts
echo 'export const more = 1' >> src/m30.ts; ${TSC} -p .; node out/main.js
rm -rf node_modules
`
