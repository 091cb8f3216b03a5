// The trailer of a segment: what a checkpoint put behind the pages of its last one, for the day on which `root` is lost.
import { crc32c, FsError } from '../platform/index.ts'
import { type ObjectStore, StoreError } from '../store/index.ts'
import { decodeFooter, FOOTER_BYTES, segmentKey } from './format.ts'
import type { SegmentId } from './segment-store.ts'

const READS_MAX = 3

export interface Trailer {
  /** Null when the segment has none. */
  bytes: Buffer | null
  /** First 8 bytes of the uuid of the volume that the segment is of. */
  uuidPrefix: Buffer
}

/** Reads the trailer of a segment, by two small requests, one where there is none. Null where the segment is damaged or of
 *  another volume than `volumeUuid` (null: of any), and where it is gone. Throws StoreError when the store does not
 *  answer. */
export async function readTrailer(
  store: ObjectStore,
  segment: { id: SegmentId; objectBytes: number; volumeUuid: Buffer | null },
): Promise<Trailer | null> {
  for (let reads = 1; ; reads++) {
    try {
      return await readOnce(store, segment)
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'not-found') return null
      if (!(error instanceof FsError)) throw error
      // Whoever needs its pages is told what is wrong with it.
      if (reads === READS_MAX) return null
    }
  }
}

async function readOnce(
  store: ObjectStore,
  { id, objectBytes, volumeUuid }: { id: SegmentId; objectBytes: number; volumeUuid: Buffer | null },
): Promise<Trailer | null> {
  const key = segmentKey(id)
  if (objectBytes < FOOTER_BYTES) return null
  const { body: footer } = await store.get(key, { offset: objectBytes - FOOTER_BYTES })
  const uuidPrefix = footer.subarray(28, 36)
  const { contentsOffset } = decodeFooter(footer, { id, objectBytes, volumeUuid: volumeUuid ?? uuidPrefix })
  const lengthBytes = footer.readUInt32LE(12)
  if (lengthBytes === 0 || lengthBytes > contentsOffset) return { bytes: null, uuidPrefix }
  const { body: bytes } = await store.get(key, { offset: contentsOffset - lengthBytes, lengthBytes })
  if (bytes.length !== lengthBytes || crc32c(bytes) !== footer.readUInt32LE(16))
    throw new FsError('EIO', `${key} has a damaged trailer`)
  return { bytes, uuidPrefix }
}
