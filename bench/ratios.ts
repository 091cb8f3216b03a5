// Peers that come as a binary only (CAIRNFS_PEER_GEESEFS, CAIRNFS_PEER_ZEROFS). Where none is named, the ratio to JuiceFS
// stands for them that was measured side by side, on one machine (2 cores, kernel 6.18) and one MinIO, on 2026-11-21: in a
// table of its own, which says so.

import { table, wrap } from './markdown.ts'
import type { Results } from './results.ts'
import { measuredOf } from './statistics.ts'
import { formatCount, formatSeconds } from './units.ts'
import { LISTING, type Temperature } from './workloads/index.ts'

interface Earlier {
  workload: string
  temperature: Temperature
  entries: number
  /** Seconds. */
  juicefs: number
  /** Seconds by system. */
  others: Readonly<Record<string, number>>
}

const DATE = '2026-11-21'

export const EARLIER: readonly Earlier[] = [
  // geesefs with what it still had to send: 1.7 s, and 8.5 s.
  { workload: 'create', temperature: 'warm', entries: 10_000, juicefs: 8.5, others: { zerofs: 7.5, geesefs: 10.2 } },
  { workload: 'create', temperature: 'warm', entries: 100_000, juicefs: 78, others: { zerofs: 78 } },
  { workload: 'ls-lU', temperature: 'cold', entries: 10_000, juicefs: 0.064, others: { zerofs: 0.079, geesefs: 3.4 } },
  { workload: 'ls-lU', temperature: 'cold', entries: 100_000, juicefs: 0.63, others: { zerofs: 0.78, geesefs: 38 } },
  { workload: 'ls-lU', temperature: 'warm', entries: 100_000, juicefs: 0.5, others: { zerofs: 0.55, geesefs: 14.6 } },
  { workload: 'rm', temperature: 'cold', entries: 10_000, juicefs: 6.5, others: { zerofs: 8.2, geesefs: 3.2 } },
  { workload: 'rm', temperature: 'cold', entries: 100_000, juicefs: 64, others: { zerofs: 91 } },
]

/** What an earlier run says of peers that are not here; null when there is nothing to say. */
export function reportEarlier({ absent, measurements }: Results): string | null {
  const missing = absent.filter(({ id }) => EARLIER.some(({ others }) => others[id] !== undefined))
  const rows = EARLIER.flatMap(({ workload, temperature, entries, juicefs, others }) => {
    const here = measuredOf(measurements, { system: 'juicefs', workload, temperature, entries, latencyMs: 0 })
    if (here === null) return []
    const { kind, title } = LISTING.find(({ id }) => id === workload)!
    const cells = missing.flatMap(({ id }) => {
      const seconds = others[id]
      if (seconds === undefined) return ['-', '-', '-']
      const ratio = seconds / juicefs
      return [formatSeconds(seconds), ratio.toFixed(2), `~ ${formatSeconds(ratio * here.seconds.median)}`]
    })
    const work = `${title}${kind === 'read' ? `, ${temperature}` : ''}, ${formatCount(entries)}`
    return [[work, formatSeconds(juicefs), ...cells, formatSeconds(here.seconds.median)]]
  })
  if (missing.length === 0 || rows.length === 0) return null
  const head = missing.flatMap(({ title }) => [`${title} then`, 'to JuiceFS', `so ${title} here`])
  return [
    '#### Not run here: others, by their ratio to JuiceFS in an earlier run',
    wrap(
      `${missing.map(({ title, reason }) => `${title} did not run (${reason})`).join('; ')}. On ${DATE} they ran beside ` +
        'JuiceFS, on a machine of this kind and one MinIO, once each. "~" is no measurement: that ratio times the time of ' +
        'JuiceFS here.',
    ),
    table(['', 'JuiceFS then', ...head, 'JuiceFS here'], rows),
  ].join('\n\n')
}
