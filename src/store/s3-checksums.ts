// What a request says of its body: to the signature, and for the service to check.
import { createHash } from 'node:crypto'
import { crc32c } from '../platform/index.ts'

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** The header x-amz-content-sha256; what is not signed is guarded by TLS, or by x-amz-checksum-crc32c alone. */
export function contentSha256(parts: readonly Uint8Array[], { isSigned }: { isSigned: boolean }): string {
  if (parts.length === 0) return EMPTY_SHA256
  if (!isSigned) return 'UNSIGNED-PAYLOAD'
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

export function crc32cOf(parts: readonly Uint8Array[]): number {
  let crc = 0
  for (const part of parts) crc = crc32c(part, crc)
  return crc
}

/** The header x-amz-checksum-crc32c: the big-endian checksum in base64. */
export function crc32cHeader(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}

/** Whether bodies are left out of signatures over plain http: where that was asked for, and where the service is this machine's
 *  own unless it was refused, so that nobody can be between. */
export function leavesBodiesUnsigned({
  unsignedPayload,
  endpoint,
}: {
  unsignedPayload?: boolean
  endpoint?: string
}): boolean {
  if (unsignedPayload !== undefined || endpoint === undefined) return unsignedPayload ?? false
  const { hostname } = new URL(endpoint)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}
