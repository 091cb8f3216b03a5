// The chart of `bench -- data`: the work that most people do, without added latency.
import { type Dot, dotsOf, draw } from '../chart.ts'
import { select } from '../statistics.ts'
import { formatCount } from '../units.ts'
import type { DataMeasurement, DataResults } from './results.ts'

const MIB = 2 ** 20

/** The SVG, or null when nothing was measured that it shows. */
export function drawDataResults(results: DataResults): string | null {
  const { scale, minio, date, machine } = results
  const here = select<DataMeasurement>(results.measurements, { latencyMs: 0, memory: null })
  const large = `${formatCount(scale.sizeBytes / MIB)} MiB`
  const tree = `${formatCount(scale.treeFiles)} files`
  const works: [string, string][] = [
    ['write', `write ${large}, and fsync`],
    ['read-cold', `read ${large}, cold`],
    ['fsync-each', '200 files of 4 KiB, an fsync of each'],
    ['tree', `unpack a source tree of ${tree}, and sync`],
    ['tree-read', 'tar c of it, cold'],
    ['tree-rm', 'rm -rf of it, cold, and sync'],
  ]
  const groups = works.flatMap(([workload, title]): { title: string; dots: Dot[] }[] => {
    const dots = dotsOf(results, select<DataMeasurement>(here, { workload }))
    return dots.length === 0 ? [] : [{ title, dots }]
  })
  if (!groups.some(({ dots }) => dots.some(({ seconds }) => seconds !== null))) return null
  const where = [`One MinIO (${minio}) on the loopback; ${date.slice(0, 10)}`, machine]
  return draw({ title: 'Reading and writing: time, shorter is better (logarithmic)', where }, groups)
}
