// What a key may be, and the order keys are listed in: the same in every store.
//
// Must stay true: a key that passes checkKey names a file strictly below a local store's folder, and is taken by S3 and
// MinIO to the letter; the order is that of the keys' UTF-8 bytes, which is what S3 lists in.
import { StoreError } from './object-store.ts'

const MAX_KEY_BYTES = 1024

/** First component that local stores keep for their own files. */
export const RESERVED_COMPONENT = '.cairnfs'

const BAD_COMPONENT = /(?:^|\/)\.{0,2}(?:\/|$)/
const BAD_CHARACTER = /[\0\p{Surrogate}]/u

/** Throws StoreError `fatal` unless `key` may name an object. */
export function checkKey(key: string): void {
  if (
    BAD_COMPONENT.test(key) ||
    BAD_CHARACTER.test(key) ||
    key === RESERVED_COMPONENT ||
    key.startsWith(`${RESERVED_COMPONENT}/`) ||
    (key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES)
  )
    throw new StoreError(
      'fatal',
      `key ${JSON.stringify(key.slice(0, 100))} is not usable: 1 to 1,024 bytes, no empty, '.' or '..' component, not under .cairnfs`,
    )
}

/** Compares by UTF-8 bytes without encoding: UTF-16 order differs only where a surrogate meets U+E000 to U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return utf8Rank(x) - utf8Rank(y)
  }
  return a.length - b.length
}

function utf8Rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

const MAX_LIST_KEYS = 1000

/** The number of keys of a list page that was asked for with `limit`. */
export function listLimit(limit: number | undefined): number {
  return Math.max(1, Math.min(limit ?? MAX_LIST_KEYS, MAX_LIST_KEYS))
}
