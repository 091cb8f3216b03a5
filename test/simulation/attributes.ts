// What extended attributes a program sets and removes, and how they are told apart: by their length and their first byte.

import type { Random } from '../../src/platform/index.ts'
import type { Caller, Filesystem, Ino } from '../../src/vfs/index.ts'

/** Of the operations, where attributes are set. */
export const XATTR_SHARE = 0.15
const NAMES = ['user.a', 'user.b', 'user.c']

export interface XattrChange {
  what: string
  name: Buffer
  /** Null: it is removed. */
  value: Buffer | null
  expected: 'ENODATA' | null
}

/** Some stay in the inode, some have pieces in its table. */
export function chooseXattr(random: Random, has: ReadonlyMap<string, string>): XattrChange {
  const text = NAMES[Math.floor(random.next() * NAMES.length)] as string
  const name = Buffer.from(text)
  if (random.next() < 0.3) {
    return { what: `removexattr ${text}`, name, value: null, expected: has.has(text) ? null : 'ENODATA' }
  }
  const most = random.next() < 0.6 ? 300 : random.next() < 0.6 ? 3_000 : 40_000
  const value = Buffer.alloc(Math.floor(random.next() * most), Math.floor(random.next() * 256))
  return { what: `setxattr ${text} ${shownValue(value)}`, name, value, expected: null }
}

export function shownValue(value: Uint8Array): string {
  return `${value.length}x${value[0] ?? ''}`
}

export async function xattrsOf(fs: Filesystem, caller: Caller, ino: Ino): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const name of await fs.listxattr!(caller, ino)) {
    const value = await fs.getxattr!(caller, ino, name)
    const isWhole = value.every((byte) => byte === value[0])
    found.set(Buffer.from(name).toString(), isWhole ? shownValue(value) : 'of several values')
  }
  return found
}
