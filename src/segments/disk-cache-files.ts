// The files of the disk cache: each holds a run of one object's bytes. Writing one, reading parts of one, its name.
//
//   name   ID.START-END.end, or .part; ID as in the object's key, START and END decimal; `.end`: the object ends with it
//   file   the bytes of the run
//          crc32c (u32) of each block; blocks end at multiples of 64 KiB of the object, and where the run ends
//          the object's etag
//          bytes of the etag (u16), crc32c (u32) of all behind the bytes of the run
//
// Must stay true:
// - Every crc begins from the scope (volume and store), the key and the place in the object: after a power loss a file may
//   hold zeros, or what another cache file held. Neither verifies.
// - Nothing is handed out unverified: what does not verify, or is too short, is a DamagedFileError.
import { crc32c } from '../platform/index.ts'
import type { Disk, DiskFile, Etag } from '../store/index.ts'
import { parseSegmentKey, segmentKey } from './format.ts'
import type { SegmentId } from './segment-store.ts'

const BLOCK_BYTES = 64 * 1024
const TAIL_END_BYTES = 6
/** Checksums are made of so many blocks in one turn: 2 MiB, a millisecond or two. */
const BLOCKS_PER_TURN = 32
const ETAG_BYTES_MAX = 1024
const NAME = /^([0-9a-f]{14})\.(0|[1-9]\d{0,15})-([1-9]\d{0,15})\.(end|part)$/

/** What a file holds: bytes [start, end) of the segment. */
export interface Run {
  readonly id: SegmentId
  readonly start: number
  readonly end: number
  /** The object ends with it. */
  readonly isEnd: boolean
}

/** A file that was damaged, or never wholly written. */
export class DamagedFileError extends Error {}

/** The folder of a segment's files: its shard. */
export function shardOf(id: SegmentId): string {
  return segmentKey(id).split('/')[1] as string
}

export function fileNameOf(run: Run): string {
  return `${segmentKey(run.id).split('/')[2]}.${run.start}-${run.end}.${run.isEnd ? 'end' : 'part'}`
}

/** The run of a file in a shard's folder; null for a file that is none of the cache's. */
export function parseFileName(shard: string, name: string): Run | null {
  const match = NAME.exec(name)
  const id = match === null ? null : parseSegmentKey(`segments/${shard}/${match[1]}`)
  if (match === null || id === null) return null
  const run = { id, start: Number(match[2]), end: Number(match[3]), isEnd: match[4] === 'end' }
  return run.start < run.end && Number.isSafeInteger(run.end) ? run : null
}

/** Bytes of the file of a run, with the longest etag. */
export function fileBytesOf({ start, end }: Run): number {
  return end - start + 4 * blockCount(start, end) + ETAG_BYTES_MAX
}

export function isFitEtag(etag: Etag): boolean {
  return Buffer.byteLength(etag) <= ETAG_BYTES_MAX
}

/** Lets others run. */
export type YieldTurn = () => Promise<void>

export interface RunContent {
  /** Of the volume and the store. */
  scope: string
  run: Run
  body: Buffer
  etag: Etag
}

/** Writes a new file. It is not made durable: what a crash leaves of it does not verify. */
export async function writeRun(
  disk: Disk,
  path: string,
  { scope, run, body, etag }: RunContent,
  yieldTurn: YieldTurn,
): Promise<void> {
  const blocks = blockCount(run.start, run.end)
  const etagBytes = Buffer.from(etag)
  const tail = Buffer.alloc(4 * blocks + etagBytes.length + TAIL_END_BYTES)
  for (let i = 0; i < blocks; i++) {
    tail.writeUInt32LE(blockCrc(scope, run, i, body), 4 * i)
    if (i % BLOCKS_PER_TURN === BLOCKS_PER_TURN - 1) await yieldTurn()
  }
  etagBytes.copy(tail, 4 * blocks)
  tail.writeUInt16LE(etagBytes.length, tail.length - 6)
  tail.writeUInt32LE(tailCrc(scope, run, tail), tail.length - 4)
  const file = await disk.open(path, 'wx')
  try {
    for (let parts: Uint8Array[] = [body, tail]; parts.length > 0; ) {
      const { bytesWritten } = await file.writev(parts)
      parts = after(parts, bytesWritten)
    }
  } finally {
    await file.close()
  }
}

export interface RunPart {
  scope: string
  run: Run
  /** Bytes [from, to) of the object, within the run, are read into memory of just this length. */
  from: number
  to: number
  into: Buffer
  /** When it was used, where the file is to keep that. */
  usedMs: number | null
}

