// How long a program waits until it can show something.
import { python } from '../programs/index.ts'
import { printedFigures, type Workload } from './workload.ts'

export const firstEntry: Workload = {
  id: 'first-entry',
  title: 'the first entry',
  kind: 'read',
  temperatures: ['cold'],
  command: (directory) => python('first_entry.py', directory),
  onBucket: 'first',
  judge: printedFigures,
}
