// Little-endian integers that Buffer has no fast reader for, in 32-bit halves.
const TWO_32 = 0x1_0000_0000

/** An unsigned 64-bit number; those we store are below 2^53. */
export function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_32
}

export function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % TWO_32, at)
  bytes.writeUInt32LE(Math.floor(value / TWO_32), at + 4)
}

/** A signed 64-bit number between -2^53 and 2^53: seconds since 1970. */
export function readI64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readInt32LE(at + 4) * TWO_32
}

export function writeI64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / TWO_32)
  bytes.writeUInt32LE(value - high * TWO_32, at)
  bytes.writeInt32LE(high, at + 4)
}
