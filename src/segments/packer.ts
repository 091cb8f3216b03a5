// Packers: lay pieces one behind the other into segments and put these out as they fill.
//
// Must stay true:
// - A segment is put with putIfAbsent only, once, and is never changed: ids are never used again.
// - `precondition-failed` may be our own first try: the footer is read back and compared before deciding.
// - When `upload` rejects, whatever of this packer got there is deleted, best effort; a foreign object never is.
// - Parts given to `add` are referred to, not copied (small ones are, into the segment's own buffers), until the put
//   has settled.
import assert from 'node:assert'
import PQueue from 'p-queue'
import { crc32c, FsError, joinCrc32c, ruleHolds } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import {
  CONTENTS_ENTRY_BYTES,
  encodeFrame,
  FOOTER_BYTES,
  HEADER_BYTES,
  maxPieceBytesOf,
  rawBytesOf,
  type SegmentKind,
  STORED_BLOCK_BYTES,
  segmentKey,
  storedBytesOf,
} from './format.ts'
import {
  BLOCK_BYTES,
  BLOCK_CRC_BYTES,
  type DataPacker,
  type DataRange,
  type PackedData,
  type PagePacker,
  type PagePointer,
  type SegmentId,
  type StoredContentsEntry,
} from './segment-store.ts'

/** Parts up to this size are copied together, so that a segment of small files is not thousands of socket writes. */
const COPY_BELOW_BYTES = 4096
const FIRST_STAGING_BYTES = 4096
const STAGING_BYTES = 64 * 1024
/** Segments of one packer on their way to the store before whoever fills them is told to wait. */
const UNDER_WAY_MAX = 4

/** A log to which what is not an error for the caller is told; pino fits. */
export interface SegmentLog {
  warn(details: object, message: string): void
}

export interface UploaderOptions {
  store: ObjectStore
  volumeUuid: Buffer
  segmentSizeBytes: number
  /** PUTs at a time. */
  uploads: number
  log?: SegmentLog | undefined
  /** Told of each data segment that was put, and of how many raw bytes it holds. */
  onPut?: (id: SegmentId, rawBytes: number) => void
}

/** The body of one object: parts by reference, small ones copied together. */
class BodyParts {
  readonly parts: Uint8Array[] = []
  lengthBytes = 0
  #staging = Buffer.alloc(0)
  #begin = 0
  #end = 0

  append(bytes: Uint8Array): void {
    this.lengthBytes += bytes.length
    if (bytes.length > COPY_BELOW_BYTES) {
      this.#flush()
      this.parts.push(bytes)
      return
    }
    this.#reserve(bytes.length)
    this.#staging.set(bytes, this.#end)
    this.#end += bytes.length
  }

  appendUint32(value: number): void {
    this.lengthBytes += 4
    this.#reserve(4)
    this.#staging.writeUInt32LE(value, this.#end)
    this.#end += 4
  }

  finish(): Uint8Array[] {
    this.#flush()
    return this.parts
  }

  #reserve(lengthBytes: number): void {
    if (this.#end + lengthBytes <= this.#staging.length) return
    this.#flush()
    this.#staging = Buffer.allocUnsafeSlow(this.#staging.length === 0 ? FIRST_STAGING_BYTES : STAGING_BYTES)
    this.#begin = 0
    this.#end = 0
  }

  #flush(): void {
    if (this.#end > this.#begin) this.parts.push(this.#staging.subarray(this.#begin, this.#end))
    this.#begin = this.#end
  }
}

/** Calls back for every block of the concatenated parts with its slices and, at its end, its crc and length. */
function eachBlock(
  parts: readonly Uint8Array[],
  onSlice: (slice: Uint8Array) => void,
  onCrc: (crc: number, lengthBytes: number) => void,
): void {
  let crc = 0
  let filled = 0
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const take = Math.min(BLOCK_BYTES - filled, part.length - at)
      const slice = at === 0 && take === part.length ? part : part.subarray(at, at + take)
      crc = crc32c(slice, crc)
      onSlice(slice)
      at += take
      filled += take
      if (filled < BLOCK_BYTES) continue
      onCrc(crc, filled)
      crc = 0
      filled = 0
    }
  }
  if (filled > 0) onCrc(crc, filled)
}

function totalBytes(parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts) sum += part.length
  return sum
}

/** One segment being filled. */
class SegmentBuilder {
  readonly #body = new BodyParts()
  readonly #contents: StoredContentsEntry[] = []
  readonly #word = Buffer.alloc(4)
  #fingerprint = 0
  /** Of the pieces as stored, put together from those of blocks and pages. */
  #piecesCrc = 0
  /** Of file data: without the crcs. */
  rawBytes = 0

  constructor(
    readonly kind: SegmentKind,
    readonly id: SegmentId,
  ) {}

