// ObjectStore: all that cairnfs asks of a bucket. Kept to what S3, MinIO and a local folder can do atomically.
//
// Must stay true of every implementation (test/store/conformance.ts holds each to it):
// - A put is atomic and durable: when it resolves the whole object is there and survives a crash of the store's host;
//   before, nobody sees a part of it.
// - Reads follow writes: a get, head or list begun after a put or delete resolved sees it.
// - Of any number of concurrent putIfAbsent of one key, or putIfMatch with one etag, exactly one succeeds; putIfMatch
//   on a missing key fails (PreconditionFailed or NotFound).
// - A put of other bytes changes the etag; a put of the same bytes may keep it (S3 makes etags from content). So bodies
//   that race by putIfMatch must differ, from each other and from what they replace: give them a session and a number.
// - Bodies given to a put must not change until it has settled.
// - Keys are 1 to 1,024 bytes of UTF-8 in components divided by '/'; no component is empty, '.' or '..', the first is not
//   '.cairnfs' (keys.ts checks it, so that every store refuses the same ones with `fatal`).
// - An aborted call rejects with the signal's reason, not with a StoreError; an aborted put may have taken effect.

export type Etag = string & { readonly __brand: 'Etag' }

/** How a request gets on: what retry.ts needs to tell a slow one from one that is stuck. */
export interface RequestProgress {
  /** It waits in the store for a connection that others use: its time does not run. */
  queued(): void
  /** It has its connection, or more of its body went out or came in: so many bytes in this request. */
  moved(bytes: number): void
}

export interface GetOptions {
  /** First byte wanted; 0 unless told. */
  offset?: number
  /** How many bytes; to the end unless told. A range that ends past the object's end is cut short; one that begins at
   *  or past it resolves to an empty body. */
  lengthBytes?: number
  signal?: AbortSignal
  /** Told by stores whose requests wait for connections. */
  progress?: RequestProgress
  /** Memory for the body, of exactly so many bytes. A store may ask for it anew for each try, or not at all; nothing is
   *  written to the body's once the call has settled. */
  allocate?: (lengthBytes: number) => Buffer
}

export interface StoredObject {
  /** Owned by the caller; never pooled, never written to again by the store. */
  body: Buffer
  etag: Etag
}

export interface PutOptions {
  signal?: AbortSignal
  progress?: RequestProgress
  /** Of a put: the crc32c of its whole body, where the caller knows it, so that nobody reads the body only for it. A body
   *  that has another is refused by services that check it (as `retryable`), and never stored by them. */
  bodyCrc32c?: number
}

export interface ListOptions {
  /** Only keys after this one (exclusive), in order of UTF-8 bytes. */
  startAfter?: string
  /** At most this many keys; 1,000 unless told, and never more. */
  limit?: number
  signal?: AbortSignal
  progress?: RequestProgress
}

export interface ListedObject {
  key: string
  sizeBytes: number
  etag: Etag
}

export interface ListPage {
  objects: ListedObject[]
  /** Give this as `startAfter` to go on; absent when the listing is complete. */
  next?: string
}

export interface ObjectStore {
  /** The store's name to the letter as the user gave it, e.g. `s3://bucket/prefix`; holds no credentials. */
  readonly name: string

  /** Reads an object or a range of it. Throws StoreError `not-found`. */
  get(key: string, options?: GetOptions): Promise<StoredObject>
  /** Puts an object, whatever was there. `body` parts are sent in order, without being joined. */
  put(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag>
  /** Puts an object where there is none (If-None-Match: *). Throws `precondition-failed` when there is one. */
  putIfAbsent(key: string, body: readonly Uint8Array[], options?: PutOptions): Promise<Etag>
  /** Replaces the object whose etag is `etag` (If-Match). Throws `precondition-failed` when it has another, and
   *  `not-found` or `precondition-failed` when it is missing. */
  putIfMatch(key: string, body: readonly Uint8Array[], etag: Etag, options?: PutOptions): Promise<Etag>
  /** Deletes; keys that do not exist are no error. Any number of keys: split into requests of 1,000. */
  delete(keys: readonly string[], options?: PutOptions): Promise<void>
  /** One page of the keys that begin with `prefix`, in order of their UTF-8 bytes. */
  list(prefix: string, options?: ListOptions): Promise<ListPage>
  /** Throws `not-found`. */
  head(key: string, options?: PutOptions): Promise<{ sizeBytes: number; etag: Etag }>
  /** Releases sockets and file descriptors. The store must not be used afterwards. */
  close(): Promise<void>
}

/** not-found: no such key (or, for `no-bucket`, no such bucket). precondition-failed: If-Match or If-None-Match.
 *  retryable: may succeed when tried again, and **may have taken effect**. denied: credentials or permissions.
 *  fatal: everything else; trying again is of no use. */
export type StoreErrorKind = 'not-found' | 'no-bucket' | 'precondition-failed' | 'retryable' | 'denied' | 'fatal'

export class StoreError extends Error {
  override readonly name = 'StoreError'
  /** Of a `precondition-failed`: an earlier try of the same call ended without an answer, so the object that stands in
   *  the way may be our own. Read it back and compare before deciding (set by retry.ts alone). */
  readonly ambiguous: boolean

  constructor(
    readonly kind: StoreErrorKind,
    message: string,
    options?: { cause?: unknown; ambiguous?: boolean },
  ) {
    super(message, options)
    this.ambiguous = options?.ambiguous ?? false
  }
}

/** S3 deletes at most this many keys in one request; `delete` of more is as many requests as batches. */
export const DELETE_BATCH_KEYS = 1000

/** Splits the keys of a `delete` into what one request carries. Every store and every decorator that counts, delays or
 *  repeats requests splits in this way, so that one call of the store below is one request. */
export function deleteBatches(keys: readonly string[]): (readonly string[])[] {
  if (keys.length <= DELETE_BATCH_KEYS) return keys.length === 0 ? [] : [keys]
  const batches: string[][] = []
  for (let at = 0; at < keys.length; at += DELETE_BATCH_KEYS) batches.push(keys.slice(at, at + DELETE_BATCH_KEYS))
  return batches
}

/** The length of a body given in parts. */
export function bodyLengthBytes(body: readonly Uint8Array[]): number {
  let length = 0
  for (const part of body) length += part.length
  return length
}
