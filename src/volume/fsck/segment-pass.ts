// Segment by segment: whether what extents point at is there, by the segment's table of contents, or (--data) by reading
// all of it; who shares it.
//
// Each segment is read once, several at a time, whatever number of files has something in it.
import PQueue from 'p-queue'
import type { Extent } from '../../data/index.ts'
import { crc32c, FsError, readU64 } from '../../platform/index.ts'
import {
  BLOCK_BYTES,
  CONTENTS_ENTRY_BYTES,
  type ContentsEntry,
  decodeContentsEntry,
  decodeFooter,
  FOOTER_BYTES,
  rawBytesOf,
  type SegmentId,
  STORED_BLOCK_BYTES,
  segmentKey,
} from '../../segments/index.ts'
import { StoreError } from '../../store/index.ts'
import type { ReplayedData } from '../../tables/index.ts'
import type { CheckContext } from './context.ts'
import { segmentsListed } from './objects.ts'

/** What the footer and the contents of almost every segment fit in. */
const TAIL_BYTES = 64 * 1024
const READS_MAX = 3
/** Stands for bytes that an earlier repair found lost: no such segment ever was. */
export const LOST_SEGMENT = 0 as SegmentId

interface Range {
  from: number
  to: number
}

/** What could be learnt of a segment. */
interface Looked {
  /** Null: damaged, why. */
  contents: ContentsEntry[] | null
  why: string
  /** The bytes that extents point into; null where they were not read. */
  body: Buffer | null
}

export interface SegmentCounts {
  segments: number
  dataBytes: number
  dataBytesRead: number
}

export async function checkSegments(context: CheckContext): Promise<SegmentCounts> {
  const { parallelism, progress, readsData, survey } = context
  const { carried, extents } = survey
  const sizes = segmentsListed(context)
  const counts: SegmentCounts = { segments: 0, dataBytes: 0, dataBytesRead: 0 }
  for (const live of extents.live.values()) counts.dataBytes += live
  // A whole segment is held while it is looked at.
  const queue = new PQueue({ concurrency: readsData ? Math.min(4, parallelism) : parallelism })
  let done = 0
  let failure: unknown = null
  const ids = [...extents.segments]
  const checkOne = async (id: number) => {
    const live = extents.live.get(id) ?? 0
    const data = carried.get(id)
    if (id === LOST_SEGMENT) noticeLost(context)
    else if (data !== undefined) judgeCarried(context, id, data)
    else {
      counts.segments++
      const looked = await look(context, id as SegmentId, sizes.get(id))
      if (looked === null) judgeLost(context, id)
      else judgeSegment(context, id, looked)
    }
    if (readsData && id !== LOST_SEGMENT) counts.dataBytesRead += live
    done += readsData ? live : 1
    const [whole, unit] = readsData ? ([counts.dataBytes, 'bytes'] as const) : ([ids.length, 'objects'] as const)
    progress(readsData ? 'reading data' : 'looking at segments', done, whole, unit)
    await context.clock.yield()
  }
  for (const id of ids) {
    await queue.onSizeLessThan(2 * parallelism)
    if (failure !== null) break
    void queue.add(() =>
      checkOne(id).catch((error: unknown) => {
        failure ??= error
      }),
    )
  }
  await queue.onIdle()
  if (failure !== null) throw failure
  return counts
}

/** Reads a segment's contents, or all of it; again while it arrives damaged. Null when it is not there. `listedBytes`: its
 *  size, where it was listed. */
async function look(context: CheckContext, id: SegmentId, listedBytes: number | undefined): Promise<Looked | null> {
  try {
    const sizeBytes = listedBytes ?? (await context.store.head(segmentKey(id))).sizeBytes
    for (let reads = 1; ; reads++) {
      const looked = await lookOnce(context, id, sizeBytes)
      if (reads === READS_MAX || (looked.contents !== null && !hasDamage(context, id, looked.body))) return looked
    }
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'not-found') return null
    throw error
  }
}

function hasDamage({ survey }: CheckContext, id: number, body: Buffer | null): boolean {
  if (body === null) return false
  for (const { extent } of survey.extents.in(id)) if (damagedIn(extent, body).length > 0) return true
  return false
}

