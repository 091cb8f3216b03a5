// Taking the directory away with all that is in it, from cold; the barrier counts.
import { python } from '../programs/index.ts'
import { printedFigures, type Workload } from './workload.ts'

export const remove: Workload = {
  id: 'rm',
  title: '`rm -rf`, and sync',
  kind: 'remove',
  temperatures: ['cold'],
  command: (directory, entries) => python('remove.py', directory, entries),
  warmUp: (folder) => ({ program: 'rm', args: ['-rf', `${folder}/missing`] }),
  onBucket: null,
  judge: printedFigures,
}
