// POSIX access control lists (acl(5), IEEE 1003.1e draft 17) in the form in which the kernel hands them over, and keeps
// them nowhere else (<linux/posix_acl_xattr.h>): u32 version 2, then for each entry u16 tag, u16 permissions, u32 id.
//
// The rules are those of fs/posix_acl.c, under the names they have there.
//
// Must stay true: an access ACL that is stored says more than a mode can, and what a mode can say it says as the mode does.
import { errnoError } from '../platform/index.ts'

export const ACL_ACCESS_XATTR = Buffer.from('system.posix_acl_access')
export const ACL_DEFAULT_XATTR = Buffer.from('system.posix_acl_default')

const VERSION = 2
const HEADER_BYTES = 4
const ENTRY_BYTES = 8

const USER_OBJ = 0x01
const USER = 0x02
const GROUP_OBJ = 0x04
const GROUP = 0x08
const MASK = 0x10
const OTHER = 0x20
/** The order in which tags must come. */
const ORDER = [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER]
const ONCE = [USER_OBJ, GROUP_OBJ, MASK, OTHER]
const RWX = 0o7
const PERMISSIONS = 0o777

export interface AclEntry {
  tag: number
  permissions: number
  /** A uid or gid; all ones for the other tags. */
  id: number
}

/** Sorted by tag; as posix_acl_valid wants it. */
export type Acl = readonly AclEntry[]

/** EOPNOTSUPP for another version, EINVAL for what is no ACL. An ACL without entries is none: null. */
export function decodeAcl(bytes: Uint8Array): Acl | null {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (value.length === 0) return null
  if (value.length < HEADER_BYTES || (value.length - HEADER_BYTES) % ENTRY_BYTES !== 0) throw errnoError('EINVAL')
  if (value.readUInt32LE(0) !== VERSION) throw errnoError('EOPNOTSUPP')
  const acl: AclEntry[] = []
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES)
    acl.push({
      tag: value.readUInt16LE(at),
      permissions: value.readUInt16LE(at + 2),
      id: value.readUInt32LE(at + 4),
    })
  if (acl.length === 0) return null
  if (!isValid(acl)) throw errnoError('EINVAL')
  return acl
}

/** posix_acl_valid: in order, what there is once is there once, and a mask where users or groups are named. */
function isValid(acl: Acl): boolean {
  const places = acl.map(({ tag }) => ORDER.indexOf(tag))
  const inOrder = places.every((place, index) => place >= 0 && place >= (places[index - 1] ?? 0))
  const count = (tag: number) => acl.filter((entry) => entry.tag === tag).length
  const needsMask = count(USER) + count(GROUP) > 0
  return (
    inOrder &&
    acl.every(({ permissions }) => permissions <= RWX) &&
    ONCE.every((tag) => count(tag) <= 1) &&
    [USER_OBJ, GROUP_OBJ, OTHER].every((tag) => count(tag) === 1) &&
    (!needsMask || count(MASK) === 1)
  )
}

export function encodeAcl(acl: Acl): Buffer {
  const value = Buffer.alloc(HEADER_BYTES + ENTRY_BYTES * acl.length)
  value.writeUInt32LE(VERSION, 0)
  for (const [index, { tag, permissions, id }] of acl.entries()) {
    const at = HEADER_BYTES + ENTRY_BYTES * index
    value.writeUInt16LE(tag, at)
    value.writeUInt16LE(permissions, at + 2)
    value.writeUInt32LE(id, at + 4)
  }
  return value
}

/** posix_acl_equiv_mode: the permission bits that say the same, or, where the ACL says more, as much of it as bits can. */
export function modeOfAcl(acl: Acl): { permissions: number; saysMore: boolean } {
  const of = (tag: number) => acl.find((entry) => entry.tag === tag)?.permissions
  const group = of(MASK) ?? of(GROUP_OBJ)!
  return {
    permissions: (of(USER_OBJ)! << 6) | (group << 3) | of(OTHER)!,
    saysMore: acl.some(({ tag }) => tag === USER || tag === GROUP || tag === MASK),
  }
}

/** posix_acl_create_masq: what a new file gets of its directory's default ACL, no more than `mode` asks for. */
export function inheritedAcl(inherited: Acl, mode: number): { acl: Acl; mode: number; saysMore: boolean } {
  const groupTag = inherited.some(({ tag }) => tag === MASK) ? MASK : GROUP_OBJ
  const shiftOf = (tag: number) => (tag === USER_OBJ ? 6 : tag === groupTag ? 3 : tag === OTHER ? 0 : null)
  const acl = inherited.map((entry) => {
    const shift = shiftOf(entry.tag)
    return shift === null ? entry : { ...entry, permissions: entry.permissions & (mode >> shift) & RWX }
  })
  const { permissions, saysMore } = modeOfAcl(acl)
  return { acl, mode: (mode & ~PERMISSIONS) | permissions, saysMore }
}

/** posix_acl_chmod: the same users and groups, with the permissions of `mode`. */
export function aclAfterChmod(acl: Acl, mode: number): Acl {
  const groupTag = acl.some(({ tag }) => tag === MASK) ? MASK : GROUP_OBJ
  return acl.map((entry) => {
    if (entry.tag === USER_OBJ) return { ...entry, permissions: (mode >> 6) & RWX }
    if (entry.tag === groupTag) return { ...entry, permissions: (mode >> 3) & RWX }
    if (entry.tag === OTHER) return { ...entry, permissions: mode & RWX }
    return entry
  })
}
