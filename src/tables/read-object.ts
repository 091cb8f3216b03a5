// Reading an object that must be whole, and listing many. What arrives damaged is read again, as a bit may have flipped, or
// the end been cut off, on the way. Only what is damaged every time counts as damaged in the store.
import { FsError, ruleHolds } from '../platform/index.ts'
import type { Etag, ListedObject, ObjectStore } from '../store/index.ts'

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
      if (!(error instanceof FsError) || reads === READS_MAX || !ruleHolds('damage on the way is read again'))
        throw error
    }
  }
}

/** All objects whose keys begin with `prefix`, in order; those after `startAfter`. */
export async function listAll(store: ObjectStore, prefix: string, startAfter?: string): Promise<ListedObject[]> {
  const objects: ListedObject[] = []
  for (let from = startAfter; ; ) {
    const page = await store.list(prefix, from === undefined ? {} : { startAfter: from })
    objects.push(...page.objects)
    if (page.next === undefined) return objects
    from = page.next
  }
}
