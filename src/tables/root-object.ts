// The object `root` in the store: reading it, and replacing it.
//
// Must stay true: it is replaced by If-Match alone; a 412 is read back before anything is concluded from it.
import { FsError, ruleHolds } from '../platform/index.ts'
import { type Etag, type ObjectStore, StoreError } from '../store/index.ts'
import { readDecoded } from './read-object.ts'
import { decodeRoot, encodeRoot, ROOT_KEY, type Root } from './root.ts'

interface RootPlace {
  store: ObjectStore
  volumeUuid: Buffer
}

/** Reads `root`. FsError EIO when it is missing or damaged. */
export async function readRoot(options: RootPlace): Promise<{ root: Root; body: Buffer; etag: Etag }> {
  const decode = (body: Buffer) => decodeRoot(body, options.volumeUuid)
  const { decoded, body, etag } = await readDecoded(options.store, ROOT_KEY, decode).catch((error: unknown) => {
    if (error instanceof StoreError && error.kind === 'not-found') {
      throw new FsError('EIO', `the volume has no ${ROOT_KEY} object: \`cairnfs fsck STORE --repair\` recovers it`, {
        cause: error,
      })
    }
    if (error instanceof FsError)
      throw new FsError('EIO', `${error.message}: \`cairnfs fsck STORE --repair\` recovers it`, { cause: error })
    throw error
  })
  return { root: decoded, body, etag }
}

/** Replaces `root` by If-Match; null when somebody else did first. A 412 may be our own first try, or an earlier root of
 *  ours whose answer never came: that one is replaced. */
export async function replaceRoot(
  options: RootPlace,
  root: Root,
  etag: Etag,
): Promise<{ root: Root; etag: Etag } | null> {
  for (;;) {
    const body = encodeRoot(options.volumeUuid, root)
    try {
      if (!ruleHolds('root is replaced by If-Match')) return { root, etag: await options.store.put(ROOT_KEY, [body]) }
      return { root, etag: await options.store.putIfMatch(ROOT_KEY, [body], etag) }
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'precondition-failed') throw error
      if (!ruleHolds('a 412 of root may be our own')) return null
      const now = await readRoot(options)
      if (now.body.equals(body)) return { root, etag: now.etag }
      const there = now.root
      const isOurs = there.session.equals(root.session) || !ruleHolds('a root of another writer is not replaced')
      if (now.etag === etag || !isOurs) return null
      etag = now.etag
      root = { ...root, number: there.number + 1 }
    }
  }
}