  get #offset(): number {
    return HEADER_BYTES + this.#body.lengthBytes
  }

  /** Whether a piece of `storedBytes` still fits an object of `segmentSizeBytes`. */
  hasRoom(storedBytes: number, segmentSizeBytes: number): boolean {
    const contentsBytes = (this.#contents.length + 1) * CONTENTS_ENTRY_BYTES
    return this.#offset + storedBytes + contentsBytes + FOOTER_BYTES <= segmentSizeBytes
  }

  addData(owner: number, fileOffset: number, parts: readonly Uint8Array[], rawBytes: number): DataRange {
    const offset = this.#offset
    eachBlock(
      parts,
      (slice) => this.#body.append(slice),
      (crc, lengthBytes) => {
        this.#body.appendUint32(crc)
        this.#count(crc, lengthBytes)
        this.#piecesCrc = crc32c(this.#word, this.#piecesCrc)
      },
    )
    this.rawBytes += rawBytes
    const lengthBytes = this.#offset - offset
    const last = this.#contents.at(-1)
    const continues =
      last?.owner === owner &&
      last.lengthBytes % STORED_BLOCK_BYTES === 0 &&
      last.key + rawBytesOf(last.lengthBytes) === fileOffset
    if (continues) last.lengthBytes += lengthBytes
    else this.#contents.push({ owner, key: fileOffset, tableKind: 0, offset, lengthBytes, crc: 0 })
    return { segment: this.id, offset, pieceBytes: rawBytes, skipBytes: 0, lengthBytes: rawBytes }
  }

  addPage(tableKind: number, owner: number, firstKey: number, stored: Uint8Array): PagePointer {
    const offset = this.#offset
    const crc = crc32c(stored)
    this.#body.append(stored)
    this.#count(crc, stored.length)
    this.#contents.push({ owner, key: firstKey, tableKind, offset, lengthBytes: stored.length, crc })
    return { segment: this.id, offset, storedBytes: stored.length, crc }
  }

  /** The whole object. */
  finish(
    volumeUuid: Buffer,
    trailer: Uint8Array | null,
  ): { body: Uint8Array[]; bodyCrc32c: number; footer: Buffer; objectBytes: number } {
    const piecesEnd = this.#offset
    const { header, tail } = encodeFrame({
      kind: this.kind,
      id: this.id,
      volumeUuid,
      piecesEnd,
      contents: this.#contents,
      trailer,
      fingerprint: this.#fingerprint,
    })
    const body = [header, ...this.#body.finish(), ...(trailer === null ? [] : [trailer]), tail]
    const objectBytes = piecesEnd + (trailer?.length ?? 0) + tail.length
    const piecesCrc = joinCrc32c(crc32c(header), this.#piecesCrc, piecesEnd - HEADER_BYTES)
    const bodyCrc32c = crc32c(tail, trailer === null ? piecesCrc : crc32c(trailer, piecesCrc))
    return { body, bodyCrc32c, footer: tail.subarray(tail.length - FOOTER_BYTES), objectBytes }
  }

  /** A block or page was appended. */
  #count(crc: number, lengthBytes: number): void {
    this.#word.writeUInt32LE(crc)
    this.#fingerprint = crc32c(this.#word, this.#fingerprint)
    this.#piecesCrc = joinCrc32c(this.#piecesCrc, crc, lengthBytes)
  }
}

/** How the put of one segment ended. `ours`: what lies under the key, if anything, may be deleted by us. */
type Outcome = { key: string; error: FsError | null; ours: boolean }

/** Puts segments; shared by all packers of a store, so that its bound on parallel PUTs holds for all. */
export class Uploader {
  readonly maxPieceBytes: number
  readonly #options: UploaderOptions
  readonly #queue: PQueue

  constructor(options: UploaderOptions) {
    this.#options = options
    this.#queue = new PQueue({ concurrency: options.uploads })
    this.maxPieceBytes = maxPieceBytesOf(options.segmentSizeBytes)
    assert(this.maxPieceBytes > 0, `a segment of ${options.segmentSizeBytes} bytes cannot hold a block`)
  }

  dataPacker(takeId: () => SegmentId): DataPacker {
    const packing = new Packing('data', this, this.#options, takeId)
    return {
      add: (owner, fileOffset, parts) => {
        const rawBytes = totalBytes(parts)
        assert(rawBytes > 0 && rawBytes <= this.maxPieceBytes, `a piece of ${rawBytes} bytes`)
        return packing.room(storedBytesOf(rawBytes)).addData(owner, fileOffset, parts, rawBytes)
      },
      upload: () => packing.upload(null),
    }
  }

  pagePacker(takeId: () => SegmentId): PagePacker {
    const packing = new Packing('pages', this, this.#options, takeId)
    return {
      add: (tableKind, owner, firstKey, stored) => {
        assert(tableKind > 0 && tableKind < 256 && stored.length > 0)
        return packing.room(stored.length).addPage(tableKind, owner, firstKey, stored)
      },
      upload: (trailer) => packing.upload(trailer ?? null),
      get backlog() {
        return packing.backlog
      },
    }
  }

  /** Puts one object when its turn comes; never rejects. `wanted` is asked then. */
  put(builder: SegmentBuilder, trailer: Uint8Array | null, wanted: () => boolean): Promise<Outcome> {
    const key = segmentKey(builder.id)
    return this.#queue.add(async (): Promise<Outcome> => {
      if (!wanted()) return { key, error: null, ours: false }
      const { body, bodyCrc32c, footer, objectBytes } = builder.finish(this.#options.volumeUuid, trailer)
      try {
        await this.#options.store.putIfAbsent(key, body, { bodyCrc32c })
        if (builder.kind === 'data') this.#options.onPut?.(builder.id, builder.rawBytes)
        return { key, error: null, ours: true }
      } catch (cause) {
        const exists = cause instanceof StoreError && cause.kind === 'precondition-failed'
        if (
          exists &&
          ruleHolds('a 412 of a segment may be our own') &&
          (await this.#isOurs(key, footer, objectBytes))
        ) {
          if (builder.kind === 'data') this.#options.onPut?.(builder.id, builder.rawBytes)
          return { key, error: null, ours: true }
        }
        const why = exists ? 'another object lies there' : cause instanceof Error ? cause.message : String(cause)
        return { key, error: new FsError('EIO', `cannot put ${key}: ${why}`, { cause }), ours: !exists }
      }
    })
  }

  async #isOurs(key: string, footer: Buffer, objectBytes: number): Promise<boolean> {
    try {
      const offset = objectBytes - FOOTER_BYTES
      const { body } = await this.#options.store.get(key, { offset, lengthBytes: FOOTER_BYTES })
      return body.equals(footer)
    } catch (error) {
      this.#options.log?.warn({ key, error }, 'cannot read back a segment that is already there')
      return false
    }
  }
}

/** The segments of one packer. */
class Packing {
  #open: SegmentBuilder | null = null
  #outcomes: Promise<Outcome>[] = []
  /** Puts of full segments that have not ended; they never reject. */
  readonly #underWay = new Set<Promise<unknown>>()
  #failed = false

  constructor(
    readonly kind: SegmentKind,
    readonly uploader: Uploader,
    readonly options: UploaderOptions,
    readonly takeId: () => SegmentId,
  ) {}

  /** The segment that takes the next piece; a full one leaves. */
  room(storedBytes: number): SegmentBuilder {
    const size = this.options.segmentSizeBytes
    if (this.#open !== null && !this.#open.hasRoom(storedBytes, size)) this.#close(null)
    if (this.#open === null) {
      this.#open = new SegmentBuilder(this.kind, this.takeId())
      assert(this.#open.hasRoom(storedBytes, size), `a piece of ${storedBytes} bytes does not fit a segment`)
    }
    return this.#open
  }

  async upload(trailer: Uint8Array | null): Promise<void> {
    this.#close(trailer)
    const outcomes = await Promise.all(this.#outcomes)
    this.#outcomes = []
    const failure = outcomes.find((outcome) => outcome.error !== null)?.error ?? null
    if (failure === null && !this.#failed) return
    const keys = outcomes.filter((outcome) => outcome.ours).map((outcome) => outcome.key)
    try {
      if (keys.length > 0) await this.options.store.delete(keys)
    } catch (error) {
      this.options.log?.warn({ keys, error }, 'cannot delete segments of a failed upload')
    }
    throw failure ?? new FsError('EIO', 'an earlier upload of this packer failed')
  }

  #close(trailer: Uint8Array | null): void {
    const builder = this.#open
    if (builder === null) return
    this.#open = null
    const outcome = this.uploader
      .put(builder, trailer, () => !this.#failed)
      .then((result) => {
        // `upload` throws it.
        if (result.error !== null) this.#failed = true
        this.#underWay.delete(outcome)
        return result
      })
    this.#underWay.add(outcome)
    this.#outcomes.push(outcome)
  }

  get backlog(): Promise<void> | null {
    return this.#underWay.size < UNDER_WAY_MAX ? null : this.#oneIsPut()
  }

  async #oneIsPut(): Promise<void> {
    await Promise.race(this.#underWay)
  }
}

/** Lays runs out for a commit: pieces alone, in one buffer. */
export function packInMemory(
  id: SegmentId,
  runs: readonly { owner: number; fileOffset: number; parts: readonly Uint8Array[] }[],
): { packed: PackedData; ranges: DataRange[] } {
  const rawBytes = runs.map((run) => totalBytes(run.parts))
  const stored = Buffer.allocUnsafeSlow(rawBytes.reduce((sum, raw) => sum + storedBytesOf(raw), 0))
  const packed: PackedData = { stored, contents: [] }
  const ranges: DataRange[] = []
  let at = 0
  runs.forEach(({ owner, fileOffset, parts }, i) => {
    const offset = at
    const pieceBytes = rawBytes[i]!
    assert(pieceBytes > 0, 'an empty piece')
    eachBlock(
      parts,
      (slice) => {
        stored.set(slice, at)
        at += slice.length
      },
      (crc) => {
        at = stored.writeUInt32LE(crc, at)
      },
    )
    assert(at - offset === pieceBytes + Math.ceil(pieceBytes / BLOCK_BYTES) * BLOCK_CRC_BYTES)
    packed.contents.push({ owner, key: fileOffset, tableKind: 0, offset, lengthBytes: at - offset })
    ranges.push({ segment: id, offset, pieceBytes, skipBytes: 0, lengthBytes: pieceBytes })
  })
  return { packed, ranges }
}
