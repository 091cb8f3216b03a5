// What can be brought back of a range of a table that cannot be read: out of older pages, where the other tables confirm
// it, and out of copies.
//
// Must stay true: nothing comes back that was deleted: a name only where PARENTS (or the link count of a shared inode) says
// that it is there; an extent only where the live bytes of its segment say that it counts. File ranges of which nothing is
// known are marked as lost.
import { decodeRange, EXTENT_RECORD_BYTES, type Extent, encodeExtentRecord } from '../../data/index.ts'
import { DIRECTORY, DOT_KEY, dentryIno, dentryIsShared, EXTENTS, PARENTS, SHARED, USAGE } from '../../meta/index.ts'
import type { TableDamage } from '../../tables/index.ts'
import { type CheckContext, isUnreadable } from './context.ts'
import { dropDeleted } from './deleted.ts'
import { lostExtents, type Range } from './file-repair.ts'
import { isPossible } from './files.ts'
import { dentryProblem, inodeProblem } from './records.ts'
import type { Repair } from './repair.ts'

/** More lost bytes than this of one file are not marked one by one: they become a hole. */
const LOST_BYTES_MAX = 2 ** 42

type DamagedTable = NonNullable<TableDamage['table']>

export async function restoreUnreadable(context: CheckContext, repair: Repair, table: DamagedTable): Promise<void> {
  if (table.kind === DIRECTORY) await restoreDirectory(context, repair, table)
  else if (table.kind === SHARED) await restoreShared(context, repair, table)
  else if (table.kind === EXTENTS) await restoreExtents(context, repair, table)
  else if (table.kind === USAGE) await recountUsage(context, repair, table)
  else await dropDeleted(context, repair, table)
}

async function recountUsage({ survey }: CheckContext, repair: Repair, { from, to }: DamagedTable): Promise<void> {
  for (const [id, liveBytes] of survey.extents.live)
    if (id >= from && id < to) await repair.files.setLiveBytes(id, liveBytes, survey.carried.has(id))
}

async function older({ inspector }: CheckContext, table: DamagedTable): Promise<[number, Buffer][]> {
  const records: [number, Buffer][] = []
  await inspector.older(table, (key, record) => {
    records.push([key, Buffer.from(record)])
  })
  return records
}

async function restoreDirectory(context: CheckContext, repair: Repair, table: DamagedTable): Promise<void> {
  const { survey } = context
  const { owner } = table
  for (const [key, record] of await older(context, table)) {
    if (key === DOT_KEY) {
      const state = survey.directories.get(owner)
      // The copy in its parent is newer.
      if (state?.hasDot || state?.hasCopy || inodeProblem(record, 0, record.length) !== null) continue
    } else if (dentryProblem(record, 0, record.length) !== null || !isConfirmed(context, owner, key, record)) continue
    await repair.change((transaction) => transaction.put(DIRECTORY, owner, key, record))
  }
}

/** Whether other tables say that this name is there. */
function isConfirmed(context: CheckContext, directory: number, key: number, record: Buffer): boolean {
  const { survey } = context
  const ino = dentryIno(record, 0)
  if (dentryIsShared(record, 0)) {
    const state = survey.shared.get(ino)
    if (state === undefined || state.links >= state.nlink) return false
    state.links++
    return true
  }
  const isElsewhere = survey.unconfirmed.has(ino) || (survey.directories.get(ino)?.upDirectory ?? 0) !== 0
  const parent = survey.parents.of(ino)
  if (parent !== null) return parent.directory === directory && parent.key === key && !isElsewhere
  return isUnreadable(context, PARENTS, 0, ino) && !isElsewhere && !survey.shared.has(ino)
}

async function restoreShared(context: CheckContext, repair: Repair, table: DamagedTable): Promise<void> {
  for (const [ino, record] of await older(context, table)) {
    if (inodeProblem(record, 0, record.length) !== null || context.survey.parents.of(ino) !== null) continue
    await repair.change((transaction) => transaction.put(SHARED, 0, ino, record))
  }
}

async function restoreExtents(context: CheckContext, repair: Repair, table: DamagedTable): Promise<void> {
  const { survey } = context
  const { owner } = table
  const file = survey.tableFiles.get(owner)
  if (file === undefined) return
  const found = new Map<number, Extent[]>()
  for (const [key, record] of await older(context, table)) {
    if (record.length !== EXTENT_RECORD_BYTES) continue
    const extent = { fileOffset: key, range: decodeRange(record, 0) }
    if (!isPossible(extent.range)) continue
    const list = found.get(extent.range.segment)
    if (list === undefined) found.set(extent.range.segment, [extent])
    else list.push(extent)
  }
  const kept: Extent[] = []
  for (const [segment, extents] of found) {
    const missing = (survey.usage.get(segment)?.liveBytes ?? 0) - (survey.extents.live.get(segment) ?? 0)
    if (extents.reduce((sum, { range }) => sum + range.lengthBytes, 0) === missing) kept.push(...extents)
  }
  kept.sort((a, b) => a.fileOffset - b.fileOffset)
  file.foundBytes += kept.reduce((sum, { range }) => sum + range.lengthBytes, 0)
  // When all is there again, what lies between is holes.
  const isWhole = file.foundBytes >= file.allocatedBytes
  const lost = isWhole ? [] : gaps(kept, { from: table.from, to: Math.min(table.to, file.sizeBytes) })
  for (const extents of inBatches([...kept, ...lost.flatMap(lostExtents)])) {
    await repair.change((transaction) => {
      for (const { fileOffset, range } of extents)
        transaction.put(EXTENTS, owner, fileOffset, encodeExtentRecord(range))
    })
  }
}

/** What lies between extents. */
function gaps(extents: readonly Extent[], { from, to }: Range): Range[] {
  const found: Range[] = []
  let at = from
  for (const { fileOffset, range } of extents) {
    if (fileOffset > at) found.push({ from: at, to: fileOffset })
    at = Math.max(at, fileOffset + range.lengthBytes)
  }
  if (at < to) found.push({ from: at, to: Math.min(to, at + LOST_BYTES_MAX) })
  return found
}

function* inBatches(extents: readonly Extent[]): Generator<readonly Extent[]> {
  for (let first = 0; first < extents.length; first += 4096) yield extents.slice(first, first + 4096)
}
