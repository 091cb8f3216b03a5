// /proc/self/mountinfo: what is mounted where, read from the kernel's table and never from the mounts themselves.
//
// Must stay true: nothing here opens, stats or walks into a mount that may be ours or dead. To find the entry of a path
// only its parent is resolved, and the last component is looked up in the table before it is touched.
import { lstatSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

/** One line of mountinfo, proc_pid_mountinfo(5). */
export interface MountEntry {
  mountId: number
  parentId: number
  /** `MAJOR:MINOR` of the mounted filesystem's device. */
  majorMinor: string
  root: string
  mountpoint: string
  options: string
  type: string
  source: string
  superOptions: string
}

const LINKS_MAX = 40

/** The entries of a mountinfo text, in its order. Lines that are not entries are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    // A source may be empty, so fields are split at every single space; a " - " ends the optional ones.
    const separator = line.indexOf(' - ')
    if (separator < 0) return []
    const [mountId, parentId, majorMinor, root, mountpoint, options] = line.slice(0, separator).split(' ')
    const [type, source, superOptions] = line.slice(separator + 3).split(' ')
    if (majorMinor === undefined || root === undefined || mountpoint === undefined || type === undefined) return []
    return [
      {
        mountId: Number(mountId),
        parentId: Number(parentId),
        majorMinor,
        root: unescapeOctal(root),
        mountpoint: unescapeOctal(mountpoint),
        options: options ?? '',
        type: unescapeOctal(type),
        source: unescapeOctal(source ?? ''),
        superOptions: superOptions ?? '',
      },
    ]
  })
}

/** The kernel writes space, tab, newline, backslash and # as a backslash and three octal digits of the byte. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** What is mounted at `dir` (the topmost, where several are), or undefined when `dir` is no mountpoint. Does not touch
 *  the mount. ENOENT when the parent directory is missing. */
export function findMount(dir: string): MountEntry | undefined {
  return findMountAt(resolveMountpoint(dir))
}

/** As findMount, for a path without symbolic links. */
export function findMountAt(path: string): MountEntry | undefined {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).findLast((entry) => entry.mountpoint === path)
}

/** The mount that a path without symbolic links lies on. */
export function findMountOf(path: string): MountEntry | undefined {
  const isOn = ({ mountpoint }: MountEntry) =>
    path === mountpoint || path.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`)
  let found: MountEntry | undefined
  for (const entry of parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')))
    if (isOn(entry) && entry.mountpoint.length >= (found?.mountpoint.length ?? 0)) found = entry
  return found
}

/** The absolute path of `dir` without symbolic links; the last component need not exist, and is not touched when
 *  something is mounted there. */
export function resolveMountpoint(dir: string): string {
  let path = resolve(dir)
  for (let links = 0; links < LINKS_MAX; links++) {
    if (path === '/') return path
    path = join(realpathSync(dirname(path)), basename(path))
    if (findMountAt(path) !== undefined) return path
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined || !stat.isSymbolicLink()) return path
    path = resolve(dirname(path), readlinkSync(path))
  }
  return path
}
