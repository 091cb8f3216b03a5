// In simulated worlds, at whatever moment `root` is lost, or an old one takes its place: fsck finds no other damage than
// that, and mends it; the tree is then what a mount would have found had nothing happened to `root`.
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { explore } from '../simulation/explore.ts'
import { play } from '../simulation/world.ts'
import { damages, FsckWorld } from './fsck-world.ts'

const SEEDS = Number(process.env.CAIRNFS_TEST_SEEDS ?? 10)

async function worldOf(objects: ReadonlyMap<string, { body: Buffer }>): Promise<FsckWorld> {
  const world = new FsckWorld()
  for (const [key, { body }] of objects) await world.store.put(key, [body])
  return world
}

/** Everything in the tree, a line for each inode. */
async function treeOf(world: FsckWorld): Promise<string[]> {
  const { fs, volume } = await world.mount()
  const { inodes, files } = await explore(fs, false)
  await volume.close()
  return [...inodes.values()].map(({ names, ...inode }) => {
    const file = files.get(inode.ino)
    const content = file === undefined ? '' : `${file.shown} ${createHash('sha1').update(file.content).digest('hex')}`
    return `${JSON.stringify(inode)} ${JSON.stringify([...names].sort())} ${content}`
  })
}

test(`a volume whose root is lost or old is mended wholly (${SEEDS} seeds)`, async () => {
  let old = 0
  let looks = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const roots: Buffer[] = []
    const onMount = async (objects: ReadonlyMap<string, { body: Buffer }>) => {
      const expected = await treeOf(await worldOf(objects))
      const older = roots[(seed + looks) % Math.max(1, roots.length)]
      for (const how of ['lost-root', 'lost-slot', 'stale-root'] as const) {
        const where = `seed ${seed}, ${how}`
        const world = await worldOf(objects)
        if (how !== 'stale-root') await world.store.delete(['root'])
        else if (older !== undefined) await world.store.put('root', [older])
        if (how === 'lost-slot') await world.store.delete(['writers/0.json'])
        const found = damages(await world.check()).map((damage) => JSON.stringify(damage))
        expect(
          found.filter((damage) => !/lost-root|stale-root|lost-slot/.test(damage)),
          where,
        ).toEqual([])
        if (how !== 'stale-root') expect(found.join(), where).toContain(how)
        else if (found.length > 0) old++
        looks++
        await world.repair()
        expect(damages(await world.check()), `${where}, mended`).toEqual([])
        expect(await treeOf(world), `${where}, mended`).toEqual(expected)
      }
      roots.push(objects.get('root')!.body)
    }
    await play({ seed, disk: seed % 4 === 0, onMount })
  }
  expect(looks).toBeGreaterThan(SEEDS * 3)
  expect(old).toBeGreaterThan(SEEDS / 2)
}, 600_000)
