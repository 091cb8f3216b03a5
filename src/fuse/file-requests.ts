// Requests that change an open file's bytes, or ask where they lie, from bytes to calls: WRITE, COPY_FILE_RANGE, FALLOCATE, LSEEK.
//
// Must stay true: bytes change only after set-ID bits that go with them have gone (set-id.ts). The kernel leaves these to us for
// copies and for fallocate, and does not say who has CAP_FSETID: uid 0 is taken to have it.
import { constants } from 'node:fs'
import { errnoError, FsError, type MaybePromise } from '../platform/index.ts'
import type { Filesystem, Handle, Ino } from '../vfs/index.ts'
import { encodeInvalidateInode, type RequestBuffer } from './codec.ts'
import { type SetIdParts, withoutSetId } from './set-id.ts'
import {
  CopyFileRangeIn,
  FallocateIn,
  InHeader,
  LseekIn,
  SEEK_DATA,
  SEEK_HOLE,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
  WriteIn,
} from './wire.ts'

/** The machine's own: the kernel passes flags as the caller gave them. */
export const O_DIRECT = constants.O_DIRECT
const O_DSYNC = constants.O_DSYNC
/** Of a search that ends with ENXIO. */
const NOWHERE = Number.POSITIVE_INFINITY

/** write(2). `keepsTimes`: the kernel keeps size and times of files that are written (WRITEBACK_CACHE), and says by SETATTR when
 *  they were. */
export function write(parts: SetIdParts, r: RequestBuffer, keepsTimes: boolean): MaybePromise<number> {
  r.need(WriteIn.sizeof)
  const { fs } = parts
  const at = InHeader.sizeof
  const data = r.data(at + WriteIn.sizeof, r.u32(at + WriteIn.size))
  const offset = r.u64(at + WriteIn.offset)
  const [handle, ino] = [r.u64(at + WriteIn.fh) as Handle, r.nodeid as Ino]
  const writeFlags = r.u32(at + WriteIn.writeFlags)
  const flags = r.u32(at + WriteIn.flags)
  const ahead = (writeFlags & WRITE_KILL_SUIDGID) !== 0 ? { endBytes: offset + data.length } : null
  const isLate = keepsTimes && (writeFlags & WRITE_CACHE) !== 0
  const slab = r.slab !== null && data.length === r.slab.bytes.length ? r.slab : undefined
  const how = isLate || slab !== undefined ? { isLate, slab } : undefined
  return withoutSetId(parts, ino, ahead, () => {
    const taken = fs.write(handle, ino, offset, data, how)
    return (flags & O_DIRECT) !== 0 && (flags & O_DSYNC) !== 0 ? synced(fs, handle, ino, taken) : taken
  })
}

/** A write past the page cache that is to be durable: after others the kernel sends FSYNC, after these it does not. */
async function synced(fs: Filesystem, handle: Handle, ino: Ino, taken: MaybePromise<number>): Promise<number> {
  const written = await taken
  await fs.fsync(handle, ino, true)
  return written
}

/** copy_file_range(2). The u64s may be 2^63 - 1, rounded: they end at the source's end anyway. */
export function copyFileRange(parts: SetIdParts, r: RequestBuffer, lengthMax: number): MaybePromise<number> {
  r.need(CopyFileRangeIn.sizeof)
  const at = InHeader.sizeof
  const from = {
    handle: r.u64(at + CopyFileRangeIn.fhIn) as Handle,
    ino: r.nodeid as Ino,
    offset: r.u64(at + CopyFileRangeIn.offIn),
  }
  const to = {
    handle: r.u64(at + CopyFileRangeIn.fhOut) as Handle,
    ino: r.u64(at + CopyFileRangeIn.nodeidOut) as Ino,
    offset: r.u64(at + CopyFileRangeIn.offOut),
  }
  const lengthBytes = Math.min(r.u64(at + CopyFileRangeIn.len), lengthMax)
  const flags = r.u64(at + CopyFileRangeIn.flags)
  const ahead = r.uid !== 0 ? {} : null
  return withoutSetId(parts, to.ino, ahead, () => parts.fs.copyFileRange(from, to, lengthBytes, flags))
}

/** fallocate(2). */
export function fallocate(parts: SetIdParts, r: RequestBuffer): MaybePromise<void> {
  const { fs } = parts
  if (fs.fallocate === undefined) throw errnoError('ENOSYS')
  r.need(FallocateIn.sizeof)
  const at = InHeader.sizeof
  const [handle, ino] = [r.u64(at + FallocateIn.fh) as Handle, r.nodeid as Ino]
  const [offset, lengthBytes] = [r.u64(at + FallocateIn.offset), r.u64(at + FallocateIn.length)]
  const mode = r.u32(at + FallocateIn.mode)
  const ahead = r.uid !== 0 ? { endBytes: offset + lengthBytes } : null
  return withoutSetId(parts, ino, ahead, () => fs.fallocate!(handle, ino, mode, offset, lengthBytes))
}

/** lseek(2) for SEEK_DATA and SEEK_HOLE. */
export function lseek(parts: SetIdParts, r: RequestBuffer, keepsSize: boolean): MaybePromise<number> {
  const { fs } = parts
  if (fs.lseek === undefined) throw errnoError('ENOSYS')
  r.need(LseekIn.sizeof)
  const at = InHeader.sizeof
  const whence = r.u32(at + LseekIn.whence)
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw errnoError('EINVAL')
  const what = whence === SEEK_DATA ? 'data' : 'hole'
  const offset = r.u64(at + LseekIn.offset)
  return seekAsKnown(parts, { handle: r.u64(at + LseekIn.fh) as Handle, ino: r.nodeid as Ino }, offset, what, keepsSize)
}

/** What programs have changed in mapped memory, or the kernel holds back, may lie in what is a hole to us; cp would not copy it.
 *  So the kernel is asked to send what it has there before anybody hears of a hole. `keepsSize`: it may have more past the end. */
async function seekAsKnown(
  { fs, notify }: SetIdParts,
  { handle, ino }: { handle: Handle; ino: Ino },
  offset: number,
  what: 'data' | 'hole',
  keepsSize: boolean,
): Promise<number> {
  const seek = async (from: number, which: 'data' | 'hole'): Promise<number> => {
    try {
      return await fs.lseek!(handle, ino, from, which)
    } catch (error) {
      if (error instanceof FsError && error.code === 'ENXIO') return NOWHERE
      throw error
    }
  }
  let found = await seek(offset, what)
  if (what === 'data' && found === offset) return found
  const hole = what === 'hole' && found !== NOWHERE ? found : offset
  const sizeBytes = keepsSize ? Number.MAX_SAFE_INTEGER : (await fs.getattr(ino, handle)).attributes.sizeBytes
  if (hole < sizeBytes) {
    const end = what === 'data' ? found : await seek(hole, 'data')
    // Also where that fails there is an answer: the one that there was.
    await notify(encodeInvalidateInode(ino, hole, end === NOWHERE ? 0 : end - hole))
    found = await seek(offset, what)
  }
  if (found === NOWHERE) throw errnoError('ENXIO')
  return found
}
