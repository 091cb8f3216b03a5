// Somebody who mounts the volume read-only and looks at all of it again and again while others write: what was there when it
// was mounted is there, byte for byte, until the grace period is over. Its own requests never fail.
import { FsError, type Random } from '../../src/platform/index.ts'
import type { Volume } from '../../src/volume/index.ts'
import { explore } from './explore.ts'
import { type Floor, type Found, isSame, type Oracle } from './oracle.ts'
import type { Process } from './process.ts'

export interface OnlookerOptions {
  process: Process
  open: () => Promise<Volume>
  random: Random
  /** From the mount on. */
  graceMs: number
  /** Looks at extended attributes too. */
  withXattrs: boolean
  /** Of the mount that writes. */
  oracle: Oracle
  /** Whether nobody else has begun to take the volume meanwhile. */
  isStillTheirs: () => boolean
}

/** Looks until the grace period is over. Rejects when what is seen is wrong. Resolves to how often it looked. */
export async function lookOn(options: OnlookerOptions): Promise<number> {
  const { oracle, process, random, graceMs } = options
  const { clock, name } = process
  const endMs = clock.monotonicMs() + graceMs
  const floor: Floor = oracle.floor()
  // What it lists may be gone before it is read: then it looks again.
  process.lagMs = random.next() < 0.5 ? random.next() * 4_000 : 0
  const volume = await options.open()
  process.lagMs = 0
  const isKnown = options.isStillTheirs()
  let first: Found | null = null
  let looks = 0
  while (clock.monotonicMs() < endMs) {
    let found: Found
    try {
      found = await explore(volume.filesystem, options.withXattrs)
    } catch (error) {
      if (clock.monotonicMs() >= endMs && (error as Error).cause instanceof FsError) break
      throw new Error(`${name}, which only reads, met: ${(error as Error).message}`, { cause: error })
    }
    looks++
    const wrong = first !== null || !isKnown ? null : oracle.seen(found, floor)
    if (wrong !== null) throw new Error(`${name}, which only reads, sees ${wrong}`)
    first ??= found
    if (!isSame(found, first)) throw new Error(`${name}, which only reads, sees something else than before`)
    await clock.sleep(random.next() * (graceMs / 4))
  }
  volume.abandon()
  process.kill()
  return looks
}
