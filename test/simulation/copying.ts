// What a program copies by copy_file_range, and what then must be: between any two open files, of any length.
import type { Random } from '../../src/platform/index.ts'
import type { Handle, Ino } from '../../src/vfs/index.ts'

/** Of the operations, where copies are made. */
export const COPY_SHARE = 0.15

interface OpenFile {
  ino: Ino
  handle: Handle
  writable: boolean
}

export interface Copy {
  what: string
  from: OpenFile & { offset: number }
  to: OpenFile & { offset: number }
  lengthBytes: number
  /** How much it takes, and what the destination holds then. */
  takes: number
  after: Buffer
  expected: 'EINVAL' | null
}

/** Null where no file is open for it. */
export function chooseCopy(random: Random, open: readonly OpenFile[], contentOf: (ino: Ino) => Buffer): Copy | null {
  const writable = open.filter((file) => file.writable)
  const target = writable[Math.floor(random.next() * writable.length)]
  const source = open[Math.floor(random.next() * open.length)]
  if (target === undefined || source === undefined) return null
  const [body, before] = [contentOf(source.ino), contentOf(target.ino)]
  const at = random.next() < 0.5 ? 0 : Math.floor(random.next() * 1.1 * body.length)
  const to = random.next() < 0.5 ? 0 : Math.floor(random.next() * 1.2 * before.length)
  const lengthBytes = random.next() < 0.5 ? Number.MAX_SAFE_INTEGER : Math.floor(random.next() * body.length)
  const copied = body.subarray(at, Math.min(body.length, at + lengthBytes))
  const takes = copied.length
  const after = Buffer.alloc(takes === 0 ? before.length : Math.max(before.length, to + takes))
  before.copy(after)
  copied.copy(after, to)
  const overlaps = source.ino === target.ino && at < to + takes && to < at + takes
  const expected = overlaps ? 'EINVAL' : null
  const what = `copy ${takes}@${at} of ${source.ino} to ${target.ino}@${to}`
  return { what, from: { ...source, offset: at }, to: { ...target, offset: to }, lengthBytes, takes, after, expected }
}
