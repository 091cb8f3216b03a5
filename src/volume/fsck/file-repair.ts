// Mending files: their extents, what they have lost, live-byte counts, lists of sharers.
//
// Bytes that are lost stay lost: the file keeps an extent there that names segment 0, which never was, so that reading it
// goes on to give EIO instead of zeros nobody wrote; overwriting or truncating it ends that.
import { decodeRange, type Extent, encodeExtentRecord, replaceExtents } from '../../data/index.ts'
import { EXTENTS, type Inode, isRegular, SHARERS, USAGE } from '../../meta/index.ts'
import { FsError, readU64, writeU64 } from '../../platform/index.ts'
import type { SegmentId } from '../../segments/index.ts'
import { StoreError } from '../../store/index.ts'
import type { Transaction } from '../../tables/index.ts'
import { isPossible } from './files.ts'
import type { Repair } from './repair.ts'
import { joined, LOST_SEGMENT, sharersIn } from './segment-pass.ts'
import type { Home } from './survey.ts'

const INLINE_EXTENTS_MAX = 4
const LOST_PIECE_BYTES = 64 * 1024 * 1024
const IN_COMMIT = 1
const USAGE_BYTES = 9
/** What a record can hold. */
const SHARERS_MAX = 2048
const END = Number.MAX_SAFE_INTEGER

export interface Range {
  from: number
  to: number
}

export class FileRepair {
  readonly #repair: Repair
  readonly #lost = new Map<string, { home: Home; ranges: Range[] }>()

  constructor(repair: Repair) {
    this.#repair = repair
  }

  /** Puts a file's extents in order, inside its size, with `additions` in place of what was there. */
  rewrite(home: Home, additions: readonly Extent[] = []): Promise<void> {
    return this.#repair.names.edit(home, (inode, transaction) => {
      const before = this.#extentsOf(inode)
      const settled = settle(before)
      const wanted = withAdditions(settled, additions)
      const sizeBytes = isRegular(inode.mode) ? inode.sizeBytes : 0
      const after = replaceExtents(wanted, { truncateTo: sizeBytes, extents: [] }).result
      const isInTable = inode.extents === null || after.length > INLINE_EXTENTS_MAX
      if (isInTable) transaction.clear(EXTENTS, inode.ino)
      if (isInTable)
        for (const { fileOffset, range } of after)
          transaction.put(EXTENTS, inode.ino, fileOffset, encodeExtentRecord(range))
      this.#countLive(transaction, before, after)
      const allocatedBytes = after.reduce((sum, { range }) => sum + range.lengthBytes, 0)
      return { ...inode, allocatedBytes, extents: isInTable ? null : after }
    })
  }

  #extentsOf(inode: Inode): Extent[] {
    if (inode.extents !== null) return inode.extents
    const extents: Extent[] = []
    this.#repair.database.table(EXTENTS, inode.ino).scan(0, END, (key, bytes, start) => {
      extents.push({ fileOffset: key, range: decodeRange(bytes, start) })
      return true
    })
    return extents
  }

  /** Live bytes by what comes and goes. Counts that were wrong before are counted anew in the next round. */
  #countLive(transaction: Transaction, before: readonly Extent[], after: readonly Extent[]): void {
    const deltas = new Map<number, number>()
    const add = ({ range }: Extent, sign: number) =>
      deltas.set(range.segment, (deltas.get(range.segment) ?? 0) + sign * range.lengthBytes)
    for (const extent of before) add(extent, -1)
    for (const extent of after) add(extent, 1)
    const table = this.#repair.database.table(USAGE)
    for (const [segment, delta] of deltas) {
      if (delta === 0) continue
      const row = table.get(segment)
      const live = Math.max(0, (row === null ? 0 : readU64(row, 0)) + delta)
      this.#putLive(transaction, segment, live, ((row?.[8] ?? 0) & IN_COMMIT) !== 0)
    }
  }

  #putLive(transaction: Transaction, segment: number, liveBytes: number, isCommit: boolean): void {
    if (liveBytes === 0 && isCommit) {
      transaction.delete(USAGE, 0, segment)
      return
    }
    const row = Buffer.alloc(USAGE_BYTES)
    writeU64(row, 0, liveBytes)
    row[8] = isCommit ? IN_COMMIT : 0
    transaction.put(USAGE, 0, segment, row)
  }

  setLiveBytes(segment: number, liveBytes: number, isCommit: boolean): Promise<void> {
    return this.#repair.change((transaction) => this.#putLive(transaction, segment, liveBytes, isCommit))
  }

  /** Has ranges of a file marked as lost when the fixes under way are done: what it lost in many segments in one go. */
  noteLost(home: Home, ranges: readonly Range[]): void {
    const key = `${home.kind}/${home.ino}/${home.directory}/${home.key}`
    const noted = this.#lost.get(key)
    if (noted === undefined) this.#lost.set(key, { home, ranges: [...ranges] })
    else noted.ranges.push(...ranges)
  }

  /** What marks the noted ranges of each file as lost. */
  takeLost(): (() => Promise<void>)[] {
    const lost = [...this.#lost.values()]
    this.#lost.clear()
    return lost.map(
      ({ home, ranges }) =>
        () =>
          this.rewrite(home, joined(ranges).flatMap(lostExtents)),
    )
  }

  /** Writes what files have in these segments into new ones. What cannot be read stays where it is. */
  async moveData(ids: readonly SegmentId[]): Promise<void> {
    const { database, segments, survey } = this.#repair
    const packer = segments.dataPacker(() => database.takeId('segment') as SegmentId)
    const moved = new Map<number, Extent[]>()
    try {
      for (const id of ids) {
        for (const { ino, extent } of survey.extents.in(id)) {
          const parts = await this.#readIfWhole(extent)
          if (parts === null) continue
          const to = { fileOffset: extent.fileOffset, range: packer.add(ino, extent.fileOffset, parts) }
          const list = moved.get(ino)
          if (list === undefined) moved.set(ino, [to])
          else list.push(to)
        }
      }
    } finally {
      await packer.upload()
    }
    for (const [ino, extents] of moved) for (const home of survey.homesOf(ino)) await this.rewrite(home, extents)
  }

  async #readIfWhole({ range }: Extent): Promise<Uint8Array[] | null> {
    try {
      return await this.#repair.segments.readData(range)
    } catch (error) {
      const isLost =
        error instanceof FsError && !(error.cause instanceof StoreError && error.cause.kind !== 'not-found')
      if (!isLost) throw error
      return null
    }
  }

  addSharers(segment: number, inos: readonly number[]): Promise<void> {
    return this.#repair.change((transaction) => {
      const row = this.#repair.database.table(SHARERS).get(segment)
      const all = [...new Set([...(row === null ? [] : sharersIn(row)), ...inos])].slice(0, SHARERS_MAX)
      const record = Buffer.alloc(8 * all.length)
      for (const [index, ino] of all.entries()) writeU64(record, 8 * index, ino)
      transaction.put(SHARERS, 0, segment, record)
    })
  }
}

