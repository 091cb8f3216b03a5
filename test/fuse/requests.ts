// Building the kernel's requests and reading our replies, for tests: written from fuse.h on its own, so that a wrong
// offset in src/fuse/wire.ts shows.

let nextUnique = 2

/** A whole request: struct fuse_in_header, then `payload`. */
export function request(opcode: number, nodeid: number, ...payload: Uint8Array[]): Buffer {
  const body = Buffer.concat(payload)
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length, 0)
  header.writeUInt32LE(opcode, 4)
  header.writeBigUInt64LE(BigInt(nextUnique), 8)
  header.writeBigUInt64LE(BigInt(nodeid), 16)
  header.writeUInt32LE(1000, 24)
  header.writeUInt32LE(1001, 28)
  header.writeUInt32LE(77, 32)
  nextUnique += 2
  return Buffer.concat([header, body])
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, i) => {
    bytes.writeUInt32LE(value >>> 0, i * 4)
  })
  return bytes
}

export function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), i * 8)
  })
  return bytes
}

export function name(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}

/** The INIT of Linux 6.x, which offers everything. */
export function init(flags = 0x7fffffff, flags2 = 0xffffffff, minor = 40): Buffer {
  return request(26, 0, u32(7, minor, 131072, flags, flags2), Buffer.alloc(44))
}

export interface Reply {
  error: number
  unique: bigint
  payload: Buffer
}

/** Splits a reply, having checked the length it announces. */
export function parseReply(bytes: Buffer): Reply {
  if (bytes.length < 16 || bytes.readUInt32LE(0) !== bytes.length)
    throw new Error(`bad reply: ${bytes.toString('hex')}`)
  return { error: bytes.readInt32LE(4), unique: bytes.readBigUInt64LE(8), payload: bytes.subarray(16) }
}

/** struct fuse_attr. */
export function parseAttr(bytes: Buffer) {
  return {
    ino: Number(bytes.readBigUInt64LE(0)),
    size: Number(bytes.readBigUInt64LE(8)),
    blocks: Number(bytes.readBigUInt64LE(16)),
    atime: { sec: Number(bytes.readBigInt64LE(24)), nsec: bytes.readUInt32LE(48) },
    mtime: { sec: Number(bytes.readBigInt64LE(32)), nsec: bytes.readUInt32LE(52) },
    ctime: { sec: Number(bytes.readBigInt64LE(40)), nsec: bytes.readUInt32LE(56) },
    mode: bytes.readUInt32LE(60),
    nlink: bytes.readUInt32LE(64),
    uid: bytes.readUInt32LE(68),
    gid: bytes.readUInt32LE(72),
    rdev: bytes.readUInt32LE(76),
  }
}

/** struct fuse_entry_out. */
export function parseEntry(bytes: Buffer) {
  return {
    nodeid: Number(bytes.readBigUInt64LE(0)),
    generation: Number(bytes.readBigUInt64LE(8)),
    entryTtlSec: Number(bytes.readBigUInt64LE(16)) + bytes.readUInt32LE(32) / 1e9,
    attributeTtlSec: Number(bytes.readBigUInt64LE(24)) + bytes.readUInt32LE(36) / 1e9,
    attr: parseAttr(bytes.subarray(40, 128)),
  }
}

/** The dirents of a READDIR reply, or with their entries those of READDIRPLUS. */
export function parseDirents(bytes: Buffer, plus: boolean) {
  const entries = []
  for (let at = 0; at < bytes.length; ) {
    const entry = plus ? parseEntry(bytes.subarray(at, at + 128)) : undefined
    const dirent = plus ? at + 128 : at
    const length = bytes.readUInt32LE(dirent + 16)
    entries.push({
      entry,
      ino: Number(bytes.readBigUInt64LE(dirent)),
      cookie: Number(BigInt.asUintN(54, bytes.readBigUInt64LE(dirent + 8))),
      generation: bytes[dirent + 15]! * 4 + (bytes[dirent + 14]! >> 6),
      type: bytes.readUInt32LE(dirent + 20),
      name: bytes.toString('latin1', dirent + 24, dirent + 24 + length),
    })
    const end = (dirent + 24 + length + 7) & ~7
    if (bytes.subarray(dirent + 24 + length, end).some((byte) => byte !== 0)) throw new Error('padding is not zero')
    at = end
  }
  return entries
}

/** struct fuse_statx. */
export function parseStatx(bytes: Buffer) {
  const time = (at: number) => ({ sec: Number(bytes.readBigInt64LE(at)), nsec: bytes.readUInt32LE(at + 8) })
  return {
    mask: bytes.readUInt32LE(0),
    nlink: bytes.readUInt32LE(16),
    uid: bytes.readUInt32LE(20),
    gid: bytes.readUInt32LE(24),
    mode: bytes.readUInt16LE(28),
    ino: Number(bytes.readBigUInt64LE(32)),
    size: Number(bytes.readBigUInt64LE(40)),
    blocks: Number(bytes.readBigUInt64LE(48)),
    atime: time(64),
    btime: time(80),
    ctime: time(96),
    mtime: time(112),
    device: [bytes.readUInt32LE(128), bytes.readUInt32LE(132)],
  }
}
