// Peers that come as a binary only (CAIRNFS_PEER_GEESEFS, CAIRNFS_PEER_ZEROFS). Where none is named, the ratio to JuiceFS
// stands for them that was measured side by side, on one machine (2 cores, kernel 6.18) and one MinIO, on 2026-11-21.
import type { Temperature } from './workloads/index.ts'

export interface Ratio {
  system: string
  workload: string
  temperature: Temperature
  entries: number
  /** Its time divided by JuiceFS's. */
  toJuicefs: number
}

const ratio = (
  system: string,
  workload: string,
  temperature: Temperature,
  entries: number,
  [seconds, juicefsSeconds]: [number, number],
): Ratio => ({ system, workload, temperature, entries, toJuicefs: seconds / juicefsSeconds })

export const RATIOS: readonly Ratio[] = [
  ratio('zerofs', 'create', 'warm', 10_000, [7.5, 8.5]),
  ratio('zerofs', 'create', 'warm', 100_000, [78, 78]),
  ratio('zerofs', 'ls-lU', 'cold', 10_000, [0.079, 0.064]),
  ratio('zerofs', 'ls-lU', 'cold', 100_000, [0.78, 0.63]),
  ratio('zerofs', 'ls-lU', 'warm', 100_000, [0.55, 0.5]),
  ratio('zerofs', 'rm', 'cold', 10_000, [8.2, 6.5]),
  ratio('zerofs', 'rm', 'cold', 100_000, [91, 64]),
  // With what it still had to send.
  ratio('geesefs', 'create', 'warm', 10_000, [10.2, 8.5]),
  ratio('geesefs', 'ls-lU', 'cold', 10_000, [3.4, 0.064]),
  ratio('geesefs', 'ls-lU', 'cold', 100_000, [38, 0.63]),
  ratio('geesefs', 'ls-lU', 'warm', 100_000, [14.6, 0.5]),
  ratio('geesefs', 'rm', 'cold', 10_000, [3.2, 6.5]),
]
