// Derived records, made by checkpoints only: the copy of a directory's "." in the dentry that names it.
import { ok as assert } from 'node:assert'
import type { TableKind, TableReader, Transaction } from '../tables/index.ts'
import { isDirectory, ROOT_INO } from './attributes.ts'
import { dentryIno, dentryName, dentryType, encodeDentry } from './dentry-record.ts'
import { decodeInode } from './inode-record.ts'
import { parentOf } from './metadata.ts'
import { DOT_KEY } from './name-keys.ts'
import { DIRECTORY } from './table-kinds.ts'

/** Puts a fresh copy of every changed "." into its parent's dentry. The root has none; removed directories neither. */
export function deriveDirectoryCopies(
  view: TableReader,
  changed: readonly { kind: TableKind; owner: number }[],
  out: Transaction,
): void {
  for (const { kind, owner } of changed) {
    if (kind !== DIRECTORY || owner === ROOT_INO) continue
    const own = view.table(DIRECTORY, owner).getChanged(DOT_KEY)
    if (own === undefined || own === null) continue
    const parent = parentOf(view, owner)
    if (parent === null) continue
    const dentry = view.table(DIRECTORY, parent.directory).get(parent.key)
    assert(dentry !== null && dentryIno(dentry, 0) === owner, `the dentry of directory ${owner} is where PARENTS says`)
    assert(isDirectory(dentryType(dentry, 0)))
    const copy = encodeDentry(dentryName(dentry, 0), decodeInode(own, 0))
    if (!copy.equals(dentry)) out.put(DIRECTORY, parent.directory, parent.key, copy)
  }
}
