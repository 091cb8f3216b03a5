// One name that is there: cold, the first that anybody asks for; warm, others of the same directory, none of them twice,
// and the time of one.
import { python } from '../programs/index.ts'
import { lookups } from './lookups.ts'
import { printedFigures, type Workload } from './workload.ts'

export const statName: Workload = {
  id: 'stat',
  title: '`stat` of a name',
  kind: 'read',
  temperatures: ['cold', 'warm'],
  command: (directory, entries, temperature) =>
    python('lookups.py', 'there', directory, ...lookups(entries, temperature)),
  onBucket: 'stat',
  judge: printedFigures,
}
