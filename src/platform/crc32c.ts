// CRC-32C (Castagnoli), RFC 3720 section B.4: the checksum of every page, block, commit and segment.
import { crc32c as native } from '@node-rs/crc32'

/** The crc32c of `bytes`, an unsigned 32-bit number; `previous` continues an earlier one. */
export function crc32c(bytes: Uint8Array, previous?: number): number {
  return native(bytes as Buffer, previous)
}

/** The crc32c of bytes by those of their two parts, without a look at them: the first is multiplied by x to the power of
 *  8 times the length of the second, and the second added, all of it modulo the polynomial (zlib's crc32_combine). */
export function joinCrc32c(first: number, second: number, secondBytes: number): number {
  if (secondBytes !== lastBytes) {
    lastFactor = powerOfX(secondBytes)
    lastBytes = secondBytes
  }
  return (multiply(lastFactor, first) ^ second) >>> 0
}

/** As coefficients, that of x^0 in the highest bit. */
const POLYNOMIAL = 0x82f63b78
const ONE = 1 << 31
/** x^8, x^16, x^32, ... */
const SQUARES = squares()
/** What was asked last: blocks have one length mostly. */
let lastBytes = 0
let lastFactor = ONE

function squares(): Int32Array {
  const powers = new Int32Array(48)
  powers[0] = 1 << 23
  for (let at = 1; at < powers.length; at++) powers[at] = multiply(powers[at - 1]!, powers[at - 1]!)
  return powers
}

/** x^(8 * bytes). */
function powerOfX(bytes: number): number {
  let product = ONE
  for (let at = 0, left = bytes; left > 0; at++, left = Math.floor(left / 2))
    if (left % 2 === 1) product = multiply(SQUARES[at]!, product)
  return product
}

function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b
    b = (b & 1) !== 0 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1
  }
  return product
}
