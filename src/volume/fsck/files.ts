// The extents of files: in order, without overlaps, inside the size, their lengths summed up. Whether they point into
// segments that are there is looked at segment by segment (segment-pass.ts).
import { decodeInlineExtent, decodeRange, EXTENT_RECORD_BYTES, type Extent } from '../../data/index.ts'
import { blankAttributes, EXTENTS, EXTENTS_IN_TABLE, isRegular, readAttributes, recordTail } from '../../meta/index.ts'
import { BLOCK_BYTES } from '../../segments/index.ts'
import { type CheckContext, hasUnreadable } from './context.ts'
import type { Fix } from './findings.ts'
import type { Home } from './survey.ts'
import { checkInlineXattrs } from './xattrs.ts'

const INLINE_EXTENT_BYTES = 32
const EXTENT_MAX_BYTES = 64 * 1024 * 1024

/** A file whose extents lie in a table of their own: looked at when the scan that met it has ended. */
export interface TableFile {
  home: Home
  sizeBytes: number
  allocatedBytes: number
}

/** What is wrong with a list of extents, gathered as they come by. */
class ExtentCheck {
  #end = 0
  #sum = 0
  overlaps = 0
  outside = 0

  constructor(readonly sizeBytes: number) {}

  add({ fileOffset, range }: Extent): void {
    const end = fileOffset + range.lengthBytes
    if (!isPossible(range)) this.outside++
    else if (fileOffset < this.#end) this.overlaps++
    else if (end > this.sizeBytes) this.outside++
    this.#end = Math.max(this.#end, end)
    this.#sum += range.lengthBytes
  }

  get sum(): number {
    return this.#sum
  }
}

/** Whether a range can be at all. */
export function isPossible({ segment, pieceBytes, skipBytes, lengthBytes }: Extent['range']): boolean {
  const isWhole = Number.isSafeInteger(segment) && lengthBytes > 0 && lengthBytes <= EXTENT_MAX_BYTES
  return isWhole && skipBytes < BLOCK_BYTES && skipBytes + lengthBytes <= pieceBytes
}

/** Looks at the file whose inode begins at `at`; what must wait for its extents table is put into `later`. */
export function checkFile(context: CheckContext, bytes: Buffer, at: number, home: Home, later: TableFile[]): void {
  const { survey } = context
  const inode = blankAttributes()
  readAttributes(bytes, at, inode)
  const { allocatedBytes } = inode
  const isFile = isRegular(inode.mode)
  if (isFile) survey.files++
  else survey.otherInodes++
  survey.highestIno = Math.max(survey.highestIno, home.ino)
  checkInlineXattrs(context, bytes, at, home)
  const sizeBytes = isFile ? inode.sizeBytes : 0
  const { extents, extentsAt, targetAt } = recordTail(bytes, at)!
  if (extents === EXTENTS_IN_TABLE) {
    survey.tableFiles.set(home.ino, { sizeBytes, allocatedBytes, foundBytes: 0 })
    later.push({ home, sizeBytes, allocatedBytes })
    return
  }
  if (extents === 0 && allocatedBytes === 0) return
  const check = new ExtentCheck(sizeBytes)
  for (let extentAt = extentsAt; extentAt < targetAt; extentAt += INLINE_EXTENT_BYTES) {
    const extent = decodeInlineExtent(bytes, extentAt)
    check.add(extent)
    survey.extents.push(home.ino, extent)
  }
  judge(context, home, allocatedBytes, check)
}

/** The extents tables of the files that a scan met. */
export async function checkTableFiles(context: CheckContext, files: readonly TableFile[]): Promise<void> {
  const { findings, inspector, survey } = context
  for (const { home, sizeBytes, allocatedBytes } of files) {
    const check = new ExtentCheck(sizeBytes)
    const bad: number[] = []
    await inspector.scan(EXTENTS, home.ino, (key, record) => {
      if (record.length !== EXTENT_RECORD_BYTES) {
        bad.push(key)
        return
      }
      const extent = { fileOffset: key, range: decodeRange(record, 0) }
      check.add(extent)
      survey.extents.push(home.ino, extent)
    })
    for (const key of bad) {
      findings.damage('damaged-record', {
        inode: home.ino,
        message: `the extent at ${key} of inode ${home.ino} is damaged`,
        remedy: 'it is taken out: what it held is a hole',
        fix: (repair) => repair.change((transaction) => transaction.delete(EXTENTS, home.ino, key)),
      })
    }
    survey.tableFiles.get(home.ino)!.foundBytes = check.sum
    // What cannot be read is missing in the sum: the damaged page says so.
    if (!hasUnreadable(context, EXTENTS, home.ino)) judge(context, home, allocatedBytes, check)
  }
}

function judge(
  { findings }: CheckContext,
  home: Home,
  allocatedBytes: number,
  { overlaps, outside, sum }: ExtentCheck,
): void {
  const { ino } = home
  const fix: Fix = (repair) => repair.files.rewrite(home)
  if (overlaps > 0)
    findings.damage('overlapping-extents', {
      inode: ino,
      message: `${overlaps} extents of inode ${ino} begin before the one in front of them ends`,
      remedy: 'of bytes that two extents hold, those of the newer segment are kept',
      fix,
    })
  if (outside > 0)
    findings.damage('extent-outside', {
      inode: ino,
      message: `${outside} extents of inode ${ino} reach beyond the file’s end, or are none that can be`,
      remedy: 'they are cut off at the end, which changes nothing that a reader sees; impossible ones are taken out',
      fix,
    })
  if (overlaps === 0 && outside === 0 && sum !== allocatedBytes)
    findings.damage('wrong-size', {
      inode: ino,
      message: `inode ${ino} counts ${allocatedBytes} allocated bytes, its extents hold ${sum}`,
      remedy: `it counts ${sum}`,
      fix,
    })
}
