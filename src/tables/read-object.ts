// Reading an object that must be whole: what arrives damaged is read again, as a bit may have flipped, or the end been cut
// off, on the way. Only what is damaged every time counts as damaged in the store.
import { FsError } from '../platform/index.ts'
import type { Etag, ObjectStore } from '../store/index.ts'

const READS_MAX = 3

/** Reads `key` and decodes it. `decode` throws FsError EIO for a damaged body; the last such error is thrown on. Throws
 *  StoreError as the store does. */
export async function readDecoded<T>(
  store: ObjectStore,
  key: string,
  decode: (body: Buffer) => T,
): Promise<{ decoded: T; body: Buffer; etag: Etag }> {
  for (let reads = 1; ; reads++) {
    const { body, etag } = await store.get(key)
    try {
      return { decoded: decode(body), body, etag }
    } catch (error) {
      if (!(error instanceof FsError) || reads === READS_MAX) throw error
    }
  }
}