async function lookOnce(
  { identity, readsData, store }: CheckContext,
  id: SegmentId,
  sizeBytes: number,
): Promise<Looked> {
  const key = segmentKey(id)
  let offset = readsData ? 0 : Math.max(0, sizeBytes - TAIL_BYTES)
  let { body } = await store.get(key, { offset })
  try {
    const objectBytes = offset + body.length
    const footer = body.subarray(Math.max(0, body.length - FOOTER_BYTES))
    const { contentsOffset, contentsCrc, count } = decodeFooter(footer, { id, objectBytes, volumeUuid: identity.uuid })
    if (contentsOffset < offset) {
      offset = contentsOffset
      body = (await store.get(key, { offset })).body
    }
    const at = contentsOffset - offset
    const contents = body.subarray(at, at + count * CONTENTS_ENTRY_BYTES)
    if (crc32c(contents) !== contentsCrc) throw new FsError('EIO', `${key} has damaged contents`)
    const entries = Array.from({ length: count }, (_, index) =>
      decodeContentsEntry(contents, index * CONTENTS_ENTRY_BYTES),
    )
    return { contents: entries, why: '', body: readsData ? body : null }
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    return { contents: null, why: error.message, body: readsData ? body : null }
  }
}

/** What each file has in a segment. */
function byFile(context: CheckContext, id: number): Map<number, Extent[]> {
  const files = new Map<number, Extent[]>()
  for (const { ino, extent } of context.survey.extents.in(id)) {
    const list = files.get(ino)
    if (list === undefined) files.set(ino, [extent])
    else list.push(extent)
  }
  return files
}

function judgeLost(context: CheckContext, id: number): void {
  const object = segmentKey(id as SegmentId)
  for (const [ino, extents] of byFile(context, id)) {
    tellLost(context, 'lost-segment', {
      ino,
      object,
      ranges: extents.map(({ fileOffset, range }) => ({ from: fileOffset, to: fileOffset + range.lengthBytes })),
      why: `${object} is missing`,
    })
  }
}

function noticeLost(context: CheckContext): void {
  for (const [ino, extents] of byFile(context, LOST_SEGMENT)) {
    const ranges = joined(
      extents.map(({ fileOffset, range }) => ({ from: fileOffset, to: fileOffset + range.lengthBytes })),
    )
    context.findings.notice(
      'lost-data',
      `inode ${ino} has lost ${inWords(ranges)}, found by an earlier repair: reading them fails`,
      { inode: ino },
    )
  }
}

function judgeCarried(context: CheckContext, id: number, { key, packed }: ReplayedData): void {
  judgeBlocks(context, id, key, { contents: packed.contents, why: '', body: packed.stored })
}

function judgeSegment(context: CheckContext, id: number, looked: Looked): void {
  const { findings } = context
  const key = segmentKey(id as SegmentId)
  if (looked.contents === null)
    findings.damage('damaged-contents', {
      object: key,
      message: `${looked.why}: its table of contents cannot be read, so that it can never be cleaned`,
      remedy: 'what files have in it is written into a new segment',
      fix: (repair) => repair.files.moveData([id as SegmentId]),
    })
  judgeBlocks(context, id, key, looked)
  if (looked.contents !== null) judgeSharers(context, id, looked.contents)
}

/** Extents that point at no piece, or at damaged blocks. */
function judgeBlocks(context: CheckContext, id: number, object: string, { contents, body }: Looked): void {
  // In order of their offsets.
  const offsets = Float64Array.from(contents ?? [], ({ offset }) => offset)
  for (const [ino, extents] of byFile(context, id)) {
    const outside: Range[] = []
    const damaged: Range[] = []
    for (const extent of extents) {
      const { fileOffset, range } = extent
      const isInside = contents === null || isWithin(extent, contents[lastUpTo(offsets, range.offset)])
      if (!isInside) outside.push({ from: fileOffset, to: fileOffset + range.lengthBytes })
      else if (body !== null) damaged.push(...damagedIn(extent, body))
    }
    if (outside.length > 0)
      tellLost(context, 'extent-outside', {
        ino,
        object,
        ranges: outside,
        why: `${object} holds no data where extents point`,
      })
    if (damaged.length > 0)
      tellLost(context, 'damaged-data', { ino, object, ranges: damaged, why: `${object} is damaged (checksum)` })
  }
}

