// git on a volume: a repository of a given number of commits, cloned, unpacked into single objects, checked and packed
// again, through a cold remount.
import { join } from 'node:path'
import { expect } from 'vitest'
import type { MountHarness } from '../harness.ts'
import type { TestVolume } from '../volume-fixture.ts'
import { PROGRAMS } from './manifest.ts'

/** Nothing of the user's configuration, and no maintenance but what is asked for. */
const GIT_ENV = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@example.org',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@example.org',
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'gc.auto',
  GIT_CONFIG_VALUE_0: '0',
  GIT_CONFIG_KEY_1: 'safe.directory',
  GIT_CONFIG_VALUE_1: '*',
}

/** Makes the repository `path`, outside the mount. */
export async function makeRepository(scratch: MountHarness, path: string, commits: number): Promise<void> {
  const script = `set -e; git init -q --bare --initial-branch=main ${path}; cd ${path}
    python3 ${PROGRAMS}/make-repository.py ${commits} | git fast-import --quiet`
  await scratch.shell(script, { env: GIT_ENV })
}

export async function gitWorks(
  volume: TestVolume,
  { repository, objects, timeoutMs }: { repository: string; objects: number; timeoutMs: number },
): Promise<void> {
  const git = (script: string) => volume.shell(script, { env: GIT_ENV, timeoutMs })

  await git(`git clone -q file://${repository} clone; cd clone; git fsck --full --strict`)
  expect(await git('git -C clone status --porcelain')).toBe('')
  const head = await git('git -C clone rev-parse HEAD')
  const tree = await git('git -C clone rev-parse HEAD^{tree}')

  // Every object in a file of its own, as commits leave them.
  await git(`git init -q --bare --initial-branch=main loose; cd loose; cat ${repository}/objects/pack/*.pack | git unpack-objects -q
    git update-ref refs/heads/main ${head.trim()}`)
  expect(await looseObjects(git)).toBeGreaterThanOrEqual(objects)
  await git('git -C loose fsck --full --strict')
  await git('git -C loose gc -q --prune=now')
  expect(await looseObjects(git)).toBe(0)
  await git('git -C loose fsck --full --strict')

  await git(`cd clone; git checkout -q -b work; for i in $(seq 20); do echo $i >> part-00/file-001.txt; git commit -q -a -m "$i"; done
    git gc -q --prune=now; git checkout -q main`)

  await volume.remountCold()
  await git('git -C clone fsck --full --strict; git -C loose fsck --full --strict')
  expect(await git('git -C clone status --porcelain')).toBe('')
  expect(await git('git -C clone rev-parse main')).toBe(head)
  expect(await git('git -C loose rev-parse main^{tree}')).toBe(tree)
  expect(await git('git -C clone rev-list --count main..work')).toBe('20\n')
}

async function looseObjects(git: (script: string) => Promise<string>): Promise<number> {
  return Number(/^count: (\d+)$/m.exec(await git('git -C loose count-objects -v'))?.[1])
}

/** Where `makeRepository` puts it, in `folder`. */
export function repositoryIn(folder: string): string {
  return join(folder, 'repository.git')
}
