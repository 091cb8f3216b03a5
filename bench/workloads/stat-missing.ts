// The same for names that are not there.
import { python } from '../programs/index.ts'
import { lookups } from './lookups.ts'
import { printedFigures, type Workload } from './workload.ts'

export const statMissing: Workload = {
  id: 'stat-missing',
  title: '`stat` of a missing name',
  kind: 'read',
  temperatures: ['cold', 'warm'],
  command: (directory, entries, temperature) =>
    python('lookups.py', 'missing', directory, ...lookups(entries, temperature)),
  onBucket: 'missing',
  judge: printedFigures,
}
