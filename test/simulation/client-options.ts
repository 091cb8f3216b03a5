// What a client (client.ts) works on, and how.
import type { Random } from '../../src/platform/index.ts'
import type { Filesystem } from '../../src/vfs/index.ts'
import type { Oracle } from './oracle.ts'
import type { Process } from './process.ts'

export interface ClientOptions {
  fs: Filesystem
  oracle: Oracle
  process: Process
  random: Random
  /** Virtual time. */
  now: () => number
  note: (what: string) => void
  /** Whether the filesystem knows that somebody else has the volume. */
  isLost: () => boolean
  /** The world ends with this. */
  fail: (message: string) => void
  /** Bytes of most writes, and of the few large ones. */
  smallBytes: number
  largeBytes: number
  meanPauseMs: number
  /** Memory is so short that what an O_TRUNC holds back may have to leave (docs/decisions/0011). */
  isPressed: boolean
  /** Removes and writes anew more than it makes. */
  isChurning: boolean
  /** Whether nobody else has begun to take the volume. */
  isSole: () => boolean
  /** Whether the filesystem says that it cannot make things durable. */
  hasFailed: () => boolean
  /** Gives references back, as the kernel does when it is short of memory. */
  forgets: boolean
  /** Whether some request of the process was given up, or its answer damaged. */
  hadTrouble: () => boolean
  /** Where copies are made: what decides about them, apart from `random`, so that other worlds stay as they are. */
  copies: Random | null
  /** The same where extended attributes are set. */
  xattrs: Random | null
}