/** Where the last of `sorted` stands that is not above `value`; -1: nowhere. */
function lastUpTo(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Whether an extent points at whole blocks of a piece. */
function isWithin({ range }: Extent, entry: ContentsEntry | undefined): boolean {
  if (entry === undefined) return false
  const into = range.offset - entry.offset
  if (into < 0 || into >= entry.lengthBytes || into % STORED_BLOCK_BYTES !== 0) return false
  const left = rawBytesOf(entry.lengthBytes) - (into / STORED_BLOCK_BYTES) * BLOCK_BYTES
  return range.pieceBytes === left || (range.pieceBytes < left && range.pieceBytes % BLOCK_BYTES === 0)
}

/** The parts of the file that lie in damaged blocks. */
function damagedIn({ fileOffset, range }: Extent, body: Buffer): Range[] {
  const { offset, pieceBytes, skipBytes, lengthBytes } = range
  const found: Range[] = []
  const end = skipBytes + lengthBytes
  for (let raw = Math.floor(skipBytes / BLOCK_BYTES) * BLOCK_BYTES; raw < end; raw += BLOCK_BYTES) {
    const at = offset + (raw / BLOCK_BYTES) * STORED_BLOCK_BYTES
    const crcAt = at + Math.min(BLOCK_BYTES, pieceBytes - raw)
    const isWhole = crcAt + 4 <= body.length && crc32c(body.subarray(at, crcAt)) === body.readUInt32LE(crcAt)
    if (isWhole) continue
    found.push({
      from: fileOffset + Math.max(raw, skipBytes) - skipBytes,
      to: fileOffset + Math.min(raw + BLOCK_BYTES, end) - skipBytes,
    })
  }
  return found
}

interface Loss {
  ino: number
  object: string
  ranges: readonly Range[]
  why: string
}

function tellLost(
  { findings, survey }: CheckContext,
  kind: 'lost-segment' | 'damaged-data' | 'extent-outside',
  { ino, object, ranges, why }: Loss,
): void {
  const lost = joined(ranges)
  findings.damage(kind, {
    object,
    inode: ino,
    message: `${why}: inode ${ino} has lost ${inWords(lost)}`,
    remedy: 'they are marked as lost: reading them goes on to fail (EIO), all else of the file stays as it is',
    fix: (repair) => {
      for (const home of survey.homesOf(ino)) repair.files.noteLost(home, lost)
    },
  })
}

/** Neighbouring ranges as one, in order. */
export function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = []
  for (const range of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = result.at(-1)
    if (last !== undefined && range.from <= last.to) last.to = Math.max(last.to, range.to)
    else result.push({ ...range })
  }
  return result
}

const RANGES_TOLD = 8

function inWords(ranges: readonly Range[]): string {
  const bytes = ranges.reduce((sum, { from, to }) => sum + to - from, 0)
  const told = ranges.slice(0, RANGES_TOLD).map(({ from, to }) => `${from} to ${to - 1}`)
  const more = ranges.length > RANGES_TOLD ? ` and ${ranges.length - RANGES_TOLD} more ranges` : ''
  return `${bytes} bytes (${told.join(', ')}${more})`
}

/** Files that refer to a segment elsewhere than its table of contents says must be in its row of SHARERS. */
function judgeSharers(context: CheckContext, id: number, contents: readonly ContentsEntry[]): void {
  const { findings, survey } = context
  const listed = new Set(survey.sharers.get(id) ?? [])
  const missing: number[] = []
  const own = new Map<number, Range[]>()
  for (const { owner, key, lengthBytes } of contents) {
    const ranges = own.get(owner) ?? []
    ranges.push({ from: key, to: key + rawBytesOf(lengthBytes) })
    own.set(owner, ranges)
  }
  for (const [ino, extents] of byFile(context, id)) {
    if (listed.has(ino)) continue
    const covered = joined(own.get(ino) ?? [])
    const isCovered = extents.every(({ fileOffset, range }) =>
      covered.some(({ from, to }) => from <= fileOffset && fileOffset + range.lengthBytes <= to),
    )
    if (!isCovered) missing.push(ino)
  }
  if (missing.length === 0) return
  findings.damage('wrong-sharers', {
    object: segmentKey(id as SegmentId),
    message: `${missing.length} files refer to segment ${id}, which neither its contents nor its list of sharers say`,
    remedy: 'they are put into that list',
    phase: 'counts',
    fix: (repair) => repair.files.addSharers(id, missing),
  })
}

const INO_BYTES = 8

/** The inos in a record of SHARERS. */
export function sharersIn(record: Buffer): number[] {
  return Array.from({ length: Math.floor(record.length / INO_BYTES) }, (_, index) => readU64(record, index * INO_BYTES))
}
