// What callers see of an inode: the tables hold the stream half as last recorded and a directory's "." may be newer than
// its copy in a dentry; the visible attributes are the recorded ones with the stream, or the changed ".", on top.
//
// Must stay true: every answer that holds attributes takes them from here.
import { ok as assert } from 'node:assert'
import type { Stream } from '../data/index.ts'
import {
  type Attributes,
  attributesOf,
  DOT_KEY,
  dentryIno,
  dentryInodeAt,
  dentryIsShared,
  dentryType,
  isRegular,
  laterOf,
  type Node,
  readAttributes,
  S_IFDIR,
  S_IFREG,
  SHARED,
} from '../meta/index.ts'
import type { Context } from './context.ts'

/** The attributes that the caller sees: what is recorded, and the stream on top. */
export function visibleAttributes(context: Context, node: Node): Attributes {
  const attributes = attributesOf(node.inode)
  if (isRegular(attributes.mode)) {
    const stream = context.streams.get(attributes.ino)
    if (stream !== undefined) overlayStream(attributes, stream)
  }
  return attributes
}

/** Writes a stream's attributes over recorded ones, in place. */
export function overlayStream(attributes: Attributes, stream: Stream): void {
  const { sizeBytes, mtime, ctime, atime } = stream.attributes
  const unrecorded = stream.dirtyBytes + stream.earlyBytes - stream.freedBytes
  // Of two generations, or of what they replace, no more than the size is ever recorded.
  attributes.allocatedBytes = Math.max(0, Math.min(attributes.allocatedBytes + unrecorded, sizeBytes))
  attributes.sizeBytes = sizeBytes
  attributes.mtime.sec = mtime.sec
  attributes.mtime.nsec = mtime.nsec
  const changed = laterOf(ctime, attributes.ctime)
  attributes.ctime.sec = changed.sec
  attributes.ctime.nsec = changed.nsec
  if (atime === null) return
  attributes.atime.sec = atime.sec
  attributes.atime.nsec = atime.nsec
}

/** Reads the visible attributes behind a dentry record into `into`, making no object. May fault for shared inodes. */
export function readVisible(context: Context, bytes: Buffer, start: number, into: Attributes): void {
  const { database, metadata, streams } = context
  const type = dentryType(bytes, start)
  if (dentryIsShared(bytes, start)) {
    const record = database.table(SHARED).get(dentryIno(bytes, start))
    assert(record !== null, `inode ${dentryIno(bytes, start)}, which a name refers to, is among the shared ones`)
    readAttributes(record, 0, into)
  } else if (type === S_IFDIR) {
    const own = metadata.directory(dentryIno(bytes, start)).getChanged(DOT_KEY)
    assert(own !== null, `directory ${dentryIno(bytes, start)}, which a name refers to, is there`)
    if (own === undefined) readAttributes(bytes, dentryInodeAt(bytes, start), into)
    else readAttributes(own, 0, into)
  } else {
    readAttributes(bytes, dentryInodeAt(bytes, start), into)
  }
  if (type !== S_IFREG) return
  const stream = streams.get(into.ino)
  if (stream !== undefined) overlayStream(into, stream)
}
