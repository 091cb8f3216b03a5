// Chance as an argument: see clock.ts.
import { randomBytes } from 'node:crypto'
import type { Random } from './clock.ts'

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (length) => randomBytes(length),
}

/** A repeatable source (mulberry32): one seed, one sequence. For tests and simulations only. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    bytes: (length) => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256))),
  }
}