/** `extents` with additions in place of what was there; where two overlap the later one counts. */
function withAdditions(extents: Extent[], additions: readonly Extent[]): Extent[] {
  const sorted = [...additions].sort((a, b) => a.fileOffset - b.fileOffset)
  const areApart = sorted.every(({ fileOffset }, index) => {
    const before = sorted[index - 1]
    return before === undefined || before.fileOffset + before.range.lengthBytes <= fileOffset
  })
  const batches = areApart ? [sorted] : additions.map((addition) => [addition])
  return batches.reduce((done, batch) => replaceExtents(done, { truncateTo: null, extents: batch }).result, extents)
}

/** Extents that stand for lost bytes. */
export function lostExtents({ from, to }: Range): Extent[] {
  const extents: Extent[] = []
  for (let at = from; at < to; at += LOST_PIECE_BYTES) {
    const lengthBytes = Math.min(LOST_PIECE_BYTES, to - at)
    const range = { segment: LOST_SEGMENT, offset: 0, pieceBytes: lengthBytes, skipBytes: 0, lengthBytes }
    extents.push({ fileOffset: at, range })
  }
  return extents
}

/** The possible ones, without overlaps: of what two hold, the newer segment's counts. */
function settle(extents: readonly Extent[]): Extent[] {
  const sorted = extents.filter(({ range }) => isPossible(range)).sort((a, b) => a.fileOffset - b.fileOffset)
  const result: Extent[] = []
  let group: Extent[] = []
  let end = 0
  const close = () => {
    const byAge = [...group].sort((a, b) => a.range.segment - b.range.segment)
    const settled = byAge.reduce(
      (done: Extent[], extent) => replaceExtents(done, { truncateTo: null, extents: [extent] }).result,
      [],
    )
    result.push(...(group.length === 1 ? group : settled))
    group = []
  }
  for (const extent of sorted) {
    if (group.length > 0 && extent.fileOffset >= end) close()
    group.push(extent)
    end = Math.max(end, extent.fileOffset + extent.range.lengthBytes)
  }
  if (group.length > 0) close()
  return result
}
