// CRC-32C (Castagnoli), RFC 3720 section B.4: the checksum of every page, block, commit and segment.
import { crc32c as native } from '@node-rs/crc32'

/** The crc32c of `bytes`, an unsigned 32-bit number; `previous` continues an earlier one. */
export function crc32c(bytes: Uint8Array, previous?: number): number {
  return native(bytes as Buffer, previous)
}
