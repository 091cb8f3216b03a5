// lookup, forget, getattr, readlink: what is there.
import {
  blankAttributes,
  dentryIsShared,
  dentryName,
  IN_SHARED,
  type Ino,
  isDirectory,
  isSymlink,
  NAME_MAX,
  ROOT_INO,
} from '../meta/index.ts'
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import { type Context, entryOf, entryTtlOf, reference, TTL_SEC } from './context.ts'
import type { Attributes, Caller, Entry } from './filesystem.ts'
import { readVisible, visibleAttributes } from './visible.ts'

const DOT = 0x2e

/** ENOENT; ENOTDIR when `parent` is no directory. */
export function lookup(context: Context, parent: Ino, name: Uint8Array): MaybePromise<Entry> {
  const entry = context.database.run(() => (isDots(name) ? dotsEntry : entryIfAny)(context, parent, name))
  return isPromise(entry) ? entry.then(orMissing) : orMissing(entry)
}

/** Every create asks first for a name that is not there: thrown here, and not within `run`, which would catch it and throw it
 *  again, it costs a third. */
function orMissing(entry: Entry | null): Entry {
  if (entry === null) throw errnoError('ENOENT')
  return entry
}

function entryIfAny(context: Context, parent: Ino, name: Uint8Array): Entry | null {
  const { metadata } = context
  if (name.length > NAME_MAX) metadata.assertDirectory(parent)
  const found = metadata.find(parent, name)
  if (found === null) {
    metadata.assertDirectory(parent)
    return null
  }
  const { bytes, start, key } = found
  const attributes = blankAttributes()
  readVisible(context, bytes, start, attributes)
  const shared = dentryIsShared(bytes, start)
  metadata.places.reference(attributes.ino, shared ? IN_SHARED : parent, shared ? 0 : key)
  const entryTtlSec = entryTtlOf(name, dentryName(bytes, start))
  return { attributes, entryTtlSec, attributeTtlSec: TTL_SEC }
}

/** Whether a name is "." or "..". */
export function isDots(name: Uint8Array): boolean {
  return name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))
}

/** "." and "..": who exports a filesystem asks for them, with nothing but a number that it gave out at some time, to anybody. "." may
 *  be asked of a file too: it is the inode itself. ESTALE where there is none with a name. */
function dotsEntry(context: Context, ino: Ino, name: Uint8Array): Entry {
  const { metadata } = context
  if (!Number.isSafeInteger(ino) || ino < ROOT_INO) throw errnoError('ESTALE')
  let node = metadata.nodeOf(ino)
  if (node.inode.nlink === 0) throw errnoError('ESTALE')
  if (name.length === 2) {
    if (!isDirectory(node.inode.mode)) throw errnoError('ENOTDIR')
    node = metadata.directoryNode(metadata.parentDirectory(ino))
  }
  reference(context, node)
  return entryOf(context, node)
}

export function forget(context: Context, ino: Ino, count: number): void {
  if (ino === ROOT_INO) return
  const { metadata, reaper } = context
  if (!metadata.places.forget(ino, count)) return
  if (metadata.removed.size > 0) metadata.removed.delete(ino)
  if (context.linkable.size > 0) context.linkable.delete(ino)
  context.staleNames.forget(ino)
  reaper.unused(ino)
}

export function getattr(
  context: Context,
  ino: Ino,
  caller?: Caller,
): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
  const untold = caller === undefined ? null : context.staleNames.untoldIn(ino, caller.pid)
  const answer = () => context.database.run(() => ({ attributes: attributesOfIno(context, ino), ttlSec: TTL_SEC }))
  // Once: others may go on and on to change names there.
  return untold === null ? answer() : untold.then(answer)
}

function attributesOfIno(context: Context, ino: Ino): Attributes {
  const dentry = context.metadata.knownDentry(ino)
  if (dentry === null) return visibleAttributes(context, context.metadata.nodeOf(ino))
  const attributes = blankAttributes()
  readVisible(context, dentry, 0, attributes)
  return attributes
}

export function readlink(context: Context, ino: Ino): MaybePromise<Uint8Array> {
  return context.database.run(() => {
    const { inode } = context.metadata.nodeOf(ino)
    if (!isSymlink(inode.mode)) throw errnoError('EINVAL')
    return Buffer.from(inode.target)
  })
}

/** How long the kernel may believe that there is no such name in `parent`: not at all where names fold, for it knows nothing
 *  of the other spellings. */
export function negativeTtlSec({ metadata }: Context, parent: Ino): number {
  return metadata.mayFold(parent) ? 0 : TTL_SEC
}
