// Making the directory and its files, empty ones, by one program in one thread; the barrier counts.
import { python } from '../programs/index.ts'
import { printedFigures, type Workload } from './workload.ts'

export const create: Workload = {
  id: 'create',
  title: 'create, and sync',
  kind: 'create',
  temperatures: ['warm'],
  command: (directory, entries) => python('create.py', directory, entries),
  onBucket: null,
  judge: printedFigures,
}
