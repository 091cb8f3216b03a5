// lookup, forget, getattr, readlink: what is there.
import { type Ino, isSymlink, NAME_MAX, type Node, ROOT_INO } from '../meta/index.ts'
import { errnoError, type MaybePromise } from '../platform/index.ts'
import { type Context, entryOf, reference, TTL_SEC, visibleAttributes } from './context.ts'
import type { Attributes, Entry } from './filesystem.ts'

const DOT = 0x2e

export function lookup(context: Context, parent: Ino, name: Uint8Array): MaybePromise<Entry> {
  return context.database.run(() => {
    const node = nodeByName(context, parent, name)
    const entry = entryOf(context, node)
    reference(context, node)
    return entry
  })
}

/** ENOENT; ENOTDIR when `parent` is none. "." and ".." work too: who exports a filesystem asks for them. */
export function nodeByName(context: Context, parent: Ino, name: Uint8Array): Node {
  const { metadata } = context
  if (name[0] === DOT && name.length === 1) return metadata.directoryNode(parent)
  if (name[0] === DOT && name[1] === DOT && name.length === 2) {
    metadata.directoryNode(parent)
    return metadata.directoryNode(metadata.parentDirectory(parent))
  }
  if (name.length > NAME_MAX) metadata.directoryNode(parent)
  const found = metadata.find(parent, name)
  if (found === null) {
    metadata.directoryNode(parent)
    throw errnoError('ENOENT')
  }
  return metadata.nodeAt(parent, found)
}

export function forget(context: Context, ino: Ino, count: number): void {
  if (ino === ROOT_INO) return
  const { metadata, reaper } = context
  if (!metadata.places.forget(ino, count)) return
  metadata.removed.delete(ino)
  reaper.unused(ino)
}

export function getattr(context: Context, ino: Ino): MaybePromise<{ attributes: Attributes; ttlSec: number }> {
  return context.database.run(() => ({
    attributes: visibleAttributes(context, context.metadata.nodeOf(ino)),
    ttlSec: TTL_SEC,
  }))
}

export function readlink(context: Context, ino: Ino): MaybePromise<Uint8Array> {
  return context.database.run(() => {
    const { inode } = context.metadata.nodeOf(ino)
    if (!isSymlink(inode.mode)) throw errnoError('EINVAL')
    return Buffer.from(inode.target)
  })
}