/** Reads a part of a run, and tells the object's etag. Throws DamagedFileError, and whatever the disk says. */
export async function readRun(disk: Disk, path: string, part: RunPart, yieldTurn: YieldTurn): Promise<Etag> {
  const { scope, run, from, to, into } = part
  const firstBlock = blockAt(run, from)
  const endBlock = blockAt(run, to - 1) + 1
  const start = blockStart(run, firstBlock)
  const end = blockStart(run, endBlock)
  const isAligned = start === from && end === to
  const bytes = isAligned ? into : Buffer.allocUnsafeSlow(end - start)
  const tailBytesMax = 4 * blockCount(run.start, run.end) + ETAG_BYTES_MAX + TAIL_END_BYTES
  const file = await disk.open(path, 'r')
  try {
    const [, tail] = await Promise.all([
      readFully(file, bytes, start - run.start),
      readTail(file, run.end - run.start, tailBytesMax),
    ])
    const etag = verifyTail(scope, run, tail)
    const wanted: Run = { ...run, start, end }
    for (let i = 0; i < endBlock - firstBlock; i++) {
      if (blockCrc(scope, wanted, i, bytes) !== tail.readUInt32LE(4 * (firstBlock + i))) {
        throw new DamagedFileError(`${path} has a damaged block at ${blockStart(run, firstBlock + i)}`)
      }
      if (i % BLOCKS_PER_TURN === BLOCKS_PER_TURN - 1) await yieldTurn()
    }
    if (!isAligned) bytes.copy(into, 0, from - start, to - start)
    // Others may own the file; then it ages.
    if (part.usedMs !== null) await file.utimes(part.usedMs / 1000, part.usedMs / 1000).catch(() => {})
    return etag
  } finally {
    await file.close()
  }
}

function verifyTail(scope: string, run: Run, tail: Buffer): Etag {
  const crcBytes = 4 * blockCount(run.start, run.end)
  const etagBytes = tail.length - crcBytes - TAIL_END_BYTES
  const isWhole =
    etagBytes >= 0 &&
    tail.readUInt16LE(tail.length - 6) === etagBytes &&
    tail.readUInt32LE(tail.length - 4) === tailCrc(scope, run, tail)
  if (!isWhole) throw new DamagedFileError(`the file of ${segmentKey(run.id)} at ${run.start} has a damaged end`)
  return tail.toString('utf8', crcBytes, crcBytes + etagBytes) as Etag
}

/** Begins from what stands for the block's place, so that no other block passes for it. */
function blockCrc(scope: string, run: Run, index: number, body: Buffer): number {
  const start = blockStart(run, index)
  const bytes = body.subarray(start - run.start, blockStart(run, index + 1) - run.start)
  return crc32c(bytes, crc32c(Buffer.from(`${scope} ${run.id} ${start}`)))
}

function tailCrc(scope: string, run: Run, tail: Buffer): number {
  const place = `${scope} ${run.id} ${run.start} ${run.end} ${run.isEnd}`
  return crc32c(tail.subarray(0, tail.length - 4), crc32c(Buffer.from(place)))
}

function blockCount(start: number, end: number): number {
  return Math.ceil(end / BLOCK_BYTES) - Math.floor(start / BLOCK_BYTES)
}

function blockAt({ start }: Run, at: number): number {
  return Math.floor(at / BLOCK_BYTES) - Math.floor(start / BLOCK_BYTES)
}

/** Where the block with this number begins, or the last one ends. */
function blockStart({ start, end }: Run, index: number): number {
  const at = (Math.floor(start / BLOCK_BYTES) + index) * BLOCK_BYTES
  return Math.min(end, Math.max(start, at))
}

async function readFully(file: DiskFile, into: Buffer, position: number): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const { bytesRead } = await file.read(into, at, into.length - at, position + at)
    if (bytesRead === 0) throw new DamagedFileError(`a file ends at ${position + at}`)
    at += bytesRead
  }
}

async function readTail(file: DiskFile, position: number, bytesMax: number): Promise<Buffer> {
  const tail = Buffer.alloc(bytesMax)
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(tail, at, bytesMax - at, position + at)
    at += bytesRead
    if (bytesRead === 0 || at === bytesMax) return tail.subarray(0, at)
  }
}

function after(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  for (const part of parts) {
    if (count < part.length) rest.push(part.subarray(count))
    count = Math.max(0, count - part.length)
  }
  return rest
}
