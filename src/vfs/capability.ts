// File capabilities (security.capability) go when a file's bytes or its owner change, whoever changes them: they were given
// to the bytes that were there. (HANDLE_KILLPRIV_V2 says so; the kernel does it too where it can.)
//
// Must stay true: they stand in the inode's record, so that this never loads anything.
import { CAPABILITY_XATTR, hasInlineXattr, type Node, XattrEdit } from '../meta/index.ts'
import type { Context } from './context.ts'

/** Takes a file's capabilities away in this turn, if it has any. */
export function dropCapabilityOf(context: Context, node: Node): void {
  context.capable.delete(node.inode.ino)
  if (!hasInlineXattr(node.inode, CAPABILITY_XATTR)) return
  const { clock, database, metadata, writeback } = context
  const edit = new XattrEdit(database, metadata.nameKeys, node.inode)
  edit.delete(CAPABILITY_XATTR)
  const transaction = database.transaction()
  edit.putInto(transaction)
  node.inode.ctime = clock.now()
  metadata.put(transaction, node)
  database.apply(transaction)
  writeback.changed()
}
