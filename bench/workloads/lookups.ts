// Which names are looked up.
import type { Temperature } from './workload.ts'

const WARM_LOOKUPS = 1000

/** The first index, and how many: cold one, in the middle; warm up to 1,000 from the beginning on. */
export function lookups(entries: number, temperature: Temperature): [first: number, count: number] {
  const middle = Math.floor(entries / 2)
  return temperature === 'cold' ? [middle, 1] : [0, Math.max(1, Math.min(WARM_LOOKUPS, middle))]
}
