// JSON objects with a checksum of their own, so that a flipped bit in one does not pass for another value.
//
// The field `checksum`, the last, is the crc32c in hex of the object without it, as JSON.stringify gives it. Objects
// without the field pass: they are of a cairnfs that did not write it, or made by hand.
import { crc32c } from './crc32c.ts'

export function encodeCheckedJson(value: object): Buffer {
  return Buffer.from(`${JSON.stringify({ ...value, checksum: checksumOf(value) }, null, 2)}\n`)
}

/** Whether a parsed object is what was encoded. */
export function checksumHolds(parsed: unknown): boolean {
  if (typeof parsed !== 'object' || parsed === null || !('checksum' in parsed)) return true
  const { checksum, ...value } = parsed
  return checksum === checksumOf(value)
}

function checksumOf(value: object): string {
  return crc32c(Buffer.from(JSON.stringify(value)))
    .toString(16)
    .padStart(8, '0')
}
