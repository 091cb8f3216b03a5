// Lists the files under a folder as keys, in the order of the keys' UTF-8 bytes.
//
// Must stay true:
// - What is listed survives a power cut: whoever made a name may have died before it came to the sync of the folder.
// - Folders and files of one folder are visited as the keys below them sort, a folder `a` as `a/`, so that
//   the walk needs no more than a page's keys in memory besides one folder's names on each level.
import { join } from 'node:path'
import { compareKeys, RESERVED_COMPONENT } from './keys.ts'
import type { Disk, DiskEntry } from './local-disk.ts'

interface Walk {
  disk: Disk
  makeDurable: (folder: string) => Promise<void>
  root: string
  prefix: string
  startAfter: string
  limit: number
  keys: string[]
}

/** `makeDurable` makes the names in a folder durable, and the folder itself. Up to `limit` keys that begin with `prefix` and come after `startAfter`. */
export async function listKeys(
  { disk, root, makeDurable }: Pick<Walk, 'disk' | 'root' | 'makeDurable'>,
  { prefix, startAfter, limit }: { prefix: string; startAfter: string; limit: number },
): Promise<string[]> {
  const walk: Walk = { disk, root, makeDurable, prefix, startAfter, limit, keys: [] }
  // The folder that the prefix names: everything above it has one entry of interest.
  await visit(walk, prefix.slice(0, prefix.lastIndexOf('/') + 1))
  return walk.keys
}

/** Visits the folder whose keys begin with `base`, which is empty or ends in '/'. */
async function visit(walk: Walk, base: string): Promise<void> {
  const folder = join(walk.root, base.slice(0, -1))
  const entries = sortedEntries(await readFolder(walk.disk, folder), base)
  if (entries.some(({ isFolder }) => !isFolder)) await walk.makeDurable(folder)
  for (const entry of entries) {
    if (walk.keys.length === walk.limit) return
    if (entry.isFolder) {
      if (mayHold(walk, entry.key)) await visit(walk, entry.key)
    } else if (entry.key.startsWith(walk.prefix) && compareKeys(entry.key, walk.startAfter) > 0) {
      walk.keys.push(entry.key)
    }
  }
}

/** Whether keys that begin with `folder` may be wanted: all of them come before `startAfter` unless it begins so too. */
function mayHold(walk: Walk, folder: string): boolean {
  const inPrefix = folder.startsWith(walk.prefix) || walk.prefix.startsWith(folder)
  return inPrefix && (walk.startAfter.startsWith(folder) || compareKeys(folder, walk.startAfter) > 0)
}

function sortedEntries(entries: readonly DiskEntry[], base: string): { key: string; isFolder: boolean }[] {
  return entries
    .filter((entry) => entry.isFile() || (entry.isDirectory() && !(base === '' && entry.name === RESERVED_COMPONENT)))
    .map((entry) => {
      const isFolder = entry.isDirectory()
      return { key: `${base}${entry.name}${isFolder ? '/' : ''}`, isFolder }
    })
    .sort((a, b) => compareKeys(a.key, b.key))
}

async function readFolder(disk: Disk, path: string): Promise<DiskEntry[]> {
  try {
    return await disk.readdir(path)
  } catch (error) {
    // A folder that is not there, or is a file, holds no keys.
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
