// rename: renameat2(2), its checks in the order of Linux' do_renameat2 and vfs_rename.
//
// Must stay true: when a rename puts a file over another name and the file has unrecorded data, its stream commits
// together with the rename (design, section 5.3): writeback is told in the same turn, and may make such renames wait.
import {
  DIRECTORY,
  type DirectoryRecord,
  dentryName,
  encodeDentry,
  encodeSharedDentry,
  type Ino,
  isDirectory,
  isRegular,
  type Node,
  putParent,
  S_IFCHR,
} from '../meta/index.ts'
import { errnoError, isPromise, type MaybePromise } from '../platform/index.ts'
import { assertWritable, type Context } from './context.ts'
import { beginInode, checkNewName } from './create.ts'
import { exchangeTurn } from './exchange.ts'
import type { Caller } from './filesystem.ts'
import { dropDirectory, dropName, otherSpellingOf } from './link.ts'
import { isDots } from './lookup.ts'
import { assertLosesName, assertTakesNames } from './protection.ts'
import { applyWith } from './quota.ts'
import { nameGone } from './stale-names.ts'

export const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2
const RENAME_WHITEOUT = 4

export interface NamePlace {
  parent: Ino
  name: Uint8Array
}

export function rename(
  context: Context,
  caller: Caller,
  from: NamePlace,
  to: NamePlace,
  flags: number,
): MaybePromise<void> {
  assertWritable(context)
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) throw errnoError('EINVAL')
  const exchanges = (flags & RENAME_EXCHANGE) !== 0
  if (exchanges && flags !== RENAME_EXCHANGE) throw errnoError('EINVAL')
  if (isDots(from.name)) throw errnoError('EBUSY')
  if (isDots(to.name)) throw errnoError((flags & RENAME_NOREPLACE) === 0 ? 'EBUSY' : 'EEXIST')
  const turn = exchanges
    ? () => ({ gate: exchangeTurn(context, caller, { from, to }) })
    : () => renameTurn(context, caller, { from, to }, flags)
  const done = context.database.run(turn)
  // A gate, wrapped: a bare promise would be waited for by `run` itself.
  const goOn = ({ gate }: Outcome) => gate?.then(() => rename(context, caller, from, to, flags))
  return isPromise(done) ? done.then(goOn) : goOn(done)
}

interface Outcome {
  /** To wait for before trying again. */
  gate: Promise<void> | null
}
const DONE: Outcome = { gate: null }

/** What the checks found; everything read. */
interface Plan {
  source: Node
  target: Node | null
  oldParent: DirectoryRecord
  newParent: DirectoryRecord
  oldKey: number
  /** As it is stored. */
  oldName: Buffer
  newKey: number
  /** Spellings that lead nowhere afterwards, besides those that were given. */
  gone: readonly GoneName[]
}

interface GoneName {
  parent: Ino
  name: Buffer
  ledTo: Node
}

