// The record of a dentry: a name in a directory.
//
//   0    u8   bytes of the name, 1 to 255
//   1    u8   bits 0 to 3: the file's type as st_mode >> 12; bit 7: shared
//   2    name
//   ..   not shared: the inode (inode-record.ts). Of a directory it is a copy of its ".", as of the last checkpoint or of
//        the last time this record was written.
//        shared: u64 ino; the inode stands in the table SHARED
import { ok as assert } from 'node:assert'
import { readU64, writeU64 } from '../platform/index.ts'
import type { Ino } from './attributes.ts'
import { encodeInodeInto, type Inode, inodeRecordBytes } from './inode-record.ts'

const SHARED_BIT = 0x80
const HEADER_BYTES = 2
export const NAME_MAX = 255

export function encodeDentry(name: Uint8Array, inode: Inode): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + name.length + inodeRecordBytes(inode))
  encodeHead(bytes, name, inode.mode >>> 12)
  encodeInodeInto(inode, bytes, HEADER_BYTES + name.length)
  return bytes
}

export function encodeSharedDentry(name: Uint8Array, ino: Ino, mode: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + name.length + 8)
  encodeHead(bytes, name, (mode >>> 12) | SHARED_BIT)
  writeU64(bytes, HEADER_BYTES + name.length, ino)
  return bytes
}

function encodeHead(bytes: Buffer, name: Uint8Array, type: number): void {
  assert(name.length > 0 && name.length <= NAME_MAX)
  bytes[0] = name.length
  bytes[1] = type
  bytes.set(name, HEADER_BYTES)
}

/** Whether the dentry at `start` has this name. */
export function dentryHasName(bytes: Buffer, start: number, name: Uint8Array): boolean {
  const length = name.length
  if (bytes[start] !== length) return false
  const at = start + HEADER_BYTES
  for (let index = 0; index < length; index++) if (bytes[at + index] !== name[index]) return false
  return true
}

export function dentryName(bytes: Buffer, start: number): Buffer {
  return bytes.subarray(dentryNameStart(start), dentryInodeAt(bytes, start))
}

export function dentryNameStart(start: number): number {
  return start + HEADER_BYTES
}

export function dentryIsShared(bytes: Buffer, start: number): boolean {
  return (bytes[start + 1]! & SHARED_BIT) !== 0
}

/** The type bits of st_mode. */
export function dentryType(bytes: Buffer, start: number): number {
  return (bytes[start + 1]! & 0x0f) << 12
}

/** Where the name ends, and the inode, or the ino of a shared one, begins. */
export function dentryInodeAt(bytes: Buffer, start: number): number {
  return start + HEADER_BYTES + bytes[start]!
}

/** Stands first in both forms. */
export function dentryIno(bytes: Buffer, start: number): Ino {
  return readU64(bytes, dentryInodeAt(bytes, start)) as Ino
}
