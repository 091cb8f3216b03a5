// Requests that change or ask where an open file's bytes lie, from bytes to calls: COPY_FILE_RANGE, FALLOCATE, LSEEK.
//
// Must stay true: bytes change only after set-ID bits that go with them have gone (set-id.ts). The kernel leaves these to us for
// copies and for fallocate, and does not say who has CAP_FSETID: uid 0 is taken to have it.
import { errnoError, type MaybePromise } from '../platform/index.ts'
import type { Filesystem, Handle, Ino } from '../vfs/index.ts'
import type { RequestBuffer } from './codec.ts'
import { type SetIdParts, withoutSetId } from './set-id.ts'
import { CopyFileRangeIn, FallocateIn, InHeader, LseekIn, SEEK_DATA, SEEK_HOLE } from './wire.ts'

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
export function lseek(fs: Filesystem, r: RequestBuffer): MaybePromise<number> {
  if (fs.lseek === undefined) throw errnoError('ENOSYS')
  r.need(LseekIn.sizeof)
  const at = InHeader.sizeof
  const whence = r.u32(at + LseekIn.whence)
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw errnoError('EINVAL')
  const [handle, ino] = [r.u64(at + LseekIn.fh) as Handle, r.nodeid as Ino]
  return fs.lseek(handle, ino, r.u64(at + LseekIn.offset), whence === SEEK_DATA ? 'data' : 'hole')
}
