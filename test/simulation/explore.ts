// Reads a whole mounted tree through the filesystem's own operations, as a kernel with empty caches would.
import type { MaybePromise } from '../../src/platform/index.ts'
import { type Caller, type Filesystem, type Ino, ROOT_INO } from '../../src/vfs/index.ts'
import { xattrsOf } from './attributes.ts'
import { isGivenUp } from './counted-store.ts'
import type { Found, ModelInode } from './oracle.ts'

export const CALLER: Caller = { uid: 1000, gid: 1000, pid: 1 }
const TYPE = 0o170000
const DIRECTORY = 0o040000
const FILE = 0o100000
const SYMLINK = 0o120000

/** What is compared of a file besides its bytes. */
export function shownOf(attributes: { sizeBytes: number; mtime: { sec: number; nsec: number } }): string {
  return `${attributes.sizeBytes}@${attributes.mtime.sec}.${attributes.mtime.nsec}`
}

/** Names of a directory, each with the inode's number and type as listed. */
async function namesOf(fs: Filesystem, ino: Ino): Promise<Map<string, string>> {
  const names = new Map<string, string>()
  for (let cookie = 0; ; ) {
    let taken = 0
    await fs.readdir(ino, cookie, false, (name, child, mode, next) => {
      if (taken === 7) return false
      taken++
      cookie = next
      const text = Buffer.from(name).toString()
      if (text !== '.' && text !== '..') names.set(text, `${child} ${mode.toString(8)}`)
      return true
    })
    if (taken === 0) return names
  }
}

export async function readAll(fs: Filesystem, ino: Ino, sizeBytes: number): Promise<Buffer> {
  const { handle } = await fs.open(CALLER, ino, { flags: 0 })
  const parts: Buffer[] = []
  for (let at = 0; at < sizeBytes; at += 1 << 20) {
    for (const part of await fs.read(handle, ino, at, 1 << 20)) parts.push(Buffer.from(part))
  }
  await fs.release(handle, ino)
  return Buffer.concat(parts)
}

/** `withXattrs`: asks for extended attributes too. */
export async function explore(fs: Filesystem, withXattrs: boolean): Promise<Found> {
  const found: Found = { inodes: new Map(), files: new Map() }
  const visit = async (ino: Ino, parent: number, inTheName: string | null): Promise<void> => {
    const { attributes } = await attempt(`getattr of directory ${ino}`, () => fs.getattr(ino))
    const own: ModelInode = {
      ino,
      mode: attributes.mode,
      nlink: attributes.nlink,
      target: '',
      names: new Map(),
      xattrs: withXattrs ? await attempt(`attributes of ${ino}`, () => xattrsOf(fs, CALLER, ino)) : new Map(),
      parent,
    }
    found.inodes.set(ino, own)
    if (inTheName !== null && shownOf(attributes) + attributes.nlink !== inTheName)
      throw new Error(`directory ${ino} shows ${shownOf(attributes)}${attributes.nlink}, its name ${inTheName}`)
    const listed = await namesOf(fs, ino)
    for (const name of listed.keys()) {
      const looked = await attempt(`lookup of ${name}, which is listed in ${ino} as ${listed.get(name)},`, () =>
        fs.lookup(CALLER, ino, Buffer.from(name)),
      )
      const child = looked.attributes
      own.names.set(name, child.ino)
      if ((child.mode & TYPE) === DIRECTORY) await visit(child.ino, ino, shownOf(child) + child.nlink)
      else if (!found.inodes.has(child.ino)) {
        const target = (child.mode & TYPE) === SYMLINK ? Buffer.from(await fs.readlink(child.ino)).toString() : ''
        const { mode, nlink } = child
        const own = { ino: child.ino, mode, nlink, target, names: new Map(), xattrs: new Map(), parent: ino }
        found.inodes.set(
          child.ino,
          withXattrs
            ? { ...own, xattrs: await attempt(`attributes of ${child.ino}`, () => xattrsOf(fs, CALLER, child.ino)) }
            : own,
        )
        if ((mode & TYPE) === FILE)
          found.files.set(child.ino, {
            content: await attempt(`reading ${name} in ${ino}`, () => readAll(fs, child.ino, child.sizeBytes)),
            shown: shownOf(child),
          })
      }
      fs.forget(child.ino, 1)
    }
  }
  await visit(ROOT_INO, ROOT_INO, null)
  return found
}

/** Calls, and says what failed. Once more where it may have joined a request of before, which was lost. */
async function attempt<T>(what: string, call: () => MaybePromise<T>, isAgain = false): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!isAgain && isGivenUp(error)) return attempt(what, call, true)
    throw new Error(`${what} gives ${(error as Error).message}`, { cause: error })
  }
}
