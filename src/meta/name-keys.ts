// From a name to its key in a directory's table: the top 45 bits of SipHash-2-4 under the volume's key, then 8 bits of
// ordinal. Key + 1 is the readdir cookie.
//
// Must stay true: keys 0 and 1 are "." and ".." (a hash of 0 becomes 1, so no name comes below 256); the same name has the
// same hash for as long as the volume lives.
import { ok as assert } from 'node:assert'
import siphash from 'siphash'

export const DOT_KEY = 0
export const DOT_DOT_KEY = 1
/** First key a name can have. */
export const FIRST_NAME_KEY = 256
export const ORDINALS = 256
/** Longer ones, which only folding makes, are hashed each time. */
const REMEMBERED_BYTES_MAX = 255
export const KEY_MAX = Number.MAX_SAFE_INTEGER

export type NameKeys = (name: Uint8Array) => number

/** Makes the function from a name's bytes to its key with ordinal 0. `hashKey` is the volume's 16 bytes. */
export function nameKeys(hashKey: Uint8Array): NameKeys {
  assert(hashKey.length === 16, 'the hash key has 16 bytes')
  const view = new DataView(hashKey.buffer, hashKey.byteOffset, 16)
  const words = Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at, true))
  // A name that is made was asked for just before: the last one need not be hashed again.
  const lastName = new Uint8Array(REMEMBERED_BYTES_MAX)
  let lastLength = -1
  let lastKey = 0
  return (name) => {
    if (name.length === lastLength && startsWith(lastName, name)) return lastKey
    const { h, l } = siphash.hash(words, name)
    const hash = h * 8192 + (l >>> 19)
    lastKey = (hash === 0 ? 1 : hash) * ORDINALS
    lastLength = name.length <= REMEMBERED_BYTES_MAX ? name.length : -1
    if (lastLength >= 0) lastName.set(name)
    return lastKey
  }
}

function startsWith(bytes: Uint8Array, name: Uint8Array): boolean {
  for (let at = 0; at < name.length; at++) if (bytes[at] !== name[at]) return false
  return true
}

export function cookieOf(key: number): number {
  return key + 1
}
