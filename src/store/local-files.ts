// Whole files for the local store: writing one that survives a crash, reading one or a part of it, its etag.
//
// Must stay true: a temporary file is on disk to the last byte, with its final times, before anyone gives it a key;
// nothing touches it afterwards, so that its etag never changes.
import { ruleHolds, type Timespec } from '../platform/index.ts'
import type { Disk, DiskFile, DiskStat } from './local-disk.ts'
import { bodyLengthBytes, type Etag, type StoredObject } from './object-store.ts'

/** writev(2) takes no more (IOV_MAX). */
const MAX_PARTS = 1024

/** An etag from inode number, time of last change and size. Every put makes a new file and sets its time from our own
 *  clock to the microsecond (the kernel's own stamp is as coarse as 4 ms before Linux 6.13), so two puts of one key
 *  differ even when a freed inode number is used again. Needs a filesystem that stores times finer than a second. */
export function fileEtag(stat: DiskStat): Etag {
  return `"${stat.ino.toString(36)}-${stat.mtimeNs.toString(36)}-${stat.size.toString(36)}"` as Etag
}

/** Creates `path` with this content and makes it durable; the name itself is not durable yet. */
export async function writeDurableFile(
  disk: Disk,
  path: string,
  body: readonly Uint8Array[],
  now: Timespec,
): Promise<Etag> {
  const file = await disk.open(path, 'wx')
  try {
    await writeAll(file, body)
    const seconds = now.sec + now.nsec / 1e9
    await file.utimes(seconds, seconds)
    const stat = await file.stat({ bigint: true })
    if (ruleHolds('the local store syncs files before their names')) await file.sync()
    return fileEtag(stat)
  } finally {
    await file.close()
  }
}

async function writeAll(file: DiskFile, body: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < body.length; at += MAX_PARTS) {
    let parts = body.slice(at, at + MAX_PARTS)
    for (let left = bodyLengthBytes(parts); left > 0; ) {
      const { bytesWritten } = await file.writev(parts)
      left -= bytesWritten
      if (left > 0) parts = skipBytes(parts, bytesWritten)
    }
  }
}

function skipBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  for (const part of parts) {
    if (count < part.length) rest.push(part.subarray(count))
    count = Math.max(0, count - part.length)
  }
  return rest
}

/** Reads `lengthBytes` from `offset`, cut short at the end of the file; undefined when `path` is no file. */
export async function readFileRange(
  disk: Disk,
  path: string,
  offset: number,
  lengthBytes: number | undefined,
): Promise<StoredObject | undefined> {
  const file = await disk.open(path, 'r')
  try {
    const stat = await file.stat({ bigint: true })
    if (!stat.isFile()) return undefined
    const available = Math.max(0, Number(stat.size) - offset)
    const body = Buffer.allocUnsafeSlow(Math.min(available, lengthBytes ?? available))
    for (let at = 0; at < body.length; ) {
      const { bytesRead } = await file.read(body, at, body.length - at, offset + at)
      if (bytesRead === 0) throw Object.assign(new Error(`${path} was shortened while it was read`), { code: 'EIO' })
      at += bytesRead
    }
    return { body, etag: fileEtag(stat) }
  } finally {
    await file.close()
  }
}
