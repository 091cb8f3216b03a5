// Paths of a binding that knows no inodes: where they lead, and that every reference is given back.
import { expect, test } from 'vitest'
import { NativePaths } from '../../src/fuse/native-paths.ts'
import { type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { MemoryFilesystem } from './memory-filesystem.ts'

const CALLER = { uid: 0, gid: 0, pid: 0 }
const ALL_OPEN = () => true

function setUp() {
  const fs = new MemoryFilesystem(() => ({ sec: 1, nsec: 0 }))
  const paths = new NativePaths(fs, CALLER)
  const make = async (path: string, mode = 0o100644) =>
    paths.inParent(path, async (parent, name) => {
      const made = mode >= 0o100000 ? fs.mknod(CALLER, parent, name, mode, 0) : fs.mkdir(CALLER, parent, name, mode)
      const { ino } = (await made).attributes
      fs.forget(ino, 1)
      return ino
    })
  const directory = (path: string) => make(path, 0o755)
  const inoAt = (path: string) => paths.at(path, ({ ino }) => ino)
  /** Nothing is held but what has a name. */
  const allGone = async (names: string[]) => {
    for (const path of names) await paths.unlink(path)
    paths.forgetDirectories()
    expect(paths.held).toBe(0)
    expect(fs.violations).toEqual([])
  }
  return { fs, paths, make, directory, inoAt, allGone }
}

test('a path leads to its inode, wherever it was renamed to', async () => {
  const { fs, paths, make, directory, inoAt, allGone } = setUp()
  await directory('/a')
  await directory('/a/b')
  const ino = await make('/a/b/f')
  expect(await inoAt('/')).toBe(ROOT_INO)
  expect(await inoAt('/a/b/f')).toBe(ino)
  expect(paths.held).toBe(2)
  await paths.rename('/a', '/c', () => false)
  expect(await inoAt('/c/b/f')).toBe(ino)
  await expect(inoAt('/a/b/f')).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(inoAt('/c/b/f/g')).rejects.toMatchObject({ code: 'ENOTDIR' })
  await allGone(['/c/b/f'])
  await paths.rmdir('/c/b')
  await paths.rmdir('/c')
  await allGone([])
  expect(fs.inodeCount).toBe(1)
})

test('of many directories the least recently used are forgotten', async () => {
  const { fs, paths, directory, inoAt, allGone } = setUp()
  for (let i = 0; i < 1100; i++) await directory(`/${i}`)
  for (let i = 0; i < 1100; i++) await expect(inoAt(`/${i}/x`)).rejects.toMatchObject({ code: 'ENOENT' })
  expect(paths.held).toBe(1000)
  await allGone([])
  for (let i = 0; i < 1100; i++) await paths.rmdir(`/${i}`)
  expect(fs.inodeCount).toBe(1)
})

test('a directory that is renamed under an operation stays until that ends', async () => {
  const { fs, paths, directory, make, allGone } = setUp()
  await directory('/a')
  await paths.inParent('/a/f', async (parent) => {
    await paths.rename('/a', '/b', () => false)
    await paths.rmdir('/b')
    expect(fs.inodeCount).toBe(2)
    expect((await fs.getattr(parent)).attributes.nlink).toBe(0)
  })
  expect(fs.inodeCount).toBe(1)
  await make('/f')
  await allGone(['/f'])
})

test('the hidden name of an open file is in no directory, and goes with its last use', async () => {
  const { fs, paths, directory, make, inoAt, allGone } = setUp()
  await directory('/d')
  const ino = await make('/d/f')
  await paths.rename('/d/f', '/d/.fuse_hidden0000000200000001', ALL_OPEN)
  const names: string[] = []
  await fs.readdir((await inoAt('/d')) as Ino, 0, false, (name) => names.push(Buffer.from(name).toString()) > 0)
  expect(names).toEqual(['.', '..'])
  expect(await inoAt('/d/.fuse_hidden0000000200000001')).toBe(ino)
  await expect(paths.rmdir('/d')).rejects.toMatchObject({ code: 'ENOTEMPTY' })
  await paths.rename('/d', '/e', () => false)
  expect(await paths.at('/e/.fuse_hidden0000000200000001', ({ nlink }) => nlink)).toBe(0)
  await paths.unlink('/e/.fuse_hidden0000000200000001')
  await paths.rmdir('/e')
  await allGone([])
  expect(fs.inodeCount).toBe(1)
})

test('somebody may have such a name himself, for a file that is not open', async () => {
  const { paths, make, inoAt, allGone } = setUp()
  const ino = await make('/f')
  await paths.rename('/f', '/.fuse_hidden0000000200000001', () => false)
  expect(await inoAt('/.fuse_hidden0000000200000001')).toBe(ino)
  await allGone(['/.fuse_hidden0000000200000001'])
})

test('a name that is not UTF-8 is refused', async () => {
  const { make, inoAt } = setUp()
  await expect(make('/\ufffd')).rejects.toMatchObject({ code: 'EILSEQ' })
  await expect(inoAt('/a\ufffd')).rejects.toMatchObject({ code: 'EILSEQ' })
})