/** Null: nothing to do. */
function check(context: Context, from: NamePlace, to: NamePlace, flags: number): Plan | null {
  const { metadata, quotas } = context
  const oldParent = metadata.directoryRecord(from.parent)
  const newParent = from.parent === to.parent ? oldParent : metadata.directoryRecord(to.parent)
  if (newParent.isRemoved) throw errnoError('ENOENT')
  const sourceName = metadata.find(from.parent, from.name)
  if (sourceName === null) throw errnoError('ENOENT')
  checkNewName(to.name)
  const { found, key: newKey } = metadata.findOrFree(to.parent, to.name)
  if (found !== null && (flags & RENAME_NOREPLACE) !== 0) throw errnoError('EEXIST')
  // Where names fold, the new name may find the old one: it is then only spelled anew.
  const isRespelling = found !== null && from.parent === to.parent && found.key === sourceName.key
  const storedTarget = found === null ? null : otherSpellingOf(to.name, found)
  if (isRespelling && (storedTarget === null || (flags & RENAME_WHITEOUT) !== 0)) return null
  const targetName = isRespelling ? null : found
  const gone: GoneName[] = []
  const storedSource = isRespelling ? null : otherSpellingOf(from.name, sourceName)
  const source = metadata.nodeAt(from.parent, sourceName)
  const target = targetName === null ? null : metadata.nodeAt(to.parent, targetName)
  if (storedSource !== null) gone.push({ parent: from.parent, name: storedSource, ledTo: source })
  if (storedTarget !== null) gone.push({ parent: to.parent, name: storedTarget, ledTo: target ?? source })
  const movesDirectory = isDirectory(source.inode.mode)
  const otherParent = from.parent !== to.parent
  if (movesDirectory && otherParent && metadata.isWithin(to.parent, source.inode.ino)) throw errnoError('EINVAL')
  if (target !== null && otherParent && metadata.isWithin(from.parent, target.inode.ino)) throw errnoError('ENOTEMPTY')
  if (target !== null && target.inode.ino === source.inode.ino) return null
  assertLosesName(oldParent, source.inode)
  if (target === null) assertTakesNames(newParent)
  else assertLosesName(newParent, target.inode)
  if (quotas.isActive) quotas.assertMayMove(source, oldParent, newParent)
  if (target !== null) {
    const replacesDirectory = isDirectory(target.inode.mode)
    if (movesDirectory && !replacesDirectory) throw errnoError('ENOTDIR')
    if (!movesDirectory && replacesDirectory) throw errnoError('EISDIR')
    if (replacesDirectory && !metadata.isEmptyDirectory(target.inode.ino)) throw errnoError('ENOTEMPTY')
  }
  const oldName = Buffer.from(dentryName(sourceName.bytes, sourceName.start))
  return { source, target, oldParent, newParent, oldKey: sourceName.key, oldName, newKey, gone }
}

function renameTurn(
  context: Context,
  caller: Caller,
  { from, to }: { from: NamePlace; to: NamePlace },
  flags: number,
): Outcome {
  const { clock, database, metadata, quotas, streams, writeback } = context
  const plan = check(context, from, to, flags)
  if (plan === null) return DONE
  const { source, target, oldParent, newParent, oldKey, oldName, newKey, gone } = plan
  const { inode } = source
  const bringsData = target !== null && isRegular(inode.mode) && streams.get(inode.ino) !== undefined
  if (bringsData && writeback.renameGate !== null) return { gate: writeback.renameGate }

  const now = clock.now()
  const transaction = database.transaction()
  const use = quotas.changes()
  let dropped = () => {}
  if (target !== null) {
    const drop = isDirectory(target.inode.mode) ? dropDirectory : dropName
    dropped = drop(context, transaction, target, now, use)
  }
  if ((flags & RENAME_WHITEOUT) === 0) transaction.delete(DIRECTORY, from.parent, oldKey)
  else {
    const whiteout = beginInode(context, transaction, { caller, mode: S_IFCHR }, oldParent)
    transaction.put(DIRECTORY, from.parent, oldKey, encodeDentry(oldName, whiteout))
    putParent(transaction, whiteout.ino, from.parent, oldKey)
    if (use !== null) quotas.made(use, whiteout, quotas.realmAt(oldParent, oldKey))
  }
  inode.ctime = now
  if (source.home === 'shared') {
    transaction.put(DIRECTORY, to.parent, newKey, encodeSharedDentry(to.name, inode.ino, inode.mode))
    metadata.put(transaction, source)
  } else {
    transaction.put(DIRECTORY, to.parent, newKey, encodeDentry(to.name, inode))
    if (source.home === 'directory') metadata.put(transaction, source)
    putParent(transaction, inode.ino, to.parent, newKey)
  }
  const moved = isDirectory(inode.mode) ? 1 : 0
  const replaced = target !== null && isDirectory(target.inode.mode) ? 1 : 0
  if (newParent === oldParent) oldParent.touch(transaction, now, -replaced)
  else {
    oldParent.touch(transaction, now, -moved)
    newParent.touch(transaction, now, moved - replaced)
  }
  if (use !== null) quotas.renamed(use, transaction, source, { directory: newParent, key: newKey })
  applyWith(context, transaction, use)

  dropped()
  if (source.home !== 'shared') metadata.places.move(inode.ino, to.parent, newKey)
  if (bringsData) writeback.renamedOver(inode.ino)
  for (const name of gone) nameGone(context, caller, name, name.ledTo.inode)
  writeback.changed()
  return DONE
}
